"""The options of `lrpdyn.compute`: their defaults, what they may be, and which are part of the question."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from lrpdyn.checkpoints.digests import Algorithm
from lrpdyn.errors import UsageError
from lrpdyn.files.nearby import did_you_mean
from lrpdyn.pipeline.setup.shard import parse_shard
from lrpdyn.run import DEFAULT_RUN

#: What a field's metadata may say, so that no other file has to know the option. Parts of the question:
#: ``question`` is recorded in the manifest under the field's name, and a run with another value is another
#: run; ``selection`` is the same, of which checkpoints are explained; ``arrangement`` is passed to
#: `lrpdyn.observations.load_observations` and compared by the observations' hash. A field without a part is
#: recorded as what it was resolved to, or not at all. ``unset`` is what a question without the field has,
#: where that is not its default.
_QUESTION: dict[str, Any] = {"part": "question"}
_SELECTION: dict[str, Any] = {"part": "selection"}
_ARRANGEMENT: dict[str, Any] = {"part": "arrangement"}
#: What was recorded of a finished run holds for every value.
_SAME_RESULTS: dict[str, Any] = {"changes_results": False}
#: A command that sets it is run, whatever was recorded of a finished run.
_RUNS_AGAIN: dict[str, Any] = {"runs_again": True}
#: The rule that takes the one which `lrpdyn.pipeline.rule_trial` names; regions that are found.
AUTO = "auto"
#: What ``--device`` takes.
DEVICES = ("auto", "cpu", "cuda", "mps")
DEVICE = re.compile(r"auto|cpu|mps|cuda(:[0-9]{1,3})?")
#: The least value of numbers.
_LEAST = {"batch_size": 1, "workers": 1, "interventions": 0, "stack": 1, "seed": 0, "wait": 0,
          "faithfulness_samples": 1}  # fmt: skip


#: What fields take by name, for editors to complete. A field that is open takes other text, too.
RuleName = Literal[
    "zplus", "gamma", "epsilon", "lrp0", "alpha2beta1", "alpha1beta0", "alphabeta", "zbox", "wsquare",
    "flat", "norm", "cp-lrp", "attnlrp", "epsilon-plus", "epsilon-plus-flat", "epsilon-alpha2-beta1",
    "epsilon-alpha2-beta1-flat", "epsilon-gamma-box", "captum:alpha1beta0", "captum:epsilon",
    "captum:gamma", "auto",
]  # fmt: skip
TargetPolicy = Literal["argmax", "largest", "modal", "final"]
Contrast = Literal["mean", "none", "runner-up"]
Normalisation = Literal["none", "sum", "l1", "max", "minmax"]
Layout = Literal["NCHW", "NHWC", "CHW", "HWC", "NHW", "HW", "NF", "F", "NKHWC", "NKCHW", "NLC",
                 "NCL", "NTF", "TF", "NTCHW", "NTHWC", "NTHW"]  # fmt: skip
StackOrder = Literal["oldest", "newest"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Keep = Literal["relevance", "pixels", "none"]
StoredType = Literal["float32", "float16"]
Rows = Literal["samples", "steps"]


def _choices(values: object) -> dict[str, Any]:
    """Return the metadata of a field that has one of the texts of a `Literal`, or None."""
    return {"choices": get_args(values)}


def _not_with_shard(why: str) -> dict[str, Any]:
    """Return the metadata of a field that cannot be set together with `shard`."""
    return {"not_with_shard": why}


def parse_faithfulness(asked: str | int | None) -> str | int | None:
    """Return ``all``, ``none``, a number of steps, or None where nothing is asked.

    Raises
    ------
    UsageError
        It is none of these.
    """
    if asked is None or asked in ("all", "none"):
        return asked
    text = str(asked)
    if not text.isdecimal() or not 0 < int(text) < 10**9:
        raise UsageError(
            f"--faithfulness {text}: expected a number of steps from 1, all or none"
            + did_you_mean(text, ("all", "none"))
        )
    return int(text)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of `lrpdyn.compute`: all but the checkpoints and the observations.

    Parameters
    ----------
    out
        The run folder. A run that was interrupted goes on; one of another question is refused.
    rule
        ``NAME[:VALUE]``, a composite's name, or a rules file ``FILE.toml``, each also with
        ``+attnlrp`` for attention; see ``lrpdyn rules``. ``auto`` tries all of them on a few checkpoints
        and observations first, and takes the one that ``lrpdyn rules --try`` names, with its reference
        unless `reference` is given.
    arch, arch_args
        A registered name, ``MODULE:CALLABLE`` or ``FILE.py:CALLABLE``, and its arguments;
        recognised from the weights where not given.
    head
        Which output; the architecture's first where not given.
    actions
        What the outputs of a policy are: ``discrete`` (one action), ``3,2`` (the choices of several),
        ``box`` (means of continuous ones), ``binary``. Where not given, what the checkpoint or the
        network says; one discrete action where neither does.
    target
        ``argmax``, ``largest``, ``modal``, ``final``, ``labels`` (what each sample is labelled as, by the
        name of its folder, a data set or `labels`), a unit, or a .npy file of one unit a sample; with
        ``GROUP:`` before it, of one of several discrete actions. Where not given, ``argmax``, and
        ``largest`` of continuous or binary actions.
    contrast
        ``mean``, ``none`` or ``runner-up``: what is subtracted from the target's output, of the same
        action. Where not given, ``mean``, and ``none`` of continuous or binary actions.
    normalize
        ``none``, ``sum``, ``l1``, ``max`` or ``minmax``: of the copies that differences are made
        from; stored relevance stays raw.
    reference
        What relevance is measured from: that of x - reference. ``none`` (zero), ``modal``, the most
        frequent value of the observations, ``mean``, their mean, entry by entry, a number in units of the
        observation files, or a .npy file of the shape of one observation in these units. Where not given,
        ``none``.
    baseline
        ``random:K`` compares the maps of the first, middle and last step, and of those whose faithfulness
        is measured, with those of K freshly initialised networks; ``none`` does not.
    layout, scale, samples, stack, stack_order, mean, std, statistics, select, seed, resize, crop, labels
        See `lrpdyn.observations.load_observations`.
    names
        A TOML file of names of units, features, channels, samples and regions
        (`lrpdyn.files.names.read_names`), which the report and figures show; what is known otherwise
        where it does not say. No part of the question.
    expect
        Outputs (samples, units) that the framework's own network gave for the observations: a
        recording or a .npy file. The network must give them too, or nothing is explained. No part of
        the question.
    expect_step
        Of which checkpoint they are, where the recording does not say it.
    pattern, since, until, every, limit, weights, step_from
        Which checkpoints, and which of their weights; see
        `lrpdyn.checkpoints.selection.Selection`.
    prefix
        Only weights whose key begins with this, which is taken off.
    device
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    workers
        Processes that explain checkpoints, each with a core; all cores that this process may use
        where not given. On a GPU one process explains, and so many threads add what it found. Results are
        the same for any number.
    batch_size
        Observations that are explained at once. Part of the question: last bits depend on it.
    keep, dtype
        What is stored of each step: ``relevance``, ``pixels`` (channels summed) or ``none``, in
        ``float32`` or ``float16``. No part of the question: sums, tables and pictures are made from
        float32 relevance. An interrupted run of which less than the relevance in float32 is kept
        begins again with its first step.
    digest
        How the manifest names the weights of each checkpoint: ``xxh3_128`` (fast), or ``sha256``, which also
        holds against files that somebody made to be alike. Where not given, as the run that is resumed.
    tables
        ``samples``: metrics.csv and transitions.csv have a row for each sample of a step; ``steps``:
        a row for each step, with medians and extremes over samples. Where not given, ``samples``,
        unless one of them would pass ten million rows. No part of the question.
    regions
        A file of named parts of the observations (`lrpdyn.observations.regions.read_regions`), whose
        share of the relevance and whose effect on the prediction are then measured; ``auto``: the objects
        that differ from a still background (`lrpdyn.observations.objects.find_objects`), which are written
        to ``regions.npz`` and drawn. No part of the question.
    fill
        What a region (or a patch, where no regions are given) becomes that is taken away: ``modal``, the
        most frequent value of the observations, which is taken where none is given; a number in units
        of the observation files; ``blurred``, the observation itself under a Gaussian of half a
        patch; ``mean``, the mean of the other observations, entry by entry.
    faithfulness
        At how many evenly spaced steps it is measured how well maps say what the score depends on
        (`lrpdyn.diagnostics.faithfulness`): a number, ``all`` or ``none``. Where not given, at so many as
        take about as long as the explaining, five at least. Steps that are flagged are measured, too.
        No part of the question.
    faithfulness_samples
        Of how many evenly spaced observations that is measured, of those that there are. Where not given,
        of eight, and of more where patches are so few that all steps take less than the explaining. No
        part of the question.
    interventions
        How many explanations of a changed network, whose layers have the weights of the step before,
        may be made to find which layers made the largest changes; 0: none. Where not given, what takes
        a quarter of the explaining at most, and what each layer of the first transition takes. No part
        of the question.
    curve
        ``FILE:COLUMN``, a training curve to compare the run with
        (`lrpdyn.run.training_curve.read_curve`); its correlations are kept in the outlier report. No
        part of the question.
    shard
        ``K/N``: explain stretch K of N of the checkpoints and write what `lrpdyn.merge` needs.
    dask
        The address of a Dask cluster whose workers explain checkpoints instead of processes here, or
        ``local:N``; needs ``lrpdyn[dask]``. Results are the same.
    follow
        Go on explaining checkpoints as they are written, until SIGINT, a checkpoint at `until`, or
        `idle` seconds without a new one. Targets that checkpoints decide are those of the newest one
        at the start.
    poll
        Under `follow`, seconds between two checks of the folder.
    idle
        Under `follow`, seconds without a new checkpoint after which it ends; None: it does not.
    on_flag
        Under `follow`, called with each new flag of the outlier report: a function of it, or a command that
        reads it as JSON (`lrpdyn.pipeline.flags`).
    wait
        Seconds to wait for another process that computes in `out`; it is refused at once where not
        given.
    overwrite
        Delete a run of another question (only files that lrpdyn wrote).
    recompute
        Steps that are explained again though the run has them: their files were damaged, or their
        checkpoints are others now.
    skip_bad
        Skip checkpoints that cannot be read.
    trust
        Unpickle checkpoints that are more than weights, which can run code.
    links
        Follow links that leave the folder of checkpoints.
    quiet, verbose
        No progress bar; one that says what is being waited for.
    profile
        Print to stderr where the time went.
    config
        Where options were read from, if from a file: its name and what it says. It is recorded in the
        manifest; nothing is read.

    Raises
    ------
    UsageError
        A value is not among its choices, or two options cannot be set together.
    """

    out: str | Path = field(default=DEFAULT_RUN, metadata=_SAME_RESULTS)
    rule: RuleName | str = "zplus"
    arch: str | None = None
    arch_args: Mapping[str, Any] | None = None
    head: str | None = None
    actions: Literal["discrete", "box", "binary"] | str | None = None
    target: TargetPolicy | str | int | None = None
    contrast: Contrast | None = field(default=None, metadata=_QUESTION | _choices(Contrast))
    normalize: Normalisation = field(default="none", metadata=_QUESTION | _choices(Normalisation))
    reference: Literal["none", "modal", "mean"] | str | float | Path | None = field(
        default=None, metadata=_QUESTION | {"unset": "none"}
    )
    baseline: str = field(default="random:2", metadata=_QUESTION)
    layout: Layout | None = field(default=None, metadata=_ARRANGEMENT | _choices(Layout))
    scale: str | float | None = field(default=None, metadata=_ARRANGEMENT)
    samples: str | Sequence[int] | None = field(default=None, metadata=_ARRANGEMENT)
    stack: int | None = field(default=None, metadata=_ARRANGEMENT)
    stack_order: StackOrder = field(default="oldest", metadata=_ARRANGEMENT | _choices(StackOrder))
    mean: Any = field(default=None, metadata=_ARRANGEMENT)
    std: Any = field(default=None, metadata=_ARRANGEMENT)
    statistics: str | Path | None = field(default=None, metadata=_ARRANGEMENT)
    select: str | None = field(default=None, metadata=_ARRANGEMENT)
    seed: int = field(default=0, metadata=_ARRANGEMENT)
    resize: str | int | None = field(default=None, metadata=_ARRANGEMENT)
    crop: str | int | None = field(default=None, metadata=_ARRANGEMENT)
    labels: str | Path | None = field(default=None, metadata=_ARRANGEMENT)
    names: str | Path | None = None
    expect: str | Path | None = None
    expect_step: int | None = None
    pattern: str | None = field(default=None, metadata=_SELECTION)
    since: int | None = field(default=None, metadata=_SELECTION)
    until: int | None = field(default=None, metadata=_SELECTION)
    every: int | None = field(default=None, metadata=_SELECTION)
    limit: int | None = field(default=None, metadata=_SELECTION)
    weights: Literal["model", "ema"] | str = field(default="model", metadata=_SELECTION)
    step_from: str | None = field(default=None, metadata=_SELECTION)
    prefix: str | None = field(default=None, metadata=_SELECTION)
    device: Device | str = "auto"
    workers: int | None = field(default=None, metadata=_SAME_RESULTS)
    batch_size: int = field(default=64, metadata=_QUESTION)
    keep: Keep = field(default="relevance", metadata=_choices(Keep))
    dtype: StoredType = field(default="float32", metadata=_choices(StoredType))
    digest: Algorithm | None = field(default=None, metadata=_choices(Algorithm))
    tables: Rows | None = field(
        default=None,
        metadata=_not_with_shard("--tables: a shard has no tables; give it to lrpdyn merge"),
    )
    regions: str | Path | None = None
    fill: Literal["modal", "mean", "blurred"] | str | float | None = None
    faithfulness: Literal["all", "none"] | str | int | None = field(
        default=None,
        metadata=_not_with_shard("--faithfulness: a shard has no report; give it to lrpdyn merge"),
    )
    faithfulness_samples: int | None = field(
        default=None,
        metadata=_not_with_shard(
            "--faithfulness-samples: a shard has no report; give it to lrpdyn merge"
        ),
    )
    interventions: int | None = field(
        default=None,
        metadata=_not_with_shard("--interventions: a shard has no report; give it to lrpdyn merge"),
    )
    curve: str | None = field(
        default=None,
        metadata=_not_with_shard("--curve: a shard has no report; give the curve to lrpdyn merge"),
    )
    shard: str | None = None
    dask: str | None = None
    follow: bool = field(
        default=False,
        metadata=_RUNS_AGAIN
        | _not_with_shard("--shard: cannot be with --follow, under which a series has no end"),
    )
    poll: float = 5.0
    idle: float | None = None
    on_flag: Callable[[dict[str, Any]], object] | str | Sequence[str] | None = field(
        default=None, metadata=_SAME_RESULTS
    )
    wait: float = field(default=0.0, metadata=_SAME_RESULTS)
    overwrite: bool = field(default=False, metadata=_SAME_RESULTS | _RUNS_AGAIN)
    recompute: Collection[int] = field(default=(), metadata=_SAME_RESULTS | _RUNS_AGAIN)
    skip_bad: bool = False
    trust: bool = field(default=False, metadata=_RUNS_AGAIN)
    links: bool = False
    quiet: bool = field(default=False, metadata=_SAME_RESULTS)
    verbose: bool = field(default=False, metadata=_SAME_RESULTS | _RUNS_AGAIN)
    config: Mapping[str, Any] | None = field(default=None, metadata=_SAME_RESULTS)
    profile: bool = field(default=False, metadata=_SAME_RESULTS | _RUNS_AGAIN)

    def __post_init__(self) -> None:
        for known in fields(self):
            value, choices = getattr(self, known.name), known.metadata.get("choices", ())
            if choices and value is not None and value not in choices:
                raise UsageError(
                    f"{known.name} '{value}': expected one of {', '.join(choices)}"
                    + did_you_mean(str(value), choices)
                )
            is_set = value is not None and value is not False
            if "not_with_shard" in known.metadata and is_set and self.shard is not None:
                raise UsageError(known.metadata["not_with_shard"])
        for name, least in _LEAST.items():
            number = getattr(self, name)
            if number is not None and number < least:
                raise UsageError(f"{name} {number}: expected {least} or more")
        if not DEVICE.fullmatch(self.device):
            raise UsageError(
                f"--device {self.device}: expected {', '.join(DEVICES)}, or one of several as cuda:1"
                + did_you_mean("cuda" if "gpu" in self.device.lower() else self.device, DEVICES)
            )
        parse_faithfulness(self.faithfulness)
        if self.shard is not None:
            parse_shard(self.shard)
        if self.rule == AUTO and (self.follow or self.shard is not None):
            other = "--follow" if self.follow else "--shard"
            raise UsageError(
                f"--rule auto: cannot be with {other}; lrpdyn rules --try names a rule to give"
            )
        if self.idle is not None and not self.follow:
            raise UsageError("--idle: only with --follow, which waits for checkpoints")
        if self.on_flag is not None and not self.follow:
            raise UsageError("--on-flag: only with --follow, under which flags are new")
        for name in ("poll", "idle") if self.follow else ():
            seconds = getattr(self, name)
            if seconds is not None and not 0 < seconds < math.inf:
                raise UsageError(f"--{name} {seconds}: expected seconds above 0")

    @property
    def asked_faithfulness(self) -> str | None:
        """What was asked of `faithfulness`, as a manifest keeps it."""
        return None if self.faithfulness is None else str(self.faithfulness)

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.out)

    def part(self, name: str) -> dict[str, Any]:
        """Return the values of the fields of one part of the question, by name."""
        return {known: getattr(self, known) for known in defaults(name)}


def defaults(part: str) -> dict[str, Any]:
    """Return what a question has where it does not say it, of each field of one of its parts, by name.

    >>> defaults("selection")["weights"]
    'model'
    """
    known = (field for field in fields(Options) if field.metadata.get("part") == part)
    return {field.name: field.metadata.get("unset", field.default) for field in known}
