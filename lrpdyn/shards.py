"""What a shard leaves beside its journal and its maps: sums, measures, and what it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lrpdyn import run as store
from lrpdyn.array_files import load_npz
from lrpdyn.checkpoints.model import LeftOut, Listing
from lrpdyn.description import HELD, Description, save_held
from lrpdyn.errors import RunError
from lrpdyn.job import Job
from lrpdyn.measured import Measures, Transition
from lrpdyn.plain_data import read_json
from lrpdyn.records import Record
from lrpdyn.steps import Steps
from lrpdyn.verification import damaged_results, finish_manifest

FOLDER = "shard"
_SUMMARY, _RECORDS = "shard.json", "records.npz"
_ENTRY = ("sha256", "status", "reason", "relevance_sha256")
_MEASURES = ("relevance_sum", "relevance_l1", "entropy", "distance_from_first",
             "distance_from_first_l1")  # fmt: skip
_TRANSITION = ("change", "scale_share", "scale_factor", "cosine", "rank_similarity")


@dataclass(frozen=True)
class Explained:
    """A shard that was explained.

    Attributes
    ----------
    path
        Its folder.
    manifest
        As of a run.
    places
        Of the series: the first, and the one after the last.
    count
        How many checkpoints the series has.
    listing
        Of the series without its checkpoints: unit, bad entries, equal weights.
    bad
        The facts of checkpoints that could not be loaded.
    order
        The steps of all records, in order.
    """

    path: Path
    manifest: dict[str, Any]
    places: tuple[int, int]
    count: int
    description: Description
    listing: Listing
    bad: dict[int, dict[str, Any]]
    order: tuple[int, ...]

    @property
    def folder(self) -> Path:
        """Where its sums and measures are."""
        return self.path / FOLDER


def save_shard(job: Job, description: Description, manifest: dict[str, Any], steps: Steps) -> None:
    """Write what the merge needs, and last the manifest."""
    folder = job.folder / FOLDER
    steps.dynamics.save(folder)
    save_held(folder / HELD, job.model.held)
    _save_records(folder / _RECORDS, steps.records)
    bad = [record.facts for record in steps.records if record.measures is None]
    listing = job.listing
    store.save_json(
        folder / _SUMMARY,
        {
            "places": [job.places.start, job.places.stop],
            "count": len(listing.checkpoints),
            "description": description.as_dict(),
            "unit": listing.unit,
            "same": listing.same,
            "left_out": [asdict(entry) | {"path": str(entry.path)} for entry in listing.bad],
            "bad": bad,
            "order": [record.facts["step"] for record in steps.records],
        },
    )
    for path in (job.folder / store.WORKING).glob("step_*.npy"):
        store.delete(path)
    job.storage.finish(job.folder, ())
    by_step = {record.facts["step"]: record.facts for record in steps.records}
    manifest["checkpoints"] = [
        {**entry, **{name: by_step[entry["step"]].get(name) for name in _ENTRY}}
        for entry in manifest["checkpoints"]
    ]
    finish_manifest(job.folder, manifest)


def is_saved(folder: Path) -> bool:
    """Tell whether a folder holds a shard that was explained to its end."""
    return (folder / FOLDER / _SUMMARY).exists()


def open_shard(path: Path) -> Explained:
    """Open a shard.

    Raises
    ------
    RunError
        The folder holds none, one that is not finished, or one that is damaged.
    """
    manifest = store.read_manifest(path)
    if manifest.get("shard") is None:
        raise RunError(f"{path}: is no shard but a run; compute it with --shard K/N")
    if not is_saved(path) or any(e["status"] == "pending" for e in manifest["checkpoints"]):
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
    summary = path / FOLDER / _SUMMARY
    try:
        found = read_json(summary)
        left_out = tuple(LeftOut(**{**e, "path": Path(e["path"])}) for e in found["left_out"])
        same = tuple(tuple(group) for group in found["same"])
        return Explained(
            path,
            manifest,
            (found["places"][0], found["places"][1]),
            found["count"],
            Description.from_dict(found["description"]),
            Listing((), left_out, found["unit"], (), same),
            {facts["step"]: facts for facts in found["bad"]},
            tuple(found["order"]),
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RunError(f"{summary}: cannot be read ({error}); compute the shard again") from error


def _save_records(path: Path, records: Sequence[Record]) -> None:
    """Write what is measured, in float64: what is not there is left out of its array."""
    measured = [record for record in records if record.measures is not None]
    moved = [record.transition for record in measured if record.transition is not None]
    arrays: dict[str, Any] = {
        "from_step_zero": [record.explained.from_step_zero for record in measured],
        "moved": [record.transition is not None for record in measured],
        "ends": [(one.from_step, one.to_step) for one in moved],
        **{f"m_{name}": [getattr(r.explained, name) for r in measured] for name in _MEASURES},
        **{f"t_{name}": [getattr(one, name) for one in moved] for name in _TRANSITION},
        "outline": [record.outline for record in measured],
    }
    if measured and measured[0].shares is not None:
        arrays["shares"] = [record.shares for record in measured]
    with store.whole_file(path, "wb") as file:
        np.savez(file, **{name: np.array(values) for name, values in arrays.items()})  # type: ignore[arg-type]


def read_records(shard: Explained) -> list[Record]:
    """Return the records of a shard, in order.

    Raises
    ------
    RunError
        A file is damaged.
    """
    path = shard.folder / _RECORDS
    facts = {record["step"]: record for record in store.read_journal(shard.path)}
    try:
        found = load_npz(path)
        records, row, move = [], 0, 0
        for step in shard.order:
            if step in shard.bad:
                records.append(Record(shard.bad[step], None, None))
                continue
            transition = None
            if found["moved"][row]:
                start, end = found["ends"][move].tolist()
                columns = {name: found[f"t_{name}"][move] for name in _TRANSITION}
                transition = Transition(start, end, **columns)
                move += 1
            columns = {name: found[f"m_{name}"][row] for name in _MEASURES}
            measures = Measures(**columns, from_step_zero=bool(found["from_step_zero"][row]))
            parts = found["shares"][row] if "shares" in found else None
            records.append(Record(facts[step], measures, transition, parts, found["outline"][row]))
            row += 1
        return records
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise RunError(f"{path}: cannot be read ({error}); compute the shard again") from error
