"""`lrpdyn.Watch`: a network explained while it is trained, with no checkpoint on the disk."""

from __future__ import annotations

import atexit
import operator
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import fields, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from lrpdyn.api import Run, open_run
from lrpdyn.checkpoints.digests import recorded
from lrpdyn.checkpoints.formats.live import LIVE, save_weights
from lrpdyn.checkpoints.model import Checkpoint, Listing
from lrpdyn.checkpoints.readers import has_digest
from lrpdyn.errors import CheckpointError, LrpdynError, UsageError
from lrpdyn.explain.explanation import Question
from lrpdyn.files.text import print_note
from lrpdyn.pipeline.blocks import BlockWorker, Outcomes
from lrpdyn.pipeline.flags import Called, Flags
from lrpdyn.pipeline.live_board import Writer, show
from lrpdyn.pipeline.live_callbacks import lightning_callback, sb3_callback, trainer_callback
from lrpdyn.pipeline.live_network import live_network
from lrpdyn.pipeline.results.finish import finish, interim_report
from lrpdyn.pipeline.setup.fixed_targets import settle, targets_of_newest
from lrpdyn.pipeline.setup.job import Job
from lrpdyn.pipeline.setup.new_manifest import make_manifest
from lrpdyn.pipeline.setup.options import Options
from lrpdyn.pipeline.setup.prepare import check, prepare
from lrpdyn.pipeline.setup.requirements import check_requirements
from lrpdyn.pipeline.setup.resume import (
    keep_recorded,
    kept_steps,
    previous_manifest,
    say_of_environments,
    with_digest,
)
from lrpdyn.pipeline.steps import Steps, begin
from lrpdyn.run import DEFAULT_RUN
from lrpdyn.run.journal import forget, read_journal
from lrpdyn.run.layout import LIVE_WEIGHTS, delete, live_path, relevance_path
from lrpdyn.run.lock import locked
from lrpdyn.system.randomness import undisturbed
from lrpdyn.system.threads import one_thread
from lrpdyn.system.timing import Times

#: Options of `lrpdyn.compute` that are about checkpoint files, or about who explains them.
_OF_FILES = {"pattern", "since", "until", "limit", "weights", "step_from", "prefix", "expect",
             "expect_step", "keep", "dtype", "digest", "curve", "shard", "dask", "workers", "follow", "poll",
             "idle", "recompute", "skip_bad", "trust", "links", "verbose", "profile", "config"}  # fmt: skip
#: The weights of so many steps, evenly spaced, and of the last two are on the disk for the last checks.
_SPACED = 8


class Watch:
    """Explains a network while it is trained, into the run folder that `lrpdyn.compute` would write.

    Call `step` after each update of the weights, or use `sb3`, `trainer` or `lightning`, and `close` at the
    end::

        with lrpdyn.Watch(network, observations, every=1000, out="run") as watch:
            for step in range(100_000):
                ...
                watch.step(step)

    Nothing of the training changes: it draws the same random numbers, and the network is not touched.
    Weights of at most ten steps lie in the run folder until `close` deletes them. A training that was killed
    goes on with the same `out`: steps that it repeats with other weights are explained again.

    Parameters
    ----------
    module
        A ``torch.nn.Module``, or an algorithm of Stable-Baselines3. What it computes is taken from it, unless
        ``arch`` is given.
    observations
        As of `lrpdyn.compute`.
    every
        Explain where the step passes a multiple of this; skips more where `share` says so.
    out
        The run folder.
    share
        The most that explaining may take of the time of the training; steps are skipped to keep to it. The
        first and the last are explained in any case. 1: no limit.
    writer
        A ``SummaryWriter`` of TensorBoard, or a run of Weights & Biases, which gets scalars and pictures
        (`lrpdyn.pipeline.live_board.show`).
    on_flag
        Called with each new flag: a function of it, or a command that reads it as JSON
        (`lrpdyn.pipeline.flags`).
    options
        Of `lrpdyn.compute`, by name, such as ``rule="gamma"``.

    Attributes
    ----------
    run
        The finished run, once closed.

    Raises
    ------
    LrpdynError
        What cannot be done, before training begins.
    """

    def __init__(
        self,
        module: Any,
        observations: Any,
        *,
        every: int = 1,
        out: str | Path = DEFAULT_RUN,
        share: float = 0.03,
        writer: Writer | Any | None = None,
        on_flag: Called | str | Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        if not isinstance(every, int) or every < 1:
            raise UsageError(f"every {every}: expected a number of steps from 1")
        if not 0 < share <= 1:
            raise UsageError(f"share {share}: expected a part of the time above 0, up to 1")
        self.run: Run | None = None
        self.writer = writer
        self._every, self._share = every, share
        self._series: list[Checkpoint] = []
        self._steps: Steps | None = None
        self._newest: int | None = None
        self._failure: LrpdynError | None = None
        self._costs: list[float] = []
        self._skipped = 0
        settings = _options(out, options)
        self._quiet = settings.quiet
        self._open = ExitStack()
        with ExitStack() as opened:
            opened.enter_context(locked(settings.folder, settings.wait))
            with _apart():
                self._prepare(module, observations, settings)
            self._open = opened.pop_all()
        self._flags = None if on_flag is None else Flags(on_flag, self._job.folder)
        atexit.register(self._at_exit)
        self._began = time.perf_counter()

    def _prepare(self, module: Any, observations: Any, options: Options) -> None:
        """Make the network and the run folder ready, as `lrpdyn.compute` does."""
        check(options)
        folder = options.folder / LIVE_WEIGHTS
        try:
            self._network = live_network(module, folder, named=options.arch is not None)
            now = self._checkpoint(0, folder / "begin.safetensors")
            save_weights(now.path, self._network.weights())
            job, checks = prepare(options, _listing([now]), observations, self._network.resolved)
            plan = {"every": self._every, "share": self._share}
            manifest = {**make_manifest(job, checks), LIVE: plan}
            previous = previous_manifest(job, manifest)
            manifest = keep_recorded(manifest, previous)
            job = with_digest(job, manifest)
            check_requirements(job)
            fixed = targets_of_newest(job, previous)
            self._question, self._manifest = settle(job, manifest, fixed)
            records = () if previous is None else read_journal(job.folder)
            known = {
                r["step"]: self._checkpoint(r["step"], Path(r["path"]), recorded(r))
                for r in records
            }
            #: What was explained before this training has come to it again.
            self._ahead = dict(sorted(known.items()))
            job = replace(job, listing=_listing(self._ahead.values()))
            say_of_environments(job, kept_steps(job))
            begin(job, self._manifest)
            self._job = replace(job, options=replace(job.options, quiet=True))
            self._worker = BlockWorker(self._job, self._question)
        finally:
            (folder / "begin.safetensors").unlink(missing_ok=True)
            _remove_if_empty(folder)

    def step(self, step: int) -> None:
        """Tell that the network has the weights of this step now; it is explained where that is due.

        What goes wrong with the explaining (a full disk) is said, and the training goes on.

        Raises
        ------
        UsageError
            Steps do not rise, or it is closed.
        """
        step, before = operator.index(step), self._newest
        if self.run is not None:
            raise UsageError(f"Watch: step {step:,} comes after close()")
        if before is not None and step <= before:
            if step == before:
                return
            raise UsageError(
                f"Watch: step {step:,} comes after step {before:,}; steps have to rise"
            )
        self._newest = step
        if self._failure is not None:
            return
        due = before is None or step // self._every > before // self._every
        if not due and not self._is_ahead(step):
            return
        with self._counted():
            if before is None:
                self._series = [self._ahead.pop(s) for s in list(self._ahead) if s < step]
            if not self._confirmed(step) and due:
                if self._is_affordable():
                    self._explain(step)
                else:
                    self._skipped += 1

    def close(self) -> Run:
        """Explain the last step, write the results as `lrpdyn.compute` does, and delete the weights.

        Raises
        ------
        CheckpointError
            Fewer than two steps were explained; what is explained is kept.
        """
        if self.run is not None:
            return self.run
        try:
            trained = time.perf_counter() - self._began
            if self._failure is None and self._newest is not None and not self._is_explained:
                with self._counted():
                    self._explain(self._newest)
            began = time.perf_counter()
            with _apart():
                self._finish(trained)
        finally:
            self._release()
        self.run = open_run(self._job.folder)
        self._say(self._cost_in_words(trained, time.perf_counter() - began))
        return self.run

    def sb3(self) -> Any:
        """Return the callback for Stable-Baselines3 (`lrpdyn.pipeline.live_callbacks.sb3_callback`)."""
        return sb3_callback(self)

    def trainer(self) -> Any:
        """Return the callback for a ``Trainer`` of Hugging Face."""
        return trainer_callback(self)

    def lightning(self) -> Any:
        """Return the callback for a ``Trainer`` of Lightning."""
        return lightning_callback(self)

    def __enter__(self) -> Watch:
        """Return this."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close at the end and on Ctrl-C; after another error, leave the run to be gone on with."""
        if kind is None or issubclass(kind, KeyboardInterrupt):
            self.close()
            return
        self._release()
        self._say(f"{len(self._series):,} steps are explained and kept: the same Watch goes on")

    def _at_exit(self) -> None:
        """Close what nobody closed."""
        try:
            self.close()
        except LrpdynError as error:
            print_note(f"Warning: Watch: {error}")

    @property
    def _is_explained(self) -> bool:
        return bool(self._series) and self._series[-1].step == self._newest

    def _is_ahead(self, step: int) -> bool:
        """Tell whether training comes to, or has passed, a step that was explained before."""
        return bool(self._ahead) and step >= next(iter(self._ahead))

    def _confirmed(self, step: int) -> bool:
        """Tell whether a step was explained before with the same weights; others are then forgotten."""
        if not self._is_ahead(step):
            return False
        if step in self._ahead and step == next(iter(self._ahead)):
            path = live_path(self._job.folder, step)
            save_weights(path, self._network.weights())
            if has_digest(path, LIVE, self._ahead[step].digest):
                self._add(self._ahead.pop(step))
                return True
        self._forget_ahead()
        return False

    def _forget_ahead(self) -> None:
        """Forget steps that the training, as it went on, did not come to with the same weights."""
        if not self._ahead:
            return
        first = next(iter(self._ahead))
        self._say(f"training went on otherwise before step {first:,}: what was explained from there on is "
                  "explained again")  # fmt: skip
        forget(self._job.folder, self._ahead.keys())
        for step in self._ahead:
            delete(relevance_path(self._job.folder, step))
        self._ahead = {}
        if self._steps is not None:  # it reads the journal by places
            self._steps.dynamics.close()
            self._steps = None

    def _explain(self, step: int) -> None:
        path = live_path(self._job.folder, step)
        save_weights(path, self._network.weights())
        self._add(self._checkpoint(step, path))

    def _add(self, checkpoint: Checkpoint) -> None:
        """Add a step to the sums; it is explained where it was not before."""
        self._series.append(checkpoint)
        job = self._job = replace(self._job, listing=_listing(self._series))
        if self._steps is None:
            there = [*self._series, *self._ahead.values()]
            kept = kept_steps(replace(job, listing=_listing(there)))
            self._steps = Steps(job, self._question, self._hands, 1, Times(), kept)
        self._steps.go_on(job)
        self._delete_weights()
        if self.writer is not None:
            show(self.writer, job, self._steps.records)
        if self._flags is not None and len(self._steps.records.finite_steps) > 1:
            report = interim_report(job, self._manifest, self._steps.records, self._steps.dynamics)
            self._flags.tell(report)

    def _hands(self, job: Job, question: Question, places: Sequence[int]) -> Generator[Outcomes]:
        self._worker.job = job
        yield self._worker(places)

    def _delete_weights(self) -> None:
        """Delete the weights of steps that the last checks will do without."""
        stride = 1
        while len(self._series) > _SPACED * stride:
            stride *= 2
        needed = {checkpoint.path for checkpoint in (*self._series[::stride], *self._series[-2:])}
        for path in (self._job.folder / LIVE_WEIGHTS).glob("step_*.safetensors"):
            if path not in needed:
                delete(path)

    def _is_affordable(self) -> bool:
        """Tell whether one more step keeps to the share; the first always does."""
        if not self._costs or self._share >= 1:
            return True
        spent = sum(self._costs)
        trained = time.perf_counter() - self._began - spent
        return spent + self._costs[-1] <= self._share * trained

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count the time within, apart from the training; an error ends the watching, not the training."""
        began, explained = time.perf_counter(), len(self._series)
        try:
            with _apart():
                yield
        except LrpdynError as error:
            self._failure = error
            print_note(f"Warning: Watch: stopped, and training goes on: {error}")
        finally:
            if len(self._series) > explained:
                self._costs.append(time.perf_counter() - began)

    def _finish(self, trained: float) -> None:
        self._forget_ahead()
        if self._steps is None and self._series:
            self._add(self._series.pop())
        explained = set() if self._steps is None else set(self._steps.records.steps)
        if self._steps is None or len(explained) < 2:
            why = f" ({self._failure})" if self._failure else ""
            raise CheckpointError(
                f"{self._job.folder}: {len(explained)} steps explained, expected two or more{why}; call "
                "step() after updates of the weights; what is explained is kept"
            )
        taken = [checkpoint for checkpoint in self._series if checkpoint.step in explained]
        job = replace(self._job, listing=_listing(taken))
        cost = {"skipped": self._skipped, "seconds": sum(self._costs), "training_seconds": trained}
        manifest = {**self._manifest, LIVE: {**self._manifest[LIVE], **cost}}
        finish(job, self._question, manifest, self._steps.records, self._steps.dynamics, Times())
        job.storage.finish(job.folder, self._steps.dynamics.needed)
        folder = job.folder / LIVE_WEIGHTS
        for path in folder.glob("step_*.safetensors"):
            delete(path)
        _remove_if_empty(folder)

    def _release(self) -> None:
        atexit.unregister(self._at_exit)
        if self._steps is not None:
            self._steps.dynamics.close()
        self._open.close()

    def _cost_in_words(self, trained: float, finishing: float) -> str:
        spent = sum(self._costs)
        skipped = (
            f", {self._skipped:,} skipped to keep to {self._share:.0%}" if self._skipped else ""
        )
        return (
            f"{len(self._series):,} steps explained{skipped}: {spent:.1f} s, {spent / trained:.1%} of the "
            f"{trained:.0f} s of training; the results took {finishing:.1f} s after it. Saved in "
            f"{self._job.folder}"
        )

    def _checkpoint(self, step: int, path: Path, digest: str | None = None) -> Checkpoint:
        return Checkpoint(
            step=step, path=path, format=LIVE, step_source="Watch", header=self._network.header,
            digest=digest,
        )  # fmt: skip

    def _say(self, line: str) -> None:
        if not self._quiet:
            print_note(f"Watch: {line}")


def _options(out: str | Path, given: dict[str, Any]) -> Options:
    """Return the options of `lrpdyn.compute` that a network has which is being trained."""
    known = {field.name for field in fields(Options)} - {"out", "every", "on_flag"}
    unknown = given.keys() - known
    if unknown:
        raise TypeError(f"Watch() got an unexpected keyword argument '{min(unknown)}'")
    of_files = sorted(given.keys() & _OF_FILES)
    if of_files:
        raise UsageError(
            f"Watch: {of_files[0]}: is for lrpdyn.compute, which explains checkpoint files"
        )
    if given.get("target") in ("modal", "final"):
        raise UsageError(
            f"Watch: target {given['target']}: is not known before training ends; give argmax, a unit or a "
            ".npy file of units"
        )
    # Of steps that are still to come nothing is expected yet: as of a folder that is followed.
    return Options(out=out, follow=True, **given)


def _listing(checkpoints: Iterable[Checkpoint]) -> Listing:
    return Listing(checkpoints=tuple(checkpoints), left_out=(), unit="steps")


@contextmanager
def _apart() -> Iterator[None]:
    """Explain as `lrpdyn.compute` does, whatever the training has set, and leave no trace."""
    with ExitStack() as stack:
        stack.enter_context(undisturbed())
        stack.enter_context(one_thread())
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
