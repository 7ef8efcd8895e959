"""What is requested of a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lrpdyn.errors import UsageError
from lrpdyn.figures.canvas.look import DEFAULT_LOOK, Look, ScaleBy

if TYPE_CHECKING:
    from lrpdyn.run.training_curve import Curve

#: The panels of a trajectory, in order, and what is in each.
PANELS = {
    "curve": "the training curve (--curve)",
    "regions": "share of the relevance in each region",
    "effects": "effect of painting a region over",
    "score": "the explained score",
    "units": "which unit is preferred",
    "change": "change of the relevance into a step",
    "prediction": "change of the prediction into a step",
    "distance": "distance from the first map",
    "entropy": "how spread out the relevance is",
    "dependence": "what the maps depend on",
    "sums": "sum of the relevance over the score",
    "sizes": "size of the relevance over that of the score",
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What of a run is to be drawn, and how.

    `samples` and `steps` are None where the kind shall choose. `formats` are of
    `lrpdyn.figures.kind.FORMATS`; none for the first that a kind can write. `out` is a folder, or
    the name of the one file; None for the run's folder of figures. `panels` are the names of those of a
    trajectory, `relative` asks a heatmap for the relative dynamics, and `scale_by` says what shares a
    scale of colours. `by` groups runs, as `lrpdyn compare` does. `together` are the
    samples of all files that are drawn at once.
    """

    samples: Sequence[int] | None = None
    steps: Sequence[int] | None = None
    curve: Curve | None = None
    panels: Sequence[str] | None = None
    relative: bool = False
    scale_by: ScaleBy | None = None
    by: str = "rule"
    together: Sequence[int] | None = None
    formats: Sequence[str] = ()
    look: Look = DEFAULT_LOOK
    out: Path | None = None

    @property
    def sample(self) -> int:
        """The sample of a kind that has a file for each."""
        assert self.samples is not None
        (sample,) = self.samples
        return sample


def scales_by(request: Request, kind: str, known: Sequence[ScaleBy]) -> ScaleBy | None:
    """Return what shares a scale of colours: one of those that a kind knows; None for its usual.

    Raises
    ------
    UsageError
        The kind does not know it.
    """
    if request.scale_by is not None and request.scale_by not in known:
        raise UsageError(
            f"--scale-by {request.scale_by}: {kind} has no such scales; expected {' or '.join(known)}"
        )
    return request.scale_by
