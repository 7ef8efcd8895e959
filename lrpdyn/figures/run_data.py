"""What several kinds of figures show of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lrpdyn.figures.canvas.style import Array
    from lrpdyn.figures.canvas.words import About
    from lrpdyn.run.reader import RunFolder


def about_of(run: RunFolder) -> About:
    """Return what every figure of a run says."""
    from lrpdyn.figures.canvas.words import About

    normalised = run.manifest["normalize"]
    unit = "units of the score" if normalised == "none" else f"relevance normalised by {normalised}"
    return About(
        rule=run.manifest["rule"]["name"],
        question=run.question,
        unit=run.manifest["unit"],
        value_unit=unit,
    )


def maps_of(run: RunFolder, sample: int) -> Callable[[int], Array]:
    """Return what loads the relevance of one sample at a step, normalised as the differences are.

    What it returns raises RunError where the run has kept no relevance.
    """
    from lrpdyn.dynamics.measures import normalise

    maps, how = run.relevance, run.manifest["normalize"]
    return lambda step: normalise(maps[step][sample : sample + 1], how)[0]
