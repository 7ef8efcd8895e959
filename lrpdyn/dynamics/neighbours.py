"""Successive steps measured where they are explained, so that those who add them need not do it."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from lrpdyn.dynamics.accumulate import Extra
from lrpdyn.dynamics.columns import measured
from lrpdyn.dynamics.formulas import FirstUnknownError, Samples, StepMaps
from lrpdyn.dynamics.one_step import Known
from lrpdyn.errors import UsageError
from lrpdyn.files.streamed import IN_CACHE, slices


class Neighbours:
    """Measures each step that follows another one.

    Many samples are added by several threads, which measure them, too: here all are one piece.
    """

    def __init__(self, shape: tuple[int, ...], normalisation: str, extra: Extra) -> None:
        self.measures = len(list(slices(shape, IN_CACHE))) == 1
        self._normalisation, self._extra = normalisation, extra
        self._before: tuple[int, Samples] | None = None

    def begin(self) -> None:
        """Call this before a step whose neighbour was not measured here."""
        self._before = None

    def measure(self, step: int, maps: NDArray[np.float32], *, finite: bool) -> Known | None:
        """Return what is measured of the maps (N, ...) of a step; None where that has to be done later."""
        before, self._before = self._before, None
        if not finite:
            return None
        now = Samples(maps.astype(np.float64), self._normalisation)
        self._before = step, now
        if before is None:
            return None
        both, columns = StepMaps(now, None, before[1]), {}
        for name, formula in (measured("transition") | measured("step")).items():
            # What cannot be normalised is refused where it is added.
            with suppress(FirstUnknownError, UsageError):
                columns[name] = formula(both)
        extra = self._extra(slice(0, len(maps)), now.exact)
        return Known(from_step=before[0], columns=columns, extra=extra)
