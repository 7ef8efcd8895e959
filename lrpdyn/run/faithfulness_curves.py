"""faithfulness.csv as curves: how well the maps predict what matters, at each measured step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lrpdyn.run.reader import RunFolder
from lrpdyn.run.trust import YARDSTICKS

Floats = NDArray[np.float64]

#: The maps that are drawn next to the rule's, with their names.
DRAWN = {"rule_absolute": "rule, by size alone", **YARDSTICKS}
#: The middle half of the samples lies between these percentiles.
_MIDDLE_HALF = (25, 75)


@dataclass(frozen=True, kw_only=True)
class FaithfulnessCurves:
    """Faithfulness over the S measured steps, NaN where it could not be measured.

    `steps` are (S,), `rule` (S,) and `others`, by map, (S,): medians over `samples` samples;
    `middle` and `random` (2, S) are the ends of the middle half of the samples under the rule, and of
    what random orders reach.
    """

    steps: NDArray[np.int64]
    samples: int
    rule: Floats
    middle: Floats
    others: Mapping[str, Floats]
    random: Floats


def faithfulness_curves(run: RunFolder) -> FaithfulnessCurves:
    """Return the curves of a run.

    Raises
    ------
    RunError
        The run has no faithfulness.csv, or it cannot be read.
    """
    table, checked = run.faithfulness, run.manifest["checks"]["faithfulness"]
    steps = np.unique(table["step"])

    def at_each_step(name: str, percentile: float = 50) -> Floats:
        of_map = table[table["map"] == name]
        found = np.full(len(steps), np.nan)
        for place, step in enumerate(steps):
            values = of_map["abpc"][of_map["step"] == step]
            known = values[np.isfinite(values)]
            if len(known):
                found[place] = np.percentile(known, percentile)
        return found

    others = {name: at_each_step(name) for name in DRAWN}
    ends = {one["step"]: one["random"] for one in checked["by_step"]}
    random = np.array([ends.get(step) or (None, None) for step in steps.tolist()], dtype=np.float64)
    return FaithfulnessCurves(
        steps=steps.astype(np.int64),
        samples=checked["samples"],
        rule=at_each_step("rule"),
        middle=np.stack([at_each_step("rule", q) for q in _MIDDLE_HALF]),
        others={name: values for name, values in others.items() if np.isfinite(values).any()},
        random=random.reshape(-1, 2).T,
    )
