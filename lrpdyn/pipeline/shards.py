"""What a shard leaves beside its journal and its maps: sums, measures, and what it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.checkpoints.model import LeftOut, Listing
from lrpdyn.dynamics.columns import measured
from lrpdyn.dynamics.step_table import Records
from lrpdyn.errors import RunError
from lrpdyn.files.atomic import save_json, whole_file
from lrpdyn.files.json_data import read_json
from lrpdyn.files.npy import load_npz
from lrpdyn.pipeline.setup.description import FIXED_INPUTS, Description, save_fixed_inputs
from lrpdyn.pipeline.setup.job import Job
from lrpdyn.pipeline.steps import Steps
from lrpdyn.run.journal import JOURNAL, read_journal
from lrpdyn.run.layout import WORKING, delete
from lrpdyn.run.manifest import read_manifest
from lrpdyn.run.verify import damaged_results, finish_manifest

FOLDER = "shard"
_SUMMARY, _RECORDS = "shard.json", "records.npz"
_ENTRY = ("sha256", "status", "reason", "relevance_sha256")


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


def save_shard(
    job: Job, description: Description, manifest: Mapping[str, Any], steps: Steps
) -> dict[str, Any]:
    """Write what the merge needs, and last the manifest, which is returned."""
    folder = job.folder / FOLDER
    steps.dynamics.save(folder)
    save_fixed_inputs(folder / FIXED_INPUTS, job.model.held)
    _save_records(folder / _RECORDS, steps.records)
    listing = job.listing
    save_json(
        folder / _SUMMARY,
        {
            "places": [job.places.start, job.places.stop],
            "count": len(listing.checkpoints),
            "description": description.as_dict(),
            "unit": listing.unit,
            "same": listing.same,
            "left_out": [asdict(entry) | {"path": str(entry.path)} for entry in listing.bad],
            "bad": steps.records.bad,
            "order": steps.records.steps,
        },
    )
    for path in (job.folder / WORKING).glob("step_*.npy"):
        delete(path)
    job.storage.finish(job.folder, ())
    explained = zip(manifest["checkpoints"], steps.records.entries(), strict=True)
    entries = [entry | {name: found[name] for name in _ENTRY} for entry, found in explained]
    return finish_manifest(job.folder, {**manifest, "checkpoints": entries})


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
    manifest = read_manifest(path)
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
            Listing(checkpoints=(), left_out=left_out, unit=found["unit"], same=same),
            {facts["step"]: facts for facts in found["bad"]},
            tuple(found["order"]),
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RunError(f"{summary}: cannot be read ({error}); compute the shard again") from error


def _save_records(path: Path, records: Records) -> None:
    """Write what is measured, in float64: what is not there is left out of its array."""
    moved = records["from_step"] >= 0
    ends = np.stack([records["from_step"], records["step"]], axis=1)[moved]
    arrays = {"from_step_zero": records["from_step_zero"], "moved": moved, "ends": ends}
    if records.explained:
        arrays |= {f"m_{name}": records[name] for name in measured("step")}
        arrays |= {f"t_{name}": records[name][moved] for name in measured("transition")}
        arrays["outline"] = records["outline"]
    if "shares" in records:
        arrays["shares"] = records["shares"]
    with whole_file(path, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def read_records(shard: Explained, records: Records) -> None:
    """Add the steps of a shard to the records of those before it.

    Raises
    ------
    RunError
        A file is damaged.
    """
    explained = [step for step in shard.order if step not in shard.bad]
    first = records.extend(len(explained))
    records.bad += shard.bad.values()
    path = shard.folder / _RECORDS
    try:
        if explained:
            records.put_measured(first, _measured(load_npz(path), len(explained)))
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise RunError(f"{path}: cannot be read ({error}); compute the shard again") from error
    rows = {step: row for row, step in enumerate(explained, start=first)}
    missing = set(explained)
    journal = shard.path / JOURNAL
    for facts in read_journal(shard.path):
        if facts["step"] in rows:  # the last line on a step is the one that holds
            try:
                records.put_facts(rows[facts["step"]], facts)
            except (KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
                raise RunError(
                    f"{journal}: cannot be read ({error}); compute the shard again"
                ) from error
            missing.discard(facts["step"])
    if missing:
        raise RunError(f"{journal}: holds no line on step {min(missing)}; compute the shard again")


def _measured(found: Mapping[str, NDArray[Any]], count: int) -> dict[str, NDArray[Any]]:
    """Return the columns of so many steps that `_save_records` wrote.

    Raises
    ------
    KeyError, ValueError, IndexError
        They are not there, or of other lengths.
    """
    moved = found["moved"].astype(bool)
    columns: dict[str, NDArray[Any]] = {
        "from_step_zero": found["from_step_zero"],
        "outline": found["outline"],
    }
    columns |= {name: found[f"m_{name}"] for name in measured("step")}
    columns["from_step"] = np.full(count, -1)
    columns |= {name: np.full(columns["entropy"].shape, np.nan) for name in measured("transition")}
    if moved.any():
        columns["from_step"][moved] = found["ends"][:, 0]
        for name in measured("transition"):
            columns[name][moved] = found[f"t_{name}"]
    if "shares" in found:
        columns["shares"] = found["shares"]
    wrong = [name for name, values in columns.items() if len(values) != count]
    if wrong:
        raise ValueError(f"{', '.join(wrong)} of more or fewer than {count} steps")
    return columns
