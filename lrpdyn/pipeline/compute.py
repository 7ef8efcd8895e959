"""The main job from end to end: discover, load, explain, accumulate, store."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

from numpy.typing import NDArray

from lrpdyn.api import Run, open_run
from lrpdyn.errors import FullDiskError
from lrpdyn.explain.explanation import Question
from lrpdyn.observations.datasets import MapDataset
from lrpdyn.pipeline.blocks import Hands, Outcomes, by_processes
from lrpdyn.pipeline.follow import follow
from lrpdyn.pipeline.results.finish import finish, with_curve, with_expected
from lrpdyn.pipeline.rule_trial import prepared
from lrpdyn.pipeline.setup.description import describe
from lrpdyn.pipeline.setup.fixed_targets import fixed_targets, settle
from lrpdyn.pipeline.setup.job import Job
from lrpdyn.pipeline.setup.new_manifest import make_manifest
from lrpdyn.pipeline.setup.options import Options
from lrpdyn.pipeline.setup.prepare import check, listed
from lrpdyn.pipeline.setup.requirements import check_requirements
from lrpdyn.pipeline.setup.resume import (
    is_finished,
    keep_recorded,
    kept_steps,
    previous_manifest,
    say_of_environments,
    with_digest,
)
from lrpdyn.pipeline.shards import save_shard
from lrpdyn.pipeline.steps import Steps, begin
from lrpdyn.run.lock import locked
from lrpdyn.run.training_curve import read_curve
from lrpdyn.system import signals
from lrpdyn.system.processes import cores, processes
from lrpdyn.system.threads import one_thread
from lrpdyn.system.timing import Times, table_of

Folder = str | Path
Arrays = str | Path | NDArray[Any] | Sequence[str | Path | NDArray[Any]] | MapDataset
P = ParamSpec("P")


def with_fields_of(
    options: Callable[P, Options],
) -> Callable[[Callable[..., Run]], Callable[Concatenate[Folder, Arrays, P], Run]]:
    """Return a decorator: signature and documentation show ``**options`` as the fields of a dataclass."""

    def shown(function: Callable[..., Run]) -> Any:
        signature = inspect.signature(function)
        ours = [p for p in signature.parameters.values() if p.name != "options"]
        theirs = inspect.signature(options).parameters.values()
        function.__signature__ = signature.replace(parameters=[*ours, *theirs])  # type: ignore[attr-defined]
        meaning = re.search(r"(?s)\n-+\n(.*?\n)\n", inspect.getdoc(options) or "")
        if function.__doc__ and meaning:  # python -OO has neither
            doc = inspect.cleandoc(function.__doc__)
            function.__doc__ = re.sub(r"(?m)^options\n( .*\n)+", lambda _: meaning[1], doc)
        return function

    return shown


@with_fields_of(Options)
def compute(
    checkpoints: str | Path,
    observations: Arrays,
    **options: Any,
) -> Run:
    """Explain every checkpoint and write a run folder.

    Parameters
    ----------
    checkpoints
        A folder of checkpoints, or a glob.
    observations
        Files or folders (.npy, .npz, .png, .jpg), a folder of class folders, a data set of torchvision,
        PyTorch or Hugging Face, or arrays: (N, C, H, W), (N, H, W, C), one sample without N, or flat
        (N, F).
    options
        By name, as ``rule="gamma"``: see `lrpdyn.pipeline.setup.options.Options`.

    Returns
    -------
    Run
        The finished run.

    Raises
    ------
    LrpdynError
        What cannot be done, in one line; what was computed is kept.
    """
    unknown = options.keys() - {field.name for field in fields(Options)}
    if unknown:
        raise TypeError(f"compute() got an unexpected keyword argument '{min(unknown)}'")
    return _compute(checkpoints, observations, Options(**options))


def _compute(checkpoints: Folder, observations: Arrays, options: Options) -> Run:
    """Do what `compute` promises."""
    check(options)
    curve = None if options.curve is None else read_curve(options.curve)
    times = Times()
    if options.follow:
        with _ready(options), _workforce(options) as hands, signals.deferred():
            run = follow(options, checkpoints, observations, hands, times)
            if options.profile:
                print(table_of(times), file=sys.stderr)
            return with_curve(run, curve)
    with times.of("reading headers"):
        listing = listed(checkpoints, options)
    with _ready(options):
        job, checks, tried = prepared(options, listing, observations)
        manifest = make_manifest(job, checks, tried)
        previous = previous_manifest(job, manifest)
        manifest = keep_recorded(manifest, previous)
        job = with_digest(job, manifest)
        kept = kept_steps(job)
        if previous is not None and is_finished(job, previous, kept):
            if job.shard is None:
                job.storage.finish(job.folder, [checkpoint.step for checkpoint in job.own])
            return with_curve(with_expected(Run(job.folder, previous), checks["expected"]), curve)
        check_requirements(job)
        question, manifest = settle(job, manifest, fixed_targets(job, previous))
        say_of_environments(job, kept)
        begin(job, manifest)
        with times.of("explaining"), _workforce(options) as hands, signals.deferred():
            steps = Steps(job, question, hands, cores(options.workers), times, kept)
            steps.go_on(job)
            if signals.received():
                raise signals.stopped(steps.done, len(job.own))
        with closing(steps.dynamics):
            if job.shard is None:
                workers = processes(options.workers, job.model.device.type)
                finish(job, question, manifest, steps.records, steps.dynamics, times, workers)
                job.storage.finish(job.folder, steps.dynamics.needed)
            else:
                manifest = save_shard(job, describe(job), manifest, steps.records)
        if options.profile:
            print(table_of(times), file=sys.stderr)
        if job.shard is not None:
            return Run(job.folder, manifest)
        return with_curve(open_run(job.folder), curve)


@contextmanager
def _ready(options: Options) -> Iterator[None]:
    """Use one thread, and be the only process that writes the run folder."""
    try:
        with one_thread(), locked(options.folder, options.wait):
            yield
    except FullDiskError as error:
        raise FullDiskError(
            f"{error}; what is finished is kept: the same command goes on"
        ) from error


@contextmanager
def _workforce(options: Options) -> Iterator[Hands]:
    """Give the function that explains checkpoints: on processes here, or on a Dask cluster."""
    if options.dask is None:
        yield partial(_by_processes, options.workers)
        return
    from lrpdyn.pipeline.dask_cluster import by_dask, connected

    with connected(options.dask) as client:
        yield partial(by_dask, client)


def _by_processes(
    workers: int | None, job: Job, question: Question, places: Sequence[int]
) -> Generator[Outcomes]:
    device = job.model.device.type
    # Processes that share the work on the CPU are busy while one of them reads; a device would wait.
    ahead = device != "cpu"
    return by_processes(processes(workers, device), job, question, places, ahead=ahead)
