"""What is stored of each step's relevance: as it is, in half the bytes, channels summed, or nothing.

Sums and measures are always made from the float32 maps. Where these are not what is stored, they lie
in a folder of their own until the sums have them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.dynamics.measures import of_pixels, pixels
from lrpdyn.errors import RunError, UsageError
from lrpdyn.files.atomic import save_pieces, sync_folder
from lrpdyn.files.streamed import IN_CACHE, opened, slices
from lrpdyn.run.layout import WORKING, delete, relevance_path, working_path

KEEP = ("relevance", "pixels", "none")
TYPES = ("float32", "float16")


@dataclass(frozen=True)
class Written:
    """SHA-256 of the file of a step's float32 maps, and of what is kept of them (None: nothing)."""

    maps: str
    kept: str | None


@dataclass(frozen=True)
class Storage:
    """What is kept of each map: one of `KEEP`, in one of `TYPES`."""

    keep: str = "relevance"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.keep not in KEEP:
            raise UsageError(f"keep '{self.keep}': expected one of {', '.join(KEEP)}")
        if self.dtype not in TYPES:
            raise UsageError(f"dtype '{self.dtype}': expected one of {', '.join(TYPES)}")

    @property
    def whole(self) -> bool:
        """Whether the float32 maps themselves are what is kept."""
        return (self.keep, self.dtype) == ("relevance", "float32")

    def as_dict(self) -> dict[str, str]:
        """Return plain data for the manifest."""
        return {"keep": self.keep, "dtype": self.dtype}

    def maps_path(self, folder: Path, step: int) -> Path:
        """Return where the float32 maps of `step` are until the sums have them."""
        find = relevance_path if self.whole else working_path
        return find(folder, step)

    def kept_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of what is kept of maps of `shape`."""
        return of_pixels(shape) if self.keep == "pixels" else shape

    def save(
        self, folder: Path, step: int, shape: tuple[int, ...], maps: Iterable[NDArray[np.float32]]
    ) -> Written:
        """Write the maps (N, ...) of `step`, which come in parts, and what is kept of them.

        Their names are on the disk for sure after `settle`.

        Raises
        ------
        RunError
            The folder cannot be written, or relevance passes the end of float16.
        """
        path = self.maps_path(folder, step)
        written = save_pieces(path, shape, np.float32, maps, settled=False)
        if self.whole or self.keep == "none":
            return Written(maps=written, kept=written if self.whole else None)
        stored = opened(path)
        kept = (self._kept(stored[piece], step) for piece in slices(shape, IN_CACHE))
        target = relevance_path(folder, step)
        kind, kept_shape = np.dtype(self.dtype), self.kept_shape(shape)
        return Written(
            maps=written, kept=save_pieces(target, kept_shape, kind, kept, settled=False)
        )

    def settle(self, folder: Path) -> None:
        """Wait until the names of all maps that were saved are on the disk.

        Raises
        ------
        RunError
            The folder cannot be written.
        """
        for maps in {self.maps_path(folder, 0).parent, relevance_path(folder, 0).parent}:
            if maps.exists():
                sync_folder(maps)

    def _kept(self, maps: NDArray[np.float32], step: int) -> NDArray[Any]:
        # Channels are summed in float64, as pictures and tables do.
        exact = pixels(maps.astype(np.float64)) if self.keep == "pixels" else maps
        with np.errstate(over="ignore"):
            found = exact.astype(self.dtype)
        if bool((np.isinf(found) & np.isfinite(exact)).any()):
            largest = float(np.abs(exact[np.isfinite(exact)]).max())
            raise RunError(
                f"step {step:,}: relevance of {largest:.3g} is more than {self.dtype} holds "
                f"({float(np.finfo(self.dtype).max):g}); keep it with --dtype float32"
            )
        return found

    def is_there(self, folder: Path, step: int, shape: tuple[int, ...]) -> bool:
        """Tell whether the maps of `step`, and what is kept of them, are there and whole."""
        return _holds(self.maps_path(folder, step), shape, "float32") and (
            self.whole or self.is_kept(folder, step, shape)
        )

    def is_kept(self, folder: Path, step: int, shape: tuple[int, ...]) -> bool:
        """Tell whether what is kept of `step` is there and whole."""
        path = relevance_path(folder, step)
        return self.keep == "none" or _holds(path, self.kept_shape(shape), self.dtype)

    def forget(self, folder: Path, steps: Iterable[int]) -> None:
        """Delete the maps of steps that are not kept and not needed any more."""
        for step in steps if not self.whole else ():
            delete(self.maps_path(folder, step))

    def finish(self, folder: Path, steps: Iterable[int]) -> None:
        """Delete the last maps that are not kept, and their folder."""
        if not (folder / WORKING).exists():
            return
        self.forget(folder, steps)
        with contextlib.suppress(OSError):  # something else lies in it
            (folder / WORKING).rmdir()


def _holds(path: Path, shape: tuple[int, ...], dtype: str) -> bool:
    try:
        found = opened(path)
    except (OSError, ValueError, EOFError):
        return False
    return found.shape == shape and bool(found.dtype == np.dtype(dtype))
