"""Which causes an entry of the report has, each with its share or its evidence; and all pathologies.

The change of one cell is also split into growth and change of shape. What no cause explains is called
unexplained.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lrpdyn.outliers.causes import CAUSES, Cause
from lrpdyn.outliers.criteria import Criteria
from lrpdyn.outliers.facts import Truths

#: The share of a sum of changes in which a cause has to be present to be listed.
LEAST_SHARE = 0.05
#: What a checkpoint has, both its transitions have.
BOTH_WAYS = ("checkpoint", "sample of a step")


def named(name: str, share: float | None, evidence: str) -> dict[str, Any]:
    """Return one cause as it stands in the report."""
    return {"cause": name, "share": share, "evidence": evidence}


class EntryCauses:
    """The causes of the entries of a report on T transitions of N samples."""

    def __init__(self, known: Criteria) -> None:
        self._known = known
        changes, score = known.changes, known.steps.score
        #: Where a map turned round although its score kept its sign.
        self._turned = (changes.scale_factor < 0) & (known.before(score) * known.after(score) > 0)
        self._growth = changes.growth_share
        #: Of each cause where it is present, in its own shape, and in which cells, (T, N).
        self._present = {cause: cause.present(known) for cause in CAUSES if cause.present}
        self._cells = {cause: self._in_cells(cause, at) for cause, at in self._present.items()}
        grew = self._growth >= 0.5
        self._explained = np.logical_or.reduce([grew, *self._cells.values()])

    def _in_cells(self, cause: Cause, found: Truths) -> Truths:
        """Return the transitions of samples (T, N) that have a cause."""
        if cause.where in BOTH_WAYS:
            found = self._known.at_either_end(found)
        elif cause.where == "step":
            found = self._known.after(found)
        cells = found if found.ndim == 2 else found[:, None]
        return np.broadcast_to(cells, self._known.changes.change.shape)

    def of_cell(self, transition: int, sample: int) -> list[dict[str, Any]]:
        """Return the causes of the change of one sample in one transition."""
        found = [
            self._at_cell(cause, transition, sample)
            for cause, cells in self._cells.items()
            if cells[transition, sample]
        ]
        found += self._split(transition, sample)
        if not self._explained[transition, sample]:
            found.append(named("unexplained", None, "none of the known causes is present"))
        return found

    def _at_cell(self, cause: Cause, transition: int, sample: int) -> dict[str, Any]:
        places: list[tuple[int, ...]]
        if cause.where == "cell":
            places = [(transition, sample)]
        elif cause.where == "transition":
            places = [(transition,)]
        else:
            ends = self._known.ends(transition)
            places = [(ends[1],)]
            if cause.where in BOTH_WAYS:
                of = (sample,) if cause.where == "sample of a step" else ()
                places = [(end, *of) for end in ends if self._present[cause][(end, *of)]]
        found = [cause.evidence(self._known, *place) for place in places]
        share, words = found[0] if isinstance(found[0], tuple) else (None, "; ".join(found))
        return named(cause.name, share, words)

    def _split(self, transition: int, sample: int) -> list[dict[str, Any]]:
        """Return how much of a change is growth and how much a change of shape, the larger first."""
        known = self._known
        share = float(self._growth[transition, sample])
        if not np.isfinite(share):
            return []
        before, after = (known.steps.score[end, sample] for end in known.ends(transition))
        growth = f"score {before:.3g} -> {after:.3g}"
        growth += f", x {after / before:.3g}" if before else ""
        if self._turned[transition, sample]:
            factor = known.changes.scale_factor[transition, sample]
            text = f"the map turned round, x {factor:.3g} along its own direction, at {growth}"
            return [named("shape_change", 1.0, text)]
        return _larger_first(share, growth, "the explanation itself moved")

    def of_many(self, cells: tuple[Any, Any], what: str) -> list[dict[str, Any]]:
        """Return the causes of a transition of all samples, or of all transitions of a sample.

        `cells` are their places in (T, N), and `what` is "samples" or "transitions". The share of a
        cause is that of the change in the cells where it is present; of growth and shape, the mean of
        their shares, weighted by the change.
        """
        change = self._known.changes.change[cells]
        total = float(change.sum())
        if total == 0:
            return []
        found = []
        for cause, everywhere in self._cells.items():
            present = everywhere[cells]
            share = float(change[present].sum()) / total
            if not present.any() or share < LEAST_SHARE:
                continue
            if what == "samples" and cause.where == "transition":
                text = cause.evidence(self._known, cells[0])
            else:
                text = f"in {int(present.sum()):,} of {present.size:,} {what}"
            found.append(named(cause.name, share, text))
        growth = float((np.nan_to_num(self._growth[cells]) * change).sum()) / total
        found += _larger_first(growth, *(f"mean over its {what}",) * 2)
        without = float(change[~self._explained[cells]].sum()) / total
        if without >= 0.5:
            text = "no known cause in this share of the change"
            found.append(named("unexplained", without, text))
        return found


def _larger_first(growth: float, of_growth: str, of_shape: str) -> list[dict[str, Any]]:
    split = [
        named("score_growth", growth, of_growth),
        named("shape_change", 1 - growth, of_shape),
    ]
    return sorted(split, key=lambda entry: -entry["share"])


def pathologies(known: Criteria) -> list[dict[str, Any]]:
    """Return what is wrong by itself: what all samples share first, then by cause, the strongest first."""
    found = [
        {
            "where": where,
            "value": value,
            "fence_mild": None,
            "fence_far": None,
            "severity": "none",
            "causes": [named(cause.name, None, evidence)],
        }
        for cause in CAUSES
        if cause.pathologies
        for where, value, evidence in cause.pathologies(cause, known)
    ]
    return sorted(found, key=lambda entry: "sample" in entry["where"])
