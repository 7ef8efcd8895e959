"""Inputs next to the image that is explained: fixed at the values that the user gives, or at zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lrpdyn.errors import ObservationError
from lrpdyn.files.npy import open_npz
from lrpdyn.observations.reading import naming, shapes_inside
from lrpdyn.observations.recording import inputs_of, is_recording
from lrpdyn.remote.path import as_path

#: Values of fixed inputs by name, (N, features) or (N, C, H, W).
FixedInputs = dict[str, NDArray[np.float32]]


def split_inputs(sources: Sequence[Any], path: nn.Module) -> tuple[list[Any], FixedInputs]:
    """Return the sources to explain, and the values of the inputs that `path` keeps fixed.

    A network with several inputs takes one ``.npz`` file, or a mapping, with an array for each by
    name; those that are not in it are zero.

    Parameters
    ----------
    sources
        Files and arrays, as `lrpdyn.observations.loading.load_observations` takes them.
    path
        May have ``held``, the sizes of its fixed inputs by name.

    Raises
    ------
    ObservationError
        An array does not have the size of its input, or none is the image.
    """
    sizes: Mapping[str, Any] = getattr(path, "held", {})
    if not sizes or len(sources) != 1:
        return list(sources), {}
    named = _arrays(sources[0], sizes)
    if named is None:
        return list(sources), {}
    images, arrays = named
    if len(images) != 1:
        raise ObservationError(
            f"{sources[0]}: expected one array beside {', '.join(sizes)}, the image; found "
            f"{', '.join(images) or 'none'}"
        )
    ((image, samples),) = images.values()
    held = {
        name: _checked(arrays[name], name, size, samples)
        for name, size in sizes.items()
        if name in arrays
    }
    return [image], held


def _arrays(
    source: Any, sizes: Mapping[str, Any]
) -> tuple[dict[str, tuple[Any, int]], dict[str, NDArray[Any]]] | None:
    """Return images, each with its number of samples, and the other inputs, by name.

    None where the source holds one array alone. An image in a file is not read, but named.
    """
    if isinstance(source, Mapping):
        arrays = {str(name): np.asarray(array) for name, array in source.items()}
        given = {name: array for name, array in arrays.items() if name not in sizes}
        return {name: (array, len(array)) for name, array in given.items()}, arrays
    if not isinstance(source, str | Path) or as_path(source).suffix.lower() != ".npz":
        return None
    shapes = shapes_inside(as_path(source))
    if len(shapes) < 2:
        return None
    recorded = is_recording(as_path(source))
    keys = inputs_of(shapes) if recorded else {name: name for name in shapes}
    images = {
        name: (f"{source}:{key}", shapes[key][0] if shapes[key] else 0)
        for name, key in keys.items()
        if name not in sizes
    }
    with naming(as_path(source)), open_npz(as_path(source)) as archive:
        held = {name: key for name, key in keys.items() if name in sizes}
        arrays = archive.arrays(held.values())
    return images, {name: arrays[key] for name, key in held.items()}


def _checked(array: NDArray[Any], name: str, size: Any, samples: int) -> NDArray[np.float32]:
    """Return an input's values (N, features) or (N, C, H, W) as the network sees them."""
    shape = size if isinstance(size, tuple) else (size,)
    if isinstance(size, int) and array.ndim == 1 and array.dtype.kind in "ui" and size > 1:
        if array.max(initial=0) >= size or array.min(initial=0) < 0:
            raise ObservationError(f"input '{name}': expected 0 to {size - 1}, found {array.max()}")
        array = np.eye(size, dtype=np.float32)[array]  # a Discrete input is one-hot in the network
    flat = array.reshape(len(array), -1) if len(shape) == 1 else array
    if flat.shape != (samples, *shape) or array.dtype.kind not in "uifb":
        raise ObservationError(
            f"input '{name}': expected shape {(samples, *shape)}, found {array.dtype} of shape "
            f"{array.shape}"
        )
    values = flat.astype(np.float32)
    if len(shape) == 3 and array.dtype == np.uint8:
        values = values / np.float32(255)
    if not np.isfinite(values).all():
        raise ObservationError(f"input '{name}' holds NaN or infinity")
    return values


def notes(path: nn.Module, held: FixedInputs) -> list[str]:
    """Return sentences on the inputs that are fixed."""
    sizes: Mapping[str, Any] = getattr(path, "held", {})
    zero = [name for name in sizes if name not in held]
    found = []
    if held:
        found.append(f"inputs {', '.join(held)} held fixed at their values in each sample")
    if zero:
        found.append(
            f"inputs {', '.join(zero)} held at zero: give them, with the image, as arrays of one .npz"
        )
    return found
