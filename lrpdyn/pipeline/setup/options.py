"""The options of `lrpdyn.compute`: their defaults, what they may be, and which are part of the question."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from lrpdyn.errors import UsageError

#: A field's ``part``, by which it is recorded in the manifest and compared when a run is resumed.
QUESTION, SELECTION, ARRANGEMENT = "question", "selection", "arrangement"


def option(
    default: Any,
    *,
    part: str | None = None,
    choices: Sequence[str] = (),
    changes_results: bool = True,
) -> Any:
    """Return a field of `Options`.

    Parameters
    ----------
    part
        ``question``: the value is recorded in the manifest under the field's name, and a run with another
        value is another run. ``selection``: the same, of which checkpoints are explained. ``arrangement``:
        passed to `lrpdyn.observations.load_observations`; part of the question through the observations'
        hash. None: no part of the question, or recorded as what it was resolved to.
    choices
        The only values besides None.
    changes_results
        Whether a finished run may have to be checked in full when the value is another.
    """
    metadata = {"part": part, "choices": tuple(choices), "changes_results": changes_results}
    if default == {}:
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `lrpdyn.compute` is asked, but for the checkpoints and the observations.

    Parameters
    ----------
    out
        The run folder. A run that was interrupted goes on; one of another question is refused.
    rule
        ``NAME[:VALUE]``, a composite's name, or a rules file ``FILE.toml``; see ``lrpdyn rules``.
    arch, arch_args
        A registered name, ``MODULE:CALLABLE`` or ``FILE.py:CALLABLE``, and its arguments;
        recognised from the weights where not given.
    head
        Which output; the architecture's first where not given.
    target
        ``argmax``, ``modal``, ``final``, a unit, or a .npy file of one unit a sample.
    contrast
        ``mean``, ``none`` or ``runner-up``: what is subtracted from the target's output.
    normalize
        ``none``, ``sum``, ``l1``, ``max`` or ``minmax``: of the copies that differences are made
        from; stored relevance stays raw.
    baseline
        ``random:K`` compares the maps of the first, middle and last step with those of K freshly
        initialised networks; ``none`` does not.
    layout, scale, samples, stack, stack_order, mean, std, statistics, select, seed
        See `lrpdyn.observations.load_observations`.
    pattern, since, until, every, limit, weights
        Which checkpoints, and which of their weights; see
        `lrpdyn.checkpoints.selection.Selection`.
    prefix
        Only weights whose key begins with this, which is taken off.
    device
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    workers
        Processes that explain checkpoints, each with a core; all cores that this process may use
        where not given, one on a GPU. Results are the same for any number.
    batch_size
        Observations that are explained at once. Part of the question: last bits depend on it.
    keep, dtype
        What is stored of each step: ``relevance``, ``pixels`` (channels summed) or ``none``, in
        ``float32`` or ``float16``. No part of the question: sums, tables and pictures are made from
        float32 relevance. An interrupted run of which less than the relevance in float32 is kept
        begins again with its first step.
    tables
        ``samples``: metrics.csv and transitions.csv have a row for each sample of a step; ``steps``:
        a row for each step, with medians and extremes over samples. Where not given, ``samples``,
        unless one of them would pass ten million rows. No part of the question.
    regions
        A file of named parts of the observations (`lrpdyn.observations.regions.read_regions`), whose
        share of the relevance and whose effect on the prediction are then measured. No part of the
        question.
    fill
        What a region (or a patch, where no regions are given) is painted with, in units of the
        observation files; their modal value where not given.
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
    quiet, verbose
        No progress bar; one that says what is being waited for.
    profile
        Print to stderr where the time went.

    Raises
    ------
    UsageError
        A value is not among its choices.
    """

    out: str | Path = option("lrpdyn-run", changes_results=False)
    rule: str = option("zplus")
    arch: str | None = option(None)
    arch_args: Mapping[str, Any] | None = option(None)
    head: str | None = option(None)
    target: str | int = option("argmax")
    contrast: str = option("mean", part=QUESTION, choices=("mean", "none", "runner-up"))
    normalize: str = option("none", part=QUESTION, choices=("none", "sum", "l1", "max", "minmax"))
    baseline: str = option("random:2", part=QUESTION)
    layout: str | None = option(None, part=ARRANGEMENT)
    scale: str | float | None = option(None, part=ARRANGEMENT)
    samples: str | Sequence[int] | None = option(None, part=ARRANGEMENT)
    stack: int | None = option(None, part=ARRANGEMENT)
    stack_order: str = option("oldest", part=ARRANGEMENT)
    mean: Any = option(None, part=ARRANGEMENT)
    std: Any = option(None, part=ARRANGEMENT)
    statistics: str | Path | None = option(None, part=ARRANGEMENT)
    select: str | None = option(None, part=ARRANGEMENT)
    seed: int = option(0, part=ARRANGEMENT)
    pattern: str | None = option(None, part=SELECTION)
    since: int | None = option(None, part=SELECTION)
    until: int | None = option(None, part=SELECTION)
    every: int | None = option(None, part=SELECTION)
    limit: int | None = option(None, part=SELECTION)
    weights: str = option("model", part=SELECTION)
    prefix: str | None = option(None, part=SELECTION)
    device: str = option("auto")
    workers: int | None = option(None, changes_results=False)
    batch_size: int = option(64, part=QUESTION)
    keep: str = option("relevance", choices=("relevance", "pixels", "none"))
    dtype: str = option("float32", choices=("float32", "float16"))
    tables: str | None = option(None)
    regions: str | Path | None = option(None)
    fill: float | None = option(None)
    curve: str | None = option(None)
    shard: str | None = option(None)
    dask: str | None = option(None)
    follow: bool = option(False)
    poll: float = option(5.0)
    idle: float | None = option(None)
    wait: float = option(0.0, changes_results=False)
    overwrite: bool = option(False, changes_results=False)
    recompute: Collection[int] = option((), changes_results=False)
    skip_bad: bool = option(False)
    trust: bool = option(False)
    quiet: bool = option(False, changes_results=False)
    verbose: bool = option(False, changes_results=False)
    profile: bool = option(False, changes_results=False)

    def __post_init__(self) -> None:
        for known in fields(self):
            value, choices = getattr(self, known.name), known.metadata["choices"]
            if choices and value is not None and value not in choices:
                raise UsageError(f"{known.name} '{value}': expected one of {', '.join(choices)}")
        if self.batch_size < 1:
            raise UsageError(f"batch_size {self.batch_size}: expected 1 or more")

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.out)

    def part(self, name: str) -> dict[str, Any]:
        """Return the values of the fields of one part, by name."""
        return {known: getattr(self, known) for known in defaults(name)}


def defaults(part: str) -> dict[str, Any]:
    """Return the default of each field of a part.

    >>> defaults("selection")["weights"]
    'model'
    """
    return {
        known.name: known.default for known in fields(Options) if known.metadata["part"] == part
    }
