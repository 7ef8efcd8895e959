"""From files to one checked array of observations, as the network sees them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.errors import ObservationError, UsageError

IMAGES = (".png", ".jpg", ".jpeg")
ARRAYS = (".npy", ".npz")
LAYOUTS = ("NCHW", "NHWC", "CHW", "HWC", "NHW", "HW", "NF", "F")


@dataclass(frozen=True)
class Expected:
    """What the network takes.

    `channels` where it begins with a convolution, `features` (entries of one sample) where it
    begins with a Linear layer; `divisor` of uint8 and `range` as in
    `lrpdyn.architectures.model.Preprocessing`; `shape` of one sample where the checkpoint tells it.
    """

    channels: int | None = None
    features: int | None = None
    divisor: float | None = None
    range: tuple[float, float] | None = None
    shape: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Observations:
    """`values` is (N, C, H, W) or (N, F), float32; the rest says where it came from.

    `pixels` tells that they were bytes, 0 to 255 before they were divided by `scale`; `chosen` are
    their numbers among all that were read.
    """

    values: NDArray[np.float32]
    files: tuple[str, ...]
    layout: str
    scale: float
    pixels: bool = False
    chosen: tuple[int, ...] = ()


def load_observations(
    sources: Sequence[str | Path | NDArray[Any]],
    expected: Expected,
    *,
    layout: str | None = None,
    scale: str | float | None = None,
    samples: str | Sequence[int] | None = None,
) -> Observations:
    """Read, arrange, scale and choose observations.

    Parameters
    ----------
    sources
        Files (.npy, .npz, .png, .jpg), folders of them, or arrays.
    expected
        What the network takes.
    layout
        One of `LAYOUTS`; told from the network's channels where not given.
    scale
        What the observations are divided by, or ``none``; told by the architecture for uint8.
    samples
        ``0,3,7`` or ``0-3``; all where not given.

    Raises
    ------
    ObservationError
        A file cannot be read, or its shape, range or values do not fit the network.
    """
    arrays, files = _read_all(sources)
    arranged = [
        _arrange(array, name, expected, layout) for array, name in zip(arrays, files, strict=True)
    ]
    shapes = {values.shape[1:] for values, _ in arranged}
    if len(shapes) > 1:
        raise ObservationError(f"observations differ in shape: {', '.join(map(str, shapes))}")
    kinds = {array.dtype for array in arrays}
    if len(kinds) > 1:
        raise ObservationError(f"observations differ in type: {', '.join(map(str, kinds))}")
    values = np.concatenate([values for values, _ in arranged])
    chosen = _chosen(samples, len(values))
    values = values[chosen]
    divisor = _divisor(values, expected, scale)
    scaled = values.astype(np.float32)
    if divisor != 1:
        scaled = scaled / np.float32(divisor)
    if not np.isfinite(scaled).all():
        sample = int(np.argwhere(~np.isfinite(scaled))[0][0])
        raise ObservationError(f"observations hold NaN or infinity, first in sample {sample}")
    if scale is None:
        _check_range(scaled, expected)
    if expected.shape is not None and scaled.shape[1:] not in _shapes_of(expected.shape):
        raise ObservationError(
            f"observations have shape {scaled.shape[1:]} for each sample; the checkpoint says that "
            f"the network was trained on {expected.shape}"
        )
    return Observations(np.ascontiguousarray(scaled), tuple(files), arranged[0][1], divisor,
                        values.dtype == np.uint8, tuple(chosen))  # fmt: skip


def _shapes_of(shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Return `shape` as it stands, and with the channels of an image first."""
    return (shape, (shape[2], shape[0], shape[1])) if len(shape) == 3 else (shape,)


def _read_all(
    sources: Sequence[str | Path | NDArray[Any]],
) -> tuple[list[NDArray[Any]], list[str]]:
    arrays: list[NDArray[Any]] = []
    files: list[str] = []
    for source in sources:
        if isinstance(source, np.ndarray):
            arrays.append(_checked(source, "the array"))
            files.append("<array>")
            continue
        path = Path(source)
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGES + ARRAYS)
            if not inside:
                raise ObservationError(f"{path}: holds no .npy, .npz, .png or .jpg file")
        else:
            inside = [path]
        for file in inside:
            arrays.append(_checked(_read(file), str(file)))
            files.append(str(file))
    if not arrays:
        raise ObservationError("no observations given")
    return arrays, files


def _read(path: Path) -> NDArray[Any]:
    suffix = path.suffix.lower()
    if suffix not in IMAGES + ARRAYS:
        raise ObservationError(
            f"{path}: expected a .npy, .npz, .png or .jpg file, or a folder of them"
        )
    try:
        if suffix in IMAGES:
            from PIL import Image

            with Image.open(path) as image:
                plain = image if image.mode in ("L", "RGB", "RGBA") else image.convert("RGB")
                return np.asarray(plain)
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            names = loaded.files
            if len(names) != 1:
                raise ObservationError(
                    f"{path}: holds {len(names)} arrays, expected one: {names[:6]}"
                )
            return np.asarray(loaded[names[0]])
    except FileNotFoundError as error:
        raise ObservationError(f"{path}: no such file") from error
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise ObservationError(f"{path}: cannot be read as observations: {error}") from error


def _checked(array: NDArray[Any], where: str) -> NDArray[Any]:
    if array.dtype.kind not in "uifb" or array.size == 0:
        raise ObservationError(
            f"{where}: expected numbers, found {array.dtype} of shape {array.shape}"
        )
    return array


def _arrange(
    array: NDArray[Any], where: str, expected: Expected, layout: str | None
) -> tuple[NDArray[Any], str]:
    """Return the array as (N, C, H, W) or (N, F), and the layout that it had."""
    candidates = [layout] if layout else _possible(array.shape, expected)
    fits = {name: values for name in candidates if (values := _as(array, name)) is not None}
    if layout and not fits:
        raise UsageError(f"--layout {layout}: {where} has {array.ndim} dimensions, {array.shape}")
    if not fits:
        takes = (
            f"{expected.channels} channels"
            if expected.channels is not None
            else f"{expected.features} entries for each sample"
        )
        raise ObservationError(
            f"{where}: shape {array.shape} does not fit the network, which takes {takes}"
        )
    if len({values.shape for values in fits.values()}) > 1 or len(fits) > 1:
        raise ObservationError(
            f"{where}: shape {array.shape} may be {' or '.join(fits)}; say which with --layout"
        )
    return next((values, name) for name, values in fits.items())


def _possible(shape: tuple[int, ...], expected: Expected) -> list[str]:
    channels = expected.channels
    if channels is not None:
        places = {"NCHW": 1, "NHWC": 3, "CHW": 0, "HWC": 2}
        fits = [
            name
            for name, place in places.items()
            if len(name) == len(shape) and shape[place] == channels
        ]
        if not fits and channels == 1 and len(shape) in (2, 3):
            fits = ["NHW" if len(shape) == 3 else "HW"]
        return fits
    entries = expected.features
    if len(shape) == 1:
        return ["F"] if shape[0] == entries else []
    if int(np.prod(shape[1:])) == entries:
        return [{2: "NF", 3: "NHW", 4: "NCHW"}.get(len(shape), "NF")]
    if int(np.prod(shape)) == entries:
        return [{2: "HW", 3: "CHW"}.get(len(shape), "F")]
    return []


def _as(array: NDArray[Any], layout: str) -> NDArray[Any] | None:
    if len(layout) != array.ndim:
        return None
    if "N" not in layout:
        array, layout = array[None], "N" + layout
    if layout == "NHW":
        return array[:, None]
    return np.moveaxis(array, -1, 1) if layout == "NHWC" else array


def _chosen(samples: str | Sequence[int] | None, count: int) -> list[int]:
    if samples is None:
        return list(range(count))
    indices: list[int] = []
    for part in samples.split(",") if isinstance(samples, str) else map(str, samples):
        found = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if found is None:
            raise UsageError(f"--samples {samples}: expected numbers such as 0,3,7 or 0-3")
        indices += range(int(found[1]), int(found[2] or found[1]) + 1)
    wrong = [index for index in indices if index >= count]
    if wrong or not indices or len(set(indices)) < len(indices):
        raise UsageError(
            f"--samples {samples}: expected different numbers from 0 to {count - 1}, for there are "
            f"{count} observations"
        )
    return indices


def _divisor(values: NDArray[Any], expected: Expected, scale: str | float | None) -> float:
    if scale is not None:
        if str(scale) == "none":
            return 1.0
        try:
            divisor = float(scale)
        except ValueError:
            divisor = 0.0
        if not 0 < divisor < float("inf"):
            raise UsageError(f"--scale {scale}: expected a number above 0, such as 255, or none")
        return divisor
    if values.dtype != np.uint8:
        return 1.0
    if expected.divisor is None:
        raise ObservationError(
            "uint8 observations: how this network wants its pixels is not known; say what they are "
            "divided by, --scale 255, or --scale none if the network does it"
        )
    return expected.divisor


def _check_range(values: NDArray[np.float32], expected: Expected) -> None:
    if expected.range is None:
        return
    low, high = expected.range
    least, most = float(values.min()), float(values.max())
    if least < low or most > high:
        hint = (
            "--scale 255 if they are pixels of 0..255" if high == 1 else "--scale none to keep them"
        )
    elif high == 255 and values.dtype.kind == "f" and 0 < most <= 1:
        hint = "--scale 0.00392156862745098 (1/255) if they are pixels divided by 255"
    else:
        return
    raise ObservationError(
        f"observations lie in {least:g}..{most:g}, the network takes {low:g}..{high:g}; {hint}"
    )
