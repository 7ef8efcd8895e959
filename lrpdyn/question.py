"""The question that a run answers: its manifest, and whether a folder holds the same one."""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import lrpdyn
from lrpdyn import beforehand, explanation
from lrpdyn import run as store
from lrpdyn.by_step import TABLES, tables_of
from lrpdyn.checkpoints.model import Checkpoint, Listing
from lrpdyn.checkpoints.readers import digest, stamp
from lrpdyn.errors import ArchitectureError, CheckpointError, RunError, UsageError
from lrpdyn.held import Held, notes
from lrpdyn.job import Job, progress_bar
from lrpdyn.journal import forget
from lrpdyn.lrp.layers import Weighted
from lrpdyn.lrp.plan import layers_of, unused
from lrpdyn.lrp.registry import STOCK
from lrpdyn.manifest import is_sealed
from lrpdyn.storage import Storage
from lrpdyn.streamed import Samples, pieces
from lrpdyn.targets import Fixed, fix_targets
from lrpdyn.verification import damaged_results

#: What decides which steps are explained, and from which weights, with what holds where it is not
#: said.
_SELECTION = {"pattern": None, "since": None, "until": None, "every": None, "limit": None,
              "weights": "model", "prefix": None}  # fmt: skip


def make_manifest(
    job: Job, selection: Mapping[str, Any], checks: Mapping[str, Any]
) -> dict[str, Any]:
    values = job.observations.values
    architecture = job.model.resolved.architecture.name
    return {
        "schema": store.SCHEMA,
        "lrpdyn": lrpdyn.__version__,
        "command": shlex.join(sys.argv),
        "rule": {
            "name": job.rule.name,
            "parameters": dict(job.rule.parameters),
            "layers": _layer_rules(job),
            "notes": [
                *job.model.canonised.notes,
                *notes(job.model.path, job.model.held),
                *unused(job.rule, job.model.explained),
            ],
        },
        "architecture": {"name": architecture, "arguments": job.model.resolved.arguments},
        "head": job.model.head,
        "contrast": job.contrast,
        "target": {"policy": job.target.policy, "values": None},
        "normalize": job.normalisation,
        "baseline": job.baseline,
        "unit": job.listing.unit,
        "observations": {
            "files": list(job.observations.files),
            "sha256": _digest(values, job.model.held),
            "shape": list(values.shape),
            "layout": job.observations.layout,
            "scale": job.observations.scale,
            **job.observations.preparation,
        },
        "selection": dict(selection),
        "weights": {
            "in_file": job.listing.checkpoints[0].header.weights,
            "keys": job.model.resolved.mapping.as_dict(),
        },
        "batch_size": job.model.batch_size,
        "stored": job.storage.as_dict(),
        "shard": None if job.shard is None else {
            "name": str(job.shard), "series": _series(job.listing),
        },
        "regions": None if job.painting is None else {
            "names": list(job.painting.regions.names), "fill": job.painting.fill,
            "key": job.painting.key,
        },
        "checkpoints": [
            {"index": index, "step": c.step, "path": str(c.path), "format": c.format,
             "sha256": None, "status": "pending", "reason": None}
            for index, c in enumerate(job.own, start=job.places.start)
        ],
        "checks": dict(checks),
        "environment": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "platform": platform.platform(),
            "device": str(job.model.device),
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        },
    }  # fmt: skip


def _series(listing: Listing) -> str:
    """Return what tells one series of steps from another."""
    steps = [checkpoint.step for checkpoint in listing.checkpoints]
    return hashlib.sha256(json.dumps(steps).encode()).hexdigest()


def _layer_rules(job: Job) -> dict[str, str]:
    if job.rule.name in STOCK:
        weighted = layers_of(job.model.explained).items()
        return {name: job.rule.name for name, layer in weighted if isinstance(layer, Weighted)}
    return {name: rule.text for name, rule in job.model.plan.items()}


def _digest(values: Samples, held: Held) -> str:
    digest = hashlib.sha256()
    for piece in pieces(values):
        digest.update(piece.tobytes())
    for name in sorted(held):
        digest.update(name.encode() + held[name].tobytes())
    return digest.hexdigest()


def question_of(manifest: Mapping[str, Any], *, given_values: bool) -> dict[str, Any]:
    """Return the parts of a manifest that make the question, by the option that sets them."""
    target = manifest["target"]
    return {
        "rule": _plain((manifest["rule"]["name"], manifest["rule"]["parameters"])),
        "architecture": _plain(manifest["architecture"]),
        "head": manifest["head"],
        "contrast": manifest["contrast"],
        "target": (target["policy"], target["values"] if given_values else None),
        "normalize": manifest["normalize"],
        "baseline": manifest["baseline"],
        "observations": manifest["observations"]["sha256"][:12],
        **{name: manifest["selection"].get(name, usual) for name, usual in _SELECTION.items()},
        "batch size": manifest["batch_size"],
        "shard": manifest.get("shard"),
    }


def _plain(value: Any) -> Any:
    """Return `value` as it comes back from JSON, where a tuple is a list."""
    return json.loads(json.dumps(value, default=str))


def previous_manifest(
    job: Job, manifest: dict[str, Any], *, overwrite: bool, recompute: Collection[int] = ()
) -> dict[str, Any] | None:
    """Return the manifest of the run that is gone on with, or None for a new one.

    The steps `recompute` are as if they had not been explained.

    Raises
    ------
    UsageError
        There is no checkpoint of a step that is to be explained again.
    RunError
        The folder holds another question, or files that are no run.
    """
    unknown = sorted(set(recompute) - {checkpoint.step for checkpoint in job.own})
    if unknown:
        raise UsageError(
            f"--recompute {unknown[0]}: there is no checkpoint of that step; lrpdyn inspect lists them"
        )
    folder = job.folder
    if not (folder / store.MANIFEST).exists():
        strangers = [p for p in folder.glob("*") if not p.name.startswith(".")]
        if strangers:
            raise RunError(
                f"{folder}: is not empty and holds no run of lrpdyn ({strangers[0].name}, ...); choose "
                "another with -o"
            )
        return None
    if overwrite:
        store.clear_run(folder)
        return None
    previous = store.load_manifest(folder)
    given = job.target.values is not None
    if given:
        manifest["target"]["values"] = job.target.values.tolist()  # type: ignore[union-attr]
    old, new = question_of(previous, given_values=given), question_of(manifest, given_values=given)
    differing = [
        f"{name} ({old[name]} there, {new[name]} here)" for name in old if old[name] != new[name]
    ]
    files = manifest["observations"]["files"]
    if old["observations"] != new["observations"] and files == previous["observations"]["files"]:
        differing.append(f"the files are the same by name, and changed: {', '.join(files[:3])}")
    if differing:
        raise RunError(
            f"{folder}: holds a run of another question: {'; '.join(differing)}; replace it with "
            "--overwrite, or choose another folder with -o"
        )
    if recompute:
        forget(folder, recompute)
        kept = [entry for entry in previous["checkpoints"] if entry["step"] not in recompute]
        return {**previous, "checkpoints": kept}
    return previous


def is_finished(job: Job, previous: Mapping[str, Any]) -> bool:
    """Tell whether everything that is asked for is there already."""
    done = {entry["step"]: entry for entry in previous["checkpoints"]}
    steps = [checkpoint.step for checkpoint in job.own]
    if any(step not in done or done[step]["status"] == "pending" for step in steps):
        return False
    if not check_unchanged(job, store.read_journal(job.folder)) >= set(_explained(done)):
        return False
    if previous.get("stored", Storage().as_dict()) != job.storage.as_dict():
        return False
    if not _has_tables(job, previous, len(_explained(done))):
        return False
    painted = (previous.get("regions") or {}).get("key")
    if job.painting is not None and job.painting.key != painted:
        return False
    listed = {entry.step for entry in job.listing.bad} | set(steps)
    there = is_sealed(previous) and not damaged_results(job.folder, previous)
    maps = all(
        job.storage.is_kept(job.folder, step, job.observations.values.shape)
        for step in steps
        if done[step]["status"] == "done"
    )
    return there and maps and all(step in listed for step in done)


def _has_tables(job: Job, previous: Mapping[str, Any], steps: int) -> bool:
    """Tell whether the tables have a row for what is asked for; a shard has none."""
    wanted = tables_of(job.tables, len(job.observations.values), steps)
    return job.shard is not None or previous.get("tables", TABLES[0]) == wanted


def _explained(done: Mapping[int, Mapping[str, Any]]) -> list[int]:
    return [step for step, entry in done.items() if entry["status"] in ("done", "not_finite")]


def fixed_targets(job: Job, previous: Mapping[str, Any] | None) -> Fixed:
    """Return the targets that are held fixed; those of a run that is gone on with must stay."""
    if not job.target.needs_outputs(job.contrast):
        return fix_targets(job.target, job.contrast, ())
    stored = (previous or {}).get("target", {})
    same = previous is not None and [c["step"] for c in previous["checkpoints"]] == [
        c.step for c in job.own
    ]
    if same and stored.get("values") is not None:
        runner_up = stored.get("runner_up")
        return Fixed(np.array(stored["values"]), None if runner_up is None else np.array(runner_up))
    ordered = list(job.listing.checkpoints)
    if job.target.policy == "final":
        ordered.reverse()
    fixed = fix_targets(job.target, job.contrast, _outputs(job, ordered))
    if stored.get("values") is not None:
        _check_same_targets(job, stored["values"], fixed)
    return fixed


def targets_of_newest(job: Job, previous: Mapping[str, Any] | None) -> Fixed:
    """Return the targets that are held fixed while a run is followed, which began or goes on.

    Those that it began with, or those of its newest checkpoint, for no one knows the ones to come.
    """
    stored = (previous or {}).get("target", {})
    if job.target.needs_outputs(job.contrast) and stored.get("values") is not None:
        runner_up = stored.get("runner_up")
        return Fixed(np.array(stored["values"]), None if runner_up is None else np.array(runner_up))
    outputs = _outputs(job, reversed(job.listing.checkpoints))
    finite = (values for values in outputs if np.isfinite(values).all())
    return fix_targets(job.target, job.contrast, islice(finite, 1))


def settle(job: Job, manifest: dict[str, Any], fixed: Fixed) -> explanation.Question:
    """Return the question whose targets are `fixed`, and write down in the manifest what they are."""
    manifest["target"]["values"] = None if fixed.target is None else fixed.target.tolist()
    if fixed.runner_up is not None:
        manifest["target"]["runner_up"] = fixed.runner_up.tolist()
    question = explanation.Question(job.contrast, fixed.target, fixed.runner_up)
    if job.rule.name in STOCK:
        manifest["checks"]["stock"] = beforehand.stock_deviation(
            job.model, job.observations.values, question
        )
    return question


def _check_same_targets(job: Job, stored: list[int], fixed: Fixed) -> None:
    assert fixed.target is not None
    differing = [n for n, (a, b) in enumerate(zip(stored, fixed.target, strict=True)) if a != b]
    if differing:
        raise RunError(
            f"{job.folder}: with the new checkpoints --target {job.target.policy} would choose other "
            f"units for samples {', '.join(map(str, differing[:20]))}; hold the run's own with --target "
            f"FILE.npy (target.values in {store.MANIFEST}) and -o, or start again with --overwrite"
        )


def _outputs(job: Job, ordered: Iterable[Checkpoint]) -> Iterator[NDArray[np.float64]]:
    wrapped = (
        progress_bar("choosing targets", job.quiet)(ordered)
        if job.target.policy != "final"
        else ordered
    )
    for checkpoint in wrapped:
        try:
            explanation.load(job.model, checkpoint, trust=job.trust)
        except (CheckpointError, ArchitectureError):
            if not job.skip_bad:
                raise
            continue
        yield explanation.outputs_of(job.model, job.observations.values)


def check_unchanged(job: Job, journal: Iterable[Mapping[str, Any]]) -> set[int]:
    """Return the steps of the journal, whose checkpoints are those that were explained.

    Raises
    ------
    RunError
        One of them is another file now, or is gone.
    """
    now = {checkpoint.step: checkpoint for checkpoint in job.listing.checkpoints}
    steps = set()
    for record in journal:
        steps.add(record["step"])
        checkpoint = now.get(record["step"])
        if checkpoint is None:
            raise RunError(
                f"{job.folder}: step {record['step']} was explained from {record['path']}, which is not "
                "among the checkpoints now; bring it back, or start again with --overwrite or -o"
            )
        try:
            found = list(stamp(checkpoint.path, checkpoint.format))
        except (OSError, CheckpointError):
            continue  # training has deleted it while it was followed: what was explained stands
        if found == [record["size"], record["modified"]]:
            continue
        if digest(checkpoint.path, checkpoint.format) != record["sha256"]:
            raise RunError(
                f"{checkpoint.path}: changed since step {record['step']} was explained; explain it again "
                f"with --recompute {record['step']}, or all with --overwrite, or elsewhere with -o"
            )
    return steps
