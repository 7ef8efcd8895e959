"""From the records of all steps to the files of a finished run."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.checkpoints.model import LeftOut
from lrpdyn.diagnostics.same_outputs import share_of
from lrpdyn.dynamics.accumulate import Dynamics
from lrpdyn.dynamics.columns import names_of
from lrpdyn.dynamics.measures import of_pixels
from lrpdyn.dynamics.one_step import OfRandom
from lrpdyn.dynamics.step_table import Records
from lrpdyn.dynamics.totals import summary
from lrpdyn.errors import CheckpointError
from lrpdyn.figures.kinds import draw
from lrpdyn.files.atomic import save_json, save_together, whole_file
from lrpdyn.files.streamed import opened
from lrpdyn.observations.regions import Regions
from lrpdyn.outliers.criteria import vanished
from lrpdyn.outliers.facts import RunFacts, Steps
from lrpdyn.outliers.render import KINDS, as_csv
from lrpdyn.outliers.support import WEAK_SUPPORT
from lrpdyn.pipeline.results.run_facts import prediction_changes, run_facts
from lrpdyn.pipeline.results.table_rows import (
    metric_columns,
    metric_values,
    transition_values,
)
from lrpdyn.run.layout import MAPS, PIXEL_MAPS
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.tables import save_values, tables_of
from lrpdyn.run.verify import finish_manifest


@dataclass(frozen=True)
class Summed:
    """The maps over all steps, once they are written.

    `written` has the SHA-256 of each file, `worth` how the maps compare with each other
    (`lrpdyn.dynamics.totals.summary`).
    """

    written: dict[Path, str]
    worth: dict[str, float | None]


def save_maps(folder: Path, shape: tuple[int, ...], records: Records, dynamics: Dynamics) -> Summed:
    """Write the maps over all steps, of observations of `shape`.

    Raises
    ------
    CheckpointError
        No step is finite: there is nothing to write about.
    """
    if not records["finite"].any():
        broken = records.broken[:1]
        where = f": NaN or infinity in {', '.join(broken[0])}" if broken else ""
        raise CheckpointError(f"none of {len(records)} checkpoints is finite{where}")
    files = {name: folder / f"{name}.npy" for name in MAPS}
    products = []

    def side_by_side() -> Iterator[dict[Path, NDArray[np.float32]]]:
        for maps, of_piece in dynamics.maps(MAPS):
            products.append(of_piece)
            yield {file: maps[name] for name, file in files.items()}

    shapes = {
        file: of_pixels(shape) if name in PIXEL_MAPS else shape for name, file in files.items()
    }
    written = save_together(shapes, np.float32, side_by_side())
    return Summed(written=written, worth=summary(np.sum(products, axis=0)))


def draw_dynamics(
    folder: Path, manifest: Mapping[str, Any], records: Records, bad: Sequence[LeftOut]
) -> None:
    """Draw the heatmap of the maps that are written; the manifest may yet be that of the start."""
    draw([RunFolder(path=folder, manifest=_with_checkpoints(manifest, records, bad))], "dynamics")


def gather_facts(
    folder: Path,
    manifest: Mapping[str, Any],
    records: Records,
    dynamics: Dynamics,
    bad: Sequence[LeftOut],
) -> RunFacts:
    """Return what is known of a run whose maps are written."""
    gaps = [facts["step"] for facts in records.bad]
    gaps += [entry.step for entry in bad if entry.step is not None]
    relative = opened(folder / "relative_dynamics.npy")
    return run_facts(records, manifest, dynamics, relative, gaps)


def write_tables(
    folder: Path,
    manifest: Mapping[str, Any],
    records: Records,
    facts: RunFacts,
    regions: Regions | None,
    of_random: OfRandom | None,
    tables: str | None,
) -> str:
    """Write ``metrics.csv`` and ``transitions.csv``; return which of `TABLES` they are."""
    shape = tuple(manifest["observations"]["shape"])
    tables = tables_of(tables, shape[0], records.explained)
    areas = None if regions is None else regions.areas(shape)
    of_steps = metric_values(records, regions, areas, of_random)
    save_values(folder / "metrics.csv", tables, metric_columns(regions), of_steps)
    moved = transition_values(records, facts, prediction_changes(records, manifest, facts))
    save_values(folder / "transitions.csv", tables, names_of("transition"), moved)
    return tables


def write_report(folder: Path, report: dict[str, Any]) -> None:
    """Write the outlier report."""
    save_json(folder / "outliers.json", report)
    with whole_file(folder / "outliers.csv") as file:
        file.write(as_csv(report, KINDS, None) + "\n")


def write_manifest(
    folder: Path,
    manifest: Mapping[str, Any],
    records: Records,
    bad: Sequence[LeftOut],
    written: Mapping[Path, str],
) -> None:
    """Write the manifest, which says that the run is finished; `written` as of `Summed`."""
    finished = {"finished": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
    manifest = {**manifest, "environment": {**manifest["environment"], **finished}}
    finish_manifest(folder, _with_checkpoints(manifest, records, bad), written)


def _with_checkpoints(
    manifest: Mapping[str, Any], records: Records, bad: Sequence[LeftOut]
) -> dict[str, Any]:
    """Return the manifest with what became of each checkpoint."""
    skipped = [{"step": entry.step, "path": str(entry.path), "format": None, "sha256": None,
                "status": "bad", "reason": entry.reason} for entry in bad]  # fmt: skip
    entries = heapq.merge(records.entries(), sorted(skipped, key=_by_step), key=_by_step)
    found = {"checkpoints": [{"index": index, **entry} for index, entry in enumerate(entries)]}
    smaller = np.flatnonzero(records["batch_size"] >= 0)
    if len(smaller):
        steps, sizes = records["step"][smaller].tolist(), records["batch_size"][smaller].tolist()
        found["smaller_batches"] = [
            {"step": step, "batch_size": size} for step, size in zip(steps, sizes, strict=True)
        ]
    return {**manifest, **found}


def _by_step(entry: dict[str, Any]) -> tuple[float, str]:
    return (float("inf") if entry["step"] is None else entry["step"], entry["path"])


def checks_of(steps: Steps, records: Records) -> dict[str, Any]:
    """Return what is said of the whole run: conservation, negative scores, vanished relevance."""
    usable = steps.finite[:, None] & (steps.score != 0) & np.isfinite(steps.score)
    score = steps.score[usable]
    support = records["support"]
    return {
        "relevance_sum_to_score": _spread(steps.relevance_sum[usable] / score),
        "relevance_l1_to_score": _spread(steps.relevance_l1[usable] / np.abs(score)),
        "maps": int(steps.finite.sum()) * steps.score.shape[1],
        "negative_scores": int((score < 0).sum()),
        "weak_support": int(((support < WEAK_SUPPORT * np.abs(steps.score)) & usable).sum()),
        "vanished": int((vanished(steps.score, steps.relevance_l1) & steps.finite[:, None]).sum()),
    }


def same_outputs(records: Records) -> dict[str, Any]:
    """Return where outputs as loaded and as explained differ most, as a share of the largest output.

    Nothing where no step was compared, as in a run of before every step was.
    """
    difference, largest = records["largest_difference"], records["largest_output"]
    compared = np.flatnonzero(np.isfinite(difference))
    if len(compared) == 0:
        return {}
    row = max(compared, key=lambda row: share_of(float(difference[row]), float(largest[row])))
    return {
        "largest_difference": float(difference[row]),
        "largest_output": float(largest[row]),
        "step": int(records["step"][row]),
    }


def _spread(values: NDArray[np.float64]) -> dict[str, float] | None:
    if len(values) == 0:
        return None
    least, median, most = (float(q) for q in np.quantile(values, [0, 0.5, 1]))
    return {"least": least, "median": median, "most": most}
