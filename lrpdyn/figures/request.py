"""What is requested of a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lrpdyn.figures.canvas.look import DEFAULT_LOOK, Look

if TYPE_CHECKING:
    from lrpdyn.run.training_curve import Curve


@dataclass(frozen=True, kw_only=True)
class Request:
    """What of a run is to be drawn, and how.

    `samples` and `steps` are None where the kind shall choose. `formats` are of
    `lrpdyn.figures.kind.FORMATS`; none for the first that a kind can write. `out` is a folder, or
    the name of the one file; None for the run's folder of figures.
    """

    samples: Sequence[int] | None = None
    steps: Sequence[int] | None = None
    curve: Curve | None = None
    formats: Sequence[str] = ()
    look: Look = DEFAULT_LOOK
    out: Path | None = None

    @property
    def sample(self) -> int:
        """The sample of a kind that has a file for each."""
        assert self.samples is not None
        (sample,) = self.samples
        return sample
