"""Options and arguments that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from lrpdyn.files.toml_files import read_toml
from lrpdyn.pipeline.setup.options import Options

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_FIELDS = {field.name: field for field in fields(Options)}
DEFAULT_RUN = str(_FIELDS["out"].default)


def of_compute(name: str, *names: str, **more: Any) -> Decorator:
    """Return the click option of a field of `Options`, whose default and choices are written there.

    ``--batch-size`` is for the field ``batch_size``; `names` are shorter ones, and `more` is as
    `click.option` takes it.
    """
    known = _FIELDS[name.strip("-").replace("-", "_")]
    default = known.default
    if default is False:
        more["is_flag"] = True
    elif "choices" in known.metadata:
        more["type"] = click.Choice(known.metadata["choices"])
    if default not in (None, ()):
        more = {"default": default, "show_default": default is not False, **more}
    return click.option(*names, name, **more)


def add_variables(command: click.Command) -> None:
    """Let each option be given by a variable too: LRPDYN_COMPUTE_BATCH_SIZE is its --batch-size.

    Not by click's auto_envvar_prefix, which takes the names of parameters (``form``) for those of
    options (``--format``).
    """
    for option in command.params:
        if isinstance(option, click.Option):
            name = max(option.opts, key=len).strip("-").replace("-", "_")
            option.envvar = f"LRPDYN_{command.name}_{name}".upper()


def run_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument RUN, the run folder."""
    return click.argument("run", default=DEFAULT_RUN, type=click.Path(path_type=Path))(function)


def verbosity(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add -q and -v."""
    quiet = of_compute("--quiet", "-q", help="Say nothing but errors.")
    verbose = click.option(
        "-v",
        "--verbose",
        count=True,
        expose_value=False,
        callback=_set_verbosity,
        help="Say more; twice: a traceback with an error.",
    )
    return quiet(verbose(function))


trust = of_compute(
    "--trust",
    help="Unpickle checkpoints that are more than weights. This can run code: only for files "
    "whose maker you trust.",
)
links = of_compute("--links", help="Follow links that leave the folder of checkpoints.")


def selection(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose checkpoints, and the weights in them."""
    for option in reversed((
        of_compute("--pattern", metavar="GLOB", help="Only checkpoints whose name matches."),
        of_compute("--since", type=int, help="Only steps from this one on."),
        of_compute("--until", type=int, help="Only steps up to this one."),
        of_compute("--every", type=click.IntRange(min=1), metavar="N",
                     help="Of these, the first, then each N-th."),
        of_compute("--limit", type=click.IntRange(min=2), metavar="N",
                     help="Of these, N evenly spaced, the first and the last among them."),
        of_compute("--weights", metavar="NAME",
                     help="model, ema (averaged weights), or where in the file they are, as actor."),
        of_compute("--step-from", metavar="REGEX",
                     help="Take the step from names: the one group of a regular expression."),
    )):  # fmt: skip
        function = option(function)
    return function


def architecture(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which network it is."""
    for option in reversed((
        of_compute("--arch", help="A name (lrpdyn architectures), MODULE:CALLABLE or FILE.py:CALLABLE. "
                   "Default: recognised from the weights."),
        click.option("--arch-arg", "arch_arg", multiple=True, metavar="KEY=VALUE",
                     help="Argument of --arch."),
        of_compute("--head", help="Which output: policy, value, q, logits."),
    )):  # fmt: skip
        function = option(function)
    return function


def score(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which score is explained."""
    for option in reversed((
        of_compute("--actions", metavar="discrete|box|binary|3,2", help="What a policy's outputs are, where "
                   "the checkpoint does not say; 3,2: actions of 3 and 2 choices."),
        of_compute("--target",
                   help="argmax, modal, final, a unit, or FILE.npy with a unit for each sample; of several "
                   "actions GROUP:UNIT; of continuous ones largest. Default: argmax or largest."),
        of_compute("--contrast", help="What is subtracted from the target's output. Default: mean; none of "
                   "continuous and binary actions."),
    )):  # fmt: skip
        function = option(function)
    return function


prefix = of_compute("--prefix", help="Only weights whose key begins so, which is taken off.")
layout = of_compute(
    "--layout",
    type=click.Choice(["NCHW", "NHWC", "CHW", "HWC", "NHW", "HW", "NF", "F", "NKHWC", "NKCHW"]),
    help="Of the observation files. Default: told from the network.",
)
scale = of_compute("--scale", help="What observations are divided by, none, or imagenet.")
stack = of_compute(
    "--stack",
    type=click.IntRange(min=1),
    metavar="K",
    help="Make each K successive frames into one observation.",
)


def observations(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how observations are read, which are taken, and what they gave."""
    for option in reversed((
        layout,
        scale,
        of_compute("--mean", help="Subtracted after --scale: a number, one a channel, or FILE.npy."),
        of_compute("--std", help="Divided by after --mean: the same."),
        of_compute("--statistics", metavar="FILE|none",
                   help="Running mean and variance of a sample-factory checkpoint or vecnormalize.pkl; none: "
                   "the observations are as the network saw them."),
        stack,
        of_compute("--stack-order", type=click.Choice(["oldest", "newest"]),
                   help="newest turns the frames of each stack round."),
        of_compute("--samples", help="Which observations, such as 0,3,7 or 0-3."),
        of_compute("--select", metavar="spread:K|random:K",
                   help="K observations that differ most, or K at random."),
        of_compute("--seed", type=click.IntRange(min=0), help="Of --select."),
        of_compute("--expect", metavar="FILE", help="Outputs that the framework's network gave for the "
                   "observations (.npz, .npy): refuse where this one gives others."),
        of_compute("--expect-step", type=int, metavar="STEP",
                   help="Of which checkpoint they are, where FILE does not say it."),
    )):  # fmt: skip
        function = option(function)
    return function


def resources(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what it is computed on."""
    for option in reversed((
        of_compute("--device", help="auto, cpu, cuda or mps."),
        of_compute("--workers", type=click.IntRange(min=1),
                   help="Processes. Default: the cores given to this one."),
        of_compute("--batch-size", type=click.IntRange(min=1),
                   help="Observations that are explained at once."),
    )):  # fmt: skip
        function = option(function)
    return function


fill = of_compute(
    "--fill",
    metavar="VALUE|modal|blurred|mean",
    help="What a region or patch becomes that is taken away: a number as in the observation files, their "
    "most frequent one, the observation blurred, or the mean of the others.",
)
reference = of_compute(
    "--reference",
    metavar="none|modal|mean|VALUE|FILE.npy",
    help="Relevance of the observation less this: the most frequent value, the mean, a number or one "
    "observation as in the observation files. Default: none.",
)
skip_bad = of_compute("--skip-bad", help="Go on without checkpoints that cannot be read.")
curve = of_compute(
    "--curve",
    metavar="FILE:COLUMN",
    help="A training curve to hold the run against: progress.csv, monitor.csv, evaluations.npz, "
    "a CSV with steps, TensorBoard events.",
)
tables = of_compute(
    "--tables",
    type=click.Choice(["samples", "steps"]),
    help="A row for each sample of a step, or for each step: medians and extremes over samples. "
    "Default: samples, but steps where a table would pass 10 million rows.",
)
faithfulness = of_compute(
    "--faithfulness",
    metavar="STEPS|all|none",
    help="Measure at so many evenly spaced steps how well maps say what the score depends on: patches are "
    "taken away, most and least relevant first. Default: about what the explaining took, 5 at least.",
)
faithfulness_samples = of_compute(
    "--faithfulness-samples",
    type=click.IntRange(min=1),
    metavar="N",
    help="Measure that of so many evenly spaced observations. Default: 8, more of few patches.",
)
interventions = of_compute(
    "--interventions",
    type=click.IntRange(min=0),
    metavar="N",
    help="Put layers' weights back, at most N times, to see which made the largest changes. Default: a "
    "quarter of the explaining.",
)
wait = of_compute(
    "--wait",
    type=click.FloatRange(min=0),
    show_default=False,
    metavar="SECONDS",
    help="Wait for another process that writes the run folder. Default: refuse at once.",
)


def output_format(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add --format with a choice of `names`, the first being the default."""
    return click.option(
        "--format", "form", type=click.Choice(names), default=names[0], show_default=True
    )


def config(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --config, a TOML file whose keys are the options' names."""
    return click.option(
        "--config",
        type=click.Path(exists=True, dir_okay=False),
        is_eager=True,
        expose_value=False,
        callback=_read_config,
        help="A TOML file of options; the command line wins.",
    )(function)


def _set_verbosity(ctx: click.Context, parameter: click.Parameter, value: int) -> None:
    if isinstance(ctx.obj, dict):
        ctx.obj["verbose"] = value


def _read_config(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is None:
        return
    try:
        given = read_toml(Path(value))
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"{value}: {error}") from error
    options = {
        name.removeprefix("--"): option
        for option in ctx.command.params
        if isinstance(option, click.Option) and option is not parameter
        for name in option.opts
        if name.startswith("--")
    }
    unknown = [key for key in given if key.replace("_", "-") not in options]
    if unknown:
        raise click.BadParameter(
            f"{value}: no option is called {', '.join(unknown)}; the keys are the options' names: "
            f"{', '.join(options)}"
        )
    defaults = {}
    for key, item in given.items():
        option = options[key.replace("_", "-")]
        if isinstance(item, dict | list) and not option.multiple:
            raise click.BadParameter(f"{value}: {key} takes one value, found {type(item).__name__}")
        defaults[str(option.name)] = _texts(item) if option.multiple else _text(item)
    ctx.default_map = {**(ctx.default_map or {}), **defaults}


def _texts(item: Any) -> list[str]:
    """Return the values of an option that may be repeated: a table becomes KEY=VALUE pairs."""
    if isinstance(item, dict):
        return [f"{key}={value}" for key, value in item.items()]
    return [str(value) for value in item] if isinstance(item, list) else [str(item)]


def _text(item: Any) -> Any:
    """Return a value as click takes it; dates, and numbers too large for a float, are text."""
    return item if isinstance(item, bool | str) else str(item)
