"""A shard of a run: what it leaves for the merge besides its journal and its maps, and who reads it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from lrpdyn.checkpoints.digests import recorded, recorded_before
from lrpdyn.checkpoints.model import Checkpoint, Header, LeftOut, Listing
from lrpdyn.checkpoints.prints import print_of
from lrpdyn.checkpoints.readers import known_format
from lrpdyn.dynamics.step_table import UNUSABLE, Records
from lrpdyn.errors import RunError, UsageError
from lrpdyn.files.atomic import save_json
from lrpdyn.files.json_data import fault, read_json
from lrpdyn.files.reasons import reason_of
from lrpdyn.observations.regions import save_regions
from lrpdyn.pipeline.results.finish import what_explained
from lrpdyn.pipeline.setup.description import FIXED_INPUTS, Description, save_fixed_inputs
from lrpdyn.pipeline.setup.job import Job
from lrpdyn.pipeline.setup.shard import parse_shard
from lrpdyn.run.journal import JOURNAL, read_journal
from lrpdyn.run.layout import SHARD_REGIONS
from lrpdyn.run.manifest import read_manifest
from lrpdyn.run.stored_maps import Storage
from lrpdyn.run.verify import damaged_results, finish_manifest

FOLDER = "shard"
_SUMMARY = "shard.json"
_EXPECTED = {"begin": int, "count": int, "same": [[int]], "description": dict,
             "left_out": [{"path": str, "reason": str, "bad": bool, "step": (None, int)}]}  # fmt: skip
_ENTRY = ("digest", "sha256", "status", "reason", "relevance_sha256")


@dataclass(frozen=True, kw_only=True)
class ExplainedShard:
    """A shard that was explained.

    Attributes
    ----------
    path
        Its folder.
    manifest
        As of a run, without its checkpoints: a long series has many.
    checkpoints
        Those that are explained and those that could not be loaded, in order.
    begin
        The place of the first of them in the series.
    count
        How many checkpoints the series has.
    listing
        Of the series without its checkpoints: unit, bad entries, equal weights.
    reasons
        Why a checkpoint could not be loaded, by its step.
    prints
        What the weights of each checkpoint of the series were like (`print_of`), None where unknown; of an
        earlier version there are none.
    """

    path: Path
    manifest: dict[str, Any]
    checkpoints: tuple[Checkpoint, ...]
    begin: int
    count: int
    description: Description
    listing: Listing
    reasons: dict[int, str]
    prints: tuple[str | None, ...]

    @property
    def end(self) -> int:
        """The place after the last."""
        return self.begin + len(self.checkpoints)

    @property
    def name(self) -> str:
        """As ``--shard`` takes it."""
        return str(self.manifest["shard"]["name"])


def save_shard(
    job: Job, description: Description, manifest: Mapping[str, Any], records: Records
) -> dict[str, Any]:
    """Write what the merge needs, and last the manifest, which is returned."""
    folder, listing = job.folder / FOLDER, job.listing
    save_fixed_inputs(folder / FIXED_INPUTS, job.model.fixed_inputs)
    if job.painting is not None:
        save_regions(job.folder / SHARD_REGIONS, job.painting.regions)
    left_out = [asdict(entry) | {"path": str(entry.path)} for entry in listing.bad]
    summary = {"count": len(listing.checkpoints), "description": description.as_dict(),
               "same": listing.same, "left_out": left_out,
               "prints": [print_of(checkpoint) for checkpoint in listing.checkpoints]}  # fmt: skip
    save_json(folder / _SUMMARY, summary)
    explained = zip(manifest["checkpoints"], records.entries(), strict=True)
    entries = [entry | {name: found[name] for name in _ENTRY} for entry, found in explained]
    found = {"checkpoints": entries, **what_explained(manifest, records)}
    return finish_manifest(job.folder, {**manifest, **found})


def open_shard(path: Path) -> ExplainedShard:
    """Open a shard.

    Raises
    ------
    RunError
        The folder holds none, one that is not finished, or one that is damaged.
    """
    whole = read_manifest(path)
    if whole.get("shard") is None:
        raise RunError(f"{path}: is no shard but a run; compute it with --shard K/N")
    summary, entries = path / FOLDER / _SUMMARY, whole["checkpoints"]
    manifest = {name: value for name, value in whole.items() if name != "checkpoints"}
    if not summary.exists() or any(entry["status"] == "pending" for entry in entries):
        raise RunError(
            f"{path}: shard {manifest['shard']['name']} is not finished; go on with the command that "
            "began it"
        )
    damaged = damaged_results(path, manifest)
    if damaged:
        raise RunError(
            f"{path / damaged[0].file}: {damaged[0].what}; the command that made the shard makes it anew "
            f"(lrpdyn verify {path} looks at every file)"
        )
    try:
        weights = manifest["selection"]["weights"]
        parse_shard(manifest["shard"]["name"])
        found = read_json(summary)
        wrong = fault({**found, "begin": entries[0]["index"]}, _EXPECTED, "shard")
        if wrong is not None:
            raise TypeError(wrong)
        left_out = tuple(LeftOut(**{**e, "path": Path(e["path"])}) for e in found["left_out"])
        same = tuple(tuple(steps) for steps in found["same"])
        # As far as reading them again needs.
        again: dict[str, Any] = {"step_source": "", "header": Header({}), "weights": weights}
        checkpoints = tuple(
            # One that could not be loaded has no digest, and no file has this one.
            Checkpoint(
                step=e["step"],
                path=Path(e["path"]),
                format=known_format(e["format"]),
                digest=recorded(e) or "none",
                **again,
            )
            for e in entries
        )
        return ExplainedShard(
            path=path,
            manifest=manifest,
            checkpoints=checkpoints,
            begin=entries[0]["index"],
            count=found["count"],
            description=Description.from_dict(found["description"]),
            listing=Listing(checkpoints=(), left_out=left_out, unit=manifest["unit"], same=same),
            reasons={e["step"]: e["reason"] for e in entries if e["status"] == "bad"},
            prints=tuple(found.get("prints", [])),
        )
    except (OSError, ValueError, TypeError, KeyError, IndexError, UsageError) as error:
        raise RunError(
            f"{summary}: is not as this version of lrpdyn writes it ({reason_of(error)}); "
            "compute the shard again with --overwrite"
        ) from error


#: What a shard tells of weights: itself, a step, and a hash or a print of the weights there.
Told = tuple[ExplainedShard, int, str | None]


def check_same_training(told: Iterable[Told]) -> None:
    """Check that all shards saw the same weights at each step that several tell of.

    Raises
    ------
    RunError
        One saw others: they are of two trainings, or a checkpoint was replaced in between.
    """
    seen: dict[int, tuple[str, ExplainedShard]] = {}
    for shard, step, found in told:
        known, one = seen.setdefault(step, (found, shard)) if found else (found, shard)
        if known != found:
            raise RunError(
                f"{shard.path}: saw other weights at step {step:,} than {one.path}: these are shards of two "
                "trainings, or the checkpoint was replaced in between; compute both from one folder, with "
                "--overwrite"
            )


def prints_of(shards: Sequence[ExplainedShard]) -> Iterator[Told]:
    """Yield the prints of all steps of a series, whose shards these are, in order."""
    steps = [checkpoint.step for shard in shards for checkpoint in shard.checkpoints]
    for shard in shards:
        for step, found in zip(steps, shard.prints, strict=False):  # there may be none
            yield shard, step, found


def check_shard(shard: ExplainedShard, storage: Storage, shape: tuple[int, ...]) -> Iterator[Told]:
    """Yield the hashes of weights that the journal tells, of each step and of the one before it.

    Checks that each explained step has a whole line in the journal, and its maps.

    What the maps hold is checked when they are added.

    Raises
    ------
    RunError
        Something is missing or damaged.
    """
    journal, missing = shard.path / JOURNAL, {c.step for c in shard.checkpoints}
    missing -= shard.reasons.keys()
    records = Records(1)
    row = records.extend()
    last: dict[int, list[Told]] = {}  # a step that was explained again has several lines
    for facts in read_journal(shard.path):
        try:
            records.put_facts(row, facts)
            told: list[Told] = [(shard, facts["step"], recorded(facts))]
            before = facts["evidence"]["weights"]
            if (digest := recorded_before(before)) is not None:
                told.append((shard, int(before["from_step"]), digest))
        except UNUSABLE as error:
            raise RunError(
                f"{journal}: cannot be read ({reason_of(error)}); compute the shard again"
            ) from error
        step = facts["step"]
        if step in missing and not storage.is_there(shard.path, step, shape):
            raise RunError(
                f"{shard.path}: its relevance of step {step:,} is missing or damaged; the command that "
                f"made the shard, with --recompute {step}, makes it anew"
            )
        missing.discard(step)
        last[step] = told
    if missing:
        raise RunError(f"{journal}: holds no line on step {min(missing)}; compute the shard again")
    yield from chain.from_iterable(last.values())
