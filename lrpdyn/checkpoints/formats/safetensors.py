"""safetensors: a length, a JSON header, and the numbers; only the header is read for a listing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lrpdyn.checkpoints.containers import damaged, open_file
from lrpdyn.checkpoints.formats.rawtensors import RawTensor, are_counts, is_shape, read_all
from lrpdyn.checkpoints.model import Choice, Header, Reader
from lrpdyn.checkpoints.payload import epoch_of, step_of
from lrpdyn.errors import CheckpointError

#: Some 300,000 tensors. The format allows 100 MB, of which Python would make gigabytes.
_LARGEST_HEADER = 1 << 25
#: The types of numbers by their names.
DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U64": torch.uint64, "U32": torch.uint32, "U16": torch.uint16, "U8": torch.uint8,
    "BOOL": torch.bool, "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
}  # fmt: skip


def recognises(head: bytes) -> bool:
    """Tell whether a file begins as safetensors does."""
    length = int.from_bytes(head[:8], "little")
    return len(head) > 8 and head[8:9] == b"{" and 2 <= length <= _LARGEST_HEADER


def header_of(path: Path, choice: Choice) -> Header:
    """Return the header of a file.

    Raises
    ------
    CheckpointError
        Its header is damaged, or the file is shorter than that says.
    """
    tensors, metadata = tensors_of(path)
    check_choice(choice, str(path))
    numbers = {
        key: int(value)
        for key, value in metadata.items()
        if isinstance(value, str) and re.fullmatch(r"\d{1,18}", value)
    }
    return Header(
        {key: tensor.shape for key, tensor in tensors.items()},
        step=step_of(numbers),
        epoch=epoch_of(numbers),
    )


def weights_of(path: Path, choice: Choice) -> Mapping[str, Tensor]:
    """Read all tensors of a file."""
    check_choice(choice, str(path))
    return read_all(tensors_of(path)[0])


def check_choice(choice: Choice, where: str) -> None:
    """Raise CheckpointError where another set of weights is requested than the only one."""
    if choice.weights != "model":
        raise CheckpointError(
            f"{where}: holds one set of weights and none called {choice.weights}; leave --weights out"
        )


def tensors_of(path: Path) -> tuple[dict[str, RawTensor], Mapping[str, Any]]:
    """Return where the tensors of a file are, and its metadata."""
    with open_file(path) as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(_LARGEST_HEADER, file.size - 8):
            raise damaged(
                f"{path}: is cut short: its header has {length:,} bytes, the file {file.size:,}"
            )
        text = file.read(length)
        size = file.size
    try:
        header = json.loads(text, object_pairs_hook=_without_repetition)
        metadata = header.pop("__metadata__", {})
        tensors = {key: _tensor(path, entry, 8 + length) for key, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise damaged(f"{path}: its safetensors header is damaged") from error
    if not tensors:
        raise CheckpointError(f"{path}: no weights found: its header names no tensor")
    end = 8 + length
    for start, stop in sorted((each.start, each.start + each.size) for each in tensors.values()):
        # The format forbids both, so that what each byte belongs to is the same to all who read it.
        if start != end:
            raise damaged(
                f"{path}: its tensors {'overlap' if start < end else 'leave gaps'}: one begins at byte "
                f"{start:,}, expected {end:,}, where another ends"
            )
        end = stop
    if end > size:
        raise damaged(f"{path}: is cut short: {size:,} bytes of {end:,}")
    return tensors, metadata if isinstance(metadata, dict) else {}


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key twice")
    return found


def _tensor(path: Path, entry: Mapping[str, Any], base: int) -> RawTensor:
    shape, (begin, end) = entry["shape"], entry["data_offsets"]
    if not is_shape(shape) or not are_counts([begin, end]):
        raise ValueError("no shape")
    tensor = RawTensor(
        file=path, start=base + begin, shape=tuple(shape), dtype=DTYPES[entry["dtype"]]
    )
    if tensor.size != end - begin:
        raise ValueError("offsets do not fit the shape")
    return tensor


READER = Reader(
    format="safetensors",
    recognise=lambda entry: recognises(entry.head),
    header=header_of,
    weights=weights_of,
    suffixes=(".safetensors",),
)
