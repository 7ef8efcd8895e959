"""TorchRL: a folder with ``manifest.json`` and a component for each thing that was saved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lrpdyn.checkpoints.containers import damaged, open_file, open_payload, read_json
from lrpdyn.checkpoints.formats import torchfile
from lrpdyn.checkpoints.formats.rawtensors import RawTensor, is_shape, read_all
from lrpdyn.checkpoints.model import Choice, Header, Reader
from lrpdyn.checkpoints.payload import epoch_of, locate, step_of
from lrpdyn.checkpoints.pickles.pickled import TensorOutline
from lrpdyn.errors import CheckpointError
from lrpdyn.files.text import printable

MANIFEST = "manifest.json"
_FORMAT = "torchrl.checkpoint"
_LARGEST_MANIFEST = 1 << 25
_DEEPEST = 32


def recognises(path: Path) -> bool:
    """Tell whether a folder holds a manifest of TorchRL."""
    manifest = path / MANIFEST
    if not manifest.is_file() or manifest.stat().st_size > _LARGEST_MANIFEST:
        return False
    with open_file(manifest) as file:
        return f'"{_FORMAT}"'.encode() in file.read()


def header_of(path: Path, choice: Choice) -> Header:
    """Return one header from the components of a folder.

    Raises
    ------
    CheckpointError
        A component is damaged, or several could be meant.
    """
    root, metadata = _read(path, choice)
    where, weights = locate(root, choice.weights, str(path))
    shapes = {
        key: value.shape
        for key, value in weights.items()
        if isinstance(value, RawTensor | TensorOutline)
    }
    return Header(shapes, step=step_of(metadata), epoch=epoch_of(metadata), weights=where)


def weights_of(path: Path, choice: Choice) -> Mapping[str, Tensor]:
    """Read the tensors of the component that is explained."""
    root, _ = _read(path, choice)
    where, weights = locate(root, choice.weights, str(path))
    raw = {key: value for key, value in weights.items() if isinstance(value, RawTensor)}
    if raw:
        return read_all(raw)
    component, _, rest = where.partition("/")
    source = _components(_manifest(path), path)[component] / "state.pt"
    with open_payload(source) as payload:
        return torchfile.weights_of(payload, str(source), choice, rest)


def files_of(path: Path) -> list[Path]:
    """Return the files of all components."""
    return sorted(file for file in (path / "components").rglob("*") if file.is_file())


def _read(path: Path, choice: Choice) -> tuple[dict[str, Any], Mapping[str, Any]]:
    manifest = _manifest(path)
    root: dict[str, Any] = {}
    for name, place in _components(manifest, path).items():
        if (place / "state.pt").is_file():
            root[name] = torchfile.state_of(place / "state.pt", str(place), choice)
        elif (place / "state.json").is_file():
            root[name] = _decoded(read_json(place / "state.json"), _tensors(place / "state"), path)
        elif (place / "value.json").is_file():
            root[name] = read_json(place / "value.json")
    metadata = manifest.get("metadata")
    return root, {**root, **metadata} if isinstance(metadata, dict) else root


def _manifest(path: Path) -> dict[str, Any]:
    manifest = read_json(path / MANIFEST)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("components"), dict):
        raise CheckpointError(f"{path}: its {MANIFEST} lists no components; copy it again")
    return manifest


def _components(manifest: Mapping[str, Any], path: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for name, record in manifest["components"].items():
        relative = record.get("path") if isinstance(record, dict) else None
        parts = Path(str(relative)).parts
        if relative is None or len(parts) != 2 or parts[0] != "components" or ".." in parts:
            raise CheckpointError(
                f"{path}: refused: component {name} lies at {printable(str(relative))}, expected "
                "components/NAME"
            )
        found[name] = path / parts[0] / parts[1]
    return found


def _tensors(folder: Path) -> dict[str, RawTensor]:
    """Return the tensors of a folder that tensordict wrote, by their names."""
    found: dict[str, RawTensor] = {}
    listed = read_json(folder / "meta.json")
    for name, entry in listed.items() if isinstance(listed, dict) else ():
        if not isinstance(entry, dict) or "dtype" not in entry:
            continue
        dtype = getattr(torch, str(entry["dtype"]).removeprefix("torch."), None)
        if not is_shape(entry.get("shape")) or not isinstance(dtype, torch.dtype):
            raise CheckpointError(f"{folder}: its meta.json is damaged; copy it again")
        file = folder / f"{Path(name).name}.memmap"
        tensor = RawTensor(file=file, start=0, shape=tuple(entry["shape"]), dtype=dtype)
        if tensor.size and (not file.is_file() or file.stat().st_size < tensor.size):
            raise damaged(f"{folder}: {file.name} is missing or cut short")
        found[name] = tensor
    return found


def _decoded(schema: Any, tensors: Mapping[str, RawTensor], path: Path, depth: int = 0) -> Any:
    """Return what a schema of TorchRL describes, as far as it matters here."""
    if not isinstance(schema, dict) or depth > _DEEPEST:
        raise CheckpointError(f"{path}: a state.json is damaged; copy it again")
    kind = schema.get("kind")
    if kind in ("tensor", "numpy"):
        if not isinstance(schema.get("key"), str) or schema["key"] not in tensors:
            raise CheckpointError(f"{path}: a state.json names a tensor that is not there")
        return tensors[schema["key"]]
    if kind in ("dict", "ordered_dict"):
        pairs = [pair for pair in _items(schema) if isinstance(pair, list) and len(pair) == 2]
        decoded = [[_decoded(item, tensors, path, depth + 1) for item in pair] for pair in pairs]
        return {key: value for key, value in decoded if isinstance(key, str | int)}
    if kind in ("tuple", "list"):
        return [_decoded(item, tensors, path, depth + 1) for item in _items(schema)]
    return schema.get("value")


def _items(schema: Mapping[str, Any]) -> list[Any]:
    found = schema.get("items")
    return found if isinstance(found, list) else []


READER = Reader(
    format="torchrl",
    recognise=lambda entry: MANIFEST in entry.names and recognises(entry.path),
    header=header_of,
    weights=weights_of,
    files=files_of,
)
