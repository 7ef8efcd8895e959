"""Checkpoints that are folders: which file in them holds the weights, and where their step is."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from lrpdyn.checkpoints.containers import damaged, read_json
from lrpdyn.checkpoints.formats import arrays, rllib, safetensors, torchfile
from lrpdyn.checkpoints.model import Choice, Header, Reader
from lrpdyn.checkpoints.payload import epoch_of, step_of
from lrpdyn.errors import CheckpointError
from lrpdyn.files.text import printable

_SINGLE = ("model.safetensors", "pytorch_model.bin")
_SHARDED = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
#: Files of other suffixes are torch files.
_BY_SUFFIX = {".safetensors": safetensors.READER, ".pkl": arrays.READER}
_RL_MODULES = ("learner_group/learner/rl_module", "learner/rl_module", "rl_module")
_MODULE_STATE = "module_state.pkl"


@dataclass(frozen=True)
class Inside:
    """The files of a folder that hold the weights, the one that has its step, and what it counts."""

    files: tuple[Path, ...]
    _: KW_ONLY
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


def rllib_checkpoint(path: Path) -> Inside | None:
    """RLlib's new stack: a ``module_state.pkl`` for each of its modules, or a module that was saved alone."""
    for place in _RL_MODULES:
        found = sorted((path / place).glob(f"*/{_MODULE_STATE}"))
        if found:
            return Inside(tuple(found), counter="saves")
    alone = path / _MODULE_STATE
    return Inside((alone,)) if alone.is_file() and (path / rllib.CONSTRUCTOR).is_file() else None


def header_of(path: Path, inside: Inside, choice: Choice) -> Header:
    """Return one header from all files of a folder.

    Raises
    ------
    CheckpointError
        A file is damaged or missing, or several could be meant.
    """
    files, choice = _chosen(path, inside, choice)
    headers = [_reader_of(file).header(file, choice) for file in files]
    shapes: dict[str, tuple[int, ...]] = {}
    for header in headers:
        shapes.update(header.shapes)
    state = _json(inside.state) if inside.state is not None and inside.state.is_file() else {}
    prints = [header.fingerprint for header in headers]
    return replace(
        headers[0],
        shapes=shapes,
        step=step_of(state) or headers[0].step,
        epoch=epoch_of(state) or headers[0].epoch,
        counter=inside.counter,
        hints={**headers[0].hints, **_configured(files[0])},
        fingerprint="".join(map(str, prints)) if all(prints) else None,
        executes=tuple(sorted({name for header in headers for name in header.executes})),
    )


def _configured(weights: Path) -> dict[str, Any]:
    """Return as hints what lies beside `weights`: a ``config.json``, or what RLlib keeps."""
    constructor, path = weights.with_name(rllib.CONSTRUCTOR), weights.with_name("config.json")
    if weights.name == _MODULE_STATE and constructor.is_file():
        return rllib.hints_of(constructor)
    found = _json(path) if path.is_file() else {}
    network, classes = found.get("architecture"), found.get("architectures")
    hints: dict[str, Any] = {"network": network} if isinstance(network, str) else {}
    # The version of the package that saved it is no matter of the network.
    settings = {key: value for key, value in found.items() if key != "transformers_version"}
    return hints | ({"config": settings} if classes else {})


def weights_of(path: Path, inside: Inside, choice: Choice) -> Mapping[str, Tensor]:
    """Read the weights from all files of a folder that hold some."""
    files, choice = _chosen(path, inside, choice)
    weights: dict[str, Tensor] = {}
    for file in files:
        weights.update(_reader_of(file).weights(file, choice))
    return weights


def _weights_in(path: Path, state: Path | None, counter: str) -> Inside | None:
    for name in _SINGLE:
        if (path / name).is_file():
            return Inside((path / name,), state=state, counter=counter)
    for name in _SHARDED:
        if (path / name).is_file():
            return Inside(_shards(path / name), state=state, counter=counter)
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
                f"{index}: refused: names the shard {printable(name[:80])} outside of its folder"
            )
        if not os.path.isfile(index.parent / name):  # a name may be too long for any file
            raise damaged(f"{index.parent}: shard {name[:80]} is missing")
    return tuple(index.parent / name for name in names)


def _chosen(path: Path, inside: Inside, choice: Choice) -> tuple[tuple[Path, ...], Choice]:
    """Return the files to read: of several modules of RLlib, the one that is requested."""
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


def _reader_of(file: Path) -> Reader:
    return _BY_SUFFIX.get(file.suffix, torchfile.READER)


def _json(path: Path) -> dict[str, Any]:
    found = read_json(path)
    return found if isinstance(found, dict) else {}


def _reader(format: str, find: Callable[[Path], Inside | None]) -> Reader:
    def inside(path: Path) -> Inside:
        found = find(path)
        if found is None:
            raise CheckpointError(f"{path}: its weights are gone; start again")
        return found

    return Reader(
        format=format,
        recognise=lambda entry: bool(entry.names) and find(entry.path) is not None,
        header=lambda path, choice: header_of(path, inside(path), choice),
        weights=lambda path, choice: weights_of(path, inside(path), choice),
        files=lambda path: list(inside(path).files),
    )


READERS = (
    _reader("huggingface", hugging_face),
    _reader("rllib", rllib_checkpoint),
    _reader("lerobot", le_robot),
    _reader("accelerate", accelerate),
    _reader("pfrl", pfrl),
)
