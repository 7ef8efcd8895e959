"""The folder that RL-Zoo keeps next to a run: how its environment was made."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lrpdyn.errors import RecordingError
from lrpdyn.files.plain import read_plain
from lrpdyn.files.reasons import reason_of

CONFIG, ARGUMENTS = "config.yml", "args.yml"
_LARGEST = 1 << 20


@dataclass(frozen=True, kw_only=True)
class ZooRun:
    """How RL-Zoo made the environment of a run.

    Parameters
    ----------
    folder
        Where ``config.yml`` lies.
    environment
        Its name; None where ``args.yml`` is not there.
    wrappers
        Their dotted names, with arguments, the innermost first.
    stack
        So many frames are one observation.
    normalised
        Whether observations were normalised by running statistics.
    """

    folder: Path
    environment: str | None = None
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    wrappers: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    stack: int | None = None
    normalised: bool = False


def zoo_run(checkpoint: Path) -> ZooRun | None:
    """Return how the environment of a checkpoint was made; None where no ``config.yml`` lies by it.

    It is next to the checkpoint, or in the one folder there that has one.

    Raises
    ------
    RecordingError
        It is not what RL-Zoo writes, or asks for what is not plain data.
    """
    here = checkpoint.parent
    folders = [here] if (here / CONFIG).is_file() else [f.parent for f in here.glob(f"*/{CONFIG}")]
    if not folders:
        return None
    if len(folders) > 1:
        names = ", ".join(str(folder / CONFIG) for folder in sorted(folders))
        raise RecordingError(
            f"{checkpoint}: several settings lie by it ({names}); move it next to its own, or give "
            "--stack, --atari and --vecnormalize from a folder without them"
        )
    (folder,) = folders
    config = _read(folder / CONFIG)
    arguments = _read(folder / ARGUMENTS) if (folder / ARGUMENTS).is_file() else {}
    unknown = [name for name in ("vec_env_wrapper",) if config.get(name)]
    if unknown:
        raise RecordingError(
            f"{folder / CONFIG}: asks for {unknown[0]} {config[unknown[0]]}, which is not made here; play it "
            "with lrpdyn.record(model, env) in Python"
        )
    where = str(folder / CONFIG)
    stack, environment = config.get("frame_stack"), arguments.get("env")
    given = arguments.get("env_kwargs") or config.get("env_kwargs") or {}
    if not isinstance(given, dict) or _holds_objects(given):
        raise RecordingError(
            f"{where}: its env_kwargs are no plain data; give --env-kwarg KEY=VALUE"
        )
    return ZooRun(
        folder=folder,
        environment=environment if isinstance(environment, str) else None,
        env_kwargs=given,
        wrappers=_wrappers(config.get("env_wrapper"), where),
        stack=stack if isinstance(stack, int) and stack > 1 else None,
        normalised=_normalised(config.get("normalize", False), where),
    )


@dataclass(frozen=True, kw_only=True)
class _Object:
    """What a file wants to have made, which is not."""

    name: str


def _read(path: Path) -> dict[str, Any]:
    """Return the plain data of a file that ``yaml.dump`` wrote; nothing that it names is made."""
    try:
        import yaml
    except ImportError as error:
        raise RecordingError(
            f"{path}: reading it needs pyyaml: pip install 'lrpdyn[record]'"
        ) from error

    loader: Any = type("PlainLoader", (yaml.SafeLoader,), {})
    python = "tag:yaml.org,2002:python/"
    loader.add_multi_constructor(python, lambda load, name, node: _Object(name=name))
    loader.add_constructor(
        f"{python}tuple", lambda load, node: load.construct_sequence(node, deep=True)
    )
    loader.add_constructor(f"{python}object/apply:collections.OrderedDict", _ordered)
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError(f"has more than {_LARGEST:,} bytes")
        found = yaml.load(read_plain(path), Loader=loader)
        if not isinstance(found, dict):
            raise ValueError("is no mapping")
    except (OSError, ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        said = reason_of(error)[:160]
        raise RecordingError(f"{path}: is not what RL-Zoo writes: {said}") from error
    return found


def _ordered(load: Any, node: Any) -> dict[Any, Any]:
    (pairs,) = load.construct_sequence(node, deep=True)
    return dict(pairs)


def _holds_objects(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_objects, value.values()))
    return (
        any(map(_holds_objects, value)) if isinstance(value, list) else isinstance(value, _Object)
    )


def _wrappers(given: Any, where: str) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    """Read ``NAME``, ``{NAME: ARGUMENTS}``, or a list of both."""
    found: list[tuple[str, Mapping[str, Any]]] = []
    for one in given if isinstance(given, list) else [given] if given else []:
        entry = {one: {}} if isinstance(one, str) else one
        plain = isinstance(entry, dict) and len(entry) == 1 and not _holds_objects(entry)
        name, arguments = next(iter(entry.items())) if plain else (None, None)
        if not isinstance(name, str) or not isinstance(arguments, dict | None):
            raise RecordingError(
                f"{where}: its env_wrapper {str(one)[:80]} is no name with arguments"
            )
        found.append((name, arguments or {}))
    return tuple(found)


def _normalised(given: Any, where: str) -> bool:
    """Read true, or the arguments of VecNormalize as a mapping or as the text of one."""
    if isinstance(given, str):
        try:
            tree = ast.parse(given, mode="eval").body
            if (
                isinstance(tree, ast.Call)
                and isinstance(tree.func, ast.Name)
                and tree.func.id == "dict"
            ):
                given = {str(k.arg): ast.literal_eval(k.value) for k in tree.keywords}
            else:
                given = ast.literal_eval(tree)
        except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
            raise RecordingError(f"{where}: its normalize, {given[:80]}, is not read") from error
    return bool(given.get("norm_obs", True) if isinstance(given, dict) else given)
