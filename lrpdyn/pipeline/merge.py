"""Shards of a run put together: the same bytes as one run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import sys
from collections.abc import Generator, Sequence
from contextlib import closing
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from lrpdyn.api import Run, open_run
from lrpdyn.architectures.registry import is_own
from lrpdyn.checkpoints.digests import SHA256
from lrpdyn.checkpoints.model import Checkpoint
from lrpdyn.errors import CheckpointError, ObservationError, RunError, UsageError
from lrpdyn.explain.explanation import Question
from lrpdyn.files.atomic import whole_file
from lrpdyn.files.text import first_line
from lrpdyn.observations.fills import parse_fill
from lrpdyn.observations.regions import Painting, open_regions
from lrpdyn.pipeline.blocks import Hands, Outcomes
from lrpdyn.pipeline.results.finish import finish, with_curve
from lrpdyn.pipeline.setup.description import (
    FIXED_INPUTS,
    Description,
    job_of,
    open_values,
    read_fixed_inputs,
    whole_name,
)
from lrpdyn.pipeline.setup.job import Job
from lrpdyn.pipeline.setup.new_manifest import environment, pending
from lrpdyn.pipeline.setup.options import Rows
from lrpdyn.pipeline.setup.requirements import check_results
from lrpdyn.pipeline.setup.resume import (
    kept_steps,
    previous_manifest,
    question_of,
    say_of_environments,
)
from lrpdyn.pipeline.shards import (
    FOLDER,
    ExplainedShard,
    check_same_training,
    check_shard,
    open_shard,
    prints_of,
)
from lrpdyn.pipeline.steps import Steps
from lrpdyn.remote.path import as_path
from lrpdyn.run import DEFAULT_RUN
from lrpdyn.run.journal import JOURNAL
from lrpdyn.run.layout import SHARD_REGIONS, DamagedMapsError, delete, leftovers, relevance_path
from lrpdyn.run.lock import locked
from lrpdyn.run.manifest import check_unchanged, save_manifest
from lrpdyn.run.tables import check_tables
from lrpdyn.run.training_curve import read_curve
from lrpdyn.system import memory
from lrpdyn.system.processes import cores, processes
from lrpdyn.system.threads import one_thread
from lrpdyn.system.timing import Times
from lrpdyn.version import __version__

#: What a manifest says of the folder that it is in.
_OF_THE_FILES = ("files", "stamps", "sha256")

_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+:/")
#: Bytes that no file with weights has.
_LARGEST = 1 << 40


def merge(
    shards: Sequence[str | Path],
    *,
    out: str | Path = DEFAULT_RUN,
    checkpoints: str | Path | None = None,
    arch: str | None = None,
    trust: bool = False,
    tables: Rows | None = None,
    faithfulness: Literal["all", "none"] | str | int | None = None,
    faithfulness_samples: int | None = None,
    interventions: int | None = None,
    curve: str | None = None,
    wait: float = 0.0,
    overwrite: bool = False,
    quiet: bool = False,
) -> Run:
    """Put the shards of a run together.

    The sums are made from the maps of all shards, as those of a run that is resumed. The checkpoints
    are read again for the checks and for the steps that are outliers; what they would show is
    unavailable where they are gone. Maps are linked, not copied, where the file system can.

    A shard is data from a stranger: it gives neither code nor trust. What it says of its network and
    of trust is compared with `arch` and `trust`, and a checkpoint is loaded only where its bytes have
    the digest of those that were explained.

    Parameters
    ----------
    shards
        Folders that ``compute(..., shard="K/N")`` wrote, in any order.
    out
        The run folder.
    checkpoints
        The folder of the checkpoints, by whose names alone they are then found there; where the shards
        say they are, if not given.
    arch
        The shards' ``--arch``, which is needed where it is code of your own.
    trust
        Unpickle checkpoints that are more than weights, which can run code.
    tables, faithfulness, faithfulness_samples, interventions, curve
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
        No shards are given, there are no such tables, or `arch` or `trust` are not those that the
        shards were made with.
    RunError
        Shards are missing, not finished, overlap, or are of different questions.
    """
    if not shards:
        raise UsageError("merge: expected the folders of shards")
    check_tables(tables)
    drawn = None if curve is None else read_curve(curve)
    found = _in_order([open_shard(Path(path)) for path in shards])
    first, folder = found[0], Path(out)
    description = _stated(found, arch, trust)
    listing = replace(first.listing, checkpoints=_placed(found, checkpoints))
    with one_thread(), locked(folder, wait):
        values = open_values(first.path / "observations.npy")
        fixed = read_fixed_inputs(first.path / FOLDER / FIXED_INPUTS)
        try:
            job = job_of(description, listing, values, fixed, folder)
        except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RuntimeError,
                ObservationError) as error:  # fmt: skip
            if isinstance(error, RuntimeError) and memory.is_out_of_memory(error):
                raise
            raise RunError(
                f"{first.path}: its network cannot be made again ({first_line(error)}); compute the shard "
                "again with --overwrite"
            ) from error
        options = replace(
            job.options,
            quiet=quiet,
            tables=tables,
            faithfulness=faithfulness,
            faithfulness_samples=faithfulness_samples,
            interventions=interventions,
            overwrite=overwrite,
        )
        _write(found, replace(job, options=options, painting=_painting(first, job)))
        memory.give_back()
        return with_curve(open_run(folder), drawn)


def _stated(shards: Sequence[ExplainedShard], arch: str | None, trust: bool) -> Description:
    """Return the description of the first shard with the network and the trust that the user states.

    Raises
    ------
    UsageError
        The shards were made with others, or with code that the user did not name.
    """
    first = shards[0].description
    made = {"arch": str(first.options.arch), "manifest": shards[0].manifest["architecture"]["name"]}
    if arch is None and is_own(made["arch"]):
        raise UsageError(
            f"{shards[0].path}: was made with code, {made['arch']}, which is not run because a shard names "
            "it; give it with --arch if you trust it"
        )
    if arch is not None and not {arch, whole_name(arch)} & set(made.values()):
        raise UsageError(f"--arch {arch}: the shards were made with {made['arch']}")
    if not trust and any(shard.description.options.trust for shard in shards):
        raise UsageError(
            f"{shards[0].path}: was made with --trust; give it here, too, if you trust whoever made its "
            "checkpoints: a shard cannot"
        )
    options = replace(first.options, arch=arch or first.options.arch, trust=trust, regions=None,
                      shard=None, recompute=(), curve=None, follow=False, dask=None)  # fmt: skip
    return replace(first, options=options)


def _placed(shards: Sequence[ExplainedShard], folder: str | Path | None) -> tuple[Checkpoint, ...]:
    """Return the checkpoints of all shards, where they are.

    Raises
    ------
    RunError
        A shard names something else than a plain file or folder here, or a name leaves `folder`, or none
        of them is there.
    """
    checkpoints = [checkpoint for shard in shards for checkpoint in shard.checkpoints]
    if folder is None:
        for checkpoint in checkpoints:
            if not may_be_read(str(checkpoint.path)):
                named = _ADDRESS.sub(r"\g<0>/", str(checkpoint.path))
                raise RunError(
                    f"{named}: is named as a checkpoint by a shard, and is no file or folder of "
                    "this machine; say where the checkpoints are with --checkpoints"
                )
        return tuple(checkpoints)
    names = [os.path.normpath(str(checkpoint.path)) for checkpoint in checkpoints]
    try:
        base = os.path.commonpath([os.path.dirname(name) for name in names])
    except ValueError as error:
        raise RunError(
            f"--checkpoints: the shards' checkpoints are in no folder: {error}"
        ) from error
    inside = [os.path.relpath(name, base or ".") for name in names]
    if any(name.startswith("..") for name in inside):
        raise RunError("--checkpoints: the shards' checkpoints are in no common folder")
    placed = tuple(
        replace(checkpoint, path=as_path(folder) / name)
        for checkpoint, name in zip(checkpoints, inside, strict=True)
    )
    try:
        there = any(checkpoint.path.exists() for checkpoint in placed)
    except OSError as error:
        raise RunError(
            f"--checkpoints {folder}: cannot be read: {error.strerror or error}"
        ) from error
    if not there:
        raise RunError(
            f"--checkpoints {folder}: holds none of the shards' checkpoints, expected {placed[0].path}; give "
            "the folder that they are in now, or leave the option out where they are gone"
        )
    return placed


def may_be_read(path: str) -> bool:
    """Tell whether nothing but a plain file, or a folder of such, is there."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            with os.scandir(path) as entries:
                return all(e.is_dir() or e.is_file() or not os.path.exists(e) for e in entries)
    except OSError:
        return not _ADDRESS.match(path)  # it is gone, and what it would show is not known
    except ValueError:
        return False
    # A file of the kernel's has no size, or more than any disk.
    return stat.S_ISREG(status.st_mode) and 0 < status.st_size < _LARGEST


def _painting(shard: ExplainedShard, job: Job) -> Painting | None:
    if shard.manifest.get("regions") is None:
        return None
    regions = open_regions(shard.path / SHARD_REGIONS, job.observations.values.shape)
    return Painting(regions=regions, fill=job.fill)


def _write(shards: Sequence[ExplainedShard], job: Job) -> None:
    """Write the run; nothing of it is in memory afterwards."""
    manifest = _manifest(shards, job.model.device)
    previous_manifest(job, manifest)
    _begin(shards, job, manifest)
    check_results(job)
    question, workers = _question(job, manifest), processes(None, job.model.device.type)
    kept = kept_steps(job)
    say_of_environments(job, kept)
    steps = Steps(job, question, _nothing_left(shards), cores(None), Times(), kept)
    with closing(steps.dynamics):
        try:
            steps.go_on(job)
        except DamagedMapsError as error:
            shard = next(s for s in shards if error.step in {c.step for c in s.checkpoints})
            maps = shard.path / error.path.relative_to(job.folder)
            raise RunError(
                f"{maps}: {error.why}; the command that made the shard, with --recompute {error.step}, "
                "makes it anew"
            ) from error
        finish(job, question, manifest, steps.records, steps.dynamics, Times(), workers)
        job.storage.finish(job.folder, steps.dynamics.needed)


def _nothing_left(shards: Sequence[ExplainedShard]) -> Hands:
    """Return what explains no checkpoint: those without maps could not be loaded."""
    reasons = {step: why for shard in shards for step, why in shard.reasons.items()}

    def hands(job: Job, _: Question, places: Sequence[int]) -> Generator[Outcomes]:
        for place in places:
            yield [CheckpointError(reasons[job.listing.checkpoints[place].step])], {}, {}

    return hands


def _in_order(shards: Sequence[ExplainedShard]) -> list[ExplainedShard]:
    """Return the shards by their places, once they are known to be those of one run."""
    first, *others = sorted(shards, key=lambda shard: (shard.begin, shard.end))
    requested = _requested(first)
    for other in others:
        differing = [name for name, value in _requested(other).items() if value != requested[name]]
        if differing:
            raise RunError(
                f"{other.path}: is a shard of another run than {first.path}: their "
                f"{', '.join(differing)} differ; give shards of one command"
            )
    for one, other in pairwise((first, *others)):
        if other.begin < one.end:
            raise RunError(
                f"{one.path} and {other.path}: overlap, shards {one.name} and {other.name} hold the "
                f"same steps; give each once"
            )
    missing = _missing((first, *others))
    if missing:
        raise RunError(f"missing: {'; '.join(missing)}")
    check_same_training(prints_of((first, *others)))
    return [first, *others]


def _requested(shard: ExplainedShard) -> dict[str, Any]:
    """Return what has to be the same in all shards of a run."""
    manifest = shard.manifest
    return question_of(manifest, given_values=True) | {
        "shard": None,
        "series of checkpoints": (manifest["shard"]["series"], shard.count),
        "what is kept": manifest["stored"],
        "digest": manifest.get("digest", SHA256),
        "fill": parse_fill(shard.description.options.fill),
        "regions": (manifest.get("regions") or {}).get("key"),
        "bad checkpoints": [(str(entry.path), entry.reason) for entry in shard.listing.bad],
    }


def _missing(shards: Sequence[ExplainedShard]) -> list[str]:
    """Return the stretches of the series that no shard holds."""
    count = shards[0].count
    ends = [(0, ""), *((s.end, f"after step {s.checkpoints[-1].step:,}") for s in shards)]
    begins = [*((s.begin, f"before step {s.checkpoints[0].step:,}") for s in shards), (count, "")]
    found = [
        f"{begin - end} of {count} checkpoints, {' and '.join(filter(None, (before, after)))}"
        for (end, before), (begin, after) in zip(ends, begins, strict=True)
        if begin != end
    ]
    given, of = zip(*(shard.name.split("/") for shard in shards), strict=True)
    if found and len(set(of)) == 1:
        lost = [f"{n}/{of[0]}" for n in range(1, int(of[0]) + 1) if str(n) not in given]
        found.append(f"compute --shard {', '.join(lost)}")
    return found


def _manifest(shards: Sequence[ExplainedShard], device: torch.device) -> dict[str, Any]:
    """Return the manifest of the run that is made, but for its checkpoints."""
    manifest = deepcopy(shards[0].manifest)
    changed: dict[str, Any] = {
        "lrpdyn": __version__,
        "command": shlex.join(sys.argv),
        "shard": None,
        "checkpoints": [],
        "environment": environment(device),
    }
    return {name: manifest[name] for name in manifest if name not in _OF_THE_FILES} | changed


def _begin(shards: Sequence[ExplainedShard], job: Job, manifest: dict[str, Any]) -> None:
    """Bring the journals, the observations and the maps together."""
    folder, storage = job.folder, job.storage
    shape = job.observations.values.shape
    check_same_training(told for shard in shards for told in check_shard(shard, storage, shape))
    for path in leftovers(folder):
        delete(path)
    save_manifest(folder, {**manifest, "checkpoints": pending(job)})
    with whole_file(folder / JOURNAL, "wb") as journal:
        for shard in shards:
            part = shard.path / JOURNAL
            if part.exists():  # there is none where all of its checkpoints are bad
                with part.open("rb") as file:
                    shutil.copyfileobj(file, journal)
    _link(shards[0].path / "observations.npy", folder / "observations.npy")
    for shard in shards:
        for checkpoint in shard.checkpoints:
            kept = relevance_path(shard.path, checkpoint.step)
            if kept.exists():
                _link(kept, relevance_path(folder, checkpoint.step))
            if not storage.whole and checkpoint.step not in shard.reasons:
                maps = storage.maps_path(shard.path, checkpoint.step)
                _link(maps, storage.maps_path(folder, checkpoint.step))
        check_unchanged(shard.path, shard.manifest)


def _link(source: Path, target: Path) -> None:
    """Give a file a second name; where the file system has none, copy it."""
    delete(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, target)
    except OSError:
        with whole_file(target, "wb") as copy, source.open("rb") as file:
            shutil.copyfileobj(file, copy)


def _question(job: Job, manifest: dict[str, Any]) -> Question:
    values, second = (
        None if found is None else np.array(found, dtype=np.int64)
        for found in map(manifest["target"].get, ("values", "runner_up"))
    )
    return Question(contrast=job.contrast, targets=values, runner_up=second, group=job.target.group)
