"""Shards of a run put together: the same bytes as one run."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, overload

import numpy as np

from lrpdyn.api import Run, open_run
from lrpdyn.checkpoints.model import Checkpoint, Header
from lrpdyn.dynamics.accumulate import Dynamics
from lrpdyn.dynamics.saved_sums import read_part
from lrpdyn.dynamics.step_table import Records
from lrpdyn.errors import RunError, UsageError
from lrpdyn.explain.explanation import Question
from lrpdyn.files.atomic import whole_file
from lrpdyn.pipeline.results.finish import finish, with_curve
from lrpdyn.pipeline.setup.description import FIXED_INPUTS, job_of, open_values, read_fixed_inputs
from lrpdyn.pipeline.setup.job import Job
from lrpdyn.pipeline.setup.prepare import one_thread
from lrpdyn.pipeline.setup.requirements import check_results
from lrpdyn.pipeline.setup.resume import previous_manifest, question_of
from lrpdyn.pipeline.shards import Explained, open_shard, read_records
from lrpdyn.remote.path import as_path
from lrpdyn.run.journal import JOURNAL
from lrpdyn.run.layout import delete, leftovers, relevance_path
from lrpdyn.run.lock import locked
from lrpdyn.run.manifest import save_manifest
from lrpdyn.run.tables import check_tables
from lrpdyn.run.training_curve import read_curve
from lrpdyn.system import memory
from lrpdyn.system.processes import processes
from lrpdyn.system.timing import Times


def merge(
    shards: Sequence[str | Path],
    *,
    out: str | Path = "lrpdyn-run",
    tables: str | None = None,
    curve: str | None = None,
    wait: float = 0.0,
    overwrite: bool = False,
    quiet: bool = False,
) -> Run:
    """Put the shards of a run together.

    The checkpoints are looked at once more for the checks and for the steps that stand out; what
    they would tell is unavailable where they are gone. Maps are linked, not copied, where the file
    system can.

    Parameters
    ----------
    shards
        Folders that ``compute(..., shard="K/N")`` wrote, in any order.
    out
        The run folder.
    tables, curve
        As of `lrpdyn.compute`.
    wait
        Seconds to wait for another process that writes `out`.
    overwrite
        Delete a run of another question (only files that lrpdyn wrote).
    quiet
        No progress bar.

    Returns
    -------
    Run
        The finished run.

    Raises
    ------
    UsageError
        No shards are given, or there are no such tables.
    RunError
        Shards are missing, not finished, overlap, or are of different questions.
    """
    if not shards:
        raise UsageError("merge: expected the folders of shards")
    check_tables(tables)
    drawn = None if curve is None else read_curve(curve)
    found = _in_order([open_shard(Path(path)) for path in shards])
    folder = Path(out)
    with memory.kept(), one_thread(), locked(folder, wait):
        job = _job(found, folder)
        options = replace(job.options, quiet=quiet, tables=tables, overwrite=overwrite)
        _write(found, replace(job, options=options))
        memory.give_back()
        return with_curve(open_run(folder), drawn)


def _write(shards: Sequence[Explained], job: Job) -> None:
    """Write the run; nothing of it is held afterwards."""
    manifest = _manifest(shards)
    previous_manifest(job, manifest)
    _begin(shards, job.folder, manifest)
    records = Records(sum(len(shard.order) for shard in shards))
    for shard in shards:
        read_records(shard, records)
    checkpoints = _Checkpoints(records, manifest["selection"]["weights"])
    job = replace(job, listing=replace(job.listing, checkpoints=checkpoints))
    check_results(job)
    workers = processes(None, job.model.device.type)
    with closing(_dynamics(shards, job, workers)) as dynamics:
        finish(job, _question(job, manifest), manifest, records, dynamics, Times(), workers)


def _in_order(shards: Sequence[Explained]) -> list[Explained]:
    """Return the shards by their places, once they are known to be those of one run."""
    first, *others = sorted(shards, key=lambda shard: shard.places)
    asked = _asked(first)
    for other in others:
        differing = [name for name, value in _asked(other).items() if value != asked[name]]
        if differing:
            raise RunError(
                f"{other.path}: is a shard of another run than {first.path}: their "
                f"{', '.join(differing)} differ; give shards of one command"
            )
    for one, other in pairwise((first, *others)):
        if other.places[0] < one.places[1]:
            raise RunError(
                f"{one.path} and {other.path}: overlap, shards {_name(one)} and {_name(other)} hold the "
                f"same steps; give each once"
            )
    missing = _missing((first, *others))
    if missing:
        raise RunError(f"missing: {'; '.join(missing)}")
    return [first, *others]


def _asked(shard: Explained) -> dict[str, Any]:
    """Return what has to be the same in all shards of a run."""
    manifest = shard.manifest
    asked = question_of(manifest, given_values=True)
    regions = (manifest.get("regions") or {}).get("key")
    return asked | {
        "shard": None,
        "series of checkpoints": (manifest["shard"]["series"], shard.count),
        "what is kept": manifest["stored"],
        "regions": regions,
        "bad checkpoints": [(str(entry.path), entry.reason) for entry in shard.listing.bad],
    }


def _name(shard: Explained) -> str:
    name: str = shard.manifest["shard"]["name"]
    return name


def _missing(shards: Sequence[Explained]) -> list[str]:
    """Return the stretches of the series that no shard holds."""
    count = shards[0].count
    ends: list[tuple[int, Explained | None]] = [(0, None)]
    ends += [(shard.places[1], shard) for shard in shards]
    begins: list[tuple[int, Explained | None]] = [(shard.places[0], shard) for shard in shards]
    begins.append((count, None))
    of = {_name(shard).partition("/")[2] for shard in shards}
    given = {int(_name(shard).partition("/")[0]) for shard in shards}
    found = []
    for (end, before), (begin, after) in zip(ends, begins, strict=True):
        if end == begin:
            continue
        sides = []
        if before is not None:
            sides.append(f"after step {before.order[-1]:,}")
        if after is not None:
            sides.append(f"before step {after.order[0]:,}")
        found.append(f"{begin - end} of {count} checkpoints, {' and '.join(sides)}")
    if found and len(of) == 1:
        lost = [n for n in range(1, int(*of) + 1) if n not in given]
        found.append(f"compute --shard {', '.join(f'{n}/{min(of)}' for n in lost)}")
    return found


def _job(shards: Sequence[Explained], folder: Path) -> Job:
    first = shards[0]
    values, held = (
        open_values(first.path / "observations.npy"),
        read_fixed_inputs(first.folder / FIXED_INPUTS),
    )
    return job_of(first.description, first.listing, values, held, folder)


def _manifest(shards: Sequence[Explained]) -> dict[str, Any]:
    """Return the manifest of the run that is made, which takes the shards' checkpoints."""
    entries: list[dict[str, Any]] = []
    for shard in shards:
        entries += ({**entry, "status": "pending"} for entry in shard.manifest["checkpoints"])
        shard.manifest["checkpoints"] = []
    manifest = json.loads(json.dumps(shards[0].manifest))
    for name in ("files", "sha256"):  # of the shard
        manifest.pop(name, None)
    started = {"started": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
    return {
        **manifest,
        "command": shlex.join(sys.argv),
        "shard": None,
        "checkpoints": entries,
        "environment": {**manifest["environment"], **started},
    }


def _begin(shards: Sequence[Explained], folder: Path, manifest: dict[str, Any]) -> None:
    """Bring the journals, the observations and the maps together."""
    for path in leftovers(folder):
        delete(path)
    save_manifest(folder, manifest)
    with whole_file(folder / JOURNAL, "wb") as journal:
        for shard in shards:
            part = shard.path / JOURNAL
            if part.exists():  # there is none where all of its checkpoints are bad
                with part.open("rb") as file:
                    shutil.copyfileobj(file, journal)
    _link(shards[0].path / "observations.npy", folder / "observations.npy")
    for shard in shards:
        for step in shard.order:
            maps = relevance_path(shard.path, step)
            if maps.exists():
                _link(maps, relevance_path(folder, step))
    manifest["checkpoints"] = []  # they are on the disk, and are written anew from the records


def _link(source: Path, target: Path) -> None:
    """Give a file a second name; copy it where the file system has none."""
    delete(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, target)
    except OSError:
        with whole_file(target, "wb") as copy, source.open("rb") as file:
            shutil.copyfileobj(file, copy)


class _Checkpoints(Sequence[Checkpoint]):
    """The explained checkpoints of a merged run, each made when it is asked for: few are looked at."""

    def __init__(self, records: Records, weights: str) -> None:
        self._records, self._weights = records, weights

    def __len__(self) -> int:
        return self._records.explained

    @overload
    def __getitem__(self, place: int) -> Checkpoint: ...
    @overload
    def __getitem__(self, place: slice) -> list[Checkpoint]: ...
    def __getitem__(self, place: int | slice) -> Checkpoint | list[Checkpoint]:
        rows = range(len(self))[place]
        return [self._made(row) for row in rows] if isinstance(rows, range) else self._made(rows)

    def _made(self, row: int) -> Checkpoint:
        entry = self._records.entry(row)
        path = as_path(entry["path"])
        return Checkpoint(
            step=entry["step"],
            path=path,
            format=entry["format"],
            step_source="",
            header=Header({}),
            weights=self._weights,
        )


def _question(job: Job, manifest: dict[str, Any]) -> Question:
    target = manifest["target"]
    values, second = (
        None if found is None else np.array(found, dtype=np.int64)
        for found in (target["values"], target.get("runner_up"))
    )
    return Question(contrast=job.options.contrast, targets=values, runner_up=second)


def _dynamics(shards: Sequence[Explained], job: Job, threads: int) -> Dynamics:
    shape = job.observations.values.shape
    dynamics = Dynamics(shape, job.options.normalize, job.folder, threads)
    for shard in shards:
        dynamics.append(read_part(shard.folder))
    return dynamics
