"""One small reader for each format, chosen by a file's content.

A reader says whether a file is its own, what the file's header tells, and which bytes hold the
weights. To add a format, write these three functions and add the reader to `READERS`.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from lrpdyn.checkpoints.model import Header, StepCandidate
from lrpdyn.checkpoints.payload import find_state_dict, load_object
from lrpdyn.errors import CheckpointError

#: File names that promise a checkpoint: one that cannot be read is bad, not merely left out.
SUFFIXES = (".zip", ".pt", ".pth", ".cleanrl_model")

_ZIP = b"PK\x03\x04"
#: How torch.save began before version 1.6, and begins with _use_new_zipfile_serialization=False.
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_STEP_KEYS = ("global_step", "num_timesteps", "total_timesteps", "env_steps", "timestep", "step",
              "steps", "iteration", "iter")  # fmt: skip
_POLICY = "policy.pth"


@dataclass(frozen=True)
class Reader:
    """A checkpoint format: how it is recognised, what its header tells, where its weights are."""

    format: str
    recognise: Callable[[Path, bytes, list[str]], bool]
    header: Callable[[Path, bool], Header]
    payload: Callable[[Path], bytes]


def find_reader(path: Path) -> Reader | None:
    """Return the reader for the content of `path`, or None if no reader knows it.

    Raises
    ------
    CheckpointError
        The file is empty, cannot be opened, or is a container without its end.
    """
    try:
        with path.open("rb") as file:
            head = file.read(64)
        if not head:
            raise CheckpointError(
                f"{path}: is empty; copy it again, or go on without it (--skip-bad)"
            )
        members = _members(path) if head.startswith(_ZIP) else []
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be opened: {error.strerror}") from error
    return next((reader for reader in READERS if reader.recognise(path, head, members)), None)


def read_header(path: Path, format: str, *, trust: bool = False) -> Header:
    """Return what the file at `path` tells without its weights."""
    return _reader(format).header(path, trust)


def read_weights(
    path: Path, format: str, *, trust: bool = False
) -> tuple[Mapping[str, Tensor], str]:
    """Return the weights by key, and the SHA-256 of the bytes that hold them.

    Raises
    ------
    CheckpointError
        The file is damaged, or wants to run code and is not trusted.
    """
    payload = _reader(format).payload(path)
    weights = find_state_dict(load_object(payload, str(path), trust=trust), str(path))
    return weights, hashlib.sha256(payload).hexdigest()


def digest(path: Path, format: str) -> str:
    """Return the SHA-256 of the bytes that hold the weights."""
    return hashlib.sha256(_reader(format).payload(path)).hexdigest()


def _reader(format: str) -> Reader:
    return next(reader for reader in READERS if reader.format == format)


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, EOFError, ValueError) as error:
        raise CheckpointError(
            f"{path}: is a zip without its end, cut short or still being written; copy it again, "
            "or go on without it (--skip-bad)"
        ) from error


def _read_member(path: Path, name: str) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(name)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError,
            OSError, KeyError) as error:  # fmt: skip
        raise CheckpointError(
            f"{path}: member {name} cannot be read ({error}); copy the file again, "
            "or go on without it (--skip-bad)"
        ) from error


def _shapes(payload: bytes, path: Path, trust: bool) -> tuple[Any, dict[str, tuple[int, ...]]]:
    found = load_object(payload, str(path), trust=trust, device="meta")
    weights = find_state_dict(found, str(path))
    return found, {key: tuple(value.shape) for key, value in weights.items()}


def _sb3_header(path: Path, trust: bool) -> Header:
    """Read Stable-Baselines3's ``data`` as the JSON text it is; nothing in it is unpickled."""
    try:
        data = json.loads(_read_member(path, "data"))
    except ValueError as error:
        raise CheckpointError(
            f"{path}: member data is not the JSON of Stable-Baselines3; save it again, "
            "or go on without it (--skip-bad)"
        ) from error
    _, shapes = _shapes(_read_member(path, _POLICY), path, trust)
    steps = data.get("num_timesteps") if isinstance(data, dict) else None
    step = None
    if isinstance(steps, int) and _is_count(steps):
        step = StepCandidate(steps, "steps", "num_timesteps")
    return Header(shapes, step=step, hints=_sb3_hints(data if isinstance(data, dict) else {}))


def _sb3_hints(data: Mapping[str, Any]) -> dict[str, Any]:
    hints: dict[str, Any] = {"framework": "stable-baselines3"}
    options = data.get("policy_kwargs") or {}
    activation = re.search(r"\.(\w+)'>", str(options.get("activation_fn", "")))
    if activation:
        hints["activation"] = activation[1]
    if options.get("normalize_images") is False:
        hints["normalize_images"] = False
    actions = data.get("action_space")
    counts = {
        "n_quantiles": data.get("n_quantiles"),
        "n_actions": actions.get("n") if isinstance(actions, dict) else None,
    }
    hints |= {name: int(n) for name, n in counts.items() if n is not None and str(n).isdecimal()}
    space = data.get("observation_space")
    if isinstance(space, dict) and isinstance(space.get("spaces"), str):
        hints["observation_spaces"] = space["spaces"]
    shape = space.get("_shape") if isinstance(space, dict) else None
    if isinstance(shape, str):
        shape = [int(number) for number in re.findall(r"\d+", shape)]
    if isinstance(shape, list) and shape and all(_is_count(size) for size in shape):
        hints["observation_shape"] = tuple(shape)
    return hints


def _torch_header(path: Path, trust: bool) -> Header:
    found, shapes = _shapes(path.read_bytes(), path, trust)
    step = epoch = None
    if isinstance(found, Mapping):
        step = next(
            (
                StepCandidate(found[key], "steps", key)
                for key in _STEP_KEYS
                if _is_count(found.get(key))
            ),
            None,
        )
        if _is_count(found.get("epoch")):
            epoch = StepCandidate(found["epoch"], "epochs", "epoch")
    return Header(shapes, step=step, epoch=epoch)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_sb3(path: Path, head: bytes, members: list[str]) -> bool:
    return _POLICY in members and "data" in members


def _is_torch(path: Path, head: bytes, members: list[str]) -> bool:
    return head.startswith(_LEGACY) or any(name.endswith("/data.pkl") for name in members)


READERS: tuple[Reader, ...] = (
    Reader("sb3-zip", _is_sb3, _sb3_header, lambda path: _read_member(path, _POLICY)),
    Reader("torch", _is_torch, _torch_header, Path.read_bytes),
)
