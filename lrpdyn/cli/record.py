"""lrpdyn record."""

from __future__ import annotations

import ast
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lrpdyn.cli import options
from lrpdyn.cli.command import Command, Whole, option, words_of
from lrpdyn.cli.imports import loading
from lrpdyn.cli.regions import say_sizes
from lrpdyn.cli.terminal import paragraph
from lrpdyn.files.nearby import seems, similar_path

if TYPE_CHECKING:
    from lrpdyn.observations.recording import Recording
    from lrpdyn.observations.regions import Regions


@click.command(
    "record", cls=Command, short_help="Play a policy and record what its network saw and gave.",
    examples=("lrpdyn record CartPole-v1 ckpts/final.zip",
              "lrpdyn record ALE/Pong-v5 ckpts/final.zip --atari --n 128 -o pong.npz"),
    shown=("out", "n", "every", "seed", "deterministic", "atari", "stack", "vecnormalize", "objects",
           "trust"),
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
@option("--objects", is_flag=True,
        help="Atari: write the objects that OCAtari finds next to the recording, as regions.")  # fmt: skip
@options.trust
@options.verbosity
def command(
    environment: str, checkpoint: str, out: str, env_kwarg: tuple[str, ...], atari: bool,
    stack: int | None, vecnormalize: str | None, objects: bool, trust: bool, quiet: bool, **given: Any,
) -> None:  # fmt: skip
    """Play a policy in its environment and record what its network saw and gave.

    lrpdyn compute then refuses to explain a network that gives other outputs. The run's own wrappers are
    taken from the files of RL-Zoo that lie by the checkpoint, or from options. Other frameworks:
    lrpdyn.record in Python. Needs pip install 'lrpdyn[record]', and --objects 'lrpdyn[objects]'.
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
        from lrpdyn.recording.record import objects_path

    def say(text: str) -> None:
        if not quiet:
            paragraph(f"Wrapped: {text}")

    setting = Setting(
        env_kwargs=dict(map(_pair, env_kwarg)), atari=atari, stack=stack, vecnormalize=vecnormalize
    )
    found = record_checkpoint(
        environment, checkpoint, setting, trust=trust, say=say, out=out, objects=objects, quiet=quiet,
        **given,
    )  # fmt: skip
    if not quiet:
        about = found.about
        at = "" if about.get("step") is None else f" at step {about['step']:,}"
        paragraph(
            f"Recorded {len(found.outputs)} observations of {about['episodes']} episodes "
            f"({about['steps']:,} steps), and outputs of {about['policy']}{at}, head {about['head']}."
        )
    masks = None
    if found.objects is not None:
        masks = objects_path(out)
        _draw(found, found.objects, masks.with_suffix(".png"), quiet=quiet)
    elif objects and not quiet:
        paragraph("OCAtari finds no object in these observations: no regions are written.")
    elif objects_path(out).exists():
        paragraph(
            f"Note: {objects_path(out)} is not of this recording; delete it, or record with --objects."
        )
    if not quiet:
        folder = shlex.quote(str(Path(checkpoint).parent))
        regions = "" if masks is None else f" --regions {shlex.quote(str(masks))}"
        paragraph(f"Next   lrpdyn compute {folder} {shlex.quote(out)}{regions}")
    click.echo(out)
    if masks is not None:
        click.echo(str(masks))


def _draw(recording: Recording, regions: Regions, picture: Path, *, quiet: bool) -> None:
    """Draw the objects in some of the recorded observations, and say how large they are."""
    from lrpdyn.figures.regions_picture import draw_regions

    given = recording.observations
    values = given["observation"] if isinstance(given, Mapping) else given
    shape = regions.masks.shape[1:]
    draw_regions(values.reshape(shape), regions, picture)
    if not quiet:
        say_sizes(regions, shape)
        paragraph(
            f"Look at {picture}: the boxes are OCAtari's, which knows the game, not the pixels."
        )


def _pair(text: str) -> tuple[str, Any]:
    key, separator, value = text.partition("=")
    if not separator or not key.isidentifier():
        raise click.UsageError(f"--env-kwarg {text}: expected KEY=VALUE, such as g=9.8")
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key, value
