"""Named parts of the observations, read from a file, and their shares of the relevance."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.errors import ObservationError, UsageError
from lrpdyn.files.atomic import whole_file
from lrpdyn.files.images import picture_shape, read_picture
from lrpdyn.files.npy import load_npz
from lrpdyn.files.reasons import reason_of
from lrpdyn.files.streamed import Samples
from lrpdyn.observations.fills import Fill
from lrpdyn.observations.objects import find_objects

Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Regions:
    """R regions of N samples.

    `masks` broadcast to (R, N, C, H, W), or (R, N, F): a mask for all samples, or all frames, is kept
    once. `sha256` is of names and masks.
    """

    names: tuple[str, ...]
    masks: Mask
    sha256: str

    def of_sample(self, region: int, shape: tuple[int, ...]) -> Mask:
        """Return the mask of one region for observations of `shape` (N, ...)."""
        return np.broadcast_to(self.masks[region], shape)

    def part(self, chosen: slice) -> Regions:
        """Return the regions of some samples."""
        if self.masks.shape[1] == 1:
            return self
        return replace(self, masks=self.masks[:, chosen])

    def areas(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Return each region's share of the entries of each sample, (R, N)."""
        masks = self.masks.reshape(*self.masks.shape[:2], -1)
        return np.broadcast_to(masks.mean(axis=2), (len(self.names), shape[0]))


@dataclass(frozen=True, kw_only=True)
class Painting:
    """The regions that are painted over, and what they are painted with."""

    regions: Regions
    fill: Fill

    @property
    def key(self) -> str:
        """A text that differs between any two paintings."""
        return f"{self.regions.sha256}:{self.fill.plain!r}"


def read_regions(path: str | Path, shape: tuple[int, ...]) -> Regions:
    """Return the regions in a PNG of labelled colours, or an .npz of named masks.

    Parameters
    ----------
    path
        PNG: every colour but black (and what is transparent) is a region, named by its colour
        (``ff0000``), for all samples. .npz: every array is a mask, named by its key, 0 outside:
        (H, W) for all samples, (N, H, W) for each, (N, C, H, W) for each frame; (F,) or (N, F) for
        flat observations; (T, H, W) and (N, T, H, W), or (T, F) and (F,), for the steps of sequences.
    shape
        Of the observations, (N, C, H, W) or (N, F), or of sequences (N, T, C, H, W) or (N, T, F).

    Raises
    ------
    ObservationError
        The file cannot be read, or a mask does not fit the observations.
    """
    file = Path(path)
    try:
        found = _from_png(file, shape) if file.suffix.lower() == ".png" else _from_npz(file)
    except (OSError, ValueError, MemoryError) as error:
        raise ObservationError(
            f"--regions {file}: cannot be read ({reason_of(error)}); expected a PNG of labelled colours or "
            "an .npz of named masks"
        ) from error
    if not found:
        raise ObservationError(f"--regions {file}: holds no region; a PNG needs a colour but black")
    masks = {name: _fitted(mask, shape, f"{file}: {name}") for name, mask in found.items()}
    whole = np.broadcast_shapes(*(mask.shape for mask in masks.values()))
    stacked = np.stack([np.broadcast_to(mask, whole) for mask in masks.values()])
    names = tuple(re.sub(r"\W+", "_", name) for name in masks)
    if len(set(names)) < len(names):
        raise ObservationError(
            f"--regions {file}: two regions have the same name: {', '.join(masks)}"
        )
    return named_regions(names, stacked)


def find_regions(observations: Samples) -> tuple[Regions | None, str]:
    """Return the objects of observations as regions, ``object_1`` the largest, and why there are none.

    Raises
    ------
    ObservationError
        The observations are no pictures.
    """
    if len(observations.shape) < 4:
        raise ObservationError(
            f"--regions auto: finds objects in pictures, found observations of shape "
            f"{tuple(observations.shape)}; name their features in an .npz of masks"
        )
    masks, why = find_objects(observations[:])
    if not masks:
        return None, why
    names = tuple(f"object_{number}" for number in range(1, len(masks) + 1))
    return named_regions(names, np.stack(masks)), ""


def renamed(regions: Regions, names: Mapping[int, str]) -> Regions:
    """Return regions of which some have another name, by their numbers from 1; those of one name are one.

    Raises
    ------
    UsageError
        There is no region of a number.
    """
    count = len(regions.names)
    unknown = sorted(number for number in names if not 1 <= number <= count)
    if unknown:
        raise UsageError(
            f"--name {unknown[0]}={names[unknown[0]]}: expected a number from 1 to {count}"
        )
    called = [names.get(number, name) for number, name in enumerate(regions.names, start=1)]
    kinds = tuple(dict.fromkeys(called))
    of = np.array(called)
    return named_regions(kinds, np.stack([regions.masks[of == kind].any(axis=0) for kind in kinds]))


def write_masks(path: Path, regions: Regions) -> None:
    """Write regions as an .npz of named masks, which `read_regions` reads.

    Raises
    ------
    RunError
        The file cannot be written.
    """
    masks: dict[str, Any] = dict(zip(regions.names, regions.masks, strict=True))
    with whole_file(path, "wb") as file:
        np.savez_compressed(file, **masks)


def save_regions(path: Path, regions: Regions) -> None:
    """Write regions as `open_regions` reads them."""
    with whole_file(path, "wb") as file:
        np.savez(file, names=np.array(regions.names), masks=regions.masks)


def open_regions(path: Path, shape: tuple[int, ...]) -> Regions:
    """Return what `save_regions` wrote, for observations of `shape`.

    Raises
    ------
    ObservationError
        The file cannot be read, or holds something else.
    """
    try:
        found = load_npz(path)
        names, masks = found["names"], found["masks"]
        fits = (names.dtype.kind, masks.dtype.kind) == ("U", "b") and len(masks) > 0
        if not fits or names.shape != masks.shape[:1]:
            raise ValueError("expected names and their masks")
        np.broadcast_to(masks[0], shape)
    except (OSError, ValueError, KeyError, IndexError, MemoryError) as error:
        raise ObservationError(f"{path}: cannot be read ({reason_of(error)})") from error
    return named_regions(tuple(names.tolist()), masks)


def named_regions(names: tuple[str, ...], stacked: Mask) -> Regions:
    """Return regions of masks (R, N, ...) with these names."""
    digest = hashlib.sha256("\n".join(names).encode())
    digest.update(str(stacked.shape).encode() + np.packbits(stacked).tobytes())
    return Regions(names=names, masks=stacked, sha256=digest.hexdigest())


def _from_png(path: Path, shape: tuple[int, ...]) -> dict[str, Mask]:
    # Before its pixels are read: they may be very many.
    height, width = picture_shape(path, "RGBA")[:2]
    if (height, width) != shape[-2:]:
        raise _misfit(str(path), (height, width), [shape[-2:]], shape)
    pixels = np.ascontiguousarray(read_picture(path, "RGBA"))
    # A number for each colour: rows of four would be sorted a hundred times as slowly.
    colours, labels = np.unique(pixels.view(">u4")[..., 0], return_inverse=True)
    labels = labels.reshape(height, width)
    if len(colours) > 64:
        raise ValueError(f"{len(colours)} colours, at most 64 are taken for labels")
    return {
        f"{colour >> 8:06x}": labels == label
        for label, colour in enumerate(colours.tolist())
        if colour & 0xFF and colour >> 8
    }


def _from_npz(path: Path) -> dict[str, Mask]:
    masks = load_npz(path)
    strange = [name for name, mask in masks.items() if mask.dtype.kind not in "buif"]
    if strange:
        raise ValueError(f"{strange[0]} holds {masks[strange[0]].dtype}, expected numbers")
    return {name: mask != 0 for name, mask in masks.items()}


def _fitted(mask: Mask, shape: tuple[int, ...], where: str) -> Mask:
    """Return the mask with the axes of the observations, of length 1 where it is for all."""
    # What a mask of each shape that fits is indexed by.
    fitting: dict[tuple[int, ...], Any]
    if len(shape) < 4:
        fitting = {shape[2:]: (None, None)} if len(shape) == 3 else {}
        fitting |= {shape[1:]: None, shape: ...}
    else:
        picture, rows, columns = shape[-2:], slice(None), slice(None)
        fitting = {picture: (None,) * (len(shape) - 2)}
        if len(shape) == 5:
            fitting[shape[1], *picture] = (None, ..., None, rows, columns)
        fitting |= {(*shape[:-3], *picture): (..., None, rows, columns), shape: ...}
    if mask.shape not in fitting:
        raise _misfit(where, mask.shape, fitting, shape)
    fitted: Mask = mask[fitting[mask.shape]]
    return fitted


def _misfit(
    where: str, found: tuple[int, ...], fitting: Iterable[tuple[int, ...]], shape: tuple[int, ...]
) -> ObservationError:
    expected = [str(one) for one in fitting]
    which = "one of " if len(expected) > 1 else ""
    return ObservationError(
        f"--regions {where}: has shape {found}, expected {which}{', '.join(expected)} for observations of "
        f"shape {shape}"
    )


def shares(maps: NDArray[Any], regions: Regions) -> NDArray[np.float64]:
    """Return the share of sum|R| that lies in each region, (R, N); NaN where the map is zero."""
    size = np.abs(maps.astype(np.float64))
    flat = size.reshape(len(size), -1)
    total = flat.sum(axis=1)
    safe = np.where(total > 0, total, 1.0)
    found = [
        (flat * regions.of_sample(region, maps.shape).reshape(flat.shape)).sum(axis=1)
        for region in range(len(regions.names))
    ]
    return np.where(total > 0, np.stack(found) / safe, np.nan)
