"""Several inputs by name: joined to one, or fixed next to the image that is explained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lrpdyn.checkpoints.formats.sb3_data import features_of_space
from lrpdyn.errors import ObservationError
from lrpdyn.files.npy import open_npz
from lrpdyn.observations.reading import OBSERVATIONS, naming, shapes_inside
from lrpdyn.observations.recording import inputs_of, is_recording
from lrpdyn.observations.spaces import DictInputs
from lrpdyn.remote.path import as_path

#: Values of fixed inputs by name, (N, features) or (N, C, H, W).
FixedInputs = dict[str, NDArray[np.float32]]


def split_inputs(
    sources: Sequence[Any], path: nn.Module, inputs: DictInputs | None = None
) -> tuple[list[Any], FixedInputs]:
    """Return the sources to explain, and the values of the inputs that `path` keeps fixed.

    A network with several inputs takes one ``.npz`` file, or a mapping, with an array for each by
    name. An image alone may be given: the others are zero then, which `notes` says. The same holds for
    the observations of a recurrent network and its hidden states.

    Parameters
    ----------
    sources
        Files and arrays, as `lrpdyn.observations.loading.load_observations` takes them.
    path
        May have ``held``, the sizes of its fixed inputs by name (None: the observations' time steps);
        ``recurrent`` where they are hidden states; ``whole``, the largest of each input that holds whole
        numbers; and ``without``, what is assumed where none is given.
    inputs
        Their spaces, where the checkpoint says them.

    Raises
    ------
    ObservationError
        An array does not have the size of its input, none is the image, or some inputs are missing.
    """
    sizes: Mapping[str, Any] = getattr(path, "held", {})
    if not sizes or len(sources) != 1:
        return list(sources), {}
    named = _arrays(sources[0], sizes)
    if named is None:
        return list(sources), {}
    images, arrays = named
    of_space = {name: one for name, one in images.items() if inputs and name in inputs.spaces}
    images = of_space or images
    missing = [name for name in sizes if name not in arrays]
    if len(images) != 1 or 0 < len(missing) < len(sizes):
        where = "the mapping" if isinstance(sources[0], Mapping) else sources[0]
        found = ", ".join([*images, *(name for name in sizes if name in arrays)]) or "none"
        of_time = is_recurrent(path) or assumed_without(path)
        explained = "the observations" if of_time else "the image"
        lacking = ([] if images else [explained]) + (missing if len(missing) < len(sizes) else [])
        remedy = f"add {' and '.join(lacking)}" if lacking else f"keep one array as {explained}"
        raise ObservationError(
            f"{where}: expected {explained} and an array for each of {', '.join(sizes)}; found {found}; "
            f"{remedy}"
        )
    ((name, (image, shape)),) = images.items()
    own = inputs.spaces.get(name, {}).get("shape", ()) if inputs is not None else ()
    one = len(own) == len(shape) and own != (1, *shape[1:])
    samples = 1 if one or not shape else shape[0]
    steps = shape[1] if len(shape) > 2 else 1
    held = {
        name: _checked(arrays[name], name, _in_time(size, steps), samples, inputs)
        for name, size in sizes.items()
        if name in arrays
    }
    for name, most in getattr(path, "whole", {}).items():
        if name in held:
            _check_whole(held[name], name, most)
    return [image], held


def _in_time(size: Any, steps: int) -> Any:
    """Return the size of an input whose axis of time, None, is as long as the observations'."""
    if not isinstance(size, tuple):
        return size
    return tuple(steps if length is None else length for length in size)


def _check_whole(values: NDArray[np.float32], name: str, most: int) -> None:
    """Raise ObservationError unless all values are whole numbers from 0 to `most`."""
    wrong = values[(values < 0) | (values > most) | (values != np.floor(values))]
    if wrong.size:
        raise ObservationError(
            f"input '{name}': expected whole numbers 0 to {most}, found {wrong[0]:g}"
        )


def _arrays(
    source: Any, sizes: Mapping[str, Any]
) -> tuple[dict[str, tuple[Any, tuple[int, ...]]], dict[str, NDArray[Any]]] | None:
    """Return images, each with its shape, and the other inputs, by name.

    None where the source holds one array alone. An image in a file is not read, but named.
    """
    if isinstance(source, Mapping):
        arrays = {str(name): np.asarray(array) for name, array in source.items()}
        given = {name: array for name, array in arrays.items() if name not in sizes}
        return {name: (array, array.shape) for name, array in given.items()}, arrays
    if not isinstance(source, str | Path) or as_path(source).suffix.lower() != ".npz":
        return None
    shapes = shapes_inside(as_path(source))
    if len(shapes) < 2:
        return None
    recorded = is_recording(as_path(source))
    if recorded and OBSERVATIONS in shapes:
        return None
    keys = inputs_of(shapes) if recorded else {name: name for name in shapes}
    images = {
        name: (f"{source}:{key}", shapes[key]) for name, key in keys.items() if name not in sizes
    }
    with naming(as_path(source)), open_npz(as_path(source)) as archive:
        held = {name: key for name, key in keys.items() if name in sizes}
        arrays = archive.arrays(held.values())
    return images, {name: arrays[key] for name, key in held.items()}


def _checked(
    array: NDArray[Any], name: str, size: Any, samples: int, inputs: DictInputs | None
) -> NDArray[np.float32]:
    """Return an input's values (N, features) or (N, C, H, W) as the network sees them."""
    shape = size if isinstance(size, tuple) else (size,)
    if inputs is not None and name in inputs.spaces:
        seen = inputs.as_seen(name, array)
        if len(seen) != samples:
            raise ObservationError(f"input '{name}': {len(seen)} samples, the image has {samples}")
        return seen.reshape(samples, *shape)
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


def joins(inputs: DictInputs | None, path: nn.Module, features: int | None) -> bool:
    """Return whether a network takes the features of all `inputs` as one flat observation."""
    held = getattr(path, "held", {})
    if inputs is None or features is None or (held and not is_recurrent(path)):
        return False
    return features == sum(size for _, _, size in places_of(inputs))


def names_given(sources: Sequence[Any]) -> set[str]:
    """Return the names of the arrays of one source, empty where it holds one array alone."""
    named = _arrays(sources[0], {}) if len(sources) == 1 else None
    return set() if named is None else set(named[0])


def hidden_states(sources: Sequence[Any], path: nn.Module, samples: int) -> FixedInputs:
    """Return the hidden states next to the inputs of a Dict space; empty where none are given.

    Raises
    ------
    ObservationError
        Some are missing, or one does not fit.
    """
    sizes: Mapping[str, Any] = getattr(path, "held", {})
    named = _arrays(sources[0], sizes) if sizes and len(sources) == 1 else None
    given = {} if named is None else {n: a for n, a in named[1].items() if n in sizes}
    if 0 < len(given) < len(sizes):
        raise ObservationError(
            f"expected hidden states {', '.join(sizes)} or none, found {', '.join(given)}; add the others"
        )
    return {name: _checked(a, name, sizes[name], samples, None) for name, a in given.items()}


def places_of(inputs: DictInputs) -> list[tuple[str, int, int]]:
    """Return the name of each input, its first feature among all, and how many it has."""
    sizes = [features_of_space(space) or 0 for space in inputs.spaces.values()]
    starts = accumulate([0, *sizes[:-1]])
    return list(zip(inputs.spaces, starts, sizes, strict=True))


def join_inputs(source: Any, inputs: DictInputs) -> NDArray[np.float32] | None:
    """Return named arrays as one (N, features), in the order in which the network takes them.

    None where the source is one array, which is in that order already.

    Raises
    ------
    ObservationError
        An input is missing, or its array is not of its space.
    """
    if isinstance(source, Mapping):
        arrays = {str(name): np.asarray(array) for name, array in source.items()}
        keys = {name: name for name in arrays}
    elif isinstance(source, str | Path) and as_path(source).suffix.lower() == ".npz":
        path = as_path(source)
        names = shapes_inside(path)
        keys = inputs_of(names) if is_recording(path) else {name: name for name in names}
        there = {name: key for name, key in keys.items() if name in inputs.spaces}
        if not there and (len(keys) < 2 or OBSERVATIONS in keys):
            return None
        with naming(path), open_npz(path) as archive:
            read = archive.arrays(there.values())
        arrays = {name: read[key] for name, key in there.items()}
    else:
        return None
    missing = [name for name in inputs.spaces if name not in arrays]
    if missing:
        where = "the mapping" if isinstance(source, Mapping) else source
        raise ObservationError(
            f"{where}: expected an array for each input of the observation space, "
            f"{', '.join(inputs.spaces)}; found {', '.join(keys) or 'none'}"
        )
    seen = [inputs.as_seen(name, arrays[name]) for name in inputs.spaces]
    counts = {name: len(values) for name, values in zip(inputs.spaces, seen, strict=True)}
    if len(set(counts.values())) > 1:
        raise ObservationError(f"inputs have different numbers of samples: {counts}")
    return np.concatenate([values.reshape(len(values), -1) for values in seen], axis=1)


def notes(path: nn.Module, held: FixedInputs) -> list[str]:
    """Return sentences on the inputs that are fixed."""
    without = assumed_without(path)
    if without and not held:
        names = ", ".join(getattr(path, "held", {}))
        return [
            f"assumed: {without}; {names} as arrays of one .npz, with the observations, give others"
        ]
    if is_recurrent(path) and not without:
        return _notes_on_states(path, held)
    sizes: Mapping[str, Any] = getattr(path, "held", {})
    zero = [name for name in sizes if name not in held]
    found = []
    if held:
        found.append(f"inputs {', '.join(held)} are kept at their values in each sample")
    if zero:
        found.append(
            f"inputs {', '.join(zero)} are kept at zero: give them, with the image, as arrays of one .npz"
        )
    return found


def what_is_fixed(path: nn.Module, held: FixedInputs) -> str:
    """Return what a part of the score comes from besides the observations; empty where there is nothing."""
    if assumed_without(path) or (held and not is_recurrent(path)):
        return "the inputs that are kept fixed"
    return "the hidden state" if held else ""


def assumed_without(path: nn.Module) -> str:
    """Return what a network's fixed inputs are where none is given; empty where they are zero alone."""
    return str(getattr(path, "without", ""))


def is_recurrent(path: nn.Module) -> bool:
    """Return whether the fixed inputs of a network are the hidden states that it begins with."""
    return bool(getattr(path, "recurrent", False))


def _notes_on_states(path: nn.Module, held: FixedInputs) -> list[str]:
    names = ", ".join(getattr(path, "held", {}))
    if held:
        return [f"hidden state {names} fixed at its values in each sample"]
    return [
        f"assumed: hidden state zero, as where an episode begins; {names} as arrays of one .npz, with the "
        "observations, give another (lrpdyn record keeps them)"
    ]
