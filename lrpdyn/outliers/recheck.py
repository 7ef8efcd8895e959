"""Which steps are checked again, layer by layer: those of flagged transitions and of pathologies."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from lrpdyn.observations.checked_samples import MOST_CHECKED, evenly_spaced
from lrpdyn.outliers.criteria import Criteria, far_above_usual
from lrpdyn.outliers.facts import Wanted
from lrpdyn.outliers.fences.population import Population

#: Steps that are checked again, at most: each costs as much as explaining it did.
MOST_STEPS = 200
#: Steps that show what is usual.
USUAL_STEPS = 8
#: |R| over |score| that is this many times the run's usual is checked for unstable denominators.
AMPLIFIED = 5.0


def wanted(
    known: Criteria, by_kind: Mapping[str, Population], strongest: Mapping[str, Sequence[int]]
) -> Wanted:
    """Return the steps whose checkpoints are loaded once more.

    Parameters
    ----------
    strongest
        The places of the strongest values of each population, strongest first.
    """
    steps, changes = known.facts.steps, known.facts.changes
    samples = changes.change.shape[1]
    chosen: dict[int, dict[int, None]] = {}
    flips: dict[int, dict[int, None]] = {}
    flipped = known.flips & known.facts.follows_preference
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
    amplified = far_above_usual(known.over_score(steps.relevance_l1), times=AMPLIFIED)
    wrong = known.vanished | known.unstable | known.not_conserved | amplified
    for end in np.flatnonzero(wrong.any(axis=1)).tolist():
        chosen.setdefault(end, {}).update(dict.fromkeys(np.flatnonzero(wrong[end]).tolist()))
    places = [place for place in chosen if steps.finite[place]][:MOST_STEPS]
    finite = np.flatnonzero(steps.finite)
    spread = finite[
        np.linspace(0, len(finite) - 1, min(USUAL_STEPS, len(finite))).round().astype(int)
    ]
    return Wanted(
        places=tuple(places),
        usual=tuple(int(place) for place in spread) if places else (),
        flips={
            transition: _fewer(those)
            for transition, those in flips.items()
            if those and int(changes.after[transition]) in places
        },
        samples={place: _fewer(chosen[place]) for place in places},
    )


def _fewer(those: Collection[int]) -> tuple[int, ...]:
    """Return the samples in order; of more than `MOST_CHECKED` the first half, the rest spread.

    The first are those of the strongest cells.
    """
    first, rest = list(those)[: MOST_CHECKED // 2], sorted(list(those)[MOST_CHECKED // 2 :])
    spread = evenly_spaced(len(rest), MOST_CHECKED - len(first))
    return tuple(sorted([*first, *(rest[place] for place in spread)]))
