"""A change of weights that leaves the policy as it is leaves score and map, for each action space."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lrpdyn.architectures.model import Architecture, never
from lrpdyn.architectures.registry import Resolved
from lrpdyn.explain.explanation import Explanation, Question, explain
from lrpdyn.explain.loaded import LoadedNetwork, put_weights
from lrpdyn.explain.model import make_model, with_plan, with_units
from lrpdyn.explain.targets import contrast_of, fix_targets, parse_target
from lrpdyn.lrp.composites import parse_composite

X = np.random.default_rng(0).normal(size=(6, 7)).astype(np.float32)
RULES = ("zplus", "gamma:0.25", "epsilon")


class Policy(nn.Module):
    """Five outputs."""

    heads = ("policy",)

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.last = nn.Linear(7, 6), nn.Linear(6, 5)

    def path(self, head: str) -> nn.Module:
        return nn.Sequential(self.hidden, nn.ReLU(), self.last)


def policy(actions: str, rule: str, seed: int) -> LoadedNetwork:
    torch.manual_seed(seed)
    resolved = Resolved(Architecture("own", Policy, never), {})
    model = make_model(resolved, None, "cpu", 64, parse_composite(rule))
    model = with_plan(with_units(model, 5, actions), X, None)
    return put_weights(model, {}, "as built")


def asked(loaded: LoadedNetwork, target: str | None, contrast: str | None = None) -> Explanation:
    units = loaded.model.units
    wanted, against = parse_target(target, len(X), 5, units), contrast_of(contrast, units)
    with torch.no_grad():
        outputs = loaded.path(torch.from_numpy(X)).double().numpy()
    fixed = fix_targets(wanted, against, [outputs], units)
    question = Question(
        contrast=against, targets=fixed.target, runner_up=fixed.runner_up, group=wanted.group
    )
    return explain(loaded, X, question)


def change(units: slice | list[int], *, same: bool) -> Callable[[LoadedNetwork, float], None]:
    """Return what adds to some outputs: the `same` function of the hidden layer to all, or any."""

    def changed(loaded: LoadedNetwork, size: float) -> None:
        last = loaded.model.network.get_submodule("last")
        with torch.no_grad():
            for tensor in (last.weight, last.bias):
                part = tensor[units]
                added = torch.randn(part.shape[1:] if same else part.shape)
                tensor[units] = part + size * added

    return changed


@pytest.mark.parametrize(
    ("actions", "target", "changed"),
    [
        ("discrete", None, change(slice(5), same=True)),
        ("discrete", "2", change(slice(5), same=True)),
        ("discrete", "modal", change(slice(5), same=True)),
        ("3,2", None, change(slice(3), same=True)),
        ("3,2", None, change(slice(3, 5), same=True)),
        ("3,2", "modal", change(slice(3, 5), same=True)),
        ("3,2", "1:argmax", change(slice(3, 5), same=True)),
        ("3,2", "1:argmax", change(slice(3), same=False)),
        ("3,2", "0:final", change(slice(3, 5), same=False)),
        ("3,2", "1:0", change(slice(3), same=False)),
        ("box", "1", change([0, 2, 3, 4], same=False)),
        ("binary", "4", change(slice(4), same=False)),
    ],
)
@pytest.mark.parametrize("contrast", [None, "runner-up"])
@settings(max_examples=8, deadline=None)
@given(rule=st.sampled_from(RULES), seed=st.integers(0, 99), size=st.floats(-9, 9))
def test_the_same_policy_gives_the_same_score_and_map(
    actions: str,
    target: str | None,
    changed: Callable[[LoadedNetwork, float], None],
    contrast: str | None,
    rule: str,
    seed: int,
    size: float,
) -> None:
    loaded = policy(actions, rule, seed)
    competes = not loaded.model.units.have_no_preference
    before = asked(loaded, target, contrast if competes else None)
    changed(loaded, size)
    after = asked(loaded, target, contrast if competes else None)
    assert after.target.tolist() == before.target.tolist()
    np.testing.assert_allclose(after.score, before.score, rtol=1e-4, atol=2e-5)
    np.testing.assert_allclose(after.relevance, before.relevance, rtol=1e-3, atol=1e-4)


def test_scores_are_by_hand() -> None:
    loaded = policy("3,2", "zplus", 3)
    with torch.no_grad():
        outputs = loaded.path(torch.from_numpy(X)).double().numpy()
    first = asked(loaded, "0:argmax")
    np.testing.assert_allclose(
        first.score, outputs[:, :3].max(1) - outputs[:, :3].mean(1), rtol=1e-5
    )
    second = asked(loaded, "1:1", "runner-up")
    np.testing.assert_allclose(second.score, outputs[:, 4] - outputs[:, 3], rtol=1e-5)
    decided = np.maximum(first.score, np.abs(outputs[:, 4] - outputs[:, 3]) / 2)
    np.testing.assert_allclose(asked(loaded, None).score, decided, rtol=1e-5)
    means = asked(policy("box", "zplus", 3), None)
    largest = np.abs(outputs).argmax(axis=1)
    assert means.target.tolist() == means.argmax.tolist() == largest.tolist()
    np.testing.assert_allclose(means.score, outputs[range(6), largest], rtol=1e-5)
