"""lrpdyn help."""

from __future__ import annotations

import click

from lrpdyn.cli.command import ALL, Command, option, words_of
from lrpdyn.cli.names import COMMANDS


@click.command("help", cls=Command, short_help="Show the help of a command.",
               examples=("lrpdyn help", "lrpdyn help compute", "lrpdyn help compute --all"),
               about={"COMMAND": "Which command; all of them are listed where none is given."})  # fmt: skip
@click.argument("command", required=False, shell_complete=words_of(*COMMANDS))
@option("--all", "whole", is_flag=True, help="Show every option.")
@click.pass_context
def command(ctx: click.Context, command: str | None, whole: bool) -> None:
    """Show the help of COMMAND, as its own -h does."""
    assert ctx.parent is not None
    group = ctx.parent.command
    assert isinstance(group, click.Group)
    if command is None:
        click.echo(ctx.parent.get_help())
        return
    name, found, _ = group.resolve_command(ctx.parent, [command])
    assert found is not None
    own = click.Context(found, info_name=name, parent=ctx.parent)
    own.meta[ALL] = whole
    click.echo(found.get_help(own))
