"""The outlier report as data: four populations, pathologies, shifts, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from lrpdyn.outliers.causes import CAUSES
from lrpdyn.outliers.criteria import Criteria
from lrpdyn.outliers.entry_causes import EntryCauses, named, pathologies
from lrpdyn.outliers.facts import Changes, Evidence, PixelsOfSample, RunFacts, Steps, Wanted
from lrpdyn.outliers.fences.population import (
    LISTED,
    PixelPopulation,
    Population,
    entries,
    pixel_population,
    population,
    totals,
)
from lrpdyn.outliers.fences.shifts import find_shifts, form
from lrpdyn.outliers.recheck import wanted

#: Transitions whose lengths differ by more than this factor are also compared per unit of step.
VARIES = 1.2


@dataclass(frozen=True, kw_only=True)
class Outliers:
    """The outliers of a run, before their causes are known.

    `by_kind` and `pixels` are the values with their fences, `listed` has the strongest of each kind:
    the entries of the report and their places.
    """

    facts: RunFacts
    by_kind: dict[str, Population]
    pixels: PixelPopulation
    listed: dict[str, tuple[list[dict[str, Any]], list[int]]]

    def wanted(self) -> Wanted:
        """Return the steps that need evidence by layer."""
        if not self.facts.changes.change.size:
            return Wanted(places=(), usual=(), flips={}, samples={})
        places = {kind: places for kind, (_, places) in self.listed.items()}
        return wanted(Criteria(self.facts), self.by_kind, places)


def find_outliers(facts: RunFacts) -> Outliers:
    """Return the outliers of a run."""
    by_kind, pixels = populations(facts), pixels_of(facts)
    listed = {kind: entries(of) for kind, of in _in_order(by_kind, pixels).items()}
    return Outliers(facts=facts, by_kind=by_kind, pixels=pixels, listed=listed)


def _in_order(
    by_kind: Mapping[str, Population], pixels: PixelPopulation
) -> dict[str, Population | PixelPopulation]:
    """Return the populations in the order of the report."""
    steps, samples, cells = (by_kind[kind] for kind in ("steps", "samples", "cells"))
    return {"steps": steps, "samples": samples, "pixels": pixels, "cells": cells}


def populations(facts: RunFacts) -> dict[str, Population]:
    """Return the populations of steps, samples and cells with their fences."""
    changes, steps = facts.changes, facts.steps
    change = changes.change
    typical = np.median(change, axis=1) if change.size else np.zeros(0)
    samples = change.shape[1]

    def pair(transition: int) -> dict[str, int]:
        before, after = changes.before[transition], changes.after[transition]
        return {"from_step": int(steps.step[before]), "to_step": int(steps.step[after])}

    return {
        "steps": population(typical, pair, rolls=True),
        "samples": population(change.sum(axis=0), lambda n: {"sample": n}),
        "cells": population(
            change, lambda i: {**pair(i // samples), "sample": i % samples}, rolls=True
        ),
    }


def pixels_of(facts: RunFacts) -> PixelPopulation:
    """Return the population of pixels with its fences."""
    shape = facts.pixels.relative.shape

    def pixel(place: int) -> dict[str, int]:
        index = [int(i) for i in np.unravel_index(place, shape)]
        names = ("sample", "row", "column") if len(index) == 3 else ("sample", "column")
        return dict(zip(names, index, strict=True))

    return pixel_population(facts.pixels.relative, pixel)


def build_report(outliers: Outliers, evidence: Evidence) -> dict[str, Any]:
    """Return the report as the plain data of ``outliers.json``: outliers and their causes.

    `evidence` is that of the steps that `Outliers.wanted` names; the entries of
    `outliers` are completed.
    """
    by_kind, listed = outliers.by_kind, outliers.listed
    known = Criteria(facts=outliers.facts, layers=evidence)
    causes = EntryCauses(known)
    samples = outliers.facts.changes.change.shape[1]
    for found, place in zip(*listed["cells"], strict=True):
        found["causes"] = causes.of_cell(*divmod(place, samples))
    for found, place in zip(*listed["samples"], strict=True):
        found["causes"] = causes.of_transitions(place)
    _of_pixels(outliers.facts, causes, *listed["pixels"])
    _per_unit(known, by_kind, listed)
    shifts = _of_steps(outliers.facts, causes, by_kind["steps"], *listed["steps"])
    wrong = pathologies(known)
    entries = [*wrong, *(entry for found, _ in listed.values() for entry in found)]
    found_causes = {cause["cause"] for entry in entries for cause in entry["causes"]}
    return {
        "schema": 1,
        "method": {
            "name": by_kind["cells"].whole.method,
            "populations": {
                "steps": "median over samples of the change of a transition",
                "samples": "sum over transitions of the change of a sample",
                "pixels": "relative dynamics: dynamics over sum |R_i|, channels summed",
                "cells": "change of one sample in one transition",
            },
        },
        "totals": {
            **{
                kind: totals(of, len(listed[kind][0]))
                for kind, of in _in_order(by_kind, outliers.pixels).items()
            },
            "pathologies": {"values": len(wrong)},
        },
        **{kind: found for kind, (found, _) in listed.items()},
        "pathologies": wrong[:LISTED],
        "shifts": shifts,
        "advice": {c.name: c.advice for c in CAUSES if c.name in found_causes},
    }


def _per_unit(
    known: Criteria,
    by_kind: Mapping[str, Population],
    listed: Mapping[str, tuple[list[dict[str, Any]], list[int]]],
) -> None:
    """Add to steps and cells how severe they are per unit of step, where spacing varies."""
    lengths = known.lengths
    if not lengths.size or lengths.max() <= VARIES * lengths.min():
        return
    for kind in ("steps", "cells"):
        of, (found, places) = by_kind[kind], listed[kind]
        shape = (-1, *(1,) * (of.values.ndim - 1))
        again = population(of.values / lengths.reshape(shape), of.where, rolls=True)
        severities = np.where(again.is_far, "far", np.where(again.is_mild, "mild", "none")).ravel()
        for one, place in zip(found, places, strict=True):
            one["severity_per_unit"] = str(severities[place])


def _of_steps(
    facts: RunFacts,
    causes: EntryCauses,
    of: Population,
    found: list[dict[str, Any]],
    places: list[int],
) -> list[dict[str, Any]]:
    """Fill in causes and form of the steps; return the shifts as they stand in the report."""
    typical = of.values
    shifts = find_shifts(typical)
    for one, place in zip(found, places, strict=True):
        one["causes"] = causes.of_samples(place)
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
    shape = facts.pixels.relative.shape
    pixels = prod(shape[1:])
    of_samples: dict[int, list[int]] = {}
    for number, place in enumerate(places):
        of_samples.setdefault(place // pixels, []).append(number)
    for sample, numbers in sorted(of_samples.items()):
        of_sample = facts.pixels.of_sample(sample)
        for number in numbers:
            pixel = places[number] % pixels
            found[number]["causes"] = _of_pixel(facts, causes, sample, of_sample, pixel)


def _of_pixel(
    facts: RunFacts, causes: EntryCauses, sample: int, of_sample: PixelsOfSample, pixel: int
) -> list[dict[str, Any]]:
    """Return the causes of a pixel: those of the transition in which most of its path lies."""
    changes = facts.changes
    path = float(of_sample.path.ravel()[pixel])
    if path == 0 or not changes.change.size:
        return []
    transition = int(of_sample.largest_at.ravel()[pixel])
    share = float(of_sample.largest.ravel()[pixel]) / path
    where = _words(facts.steps, changes, transition)
    if share < 0.5:
        text = f"spread over many transitions; the largest, {where}, is {100 * share:.2g} % of it"
        return [named("unexplained", None, text)]
    text = f"{100 * share:.2g} % of its path is {where}"
    return [
        {**one, "evidence": f"{text}: {one['evidence']}"}
        for one in causes.of_cell(transition, sample)
    ]


def _words(steps: Steps, changes: Changes, transition: int) -> str:
    before, after = changes.before[transition], changes.after[transition]
    return f"{steps.step[before]:,} -> {steps.step[after]:,}"
