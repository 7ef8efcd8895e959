"""The steps that a shard is compared with and does not hold: the first, and those right before it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lrpdyn.checkpoints.model import Checkpoint
from lrpdyn.errors import ArchitectureError, CheckpointError
from lrpdyn.explain.explanation import Question, explain_parts
from lrpdyn.explain.loaded import load
from lrpdyn.files.atomic import save_pieces
from lrpdyn.files.stored import Stored, pieces
from lrpdyn.pipeline.setup.job import Job
from lrpdyn.run.layout import working_path


@dataclass(frozen=True)
class Past:
    """What `Dynamics.take_up` takes, and the last checkpoint that can be loaded."""

    first: tuple[int, Stored] | None = None
    before: tuple[tuple[int, int, Stored], ...] = ()
    checkpoint: Checkpoint | None = None


def look_back(job: Job, question: Question, begin: int) -> Past:
    """Explain what is needed of the checkpoints before place `begin`; nothing where that is 0.

    Their maps lie beside those that are not kept, until the shard is finished.
    """
    looked: dict[int, Stored | None] = {}

    def maps(place: int) -> Stored | None:
        if place not in looked:
            looked[place] = _explained(job, question, job.listing.checkpoints[place])
        return looked[place]

    before: list[tuple[int, int, Stored]] = []
    last: Checkpoint | None = None
    for place in reversed(range(begin)):
        found = maps(place)
        if found is None:
            continue
        checkpoint = job.listing.checkpoints[place]
        last = last or checkpoint
        if not _finite(found):
            break
        before.insert(0, (place, checkpoint.step, found))
        if place % 2 == 0:
            break
    for place in range(begin):
        found = maps(place)
        if found is not None and _finite(found):
            first = job.listing.checkpoints[place].step, found
            return Past(first, tuple(before), last)
    return Past(None, tuple(before), last)


def _explained(job: Job, question: Question, checkpoint: Checkpoint) -> Stored | None:
    """Return the maps of a checkpoint, or None where it cannot be loaded and is to be skipped."""
    try:
        loaded = load(job.model, checkpoint, trust=job.options.trust)
    except (CheckpointError, ArchitectureError):
        if not job.options.skip_bad:
            raise
        return None
    values = job.observations.values
    path = working_path(job.folder, checkpoint.step)
    found = (part.relevance for part in explain_parts(loaded, values, question))
    save_pieces(path, values.shape, np.float32, found)
    return Stored(path)


def _finite(maps: Stored) -> bool:
    return all(bool(np.isfinite(maps[piece]).all()) for piece in pieces(maps.shape))
