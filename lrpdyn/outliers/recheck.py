"""Which steps are looked at more closely: those of flagged transitions and of pathologies."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from lrpdyn.observations.checked_samples import MOST_CHECKED, evenly_spaced
from lrpdyn.outliers import criteria
from lrpdyn.outliers.causes import Criteria
from lrpdyn.outliers.facts import Truths, Wanted
from lrpdyn.outliers.fences.fences import fences
from lrpdyn.outliers.fences.population import Population

#: Steps that are looked at, at most: each costs as much as explaining it did.
MOST_STEPS = 200
#: Steps that tell what is usual.
USUAL_STEPS = 8
#: |R| over |score| that is this many times the run's usual is looked at for unstable denominators.
AMPLIFIED = 5.0


def wanted(
    known: Criteria, by_kind: Mapping[str, Population], strongest: Mapping[str, Sequence[int]]
) -> Wanted:
    """Choose the steps whose checkpoints are loaded once more.

    Parameters
    ----------
    strongest
        The places of the strongest values of each population, strongest first.
    """
    steps, changes = known.facts.steps, known.facts.changes
    samples = changes.change.shape[1]
    chosen: dict[int, dict[int, None]] = {}
    flips: dict[int, dict[int, None]] = {}
    flipped = known.masks["action_flip"]
    for kind, width in (("cells", samples), ("steps", 1)):
        beyond = by_kind[kind].is_mild.ravel()
        for place in strongest[kind]:
            if not beyond[place]:
                continue
            transition = place // width
            those = {place % width: None} if kind == "cells" else {}
            for end in (int(changes.before[transition]), int(changes.after[transition])):
                chosen.setdefault(end, {}).update(those)
            changed = flips.setdefault(transition, {})
            changed |= {n: None for n in those or range(samples) if flipped[transition, n]}
    wrong = known.vanished | known.unstable | known.lost | amplified(known)
    for end in np.flatnonzero(wrong.any(axis=1)).tolist():
        chosen.setdefault(end, {}).update(dict.fromkeys(np.flatnonzero(wrong[end]).tolist()))
    places = [place for place in chosen if steps.finite[place]][:MOST_STEPS]
    finite = np.flatnonzero(steps.finite)
    spread = finite[
        np.linspace(0, len(finite) - 1, min(USUAL_STEPS, len(finite))).round().astype(int)
    ]
    looked = set(places)
    return Wanted(
        tuple(places),
        tuple(int(place) for place in spread) if places else (),
        {
            transition: _fewer(those)
            for transition, those in flips.items()
            if those and int(changes.after[transition]) in looked
        },
        {place: _fewer(chosen[place]) for place in places},
    )


def _fewer(those: Collection[int]) -> tuple[int, ...]:
    """Return the samples in order; of more than `MOST_CHECKED` the first half, the rest spread.

    The first are those of the strongest cells.
    """
    first, rest = list(those)[: MOST_CHECKED // 2], sorted(list(those)[MOST_CHECKED // 2 :])
    spread = evenly_spaced(len(rest), MOST_CHECKED - len(first))
    return tuple(sorted([*first, *(rest[place] for place in spread)]))


def amplified(known: Criteria) -> Truths:
    """Tell where |R| is far more than the score than is usual, (S, N)."""
    steps = known.facts.steps
    size = np.abs(steps.score)
    usable = np.isfinite(size) & (size > 0) & ~criteria.near_zero(steps)
    ratio = np.where(usable, steps.relevance_l1 / np.where(usable, size, 1.0), np.nan)
    ratios = ratio[np.isfinite(ratio)]
    if not ratios.size:
        return np.zeros(ratio.shape, dtype=bool)
    far = fences(ratios).far
    least = max(AMPLIFIED * float(np.median(ratios)), np.inf if far is None else far)
    found: Truths = ratio > least
    return found
