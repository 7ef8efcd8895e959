"""From files to one checked array of observations, as the network sees them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.array_files import is_npy, load_npy, open_npz
from lrpdyn.errors import ObservationError, UsageError
from lrpdyn.observation_choice import choose
from lrpdyn.observation_stacks import grey, in_order, merged, stack_frames, together
from lrpdyn.observation_statistics import Statistics, from_file, from_options, imagenet
from lrpdyn.pictures import read_picture

IMAGES = (".png", ".jpg", ".jpeg")
ARRAYS = (".npy", ".npz")
LAYOUTS = ("NCHW", "NHWC", "CHW", "HWC", "NHW", "HW", "NF", "F", "NKHWC", "NKCHW")


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
    their numbers among all that were read; `normalisation` was applied after the division, and
    `preparation` says what was done besides.
    """

    values: NDArray[np.float32]
    files: tuple[str, ...]
    layout: str
    scale: float
    pixels: bool = False
    chosen: tuple[int, ...] = ()
    normalisation: Statistics | None = None
    preparation: Mapping[str, Any] = field(default_factory=dict)


def load_observations(
    sources: Sequence[str | Path | NDArray[Any]],
    expected: Expected,
    *,
    layout: str | None = None,
    scale: str | float | None = None,
    samples: str | Sequence[int] | None = None,
    stack: int | None = None,
    stack_order: str = "oldest",
    mean: Any = None,
    std: Any = None,
    statistics: str | Path | None = None,
    select: str | None = None,
    seed: int = 0,
    trust: bool = False,
) -> Observations:
    """Read, arrange, choose, scale and normalise observations.

    Parameters
    ----------
    sources
        Files (.npy, .npz or ``FILE.npz:KEY``, .png, .jpg), folders of them, or arrays.
    expected
        What the network takes.
    layout
        One of `LAYOUTS`; told from the network's channels where not given.
    scale
        What the observations are divided by, ``none``, or ``imagenet``; told by the architecture
        for uint8.
    samples
        ``0,3,7`` or ``0-3``; all where not given.
    stack
        The sources hold single frames: make each run of so many into one observation.
    stack_order
        ``newest`` turns the frames of each stack round; the network gets ``oldest`` first.
    mean, std
        Subtracted, and divided by, after `scale`: one number, one a channel, or a .npy file.
    statistics
        A file of running means and variances, applied instead: a checkpoint of sample-factory, or
        ``vecnormalize.pkl`` (with `trust`).
    select, seed
        ``spread:K`` or ``random:K``; see `lrpdyn.observation_choice.choose`.
    trust
        Believe a ``vecnormalize.pkl``.

    Raises
    ------
    ObservationError
        A file cannot be read, or its shape, range or values do not fit the network.
    """
    arrays, files = _read_all(sources, stack, expected.channels)
    arranged = [
        _arrange(array, name, expected, layout if stack is None else "NCHW")
        for array, name in zip(arrays, files, strict=True)
    ]
    shapes = {values.shape[1:] for values, _ in arranged}
    if len(shapes) > 1:
        raise ObservationError(f"observations differ in shape: {', '.join(map(str, shapes))}")
    kinds = {array.dtype for array in arrays}
    if len(kinds) > 1:
        raise ObservationError(f"observations differ in type: {', '.join(map(str, kinds))}")
    values = np.concatenate([values for values, _ in arranged])
    chosen = choose(values, samples, select, seed)
    values = in_order(values[chosen], stack_order) if values.ndim == 4 else values[chosen]
    normalisation = _statistics(expected, scale, mean, std, statistics, trust)
    divisor = _divisor(values, expected, scale, normalisation)
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large is refused right below
        scaled = values.astype(np.float32)
        if divisor != 1:
            scaled = scaled / np.float32(divisor)
    if not np.isfinite(scaled).all():
        sample = int(np.argwhere(~np.isfinite(scaled))[0][0])
        raise ObservationError(f"observations hold NaN or infinity, first in sample {sample}")
    if str(scale) == "imagenet":
        _check_range(scaled, Expected(range=(0.0, 1.0)))
    elif scale is None and normalisation is None:
        _check_range(scaled, expected)
    if expected.shape is not None and scaled.shape[1:] not in _shapes_of(expected.shape):
        raise ObservationError(
            f"observations have shape {scaled.shape[1:]} for each sample; the checkpoint says that "
            f"the network was trained on {expected.shape}"
        )
    if normalisation is not None:
        scaled = normalisation.apply(scaled)
    preparation = {
        "stack": stack, "stack_order": stack_order, "select": select,
        "seed": seed if select else None, "samples": chosen if select or samples else None,
        "mean": _plain(mean), "std": _plain(std), "statistics": _plain(statistics),
    }  # fmt: skip
    return Observations(
        np.ascontiguousarray(scaled), tuple(files), arranged[0][1], divisor,
        values.dtype == np.uint8, tuple(chosen), normalisation, preparation,
    )  # fmt: skip


def _plain(value: Any) -> str | None:
    return None if value is None else str(value)


def _statistics(
    expected: Expected, scale: Any, mean: Any, std: Any, statistics: Any, trust: bool
) -> Statistics | None:
    given = from_options(mean, std, expected.channels)
    if str(scale) == "imagenet":
        if given is not None or statistics is not None:
            raise UsageError("--scale imagenet sets mean and deviation: leave the others out")
        return imagenet(expected.channels)
    if statistics is None:
        return given
    if given is not None:
        raise UsageError("--statistics, and --mean or --std: give one of them")
    return from_file(Path(statistics), trust=trust)


def _shapes_of(shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Return `shape` as it stands, and with the channels of an image first."""
    return (shape, (shape[2], shape[0], shape[1])) if len(shape) == 3 else (shape,)


def _read_all(
    sources: Sequence[str | Path | NDArray[Any]], stack: int | None, channels: int | None
) -> tuple[list[NDArray[Any]], list[str]]:
    arrays: list[NDArray[Any]] = []
    files: list[str] = []
    loose: list[Path] = []
    for source in sources:
        if isinstance(source, np.ndarray):
            arrays.append(_checked(source, "the array"))
            files.append("<array>")
            continue
        path = Path(source)
        inside = _inside(path) if path.is_dir() else [path]
        pictures = [file for file in inside if file.suffix.lower() in IMAGES]
        if stack is not None and pictures and not path.is_dir():
            loose += pictures
        elif stack is not None and pictures:
            arrays.append(_frames(pictures, str(path)))
            files.append(str(path))
        else:
            for file in inside:
                arrays.append(_checked(_read(file), str(file)))
                files.append(str(file))
    if loose:
        arrays.append(_frames(loose, str(loose[0])))
        files.append(", ".join(map(str, loose)))
    if not arrays:
        raise ObservationError("no observations given")
    if stack is None:
        return arrays, files
    if stack < 1:
        raise UsageError(f"--stack {stack}: expected 1 or more")
    stacked = []
    for array, name in zip(arrays, files, strict=True):
        plain = grey(array, name) if channels == stack else array
        stacked.append(stack_frames(plain, stack, name))
    return stacked, files


def _inside(folder: Path) -> list[Path]:
    """Return the files of a folder, frame_9 before frame_10."""
    found = [path for path in folder.iterdir() if path.suffix.lower() in IMAGES + ARRAYS]
    if not found:
        raise ObservationError(f"{folder}: holds no .npy, .npz, .png or .jpg file")
    return sorted(found, key=lambda path: (_natural(path.name), path.name))


def _natural(name: str) -> list[tuple[int, int, str]]:
    parts = re.split(r"([0-9]+)", name)
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts if part]


def _frames(files: Sequence[Path], where: str) -> NDArray[Any]:
    return together([_checked(_read(file), str(file)) for file in files], where)


def _read(path: Path) -> NDArray[Any]:
    path, key = _with_key(path)
    suffix = path.suffix.lower()
    if suffix not in IMAGES + ARRAYS:
        raise ObservationError(
            f"{path}: expected a .npy, .npz, .png or .jpg file, or a folder of them"
        )
    try:
        if suffix in IMAGES:
            return read_picture(path, "L", "RGBA", "RGB")
        return _member(path, key) if suffix == ".npz" else load_npy(path)
    except FileNotFoundError as error:
        raise ObservationError(f"{path}: no such file") from error
    except (OSError, ValueError, MemoryError) as error:
        raise ObservationError(f"{path}: cannot be read as observations: {error}") from error


def _with_key(path: Path) -> tuple[Path, str | None]:
    """Split ``FILE.npz:KEY``."""
    name, separator, key = str(path).rpartition(".npz:")
    return (Path(f"{name}.npz"), key) if separator and not path.exists() else (path, None)


def _member(path: Path, key: str | None) -> NDArray[Any]:
    """Return an array of a .npz: the one called `key`, or its only one."""
    if is_npy(path):
        return load_npy(path)
    with open_npz(path) as archive:
        names = archive.names
        if key is None and len(names) == 1:
            key = names[0]
        if key not in names:
            said = f"none called {key}" if key else "more than one"
            raise ObservationError(
                f"{path}: holds the arrays {', '.join(names[:10]) or '(none)'}, and {said}; say which "
                f"as {path.name}:{names[0] if names else 'KEY'}"
            )
        return archive.arrays([key])[key]


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
    if array.ndim == 5 and expected.channels is not None and layout in (None, "NKHWC", "NKCHW"):
        stacks = merged(array, expected.channels)
        if stacks is not None and layout in (None, stacks[1]):
            return stacks
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


def _divisor(
    values: NDArray[Any],
    expected: Expected,
    scale: str | float | None,
    normalisation: Statistics | None,
) -> float:
    if str(scale) == "imagenet":
        return 255.0 if values.dtype == np.uint8 else 1.0
    if scale is None and normalisation is not None and normalisation.raw:
        return 1.0
    if scale is not None:
        if str(scale) == "none":
            return 1.0
        try:
            divisor = float(scale)
        except ValueError:
            divisor = 0.0
        if not 0 < divisor < float("inf"):
            raise UsageError(
                f"--scale {scale}: expected a number above 0, such as 255, or none or imagenet"
            )
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
