"""lrpdyn record."""

from __future__ import annotations

import ast
import shlex
from pathlib import Path
from typing import Any

import click

from lrpdyn.cli import options
from lrpdyn.cli.command import Command, Whole, option, words_of
from lrpdyn.cli.imports import loading
from lrpdyn.files.nearby import seems, similar_path
from lrpdyn.files.text import printable


@click.command(
    "record", cls=Command, short_help="Play a policy and record what its network saw and gave.",
    examples=("lrpdyn record CartPole-v1 ckpts/final.zip",
              "lrpdyn record ALE/Pong-v5 ckpts/final.zip --atari --n 128 -o pong.npz"),
    shown=("out", "n", "every", "seed", "deterministic", "atari", "stack", "vecnormalize", "trust"),
    about={"ENVIRONMENT": "The name of a Gymnasium environment.",
           "CHECKPOINT": "A file of Stable-Baselines3 or sb3-contrib."},
)  # fmt: skip
@click.argument("environment")
@click.argument("checkpoint", type=click.Path())
@option(
    "--out",
    "-o",
    default="obs.npz",
    metavar="FILE.npz",
    show_default=True,
    help="The recording that is written.",
)
@option("--n", type=Whole(min=1), metavar="N", default=64, show_default=True,
              help="The number of observations.")  # fmt: skip
@option("--every", type=Whole(min=1), metavar="K", show_default="spread over four episodes",
              help="Keep each K-th step.")  # fmt: skip
@option("--seed", type=Whole(min=0), metavar="N", default=0, show_default=True,
        help="The seed of the environment and of a policy that draws.")  # fmt: skip
@option("--deterministic/--stochastic", default=True, show_default="deterministic",
              help="Whether the policy takes the action that it prefers, or draws one.")  # fmt: skip
@option(
    "--head",
    metavar="HEAD",
    show_default="what it acts by",
    shell_complete=words_of("policy", "value", "q"),
    help="Which outputs are recorded: policy or value; q.",
)
@option("--atari", is_flag=True, help="Wrap the environment with AtariWrapper, and stack 4 frames.")
@option("--stack", type=Whole(min=1), metavar="K", help="Stack K frames to one observation.")
@option("--vecnormalize", metavar="FILE|none",
              show_default="those next to the checkpoint",
              help="Normalise with the running statistics of this file.")  # fmt: skip
@option("--env-kwarg", multiple=True, metavar="KEY=VALUE", help="An argument of the environment.")
@options.trust
@options.verbosity
def command(
    environment: str, checkpoint: str, out: str, env_kwarg: tuple[str, ...], atari: bool,
    stack: int | None, vecnormalize: str | None, trust: bool, quiet: bool, **given: Any,
) -> None:  # fmt: skip
    """Play a policy in its environment and record what its network saw and gave.

    lrpdyn compute then refuses to explain a network that gives other outputs. The run's own wrappers are
    taken from the files of RL-Zoo that lie by the checkpoint, or from options. Other frameworks:
    lrpdyn.record in Python. Needs pip install 'lrpdyn[record]'.
    """
    if seems(environment) and not seems(checkpoint):
        raise click.UsageError(
            f"{environment}: is {seems(environment)}, expected the name of an environment first: "
            f"lrpdyn record {checkpoint} {environment}"
        )
    if "://" not in checkpoint and not Path(checkpoint).exists():
        raise click.UsageError(f"{checkpoint}: no such checkpoint{similar_path(checkpoint)}")
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
        raise click.UsageError(f"--env-kwarg {text}: expected KEY=VALUE, such as g=9.8")
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key, value
