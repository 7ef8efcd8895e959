"""Options from a TOML file: --config, or what lies in the working folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from lrpdyn.cli.command import GENERAL, Option, option
from lrpdyn.files.nearby import did_you_mean, similar_path
from lrpdyn.files.reasons import reason_of
from lrpdyn.files.toml_files import read_toml

#: Files of the working folder that are read where --config names none; the first is taken.
OWN, PROJECT = Path("lrpdyn.toml"), Path("pyproject.toml")
_NONE = "none"
#: What runs code, deletes files, or reaches further than the folder that was named: a file that was only
#: found (it may have come with the checkpoints) does not decide it.
_BY_HAND = ("trust", "links", "overwrite", "dask", "on-flag")
_META = "lrpdyn.config"


def config(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --config, a TOML file whose keys are the options' names."""
    return option(
        "--config",
        metavar="FILE|none",
        group=GENERAL,
        is_eager=True,
        expose_value=False,
        callback=_read,
        show_default="lrpdyn.toml",
        help="Take options from a TOML file. The command line wins. In the working folder, lrpdyn.toml is "
        "found, or [tool.lrpdyn] of pyproject.toml; none leaves them out.",
    )(function)


def taken_from(ctx: click.Context) -> dict[str, Any] | None:
    """Return the file that options were read from: its name, what it says, whether it was `found`."""
    found: dict[str, Any] | None = ctx.meta.get(_META)
    return found


def in_words(ctx: click.Context) -> list[str]:
    """Return what to say of a file that was found, and of what is not taken from it."""
    taken = taken_from(ctx)
    if taken is None or not taken["found"]:
        return []
    names, ignored = ", ".join(taken["options"]) or "none", taken["ignored"]
    lines = [f"options   from {taken['file']}: {names} (without it: --config none)"]
    if ignored:
        lines.append(
            f"warning   {taken['file']}: {', '.join(ignored)} not taken from a file that was only found; "
            f"give {' '.join(f'--{name}' for name in ignored)}"
        )
    return lines


def found_here() -> bool:
    """Return whether the working folder has options."""
    return _found() is not None


def _read(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value == _NONE or ctx.resilient_parsing:
        return
    found = _found() if value is None else (value, _toml(Path(value)))
    if found is None:
        return
    where, given = found
    given = {key.replace("_", "-"): item for key, item in given.items()}
    ignored = [key for key in given if value is None and key in _BY_HAND]
    given = {key: item for key, item in given.items() if key not in ignored}
    if value is None and ":" in str(given.get("arch", "")):
        _check_runs_nothing(where, str(given["arch"]))
    defaults = _values(ctx, parameter, where, given)
    ctx.default_map = {**(ctx.default_map or {}), **defaults}
    ctx.meta[_META] = {"file": where, "options": given, "found": value is None, "ignored": ignored}


def _check_runs_nothing(where: str, arch: str) -> None:
    from lrpdyn.architectures.names import PREFIXES

    if not arch.startswith(PREFIXES):
        raise click.UsageError(
            f"{where}: arch {arch} would run code, which a found file may not; give --arch {arch}, "
            "or leave the file out with --config none"
        )


def _found() -> tuple[str, Mapping[str, Any]] | None:
    if OWN.is_file():
        return str(OWN), _toml(OWN)
    table = _toml(PROJECT).get("tool", {}) if PROJECT.is_file() else {}
    own = table.get("lrpdyn") if isinstance(table, dict) else None
    return (f"[tool.lrpdyn] of {PROJECT}", own) if isinstance(own, dict) else None


def _toml(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise click.UsageError(f"--config {path}: no such file{similar_path(str(path))}")
    try:
        return read_toml(path)
    except (OSError, ValueError) as error:
        raise click.UsageError(
            f"{path}: is no TOML file of options: {reason_of(error)}; --config none leaves it out"
        ) from error


def _values(
    ctx: click.Context, parameter: click.Parameter, where: str, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the options of a file as click takes defaults, by the names of the parameters."""
    known = {
        name.removeprefix("--"): option
        for option in ctx.command.params
        if isinstance(option, Option) and option is not parameter
        for name in option.opts
        if name.startswith("--")
    }
    unknown = [key for key in given if key not in known]
    if unknown:
        raise click.UsageError(
            f"{where}: no option is called {', '.join(unknown)}{did_you_mean(unknown[0], known)}; "
            f"the keys are the options' names: lrpdyn {ctx.info_name} --help-all lists them"
        )
    found = {}
    for key, item in given.items():
        option = known[key]
        if isinstance(item, dict | list) and not option.multiple:
            raise click.UsageError(f"{where}: {key} takes one value, found {_KINDS[type(item)]}")
        found[str(option.name)] = _texts(item) if option.multiple else _text(item)
    return found


_KINDS = {dict: "table", list: "list"}


def _texts(item: Any) -> list[str]:
    """Return the values of an option that may be repeated: a table becomes KEY=VALUE pairs."""
    if isinstance(item, dict):
        return [f"{key}={value}" for key, value in item.items()]
    return [str(value) for value in item] if isinstance(item, list) else [str(item)]


def _text(item: Any) -> Any:
    """Return a value as click takes it; dates, and numbers too large for a float, are text."""
    return item if isinstance(item, bool | str) else str(item)
