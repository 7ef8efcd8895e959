"""A training run explained while it goes on: new checkpoints as they come, results as it goes."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lrpdyn.api import Run, open_run
from lrpdyn.checkpoints.model import Listing
from lrpdyn.checkpoints.readers import suffixes
from lrpdyn.checkpoints.watching import WRITTEN, Watch
from lrpdyn.errors import ArchitectureError, CheckpointError, UsageError
from lrpdyn.explain.explanation import Question
from lrpdyn.files.text import print_note
from lrpdyn.pipeline.blocks import Hands
from lrpdyn.pipeline.flags import Flags
from lrpdyn.pipeline.results.finish import finish
from lrpdyn.pipeline.setup.fixed_targets import settle, targets_of_newest
from lrpdyn.pipeline.setup.job import Job
from lrpdyn.pipeline.setup.new_manifest import make_manifest
from lrpdyn.pipeline.setup.options import Options
from lrpdyn.pipeline.setup.prepare import check_bad, check_outputs, prepare
from lrpdyn.pipeline.setup.requirements import check_requirements
from lrpdyn.pipeline.setup.resume import (
    Kept,
    check_unchanged,
    keep_recorded,
    kept_steps,
    previous_manifest,
    say_of_environments,
    with_digest,
)
from lrpdyn.pipeline.setup.values import selection_of
from lrpdyn.pipeline.steps import Steps, begin
from lrpdyn.remote.path import RemotePath, as_path
from lrpdyn.run.journal import read_journal
from lrpdyn.run.outlier_report import read_report
from lrpdyn.system import signals
from lrpdyn.system.processes import cores, processes
from lrpdyn.system.timing import Times

#: Results are written again once this many times the seconds have passed that the last writing took.
SHARE = 9
#: What the page needs: the extra ``lrpdyn[report]``.
_OF_THE_PAGE = ("bokeh", "jinja2")


def follow(
    options: Options, checkpoints: str | Path, observations: Any, hands: Hands, times: Times
) -> Run:
    """Explain checkpoints as they are written, until SIGINT, ``--until`` or ``--idle``.

    Parameters
    ----------
    options, checkpoints, observations
        As of `lrpdyn.compute`.
    hands
        Explains the checkpoints of a job.
    times
        What the time is spent on is added here.

    Raises
    ------
    LrpdynError
        As of `lrpdyn.compute`; a checkpoint that cannot be read, or that became another file after it
        was explained, is reported at the end.
    """
    if options.limit is not None:
        raise UsageError(
            "--limit: cannot be with --follow, under which a series has no end; --every"
        )
    if isinstance(as_path(str(checkpoints)), RemotePath):
        raise UsageError(
            f"{checkpoints}: --follow looks at folders of this machine; call the same command again for "
            "what is new in a store"
        )
    watch = Watch(
        checkpoints, selection_of(options), options.poll, trust=options.trust, links=options.links
    )
    job, checks = _prepared(watch, options, observations)
    manifest = make_manifest(job, checks)
    previous = previous_manifest(job, manifest)
    manifest = keep_recorded(manifest, previous)
    job = with_digest(job, manifest)
    check_requirements(job)
    question, manifest = settle(job, manifest, targets_of_newest(job, previous))
    if question.targets is not None and job.target.needs_outputs(job.contrast):
        by = f"step {job.listing.checkpoints[-1].step:,} has it" if previous is None else "it began"
        _say(f"target {job.target.text}: held as {by}", job.options.quiet)
    kept = kept_steps(job)
    say_of_environments(job, kept)
    begin(job, manifest)
    followed = _Followed(job, question, hands, manifest, kept, times)
    with closing(followed):
        while True:
            job = followed.explain_new(job, watch)
            if signals.received() or watch.is_past(options.until):
                break
            if options.idle is not None and time.monotonic() - followed.last_new >= options.idle:
                _say(f"no new checkpoint for {options.idle:g} seconds: the end", job.options.quiet)
                break
            signals.wait(options.poll)
            followed.stop_if_terminated(job)
            job = replace(job, listing=_joined(job.listing, watch.look()))
        everything = watch.look_at_all()
        good = replace(everything, left_out=tuple(e for e in everything.left_out if not e.bad))
        job = replace(
            job, listing=_joined(job.listing, everything if job.options.skip_bad else good)
        )
        if not signals.received():
            job = followed.explain_new(job, watch)
        followed.finish(job)
        everything = watch.look_at_all()
        if not watch.is_past(options.until):
            followed.report_late(everything, job)
    check_bad(everything, job.options.skip_bad)
    check_unchanged(job, read_journal(job.folder))
    return open_run(job.folder)


class _Followed:
    """The steps of a run that is followed, and when its results were written."""

    def __init__(
        self,
        job: Job,
        question: Question,
        hands: Hands,
        manifest: Mapping[str, Any],
        kept: Kept,
        times: Times,
    ) -> None:
        self._question, self._manifest, self._times = question, manifest, times
        self._workers = processes(job.options.workers, job.model.device.type)
        self._begin: Callable[[Job, Kept], Steps] = lambda job, kept: Steps(
            job, question, hands, cores(job.options.workers), times, kept
        )
        self._steps = self._begin(job, kept)
        on_flag = job.options.on_flag
        self._flags = None if on_flag is None else Flags(on_flag, job.folder)
        self.last_new = time.monotonic()
        self._next_writing = 0.0
        self._written = 0

    def close(self) -> None:
        self._steps.dynamics.close()

    def explain_new(self, job: Job, watch: Watch) -> Job:
        """Explain what is new; return the job without what cannot be loaded, which is reported at the end."""
        while True:
            try:
                self._go_on(job)
                return job
            except (CheckpointError, ArchitectureError) as error:
                series = job.listing.checkpoints
                failed = series[len(self._steps.records)]
                watch.distrust(failed.path, str(error))
                _say(f"put aside: {error}", job.options.quiet)
                others = tuple(checkpoint for checkpoint in series if checkpoint is not failed)
                job = replace(job, listing=replace(job.listing, checkpoints=others))

    def _go_on(self, job: Job) -> None:
        """Explain what is new, and write the results where that is due."""
        series = job.listing.checkpoints
        explained = self._steps.records.steps
        if [checkpoint.step for checkpoint in series[: len(explained)]] != explained:
            # One came in between: everything is added again, from the maps that are there.
            self.close()
            self._steps = self._begin(job, kept_steps(job))
        before = len(self._steps.records)
        with self._times.of("explaining"):
            self._steps.go_on(job)
        self.stop_if_terminated(job)
        new = len(self._steps.records) - before
        if new:
            newest = self._steps.records.steps[-1]
            _say(f"step {newest:,}: {len(series)} checkpoints", job.options.quiet)
        started = time.monotonic()
        unwritten = len(self._steps.records) > self._written
        enough = len(self._steps.records.finite_steps) > 1
        if started >= self._next_writing and unwritten and enough:
            self._write(job)
            ended = time.monotonic()
            self._next_writing = ended + SHARE * (ended - started)
        if new:
            # What came while results were written was not read yet.
            self.last_new = time.monotonic()

    def _write(self, job: Job) -> None:
        records = self._steps.records
        checks = self._manifest["checks"]
        if checks["expected"] is None:  # the step that was recorded may have come
            found = check_outputs(job.model, job.listing, job.observations, job.options)
            self._manifest = {**self._manifest, "checks": {**checks, "expected": found}}
        # What SIGINT left unexplained may lie between: copies such as best come with their own step.
        steps = set(records.steps)
        taken = tuple(c for c in job.listing.checkpoints if c.step in steps)
        explained = replace(job, listing=replace(job.listing, checkpoints=taken))
        finish(
            explained, self._question, self._manifest, records, self._steps.dynamics, self._times,
            self._workers,
        )  # fmt: skip
        if self._flags is not None:
            self._flags.tell(read_report(job.folder))
        shown = job.storage.keep == "relevance"
        if shown and all(find_spec(package) for package in _OF_THE_PAGE):
            from lrpdyn.page.report import write_report

            write_report(open_run(job.folder))
        self._written = len(records)

    def stop_if_terminated(self, job: Job) -> None:
        """Raise `Stopped` after SIGTERM: what is explained is kept, results are not written."""
        if signals.received() == signal.SIGTERM:
            raise signals.stopped(self._steps.done, len(job.listing.checkpoints))

    def finish(self, job: Job) -> None:
        """Write the results of all that is explained.

        Raises
        ------
        CheckpointError
            Of fewer than two checkpoints.
        """
        found = len(self._steps.records)
        if found < 2:
            raise CheckpointError(
                f"{job.folder}: {found} checkpoint{'s' * (found != 1)} explained, expected two or more; "
                "what is explained is kept: the same command goes on"
            )
        self._write(job)
        job.storage.finish(job.folder, self._steps.dynamics.needed)

    def report_late(self, listing: Listing, job: Job) -> None:
        """Say which checkpoints came too late to be explained."""
        steps = set(self._steps.records.steps)
        late = [c.path.name for c in listing.checkpoints if c.step not in steps]
        late += [
            f"{entry.path.name} ({WRITTEN})"
            for entry in listing.left_out
            if entry.reason == WRITTEN and entry.path.suffix in suffixes()
        ]
        if late:
            names = ", ".join(late[:3]) + (f" and {len(late) - 3} more" if len(late) > 3 else "")
            _say(f"not explained: {names}; the same command goes on", job.options.quiet)


def _prepared(watch: Watch, options: Options, observations: Any) -> tuple[Job, dict[str, Any]]:
    """Wait for a first checkpoint that can be loaded, and make the network of it."""
    while True:
        listing = _first(watch, options)
        try:
            # Without skip_bad the first one is named; the others have their turn later.
            job, checks = prepare(replace(options, skip_bad=False), listing, observations)
            resolved = replace(job.options, skip_bad=options.skip_bad)
            return replace(job, options=resolved), checks
        except CheckpointError as error:
            watch.distrust(listing.checkpoints[0].path, str(error))
            _say(f"put aside: {error}", options.quiet)


def _first(watch: Watch, options: Options) -> Listing:
    started = time.monotonic()
    while True:
        listing = watch.look()
        if listing.checkpoints:
            return listing
        waited = options.idle is not None and time.monotonic() - started >= options.idle
        if signals.received() == signal.SIGTERM:
            raise signals.stopped(0, 0)
        if watch.is_past(options.until):
            raise CheckpointError(
                f"{watch.where}: no checkpoint up to --until {options.until} can be used, and training is "
                "past it; lrpdyn inspect lists every entry"
            )
        if signals.received() or waited:
            check_bad(watch.look_at_all(), skip_bad=False)  # why there is none
            raise CheckpointError(f"{watch.where}: no checkpoint was written while it was followed")
        signals.wait(options.poll)


def _joined(known: Listing, seen: Listing) -> Listing:
    """Return what is seen, with known checkpoints that training has deleted or writes again."""
    steps = {checkpoint.step for checkpoint in seen.checkpoints}
    written = {entry.path for entry in seen.left_out if entry.reason == WRITTEN}
    unseen = [c for c in known.checkpoints if c.step not in steps]
    kept = [c for c in unseen if c.path in written or not c.path.exists()]
    together = sorted([*seen.checkpoints, *kept], key=lambda checkpoint: checkpoint.step)
    return replace(seen, checkpoints=tuple(together))


def _say(line: str, quiet: bool) -> None:
    if not quiet:
        print_note(f"Following: {line}")
