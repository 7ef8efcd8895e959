"""Files of torch.save, zip or legacy: their headers, and their weights, read as weights only."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lrpdyn.checkpoints.containers import (
    Part,
    Payload,
    damaged,
    open_file,
    open_payload,
)
from lrpdyn.checkpoints.formats.torch_contents import (
    LEGACY,
    TorchContents,
    check_sizes,
    check_weights,
    contents_of,
    fingerprint,
)
from lrpdyn.checkpoints.formats.torch_hints import hints_of
from lrpdyn.checkpoints.formats.views import views
from lrpdyn.checkpoints.model import Choice, Header, Reader
from lrpdyn.checkpoints.payload import (
    COUNTERS,
    epoch_of,
    follow,
    is_average,
    is_state_dict,
    locate,
    step_of,
)
from lrpdyn.checkpoints.pickles.globals import dangerous, stand_ins
from lrpdyn.checkpoints.pickles.outline import Outline
from lrpdyn.checkpoints.pickles.pickled import DTYPES, Opaque, TensorOutline
from lrpdyn.errors import CheckpointError
from lrpdyn.files.text import first_line

_MODULE_PARTS = ("_parameters", "_buffers", "_modules")
_BLOCKED = re.compile(r"GLOBAL (\S+)")


def state_of(path: Path, where: str, choice: Choice) -> Any:
    """Return the outline of the object that a file of torch.save holds.

    Raises
    ------
    CheckpointError
        It is damaged, or could run code and is not trusted.
    """
    with open_file(path) as file:
        return _state(contents_of(file, where), choice, where)


def header_at(path: Path, choice: Choice) -> Header:
    """Return the header of the file of torch.save at `path`; see `header_of`."""
    with open_file(path) as file:
        return header_of(file, str(path), choice)


def header_of(file: Part, where: str, choice: Choice) -> Header:
    """Return the header of a file of torch.save; its weights are not read.

    Raises
    ------
    CheckpointError
        It is damaged, holds no weights, or could run code and is not trusted.
    """
    contents = contents_of(file, where)
    root = _state(contents, choice, where)
    path, weights = locate(root, choice.weights, where)
    tensors = {key: value for key, value in weights.items() if isinstance(value, TensorOutline)}
    check_sizes(tensors, where)
    numbers = root if is_state_dict(root) else _with_numbers(root, contents)
    return Header(
        shapes={key: value.shape for key, value in tensors.items()},
        step=step_of(numbers),
        epoch=epoch_of(numbers),
        averaged=is_average(root) and path == "state_dict",
        hints=hints_of(root),
        weights=path,
        fingerprint=fingerprint(tensors, contents),
        executes=dangerous(contents.found.names),
    )


def _with_numbers(root: Any, contents: TorchContents) -> Any:
    """Return `root` with its steps and epochs that are tensors of one entry as numbers."""
    found = dict(root) if isinstance(root, dict) else root
    for key in COUNTERS.intersection(found) if isinstance(found, dict) else ():
        tensor = found[key]
        if (
            isinstance(tensor, TensorOutline)
            and math.prod(tensor.shape) == 1
            and not tensor.special
            and contents.archive is not None
        ):
            dtype = DTYPES.get(tensor.storage.kind)
            part = contents.archive.part(contents.members[tensor.storage.key])
            if dtype is not None and 0 <= tensor.offset < tensor.storage.count:
                part.seek(tensor.offset * dtype.itemsize)
                entry = torch.frombuffer(bytearray(part.read(dtype.itemsize)), dtype=dtype)
                found[key] = entry.item()
    return found


def weights_of(
    payload: Payload, where: str, choice: Choice, path: str | None = None
) -> Mapping[str, Tensor]:
    """Return the weights in a file of torch.save; it is checked again, whatever was seen before.

    They are those at the `path`, where one is given. Weights that are plain tensors share the memory
    of `payload`; others are built by torch's restricted unpickler.

    Raises
    ------
    CheckpointError
        It is damaged, holds no weights, or wants to run code and is not trusted.
    """
    contents = contents_of(payload.part(), where)
    state = _state(contents, choice, where)
    if path is None:
        path, _ = locate(state, choice.weights, where)
    # What names nothing dangerous is never run, trusted or not.
    executes = bool(dangerous(contents.found.names))
    if not executes:
        chosen = _chosen(contents.found.root, path, where)
        tensors = {key: value for key, value in chosen.items() if isinstance(value, TensorOutline)}
        check_sizes(tensors, where)
        check_weights(tensors, contents, payload, where)
        found = views(chosen, contents, payload)
        if found is not None:
            return found
    loaded = _load(payload, contents.found, where, trust=executes)
    built = _state_of(follow(_state_of(loaded), path))
    return {key: value for key, value in built.items() if isinstance(value, Tensor)}


def weights_at(path: Path, choice: Choice) -> Mapping[str, Tensor]:
    """Return the weights in the file of torch.save at `path`; see `weights_of`."""
    with open_payload(path) as payload:
        return weights_of(payload, str(path), choice)


def weights_and_digest_at(
    path: Path, choice: Choice, algorithm: str
) -> tuple[Mapping[str, Tensor], str]:
    """Return what `weights_and_digest` does, of the file of torch.save at `path`."""
    with open_payload(path) as payload:
        return weights_and_digest(payload, str(path), choice, algorithm)


def weights_and_digest(
    payload: Payload, where: str, choice: Choice, algorithm: str
) -> tuple[Mapping[str, Tensor], str]:
    """Return the weights in a file of torch.save, and the digest of its bytes."""
    return weights_of(payload, where, choice), payload.digest(algorithm)


def _state_of(loaded: Any) -> Any:
    return loaded.state_dict() if isinstance(loaded, nn.Module) else loaded


def _chosen(root: Any, path: str, where: str) -> dict[str, Any]:
    try:
        return dict(follow(root, path).items())
    except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{where}: has changed since it was listed; start again") from error


def load_tensor(payload: Payload, where: str) -> Tensor:
    """Read one tensor that torch.save wrote.

    Raises
    ------
    CheckpointError
        It is damaged, or no tensor.
    """
    contents = contents_of(payload.part(), where)
    if not isinstance(contents.found.root, TensorOutline):
        raise CheckpointError(f"{where}: expected a tensor, found something else")
    check_sizes({"it": contents.found.root}, where)
    loaded = _load(payload, contents.found, where, trust=False)
    if not isinstance(loaded, Tensor):
        raise CheckpointError(f"{where}: expected a tensor, found a {type(loaded).__name__}")
    return loaded


def plain_value(payload: Payload) -> Any:
    """Return the number or text that torch.save wrote, or None if it is anything else."""
    try:
        root = contents_of(payload.part(), "").found.root
    except CheckpointError:
        return None
    return root if isinstance(root, int | float | str) else None


def _load(payload: Payload, found: Outline, where: str, *, trust: bool) -> Any:
    given: Any = payload.part()
    given.seek(0)
    try:
        with (
            torch.serialization.safe_globals(stand_ins(found.names)),
            warnings.catch_warnings(),
        ):
            # Legacy files make torch warn of its own deprecated storages.
            warnings.simplefilter("ignore")
            return torch.load(given, map_location="cpu", weights_only=not trust)
    except Exception as error:  # whatever a damaged file makes torch raise
        blocked = _BLOCKED.search(str(error))
        if blocked and not trust:
            raise _refused((blocked[1],), where) from error
        if "Unsupported operand" in str(error):
            raise CheckpointError(
                f"{where}: was saved with another pickle_protocol than torch's own, 2, which its "
                "restricted reader does not know; save it again without that option"
            ) from error
        raise damaged(
            f"{where}: cannot be read, damaged or cut short ({first_line(error)})"
        ) from error


def _state(contents: TorchContents, choice: Choice, where: str) -> Any:
    root = _as_state(contents.found.root, choice.trust, where)
    names = dangerous(contents.found.names)
    if names and not choice.trust:
        raise _refused(names, where)
    return root


def _as_state(root: Any, trust: bool, where: str) -> Any:
    """Return `root`, or the state dict of a whole pickled module where its maker is trusted."""
    if isinstance(root, dict) and trust:
        return {
            key: dict(_module_state(value, "")) if _is_module(value) else value
            for key, value in root.items()
        }
    if not _is_module(root):
        return root
    if not trust:
        raise CheckpointError(
            f"{where}: is a whole pickled module ({root.name}), whose loading runs code; save its "
            "state_dict instead, or give --trust if you trust whoever made this file"
        )
    return dict(_module_state(root, ""))


def _is_module(found: Any) -> bool:
    return (
        isinstance(found, Opaque)
        and isinstance(found.state, dict)
        and all(isinstance(found.state.get(part), dict) for part in _MODULE_PARTS)
    )


def _module_state(module: Opaque, prefix: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    if depth > 64:
        return
    parameters, buffers, modules = (module.state[part] for part in _MODULE_PARTS)
    for name, value in [*parameters.items(), *buffers.items()]:
        if isinstance(value, TensorOutline):
            yield f"{prefix}{name}", value
    for name, inner in modules.items():
        if _is_module(inner):
            yield from _module_state(inner, f"{prefix}{name}.", depth + 1)


def _refused(names: tuple[str, ...], where: str) -> CheckpointError:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return CheckpointError(
        f"{where}: refused: it is a pickle that wants to use {', '.join(names[:5])}{more}, which can run "
        "code; save the state_dict alone, or give --trust if you trust whoever made this file"
    )


READER = Reader(
    format="torch",
    recognise=lambda entry: (
        entry.head.startswith(LEGACY) or any(name.endswith("/data.pkl") for name in entry.members)
    ),
    header=header_at,
    weights=weights_at,
    both=weights_and_digest_at,
    suffixes=(".pt", ".pth", ".ckpt", ".tar", ".bin", ".cleanrl_model"),
)
