"""The reference that relevance is measured from: what `--reference` says, as the network takes it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lrpdyn.errors import UsageError
from lrpdyn.files.nearby import did_you_mean
from lrpdyn.files.npy import load_npy
from lrpdyn.files.reasons import reason_of
from lrpdyn.files.streamed import pieces
from lrpdyn.observations.fills import parse_number
from lrpdyn.observations.loading import Observations

#: What `--reference` takes besides a number and a file.
NAMES = ("none", "modal", "mean")


def parse_reference(text: str | float | Path) -> str | float:
    """Return one of `NAMES`, the name of a .npy file, or a number in units of the observation files.

    Raises
    ------
    UsageError
        It is none of these.
    """
    said = str(text)
    if said in NAMES or said.endswith(".npy"):
        return said
    choices = f"{', '.join(NAMES[:-1])} or {NAMES[-1]}"
    return parse_number(
        said,
        f"--reference {said}: expected a number, a .npy file, {choices}{did_you_mean(said, NAMES)}",
    )


def make_reference(
    asked: str | float, observations: Observations, modal: float
) -> tuple[str, NDArray[np.float32] | None]:
    """Return what a manifest says of the reference that `parse_reference` read, and the reference, (1, ...).

    Parameters
    ----------
    modal
        The value that observations hold most often, as the network takes it.

    Raises
    ------
    UsageError
        The file cannot be read, or does not hold one observation.
    """
    shape = observations.values.shape[1:]
    if asked == "none":
        return "none", None
    if asked == "modal":
        plain = observations.normalisation is None
        shown = modal * observations.scale if plain else modal
        return f"modal {shown:g}", np.full((1, *shape), modal, dtype=np.float32)
    if asked == "mean":
        total = np.zeros((1, *shape))
        for piece in pieces(observations.values):
            total += piece.sum(axis=0, dtype=np.float64, keepdims=True)
        return "mean", (total / len(observations.values)).astype(np.float32)
    if not isinstance(asked, str):
        return str(asked).removesuffix(".0"), _as_taken(np.full((1, *shape), asked), observations)
    found = _as_taken(_read(asked, shape), observations)
    digest = hashlib.sha256(found.tobytes()).hexdigest()
    return f"{Path(asked).name} {digest[:12]}", found


def _read(path: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    try:
        found = load_npy(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"--reference {path}: cannot be read ({reason_of(error)})") from error
    numbers = found.dtype.kind in "fiub"
    if found.shape != shape or not numbers or not np.isfinite(found).all():
        raise UsageError(
            f"--reference {path}: expected finite numbers of shape {shape}, that of one observation as the "
            f"network takes it, found {found.dtype} {found.shape}"
        )
    return found[None].astype(np.float64)


def _as_taken(values: NDArray[np.float64], observations: Observations) -> NDArray[np.float32]:
    """Return values in units of the observation files as the network takes them."""
    scaled = values.astype(np.float32) / np.float32(observations.scale)
    known = observations.normalisation
    return scaled if known is None else known.apply(scaled)
