"""What the outputs of a head are: who says it, what is chosen of them, what they predict."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import special

from lrpdyn.errors import UsageError
from lrpdyn.explain.units import UNSAID, Units, assumed, recorded_units, units_of, usual_units

GROUPS = Units(kind="groups", groups=(3, 2))
GAUSSIAN, BINARY = Units(kind="gaussian"), Units(kind="bernoulli")
OUTPUTS = np.array([[1.0, 4, 1, -9, -3], [-7, 2, 2, 0, 0]])


def space(kind: str, **about: Any) -> dict[str, Any]:
    return {"action_space": {"kind": kind, **about}}


@pytest.mark.parametrize(
    ("hints", "actions", "own", "wanted"),
    [
        (space("Discrete", n=5), None, "box", Units()),
        (space("MultiDiscrete", nvec=(3, 2)), None, None, GROUPS),
        (space("MultiDiscrete", nvec=(5,)), None, None, Units()),
        (space("Box", shape=(5,)), None, None, GAUSSIAN),
        (space("MultiBinary", shape=(5,)), None, None, BINARY),
        (space("Box", shape=(5,)), "3,2", None, GROUPS),
        (space("Dict"), None, "binary", BINARY),
        ({}, None, "box", GAUSSIAN),
        ({}, "discrete", "box", Units()),
        ({}, None, None, Units()),
    ],
)
def test_who_says_what_a_policy_puts_out(
    hints: dict[str, Any], actions: str | None, own: str | None, wanted: Units
) -> None:
    network: Any = SimpleNamespace(action_space=own)
    assert units_of(network, "policy", 5, hints, actions) == wanted
    against = actions is not None and bool(hints or own)
    words = () if hints or actions or own else (UNSAID,)
    found = assumed(network, "policy", hints, actions)
    if against and units_of(network, "policy", 5, hints, None) != wanted:
        assert found[0].startswith(f"the outputs are what --actions {actions} says, against the ")
    else:
        assert found == words


def test_other_heads_are_no_actions() -> None:
    network: Any = SimpleNamespace(action_space="box")
    for head in ("q", "value", "auxiliary-value"):
        assert units_of(network, head, 5, space("Box", shape=(2,)), None) == Units(kind="values")
        assert assumed(network, head, {}, None) == ()
    with pytest.raises(UsageError, match="--actions: head q gives values"):
        units_of(network, "q", 5, {}, "discrete")
    assert usual_units("logits") == Units()


@pytest.mark.parametrize(
    ("hints", "actions", "says"),
    [
        (
            space("Box", shape=(2,)),
            None,
            "space of the file, Box, has 2 choices or dimensions, and",
        ),
        (space("MultiDiscrete", nvec=(3, 3)), None, "has 6 choices or dimensions"),
        (space("MultiDiscrete", nvec=()), None, "has 0 choices or dimensions"),
        (space("Discrete", n=4), None, "has 4 choices or dimensions"),
        ({}, "3,3", "--actions 3,3 has 6 choices"),
        ({}, "3,0", "expected discrete, box, binary"),
        ({}, "gaussian", "expected discrete, box, binary"),
    ],
)
def test_what_does_not_fit_is_refused(
    hints: dict[str, Any], actions: str | None, says: str
) -> None:
    network: Any = SimpleNamespace()
    with pytest.raises(UsageError, match=says):
        units_of(network, "policy", 5, hints, actions)


def test_what_is_chosen() -> None:
    assert GAUSSIAN.strength(OUTPUTS).argmax(axis=1).tolist() == [3, 0]
    # Less their means: -1, 2, -1 and -3, 3; then -6, 3, 3 and 0, 0.
    assert GROUPS.strength(OUTPUTS).argmax(axis=1).tolist() == [4, 1]
    assert GROUPS.strength(OUTPUTS, 0).argmax(axis=1).tolist() == [1, 1]
    assert GROUPS.strength(OUTPUTS, 1).argmax(axis=1).tolist() == [4, 3]
    best, worst = GROUPS.best_and_worst(OUTPUTS)
    assert (best.tolist(), worst.tolist()) == ([4, 1], [3, 0])
    best, worst = GAUSSIAN.best_and_worst(OUTPUTS)
    assert (best.tolist(), worst.tolist()) == ([3, 0], [0, 3])
    best, worst = Units().best_and_worst(OUTPUTS)
    assert (best.tolist(), worst.tolist()) == ([1, 1], [3, 0])


def test_predictions() -> None:
    outputs = np.random.default_rng(0).normal(size=(2, 3, 5)) * 30
    near = {"rtol": 1e-12, "atol": 1e-300}
    np.testing.assert_allclose(
        Units().predictions(outputs), special.softmax(outputs, axis=2), **near
    )
    parts = [special.softmax(outputs[..., part], axis=2) for part in (slice(3), slice(3, 5))]
    np.testing.assert_allclose(GROUPS.predictions(outputs), np.concatenate(parts, axis=2), **near)
    yes = special.expit(outputs)
    np.testing.assert_allclose(BINARY.predictions(outputs)[..., 5:], yes, **near)
    np.testing.assert_allclose(
        BINARY.predictions(outputs)[..., :5], special.expit(-outputs), **near
    )
    for units in (GAUSSIAN, Units(kind="values")):
        assert units.predictions(outputs) is outputs
    alone = outputs[..., :1]
    assert Units().predictions(alone) is alone


def test_runs_of_before_record_no_units() -> None:
    assert recorded_units({"head": "policy"}) == Units()
    assert recorded_units({"head": "q"}) == Units(kind="values")
    assert recorded_units({"head": "policy", "units": GROUPS.as_dict()}) == GROUPS
