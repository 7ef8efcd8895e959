"""Perturbation curves, against loops in plain torch that share nothing with them, and by what they mean."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from lrpdyn.diagnostics.faithfulness import (
    ORDERS,
    RANDOM,
    areas,
    edges,
    measure,
    random_areas,
    yardsticks,
)
from lrpdyn.diagnostics.occlusion import patch_masks
from lrpdyn.explain.explanation import Question, explain
from lrpdyn.explain.loaded import LoadedNetwork
from lrpdyn.observations.fills import make_fill
from lrpdyn.system.threads import one_thread
from tests.diagnostics.networks import loaded_of


class Nature(nn.Module):
    """As Stable-Baselines3 builds it for Atari, and smaller."""

    heads = ("policy",)

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(2, 8, 8, 4), nn.ReLU(), nn.Conv2d(8, 8, 4, 2), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(),
            nn.Flatten(), nn.Linear(8 * 3 * 4, 32), nn.ReLU(),
        )  # fmt: skip
        self.action = nn.Linear(32, 4)

    def path(self, head: str) -> nn.Module:
        return nn.Sequential(self.features, self.action)


class Digits(nn.Module):
    heads = ("policy",)

    def __init__(self) -> None:
        super().__init__()
        self.all = nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 6 * 6, 10)
        )

    def path(self, head: str) -> nn.Module:
        return self.all


class Flat(nn.Module):
    heads = ("policy",)

    def __init__(self) -> None:
        super().__init__()
        self.all = nn.Sequential(nn.Linear(60, 16), nn.Tanh(), nn.Linear(16, 3))

    def path(self, head: str) -> nn.Module:
        return self.all


@pytest.fixture(autouse=True)
def _on_one_thread() -> Iterator[None]:
    with one_thread():
        yield


def digits() -> tuple[np.ndarray, torch.Tensor]:
    data = load_digits()
    return (data.images[:, None] / 16).astype(np.float32), torch.from_numpy(data.target)


def built(kind: str, rule: str = "epsilon") -> tuple[LoadedNetwork, np.ndarray]:
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    if kind == "nature":
        x = generator.random((2, 2, 52, 60)).astype(np.float32)
        x[:, :, :30] = 0.25  # a background, which the modal value leaves as it is
        return loaded_of(Nature, x, rule), x
    if kind == "flat":
        x = generator.normal(size=(4, 60)).astype(np.float32)
        return loaded_of(Flat, x, rule), x
    pictures, labels = digits()
    loaded = loaded_of(Digits, pictures[:4], rule)
    network = loaded.model.network
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        F.cross_entropy(network.all(torch.from_numpy(pictures[:600])), labels[:600]).backward()
        optimizer.step()
    return loaded, pictures[-4:]


def by_hand(
    network: nn.Module, x: np.ndarray, map_: np.ndarray, fill: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return morf and lerf, in units of the score, of the preferred unit less the mean of all."""
    if x.ndim == 2:
        parts = [(slice(None), p) for p in np.array_split(np.arange(x.shape[1]), 49)]
    else:
        rows, columns = (np.array_split(np.arange(n), min(7, n)) for n in x.shape[-2:])
        parts = [np.ix_(np.arange(1), np.arange(x.shape[1]), r, c) for r in rows for c in columns]
    found = np.zeros((2, len(x)))
    for n in range(len(x)):
        with torch.no_grad():
            unit = int(network(torch.from_numpy(x[n : n + 1])).argmax())
        sums = [float(map_[n : n + 1][part].astype(float).sum()) for part in parts]
        for way in (0, 1):
            order = sorted(range(len(parts)), key=lambda p: sums[p] if way else -sums[p])
            changed, shown = x[n : n + 1].copy(), []
            for part in [None, *order]:
                if part is not None:
                    changed[parts[part]] = fill[n : n + 1][parts[part]]
                shown.append(changed.copy())
            with torch.no_grad():
                outputs = network(torch.from_numpy(np.concatenate(shown))).double().numpy()
            scores = [out[unit] - out.mean() for out in outputs]
            for before, after in pairwise(scores):
                found[way, n] += (before + after) / 2 / len(parts)
    return found[0], found[1]


def measured(
    loaded: LoadedNetwork, x: np.ndarray, maps: dict[str, Any], fill: str | float
) -> tuple[Any, np.ndarray]:
    value = fill if isinstance(fill, float) else 0.25
    filled = make_fill(fill, value, x).of(x)
    masks = np.stack(patch_masks(x.shape))
    return measure(loaded, x, Question(contrast="mean"), maps, filled, masks), filled


@pytest.mark.parametrize(
    ("kind", "fill"),
    [("nature", "modal"), ("nature", "blurred"), ("digits", "mean"), ("digits", 0.5), ("flat", "mean")],
)  # fmt: skip
def test_areas_are_those_of_loops_in_plain_torch(kind: str, fill: str | float) -> None:
    loaded, x = built(kind)
    question = Question(contrast="mean")
    filled = make_fill(fill, fill if isinstance(fill, float) else 0.25, x).of(x)
    maps = {"rule": explain(loaded, x, question).relevance} | yardsticks(
        loaded, x, question, filled
    )
    assert ("edges" in maps) == (kind != "flat")
    found, _ = measured(loaded, x, maps, fill)
    path = loaded.path
    whole, away = (path(torch.from_numpy(v)).detach().double().numpy() for v in (x, filled))
    units = whole.argmax(axis=1)
    ends = [(v - v.mean(axis=1, keepdims=True))[np.arange(len(x)), units] for v in (whole, away)]
    assert found.score_range == pytest.approx(np.median(np.abs(ends[1] - ends[0])), abs=1e-6)
    for name, map_ in maps.items():
        morf, lerf = by_hand(path, x, map_, filled)
        mine = areas(found.score[name], 2.0)
        np.testing.assert_allclose(mine, [morf / 2, lerf / 2, (lerf - morf) / 2], atol=1e-6)


def test_a_map_of_the_true_effects_is_better_than_random_orders() -> None:
    loaded, x = built("digits")
    effects = np.zeros_like(x, dtype=np.float64)
    with torch.no_grad():
        whole = loaded.path(torch.from_numpy(x)).double().numpy()
        for mask in patch_masks(x.shape):
            after = loaded.path(torch.from_numpy(np.where(mask, np.float32(0), x))).double().numpy()
            drop = (whole - whole.mean(axis=1, keepdims=True)) - (
                after - after.mean(axis=1, keepdims=True)
            )
            patch = np.broadcast_to(mask, x.shape)
            effects += (
                patch * drop[np.arange(len(x)), whole.argmax(axis=1)][:, None, None, None]
            ) / mask.sum()
    curves, _ = measured(loaded, x, {"effects": effects, "negated": -effects}, 0.0)
    abpc, negated = (areas(curves.score[name])[2] for name in ("effects", "negated"))
    (_, _, of_random), (low, high) = random_areas(curves.score[RANDOM])
    assert (abpc > of_random).all()
    assert abpc.mean() > 3 * high
    np.testing.assert_allclose(negated, -abpc, atol=1e-12)
    np.testing.assert_allclose(low, -high, atol=1e-12)
    assert curves.score[RANDOM].shape[0] == ORDERS
    assert curves.policy is not None
    assert areas(curves.policy["effects"])[2].mean() > 0


def test_nothing_is_measured_where_nothing_changes() -> None:
    loaded, x = built("digits")
    curves, _ = measured(loaded, np.full_like(x, 0.5), {"rule": x}, 0.5)
    assert curves.score_range == 0
    assert curves.forwards == len(x)  # of nothing taken away, the whole is known
    curves, _ = measured(loaded, x, {"flat": np.zeros_like(x)}, 0.5)
    assert areas(curves.score["flat"])[2].tolist() == [0] * len(x)


def test_what_is_left_is_given_to_the_network_once() -> None:
    loaded, x = built("digits")
    calls: list[int] = []
    handle = loaded.explained.register_forward_hook(
        lambda _, given, __: calls.append(len(given[0]))
    )
    relevance = explain(loaded, x, Question(contrast="mean")).relevance
    calls.clear()
    once, _ = measured(loaded, x, {"rule": relevance}, "blurred")
    assert sum(calls) == once.forwards + len(x)  # the weights of the score take one more
    twice, _ = measured(loaded, x, {"rule": relevance, "again": relevance}, "blurred")
    handle.remove()
    assert twice.forwards == once.forwards
    # Ends are shared, and random orders are their own reverse.
    assert once.forwards <= len(x) * (2 + (2 + ORDERS) * 48)
    np.testing.assert_array_equal(twice.score["rule"], twice.score["again"])


def test_edges_are_those_of_scipy() -> None:
    from scipy.ndimage import sobel

    pictures = digits()[0][:3]
    for picture, found in zip(pictures.astype(float), edges(pictures), strict=True):
        expected = np.hypot(*(sobel(picture[0], axis, mode="nearest") for axis in (0, 1)))
        np.testing.assert_allclose(found[0], expected, atol=1e-12)
