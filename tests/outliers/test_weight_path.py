"""Checkpoints that are off the path of real training are found by their weights, and no other is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lrpdyn.outliers.weight_path import WeightPath
from tests.outliers.made_up import calm_run
from tests.outliers.trained import Network, State, run_of, training

AT = 25
States = list[State]


def path_of(states: States) -> WeightPath:
    return WeightPath(run_of(states).steps)


def flagged(path: WeightPath) -> dict[str, list[int]]:
    """Return the steps that anything is said of."""
    found = {
        "off": path.off,
        "swapped": path.swapped,
        "near_copy": path.near_copy,
        "new": path.new,
        "jumped": path.jumped.any(axis=1),
        "began": path.began.any(axis=1),
    }
    return {name: np.flatnonzero(at).tolist() for name, at in found.items() if at.any()}


def test_nothing_is_said_of_sound_training(clean: States, other: States) -> None:
    assert flagged(path_of(clean)) == {}
    assert flagged(path_of(other)) == {}


def test_moves_and_their_usual_size_by_hand(clean: States) -> None:
    path = path_of(clean)
    names = path.steps.weight_layers
    assert names == ("first", "norm", "norm statistics", "second", "last")
    assert path.learned.tolist() == [True, True, False, True, True]
    one, other = (clean[step]["last.weight"] for step in (AT, AT - 1))
    bias = clean[AT]["last.bias"] - clean[AT - 1]["last.bias"]
    expected = float(torch.cat([(one - other).flatten(), bias]).norm())
    assert path.moved[AT, -1] == pytest.approx(expected, rel=1e-6)
    assert np.isnan(path.moved[0]).all()
    assert path.ratio[AT] == pytest.approx(path.moved[AT] / path.usual[AT])
    # In training, two steps take 1.4 to 2 times as far as one.
    between = path.detour[1:-1]
    assert 1.2 < np.median(between) < 2
    assert np.isnan(path.detour[[0, -1]]).all()


def drawn_anew(states: States, layer: str) -> None:
    torch.manual_seed(9)
    fresh = Network().state_dict()
    for name in (f"{layer}.weight", f"{layer}.bias"):
        states[AT][name] = fresh[name]


def test_a_checkpoint_of_another_seed_is_off_the_path(clean: States, other: States) -> None:
    states = list(clean)
    states[AT] = other[AT]
    path = path_of(states)
    assert np.flatnonzero(path.off).tolist() == [AT]
    assert path.detour[AT] < 0.3
    assert path.belongs_to(AT) is None
    assert path.new[[AT, AT + 1]].all()


def test_a_swing_that_is_shorter_than_the_usual_move_is_no_detour(clean: States) -> None:
    before, after = clean[AT - 1], clean[AT]

    def between(share: float) -> State:
        return {key: before[key] + share * (after[key] - before[key]) for key in before}

    swing = map(between, (0.8, 0.1, 0.75))
    path = path_of([*clean[:AT], *swing, *clean[AT + 3 :]])
    assert path.detour[AT] < 0.2  # its neighbours are near each other
    assert AT not in np.flatnonzero(path.off)


@pytest.mark.parametrize("layer", ["first", "second", "last"])
def test_a_layer_that_is_drawn_anew_for_one_checkpoint_is_named(clean: States, layer: str) -> None:
    states = [dict(state) for state in clean]
    drawn_anew(states, layer)
    path = path_of(states)
    assert np.flatnonzero(path.off).tolist() == [AT]
    names = np.array(path.steps.weight_layers)
    assert names[path.layers_off[AT]].tolist() == [layer]


def test_a_mean_with_an_early_checkpoint_is_off_the_path(clean: States) -> None:
    states = [dict(state) for state in clean]
    states[AT] = {n: (v + clean[5][n]) / 2 for n, v in states[AT].items() if v.is_floating_point()}
    states[AT]["norm.num_batches_tracked"] = clean[AT]["norm.num_batches_tracked"]
    assert np.flatnonzero(path_of(states).off).tolist() == [AT]


def test_a_copy_of_an_early_checkpoint_says_which_it_is(clean: States) -> None:
    states = list(clean)
    states[AT] = clean[8]
    path = path_of(states)
    assert np.flatnonzero(path.off).tolist() == [AT]
    assert path.belongs_to(AT) == 8


def test_two_neighbours_in_the_wrong_order_are_not_off_the_path(clean: States) -> None:
    states = list(clean)
    states[AT], states[AT + 1] = states[AT + 1], states[AT]
    path = path_of(states)
    assert np.flatnonzero(path.swapped).tolist() == [AT]
    assert not path.off.any()


@pytest.mark.parametrize("noise", [0.0, 1e-4])
def test_a_copy_of_the_checkpoint_before(clean: States, noise: float) -> None:
    states = list(clean)
    generator = torch.Generator().manual_seed(0)
    states[AT] = {
        name: values + noise * values.std() * torch.randn(values.shape, generator=generator)
        if values.ndim else values
        for name, values in clean[AT - 1].items()
    }  # fmt: skip
    path = path_of(states)
    assert np.flatnonzero(path.near_copy).tolist() == ([AT] if noise else [])  # or a duplicate
    assert not path.off.any()


@pytest.fixture(scope="module")
def restarted(clean: States) -> States:
    """Training that went on from an earlier checkpoint."""
    return clean[:AT] + training(2, len(clean) - AT, begin=clean[10])


@pytest.fixture(scope="module")
def anew(clean: States) -> States:
    """Training that began anew."""
    return clean[:AT] + training(3, len(clean) - AT)


def test_training_that_went_on_from_an_earlier_checkpoint(restarted: States) -> None:
    path = path_of(restarted)
    assert path.jumped[AT].any()
    assert path.came_from(AT) == 10
    assert not path.off.any()
    assert not path.new[AT]


def test_training_that_began_anew(anew: States) -> None:
    path = path_of(anew)
    assert path.jumped[AT, path.learned].all()
    assert np.flatnonzero(path.new).tolist() == [AT]
    assert path.came_from(AT) is None
    assert not path.off.any()


def test_layers_that_were_frozen_begin_to_move(unfrozen: States) -> None:
    path = path_of(unfrozen)
    assert np.flatnonzero(path.began.any(axis=1)).tolist() == [21]
    assert set(np.array(path.steps.weight_layers)[path.began[21]]) >= {"first", "norm"}
    assert not path.off.any()


def test_a_short_run_has_no_fence_but_large_jumps(clean: States) -> None:
    states = [dict(state) for state in clean[AT - 6 : AT + 7]]
    assert flagged(path_of(states)) == {}
    for state in states[6:]:
        state["second.weight"] = state["second.weight"] * 3
    path = path_of(states)
    assert np.argwhere(path.jumped).tolist() == [[6, 3]]


def test_a_checkpoint_that_is_not_finite_hides_no_other(clean: States) -> None:
    states = [dict(state) for state in clean]
    states[AT - 8]["last.bias"] = states[AT - 8]["last.bias"] * torch.nan
    assert flagged(path_of(states)) == {}
    drawn_anew(states, "second")
    assert np.flatnonzero(path_of(states).off).tolist() == [AT]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_checkpoints_have_no_path(clean: States, count: int) -> None:
    assert flagged(path_of(clean[:count])) == {}


def test_weights_that_are_not_known_say_nothing() -> None:
    """As of runs of version 0.1, which kept how far layers moved and no more."""
    steps = calm_run().steps
    unknown = np.full((41, 2), np.nan)
    old = replace(steps, weight_norm=unknown, weight_back=unknown)
    assert flagged(WeightPath(old)) == {}
    none = np.zeros((41, 0))
    lengths = {"weight_norm": none, "weight_change": none, "weight_back": none}
    assert flagged(WeightPath(replace(steps, weight_layers=(), **lengths))) == {}
