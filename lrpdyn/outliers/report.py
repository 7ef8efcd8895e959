"""The outlier report as data: four populations, pathologies, shifts, and why."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np

from lrpdyn.dynamics.measures import pixels
from lrpdyn.dynamics.totals import Sums
from lrpdyn.observations.checked_samples import MOST_CHECKED, evenly_spaced
from lrpdyn.outliers.causes import CAUSES
from lrpdyn.outliers.criteria import Criteria, far_above_usual
from lrpdyn.outliers.entry_causes import EntryCauses, named, pathologies
from lrpdyn.outliers.facts import Evidence, Floats, RunFacts, Wanted
from lrpdyn.outliers.fences.population import LISTED, Population, entries, population, totals
from lrpdyn.outliers.fences.shifts import find_shifts, form
from lrpdyn.outliers.render import place as place_in_words

#: Transitions whose lengths differ by more than this factor are also compared per unit of step.
VARIES = 1.2
#: Steps that are checked again, at most: each costs as much as explaining it did.
MOST_STEPS = 200
#: Steps that show what is usual.
USUAL_STEPS = 8
#: |R| over |score| that is this many times the run's usual is checked for unstable denominators.
AMPLIFIED = 5.0


@dataclass(frozen=True, kw_only=True)
class Outliers:
    """The outliers of a run, before their causes are known.

    `populations` are the values with their fences, in the order of the report, `listed` has the strongest
    of each: the entries of the report and their places.
    """

    facts: RunFacts
    populations: dict[str, Population]
    listed: dict[str, tuple[list[dict[str, Any]], list[int]]]

    def wanted(self) -> Wanted:
        """Return the steps that need evidence by layer, whose checkpoints are loaded once more.

        Those are the steps of flagged transitions and of pathologies.
        """
        facts, steps, changes = self.facts, self.facts.steps, self.facts.changes
        if not changes.change.size:
            return Wanted(places=(), usual=(), flips={}, samples={})
        known = Criteria(facts)
        samples = changes.change.shape[1]
        chosen: dict[int, dict[int, None]] = {}
        flips: dict[int, dict[int, None]] = {}
        flipped = known.flips & facts.follows_preference
        for kind, width in (("cells", samples), ("steps", 1)):
            beyond = self.populations[kind].is_mild.ravel()
            for place in self.listed[kind][1]:
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


def find_outliers(facts: RunFacts) -> Outliers:
    """Return the outliers of a run."""
    change, shape = facts.changes.change, facts.relative.shape
    typical = np.median(change, axis=1) if change.size else np.zeros(0)
    samples = change.shape[1]
    names = _axes(facts)

    def pixel(place: int) -> dict[str, int]:
        index = np.unravel_index(place, shape)
        return {name: int(i) for name, i in zip(names, index, strict=True)}

    populations = {
        "steps": population(typical, partial(_ends, facts), rolls=True),
        "samples": population(change.sum(axis=0), lambda n: {"sample": n}),
        "pixels": population(facts.relative, pixel),
        "cells": population(
            change, lambda i: {**_ends(facts, i // samples), "sample": i % samples}, rolls=True
        ),
    }
    listed = {kind: entries(of) for kind, of in populations.items()}
    return Outliers(facts=facts, populations=populations, listed=listed)


def _axes(facts: RunFacts) -> tuple[str, ...]:
    """Return what the axes of pixels are called: (N, H, W), (N, F), and of sequences with T after N."""
    axes = ("time", "column") if facts.of_features_in_time else ("time", "row", "column")
    return ("sample", *axes[1 - len(facts.relative.shape) :])


def _ends(facts: RunFacts, transition: int) -> dict[str, int]:
    """Return where a transition is, as in the report."""
    step, changes = facts.steps.step, facts.changes
    before, after = changes.before[transition], changes.after[transition]
    return {"from_step": int(step[before]), "to_step": int(step[after])}


def build_report(outliers: Outliers, evidence: Evidence) -> dict[str, Any]:
    """Return the report as the plain data of ``outliers.json``: outliers and their causes.

    `evidence` is that of the steps that `Outliers.wanted` names; the entries of
    `outliers` are completed.
    """
    populations, listed = outliers.populations, outliers.listed
    known = Criteria(facts=outliers.facts, layers=evidence)
    causes = EntryCauses(known)
    samples = outliers.facts.changes.change.shape[1]
    for found, place in zip(*listed["cells"], strict=True):
        found["causes"] = causes.of_cell(*divmod(place, samples))
    for found, place in zip(*listed["samples"], strict=True):
        found["causes"] = causes.of_many((slice(None), place), "transitions")
    _of_pixels(outliers.facts, causes, *listed["pixels"])
    _per_unit(known, outliers)
    shifts = _of_steps(outliers.facts, causes, populations["steps"].values, *listed["steps"])
    wrong = pathologies(known)
    entries = [*wrong, *(entry for found, _ in listed.values() for entry in found)]
    found_causes = {cause["cause"] for entry in entries for cause in entry["causes"]}
    return {
        "schema": 1,
        "method": {
            "name": populations["cells"].whole.method,
            "populations": {
                "steps": "median over samples of the change of a transition",
                "samples": "sum over transitions of the change of a sample",
                "pixels": "relative dynamics: dynamics over sum |R_i|, channels summed",
                "cells": "change of one sample in one transition",
            },
        },
        "totals": {
            **{kind: totals(of, len(listed[kind][0])) for kind, of in populations.items()},
            "pathologies": {"values": len(wrong)},
        },
        **{kind: found for kind, (found, _) in listed.items()},
        "pathologies": wrong[:LISTED],
        "shifts": shifts,
        "advice": {c.name: c.advice for c in CAUSES if c.name in found_causes},
    }


def _per_unit(known: Criteria, outliers: Outliers) -> None:
    """Add to steps and cells how severe they are per unit of step, where spacing varies."""
    lengths = known.lengths
    if not lengths.size or lengths.max() <= VARIES * lengths.min():
        return
    for kind in ("steps", "cells"):
        of, (found, places) = outliers.populations[kind], outliers.listed[kind]
        shape = (-1, *(1,) * (of.values.ndim - 1))
        again = population(of.values / lengths.reshape(shape), of.where, rolls=True)
        severities = np.where(again.is_far, "far", np.where(again.is_mild, "mild", "none")).ravel()
        for one, place in zip(found, places, strict=True):
            one["severity_per_unit"] = str(severities[place])


def _of_steps(
    facts: RunFacts,
    causes: EntryCauses,
    typical: Floats,
    found: list[dict[str, Any]],
    places: list[int],
) -> list[dict[str, Any]]:
    """Fill in causes and form of the steps; return the shifts as they stand in the report."""
    shifts = find_shifts(typical)
    for one, place in zip(found, places, strict=True):
        one["causes"] = causes.of_many((place, slice(None)), "samples")
        beyond = one["fence_mild"]
        one["form"] = None if beyond is None else form(typical, shifts, place, beyond)
    return [
        {
            "step": int(facts.steps.step[facts.changes.before[shift.at]]),
            "before": shift.before,
            "after": shift.after,
        }
        for shift in shifts
    ]


def _of_pixels(
    facts: RunFacts, causes: EntryCauses, found: list[dict[str, Any]], places: list[int]
) -> None:
    """Fill in the causes of the pixels, sample by sample."""
    size = prod(facts.relative.shape[1:])
    of_samples: dict[int, list[int]] = {}
    for number, place in enumerate(places):
        of_samples.setdefault(place // size, []).append(number)
    for sample, numbers in sorted(of_samples.items()):
        sums = facts.sums(slice(sample, sample + 1))
        paths = pixels(sums.dynamics.astype(np.float64)).ravel()
        for number in numbers:
            pixel = places[number] % size
            path = float(paths[pixel])
            found[number]["causes"] = _of_pixel(facts, causes, sample, sums, pixel, path)


def _of_pixel(
    facts: RunFacts, causes: EntryCauses, sample: int, sums: Sums, pixel: int, path: float
) -> list[dict[str, Any]]:
    """Return the causes of a pixel: those of the transition in which most of its path lies."""
    if path == 0 or not facts.changes.change.size:
        return []
    transition = int(sums.largest_at.ravel()[pixel])
    share = float(sums.largest.ravel()[pixel]) / path
    where = place_in_words(_ends(facts, transition))
    if share < 0.5:
        text = f"spread over many transitions; the largest, {where}, is {100 * share:.2g} % of it"
        return [named("unexplained", None, text)]
    text = f"{100 * share:.2g} % of its path is {where}"
    return [
        {**one, "evidence": f"{text}: {one['evidence']}"}
        for one in causes.of_cell(transition, sample)
    ]
