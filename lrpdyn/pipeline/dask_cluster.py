"""Blocks of checkpoints explained on a Dask cluster; the extra ``lrpdyn[dask]``.

The cluster schedules, and gives the work of a lost worker to another. Its workers see the checkpoints,
the run folder and the user's own files under the paths that this process sees them under: they read
weights and write maps there. What is sent is a description of the job, once, places, and lines of the
journal.
"""

from __future__ import annotations

import threading
import uuid
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lrpdyn.checkpoints.model import Checkpoint, Header, Listing
from lrpdyn.errors import RunError, UsageError
from lrpdyn.explain.explanation import Question
from lrpdyn.files.reasons import reason_of
from lrpdyn.observations.fixed_inputs import FixedInputs
from lrpdyn.pipeline.blocks import BlockWorker, Outcomes, in_blocks
from lrpdyn.pipeline.setup.description import Description, describe, job_of, open_values
from lrpdyn.pipeline.setup.job import Job
from lrpdyn.run.layout import delete, leftovers
from lrpdyn.system import memory, signals
from lrpdyn.system.processes import AHEAD

#: Seconds that a cluster has to answer, and that it has to have a first worker.
_ANSWER, _PATIENCE = 20, 120
_LOCAL = "local:"
_NO_PAGES: dict[str, list[str]] = {
    f"distributed.{part}.http.routes": [] for part in ("scheduler", "worker")
}


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """What a worker makes its job from, under a `name` that no other has."""

    name: str
    description: Description
    checkpoints: tuple[Checkpoint, ...]
    inputs: FixedInputs
    question: Question
    folder: Path


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Give a client of the cluster at `address`, or of one with N processes here: ``local:N``.

    Raises
    ------
    UsageError
        Dask is not installed, or `address` is none.
    RunError
        No cluster answers there, or it has no worker.
    """
    try:
        import dask
        from distributed import Client, LocalCluster, Security
    except ImportError as error:
        raise UsageError(
            "--dask: distributed is not installed; pip install 'lrpdyn[dask]'"
        ) from error
    count = address.removeprefix(_LOCAL)
    if address.startswith(_LOCAL) and (not count.isdecimal() or int(count) < 1):
        raise UsageError(f"--dask {address}: expected local:N with N from 1 on, or an address")
    with ExitStack() as stack:
        try:
            where: Any = address
            if address.startswith(_LOCAL):
                # Others on this machine could run what they like on an open port, and see its pages.
                stack.enter_context(dask.config.set(_NO_PAGES))
                cluster = LocalCluster(
                    n_workers=int(count), threads_per_worker=1, dashboard_address=None,
                    host="127.0.0.1", protocol="tls://", security=Security.temporary(),
                    scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                )  # fmt: skip
                where = stack.enter_context(cluster)
            client = stack.enter_context(Client(where, timeout=_ANSWER, set_as_default=False))
            client.wait_for_workers(1, timeout=_PATIENCE)
            if where is not address:
                client.run(memory.keep)
        except (OSError, TimeoutError, ValueError) as error:
            raise RunError(
                f"--dask {address}: no cluster with a worker answers there ({reason_of(error)}); start one, "
                "or give local:N"
            ) from error
        yield client


def by_dask(
    client: Any, job: Job, question: Question, places: Sequence[int]
) -> Generator[Outcomes]:
    """Explain places on a cluster; see `lrpdyn.pipeline.blocks.Hands`.

    Raises
    ------
    RunError
        A block killed worker after worker.
    """
    from distributed import KilledWorker

    # Neither weights nor their shapes are needed to read them again.
    slim = tuple(replace(c, header=Header({})) for c in job.listing.checkpoints)
    folder = job.folder.absolute()
    parcel = Parcel(
        name=str(uuid.uuid4()), description=describe(job), checkpoints=slim, inputs=job.model.fixed_inputs,
        question=question, folder=folder,
    )  # fmt: skip
    # A result, not scattered data: it is made again where the worker that holds it is lost.
    sent = client.submit(_given, parcel, key=f"lrpdyn-job-{parcel.name}")
    workers = max(1, len(client.nthreads()))
    waiting: deque[Any] = deque()
    try:
        for number, block in enumerate(in_blocks(places, max(2, workers))):
            if signals.received():
                break
            key = f"lrpdyn-block-{parcel.name}-{number}"
            waiting.append(client.submit(_explain, sent, list(block), key=key, pure=False))
            if len(waiting) >= AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            if signals.received():
                # Those that are begun are finished: as many as there are workers, the first ones.
                client.cancel([waiting.pop() for _ in range(len(waiting) - workers)])
            yield waiting.popleft().result()
    except KilledWorker as error:
        raise RunError(
            "workers of the Dask cluster ended without a word on the same checkpoints, killed or out of "
            "memory; what is finished is kept: the same command goes on, with a smaller --batch-size if "
            "memory was short"
        ) from error
    finally:
        client.cancel(list(waiting))
        if not waiting:  # all is done: a worker that was killed left what it was writing
            for path in leftovers(job.folder):
                delete(path)


def _given(parcel: Parcel) -> Parcel:
    return parcel


#: The one job that a worker process has made, under its parcel's name.
_made: dict[str, BlockWorker] = {}
#: A network explains one batch at a time, however many threads a worker has.
_one_at_a_time = threading.Lock()


def _explain(parcel: Parcel, block: Sequence[int]) -> Outcomes:
    with _one_at_a_time:
        if parcel.name not in _made:
            _made.clear()
            torch.set_num_threads(1)
            values = open_values(parcel.folder / "observations.npy")
            listing = Listing(checkpoints=parcel.checkpoints, left_out=(), unit="steps")
            job = job_of(parcel.description, listing, values, parcel.inputs, parcel.folder)
            _made[parcel.name] = BlockWorker(job, parcel.question, measures=True)
        return _made[parcel.name](block)
