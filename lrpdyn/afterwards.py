"""What is looked at once all steps are explained: what the maps depend on, what stands out."""

from __future__ import annotations

import functools
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lrpdyn import explanation
from lrpdyn import run as store
from lrpdyn.checked import checked_samples
from lrpdyn.checkpoints.model import Checkpoint, Listing
from lrpdyn.dependence import Weights, dependence
from lrpdyn.evidence.closer import Maps, SecondLook, stored_maps
from lrpdyn.explanation import Integers, Question
from lrpdyn.heap import give_back
from lrpdyn.job import Job, progress_bar
from lrpdyn.records import Records
from lrpdyn.workers import in_order

Value = TypeVar("Value")


class ByStep(Mapping[int, Value]):
    """What there is of each step of a series: made when it is asked for, for few are.

    Parameters
    ----------
    steps
        All steps, rising.
    make
        Gives what there is at a place of `steps`.
    """

    def __init__(self, steps: Sequence[int], make: Callable[[int], Value]) -> None:
        self._steps, self._make = steps, make

    def __getitem__(self, step: int) -> Value:
        place = bisect_left(self._steps, step)
        if self._steps[place : place + 1] != [step]:
            raise KeyError(step)
        return self._make(place)

    def __iter__(self) -> Iterator[int]:
        return iter(self._steps)

    def __len__(self) -> int:
        return len(self._steps)


def dependence_checks(
    job: Job,
    question: Question,
    records: Records,
    fresh: Sequence[Weights],
    workers: int = 1,
) -> list[dict[str, Any]]:
    """Return what the maps of the first, the middle and the last finite step depend on.

    Of as many samples as ``samples`` says, see `lrpdyn.checked.checked_samples`; steps are shared
    among `workers` processes. A step whose checkpoint is gone since it was explained is left out.
    """
    done = records.finite_steps
    steps = {done[0], done[len(done) // 2], done[-1]} if done else set()
    chosen = [checkpoint for checkpoint in job.listing.checkpoints if checkpoint.step in steps]
    samples = len(checked_samples(len(job.observations.values)))

    def of_step(place: int) -> dict[str, Any] | None:
        if not explanation.can_load(job.model, chosen[place], trust=job.trust):
            return None
        values = dependence(job.model, job.observations.values, question, fresh)
        give_back()
        return {"step": chosen[place].step, "samples": samples, **values}

    found = in_order(of_step, range(len(chosen)), min(workers, len(chosen)))
    shown = progress_bar("checking", job.quiet)(found)
    return [checked for checked in shown if checked is not None]


def second_look(job: Job, question: Question, records: Records, workers: int = 1) -> SecondLook:
    """Return what loads the checkpoints of flagged steps once more, by so many processes."""
    steps, places = records["step"], np.flatnonzero(records["finite"])
    targets = ByStep(steps[places].tolist(), lambda n: records["target"][places[n]].copy())
    series = job.listing.checkpoints
    checkpoints = ByStep([checkpoint.step for checkpoint in series], lambda n: series[n])
    return SecondLook(
        job.model,
        job.observations.values,
        question,
        job.normalisation,
        checkpoints,
        targets,
        _maps_of(job, question, checkpoints, targets),
        trust=job.trust,
        workers=workers,
    )


def _maps_of(
    job: Job,
    question: Question,
    checkpoints: Mapping[int, Checkpoint],
    targets: Mapping[int, Integers],
) -> Maps:
    """Return what gives the float32 maps of some samples at a step: stored, or made once more."""
    if job.storage.whole:
        return stored_maps(functools.partial(store.relevance_path, job.folder))

    def explained_again(step: int, samples: Sequence[int]) -> NDArray[np.float32]:
        explanation.load_again(job.model, checkpoints[step], trust=job.trust)
        asked = Question(question.contrast, targets[step], question.runner_up)
        # In the batches that they were in: last bits depend on it.
        found: dict[int, NDArray[np.float32]] = {}
        start = 0
        for x in explanation.batches(job.model, job.observations.values):
            inside = [n for n in samples if start <= n < start + len(x)]
            if inside:
                part = asked.part(slice(start, start + len(x)))
                maps = explanation.explain_batch(job.model, x, part).relevance
                found |= {n: maps[n - start] for n in inside}
            start += len(x)
        return np.stack([found[n] for n in samples])

    return explained_again


def same_weights(listing: Listing, records: Records) -> list[list[int]]:
    """Return the groups of steps that hold the same weights: a training that stood still."""
    order = np.argsort(records["sha256"], kind="stable")
    steps, hashes = records["step"][order], records["sha256"][order]
    borders = np.flatnonzero(hashes[1:] != hashes[:-1]) + 1
    groups = {tuple(group.tolist()) for group in np.split(steps, borders) if len(group) > 1}
    return [list(group) for group in sorted(groups | set(listing.same))]
