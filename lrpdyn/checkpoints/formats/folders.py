"""Checkpoints that are folders: which file in them holds the weights, and where their step is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from lrpdyn.checkpoints.containers import open_file, payload_of
from lrpdyn.checkpoints.formats import arrays, safetensors, torchfile
from lrpdyn.checkpoints.formats.rawtensors import read_all
from lrpdyn.checkpoints.model import Choice, Header
from lrpdyn.checkpoints.payload import epoch_of, step_of
from lrpdyn.errors import CheckpointError

_SINGLE = ("model.safetensors", "pytorch_model.bin")
_SHARDED = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_LARGEST_JSON = 1 << 25
_RL_MODULES = ("learner_group/learner/rl_module", "learner/rl_module", "rl_module")
_MODULE_STATE = "module_state.pkl"


@dataclass(frozen=True)
class Inside:
    """The files of a folder that hold the weights, by how they are read."""

    files: tuple[Path, ...]
    state: Path | None = None
    counter: str = "steps"


def hugging_face(path: Path) -> Inside | None:
    """Hugging Face's Trainer: weights, whole or in shards, and ``trainer_state.json``."""
    state = path / "trainer_state.json"
    return _weights_in(path, state, "steps") if state.is_file() else None


def le_robot(path: Path) -> Inside | None:
    """LeRobot: ``pretrained_model/model.safetensors``."""
    return _weights_in(
        path / "pretrained_model", path / "training_state/training_step.json", "steps"
    )


def accelerate(path: Path) -> Inside | None:
    """accelerate's ``save_state``: the number in its name counts saves."""
    return _weights_in(path, None, "saves" if path.name.startswith("checkpoint_") else "steps")


def pfrl(path: Path) -> Inside | None:
    """PFRL: a file for each of an agent's parts; ``model.pt`` or ``policy.pt`` acts."""
    parts = (path / "model.pt", path / "policy.pt")
    return next((Inside((part,)) for part in parts if part.is_file()), None)


def rllib(path: Path) -> Inside | None:
    """RLlib's new stack: a ``module_state.pkl`` for each of its modules."""
    for place in _RL_MODULES:
        found = sorted((path / place).glob(f"*/{_MODULE_STATE}"))
        if found:
            return Inside(tuple(found), counter="saves")
    return None


def header_of(path: Path, inside: Inside, choice: Choice) -> Header:
    """Return what the files of a folder tell together.

    Raises
    ------
    CheckpointError
        A file is damaged or missing, or several could be meant.
    """
    files, choice = _chosen(path, inside, choice)
    headers = [_file_header(file, choice) for file in files]
    shapes: dict[str, tuple[int, ...]] = {}
    for header in headers:
        shapes.update(header.shapes)
    told = _json(inside.state) if inside.state is not None and inside.state.is_file() else {}
    prints = [header.fingerprint for header in headers]
    return replace(
        headers[0],
        shapes=shapes,
        step=step_of(told) or headers[0].step,
        epoch=epoch_of(told) or headers[0].epoch,
        counter=inside.counter,
        fingerprint="".join(map(str, prints)) if all(prints) else None,
        executes=tuple(sorted({name for header in headers for name in header.executes})),
    )


def weights_of(path: Path, inside: Inside, choice: Choice) -> Mapping[str, Tensor]:
    """Read the weights from all files of a folder that hold some."""
    files, choice = _chosen(path, inside, choice)
    weights: dict[str, Tensor] = {}
    for file in files:
        weights.update(_file_weights(file, choice))
    return weights


def _weights_in(path: Path, state: Path | None, counter: str) -> Inside | None:
    for name in _SINGLE:
        if (path / name).is_file():
            return Inside((path / name,), state, counter)
    for name in _SHARDED:
        if (path / name).is_file():
            return Inside(_shards(path / name), state, counter)
    return None


def _shards(index: Path) -> tuple[Path, ...]:
    """Return the files that an index names, all of which must be in its own folder."""
    weights = _json(index).get("weight_map")
    if not isinstance(weights, dict) or not weights:
        raise CheckpointError(f"{index}: expected a weight_map of shards, found none")
    names = sorted({str(name) for name in weights.values()})
    for name in names:
        if Path(name).name != name:
            raise CheckpointError(
                f"{index}: refused: names the shard {name!r} outside of its folder"
            )
        if not (index.parent / name).is_file():
            raise CheckpointError(
                f"{index.parent}: shard {name} is missing; copy it again, or go on without it "
                "(--skip-bad)"
            )
    return tuple(index.parent / name for name in names)


def _chosen(path: Path, inside: Inside, choice: Choice) -> tuple[tuple[Path, ...], Choice]:
    """Return the files to read: of several modules of RLlib, the one that is asked for."""
    modules = {file.parent.name: file for file in inside.files if file.name == _MODULE_STATE}
    if choice.weights in modules:
        return (modules[choice.weights],), replace(choice, weights="model")
    if len(modules) > 1 and choice.weights == "model":
        if "default_policy" in modules:
            return (modules["default_policy"],), choice
        raise CheckpointError(
            f"{path}: holds several modules, {', '.join(modules)}; choose with --weights NAME"
        )
    return inside.files, choice


def _file_header(path: Path, choice: Choice) -> Header:
    if path.suffix == ".safetensors":
        return safetensors.header_of(path, choice)
    if path.suffix == ".pkl":
        return arrays.header_of(path, choice)
    with open_file(path) as file:
        return torchfile.header_of(file, str(path), choice)


def _file_weights(path: Path, choice: Choice) -> Mapping[str, Tensor]:
    if path.suffix == ".safetensors":
        safetensors.check_choice(choice, str(path))
        return read_all(safetensors.tensors_of(path)[0])
    if path.suffix == ".pkl":
        return arrays.weights_of(path, choice)
    return torchfile.weights_of(payload_of(path), str(path), choice)


def _json(path: Path) -> dict[str, Any]:
    with open_file(path) as file:
        text = file.read(_LARGEST_JSON)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: is no JSON, cut short or damaged; copy it again, or go on without it (--skip-bad)"
        ) from error
    return found if isinstance(found, dict) else {}
