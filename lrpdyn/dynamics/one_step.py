"""One step added to the sums over steps, for some samples: what is summed, and what is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.dynamics.columns import measured
from lrpdyn.dynamics.formulas import Samples, StepMaps, apart
from lrpdyn.dynamics.measures import Array, pixels
from lrpdyn.dynamics.tree_sums import Joining, Put
from lrpdyn.files import streamed

#: The largest change of each pixel so far, and the transition that it came with.
LARGEST = ("largest", "largest_at")


@dataclass(frozen=True)
class Step:
    """A step that is added, or that later ones are compared with."""

    step: int
    maps: streamed.Samples


@dataclass(frozen=True, kw_only=True)
class Known:
    """What was measured of all samples of a step where it was explained, compared with `from_step` before.

    `columns` are those that need no other step, `extra` is what else was made of its maps.
    """

    from_step: int
    columns: dict[str, Array]
    extra: Any


@dataclass(frozen=True, kw_only=True)
class Addition:
    """A step that is added, and what it is compared with.

    `transitions` is the number of those before it; `known` what need not be measured of it any more.
    """

    now: Step
    finite: bool
    joining: Joining
    first: Step | None
    previous: Step | None
    every_second: Step | None
    transitions: int
    known: Known | None = None


class SamplesOfSteps:
    """Some samples of several steps, each read once while it is needed."""

    def __init__(self, piece: slice, normalisation: str) -> None:
        self._piece, self._normalisation = piece, normalisation
        self._steps: dict[int, Samples] = {}

    def of(self, step: Step) -> Samples:
        """Return the samples of a step."""
        if step.step not in self._steps:
            exact = step.maps[self._piece].astype(np.float64)
            self._steps[step.step] = Samples(exact, self._normalisation)
        return self._steps[step.step]

    def forget_all_but(self, *steps: Step | None) -> None:
        """Let go of the samples of other steps."""
        needed = {one.step for one in steps if one is not None}
        self._steps = {step: samples for step, samples in self._steps.items() if step in needed}


def add_step(
    addition: Addition, samples: SamplesOfSteps, kept: dict[str, NDArray[Any]], put: Put
) -> dict[str, Array]:
    """Add some samples of a finite step; return what its columns hold of them.

    Parameters
    ----------
    kept
        The arrays of `LARGEST`, which are brought up to this step.
    put
        Adds to the sums, `lrpdyn.dynamics.tree_sums.PairedSums.adding`.
    """
    assert addition.first is not None
    before = None if addition.previous is None else samples.of(addition.previous)
    now, first = samples.of(addition.now), samples.of(addition.first)
    step = StepMaps(now, first, before)
    put(addition.joining, "magnitude", step.size)
    of_pixels = step.pixel_size
    logarithms = of_pixels * np.log(np.where(of_pixels > 0, of_pixels, 1.0))
    put(addition.joining, "logarithms", logarithms)
    coarse = None
    if addition.every_second is not None:
        coarse = apart(now.maps, samples.of(addition.every_second).maps)
    put(addition.joining, "coarse", coarse)
    del coarse  # memory that is given back early is used again while it is in the cache
    wanted = measured("step")
    if before is not None:
        wanted = measured("transition") | wanted
        of_pixels = pixels(step.difference)
        larger = of_pixels > kept["largest"]
        kept["largest"][larger] = of_pixels[larger]
        kept["largest_at"][larger] = addition.transitions
    put(addition.joining, "total", None if before is None else step.difference)
    known = {} if addition.known is None else addition.known.columns
    return {
        name: known[name] if name in known else formula(step) for name, formula in wanted.items()
    }


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What is measured of a step and of the transition that leads to it.

    Attributes
    ----------
    columns
        A value for each of N samples, by column (`lrpdyn.dynamics.columns`); those of a step that is not
        finite, and of a transition that is not there, are missing.
    from_step
        Where the transition begins that leads to the step; None where none does.
    from_step_zero
        Whether the first finite step is step 0.
    extra
        What else was made of each piece of the samples.
    """

    columns: dict[str, Array]
    extra: Sequence[Any] = ()
    from_step: int | None = None
    from_step_zero: bool = False


@dataclass(frozen=True, kw_only=True)
class OfRandom:
    """What the maps of random networks measure, means over the networks.

    `entropy` is (N,), `shares` of regions (R, N), None where there are no regions.
    """

    entropy: Array
    shares: Array | None
