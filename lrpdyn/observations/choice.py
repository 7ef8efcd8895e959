"""Chooses among many observations: by number, at random, or those that differ most."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lrpdyn.errors import UsageError
from lrpdyn.files.nearby import did_you_mean
from lrpdyn.files.streamed import Samples, pieces

#: The name of the choice that needs a network's outputs.
HIGHLIGHTS = "highlights"


def choose(
    values: Samples,
    samples: str | Sequence[int] | None,
    select: str | None,
    seed: int,
) -> list[int]:
    """Return the indices of the observations that are explained.

    Parameters
    ----------
    values
        All observations, (N, ...).
    samples
        ``0,3,7`` or ``0-3``.
    select
        ``spread:K``: K that differ most, by farthest-point traversal in pixel space (Gonzalez
        1985), from one drawn at random. ``random:K``: K drawn at random. ``highlights:K`` is
        `highlights`, for which a network is needed. All where neither is given.
    seed
        Of the random numbers.

    Raises
    ------
    UsageError
        There are not so many observations, or not so many that differ.

    Examples
    --------
    >>> choose(np.zeros((8, 2)), "0-2,5", select=None, seed=0)
    [0, 1, 2, 5]
    """
    if select is None:
        return list(range(len(values))) if samples is None else _numbered(samples, len(values))
    if samples is not None:
        raise UsageError("--samples and --select: give one of them")
    found = _parse_select(select)
    count = int(found[2])
    _check_enough(values, count, select)
    if found[1] == HIGHLIGHTS:
        raise UsageError(
            f"--select {select}: needs the outputs of a run's last checkpoint; compute has them"
        )
    generator = np.random.default_rng(seed)
    if found[1] == "random":
        return sorted(generator.choice(len(values), count, replace=False).tolist())
    return _spread(values, count, int(generator.integers(len(values))))


def highlights_in(select: str | None) -> int | None:
    """Return the K of ``highlights:K``, None of anything else."""
    found = None if select is None else _parse_select(select)
    return int(found[2]) if found is not None and found[1] == HIGHLIGHTS else None


def highlights(values: Samples, importance: NDArray[np.float64], count: int) -> list[int]:
    """Return the indices of the observations that matter most and differ (HIGHLIGHTS-DIV).

    The most important first, those are taken that are not nearer to one taken before than a threshold, in
    pixel space: a tenth of all pairs is nearer (of 256 observations at most, evenly spaced). Where too few
    are that far apart, the threshold is halved until there are enough. After Amir & Amir 2018, "HIGHLIGHTS:
    Summarizing Agent Behavior to People", and Huber et al. 2021.

    Parameters
    ----------
    values
        All observations, (N, ...).
    importance
        The gap between the best and the worst output, (N,); of equal ones the first counts.

    Raises
    ------
    UsageError
        There are not so many observations, or not so many that differ.
    """
    select = f"{HIGHLIGHTS}:{count}"
    _check_enough(values, count, select)
    some = np.unique(np.linspace(0, len(values) - 1, 256).round().astype(int))
    pairs = np.stack([_distances(values, int(one))[some] for one in some])
    apart = pairs[np.triu_indices(len(some), 1)]
    threshold = float(np.quantile(apart, 0.1)) if apart.size else 0.0
    order = np.argsort(-importance, kind="stable").tolist()
    least = float(np.min(apart[apart > 0], initial=threshold))
    while True:
        chosen: list[int] = []
        nearest = np.full(len(values), np.inf)
        for index in order:
            if len(chosen) < count and nearest[index] > 0 and nearest[index] >= threshold:
                chosen.append(index)
                nearest = np.minimum(nearest, _distances(values, index))
        if len(chosen) == count:
            return sorted(chosen)
        if threshold < least / 4:
            raise UsageError(
                f"--select {select}: only {len(chosen)} of the {len(values)} observations differ"
            )
        threshold /= 4  # squared distances


def _check_enough(values: Samples, count: int, select: str) -> None:
    if count > len(values):
        raise UsageError(f"--select {select}: there are only {len(values)} observations")


def check_choice(samples: str | Sequence[int] | None, select: str | None) -> None:
    """Raise UsageError where ``--samples`` or ``--select`` are not what these take."""
    if select is not None:
        _parse_select(select)
    for part in samples.split(",") if isinstance(samples, str) else ():
        _parse_range(part, samples)


def _parse_select(select: str) -> re.Match[str]:
    found = re.fullmatch(rf"(spread|random|{HIGHLIGHTS}):([1-9]\d{{0,8}})", select)
    if found is None:
        raise UsageError(
            f"--select {select}: expected spread:K, random:K or {HIGHLIGHTS}:K, such as spread:4"
            + did_you_mean(select.partition(":")[0], ("spread", "random", HIGHLIGHTS))
        )
    return found


def _parse_range(part: str, samples: object) -> tuple[int, int]:
    found = re.fullmatch(r"\s*(\d{1,9})(?:-(\d{1,9}))?\s*", part)
    if found is None:
        raise UsageError(f"--samples {samples}: expected numbers such as 0,3,7 or 0-3")
    return int(found[1]), int(found[2] or found[1])


def _spread(values: Samples, count: int, first: int) -> list[int]:
    chosen = [first]
    nearest = _distances(values, first)
    while len(chosen) < count:
        farthest = int(nearest.argmax())
        if nearest[farthest] == 0:
            raise UsageError(
                f"--select spread:{count}: only {len(chosen)} of the {len(values)} observations differ"
            )
        chosen.append(farthest)
        nearest = np.minimum(nearest, _distances(values, farthest))
    return sorted(chosen)


def _distances(values: Samples, index: int) -> NDArray[np.float64]:
    """Return the squared Euclidean distance of each observation to one of them."""
    center = values[index : index + 1].astype(np.float64).ravel()
    found = [
        ((piece.reshape(len(piece), -1).astype(np.float64) - center) ** 2).sum(axis=1)
        for piece in pieces(values)
    ]
    return np.concatenate(found)


def _numbered(samples: str | Sequence[int], count: int) -> list[int]:
    indices: list[int] = []
    for part in samples.split(",") if isinstance(samples, str) else map(str, samples):
        first, last = _parse_range(part, samples)
        if last >= count:
            indices = [last]
            break
        indices += range(first, last + 1)
    wrong = [index for index in indices if index >= count]
    if wrong or not indices or len(set(indices)) < len(indices):
        raise UsageError(
            f"--samples {samples}: expected different numbers from 0 to {count - 1}, for there are "
            f"{count} observations"
        )
    return indices
