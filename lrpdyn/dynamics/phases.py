"""Phases of training: stretches in which the network looks at the same things.

Each step is a vector of what the network looks at: the shares and effects of regions where regions are given,
else the L1-normalised map of a mean sample, summed over coarse patches. The vectors are cut where
their mean changes, by an exact search for the least sum of squared distances from the means of the
phases. What drifts steadily has no phases, and is not cut.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.dynamics.changepoints import cut_into, means_of_stretches
from lrpdyn.dynamics.measures import pixels

Floats = NDArray[np.float64]

#: Fewer steps than this are too few to tell a phase from chance.
FEWEST_STEPS = 10
#: A phase lasts at least this many steps.
SHORTEST = 3
MOST_PHASES = 6
#: Of more steps than this, means of so many successive stretches are cut: an exact search takes the
#: square of their number.
MOST_STEPS = 2000
#: What a border has to gain, over what the Bayesian criterion asks: with it, random walks, which have
#: no phases, are cut in at most 17 of 100 series of 12 to 400 steps (with 1: in 20 to 100).
CAUTION = 1.4
RESAMPLES = 100
#: A border that fewer resamples than this put within a step of it is not reported.
LEAST_SURE = 0.5


@dataclass(frozen=True, kw_only=True)
class Phases:
    """The first step of each phase but the first, and how sure each border is.

    `sure` is the share of resamples that put a border within one checkpoint of it. `why` says why
    there are none, where there are none.
    """

    why: str
    borders: tuple[int, ...] = ()
    sure: tuple[float, ...] = ()
    explained: float = 0.0

    def as_data(self, steps: NDArray[np.int64]) -> dict[str, Any]:
        """Return plain data for the report; `steps` (S,) are those of the vectors."""
        return {
            "borders": [
                {"step": int(steps[border]), "sure": sure}
                for border, sure in zip(self.borders, self.sure, strict=True)
            ],
            "explained": self.explained,
            "why": self.why,
        }


def find_phases(vectors: Floats) -> Phases:
    """Cut a series into phases.

    Parameters
    ----------
    vectors
        (S, D), what the network looks at in each step; columns are brought to one scale.

    Returns
    -------
    Phases
        Up to six. Their number is the one with the least Bayesian criterion (Yao 1988), among
        phases and a straight line: where the line is better, training drifts. Borders are kept
        where at least half of 100 resamples of the residuals, in blocks, put them within one
        checkpoint. Of more than `MOST_STEPS`, borders are those of stretches of equal length.
    """
    length = -(-len(vectors) // MOST_STEPS)
    if length > 1:
        found = find_phases(means_of_stretches(vectors, length))
        return replace(found, borders=tuple(border * length for border in found.borders))
    values = _scaled(vectors)
    if len(values) < FEWEST_STEPS:
        return Phases(why=f"{len(values)} steps, fewer than {FEWEST_STEPS}: too few to say")
    total = float(((values - values.mean(axis=0)) ** 2).sum())
    if total == 0:
        return Phases(why="nothing changes")
    cuts = dict(enumerate(cut_into(values, MOST_PHASES, SHORTEST), start=1))
    rest = {count: _rest(values, of) for count, of in cuts.items()}
    size = _independent_values(values, cuts[max(cuts)])
    criteria = {
        count: _criterion(rest[count], size, len(values), count, count - 1) for count in cuts
    }
    best = min(criteria, key=lambda count: criteria[count])
    if _criterion(_rest_of_line(values), size, len(values), 2, 0) < criteria[best]:
        return Phases(why="it drifts steadily: a straight line describes it better")
    if best == 1:
        return Phases(why="one phase: no change of level is worth a border")
    sure = _sure(values, cuts[best])
    kept = [(b, s) for b, s in zip(cuts[best], sure, strict=True) if s >= LEAST_SURE]
    return Phases(
        why="" if kept else "borders move when the steps are resampled: none is sure",
        borders=tuple(b for b, _ in kept),
        sure=tuple(s for _, s in kept),
        explained=1 - rest[best] / total,
    )


def _scaled(vectors: Floats) -> Floats:
    """Bring columns to unit variance as a whole: what hardly varies stays small."""
    values = np.asarray(vectors, dtype=np.float64)
    values = values[:, np.isfinite(values).all(axis=0)] if len(values) else values
    spread = float(np.sqrt(values.var(axis=0).sum())) if values.size else 0.0
    return values / spread if spread > 0 else values - values


def _levels(values: Floats, borders: tuple[int, ...]) -> Floats:
    """Return the mean of each step's phase, (S, D)."""
    parts = np.split(values, borders)
    return np.concatenate([np.broadcast_to(part.mean(axis=0), part.shape) for part in parts])


def _rest(values: Floats, borders: tuple[int, ...]) -> float:
    return float(((values - _levels(values, borders)) ** 2).sum())


def _rest_of_line(values: Floats) -> float:
    time = np.arange(len(values)) - (len(values) - 1) / 2
    slope = time @ values / (time @ time)
    fitted = values.mean(axis=0) + time[:, None] * slope
    return float(((values - fitted) ** 2).sum())


def _independent_values(values: Floats, finest: tuple[int, ...]) -> tuple[float, float]:
    """Return how many independent columns and steps the values are worth.

    Columns move together: counted are as many as would vary alike and give the same covariance (the
    participation ratio of its eigenvalues). So do neighbouring steps: with r the correlation of the
    finest cut's residuals with the next ones, S steps are worth S (1 - r) / (1 + r).
    """
    centred = values - values.mean(axis=0)
    # Both products have the same trace and norm; of thousands of steps one is far too large.
    gram = centred.T @ centred if len(values) > values.shape[1] else centred @ centred.T
    columns = float(np.trace(gram)) ** 2 / float((gram * gram).sum())
    residuals = values - _levels(values, finest)
    square = float((residuals * residuals).sum())
    alike = float((residuals[1:] * residuals[:-1]).sum()) / square if square > 0 else 0.0
    # A mean that is fitted to a few steps makes what is left of them unlike: not less than none.
    alike = min(max(alike + len(finest) / len(values), 0.0), 0.95)
    return columns, len(values) * (1 - alike) / (1 + alike)


def _criterion(
    rest: float, size: tuple[float, float], steps: int, means: int, places: int
) -> float:
    """Return the Bayesian criterion of a description of the series by its residuals.

    `size` is what `_independent_values` gives, `means` the vectors that were fitted, `places` the
    borders that were chosen.
    """
    columns, independent = size
    variance = max(rest, 1e-12) / (steps * columns)
    parameters = means * columns + places
    return independent * columns * float(np.log(variance)) + CAUTION * parameters * float(
        np.log(independent * columns)
    )


def _sure(values: Floats, borders: tuple[int, ...]) -> list[float]:
    """Return, for each border, the share of resamples with a border within one step of it.

    A resample is the level of each phase and residuals drawn anew in blocks, since neighbours are
    alike; drawn by a generator of a fixed seed.
    """
    generator = np.random.default_rng(0)
    levels = _levels(values, borders)
    residuals = values - levels
    found = np.zeros(len(borders))
    for _ in range(RESAMPLES):
        drawn = levels + _blocks(residuals, generator)
        again = cut_into(drawn, len(borders) + 1, SHORTEST)[-1]
        found += [any(abs(border - other) <= 1 for other in again) for border in borders]
    return [float(count / RESAMPLES) for count in found]


def _blocks(residuals: Floats, generator: np.random.Generator) -> Floats:
    steps = len(residuals)
    starts = generator.integers(0, steps, size=steps // SHORTEST + 1)
    places = (starts[:, None] + np.arange(SHORTEST)).ravel()[:steps] % steps
    drawn: Floats = residuals[places]
    return drawn


def outline(maps: NDArray[np.floating], patches: int = 7) -> Floats:
    """Return each sample's L1-normalised map over a coarse grid, (N, patches squared).

    Of maps (N, C, H, W) or (N, T, C, H, W); of (N, F), over as many groups of features. NaN where there
    is no map.
    """
    size: Floats = np.abs(np.asarray(maps, dtype=np.float64))
    size = pixels(size)
    # The pictures of a sequence lie one below the other.
    size = size[:, None] if size.ndim == 2 else size.reshape(len(size), -1, size.shape[-1])
    rows, columns = (min(patches, length) for length in size.shape[1:])
    if size.shape[1] == 1:
        columns = min(patches**2, size.shape[2])
    down = [chunk[0] for chunk in np.array_split(np.arange(size.shape[1]), rows)]
    right = [chunk[0] for chunk in np.array_split(np.arange(size.shape[2]), columns)]
    coarse: Floats = np.add.reduceat(np.add.reduceat(size, down, axis=1), right, axis=2)
    flat = coarse.reshape(len(coarse), -1)
    total = flat.sum(axis=1, keepdims=True)
    return np.where(total > 0, flat / np.where(total > 0, total, 1.0), np.nan)


def mean_outline(outlines: Floats) -> Floats:
    """Return the `outline` of a mean sample, (patches squared,); NaN where no sample has a map."""
    there = ~np.isnan(outlines).any(axis=1)
    if not there.any():
        return np.full(outlines.shape[1], np.nan)
    found: Floats = outlines[there].mean(axis=0)
    return found
