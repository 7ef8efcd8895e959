"""Data sets of torchvision, PyTorch and Hugging Face as observations, with their labels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lrpdyn.errors import ObservationError
from lrpdyn.files.streamed import Streamed, in_memory
from lrpdyn.observations.sizing import Sizing, with_sizing

_LABELS = ("label", "labels")


class MapDataset(Protocol):
    """A data set that has a length and gives an entry by its number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


def is_dataset(source: Any) -> bool:
    """Tell whether an object is a map-style data set: it has a length and entries, and is no plain data."""
    plain = (str, bytes, Path, np.ndarray, Mapping, Sequence)
    return not isinstance(source, plain) and all(
        hasattr(source, name) for name in ("__len__", "__getitem__")
    )


class OpenDataset:
    """A data set whose entries are read when they are needed.

    Attributes
    ----------
    array
        (N, ...), the pictures or tensors, as the data set's own transforms leave them.
    where
        The name of its class, for messages and the manifest.
    classes
        The names of its classes, where it has them.
    """

    def __init__(self, dataset: Any, sizing: Sizing | None) -> None:
        self.where = f"<{type(dataset).__name__}>"
        self._dataset, self._sizing = dataset, sizing
        if len(dataset) == 0:
            raise ObservationError(f"{self.where}: the data set is empty")
        self._seen: dict[int, bytes] = {}
        first = self._pixels(dataset[0], 0)
        self._shape, self._kind = first.shape, first.dtype
        self.array = Streamed((len(dataset), *first.shape), first.dtype, self._read)
        self.classes = _classes_of(dataset, dataset[0])

    def label(self, index: int) -> int | None:
        """Return the label of an entry, None where it has none.

        Raises
        ------
        ObservationError
            The entry is another one than when it was read before.
        """
        entry = self._dataset[index]
        if self._seen.get(index) not in (None, _digest(self._pixels(entry, index))):
            raise ObservationError(
                f"{self.where}: entry {index} is another each time it is read; give the data set without "
                "random transforms, as for validation"
            )
        return _label_of(entry)

    def _read(self, start: int, stop: int) -> NDArray[Any]:
        found = np.empty((stop - start, *self._shape), dtype=self._kind)
        for row, index in enumerate(range(start, stop)):
            pixels = self._pixels(self._dataset[index], index)
            if pixels.shape != self._shape or pixels.dtype != self._kind:
                raise ObservationError(
                    f"{self.where}: entry {index} has shape {pixels.shape}, entry 0 {self._shape}; make them "
                    "alike by a transform, or give --resize 224 --crop center:224 (resize=, crop=)"
                )
            self._seen[index] = _digest(pixels)
            found[row] = pixels
        return found

    def _pixels(self, entry: Any, index: int) -> NDArray[Any]:
        from PIL import Image

        where = f"{self.where}: entry {index}"
        value = _observation_of(entry, where)
        if isinstance(value, Image.Image):
            if value.mode not in ("L", "RGB"):
                raise ObservationError(
                    f"{where}: a picture of mode {value.mode}, expected L or RGB; convert it by a transform, "
                    "as in training"
                )
            value = np.asarray(value)
        array = np.asarray(value)
        return with_sizing(in_memory(array), where, self._sizing)[:]


def _observation_of(entry: Any, where: str) -> Any:
    """Return the picture or array of an entry: itself, the first of a tuple, or the one of a dict."""
    from PIL import Image

    if isinstance(entry, Mapping):
        found = [
            name for name, value in entry.items()
            if isinstance(value, Image.Image) or np.ndim(value) > 0
        ]  # fmt: skip
        if len(found) != 1:
            raise ObservationError(
                f"{where}: expected one picture or array, found {', '.join(found) or 'none'} among "
                f"{', '.join(map(str, entry))}; leave the others out (select_columns)"
            )
        return entry[found[0]]
    value = entry[0] if isinstance(entry, tuple | list) and len(entry) else entry
    if isinstance(value, Image.Image):
        return value
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        array = np.asarray(None)
    if array.dtype.kind not in "uifb" or array.ndim == 0:
        raise ObservationError(
            f"{where}: is {type(value).__name__}, expected a picture, an array or a tensor, alone, first of "
            "a tuple, or in a dict"
        )
    return array


def _label_of(entry: Any) -> int | None:
    if isinstance(entry, Mapping):
        named = [entry[name] for name in _LABELS if name in entry]
        value = named[0] if len(named) == 1 else None
    else:
        value = entry[1] if isinstance(entry, tuple | list) and len(entry) > 1 else None
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        return None
    return int(array.item()) if array.dtype.kind in "ui" and array.size == 1 else None


def _classes_of(dataset: Any, entry: Any) -> tuple[str, ...]:
    names = getattr(dataset, "classes", None)
    if isinstance(entry, Mapping):
        features = getattr(dataset, "features", None) or {}
        names = next((getattr(features[n], "names", None) for n in _LABELS if n in features), None)
    texts = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    return tuple(names) if texts and names else ()


def _digest(pixels: NDArray[Any]) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).digest()
