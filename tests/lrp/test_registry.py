"""What ``--rule`` takes, what is known of a rule by its name, and rules from outside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import lrpdyn
from lrpdyn.errors import UsageError
from lrpdyn.lrp import rules
from lrpdyn.lrp.registry import RULES, parse_rule, register_rule, shows_support_only
from lrpdyn.lrp.rules import Call
from lrpdyn.run.trust import about_rule, trust_lines


def positive_contributions(call: Call, relevance: Tensor) -> Tensor:
    """Share among positive contributions alone."""
    shared = rules.zplus(call, relevance)
    assert isinstance(shared, Tensor)
    return shared


Register = Callable[[bool], str]


@pytest.fixture
def registered() -> Iterator[Register]:
    """Register a rule as a package from outside does; it is forgotten at the end."""

    def register(shows_support_only: bool) -> str:
        register_rule(
            "own", positive_contributions, usual_sum="one half",
            shows_support_only=shows_support_only,
        )  # fmt: skip
        return "own"

    yield register
    RULES.pop("own", None)


@pytest.fixture
def hardly_supported(tmp_path: Path) -> Path:
    """Checkpoints in which next to nothing speaks for the first output, and much against it."""
    torch.manual_seed(0)
    for step in range(1, 5):
        network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
        with torch.no_grad():
            network[0].bias.fill_(1.0)
            network[2].weight[0] = torch.tensor([1e-5] + [-1.0] * 7)
            network[2].bias.zero_()
        torch.save(network.state_dict(), tmp_path / f"net_{step}.pt")
    return tmp_path


@pytest.mark.parametrize("support_only", [True, False])
def test_a_rule_from_outside_says_what_its_maps_mean(
    support_only: bool, registered: Register, hardly_supported: Path,
    vectors: NDArray[np.float32], tmp_path: Path,
) -> None:  # fmt: skip
    run = lrpdyn.compute(
        hardly_supported, vectors, rule=registered(support_only), target="0", contrast="none",
        arch_args={"activation": "relu"}, out=tmp_path / "run", baseline="none", quiet=True,
    )  # fmt: skip
    said = trust_lines(run)
    assert run.manifest["checks"]["negative_scores"] > 0
    assert about_rule(run.manifest)["usual_sum"] == "one half"
    negative = [text for _, text in said if "own gives them to the evidence for the unit" in text]
    assert bool(negative) is support_only
    causes = {cause["cause"] for found in run.outliers["pathologies"] for cause in found["causes"]}
    assert ("unstable_denominator" in causes) is support_only
    # The run says it to those who have no such rule.
    RULES.pop("own")
    assert trust_lines(lrpdyn.open_run(run.path)) == said


@pytest.mark.parametrize(
    ("text", "expected"),
    [("zplus", True), ("alphabeta:1,0", True), ("alphabeta:2,1", False), ("epsilon:1e-06", False),
     ("gamma:0.25", False), ("winner-takes-all", False), ("captum:alpha1beta0", False)],
)  # fmt: skip
def test_which_rules_show_support_alone(text: str, expected: bool) -> None:
    assert shows_support_only(text) is expected


def test_what_is_known_of_a_rule_is_plain_data() -> None:
    assert parse_rule("zplus").about() == {
        "title": "z-plus",
        "usual_sum": "1, less what biases take",
        "terms_cancel": False,
        "shows_support_only": True,
    }
    assert parse_rule("epsilon").about()["terms_cancel"]
    assert parse_rule("alphabeta").about()["title"] == "alphabeta"


def test_values_of_bounds_alone_may_be_negative() -> None:
    assert parse_rule("zbox:-1/-2,1").parameters == {"low": (-1.0, -2.0), "high": 1.0}
    with pytest.raises(UsageError, match="gamma must be a number of 0 or more, found -1"):
        parse_rule("gamma:-1")
    with pytest.raises(UsageError, match="epsilon must be above 0"):
        parse_rule("epsilon:0")
