"""faithfulness.csv as curves: how well the maps predict what matters, at each measured step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lrpdyn.errors import RunError
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

    `steps` are (S,), `rule` (S,) and `others`, by map, (S,): medians over `samples` samples; `middle` and
    `random` (2, S) are the ends of the middle half of the samples under the rule, and of what random
    orders reach. `taken_away` says in words what was.
    """

    steps: NDArray[np.int64]
    samples: int
    taken_away: str
    rule: Floats
    middle: Floats
    others: Mapping[str, Floats]
    random: Floats


def faithfulness_curves(run: RunFolder) -> FaithfulnessCurves:
    """Return the curves of a run.

    Raises
    ------
    RunError
        Nothing was measured, or faithfulness.csv cannot be read.
    """
    table, checked = run.faithfulness, run.manifest["checks"]["faithfulness"]
    if not checked or not checked["steps"]:
        raise RunError(
            f"{run.path}: its faithfulness was not measured; the command that made the run, with "
            "--faithfulness all, measures it"
        )
    fill = checked["fill"] if isinstance(checked["fill"], str) else f"{checked['fill']:.3g}"
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

    rule, others = at_each_step("rule"), {name: at_each_step(name) for name in DRAWN}
    if np.array_equal(rule, others["rule_absolute"], equal_nan=True):  # of maps of one sign
        del others["rule_absolute"]
    bands = {one["step"]: one["random_band"] for one in checked["steps"]}
    random = [[bands[step][end] for step in steps.tolist()] for end in ("low", "high")]
    return FaithfulnessCurves(
        steps=steps.astype(np.int64),
        samples=len(checked["samples"]),
        taken_away=f"{checked['patches']:,} patches that become {fill} (--fill)",
        rule=rule,
        middle=np.stack([at_each_step("rule", q) for q in _MIDDLE_HALF]),
        others={name: values for name, values in others.items() if np.isfinite(values).any()},
        random=np.array(random, dtype=np.float64),
    )
