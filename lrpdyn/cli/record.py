"""lrpdyn record."""

from __future__ import annotations

import ast
import shlex
from pathlib import Path
from typing import Any

import click

from lrpdyn.cli import options
from lrpdyn.cli.imports import loading
from lrpdyn.files.text import printable


@click.command("record", short_help="Play a policy and record what its network saw and gave.")
@click.argument("environment")
@click.argument("checkpoint", type=click.Path())
@click.option(
    "--out", "-o", default="obs.npz", show_default=True, help="The recording, a .npz file."
)
@click.option("--n", type=click.IntRange(min=1), default=64, show_default=True,
              help="How many observations.")  # fmt: skip
@click.option("--every", type=click.IntRange(min=1), metavar="K",
              help="Each K-th step. Default: spread over four episodes, or fewer long ones.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--deterministic/--stochastic", default=True, show_default=True,
              help="Whether the policy does what it prefers, or draws.")  # fmt: skip
@click.option("--head", help="Which outputs: policy or value; q. Default: what it acts by.")
@click.option("--atari", is_flag=True, help="With AtariWrapper, and 4 frames stacked.")
@click.option(
    "--stack", type=click.IntRange(min=1), metavar="K", help="K frames are an observation."
)
@click.option("--vecnormalize", metavar="FILE|none",
              help="Running statistics. Default: those that lie by the checkpoint.")  # fmt: skip
@click.option("--env-kwarg", multiple=True, metavar="KEY=VALUE", help="Of the environment.")
@options.trust
@options.verbosity
def command(
    environment: str, checkpoint: str, out: str, env_kwarg: tuple[str, ...], atari: bool,
    stack: int | None, vecnormalize: str | None, trust: bool, quiet: bool, **given: Any,
) -> None:  # fmt: skip
    """Play CHECKPOINT, a file of Stable-Baselines3 or sb3-contrib, in ENVIRONMENT and record the
    observations that its network is given, with the outputs that it gives.

    lrpdyn compute then refuses to explain a network that gives others. The run's own wrappers are
    taken from the files of RL-Zoo that lie by the checkpoint, or from options. Other frameworks:
    lrpdyn.record in Python. Needs pip install 'lrpdyn[record]'.
    """
    with loading(quiet=quiet):
        from lrpdyn.recording.checkpoint import Setting, record_checkpoint

    def say(text: str) -> None:
        if not quiet:
            click.echo(printable(f"{'wrapped':<9} {text}"), err=True)

    setting = Setting(
        env_kwargs=dict(map(_pair, env_kwarg)), atari=atari, stack=stack, vecnormalize=vecnormalize
    )
    found = record_checkpoint(
        environment, checkpoint, setting, trust=trust, say=say, out=out, quiet=quiet, **given
    )
    if not quiet:
        about = found.about
        at = "" if about.get("step") is None else f" at step {about['step']:,}"
        click.echo(
            f"{'recorded':<9} {len(found.outputs)} observations of {about['episodes']} episodes "
            f"({about['steps']:,} steps), and outputs of {about['policy']}{at}, head {about['head']}",
            err=True,
        )
        folder = shlex.quote(str(Path(checkpoint).parent))
        click.echo(f"{'next':<9} lrpdyn compute {folder} {shlex.quote(out)}", err=True)
    click.echo(out)


def _pair(text: str) -> tuple[str, Any]:
    key, separator, value = text.partition("=")
    if not separator or not key.isidentifier():
        raise click.UsageError(f"--env-kwarg '{text}': expected KEY=VALUE, such as g=9.8")
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key, value
