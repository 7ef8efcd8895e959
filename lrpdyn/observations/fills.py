"""What the entries of a part of an observation become once the part is taken away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.errors import UsageError
from lrpdyn.files.nearby import did_you_mean
from lrpdyn.files.streamed import Samples, pieces

#: The grid of patches over a picture has this many rows and columns.
PATCHES = 7
#: What `--fill` takes besides a number.
NAMES = ("modal", "blurred", "mean")


@dataclass(frozen=True, kw_only=True)
class Fill:
    """What a part that is taken away becomes.

    Attributes
    ----------
    kind
        ``modal`` or ``value``: the number `value`, as the network takes it; ``blurred``: the observation
        itself, blurred; ``mean``: the mean of the other observations, entry by entry.
    total, count
        The sum of all observations, (1, ...), and how many there are; of the kind ``mean`` alone.
    """

    kind: str
    value: float
    total: NDArray[np.float64] | None = None
    count: int = 0

    @property
    def plain(self) -> float | str:
        """The fill as a manifest keeps it: its number, or its name."""
        return self.value if self.kind in ("modal", "value") else self.kind

    def of(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what each entry of some of the observations becomes, in their shape."""
        if self.kind == "blurred":
            return blurred(observations)
        if self.total is not None:
            return ((self.total - observations) / (self.count - 1)).astype(np.float32)
        return np.full_like(observations, self.value)


def parse_fill(text: str | float | None) -> str | float:
    """Return a name of `NAMES`, or a number in units of the observation files.

    Raises
    ------
    UsageError
        It is neither.
    """
    if text is None or text in NAMES:
        return text or "modal"
    return parse_number(
        text,
        f"--fill {text}: expected a number, {', '.join(NAMES[:-1])} or {NAMES[-1]}"
        + did_you_mean(str(text), NAMES),
    )


def parse_number(text: str | float, otherwise: str) -> float:
    """Return a finite number; raise UsageError with the message `otherwise` where it is none."""
    try:
        value = float(text)
    except (TypeError, ValueError):  # a list, in a file that is not ours
        value = np.nan
    if not np.isfinite(value):
        raise UsageError(otherwise)
    return value


def make_fill(kind: str | float, value: float, observations: Samples) -> Fill:
    """Return the fill that `parse_fill` read, for the observations (N, ...) of a run.

    Parameters
    ----------
    value
        The number, as the network takes it; the modal value of the observations where none is given.

    Raises
    ------
    UsageError
        Features are to be blurred, or there is no other observation.
    """
    if kind == "blurred" and observations.ndim < 4:
        raise UsageError(
            "--fill blurred: features have no neighbours to be blurred with; expected modal, mean or a "
            "number for observations without rows and columns"
        )
    if kind != "mean":
        return Fill(kind=kind if isinstance(kind, str) else "value", value=value)
    if len(observations) < 2:
        raise UsageError(
            "--fill mean: expected two observations or more, found one, which is no mean of others; "
            "give modal, blurred or a number"
        )
    total: NDArray[Any] = np.zeros((1, *observations.shape[1:]))
    for piece in pieces(observations):
        total += piece.sum(axis=0, dtype=np.float64, keepdims=True)
    return Fill(kind="mean", value=value, total=total, count=len(observations))


def other_fill(fill: Fill, observations: Samples) -> Fill:
    """Return a second fill, by which to see whether a finding is one of the first alone.

    ``blurred`` for pictures and ``mean`` for features; ``modal`` where that is the first. So one of both
    at least is not the reference of `lrpdyn.observations.reference.usual_reference`.
    """
    usual = "blurred" if observations.ndim > 3 else "mean"
    return make_fill("modal" if fill.kind == usual else usual, fill.value, observations)


def blurred(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return pictures (N, ..., H, W) under a Gaussian whose deviation is half a patch of the grid.

    At the borders the weights that lie inside are scaled up to one.
    """
    height, width = pictures.shape[-2:]
    found = _gaussian(height) @ pictures.astype(np.float64) @ _gaussian(width).T
    return found.astype(np.float32)


def _gaussian(size: int) -> NDArray[np.float64]:
    """Return the weights (size, size) of the places that each place is blurred with."""
    places, deviation = np.arange(size), max(size / PATCHES, 1.0) / 2
    weights = np.exp(-(((places[:, None] - places) / deviation) ** 2) / 2)
    found: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return found
