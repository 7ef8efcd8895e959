"""Explain what the journal does not hold yet, and add every step to the sums, in order."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from lrpdyn import explanation, stopping
from lrpdyn import run as store
from lrpdyn.checkpoints.model import Checkpoint
from lrpdyn.checkpoints.readers import stamp
from lrpdyn.dynamics import Dynamics
from lrpdyn.errors import ArchitectureError, CheckpointError, LrpdynError
from lrpdyn.evidence.step import StepEvidence
from lrpdyn.explanation import Explanation, Question, explain_parts, joined
from lrpdyn.job import READING, Job, progress
from lrpdyn.phases import mean_outline, outline
from lrpdyn.question import check_unchanged
from lrpdyn.records import Record
from lrpdyn.regions import shares
from lrpdyn.stored import Stored
from lrpdyn.streamed import pieces
from lrpdyn.times import Times
from lrpdyn.workers import in_order

#: So many steps in a row go to one worker, at most.
LARGEST_BLOCK = 16


def begin(job: Job, manifest: Mapping[str, Any]) -> None:
    """Make the folder ready: no left-overs, the observations and a manifest of what is asked."""
    for path in store.leftovers(job.folder):
        store.delete(path)
    # The manifest comes first: what is killed right after it is known to be a run.
    store.save_manifest(job.folder, dict(manifest))
    values = job.observations.values
    store.save_pieces(job.folder / "observations.npy", values.shape, np.float32, pieces(values))


def explain_all(
    job: Job, question: Question, workers: int, times: Times
) -> tuple[list[Record], Dynamics]:
    """Explain what the journal does not hold yet; add every step to the sums, in order.

    Explaining is shared among `workers` processes; the journal, the sums and the measures are made
    here, one step after the other, so that they are the same however the work was shared.
    """
    journal = store.read_journal(job.folder)
    check_unchanged(job, journal)
    done = {record["step"]: record for record in journal}
    values = job.observations.values
    dynamics = Dynamics(values.shape, job.normalisation, job.folder, workers)
    evidence = StepEvidence(job.model, values, job.painting, trust=job.trust)
    checkpoints = job.listing.checkpoints
    missing = [n for n, c in enumerate(checkpoints) if not _is_stored(job, done.get(c.step))]
    explained, new = _explained(job, question, missing, workers, times), set(missing)
    records: list[Record] = []
    before: Checkpoint | None = None
    held: set[int] = set()
    with (
        stopping.heeded(),
        closing(explained),
        progress(len(checkpoints), job, times) as advance,
    ):
        for n, checkpoint in enumerate(checkpoints):
            outcome = next(explained, None) if n in new else None
            if stopping.asked():
                _stop(job, explained)
            if outcome is not None:
                if isinstance(outcome, LrpdynError):
                    if not job.skip_bad:
                        raise outcome
                    records.append(Record.bad(checkpoint, str(outcome)))
                    advance()
                    continue
                facts = outcome
            else:
                facts = done[checkpoint.step]
                path = job.storage.maps_path(job.folder, checkpoint.step)
                store.check_maps(path, facts.get("maps_sha256"), checkpoint.step)
                if facts["evidence"]["key"] != evidence.key(before):
                    facts = _looked_at_again(job, checkpoint, facts, evidence, before)
            with times.of("sums and measures"):
                records.append(_added(job, dynamics, facts))
            held |= {checkpoint.step}
            job.storage.forget(job.folder, held - dynamics.needed)
            held &= dynamics.needed
            before = checkpoint
            advance()
        if stopping.asked():
            _stop(job, ())
    return records, dynamics


def _stop(job: Job, outcomes: Iterable[dict[str, Any] | LrpdynError]) -> NoReturn:
    """Keep what the workers have in hand; what failed is told when the run goes on."""
    for _ in outcomes:  # each is in the journal when it comes
        pass
    done = {record["step"] for record in store.read_journal(job.folder)}
    raise stopping.stopped(len(done), len(job.listing.checkpoints))


def _added(job: Job, dynamics: Dynamics, facts: dict[str, Any]) -> Record:
    """Add the maps of a step to the sums; return what was measured of them."""
    maps = Stored(job.storage.maps_path(job.folder, facts["step"]))
    measures, transition = dynamics.add(facts["step"], maps)
    outlines = np.concatenate(list(dynamics.each(lambda piece: outline(maps[piece]))))
    parts = None
    if job.painting is not None:
        regions = job.painting.regions
        parts = np.concatenate(
            list(dynamics.each(lambda piece: shares(maps[piece], regions.part(piece)))), axis=1
        )
    return Record(facts, measures, transition, parts, mean_outline(outlines))


def _is_stored(job: Job, record: Mapping[str, Any] | None) -> bool:
    """Tell whether a step was explained before, and the file of its maps is whole."""
    if record is None or "evidence" not in record:
        return False
    return job.storage.is_there(job.folder, record["step"], job.observations.values.shape)


def _looked_at_again(
    job: Job,
    checkpoint: Checkpoint,
    facts: dict[str, Any],
    evidence: StepEvidence,
    before: Checkpoint | None,
) -> dict[str, Any]:
    """Return the record of a step whose maps stand, with evidence that fits what is asked now."""
    evidence.hold(before)
    explanation.load(job.model, checkpoint, trust=job.trust)
    renewed = {**facts, "evidence": evidence.gather(checkpoint.step, before)}
    store.append_journal(job.folder, renewed)
    return renewed


def _explained(
    job: Job, question: Question, missing: Sequence[int], workers: int, times: Times
) -> Generator[dict[str, Any] | LrpdynError]:
    """Yield the facts of each missing checkpoint in order, or why it cannot be explained.

    Neighbours go to one worker in blocks: a step is compared with the weights of the one before,
    which have to be loaded once more where a block begins.
    """
    size = 1 if workers == 1 else min(LARGEST_BLOCK, -(-len(missing) // (4 * workers)))
    blocks = [missing[n : n + size] for n in range(0, len(missing), max(size, 1))]
    worker = _Worker(job, question)
    results = in_order(worker, blocks, min(workers, len(blocks)))
    while True:
        with times.of("waiting for workers"):
            found = next(results, None)
        if found is None:
            return
        outcomes, seconds = found
        times.add(seconds)
        facts = [one for one in outcomes if isinstance(one, dict)]
        if facts:
            with times.of("journal"):
                store.append_journal(job.folder, *facts)
        yield from outcomes


class _Worker:
    """Explains checkpoints by their place in the listing; each process has one of its own."""

    def __init__(self, job: Job, question: Question) -> None:
        self.job, self.question, self.times = job, question, Times()
        values = job.observations.values
        self.evidence = StepEvidence(job.model, values, job.painting, trust=job.trust)
        self.next = 0
        self.before: Checkpoint | None = None

    def __call__(
        self, block: Sequence[int]
    ) -> tuple[list[dict[str, Any] | LrpdynError], dict[str, float]]:
        """Return the facts of each checkpoint, and the seconds that it took.

        The first that fails ends it, but for skip_bad.
        """
        outcomes: list[dict[str, Any] | LrpdynError] = []
        for place in block:
            if stopping.asked():
                break
            checkpoint = self.job.listing.checkpoints[place]
            if self.next != place:
                self.before = self._before(place)
            self.next = place + 1
            try:
                outcomes.append(self._explain(checkpoint))
            except (CheckpointError, ArchitectureError) as error:
                outcomes.append(error)
                if not self.job.skip_bad:
                    break
                continue
            self.before = checkpoint
        return outcomes, self.times.taken()

    def _before(self, place: int) -> Checkpoint | None:
        """Return the last checkpoint before a place that can be loaded."""
        for checkpoint in reversed(self.job.listing.checkpoints[:place]):
            if not self.job.skip_bad:
                return checkpoint  # one that could not be loaded would have ended the run
            try:
                explanation.load(self.job.model, checkpoint, trust=self.job.trust)
            except (CheckpointError, ArchitectureError):
                continue
            return checkpoint
        return None

    def _explain(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """Explain one checkpoint, store its relevance, and return its line of the journal."""
        job, times = self.job, self.times
        size, modified = stamp(checkpoint.path, checkpoint.format)
        with times.of(READING):
            self.evidence.hold(self.before)
            sha256 = explanation.load(job.model, checkpoint, trust=job.trust)
        parts: list[Explanation] = []
        with times.of("explaining and storing"):
            written = job.storage.save(
                job.folder, checkpoint.step, job.observations.values.shape, self._maps(parts)
            )
        found = joined(parts)
        with times.of("evidence"):
            evidence = self.evidence.gather(checkpoint.step, self.before)
        finite = bool(np.isfinite(found.score).all() and found.relevance.all())
        return {
            "step": checkpoint.step,
            "path": str(checkpoint.path),
            "format": checkpoint.format,
            "sha256": sha256,
            "size": size,
            "modified": modified,
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
        }

    def _maps(self, parts: list[Explanation]) -> Iterator[NDArray[np.float32]]:
        """Yield the maps of one batch after the other; what else there is of it goes to `parts`.

        There the maps are replaced by whether they are finite: nobody holds those of all samples.
        """
        job = self.job
        with self.evidence.watching():
            for part in explain_parts(job.model, job.observations.values, self.question):
                yield part.relevance
                finite = np.array([np.isfinite(part.relevance).all()])
                parts.append(replace(part, relevance=finite))


def _plain(values: NDArray[np.float64]) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
