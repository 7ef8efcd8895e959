"""Options and arguments that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from lrpdyn.architectures.names import NAMES, PREFIXES
from lrpdyn.cli.command import GENERAL, Number, Whole, Word, option, words_of
from lrpdyn.pipeline.setup.options import AUTO, DEVICES, Options

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_FIELDS = {field.name: field for field in fields(Options)}
DEFAULT_RUN = str(_FIELDS["out"].default)
QUESTION, CHECKPOINTS, OBSERVATIONS = "What is explained", "Checkpoints", "Observations"
MEASURED, WRITTEN, RUNNING = "Further measurements", "Output", "Running"
_COUNT, _SIZE = Whole(min=0), Whole(min=1)


def of_compute(name: str, *names: str, group: str = "Other options", **more: Any) -> Decorator:
    """Return the click option of a field of `Options`, whose default and choices are written there.

    ``--batch-size`` is for the field ``batch_size``; `names` are shorter ones, `group` is the heading in
    the help, and `more` is as `click.option` takes it.
    """
    known = _FIELDS[name.strip("-").replace("-", "_")]
    default = known.default
    if default is False:
        more["is_flag"] = True
    elif "choices" in known.metadata:
        more["type"] = Word(known.metadata["choices"])
    if default not in (None, ()):
        more = {"default": default, "show_default": default is not False, **more}
    return option(*names, name, group=group, **more)


def rule_names() -> Iterable[str]:
    """Return what completes ``--rule``."""
    from lrpdyn.lrp.composites import COMPOSITES
    from lrpdyn.lrp.registry import ALIASES, RULES, STOCK

    return (*RULES, *ALIASES, *COMPOSITES, *STOCK, AUTO)


def add_variables(command: click.Command) -> None:
    """Let each option be given by a variable too: LRPDYN_COMPUTE_BATCH_SIZE is its --batch-size.

    Not by click's auto_envvar_prefix, which takes the names of parameters (``form``) for those of
    options (``--format``).
    """
    for given in command.params:
        if isinstance(given, click.Option):
            name = max(given.opts, key=len).strip("-").replace("-", "_")
            given.envvar = f"LRPDYN_{command.name}_{name}".upper()


def run_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument RUN, the run folder."""
    return click.argument("run", default=DEFAULT_RUN, type=click.Path(path_type=Path))(function)


#: What the help of a command says of it.
ABOUT_RUN = {"RUN": f"The folder that lrpdyn compute wrote.  [default: {DEFAULT_RUN}]"}


def verbosity(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add -q and -v."""
    quiet = of_compute("--quiet", "-q", group=GENERAL, help="Print nothing but errors.")
    verbose = option(
        "-v",
        "--verbose",
        count=True,
        expose_value=False,
        callback=_set_verbosity,
        group=GENERAL,
        help="Print more; given twice, print the traceback of an error.",
    )
    return quiet(verbose(function))


def in_order(*given: Decorator) -> Decorator:
    """Return a decorator that adds options, which the help shows in this order."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(given):
            function = decorator(function)
        return function

    return add


trust = of_compute(
    "--trust", group=CHECKPOINTS,
    help="Unpickle checkpoints, which can run code in them. Only for files whose maker you trust.",
)  # fmt: skip
links = of_compute(
    "--links", group=CHECKPOINTS, help="Follow links that leave the folder of checkpoints."
)
skip_bad = of_compute("--skip-bad", group=CHECKPOINTS, help="Skip checkpoints that cannot be read.")
wait = of_compute(
    "--wait", group=RUNNING, type=Number(min=0), show_default="refuse at once", metavar="SECONDS",
    help="Wait for another process that writes the run folder.",
)  # fmt: skip
rule = of_compute(
    "--rule", group=QUESTION, metavar="RULE", shell_complete=words_of(of=rule_names),
    help="The LRP rule; lrpdyn rules lists them. Values follow a colon, as in gamma:0.25; "
    "FILE.toml has a rule for each layer; +attnlrp after a rule is for attention; auto tries all "
    "rules and takes the best.",
)  # fmt: skip
selection = in_order(
    of_compute("--pattern", group=CHECKPOINTS, metavar="GLOB",
               help="Take only checkpoints whose name matches."),
    of_compute("--since", group=CHECKPOINTS, type=Whole(), metavar="STEP",
               help="Take only steps from this one on."),
    of_compute("--until", group=CHECKPOINTS, type=Whole(), metavar="STEP",
               help="Take only steps up to this one."),
    of_compute("--every", group=CHECKPOINTS, type=_SIZE, metavar="N",
               help="Take the first of these, then each N-th."),
    of_compute("--limit", group=CHECKPOINTS, type=Whole(min=2), metavar="N",
               help="Take N of these, evenly spaced, with the first and the last."),
    of_compute("--weights", group=CHECKPOINTS, metavar="NAME", shell_complete=words_of("model", "ema"),
               help="Take these weights of each file: model, ema (averaged ones), or the key that they are "
               "under."),
    of_compute("--step-from", group=CHECKPOINTS, metavar="REGEX",
               help="Take the step from file names: the one group of a regular expression."),
)  # fmt: skip
architecture = in_order(
    of_compute("--arch", group=CHECKPOINTS, metavar="ARCH", show_default="recognised",
               shell_complete=words_of(*NAMES, *PREFIXES),
               help="A network of lrpdyn architectures. Your own: MODULE:CALLABLE "
               "or FILE.py:CALLABLE."),
    option("--arch-arg", "arch_arg", group=CHECKPOINTS, multiple=True, metavar="KEY=VALUE",
           help="An argument of the network's constructor."),
    of_compute("--head", group=QUESTION, metavar="HEAD", show_default="the network's first",
               shell_complete=words_of("policy", "value", "q", "logits"),
               help="Which output is explained: policy, value, q or logits."),
)  # fmt: skip
score = in_order(
    of_compute("--actions", group=QUESTION, metavar="discrete|box|binary|3,2",
               shell_complete=words_of("discrete", "box", "binary"),
               help="What a policy's outputs are, where the checkpoint does not say; 3,2: two actions, of 3 "
               "and of 2 choices."),
    of_compute("--target", group=QUESTION, metavar="UNIT", show_default="argmax",
               shell_complete=words_of("argmax", "largest", "modal", "final", "labels"),
               help="Explain argmax, modal, final, labels or a unit. argmax is chosen at each step, modal "
               "is one over all steps, final is that of the last step, labels is what each sample is "
               "labelled as; FILE.npy has one for each sample; "
               "GROUP:UNIT is of one of several actions; largest is for continuous ones."),
    of_compute("--contrast", group=QUESTION, metavar="NAME",
               show_default="mean", shell_complete=words_of("mean", "none", "runner-up"),
               help="What is subtracted: mean, runner-up or none. none is the default for continuous and "
               "binary actions."),
)  # fmt: skip
prefix = of_compute("--prefix", group=CHECKPOINTS, metavar="KEY",
                    help="Use only weights whose key begins with this, and remove it.")  # fmt: skip
layout = of_compute(
    "--layout", group=OBSERVATIONS, metavar="AXES", show_default="recognised",
    help="The order of the axes in the files, such as NCHW, NHWC, HWC or NF.",
)  # fmt: skip
scale = of_compute("--scale", group=OBSERVATIONS, metavar="NUMBER",
                   shell_complete=words_of("255", "none", "imagenet"),
                   show_default="recognised",
                   help="Divide pixels by this number. none divides by nothing, imagenet normalises as "
                   "torchvision does.")  # fmt: skip
stack = of_compute("--stack", group=OBSERVATIONS, type=_SIZE, metavar="K",
                   help="Make one observation of each K successive frames.")  # fmt: skip
observations = in_order(
    layout,
    scale,
    of_compute("--mean", group=OBSERVATIONS, metavar="NUMBERS|FILE.npy",
               help="Subtract this after --scale: a number, or one for each channel."),
    of_compute("--std", group=OBSERVATIONS, metavar="NUMBERS|FILE.npy",
               help="Divide by this after --mean."),
    of_compute("--statistics", group=OBSERVATIONS, metavar="FILE|none",
               help="Normalise by the running mean and variance of this file (vecnormalize.pkl, a "
               "sample-factory checkpoint); none: the observations are normalised already."),
    stack,
    of_compute("--stack-order", group=OBSERVATIONS,
               help="Which frame of a stack comes first in the files."),
    of_compute("--samples", group=OBSERVATIONS, metavar="N,N-N", show_default="all",
               help="Explain these, such as 0,3,7 or 0-3."),
    of_compute("--select", group=OBSERVATIONS, metavar="NAME:K",
               shell_complete=words_of("spread:", "random:", "highlights:"),
               help="Explain K observations: spread (those that differ most), random, or highlights "
               "(where the last checkpoint cares most, and which differ)."),
    of_compute("--seed", group=OBSERVATIONS, type=_COUNT, metavar="N",
               help="The seed of --select."),
    of_compute("--resize", group=OBSERVATIONS, metavar="SIZE",
               help="Resize pictures as torchvision does: the shorter side to 224, or to 224x320; after a "
               "colon bicubic and others."),
    of_compute("--crop", group=OBSERVATIONS, metavar="center:SIZE", shell_complete=words_of("center:"),
               help="Cut this size from the middle of pictures, after --resize: center:224."),
    of_compute("--labels", group=OBSERVATIONS, metavar="FILE.csv",
               help="Labels for --target labels: file,label or one a row. Without it the names of class "
               "folders, images/ants/0.jpg, are labels."),
    of_compute("--names", group=OBSERVATIONS, metavar="FILE.toml",
               help="Names of units, features, channels, samples and regions, which the report and figures "
               "show."),
    of_compute("--expect", group=OBSERVATIONS, metavar="FILE",
               help="Refuse to explain a network that gives other outputs than this file (.npz, .npy), which "
               "the framework's own network gave."),
    of_compute("--expect-step", group=OBSERVATIONS, type=Whole(), metavar="STEP",
               help="The step of the checkpoint that gave them, where the file does not say it."),
)  # fmt: skip
resources = in_order(
    of_compute("--device", group=RUNNING, metavar="|".join(DEVICES), shell_complete=words_of(*DEVICES),
               help="The device that explains."),
    of_compute("--workers", group=RUNNING, type=_SIZE, metavar="N",
               show_default="all cores",
               help="The number of processes. Results are the same for any."),
    of_compute("--batch-size", group=RUNNING, type=_SIZE, metavar="N",
               help="The number of observations that are explained at once."),
)  # fmt: skip
reference = of_compute(
    "--reference", group=QUESTION, metavar="none|modal|mean|VALUE|FILE.npy", show_default="none",
    shell_complete=words_of("none", "modal", "mean"),
    help="Explain the difference from this: zero (none), the most frequent value, the mean, a number or one "
    "observation as in the files.",
)  # fmt: skip
fill = of_compute(
    "--fill", group=MEASURED, metavar="VALUE|modal|blurred|mean", show_default="modal",
    shell_complete=words_of("modal", "blurred", "mean"),
    help="What replaces a region or patch that is removed: a number as in the files, their most frequent "
    "one, the observation blurred, or the mean of the others.",
)  # fmt: skip
curve = of_compute(
    "--curve", group=MEASURED, metavar="FILE:COLUMN",
    help="Compare the run with a training curve: progress.csv, monitor.csv, evaluations.npz, a CSV with "
    "steps, TensorBoard events.",
)  # fmt: skip
tables = of_compute(
    "--tables", group=WRITTEN, type=Word(["samples", "steps"]),
    show_default="samples, up to 10 million rows",
    help="Write a row for each sample of a step, or for each step, with medians and extremes.",
)  # fmt: skip
faithfulness = of_compute(
    "--faithfulness", group=MEASURED, metavar="STEPS|all|none", shell_complete=words_of("all", "none"),
    show_default="5 or more, as time allows",
    help="Measure at this number of steps whether the pixels that a map marks change the score.",
)  # fmt: skip
faithfulness_samples = of_compute(
    "--faithfulness-samples", group=MEASURED, type=_SIZE, metavar="N", show_default="8, more of few patches",
    help="Measure that of this number of observations, evenly spaced.",
)  # fmt: skip
interventions = of_compute(
    "--interventions", group=MEASURED, type=_COUNT, metavar="N",
    show_default="a quarter of the time",
    help="Put the weights of single layers back, at most N times, to find which layers made the largest "
    "changes.",
)  # fmt: skip


def output_format(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add --format with a choice of `names`, the first being the default."""
    return option("--format", "form", type=Word(names), default=names[0], show_default=True,
                  help="How the output is written.")  # fmt: skip


def _set_verbosity(ctx: click.Context, parameter: click.Parameter, value: int) -> None:
    if isinstance(ctx.obj, dict):
        ctx.obj["verbose"] = value
