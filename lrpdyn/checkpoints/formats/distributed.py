"""Checkpoints of torch.distributed.checkpoint: a folder with ``.metadata`` and ``*.distcp`` files.

torch reads ``.metadata`` with pickle, which runs what it says; here it is only followed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lrpdyn.checkpoints.containers import Part, Payload, check_shared, damaged, open_file
from lrpdyn.checkpoints.formats.rawtensors import are_counts, is_shape
from lrpdyn.checkpoints.formats.torchfile import load_tensor, plain_value
from lrpdyn.checkpoints.model import Choice, Header, Reader
from lrpdyn.checkpoints.payload import locate, step_of
from lrpdyn.checkpoints.pickles.globals import dangerous
from lrpdyn.checkpoints.pickles.outline import DamagedPickleError, outline
from lrpdyn.errors import CheckpointError
from lrpdyn.files.text import printable

METADATA = ".metadata"
_OWN = "torch.distributed.checkpoint."
_LONGEST_VALUE = 1 << 16
_DEEPEST = 64


@dataclass(frozen=True, kw_only=True)
class _Chunk:
    """A block of a tensor: where it begins in the tensor, and where it lies in which file."""

    at: tuple[int, ...]
    file: Path
    start: int
    length: int


@dataclass(frozen=True, kw_only=True)
class _Tensor:
    shape: tuple[int, ...]
    dtype: torch.dtype
    chunks: tuple[_Chunk, ...]


def header_of(path: Path, choice: Choice) -> Header:
    """Return the header in a folder's ``.metadata``.

    Raises
    ------
    CheckpointError
        It is damaged, or names files that are missing or too short.
    """
    root = _read(path)
    where, weights = locate(root, choice.weights, str(path))
    shapes = {key: value.shape for key, value in weights.items() if isinstance(value, _Tensor)}
    return Header(shapes, step=step_of(root), weights=where)


def weights_of(path: Path, choice: Choice) -> Mapping[str, Tensor]:
    """Put the tensors together from their chunks."""
    _, weights = locate(_read(path), choice.weights, str(path))
    tensors = {key: value for key, value in weights.items() if isinstance(value, _Tensor)}
    return {key: _assembled(tensor, f"{path}: {key}") for key, tensor in tensors.items()}


def files_of(path: Path) -> list[Path]:
    """Return the files that hold the weights."""
    return sorted(path.glob("*.distcp"))


def _read(path: Path) -> dict[str, Any]:
    """Return what was saved, with `_Tensor` for each tensor, nested as it was."""
    try:
        with open_file(path / METADATA) as file:
            found = outline(file)
        names = dangerous(name for name in found.names if not name.startswith(_OWN))
        if names:
            raise CheckpointError(
                f"{path}: refused: its {METADATA} is a pickle that wants to use {', '.join(names[:5])}, "
                "which torch does not write; save it again"
            )
        return _nested(path, found.root.state)
    except (DamagedPickleError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise damaged(f"{path}: its {METADATA} is damaged") from error


def _nested(path: Path, metadata: Mapping[str, Any]) -> dict[str, Any]:
    places: dict[str, list[_Chunk]] = {}
    for index, place in metadata["storage_data"].items():
        chunk = _chunk(path, index.state, place.state)
        places.setdefault(_text(index.state["fqn"]), []).append(chunk)
    taken = sum(chunk.length for chunks in places.values() for chunk in chunks)
    check_shared(taken, sum(file.stat().st_size for file in files_of(path)), str(path))
    ways = metadata.get("planner_data")
    root: dict[str, Any] = {}
    for name, saved in metadata["state_dict_metadata"].items():
        way = ways.get(name) if isinstance(ways, dict) else None
        if not isinstance(way, tuple) or not 0 < len(way) <= _DEEPEST:
            way = (name,)
        way = tuple(str(key) if isinstance(key, int) else _text(key) for key in way)
        if saved.name.endswith("TensorStorageMetadata"):
            value: Any = _tensor(path, saved.state, places.get(name, []))
        elif len(way) == 1:
            value = _value(places.get(name, []))
        else:
            continue
        _put(root, way, value)
    return root


def _text(found: Any) -> str:
    if not isinstance(found, str):
        raise TypeError("a name that is no text")
    return found


def _put(root: dict[str, Any], way: tuple[str, ...], value: Any) -> None:
    for key in way[:-1]:
        root = root.setdefault(key, {})
    root[way[-1]] = value


def _tensor(path: Path, saved: Mapping[str, Any], chunks: list[_Chunk]) -> _Tensor:
    shape, properties = saved["size"], saved["properties"].state
    dtype = getattr(torch, properties[0].name.removeprefix("torch."), None)
    if not is_shape(shape) or not isinstance(dtype, torch.dtype):
        raise ValueError("no shape")
    tensor = _Tensor(shape=tuple(shape), dtype=dtype, chunks=tuple(chunks))
    if math.prod(shape) * dtype.itemsize > sum(chunk.length for chunk in chunks):
        raise CheckpointError(f"{path}: is damaged: a tensor of {tensor.shape} has too few bytes")
    return tensor


def _chunk(path: Path, index: Mapping[str, Any], place: Mapping[str, Any]) -> _Chunk:
    name, start, length = _text(place["relative_path"]), place["offset"], place["length"]
    if place.get("transform_descriptors"):
        raise CheckpointError(f"{path}: its files are compressed; save it without that")
    if Path(name).name != name or not name.endswith(".distcp"):
        raise CheckpointError(
            f"{path}: refused: its {METADATA} names the file {printable(name)}, expected one of its "
            "own *.distcp"
        )
    if not are_counts([start, length]):
        raise ValueError("no place")
    file = path / name
    if not file.is_file() or start + length > file.stat().st_size:
        raise damaged(f"{path}: {name} is missing or cut short")
    at = index.get("offset")
    if at is not None and not are_counts(at):
        raise ValueError("no offset")
    return _Chunk(at=tuple(at or ()), file=file, start=start, length=length)


def _value(chunks: list[_Chunk]) -> Any:
    """Return a plain number or text that was saved next to the tensors, else None."""
    if len(chunks) != 1 or chunks[0].length >= _LONGEST_VALUE:
        return None
    return plain_value(_payload(chunks[0]))


def _payload(chunk: _Chunk) -> Payload:
    with open_file(chunk.file) as file:
        return Part(file, chunk.start, chunk.length).payload()


def _assembled(tensor: _Tensor, where: str) -> Tensor:
    if not tensor.chunks:
        raise CheckpointError(f"{where}: has no data")
    whole = torch.empty(tensor.shape, dtype=tensor.dtype)
    covered = 0
    for chunk in tensor.chunks:
        block = load_tensor(_payload(chunk), where)
        at = chunk.at or (0,) * block.ndim
        ends = [start + size for start, size in zip(at, block.shape, strict=False)]
        fits = len(at) == block.ndim == whole.ndim and block.dtype == whole.dtype
        if not fits or any(end > size for end, size in zip(ends, whole.shape, strict=True)):
            raise CheckpointError(f"{where}: a part of it has shape {tuple(block.shape)} at {at}")
        whole[tuple(slice(start, end) for start, end in zip(at, ends, strict=True))] = block
        covered += block.numel()
    if covered != whole.numel():
        raise CheckpointError(f"{where}: only {covered:,} of {whole.numel():,} entries are there")
    return whole


READER = Reader(
    format="distributed",
    recognise=lambda entry: METADATA in entry.names,
    header=header_of,
    weights=weights_of,
    files=files_of,
)
