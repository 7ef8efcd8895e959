"""Opens files of observations; their arrays are read when they are needed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.errors import ObservationError
from lrpdyn.files import nearby
from lrpdyn.files.images import picture_shape, read_picture
from lrpdyn.files.npy import Outline, is_npy, load_npy, open_npz, read_outline, size_of
from lrpdyn.files.plain import open_plain
from lrpdyn.files.reasons import reason_of
from lrpdyn.files.streamed import Streamed, in_file, in_memory, kept, slices
from lrpdyn.remote.path import as_path

IMAGES, ARRAYS = nearby.IMAGES, nearby.ARRAYS
#: The array that is read of a recording (`lrpdyn.observations.recording`), and two that make it one.
OBSERVATIONS = "observations"
_RECORDED = {"outputs", "about"}


def files_inside(folder: Path) -> list[Path]:
    """Return the files of a folder, frame_9 before frame_10.

    Raises
    ------
    ObservationError
        There are none.
    """
    found = [path for path in folder.iterdir() if path.suffix.lower() in IMAGES + ARRAYS]
    if not found:
        raise ObservationError(f"{folder}: holds no .npy, .npz, .png or .jpg file")
    return sorted(found, key=lambda path: (_natural(path.name), path.name))


def _natural(name: str) -> list[tuple[int, int, str]]:
    parts = re.split(r"([0-9]+)", name)
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts if part]


def open_observations(path: Path, folder: Path | None) -> Streamed:
    """Return the array of a file, of which nothing is read yet; a picture is (H, W) or (H, W, C).

    Parameters
    ----------
    path
        A file, or ``FILE.npz:KEY``.
    folder
        Where a large array that is unpacked is kept, see `lrpdyn.files.streamed.kept`.

    Raises
    ------
    ObservationError
        It cannot be read, or holds no numbers.
    """
    path, key = _with_key(path)
    suffix = path.suffix.lower()
    if suffix not in IMAGES + ARRAYS:
        raise ObservationError(
            f"{path}: expected a .npy, .npz, .png or .jpg file, or a folder of them"
        )
    with naming(path):
        if suffix in IMAGES:
            return check_numbers(_picture(path), str(path))
        packed = suffix == ".npz" and not is_npy(path)
        found = _member(path, key, folder) if packed else _array(path)
    return check_numbers(found, str(path))


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file in the error where what is done within cannot read it.

    Raises
    ------
    ObservationError
        The file is not there, or its content is no array.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise ObservationError(f"{path}: no such file{nearby.similar_path(str(path))}") from error
    except (OSError, ValueError, MemoryError) as error:
        raise ObservationError(
            f"{path}: cannot be read as observations: {reason_of(error)}"
        ) from error


def check_numbers(array: Streamed, where: str) -> Streamed:
    """Return the array, which holds numbers.

    Raises
    ------
    ObservationError
        It holds no numbers.
    """
    if 0 in array.shape:
        raise ObservationError(
            f"{where}: holds no observations: its shape is {array.shape}; expected one or more"
        )
    if array.dtype.kind not in "uifb":
        raise ObservationError(
            f"{where}: expected numbers, found {array.dtype} of shape {array.shape}"
        )
    return array


def _with_key(path: Path) -> tuple[Path, str | None]:
    """Split ``FILE.npz:KEY``."""
    name, separator, key = str(path).rpartition(".npz:")
    return (as_path(f"{name}.npz"), key) if separator and not path.exists() else (path, None)


def shapes_inside(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays of a .npz by name, without reading them.

    A .npy file of that name has none.

    Raises
    ------
    ObservationError
        It cannot be read.
    """
    found: dict[str, tuple[int, ...]] = {}
    with naming(path):
        if is_npy(path):
            return found
        with open_npz(path) as archive:
            for name in archive.names:
                with archive.opened(name) as (outline, _):
                    found[name] = outline.shape
    return found


def _picture(path: Path) -> Streamed:
    """Return a picture that is decoded whenever it is read."""

    def decoded(start: int, stop: int) -> NDArray[Any]:
        with naming(path):
            return read_picture(path)[start:stop]

    return Streamed(picture_shape(path), np.uint8, decoded)


def _array(path: Path) -> Streamed:
    with ExitStack() as stack:
        file = stack.enter_context(open_plain(path))  # of a remote file, its copy
        outline = read_outline(file, size_of(file))
        if not outline.fortran and outline.shape:
            stack.pop_all()
            return in_file(file, file.tell(), outline.shape, outline.dtype)
    return in_memory(load_npy(path))  # not one sample after the other


def _member(path: Path, key: str | None, folder: Path | None) -> Streamed:
    """Return an array of a .npz, unpacked: the one called `key`, or its only one."""
    with open_npz(path) as archive:
        names = archive.names
        if key is None and len(names) == 1:
            key = names[0]
        if key is None and set(names) >= _RECORDED:
            inputs = [name for name in names if name.split(".")[0] == OBSERVATIONS]
            key = inputs[0] if len(inputs) == 1 else None
        if key not in names:
            said = f"none called {key}" if key else "more than one"
            raise ObservationError(
                f"{path}: holds the arrays {', '.join(names[:10]) or '(none)'}, and {said}; say which "
                f"as {path.name}:{names[0] if names else 'KEY'}"
            )
        with archive.opened(key) as (outline, file):
            if not outline.fortran and outline.shape:
                unpacked = kept(outline.shape, outline.dtype, _parts(file, outline), folder)
                return unpacked if isinstance(unpacked, Streamed) else in_memory(unpacked)
        return in_memory(archive.arrays([key])[key])


def _parts(file: IO[bytes], outline: Outline) -> Iterator[NDArray[Any]]:
    """Yield the samples that follow one another in a file that is read once, to its end."""
    for chosen in slices(outline.shape):
        part = np.empty((chosen.stop - chosen.start, *outline.shape[1:]), dtype=outline.dtype)
        content = file.read(part.nbytes)
        if len(content) < part.nbytes:
            raise EOFError("it ends early")
        part.reshape(-1).view(np.uint8)[:] = np.frombuffer(content, dtype=np.uint8)
        yield part
    file.read(1)
