"""The steps of a run: explained where the journal does not have them yet, added to the sums in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np

from lrpdyn.checkpoints.digests import recorded, recorded_before
from lrpdyn.checkpoints.model import Checkpoint
from lrpdyn.diagnostics.at_each_step import StepEvidence
from lrpdyn.dynamics.accumulate import Dynamics
from lrpdyn.dynamics.feature_shares import strongest_features
from lrpdyn.dynamics.one_step import Known
from lrpdyn.dynamics.phases import mean_outline
from lrpdyn.dynamics.step_table import UNUSABLE, Records
from lrpdyn.errors import ArchitectureError, CheckpointError, LrpdynError, RunError
from lrpdyn.explain.explanation import Question
from lrpdyn.explain.loaded import load_again
from lrpdyn.files.atomic import save_pieces
from lrpdyn.files.streamed import opened, pieces
from lrpdyn.files.text import first_line
from lrpdyn.pipeline.blocks import (
    LARGEST_BLOCK,
    Hands,
    Outcome,
    checkpoints_before,
    outlines_and_shares,
)
from lrpdyn.pipeline.setup.job import Job, progress
from lrpdyn.pipeline.setup.resume import Kept
from lrpdyn.run.journal import JOURNAL, append_journal, record_at
from lrpdyn.run.layout import check_maps, delete, leftovers
from lrpdyn.run.manifest import save_manifest
from lrpdyn.system import signals
from lrpdyn.system.timing import Times


def begin(job: Job, manifest: Mapping[str, Any]) -> None:
    """Make the folder ready: no left-overs, the observations and a manifest of what is requested."""
    for path in leftovers(job.folder):
        delete(path)
    # The manifest comes first: what is killed right after it is known to be a run.
    save_manifest(job.folder, dict(manifest))
    values = job.observations.values
    save_pieces(job.folder / "observations.npy", values.shape, np.float32, pieces(values))


class Steps:
    """The steps of a run so far: their records and their sums, which more are added to.

    Explaining is shared; the journal and the sums are made here, one step after the other, so that they
    are the same however the work was shared. So are measures that were not made with the maps.

    Parameters
    ----------
    job
        Its listing may grow at the end between calls of `go_on`.
    hands
        Who explains checkpoints.
    threads
        How many pieces of the samples are added at once.
    kept
        What was explained before.
    """

    def __init__(
        self,
        job: Job,
        question: Question,
        hands: Hands,
        threads: int,
        times: Times,
        kept: Kept,
    ) -> None:
        self._question, self._hands, self._times = question, hands, times
        self._kept = kept.places
        self._new = 0
        values = job.observations.values
        self._evidence = StepEvidence(
            job.model, values, job.painting, trust=job.options.trust, algorithm=job.algorithm
        )
        self._next = job.places.start
        self._held: set[int] = set()
        #: What those who explained steps that are not yet added measured of them.
        self._measured: dict[int, Known] = {}
        self._before = checkpoints_before(job, self._next)
        self.records = Records(len(job.places))
        self.dynamics = Dynamics(values.shape, job.options.normalize, job.folder, threads)

    def go_on(self, job: Job) -> None:
        """Add the steps of a job from where these end to its last.

        Once a signal came (`lrpdyn.system.signals`), what the hands have begun is kept in the journal,
        and the rest is left.
        """
        checkpoints = job.listing.checkpoints
        places = range(self._next, job.places.stop)
        missing = [n for n in places if not self._is_stored(job, checkpoints[n].step)]
        explained, new = self._explained(job, missing), set(missing)
        together: list[dict[str, Any]] = []
        # Where threads share what is added, there is nothing to gain by adding while the workers explain.
        later = job.storage.whole and self.dynamics.is_shared
        with closing(explained), progress(len(places), job, self._times) as advance:
            for place in places:
                if signals.received():
                    break
                checkpoint = checkpoints[place]
                if place in new:
                    found = next(explained, None)
                    if found is None:
                        break  # stopped before it was begun
                    outcome, more = found
                    if isinstance(outcome, LrpdynError):
                        if signals.received():
                            break  # reported when the run is resumed
                        self._add(job, together)
                        if isinstance(outcome, RunError) or not job.options.skip_bad:
                            raise outcome
                        self.records.add_bad(checkpoint, str(outcome))
                        if job.shard is None:
                            self.dynamics.pass_over()
                        self._next = place + 1
                        advance()
                        continue
                else:
                    outcome, more = self._known(job, checkpoint), True
                together.append(outcome)
                self._before = (checkpoint, *self._before[:1])
                advance()
                if len(together) == LARGEST_BLOCK or not (more or later):
                    self._add(job, together)
            self._add(job, together)
            deque(explained, 0)  # what was begun when a signal came goes to the journal

    def _add(self, job: Job, together: list[dict[str, Any]]) -> None:
        """Add the steps of these facts to the sums, and forget them."""
        if not together:
            return
        if job.shard is None:
            with self._times.of("sums and measures"):
                try:
                    _add_to(self.records, job, self.dynamics, together, self._measured)
                except UNUSABLE as error:
                    steps = [facts["step"] for facts in together]
                    if self._kept.keys().isdisjoint(steps):
                        raise
                    raise RunError(
                        f"{job.folder / JOURNAL}: its lines on steps {steps[0]:,} to {steps[-1]:,} do not "
                        f"fit the run ({first_line(error)}); start again with --overwrite, or elsewhere "
                        "with -o"
                    ) from error
            self._let_go(job, [facts["step"] for facts in together])
        else:  # a shard makes no sums, and keeps its maps for the merge, which does
            for facts in together:
                self.records.put_facts(self.records.extend(), facts)
        for facts in together:
            self._measured.pop(facts["step"], None)
        self._next += len(together)
        together.clear()

    def _explained(self, job: Job, missing: Sequence[int]) -> Generator[tuple[Outcome, bool]]:
        """Yield the facts of each missing checkpoint in order, or why it cannot be explained.

        Extra it, whether there is another one that needs no waiting.
        """
        if not missing:
            return
        with closing(self._hands(job, self._question, missing)) as blocks:
            while True:
                with self._times.of("waiting for workers"):
                    found = next(blocks, None)
                if found is None:
                    return
                outcomes, seconds, measured = found
                self._measured |= measured
                self._times.add(seconds)
                new = [outcome for outcome in outcomes if isinstance(outcome, dict)]
                if new:
                    with self._times.of("journal"):
                        append_journal(job.folder, *new)
                self._new += sum(record["step"] not in self._kept for record in new)
                for number, outcome in enumerate(outcomes, start=1):
                    yield outcome, number < len(outcomes)

    def _known(self, job: Job, checkpoint: Checkpoint) -> dict[str, Any]:
        """Return the record of a step whose maps stand, with evidence that fits what is requested now."""
        facts = record_at(job.folder, self._kept[checkpoint.step])
        path = job.storage.maps_path(job.folder, checkpoint.step)
        check_maps(path, facts.get("maps_sha256"), checkpoint.step)
        known, key = facts["evidence"], self._evidence.key(self._before)
        if known.get("key") == key:
            return facts
        self._evidence.set_before(self._before)
        try:
            loaded = load_again(job.model, checkpoint, trust=job.options.trust)
        except (CheckpointError, ArchitectureError):
            if _ends(known.get("key")) != _ends(key):
                raise
            return facts  # only what is compared with two checkpoints before it is not known
        evidence = self._evidence.gather(replace(loaded, digest=recorded(facts)))
        renewed = {**facts, "evidence": _with_known(evidence, known)}
        append_journal(job.folder, renewed)
        return renewed

    @property
    def done(self) -> int:
        """How many steps are explained and kept."""
        return len(self._kept) + self._new

    def _is_stored(self, job: Job, step: int) -> bool:
        """Return whether a step was explained before, and the file of its maps is whole."""
        shape = job.observations.values.shape
        return step in self._kept and job.storage.is_there(job.folder, step, shape)

    def _let_go(self, job: Job, steps: Sequence[int]) -> None:
        """Delete maps that are not kept and that the sums do not need any more."""
        self._held |= set(steps)
        job.storage.forget(job.folder, self._held - self.dynamics.needed)
        self._held &= self.dynamics.needed


def _ends(key: Any) -> tuple[Any, ...]:
    """Return what the key of a step's evidence has in common with that of version 0.1."""
    return (key[0], key[-1]) if isinstance(key, list) and key else ()


def _with_known(evidence: dict[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return evidence with what was known of checkpoints that are gone by now."""
    new, old = evidence["weights"], known["weights"]
    if new["change"] is None and new["from_step"] == old["from_step"]:
        new = {**new, "from_digest": recorded_before(old), "change": old["change"]}
    return {**evidence, "weights": new}


def _add_to(
    records: Records,
    job: Job,
    dynamics: Dynamics,
    together: Sequence[dict[str, Any]],
    known: Mapping[int, Known],
) -> None:
    """Add the maps of successive steps to the sums, and what was measured of them to the records."""
    steps = [
        (
            facts["step"],
            opened(job.storage.maps_path(job.folder, facts["step"])),
            bool(facts["relevance_finite"]),
        )
        for facts in together
    ]
    extra = outlines_and_shares(job)
    for facts, measured in zip(together, dynamics.add(steps, extra, known), strict=True):
        outlines, parts, of_features = zip(*measured.extra, strict=True)
        records.add(
            facts,
            measured,
            mean_outline(np.concatenate(outlines)),
            None if job.painting is None else np.concatenate(parts, axis=1),
            None if of_features[0] is None else strongest_features(of_features),
        )
