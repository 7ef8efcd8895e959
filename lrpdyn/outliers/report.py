"""The outlier report as data: four populations, pathologies, shifts, and why."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from math import prod
from typing import Any

import numpy as np

from lrpdyn.dynamics.measures import pixels
from lrpdyn.dynamics.totals import Sums
from lrpdyn.files.names import WORDS
from lrpdyn.observations.checked_samples import MOST_CHECKED, evenly_spaced
from lrpdyn.outliers.by_weights import by_weights
from lrpdyn.outliers.causes import CAUSES
from lrpdyn.outliers.criteria import Criteria, far_above_usual
from lrpdyn.outliers.entry_causes import EntryCauses, named, pathologies
from lrpdyn.outliers.facts import Evidence, Floats, Integers, RunFacts, Wanted
from lrpdyn.outliers.fences.in_time import FEWEST, first_after_start
from lrpdyn.outliers.fences.population import LISTED, Population, entries, population, totals
from lrpdyn.outliers.fences.shifts import Shift, find_shifts, form
from lrpdyn.outliers.first import conditions, findings
from lrpdyn.outliers.render import place as place_in_words
from lrpdyn.outliers.weight_path import DETOUR

#: Of these no layer is to blame.
COPIES = ("duplicate_checkpoint", "near_copy", "step_gap")
#: An option in a piece of advice, and its value.
_NAMED_OPTION = re.compile(r"--(\w+) (\w+)")
#: Findings that are looked at first; the others follow.
MOST_FIRST = 3
#: Far cells of one transition, or of one sample, that make a group: so many, and this share of the samples.
LEAST_TOGETHER, SHARE_TOGETHER = 3, 0.1
#: How many flags clean real runs had, each (tests/benchmarks/outlier_causes): steps, cells, steps by their
#: weights; and the share of the samples.
FALSE_OF_STEPS, FALSE_OF_CELLS, FALSE_OF_WEIGHTS = 0.1, 0.25, 0.06
FALSE_OF_EACH_SAMPLE = 0.02
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

    @cached_property
    def by_weights(self) -> list[dict[str, Any]]:
        """Steps that stand out by their weights alone."""
        return by_weights(Criteria(self.facts))

    def in_question(self) -> list[tuple[int, int, str]]:
        """Return transitions (from step, to step, why) of which it is to be known who made them.

        Flagged ones, those by their weights included, the strongest first; where there are none, the one
        that is strongest.
        """
        steps = self.facts.steps.step.tolist()
        found: dict[tuple[int, int], str] = {}
        for severity in ("far", "mild"):
            for entry in self.listed["steps"][0]:
                if entry["severity"] == severity and entry["value"] > 0:
                    found.setdefault(
                        (entry["where"]["from_step"], entry["where"]["to_step"]), severity
                    )
            for entry in self.by_weights:
                where = entry["where"]
                to = where.get("to_step", where.get("step"))
                place = steps.index(to)
                if entry["severity"] == severity and entry["cause"] not in COPIES and place:
                    found.setdefault((where.get("from_step", steps[place - 1]), to), "weights")
        transitions = set(zip(*(ends.tolist() for ends in self._ends_of_all()), strict=True))
        flagged = [(*ends, why) for ends, why in found.items() if ends in transitions]
        # Into a checkpoint that is off the path and out of it again is one question.
        flagged = [one for one in flagged if one[0] not in self._off or one[1] in self._off]
        changed = [entry for entry in self.listed["steps"][0] if entry["value"] > 0]
        strongest = [
            (e["where"]["from_step"], e["where"]["to_step"], "strongest") for e in changed[:1]
        ]
        return flagged or strongest

    @property
    def _off(self) -> set[int]:
        return {e["where"]["step"] for e in self.by_weights if e["cause"] == "off_path"}

    def _ends_of_all(self) -> tuple[Integers, Integers]:
        steps, changes = self.facts.steps.step, self.facts.changes
        return steps[changes.before], steps[changes.after]

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
        "steps": population(typical, partial(_ends, facts), over_time=True),
        "samples": population(change.sum(axis=0), lambda n: {"sample": n}),
        "pixels": population(facts.relative, pixel),
        "cells": population(
            change,
            lambda i: {**_ends(facts, i // samples), "sample": i % samples},
            over_time=True,
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


def build_report(
    outliers: Outliers, evidence: Evidence, layers: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """Return the report as the plain data of ``outliers.json``: outliers and their causes.

    `evidence` is that of the steps that `Outliers.wanted` names, `layers` what putting layers back
    showed (`lrpdyn.diagnostics.interventions`); the entries of `outliers` are completed.
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
    shifts = _of_steps(outliers.facts, causes, populations["steps"].values, *listed["steps"])
    wrong = pathologies(known)
    entries = [*wrong, *(entry for found, _ in listed.values() for entry in found)]
    found_causes = {cause["cause"] for entry in entries for cause in entry["causes"]}
    found_causes |= {entry["cause"] for entry in outliers.by_weights}
    report: dict[str, Any] = {
        "schema": 1,
        "method": {
            "name": populations["steps"].method,
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
        "weights": outliers.by_weights,
        "cell_groups": cell_groups(outliers.facts, populations["cells"]),
        "layers": list(layers),
        "start": start(outliers.facts, known, populations["steps"]),
        "expected_false": expected_false(populations),
        "least": least_flagged(populations["steps"]),
        "advice": {
            cause.name: cause.advice
            for cause in CAUSES
            if cause.name in found_causes and not is_set(cause.advice, outliers.facts.settings)
        },
    }
    names = {kind: dict(those) for kind, those in outliers.facts.names.items() if kind in WORDS}
    report |= {"names": names} if names else {}
    report["conditions"] = conditions(wrong, outliers.facts.steps.step.tolist())
    ordered = findings(report)
    return {**report, "first": ordered[:MOST_FIRST], "then": ordered[MOST_FIRST:]}


def is_set(advice: str, settings: Mapping[str, str]) -> bool:
    """Return whether a piece of advice names an option that is set so already.

    >>> is_set("Hold the unit fixed (--target modal).", {"target": "modal"})
    True
    """
    named = _NAMED_OPTION.findall(advice)
    return any(settings.get(option, "").partition(":")[0] == value for option, value in named)


def cell_groups(facts: RunFacts, cells: Population) -> list[dict[str, Any]]:
    """Return the far cells by what they have in common: a transition of many samples, or a sample."""
    far = np.atleast_2d(cells.is_far)
    samples, found = far.shape[1], []
    many = far.sum(axis=1) >= max(LEAST_TOGETHER, SHARE_TOGETHER * samples)
    for transition in np.flatnonzero(many).tolist():
        found.append((_ends(facts, transition), int(far[transition].sum())))
    alone = far[~many].sum(axis=0)
    found += [({"sample": n}, int(alone[n])) for n in np.flatnonzero(alone).tolist()]
    groups = [
        {"where": where, "cells": count, "severity": "far" if count >= LEAST_TOGETHER else "mild"}
        for where, count in found
    ]
    return sorted(groups, key=lambda group: -group["cells"])


def start(facts: RunFacts, known: Criteria, steps: Population) -> dict[str, Any] | None:
    """Return the start of learning: transitions that are ranked, not flagged; None where all are."""
    first = first_after_start(len(steps.values))
    if not steps.is_fenced or not first:
        return None
    later = float(np.median(steps.values[first:]))
    moves, usual = known.weights.move[known.changes.after], np.nan
    if np.isfinite(moves[first:]).any():
        usual = float(np.nanmedian(moves[first:]))
    times = moves[:first] / usual if usual > 0 else np.full(first, np.nan)
    times = times[np.isfinite(times)]
    return {
        "from_step": _ends(facts, 0)["from_step"],
        "to_step": _ends(facts, first - 1)["to_step"],
        "transitions": first,
        "largest": float(steps.values[:first].max()),
        "later": later,
        "weights": [float(times.min()), float(times.max())] if times.size else None,
    }


def expected_false(populations: Mapping[str, Population]) -> dict[str, float]:
    """Return how many flags, mild or far, a run of this size has though nothing happened in it."""
    samples = populations["samples"]
    fenced = {kind: of.is_fenced for kind, of in populations.items()}
    return {
        "steps": FALSE_OF_STEPS * fenced["steps"],
        "cells": FALSE_OF_CELLS * fenced["cells"],
        "samples": FALSE_OF_EACH_SAMPLE * len(samples.values) * fenced["samples"],
        "weights": FALSE_OF_WEIGHTS,
    }


def least_flagged(steps: Population) -> dict[str, float] | None:
    """Return how many times the usual change is flagged, mild and far: what is smaller is not seen."""
    if not steps.is_fenced or steps.trend is None:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        found = {"mild": steps.mild / steps.trend, "far": steps.far / steps.trend}
    return {name: float(np.median(of[np.isfinite(of)])) for name, of in found.items()}


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
        one["form"] = _form(facts, typical, shifts, place, one)
    return [
        {
            "step": int(facts.steps.step[facts.changes.before[shift.at]]),
            "before": shift.before,
            "after": shift.after,
        }
        for shift in shifts
    ]


def _form(
    facts: RunFacts, typical: Floats, shifts: list[Shift], place: int, entry: Mapping[str, Any]
) -> str | None:
    """Return what kind of change a transition is: start, shift, spike or lasting; None where no fence is.

    A spike comes back: the step after is nearer to the step before than this one is to them.
    """
    if entry["fence_mild"] is None:
        return (
            "start" if place < first_after_start(len(typical)) and len(typical) >= FEWEST else None
        )
    if form(typical, shifts, place, entry["fence_mild"]) == "shift":
        return "shift"
    outline, after = facts.steps.outline, int(facts.changes.after[place])
    for middle in (after, after - 1):
        if 0 < middle < len(outline) - 1:
            into = np.linalg.norm(outline[middle] - outline[middle - 1])
            out = np.linalg.norm(outline[middle + 1] - outline[middle])
            if np.linalg.norm(outline[middle + 1] - outline[middle - 1]) < DETOUR * max(into, out):
                return "spike"
    return "lasting"


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
