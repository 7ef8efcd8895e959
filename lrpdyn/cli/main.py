"""The group of commands, and how errors and signals become one line and an exit code."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
from typing import Any

import click

from lrpdyn.cli import options
from lrpdyn.cli.command import heading
from lrpdyn.cli.mistakes import in_one_line, unknown_command
from lrpdyn.cli.names import COMMANDS, GROUPS
from lrpdyn.cli.terminal import say_error
from lrpdyn.errors import LrpdynError
from lrpdyn.files.reasons import plainly, reason_of
from lrpdyn.files.text import terminal_width
from lrpdyn.system.memory import is_out_of_memory
from lrpdyn.system.signals import Stopped, kill_workers
from lrpdyn.version import __version__

#: What click raises where nothing is given at all; 8.1 prints the help itself.
_NO_ARGUMENTS: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())
_STOPPED = "Stopped. What is finished is kept: the same command goes on from there."


class _LazyGroup(click.Group):
    """Import a command when it is needed; none of them loads torch by being imported."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"lrpdyn.cli.{name}").command
        options.add_variables(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not ctx.resilient_parsing and args[0][:1] != "-":
            raise unknown_command(args[0])
        return super().resolve_command(ctx, args)

    def get_help(self, ctx: click.Context) -> str:
        formatter = click.HelpFormatter(width=min(terminal_width(), 100))
        self.format_help(ctx, formatter)
        return formatter.getvalue().rstrip("\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in GROUPS.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(heading(title)):
                formatter.write_dl(
                    [
                        (name, command.get_short_help_str(100))
                        for name, command in commands
                        if command
                    ]
                )
        click.Command.format_options(self, ctx, formatter)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lrpdyn")
def group() -> None:
    """See how a network's relevance changes over its training, and what went wrong on the way.

    \b
    lrpdyn demo                                  a small agent, explained
    lrpdyn compute ckpts/ obs.npy --rule zplus   explain your own training
    lrpdyn plot                                  draw figures of it
    lrpdyn outliers                              read what stands out, and why
    lrpdyn help compute                          what compute takes
    """


def _terminated(signum: int, frame: Any) -> None:
    kill_workers()
    click.echo(_STOPPED, err=True)
    # At once, not by an exception: one that is raised in the middle of torch's own imports is
    # swallowed there. Every file is whole or absent, so nothing is left to tidy up.
    os._exit(143)


def main() -> None:
    """Run the command line; exit with the code of the contract."""
    settings = {"verbose": 0}
    signal.signal(signal.SIGTERM, _terminated)
    sys.exit(_run(settings))


def _run(settings: dict[str, int]) -> int:
    try:
        code = group.main(prog_name="lrpdyn", standalone_mode=False, obj=settings)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.Abort:
        click.echo(_STOPPED, err=True)
        return 130
    except click.ClickException as error:
        if isinstance(error, _NO_ARGUMENTS):
            error.show()
        else:
            said = in_one_line(error, lambda name: group.get_command(click.Context(group), name))
            say_error(said)
        return error.exit_code
    except Stopped as stop:
        click.echo(str(stop), err=True)
        return stop.exit_code
    except BrokenPipeError:
        # The reader of our output is gone (lrpdyn outliers | head): nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (LrpdynError, OSError, MemoryError, RuntimeError, SystemError) as error:
        message = _message(error)
        if message is None:
            raise
        if settings["verbose"] >= 2:
            traceback.print_exc()
        say_error(plainly(message))
        return error.exit_code if isinstance(error, LrpdynError) else 1


def _message(error: Exception) -> str | None:
    """Return the line that an error becomes; None for a fault of the program."""
    if isinstance(error, LrpdynError):
        return str(error)
    if isinstance(error, OSError):
        where = "" if error.filename is None else f"{error.filename}: "
        return f"{where}{error.strerror or reason_of(error)}; mend that, and give the same command again"
    # The interpreter itself fails (SystemError) where memory runs out while it handles an error.
    if isinstance(error, SystemError) or (
        isinstance(error, RuntimeError) and is_out_of_memory(error)
    ):
        error = MemoryError()
    if isinstance(error, MemoryError):
        return (
            f"out of memory{': ' if str(error) else ''}{error}; fewer observations (--samples, --select), "
            "--workers 1 or a smaller --batch-size need less"
        )
    return None
