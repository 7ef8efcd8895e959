"""What is wrong with a command line, in one line, and what was probably meant."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import click

from lrpdyn.cli.names import COMMANDS
from lrpdyn.files.nearby import did_you_mean, seems

_Commands = Callable[[str], click.Command | None]


def unknown_command(name: str) -> click.UsageError:
    """Return the error for a command that there is none of."""
    if seems(name) or Path(name).exists():
        what = "outliers" if seems(name) == "a run" else "compute"
        rest = "" if what == "outliers" else " OBSERVATIONS"
        return click.UsageError(
            f"{name}: is a path; a command comes before it, such as lrpdyn {what} {name}{rest}"
        )
    return click.UsageError(
        f"No such command: {name}{did_you_mean(name, COMMANDS)}; lrpdyn -h lists them"
    )


def in_one_line(error: click.ClickException, commands: _Commands) -> str:
    """Return what to say of an error of click, whose own messages have quotes and several lines.

    `commands` gives the command of a name.
    """
    ctx = getattr(error, "ctx", None)
    command = next((word for word in sys.argv[1:] if word in COMMANDS), "")
    path = f"lrpdyn {command}".rstrip()
    see = f"; {path} -h says what it takes"
    if isinstance(error, click.NoSuchOption):
        return _unknown_option(error.option_name, ctx, commands) + see
    if isinstance(error, click.MissingParameter) and error.param is not None:
        return _missing(error.param, ctx) + see
    message = re.sub(r"'([^']*)'", r"\1", error.format_message()).rstrip(".")
    if isinstance(error, click.BadOptionUsage):
        takes_none = "does not take" in message
        expected = "takes no value, for it is a flag" if takes_none else "expected a value after it"
        return f"{error.option_name}: {expected}{see}"
    if isinstance(error, click.BadParameter) and error.param is not None:
        found = error.message.rstrip(".")
        return f"{_name_of(error.param)}{_given(error.param)}: {found}"
    extra = re.match(r"Got unexpected extra arguments? \((.*)\)", message)
    if extra is not None:
        return f"{extra[1]}: one argument too many for {path}{see}"
    return message + ("" if "lrpdyn" in message else see)


def _missing(parameter: click.Parameter, ctx: click.Context | None) -> str:
    if isinstance(parameter, click.Option) or ctx is None:
        kind = parameter.type
        choices = [str(c) for c in kind.choices] if isinstance(kind, click.Choice) else []
        said = f" {'|'.join(choices)}" if choices else " a value"
        return f"{_name_of(parameter)}: expected{said}"
    example = getattr(ctx.command, "examples", ("",))[0]
    return f"{_name_of(parameter)} is missing, expected as in: {example}"


def _unknown_option(name: str, ctx: click.Context | None, commands: _Commands) -> str:
    if ctx is None:
        return f"{name}: no such option"
    # click takes -rule for -r and the rest.
    given = next((word for word in sys.argv[1:] if word.startswith(name)), name).partition("=")[0]
    own = _options_of(ctx.command)
    meant = did_you_mean(given, own)
    if not meant:
        others = [
            other
            for other in COMMANDS
            if other != ctx.info_name and given in _options_of(commands(other))
        ]
        if others:
            meant = f" (it is one of lrpdyn {', '.join(others)})"
    return f"{given}: no such option of {ctx.info_name or 'lrpdyn'}{meant}"


def _options_of(command: click.Command | None) -> list[str]:
    if command is None:
        return []
    return [name for parameter in command.params for name in parameter.opts if name[:2] == "--"]


def _name_of(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Option):
        return max(parameter.opts, key=len)
    return str(parameter.name).upper()


def _given(parameter: click.Parameter) -> str:
    """Return the value that an option was given on the command line, with a space before it."""
    for place, word in enumerate(sys.argv):
        for option in parameter.opts:
            if word == option and place + 1 < len(sys.argv):
                return f" {sys.argv[place + 1]}"
            if word.startswith(f"{option}=") and option[:2] == "--":
                return f" {word.partition('=')[2]}"
    return ""
