"""Records a checkpoint of Stable-Baselines3 or sb3-contrib in an environment that is made for it."""

from __future__ import annotations

import ast
import importlib
import json
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lrpdyn.checkpoints.containers import open_archive, open_file
from lrpdyn.checkpoints.digests import SHA256, as_sha256
from lrpdyn.checkpoints.model import Header
from lrpdyn.checkpoints.readers import find_reader, read_header, read_weights
from lrpdyn.errors import RecordingError
from lrpdyn.files.reasons import as_text, reason_of
from lrpdyn.observations.recording import Recording
from lrpdyn.observations.training_statistics import (
    has_statistics,
    normalises_observations,
    statistics_near,
)
from lrpdyn.recording.environments import ATARI, make_environment
from lrpdyn.recording.record import record
from lrpdyn.recording.zoo import zoo_run

_FORMATS = ("sb3-zip", "sb3-folder")
_LARGEST_DATA = 1 << 25
_CLASS = re.compile(r"<class '([\w.]+)'>")
_STOCK = ("stable_baselines3.", "sb3_contrib.", "torch.nn.modules.")
#: What training alone needs.
_OF_TRAINING = ("optimizer_class", "optimizer_kwargs", "device")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What the user says of the environment's wrappers; None is what the run's own files say.

    Parameters
    ----------
    vecnormalize
        A file of running statistics, or ``none``.
    """

    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    atari: bool = False
    stack: int | None = None
    vecnormalize: str | None = None


def record_checkpoint(
    environment: str,
    checkpoint: str | Path,
    setting: Setting,
    *,
    trust: bool,
    say: Callable[[str], None],
    **options: Any,
) -> Recording:
    """Play a checkpoint in the environment that it was trained in, and record it.

    Nothing that the checkpoint carries is run without `trust`: the framework's own network is made
    anew from what is written in it as text, and gets its weights.

    Parameters
    ----------
    say
        Is told what was taken from files that lie by the checkpoint.
    options
        As `lrpdyn.recording.record.record` takes them.

    Raises
    ------
    RecordingError
        A package or the environment is not installed, or the network cannot be made.
    CheckpointError
        The checkpoint cannot be read.
    """
    path = Path(checkpoint)
    if not path.exists():
        raise RecordingError(f"{path}: no such checkpoint")
    reader = find_reader(path)
    if reader is None or reader.format not in _FORMATS:
        found = (
            "is no checkpoint" if reader is None else f"is a checkpoint of format {reader.format}"
        )
        raise RecordingError(
            f"{path}: {found}; expected one file of Stable-Baselines3 or sb3-contrib (others: "
            "lrpdyn.record(policy, env) in Python)"
        )
    header = read_header(path, reader.format)
    weights, digest = read_weights(path, reader.format, algorithm=SHA256)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the frameworks warn about each other
        _check_installed()
        env = _environment(environment, path, header, setting, trust=trust, say=say)
        try:
            _check_shape(env, header, environment)
            policy = _policy(path, env, weights, trust=trust)
            step = None if header.step is None else header.step.value
            about = {
                "checkpoint": path.name,
                "sha256": as_sha256(digest),
                "environment": environment,
            }
            return record(policy, env, step=step, about=about, **options)
        finally:
            env.close()


def _check_installed() -> None:
    try:
        import gymnasium
        import sb3_contrib
        import stable_baselines3
    except ImportError as error:
        raise RecordingError(
            f"lrpdyn record plays with gymnasium and Stable-Baselines3 ({reason_of(error)}): pip install "
            "'lrpdyn[record]'"
        ) from error
    del gymnasium, sb3_contrib, stable_baselines3


def _environment(
    name: str,
    path: Path,
    header: Header,
    setting: Setting,
    *,
    trust: bool,
    say: Callable[[str], None],
) -> Any:
    """Make the environment as the options, or else the files by the checkpoint, say."""
    zoo = zoo_run(path)
    wrappers: Sequence[tuple[str, Mapping[str, Any]]] = [(ATARI, {})] if setting.atari else []
    stack = setting.stack or (4 if setting.atari else None)
    env_kwargs = dict(setting.env_kwargs)
    if zoo is not None:
        wrappers = wrappers or zoo.wrappers
        stack = stack or zoo.stack
        env_kwargs = env_kwargs or dict(zoo.env_kwargs)
        other = "" if zoo.environment in (None, name) else f", of {zoo.environment}"
        say(f"RL-Zoo's settings in {zoo.folder}{other}")
    statistics = None
    if setting.vecnormalize not in (None, "none"):
        statistics = Path(str(setting.vecnormalize))
        if not normalises_observations(statistics):
            say(f"not normalised: {statistics} says norm_obs=False")
            statistics = None
    elif setting.vecnormalize is None and (zoo is None or zoo.normalised):
        statistics = _statistics_by(path, None if zoo is None else zoo.folder)
        of_run = header.hints.get("vec_normalize") and not has_statistics(path)
        if statistics is None and (zoo is not None or of_run):
            raise RecordingError(
                f"{path if zoo is None else zoo.folder}: observations were normalised, and no "
                "vecnormalize.pkl lies there; give it with --vecnormalize FILE, or none if only rewards were"
            )
        if statistics is not None:
            say(f"normalised with {statistics} (--vecnormalize none: not at all)")
    for wrapper, arguments in wrappers:
        say(f"wrapper {wrapper.rpartition('.')[2]}{f' {as_text(arguments)}' if arguments else ''}")
    if stack is not None:
        say(f"{stack} frames stacked (--stack)")
    return make_environment(
        name, env_kwargs=env_kwargs, wrappers=wrappers, statistics=statistics, stack=stack, trust=trust
    )  # fmt: skip


def _statistics_by(path: Path, folder: Path | None) -> Path | None:
    """Return the running statistics of a checkpoint: its own, else those at the end of training.

    Raises
    ------
    RecordingError
        There are several.
    """
    found = statistics_near(path)
    step = re.search(r"_(\d+_steps)\.zip$", path.name)
    kinds = (
        [file for file in found if step is not None and f"_{step[1]}." in file.name],
        [file for file in found if file.parent == folder],
        [file for file in found if not re.search(r"_\d+_steps\.", file.name)],
        found,
    )
    chosen = next((files for files in kinds if files), [])
    if len(chosen) > 1:
        names = ", ".join(map(str, chosen[:3]))
        raise RecordingError(
            f"{path}: {len(chosen)} files of running statistics lie by it ({names}); give its own with "
            "--vecnormalize FILE"
        )
    return chosen[0] if chosen else None


def _check_shape(env: Any, header: Header, name: str) -> None:
    found, trained = env.observation_space.shape, header.hints.get("observation_shape")
    if found is not None and trained is not None and tuple(found) != tuple(trained):
        raise RecordingError(
            f"{name}: gives observations of shape {tuple(found)}, and the checkpoint was trained on "
            f"{tuple(trained)}: its wrappers are missing (--atari, --stack K), or it is of another "
            "environment"
        )


def _policy(path: Path, env: Any, weights: Mapping[str, Tensor], *, trust: bool) -> Any:
    """Return the framework's own policy with the weights of a checkpoint."""
    data = _unpickled(path) if trust else _plain_data(path)
    kind, options = (_unpickled_policy if trust else _plain_policy)(data, str(path))
    try:
        policy = kind(env.observation_space, env.action_space, lambda _: 0.0, **options)
        policy.load_state_dict(_with_copies(weights, policy.state_dict()))
    except Exception as error:  # of a network that may be anybody's
        said = reason_of(error)[:240]
        raise RecordingError(
            f"{path}: its weights do not fit a {kind.__name__} for this environment "
            f"({env.observation_space}, {env.action_space}): {said}"
        ) from error
    policy.set_training_mode(False)
    return policy


def _with_copies(weights: Mapping[str, Tensor], expected: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the weights with the names that versions before 1.7 had once for what is shared."""
    shared = {
        key: weights[name]
        for key in expected
        if (name := re.sub(r"^(pi|vf)_features_extractor\.", "features_extractor.", key)) in weights
    }
    return {**shared, **weights}


def _plain_data(path: Path) -> dict[str, Any]:
    """Return what the checkpoint says as text; its pickled parts are not looked at."""
    if path.is_dir():
        text = (path / "data").read_bytes()
    else:
        with open_file(path) as file:
            text = open_archive(file, str(path)).read("data", _LARGEST_DATA)
    data = json.loads(text)  # its header was read before
    return data if isinstance(data, dict) else {}


def _plain_policy(data: Mapping[str, Any], where: str) -> tuple[Any, dict[str, Any]]:
    """Return the policy's class and arguments, of stock classes and plain values alone."""
    told = data.get("policy_class")
    told = told if isinstance(told, dict) else {}
    name = re.match(r"<function (\w+)\.__init__ at ", str(told.get("__init__", "")))
    kind = _stock(f"{told.get('__module__')}.{name[1] if name else ''}")
    if kind is None:
        raise _not_plain(where, f"policy class {told.get('__module__')}")
    written = data.get("policy_kwargs")
    options: dict[str, Any] = {}
    for option, value in (written if isinstance(written, dict) else {}).items():
        if option.startswith(":") or option in _OF_TRAINING:
            continue
        options[option] = _plain_value(value, option, where)
    net_arch = options.get("net_arch")
    if isinstance(net_arch, list) and net_arch and isinstance(net_arch[0], dict):
        options["net_arch"] = net_arch[0]  # as versions before 1.8 wrote it
    if data.get("use_sde") is True:
        options["use_sde"] = True
    return kind, options


def _plain_value(value: Any, option: str, where: str) -> Any:
    if not isinstance(value, str):
        return value
    named = _CLASS.fullmatch(value)
    if named is not None:
        kind = _stock(named[1])
        if kind is not None:
            return kind
    else:
        try:
            return ast.literal_eval(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            pass
    raise _not_plain(where, f"{option} {value[:80]}")


def _not_plain(where: str, what: str) -> RecordingError:
    return RecordingError(
        f"{where}: its {what} is no part of Stable-Baselines3, sb3-contrib or torch, and can be had from "
        "the file's pickled parts alone, which can run code; give --trust if you trust whoever made it"
    )


def _stock(name: str) -> Any:
    """Return the class of this name of the frameworks, None where it is not one of theirs."""
    module, _, attribute = name.rpartition(".")
    if not f"{module}.".startswith(_STOCK):
        return None
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ImportError:
        return None
    return found if isinstance(found, type) and issubclass(found, nn.Module) else None


def _unpickled(path: Path) -> dict[str, Any]:
    """Return what the checkpoint carries, unpickled by Stable-Baselines3: it can run code."""
    from stable_baselines3.common.save_util import load_from_zip_file

    try:
        data, _, _ = load_from_zip_file(path, device="cpu")
    except Exception as error:  # of whatever it runs
        raise RecordingError(
            f"{path}: cannot be loaded by Stable-Baselines3: {reason_of(error)[:200]}"
        ) from error
    return dict(data or {})


def _unpickled_policy(data: Mapping[str, Any], where: str) -> tuple[Any, dict[str, Any]]:
    kind, options = data.get("policy_class"), dict(data.get("policy_kwargs") or {})
    if not isinstance(kind, type):
        raise RecordingError(f"{where}: does not say its policy's class")
    if data.get("use_sde") is True:
        options["use_sde"] = True
    return kind, {name: value for name, value in options.items() if name not in _OF_TRAINING}
