"""Whether maps say what matters: the score while patches are taken away, most or least relevant first.

A patch that is taken away becomes the fill (`lrpdyn.observations.fills`). Samek et al. 2017, "Evaluating the
visualization of what a deep neural network has learned"; the area between both curves: Blücher et al.
2024, "Decoupling pixel flipping and occlusion strategy for consistent XAI benchmarks".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lrpdyn.diagnostics.occlusion import distance, gradient
from lrpdyn.explain.explanation import Question, outputs_of, rows_of
from lrpdyn.explain.loaded import LoadedNetwork
from lrpdyn.explain.model import batches
from lrpdyn.observations.regions import Mask

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: The names of the maps of the run's rule, and of what is taken away in random orders.
RULE, RANDOM = "rule", "random"
#: Random orders: half of them drawn, the other half the same ones backwards, so that they favour none.
ORDERS = 10
#: What 5 and 95 % of the random orders lie below.
_BAND = (0.05, 0.95)


@dataclass(frozen=True, kw_only=True)
class Curves:
    """The curves of m samples while P patches are taken away one after the other.

    Attributes
    ----------
    score
        By map: the explained score after 0..P patches, (2, m, P + 1), most relevant first and least
        relevant first. ``random`` has those of each order, (orders, 2, m, P + 1).
    policy
        The same of 1 - the Jensen-Shannon distance to the whole observation's prediction; None of a
        head that predicts no distribution.
    forwards
        How many observations the network was given.
    """

    score: dict[str, Floats]
    policy: dict[str, Floats] | None
    forwards: int

    @property
    def score_range(self) -> float:
        """The median over samples of |score of the whole - score with all patches taken away|."""
        curves = next(iter(self.score.values()))  # all orders begin and end alike
        of_one_order = curves.reshape(-1, *curves.shape[-2:])[0]
        return float(np.median(np.abs(of_one_order[:, -1] - of_one_order[:, 0])))


def area(curves: Floats) -> Floats:
    """Return the mean of curves (..., P + 1) over 0..P, by the trapezoidal rule, (...).

    >>> area(np.array([4.0, 1.0, 0.0])).item()
    1.5
    """
    found: Floats = (curves[..., 1:] + curves[..., :-1]).mean(axis=-1) / 2
    return found


def areas(curves: Floats, divisor: float = 1.0) -> tuple[Floats, Floats, Floats]:
    """Return morf, lerf and abpc = lerf - morf of curves (..., 2, m, P + 1), each (..., m).

    `divisor` is the score's range; of random orders, see `random_areas`.
    """
    both = area(curves) / divisor
    morf, lerf = both[..., 0, :], both[..., 1, :]
    return morf, lerf, lerf - morf


def random_areas(
    curves: Floats, divisor: float = 1.0
) -> tuple[tuple[Floats, Floats, Floats], tuple[float, float]]:
    """Return the means over random orders of `areas`, and the band of their abpc.

    The band is what 5 and 95 % of the orders lie below, each order's abpc the mean over samples.
    """
    found = areas(curves, divisor)
    morf, lerf, abpc = (values.mean(axis=0) for values in found)
    low, high = np.quantile(found[2].mean(axis=1), _BAND).tolist()
    return (morf, lerf, abpc), (low, high)


def measure(
    loaded: LoadedNetwork,
    observations: NDArray[np.float32],
    question: Question,
    maps: Mapping[str, NDArray[Any]],
    filled: NDArray[np.float32],
    masks: Mask,
    random_orders: int = ORDERS,
) -> Curves:
    """Return the curves of each map, and of random orders, which are the same for the same m and P.

    Parameters
    ----------
    question
        Its targets are those that were explained; the score stays that of the whole observation.
    maps
        By name, (m, ...) each: patches are ordered by their sums, with the sign; equal ones keep
        the order of the grid, first and last alike.
    filled
        What each entry becomes, in the shape of the observations (`lrpdyn.observations.fills.Fill.of`).
    masks
        The P patches, (P, m, ...), or of length 1 where all samples, frames or channels have the same
        (`lrpdyn.diagnostics.occlusion.patch_masks`, stacked).
    random_orders
        How many, an even number; with 0 there is no ``random`` among the curves.
    """
    count, patches = len(observations), len(masks)
    orders = {
        name: np.stack([np.argsort(sign * sums, axis=1, kind="stable") for sign in (-1, 1)])
        for name, sums in ((name, patch_sums(values, masks)) for name, values in maps.items())
    }
    flat = [orders[name][way] for name in orders for way in (0, 1)]
    flat += _random_orders(random_orders, count, patches)
    taken = _taken_away(np.stack(flat))
    plain, units = outputs_of(loaded, observations), loaded.model.units
    weights = _score_weights(loaded, observations, question)
    whole = units.predictions(plain)
    gives_policy = units.give_probabilities(plain.shape[1])
    score, policy = np.empty(taken.shape[:3]), np.empty(taken.shape[:3])
    forwards = count
    for n in range(count):
        there = masks[:, n if masks.shape[1] > 1 else 0]
        outputs, passes = _outputs(
            loaded, n, observations[n], filled[n], there, taken[:, n], plain[n]
        )
        forwards += passes
        score[:, n] = outputs @ weights[n]
        if gives_policy:
            after = units.predictions(outputs).reshape(-1, whole.shape[1])
            before = np.broadcast_to(whole[n], after.shape)
            away = distance(before, after, probabilities=True)
            policy[:, n] = 1 - away.reshape(policy[:, n].shape)

    def named(curves: Floats) -> dict[str, Floats]:
        found = {name: curves[2 * k : 2 * k + 2] for k, name in enumerate(orders)}
        if random_orders:
            drawn = curves[2 * len(orders) :]
            # Most relevant first is an order, least relevant first the same one backwards.
            backwards = np.roll(drawn, random_orders // 2, axis=0)
            found[RANDOM] = np.stack([drawn, backwards], axis=1)
        return found

    return Curves(
        score=named(score), policy=named(policy) if gives_policy else None, forwards=forwards
    )


def yardsticks(
    loaded: LoadedNetwork,
    observations: NDArray[np.float32],
    question: Question,
    filled: NDArray[np.float32],
) -> dict[str, NDArray[Any]]:
    """Return maps (m, ...) that know little or nothing of the network, to compare others with.

    ``gradient_x_input``; ``edges`` of the picture, without which features do; and ``difference``, by
    how much the fill changes each entry.
    """
    found: dict[str, NDArray[Any]] = {
        "gradient_x_input": gradient(loaded, observations, question) * observations
    }
    if observations.ndim > 3:
        found["edges"] = edges(observations)
    return {**found, "difference": np.abs(observations.astype(np.float64) - filled)}


def edges(pictures: NDArray[np.float32]) -> Floats:
    """Return the size of Sobel's gradient in each channel of pictures (m, ..., H, W)."""
    padding = [(0, 0)] * (pictures.ndim - 2) + [(1, 1)] * 2
    x = np.pad(pictures.astype(np.float64), padding, mode="edge")
    smooth = x[..., :-2, :] + 2 * x[..., 1:-1, :] + x[..., 2:, :]
    across = smooth[..., 2:] - smooth[..., :-2]
    smooth = x[..., :-2] + 2 * x[..., 1:-1] + x[..., 2:]
    down = smooth[..., 2:, :] - smooth[..., :-2, :]
    return np.hypot(across, down)


def patch_sums(maps: NDArray[Any], masks: Iterable[Mask]) -> Floats:
    """Return the sum of each map over each patch, (m, P)."""
    values = maps.astype(np.float64)
    axes = tuple(range(1, maps.ndim))
    return np.stack([np.where(mask, values, 0.0).sum(axis=axes) for mask in masks], axis=1)


def _random_orders(count: int, samples: int, patches: int) -> list[Integers]:
    """Return the random orders of all samples, (samples, patches) each, and the same backwards."""
    start = np.tile(np.arange(patches), (count // 2, samples, 1))
    drawn = list(np.random.default_rng(0).permuted(start, axis=2))
    return [*drawn, *(order[:, ::-1] for order in drawn)]


def _taken_away(orders: Integers) -> NDArray[np.bool_]:
    """Return which patches are away after 0..P of them: of (L, m, P) orders (L, m, P + 1, P)."""
    ranks = np.argsort(orders, axis=-1)[..., None, :]
    return ranks < np.arange(orders.shape[-1] + 1)[:, None]


def _score_weights(
    loaded: LoadedNetwork, observations: NDArray[np.float32], question: Question
) -> Floats:
    """Return the weights of the outputs in each sample's score, (m, K)."""
    found = []
    with torch.no_grad():
        for chosen, x in batches(loaded.model, observations):
            rows = rows_of(loaded, x, question.part(chosen), loaded.explained(x))
            found.append(rows.cpu().double().numpy())
    return np.concatenate(found)


def _outputs(
    loaded: LoadedNetwork,
    sample: int,
    observation: NDArray[np.float32],
    filled: NDArray[np.float32],
    masks: Mask,
    taken: NDArray[np.bool_],
    plain: Floats,
) -> tuple[Floats, int]:
    """Return the outputs (L, P + 1, K) of one sample, and how many forward passes they took.

    Patches that the fill does not change make no difference, and what is left of an observation is
    given to the network once, however many orders lead there.
    """
    changed = (masks & (observation != filled)).reshape(len(masks), -1).any(axis=1)
    wanted = taken[..., changed].reshape(taken.shape[0] * taken.shape[1], -1)
    states, places = np.unique(wanted, axis=0, return_inverse=True)
    found = np.empty((len(states), len(plain)))
    found[0] = plain  # nothing is away
    size, of_patches = loaded.model.batch_size, masks[changed]
    for start in range(1, len(states), size):
        part = states[start : start + size]
        away = np.zeros((len(part), *masks.shape[1:]), dtype=bool)
        for patch, is_away in zip(of_patches, part.T, strict=True):
            away[is_away] |= patch
        painted = np.where(away, filled, observation)
        found[start : start + size] = outputs_of(loaded.with_samples([sample] * len(part)), painted)
    return found[places.ravel()].reshape(*taken.shape[:2], -1), len(states) - 1
