"""The main job from end to end: discover, load, explain, accumulate, store."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lrpdyn.api import Run, open_run
from lrpdyn.checkpoints.selection import Selection
from lrpdyn.diagnostics.sanity_checks import DEFAULT as DEFAULT_BASELINE
from lrpdyn.errors import UsageError
from lrpdyn.pipeline import follow as following
from lrpdyn.pipeline.blocks import Hands, by_processes
from lrpdyn.pipeline.follow import Patience
from lrpdyn.pipeline.results.finish import finish, with_curve
from lrpdyn.pipeline.setup.description import describe
from lrpdyn.pipeline.setup.fixed_targets import fixed_targets, settle
from lrpdyn.pipeline.setup.new_manifest import make_manifest
from lrpdyn.pipeline.setup.prepare import Prepared, listed, one_thread, prepare
from lrpdyn.pipeline.setup.request import Request
from lrpdyn.pipeline.setup.requirements import check_requirements
from lrpdyn.pipeline.setup.resume import is_finished, previous_manifest
from lrpdyn.pipeline.setup.shard import parse_shard
from lrpdyn.pipeline.shards import save_shard
from lrpdyn.pipeline.steps import Steps, begin
from lrpdyn.run.lock import locked
from lrpdyn.run.stored_maps import Storage
from lrpdyn.run.training_curve import read_curve
from lrpdyn.system import memory, signals
from lrpdyn.system.processes import processes
from lrpdyn.system.timing import Times, table_of

BATCH_SIZE = 64


def compute(
    checkpoints: str | Path,
    observations: str | Path | NDArray[Any] | Sequence[str | Path | NDArray[Any]],
    *,
    out: str | Path = "lrpdyn-run",
    rule: str = "zplus",
    arch: str | None = None,
    arch_args: Mapping[str, Any] | None = None,
    head: str | None = None,
    target: str | int = "argmax",
    contrast: str = "mean",
    normalize: str = "none",
    baseline: str = DEFAULT_BASELINE,
    layout: str | None = None,
    scale: str | float | None = None,
    samples: str | Sequence[int] | None = None,
    stack: int | None = None,
    stack_order: str = "oldest",
    mean: Any = None,
    std: Any = None,
    statistics: str | Path | None = None,
    select: str | None = None,
    seed: int = 0,
    pattern: str | None = None,
    since: int | None = None,
    until: int | None = None,
    every: int | None = None,
    limit: int | None = None,
    weights: str = "model",
    prefix: str | None = None,
    device: str = "auto",
    workers: int | None = None,
    batch_size: int = BATCH_SIZE,
    keep: str = "relevance",
    dtype: str = "float32",
    tables: str | None = None,
    regions: str | Path | None = None,
    fill: float | None = None,
    curve: str | None = None,
    shard: str | None = None,
    dask: str | None = None,
    follow: bool = False,
    poll: float = Patience.poll,
    idle: float | None = None,
    wait: float = 0.0,
    overwrite: bool = False,
    recompute: Collection[int] = (),
    skip_bad: bool = False,
    trust: bool = False,
    quiet: bool = False,
    verbose: bool = False,
    profile: bool = False,
) -> Run:
    """Explain every checkpoint and write a run folder.

    Parameters
    ----------
    checkpoints
        A folder of checkpoints, or a glob.
    observations
        Files or folders (.npy, .npz, .png, .jpg), or arrays: (N, C, H, W), (N, H, W, C), one
        sample without N, or flat (N, F).
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
        See `lrpdyn.observations.loading.load_observations`.
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
        ``FILE:COLUMN``, a training curve to hold the run against
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
        Under `follow`, seconds between two looks at the folder.
    idle
        Under `follow`, seconds without a new checkpoint after which it ends; None: it does not.
    wait
        Seconds to wait for another process that computes in `out`; it is refused at once where not
        given.
    overwrite
        Delete a run of another question (only files that lrpdyn wrote).
    recompute
        Steps that are explained again though the run holds them: their files were damaged, or their
        checkpoints are others now.
    skip_bad
        Go on without checkpoints that cannot be read.
    trust
        Unpickle checkpoints that are more than weights, which can run code.
    quiet, verbose
        No progress bar; one that says what is being waited for.
    profile
        Print to stderr where the time went.

    Returns
    -------
    Run
        The finished run.

    Raises
    ------
    LrpdynError
        What cannot be done, in one line; what was computed is kept.
    """
    times = Times()
    asked = Request(
        rule, arch, dict(arch_args or {}), prefix, head, str(target), contrast, normalize, baseline,
        device, batch_size, regions, fill, Storage(keep, dtype), Path(out), skip_bad, trust, quiet,
        verbose, tables,
    )  # fmt: skip
    arrangement = {
        "layout": layout, "scale": scale, "samples": samples, "stack": stack,
        "stack_order": stack_order, "mean": mean, "std": std, "statistics": statistics,
        "select": select, "seed": seed,
    }  # fmt: skip
    asked.composite()
    stretch = None if shard is None else parse_shard(shard)
    if stretch is not None and curve is not None:
        raise UsageError("--curve: a shard has no report; give the curve to lrpdyn merge")
    if stretch is not None and tables is not None:
        raise UsageError("--tables: a shard has no tables; give it to lrpdyn merge")
    drawn = None if curve is None else read_curve(curve)
    selection = Selection(pattern, since, until, every, limit, weights)
    if idle is not None and not follow:
        raise UsageError("--idle: only with --follow, which waits for checkpoints")
    if follow:
        if stretch is not None:
            raise UsageError("--shard: cannot be with --follow, under which a series has no end")
        with (
            memory.kept(),
            one_thread(),
            locked(asked.folder, wait),
            _workforce(asked, workers, dask) as hands,
            signals.deferred(),
        ):
            run = following.follow(
                asked, checkpoints, selection, observations, arrangement, hands,
                Patience(poll, idle), overwrite=overwrite, recompute=recompute,
            )  # fmt: skip
            return with_curve(run, drawn)
    with times.of("reading headers"):
        listing = listed(checkpoints, selection, asked)
    with memory.kept(), one_thread(), locked(asked.folder, wait):
        prepared = prepare(asked, listing, observations, arrangement)
        job = replace(prepared.job, shard=stretch)
        manifest = make_manifest(job, {**selection.as_dict(), "prefix": prefix}, prepared.checks)
        previous = previous_manifest(job, manifest, overwrite=overwrite, recompute=recompute)
        if previous is not None and is_finished(job, previous):
            if job.shard is None:
                job.storage.finish(job.folder, [checkpoint.step for checkpoint in job.own])
            return with_curve(Run(job.folder, previous), drawn)
        check_requirements(job)
        question = settle(job, manifest, fixed_targets(job, previous))
        begin(job, manifest)
        with (
            times.of("explaining"),
            _workforce(asked, workers, dask) as hands,
            signals.deferred(),
        ):
            explaining, processes = hands(prepared)
            steps = Steps(job, question, explaining, processes, times)
            steps.go_on(job)
            if signals.received():
                raise signals.stopped(steps.done, len(job.own))
        with closing(steps.dynamics):
            if job.shard is None:
                finish(job, question, manifest, steps.records, steps.dynamics, times, processes)
                job.storage.finish(job.folder, steps.dynamics.needed)
            else:
                save_shard(job, describe(asked, prepared), manifest, steps.records)
        if profile:
            print(table_of(times), file=sys.stderr)
        if job.shard is not None:
            return Run(job.folder, manifest)
        return with_curve(open_run(job.folder), drawn)


@contextmanager
def _workforce(
    asked: Request, workers: int | None, dask: str | None
) -> Iterator[Callable[[Prepared], tuple[Hands, int]]]:
    """Give what says, of a job, who explains its checkpoints, and how many threads add them."""
    if dask is None:

        def here(prepared: Prepared) -> tuple[Hands, int]:
            count = processes(workers, prepared.job.model.device.type)
            return partial(by_processes, count), count

        yield here
        return
    from lrpdyn.pipeline.dask_cluster import by_dask, connected

    with connected(dask) as client:
        yield lambda prepared: (
            partial(by_dask, client, describe(asked, prepared)),
            processes(workers, prepared.job.model.device.type),
        )
