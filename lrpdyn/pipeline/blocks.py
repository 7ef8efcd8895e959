"""A block of neighbouring checkpoints, explained by one worker: the work that is shared."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.checkpoints.model import Checkpoint
from lrpdyn.diagnostics.at_each_step import StepEvidence
from lrpdyn.diagnostics.same_outputs import compare_outputs
from lrpdyn.dynamics.accumulate import Extra
from lrpdyn.dynamics.feature_shares import summed_shares
from lrpdyn.dynamics.measures import Array
from lrpdyn.dynamics.neighbours import Neighbours
from lrpdyn.dynamics.one_step import Known
from lrpdyn.dynamics.phases import outline
from lrpdyn.errors import ArchitectureError, CheckpointError, LrpdynError, RunError
from lrpdyn.explain.explanation import Explanation, Question, explain_parts, joined
from lrpdyn.explain.loaded import LoadedNetwork, ReadCheckpoint, load, pinned, put_read, read
from lrpdyn.observations.regions import shares
from lrpdyn.pipeline.setup.job import READING, Job
from lrpdyn.system import signals
from lrpdyn.system.ahead import one_ahead
from lrpdyn.system.environment import environment_of
from lrpdyn.system.processes import in_order, working_on
from lrpdyn.system.timing import Times

#: So many steps in a row go to one worker, at most.
LARGEST_BLOCK = 16
#: Seconds after which a process that works alone puts what it has into the journal.
LONGEST = 1.0

#: What a checkpoint gives: its line of the journal, or why it cannot be explained.
Outcome = dict[str, Any] | LrpdynError
#: The outcomes of a block, the seconds that they took, and what was measured of its steps.
Outcomes = tuple[list[Outcome], dict[str, float], dict[int, Known]]
#: Explains the checkpoints at some places of a job's series; blocks come back in order.
Hands = Callable[[Job, Question, Sequence[int]], Generator[Outcomes]]


def in_blocks(places: Sequence[int], workers: int) -> list[Sequence[int]]:
    """Return places in blocks of neighbours for so many workers.

    A step is compared with the weights of the two before, which have to be loaded once more where a
    block begins. Blocks become smaller towards the end, where none is to wait long for another.
    """
    blocks = []
    while places:
        size = min(LARGEST_BLOCK, -(-len(places) // (2 * workers)))
        blocks.append(places[:size])
        places = places[size:]
    return blocks


def by_processes(
    workers: int, job: Job, question: Question, places: Sequence[int], *, ahead: bool = False
) -> Generator[Outcomes]:
    """Explain places in so many processes of this machine; one alone may read the next `ahead`."""
    blocks = in_blocks(places, workers)
    if workers > 1 and len(blocks) > 1:
        worker = BlockWorker(job, question, measures=True)
        yield from in_order(worker, blocks, min(workers, len(blocks)))
        return
    worker = BlockWorker(job, question)
    with worker.reading_ahead(places) if ahead else nullcontext():
        while places:
            found = worker(places[:LARGEST_BLOCK], LONGEST)
            yield found
            places = places[len(found[0]) :] if found[0] else ()


class BlockWorker:
    """Explains checkpoints by their place in the listing; each process has its own.

    With `measures` it measures them, too: not to be done by the one process that adds all steps.
    """

    def __init__(self, job: Job, question: Question, *, measures: bool = False) -> None:
        self.job, self.question, self.times = job, question, Times()
        self._read_at: Callable[[int], ReadCheckpoint] = self._read
        values = job.observations.values
        self.evidence = StepEvidence(
            job.model, values, job.painting, trust=job.options.trust, algorithm=job.algorithm
        )
        self.environment = environment_of(job.model.device)
        #: As requested, or smaller once the device's memory ran out.
        self.batch_size = job.model.batch_size
        self.neighbours = Neighbours(values.shape, job.options.normalize, outlines_and_shares(job))
        # The sums of a shard are made when it is merged.
        self.measures = measures and job.shard is None and self.neighbours.measures
        self.known: dict[int, Known] = {}
        self.next = 0
        self.before: tuple[Checkpoint, ...] = ()

    def __call__(self, block: Sequence[int], longest: float = math.inf) -> Outcomes:
        """Return the facts of each checkpoint, and the seconds that it took.

        The first that fails ends it, but for a bad checkpoint under skip_bad; so does a signal, and
        the first one after `longest` seconds.
        """
        outcomes: list[Outcome] = []
        begun = time.monotonic()
        for place in block:
            if signals.received() or (outcomes and time.monotonic() - begun > longest):
                break
            if self.next != place:
                self.before = checkpoints_before(self.job, place)
                self.neighbours.begin()
            self.next = place + 1
            try:
                outcomes.append(self._explain(place))
            except (CheckpointError, ArchitectureError) as error:
                outcomes.append(error)
                if not self.job.options.skip_bad:
                    break
                continue
            except RunError as error:
                # A disk that is full, say: what was explained before it is kept.
                outcomes.append(error)
                break
            self.before = (self.job.listing.checkpoints[place], *self.before[:1])
        with self.times.of("explaining and storing"):
            self.job.storage.settle(self.job.folder)
        known, self.known = self.known, {}
        return outcomes, self.times.taken(), known

    @contextmanager
    def reading_ahead(self, places: Sequence[int]) -> Iterator[None]:
        """Let a thread read the checkpoint at the next of `places` while one is explained.

        It reads files, and puts what a GPU is to get into pinned memory; it does not touch the network.
        """
        on_gpu = self.job.model.device.type == "cuda"

        def read_at(place: int) -> ReadCheckpoint:
            found = self._read(place)
            return pinned(found) if on_gpu else found

        with one_ahead(read_at, places) as self._read_at:
            yield

    def _read(self, place: int) -> ReadCheckpoint:
        options = self.job.options
        checkpoint = self.job.listing.checkpoints[place]
        return read(checkpoint, trust=options.trust, algorithm=self.job.algorithm)

    def _load(self, place: int) -> tuple[LoadedNetwork, Mapping[str, int]]:
        """Return the network with the weights of a checkpoint, and the stamp of its files."""
        found = self._read_at(place)
        return put_read(self.job.model, found), found.stamp

    def _explain(self, place: int) -> dict[str, Any]:
        """Explain one checkpoint, store its relevance, and return its line of the journal."""
        job, times = self.job, self.times
        checkpoint = job.listing.checkpoints[place]
        working_on(str(checkpoint.path))
        with times.of(READING):
            self.evidence.set_before(self.before)
            loaded, stamped = self._load(place)
        parts: list[Explanation] = []
        maps: list[NDArray[np.float32]] = []
        same: dict[str, Any] = {}
        with times.of("explaining and storing"):
            written = job.storage.save(
                job.folder,
                checkpoint.step,
                job.observations.values.shape,
                self._maps(loaded, parts, maps, same),
            )
        found = joined(parts)
        with times.of("evidence"):
            evidence = self.evidence.gather(loaded)
        if self.measures:
            with times.of("measures"):
                known = self.neighbours.measure(
                    checkpoint.step, np.concatenate(maps), finite=bool(found.relevance.all())
                )
                if known is not None:
                    self.known[checkpoint.step] = known
        finite = bool(np.isfinite(found.score).all() and found.relevance.all())
        return {
            "step": checkpoint.step,
            "path": str(checkpoint.path),
            "format": checkpoint.format,
            "digest": loaded.digest,
            **stamped,
            "environment": self.environment,
            "status": "done" if finite else "not_finite",
            "reason": None if finite else "its outputs or relevance hold NaN or infinity",
            "score": _plain(found.score),
            "target": [
                int(t) if np.isfinite(s) else None
                for t, s in zip(found.target, found.score, strict=True)
            ],
            "argmax": [
                int(a) if np.isfinite(s) else None
                for a, s in zip(found.argmax, found.score, strict=True)
            ],
            "support": _plain(found.support),
            "outputs": [_plain(row) for row in found.outputs],
            "maps_sha256": written.maps,
            "relevance_sha256": written.kept,
            "relevance_finite": bool(found.relevance.all()),
            "evidence": evidence,
            "same_outputs": same,
            **self._smaller_batches(),
        }

    def _halved(self, size: int) -> None:
        self.batch_size = size
        self.evidence.forget_batch()

    def _smaller_batches(self) -> dict[str, int]:
        """Return the size of the batches where it is not what was requested: last bits may differ."""
        fewer = self.batch_size != self.job.model.batch_size
        return {"batch_size": self.batch_size} if fewer else {}

    def _maps(
        self,
        loaded: LoadedNetwork,
        parts: list[Explanation],
        maps: list[NDArray[np.float32]],
        same: dict[str, Any],
    ) -> Iterator[NDArray[np.float32]]:
        """Yield the maps of one batch after the other; what else there is of it goes to `parts`.

        There the maps are replaced by whether they are finite: those of all samples are never in memory,
        but for few samples, which are measured here: theirs go to `maps`.
        At the end `same` gets how the outputs compare with those of the network as loaded, before the
        maps have their name: those of another network are never kept.
        """
        job = self.job
        with self.evidence.watching():
            values, question = job.observations.values, self.question
            loaded = loaded.with_batch_size(self.batch_size)
            for part in explain_parts(loaded, values, question, self._halved):
                self.evidence.add_batch(len(part.score))
                yield part.relevance
                if self.measures:
                    maps.append(part.relevance)
                finite = np.array([np.isfinite(part.relevance).all()])
                parts.append(replace(part, relevance=finite))
        outputs = np.concatenate([part.outputs for part in parts])
        place = self.next - 1
        mixing = place % LARGEST_BLOCK == 0 or place == len(job.listing.checkpoints) - 1
        same.update(compare_outputs(loaded, values, outputs, mixing=mixing))


def outlines_and_shares(job: Job) -> Extra:
    """Return what gives, of the maps of some samples, their outlines, and shares of regions and features."""
    regions = None if job.painting is None else job.painting.regions

    def extra(piece: slice, maps: Array) -> tuple[Array, Array | None, tuple[Array, int] | None]:
        of_regions = None if regions is None else shares(maps, regions.part(piece))
        return outline(maps), of_regions, summed_shares(maps) if maps.ndim == 2 else None

    return extra


def checkpoints_before(job: Job, place: int) -> tuple[Checkpoint, ...]:
    """Return the last two checkpoints before a place that can be loaded, the nearest first."""
    found: list[Checkpoint] = []
    for checkpoint in reversed(job.listing.checkpoints[:place]):
        if len(found) == 2:
            break
        # Without skip_bad one that could not be loaded would have ended the run.
        if job.options.skip_bad:
            try:
                load(job.model, checkpoint, trust=job.options.trust)
            except (CheckpointError, ArchitectureError):
                continue
        found.append(checkpoint)
    return tuple(found)


def _plain(values: NDArray[np.float64]) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
