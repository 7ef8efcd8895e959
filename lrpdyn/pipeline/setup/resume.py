"""The question that a run answers: its manifest, and whether a folder holds the same one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

from lrpdyn.checkpoints.digests import SHA256, USUAL, recorded
from lrpdyn.checkpoints.formats.live import LIVE
from lrpdyn.checkpoints.readers import has_digest, stamp
from lrpdyn.errors import CheckpointError, RunError, UsageError
from lrpdyn.explain.units import recorded_units
from lrpdyn.figures.kinds import drawn_files
from lrpdyn.files.reasons import as_text
from lrpdyn.files.text import print_note
from lrpdyn.pipeline.setup.job import Job
from lrpdyn.pipeline.setup.options import defaults
from lrpdyn.run.environments import are_same, difference_in_words, stretches
from lrpdyn.run.journal import forget, placed_records
from lrpdyn.run.layout import clear_run
from lrpdyn.run.manifest import MANIFEST, is_of_lrpdyn, is_sealed, load_manifest
from lrpdyn.run.stored_maps import Storage
from lrpdyn.run.tables import TABLES, tables_of
from lrpdyn.run.verify import damaged_results, results_of
from lrpdyn.system.environment import environment_of


def question_of(manifest: Mapping[str, Any], *, given_values: bool) -> dict[str, Any]:
    """Return the parts of a manifest that make the question, by the option that sets them."""
    target = manifest["target"]
    selection = manifest["selection"]
    return {
        "rule": _plain((manifest["rule"]["name"], manifest["rule"]["parameters"])),
        "architecture": _plain(
            {name: manifest["architecture"][name] for name in ("name", "arguments")}
        ),
        "head": manifest["head"],
        "actions": recorded_units(manifest).as_dict(),
        "target": (target["policy"], target.get("values") if given_values else None),
        "observations": manifest["observations"]["sha256"][:12],
        **{
            name.replace("_", " "): manifest.get(name, usual)
            for name, usual in defaults("question").items()
        },
        **{name: selection.get(name, usual) for name, usual in defaults("selection").items()},
        "shard": manifest.get("shard"),
    }


def _in_words(name: str, value: Any) -> str:
    """Return a part of a question as it is given to its option."""
    if name != "rule":
        return as_text(value)
    rule, parameters = value
    return f"{rule}:{','.join(map(as_text, parameters.values()))}".rstrip(":")


def _plain(value: Any) -> Any:
    """Return `value` as it comes back from JSON, where a tuple is a list."""
    return json.loads(json.dumps(value, default=str))


def previous_manifest(job: Job, manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the manifest of the run that is resumed, or None for a new one.

    Steps to recompute are as if they had not been explained.

    Raises
    ------
    UsageError
        There is no checkpoint of a step that is to be explained again.
    RunError
        The folder holds another question, or files that are no run.
    """
    recompute = job.options.recompute
    unknown = sorted(set(recompute) - {checkpoint.step for checkpoint in job.own})
    if unknown:
        raise UsageError(
            f"--recompute {unknown[0]}: there is no checkpoint of that step; lrpdyn inspect lists them"
        )
    folder = job.folder
    if not (folder / MANIFEST).exists():
        strangers = [p for p in folder.glob("*") if not p.name.startswith(".")]
        if strangers:
            raise RunError(
                f"{folder}: is not empty and holds no run of lrpdyn ({strangers[0].name}, ...); choose "
                "another with -o"
            )
        return None
    if job.options.overwrite:
        if not is_of_lrpdyn(folder):
            raise RunError(
                f"{folder}: its {MANIFEST} is none that lrpdyn wrote; nothing there is touched, choose "
                "another folder with -o"
            )
        clear_run(folder, drawn_files(folder))
        return None
    previous = load_manifest(folder)
    _check_live(folder, LIVE in previous, LIVE in manifest)
    given = job.target.values is not None
    old, new = question_of(previous, given_values=given), question_of(manifest, given_values=given)
    differing = [
        f"{name} ({_in_words(name, old[name])} there, {_in_words(name, new[name])} here)"
        for name in old
        if old[name] != new[name]
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


def _check_live(folder: Path, was: bool, now: bool) -> None:
    """Refuse to go on from checkpoints with a run that has none, and the other way round."""
    if was and not now:
        raise RunError(
            f"{folder}: was explained by lrpdyn.Watch while the network was trained, and has no checkpoint "
            "files to go on from or to explain again; go on with Watch, replace it with --overwrite, or "
            "choose another folder with -o"
        )
    if now and not was:
        raise RunError(
            f"{folder}: holds a run of checkpoint files, which Watch cannot go on with; replace it with "
            "overwrite=True, or choose another folder with out="
        )


def keep_recorded(manifest: dict[str, Any], previous: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the manifest with what was recorded before of what this command does not make anew.

    These are a comparison of outputs, a trial of rules, and the digest by which a run names its weights.

    Raises
    ------
    RunError
        Another digest is requested than the run has.
    """
    checks, before = manifest["checks"], previous or {}
    found = checks["expected"] or before.get("checks", {}).get("expected")
    rule = manifest["rule"]
    tried = rule.get("tried") or before.get("rule", {}).get("tried")
    digest = manifest["digest"] or USUAL
    if previous is not None:
        digest = previous.get("digest", SHA256)  # which earlier versions have
    if manifest["digest"] not in (None, digest):
        raise RunError(
            f"--digest {manifest['digest']}: the run has {digest} of its checkpoints; leave the option out, "
            "start again with --overwrite, or elsewhere with -o"
        )
    return {
        **manifest,
        "digest": digest,
        "checks": {**checks, "expected": found},
        "rule": {**rule, **({"tried": tried} if tried else {})},
    }


def with_digest(job: Job, manifest: Mapping[str, Any]) -> Job:
    """Return the job, whose weights are named by the digest of the manifest."""
    return replace(job, options=replace(job.options, digest=manifest["digest"]))


def is_finished(job: Job, previous: Mapping[str, Any], kept: Kept) -> bool:
    """Tell whether all that the options request is there already."""
    done = {entry["step"]: entry for entry in previous["checkpoints"]}
    steps = [checkpoint.step for checkpoint in job.own]
    if any(step not in done or done[step]["status"] == "pending" for step in steps):
        return False
    if not kept.steps >= set(_explained(done)):
        return False
    if previous.get("stored", Storage().as_dict()) != job.storage.as_dict():
        return False
    if not _has_tables(job, previous, len(_explained(done))):
        return False
    if previous.get("interventions") != job.options.interventions:
        return False
    if previous.get("names", {}) != job.names:
        return False
    measured = previous["checks"].get("faithfulness") or {}
    if previous.get("faithfulness") != job.options.asked_faithfulness:
        return False
    if previous.get("faithfulness_samples") != job.options.faithfulness_samples:
        return False
    if measured.get("fill", job.fill.plain) != job.fill.plain:
        return False
    painted = (previous.get("regions") or {}).get("key")
    if job.painting is not None and job.painting.key != painted:
        return False
    listed = {entry.step for entry in job.listing.bad} | set(steps)
    if set(results_of(previous)) != set(results_of(previous, now=True)):
        return False
    there = is_sealed(previous) and not damaged_results(job.folder, previous)
    is_there = job.storage.is_kept if job.shard is None else job.storage.is_there
    maps = all(
        is_there(job.folder, step, job.observations.values.shape)
        for step in steps
        if done[step]["status"] == "done"
    )
    return there and maps and all(step in listed for step in done)


def _has_tables(job: Job, previous: Mapping[str, Any], steps: int) -> bool:
    """Tell whether the tables have the rows that the options request; a shard has none."""
    wanted = tables_of(job.options.tables, len(job.observations.values), steps)
    return job.shard is not None or previous.get("tables", TABLES[0]) == wanted


def _explained(done: Mapping[int, Mapping[str, Any]]) -> list[int]:
    return [step for step, entry in done.items() if entry["status"] in ("done", "not_finite")]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What the journal of a run has of steps that were explained before.

    Attributes
    ----------
    steps
        All of them.
    places
        Where the lines are of those that can be resumed from: they are read again in their turn.
    environments
        What explained them, in stretches (`lrpdyn.run.environments`).
    """

    steps: frozenset[int]
    places: Mapping[int, int]
    environments: Sequence[Mapping[str, Any]]


def kept_steps(job: Job) -> Kept:
    """Return what the journal has; raises as `check_unchanged`."""
    places: dict[int, int] = {}
    environments: dict[int, Mapping[str, str]] = {}
    last: Mapping[str, str] = {}

    def noted() -> Iterator[dict[str, Any]]:
        nonlocal last
        for place, record in placed_records(job.folder):
            if isinstance(record.get("evidence"), dict):
                places[record["step"]] = place
            found = record.get("environment")
            found = found if isinstance(found, dict) else {}
            last = last if found == last else found  # most are the same: one is kept
            environments[record["step"]] = last
            yield record

    steps = frozenset(check_unchanged(job, noted()))
    in_order = sorted(environments.items(), key=itemgetter(0))
    return Kept(steps=steps, places=places, environments=stretches(in_order))


def say_of_environments(job: Job, kept: Kept) -> None:
    """Say which steps were explained before with other versions or on another device."""
    now = environment_of(job.model.device)
    if not job.options.quiet and not are_same(kept.environments, now):
        print_note(f"Note: {difference_in_words(kept.environments, now)}.")


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
            found = stamp(checkpoint.path, checkpoint.format)
        except (OSError, CheckpointError):
            continue  # training has deleted it while it was followed: what was explained stands
        # Earlier versions recorded no inode, and no change of status.
        if all(record.get(name, value) == value for name, value in found.items()):
            continue
        if not has_digest(checkpoint.path, checkpoint.format, recorded(record)):
            raise RunError(
                f"{checkpoint.path}: changed since step {record['step']} was explained; explain it again "
                f"with --recompute {record['step']}, or all with --overwrite, or elsewhere with -o"
            )
    return steps
