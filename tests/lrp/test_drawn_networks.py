"""Networks drawn at random are explained as the reference has it, or refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from tests.lrp import drawn_networks
from tests.lrp.drawn_networks import OPERATIONS, Drawn, draw, verdict

#: Refused, for want of a rule for one of their operations; they may be explained at any time.
REFUSED = frozenset[str]()


@settings(max_examples=25, deadline=None, derandomize=True)
@given(drawn_networks.drawn_networks())
def test_nothing_is_wrong_in_silence(drawn: Drawn) -> None:
    found = verdict(drawn)
    allowed = ("equal", "refused") if drawn.explicable else ("refused",)
    assert found.status in allowed, f"seed {drawn.seed}, {drawn.names}: {found.why}"


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_is_explained(name: str) -> None:
    found = verdict(draw(7, [name]))
    wanted = "equal" if OPERATIONS[name].explicable else "refused"
    assert found.status == wanted or (found.status == "refused" and name in REFUSED), found.why


def test_a_wrong_map_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = drawn_networks.explain

    def wrong(*args: Any, **kwargs: Any) -> Any:
        done = right(*args, **kwargs)
        return replace(done, relevance=done.relevance * (1 + 1e-7))

    monkeypatch.setattr(drawn_networks, "explain", wrong)
    assert verdict(draw(7, ["Linear", "GELU"])).status == "wrong"
