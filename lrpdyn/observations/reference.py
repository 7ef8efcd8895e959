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
from lrpdyn.files.streamed import Samples, pieces
from lrpdyn.observations.background import modal_pixel, modal_value
from lrpdyn.observations.fills import Fill, parse_number
from lrpdyn.observations.loading import Observations

#: What `--reference` takes besides a number and a file.
NAMES = ("none", "modal", "mean")


def parse_reference(text: str | float | Path | None) -> str | float:
    """Return one of `NAMES`, the name of a .npy file, or a number in units of the observation files.

    Where nothing is given it is ``none``.

    Raises
    ------
    UsageError
        It is none of these.
    """
    said = "none" if text is None else str(text)
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
        return "mean", _mean(observations.values)
    if not isinstance(asked, str):
        return str(asked).removesuffix(".0"), _as_taken(np.full((1, *shape), asked), observations)
    found = _as_taken(_read(asked, shape), observations)
    digest = hashlib.sha256(found.tobytes()).hexdigest()
    return f"{Path(asked).name} {digest[:12]}", found


def modal_of(observations: Observations) -> float:
    """Return the value that observations hold most often, as the network takes it."""
    if observations.pixels and observations.normalisation is None:
        return modal_pixel(observations.values, observations.scale)
    return modal_value(observations.values)


def usual_reference(observations: Samples, fill: Fill) -> tuple[str, NDArray[np.float32]] | None:
    """Return the reference to try, ``modal`` for pictures and else ``mean``, and its values, (1, ...).

    `fill` knows the modal value, unless a number was given for it. None where there is no other
    observation, from which a mean would differ.
    """
    if observations.ndim > 3:
        modal = modal_value(observations) if fill.kind == "value" else fill.value
        return "modal", np.full((1, *observations.shape[1:]), modal, dtype=np.float32)
    return ("mean", _mean(observations)) if len(observations) > 1 else None


def _mean(observations: Samples) -> NDArray[np.float32]:
    total = np.zeros((1, *observations.shape[1:]))
    for piece in pieces(observations):
        total += piece.sum(axis=0, dtype=np.float64, keepdims=True)
    found: NDArray[np.float32] = (total / len(observations)).astype(np.float32)
    return found


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
