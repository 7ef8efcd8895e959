"""Which maps a page has room for: all of a short run; of a long one the flagged, and steps between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Pixels of maps that a page holds before steps are skipped: 200 steps of four samples of 84 x 84.
MOST_PIXELS = 200 * 4 * 84 * 84
MOST_SAMPLES = 16


@dataclass(frozen=True)
class Flagged:
    """What the outlier report flags (pathologies, far and mild outliers), by step.

    `steps` are flagged for all samples; `cells` are (step, sample). Of a transition it is the step
    that it leads to.
    """

    steps: frozenset[int]
    cells: frozenset[tuple[int, int]]

    @property
    def anywhere(self) -> frozenset[int]:
        """The steps that are flagged for any sample."""
        return self.steps | {step for step, _ in self.cells}


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The steps of the slider, and of each the samples whose maps the page holds.

    `note` says what is skipped; empty where nothing is.
    """

    steps: tuple[int, ...]
    samples: tuple[tuple[int, ...], ...]
    note: str


def flagged(report: Mapping[str, Any], samples: Sequence[int]) -> Flagged:
    """Gather the flagged steps of an outlier report, and its flagged cells of some samples."""
    shown = set(samples)
    steps, cells = set(), set()
    ranked = (*report["steps"], *report["cells"])
    beyond = [entry for entry in ranked if entry["severity"] != "none"]
    for where in (entry["where"] for entry in (*report["pathologies"], *beyond)):
        step = where["to_step"] if "to_step" in where else where["step"]
        if "sample" not in where:
            steps.add(step)
        elif where["sample"] in shown:
            cells.add((step, where["sample"]))
    return Flagged(steps=frozenset(steps), cells=frozenset(cells))


def choose_samples(samples: int, report: Mapping[str, Any], most: int = MOST_SAMPLES) -> list[int]:
    """Return the samples that a page shows: all, or those of the strongest outliers, then the first."""
    if samples <= most:
        return list(range(samples))
    entries = [entry for kind in ("cells", "samples") for entry in report[kind][:most]]
    strongest = [entry["where"]["sample"] for entry in entries]
    return sorted(list(dict.fromkeys([*strongest, *range(samples)]))[:most])


def keep(
    steps: Sequence[int],
    samples: Sequence[int],
    pixels: int,
    marked: Flagged,
    most_pixels: int = MOST_PIXELS,
) -> Kept:
    """Choose what the page holds.

    `steps` are those that have relevance, in order, `samples` those that the page shows; a map has
    so many `pixels`. What is `marked` is always kept, with the first and the last step.
    """
    shown, most = tuple(samples), most_pixels // pixels
    if len(steps) * len(shown) <= most:
        return Kept(steps=tuple(steps), samples=(shown,) * len(steps), note="")
    ends, known = {steps[0], steps[-1]}, set(steps)
    fits = len((ends | marked.anywhere) & known) * len(shown) <= most
    of_cells = "" if fits else ", some of them for the flagged samples alone"
    whole = (ends | (marked.anywhere if fits else marked.steps)) & known
    # As many more steps, evenly spaced, as there is room for next to the cells.
    room = most // len(shown)
    for count in range(room, 0, -max(1, room // 100)):
        even = np.linspace(0, len(steps) - 1, count).round().astype(int)
        filled = whole | {steps[place] for place in even}
        of_others = sum(step not in filled for step, _ in marked.cells)
        if len(filled) * len(shown) + of_others <= most:
            whole = filled
            break
    chosen = tuple(step for step in steps if step in whole or step in marked.anywhere)
    maps = tuple(
        shown if step in whole else tuple(n for n in shown if (step, n) in marked.cells)
        for step in chosen
    )
    note = (
        f"{len(chosen):,} of {len(steps):,} steps have pictures: steps evenly spaced, and all that "
        f"are flagged{of_cells}. Numbers and curves are of all steps."
    )
    return Kept(steps=chosen, samples=maps, note=note)
