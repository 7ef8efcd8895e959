"""Explain what the journal does not hold yet, and add every step to the sums, in order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn import explanation
from lrpdyn import run as store
from lrpdyn.checkpoints.model import Checkpoint
from lrpdyn.checkpoints.readers import stamp
from lrpdyn.dynamics import Dynamics
from lrpdyn.errors import ArchitectureError, CheckpointError
from lrpdyn.evidence.step import StepEvidence
from lrpdyn.explanation import Question
from lrpdyn.job import Job, progress_bar
from lrpdyn.phases import outline
from lrpdyn.question import check_unchanged
from lrpdyn.records import Record
from lrpdyn.regions import shares


def begin(job: Job, manifest: Mapping[str, Any]) -> None:
    """Make the folder ready: no left-overs, the observations and a manifest of what is asked."""
    for path in store.leftovers(job.folder):
        path.unlink(missing_ok=True)
    # The manifest comes first: what is killed right after it is known to be a run.
    store.save_json(job.folder / store.MANIFEST, manifest)
    store.save_array(job.folder / "observations.npy", job.observations.values)


def explain_all(job: Job, question: Question) -> tuple[list[Record], Dynamics]:
    """Explain what the journal does not hold yet; add every step to the sums, in order."""
    journal = store.read_journal(job.folder)
    check_unchanged(job, journal)
    done = {record["step"]: record for record in journal}
    values = job.observations.values
    dynamics = Dynamics(values.shape, job.normalisation)
    evidence = StepEvidence(job.model, values, job.painting, trust=job.trust)
    records: list[Record] = []
    before: Checkpoint | None = None
    for checkpoint in progress_bar("explaining", job.quiet)(job.listing.checkpoints):
        try:
            facts, maps = _recalled(job, done.get(checkpoint.step)) or _explained(
                job, checkpoint, question, evidence, before
            )
            if facts["evidence"]["key"] != evidence.key(before):
                facts = _looked_at_again(job, checkpoint, facts, evidence, before)
        except (CheckpointError, ArchitectureError) as error:
            if not job.skip_bad:
                raise
            records.append(Record.bad(checkpoint, str(error)))
            continue
        measures, transition = dynamics.add(checkpoint.step, maps)
        parts = None if job.painting is None else shares(maps, job.painting.regions)
        records.append(Record(facts, measures, transition, parts, outline(maps)))
        before = checkpoint
    return records, dynamics


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


def _recalled(
    job: Job, record: dict[str, Any] | None
) -> tuple[dict[str, Any], NDArray[np.float32]] | None:
    """Return a step that was explained before, with its maps, if its file is whole."""
    if record is None or "evidence" not in record:
        return None
    try:
        maps = np.load(store.relevance_path(job.folder, record["step"]), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if maps.shape != job.observations.values.shape or maps.dtype != np.float32:
        return None
    return record, maps


def _explained(
    job: Job,
    checkpoint: Checkpoint,
    question: Question,
    evidence: StepEvidence,
    before: Checkpoint | None,
) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """Explain one checkpoint and store it: first its relevance, then its line in the journal."""
    size, modified = stamp(checkpoint.path, checkpoint.format)
    evidence.hold(before)
    sha256 = explanation.load(job.model, checkpoint, trust=job.trust)
    found = explanation.explain(job.model, job.observations.values, question)
    store.save_array(store.relevance_path(job.folder, checkpoint.step), found.relevance)
    finite = np.isfinite(found.score)
    facts = {
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
        "outputs": [[float(o) if np.isfinite(o) else None for o in row] for row in found.outputs],
        "relevance_finite": bool(np.isfinite(found.relevance).all()),
        "evidence": evidence.gather(checkpoint.step, before),
    }
    store.append_journal(job.folder, facts)
    return facts, found.relevance
