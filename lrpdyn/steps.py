"""Explain what the journal does not hold yet, and add every step to the sums, in order."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from itertools import chain
from typing import Any, NoReturn

import numpy as np

from lrpdyn import explanation, stopping
from lrpdyn import run as store
from lrpdyn.checkpoints.model import Checkpoint
from lrpdyn.checkpoints.readers import stamp
from lrpdyn.dynamics import Dynamics
from lrpdyn.errors import ArchitectureError, CheckpointError, LrpdynError
from lrpdyn.evidence.step import StepEvidence
from lrpdyn.explanation import Question
from lrpdyn.job import Job, progress_bar
from lrpdyn.phases import outline
from lrpdyn.question import check_unchanged
from lrpdyn.records import Record
from lrpdyn.regions import shares
from lrpdyn.workers import in_order

#: So many steps in a row go to one worker, at most.
LARGEST_BLOCK = 8


def begin(job: Job, manifest: Mapping[str, Any]) -> None:
    """Make the folder ready: no left-overs, the observations and a manifest of what is asked."""
    for path in store.leftovers(job.folder):
        store.delete(path)
    # The manifest comes first: what is killed right after it is known to be a run.
    store.save_manifest(job.folder, dict(manifest))
    store.save_array(job.folder / "observations.npy", job.observations.values)


def explain_all(job: Job, question: Question, workers: int) -> tuple[list[Record], Dynamics]:
    """Explain what the journal does not hold yet; add every step to the sums, in order.

    Explaining is shared among `workers` processes; the journal, the sums and the measures are made
    here, one step after the other, so that they are the same however the work was shared.
    """
    journal = store.read_journal(job.folder)
    check_unchanged(job, journal)
    done = {record["step"]: record for record in journal}
    values = job.observations.values
    dynamics = Dynamics(values.shape, job.normalisation)
    evidence = StepEvidence(job.model, values, job.painting, trust=job.trust)
    checkpoints = job.listing.checkpoints
    missing = [n for n, c in enumerate(checkpoints) if not _is_stored(job, done.get(c.step))]
    explained, new = _explained(job, question, missing, workers), set(missing)
    records: list[Record] = []
    before: Checkpoint | None = None
    with stopping.heeded(), closing(explained):
        for n, checkpoint in progress_bar("explaining", job.quiet)(list(enumerate(checkpoints))):
            outcome = next(explained, None) if n in new else None
            if stopping.asked():
                _stop(job, chain([outcome], explained))
            if outcome is not None:
                if isinstance(outcome, LrpdynError):
                    if not job.skip_bad:
                        raise outcome
                    records.append(Record.bad(checkpoint, str(outcome)))
                    continue
                store.append_journal(job.folder, outcome)
                facts = outcome
            else:
                facts = done[checkpoint.step]
                if facts["evidence"]["key"] != evidence.key(before):
                    facts = _looked_at_again(job, checkpoint, facts, evidence, before)
            maps = store.read_relevance(job.folder, facts)
            measures, transition = dynamics.add(checkpoint.step, maps)
            parts = None if job.painting is None else shares(maps, job.painting.regions)
            records.append(Record(facts, measures, transition, parts, outline(maps)))
            before = checkpoint
        if stopping.asked():
            _stop(job, ())
    return records, dynamics


def _stop(job: Job, outcomes: Iterable[dict[str, Any] | LrpdynError | None]) -> NoReturn:
    """Store what the workers have in hand; what failed is told when the run goes on."""
    for outcome in outcomes:
        if isinstance(outcome, dict):
            store.append_journal(job.folder, outcome)
    done = {record["step"] for record in store.read_journal(job.folder)}
    raise stopping.stopped(len(done), len(job.listing.checkpoints))


def _is_stored(job: Job, record: Mapping[str, Any] | None) -> bool:
    """Tell whether a step was explained before, and the file of its maps is whole."""
    if record is None or "evidence" not in record:
        return False
    try:
        path = store.relevance_path(job.folder, record["step"])
        maps = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return False
    return bool(maps.shape == job.observations.values.shape and maps.dtype == np.float32)


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
    job: Job, question: Question, missing: Sequence[int], workers: int
) -> Generator[dict[str, Any] | LrpdynError]:
    """Yield the facts of each missing checkpoint in order, or why it cannot be explained.

    Neighbours go to one worker in blocks: a step is compared with the weights of the one before,
    which have to be loaded once more where a block begins.
    """
    size = 1 if workers == 1 else min(LARGEST_BLOCK, -(-len(missing) // (4 * workers)))
    blocks = [missing[n : n + size] for n in range(0, len(missing), max(size, 1))]
    worker = _Worker(job, question)
    for outcomes in in_order(worker, blocks, min(workers, len(blocks))):
        yield from outcomes


class _Worker:
    """Explains checkpoints by their place in the listing; each process has one of its own."""

    def __init__(self, job: Job, question: Question) -> None:
        self.job, self.question = job, question
        values = job.observations.values
        self.evidence = StepEvidence(job.model, values, job.painting, trust=job.trust)
        self.next = 0
        self.before: Checkpoint | None = None

    def __call__(self, block: Sequence[int]) -> list[dict[str, Any] | LrpdynError]:
        """Return the facts of each checkpoint; the first that fails ends it, but for skip_bad."""
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
        return outcomes

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
        job = self.job
        size, modified = stamp(checkpoint.path, checkpoint.format)
        self.evidence.hold(self.before)
        sha256 = explanation.load(job.model, checkpoint, trust=job.trust)
        found = explanation.explain(job.model, job.observations.values, self.question)
        path = store.relevance_path(job.folder, checkpoint.step)
        written = store.save_array(path, found.relevance)
        finite = np.isfinite(found.score)
        return {
            "step": checkpoint.step,
            "path": str(checkpoint.path),
            "format": checkpoint.format,
            "sha256": sha256,
            "size": size,
            "modified": modified,
            "status": "done" if found.finite else "not_finite",
            "reason": None if found.finite else "its outputs or relevance hold NaN or infinity",
            "score": [float(s) if ok else None for s, ok in zip(found.score, finite, strict=True)],
            "target": [int(t) if ok else None for t, ok in zip(found.target, finite, strict=True)],
            "argmax": [int(a) if ok else None for a, ok in zip(found.argmax, finite, strict=True)],
            "support": [float(v) if np.isfinite(v) else None for v in found.support],
            "outputs": [
                [float(o) if np.isfinite(o) else None for o in row] for row in found.outputs
            ],
            "relevance_sha256": written,
            "relevance_finite": bool(np.isfinite(found.relevance).all()),
            "evidence": self.evidence.gather(checkpoint.step, self.before),
        }
