"""From the records of all steps to the files of a finished run."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn import run as store
from lrpdyn.by_step import Block, columns_by_step, rows_by_step, tables_of
from lrpdyn.checkpoints.model import LeftOut
from lrpdyn.dynamics import Dynamics
from lrpdyn.errors import CheckpointError
from lrpdyn.figures.kinds import draw
from lrpdyn.heap import give_back
from lrpdyn.outliers.criteria import WEAK_SUPPORT, vanished
from lrpdyn.outliers.facts import RunFacts, Steps
from lrpdyn.outliers.render import KINDS, as_csv
from lrpdyn.outliers.report import LookCloser, build_report
from lrpdyn.records import OfRandom, Record, broken_places, numbers, prediction_changes, run_facts
from lrpdyn.regions import Painting
from lrpdyn.streamed import opened
from lrpdyn.sums import summary
from lrpdyn.tables import (
    TRANSITIONS,
    metric_blocks,
    metric_columns,
    rows_by_sample,
    transition_blocks,
)
from lrpdyn.trajectory import trajectory
from lrpdyn.verification import finish_manifest

_ENTRY = ("step", "path", "format", "sha256", "status", "reason", "relevance_sha256")


def write_results(
    folder: Path,
    manifest: dict[str, Any],
    records: Sequence[Record],
    dynamics: Dynamics,
    bad: Sequence[LeftOut],
    painting: Painting | None,
    of_random: OfRandom | None,
    agreement: dict[str, Any] | None,
    look_closer: LookCloser,
    tables: str | None,
) -> None:
    """Write sums, tables, the outlier report, the heatmap, and last the manifest.

    Raises
    ------
    CheckpointError
        No step is finite: there is nothing to write about.
    """
    if not any(record.facts["status"] == "done" for record in records):
        broken = [record for record in records if record.facts["status"] == "not_finite"]
        where = f": NaN or infinity in {', '.join(broken_places(broken[0]))}" if broken else ""
        raise CheckpointError(f"none of {len(records)} checkpoints is finite{where}")
    skipped = [{"step": entry.step, "path": str(entry.path), "format": None, "sha256": None,
                "status": "bad", "reason": entry.reason} for entry in bad]  # fmt: skip
    entries = [{key: record.facts.get(key) for key in _ENTRY} for record in records]
    entries = sorted([*entries, *skipped], key=_by_step)
    manifest["checkpoints"] = [{"index": index, **entry} for index, entry in enumerate(entries)]
    smaller = [(r.facts["step"], r.facts["batch_size"]) for r in records if "batch_size" in r.facts]
    manifest.pop("smaller_batches", None)
    if smaller:
        manifest["smaller_batches"] = [{"step": s, "batch_size": size} for s, size in smaller]
    gaps = [
        entry["step"] for entry in entries if entry["status"] == "bad" and entry["step"] is not None
    ]
    shape = tuple(manifest["observations"]["shape"])
    written, worth = _save_maps(folder, shape, dynamics)
    explained = [record for record in records if record.measures is not None]
    relative = opened(folder / "relative_dynamics.npy")
    facts = run_facts(explained, manifest, dynamics, relative, gaps)
    regions = None if painting is None else painting.regions
    areas = None if regions is None else regions.areas(shape)
    rows = manifest["tables"] = tables_of(tables, shape[0], len(explained))
    save = _save_by_step if rows == "steps" else _save_by_sample
    of_steps = metric_blocks(explained, regions, areas, of_random)
    save(folder / "metrics.csv", metric_columns(regions), of_steps)
    moved = prediction_changes(explained, manifest, facts)
    save(folder / "transitions.csv", TRANSITIONS, transition_blocks(explained, facts, moved))
    more = {**trajectory(explained, regions, manifest["rule"]["name"]), "agreement": agreement}
    _write_report(folder, facts, look_closer, more)
    manifest["checks"].update(_checks(facts.steps, explained))
    manifest["checks"]["dynamics"] = worth
    manifest["environment"]["finished"] = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    manifest.pop("files", None)  # under --follow, of the results before these
    give_back()
    draw([store.Run(folder, manifest)], "dynamics")
    finish_manifest(folder, manifest, written)


def _save_maps(
    folder: Path, shape: tuple[int, ...], dynamics: Dynamics
) -> tuple[dict[Path, str], dict[str, float | None]]:
    """Write the maps over all steps; return their SHA-256, and what they are worth beside each other."""
    files = {name: folder / f"{name}.npy" for name in store.MAPS}
    products = []

    def side_by_side() -> Iterator[dict[Path, NDArray[np.float32]]]:
        for maps, of_piece in dynamics.maps(store.MAPS):
            products.append(of_piece)
            yield {file: maps[name] for name, file in files.items()}

    shapes = {
        file: store.of_pixels(shape) if name in store.PIXEL_MAPS else shape
        for name, file in files.items()
    }
    written = store.save_together(shapes, np.float32, side_by_side())
    return written, summary(np.sum(products, axis=0))


def _save_by_sample(path: Path, columns: Sequence[str], blocks: Iterable[Block]) -> None:
    store.save_table(path, columns, rows_by_sample(blocks, columns))


def _save_by_step(path: Path, columns: Sequence[str], blocks: Iterable[Block]) -> None:
    store.save_table(path, columns_by_step(columns), rows_by_step(blocks, columns))


def _write_report(
    folder: Path, facts: RunFacts, look_closer: LookCloser, more: Mapping[str, Any]
) -> None:
    """Write the outlier report; nothing of it, some ten thousand numbers, is held afterwards."""
    report = {**build_report(facts, look_closer), **more}
    store.save_json(folder / "outliers.json", report)
    with store.whole_file(folder / "outliers.csv") as file:
        file.write(as_csv(report, KINDS, None) + "\n")


def _by_step(entry: dict[str, Any]) -> tuple[float, str]:
    return (float("inf") if entry["step"] is None else entry["step"], entry["path"])


def _checks(steps: Steps, records: Sequence[Record]) -> dict[str, Any]:
    """Return what is said of the whole run: conservation, negative scores, vanished relevance."""
    sums = np.stack([r.measures.relevance_sum for r in records if r.measures is not None])
    usable = steps.finite[:, None] & (steps.score != 0) & np.isfinite(steps.score)
    score = steps.score[usable]
    support = np.stack([numbers(record.facts["support"]) for record in records])
    return {
        "relevance_sum_to_score": _spread(sums[usable] / score),
        "relevance_l1_to_score": _spread(steps.relevance_l1[usable] / np.abs(score)),
        "maps": int(steps.finite.sum()) * steps.score.shape[1],
        "negative_scores": int((score < 0).sum()),
        "weak_support": int(((support < WEAK_SUPPORT * np.abs(steps.score)) & usable).sum()),
        "vanished": int((vanished(steps.score, steps.relevance_l1) & steps.finite[:, None]).sum()),
    }


def _spread(values: NDArray[np.float64]) -> dict[str, float] | None:
    if len(values) == 0:
        return None
    least, median, most = (float(q) for q in np.quantile(values, [0, 0.5, 1]))
    return {"least": least, "median": median, "most": most}
