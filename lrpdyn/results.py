"""From the records of all steps to the files of a finished run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn import run as store
from lrpdyn.checkpoints.model import Checkpoint, LeftOut
from lrpdyn.dynamics import Dynamics, Measures, Transition
from lrpdyn.figures.kinds import draw
from lrpdyn.outliers.render import as_csv
from lrpdyn.outliers.report import Changes, Steps, build_report, vanished

#: What speaks for a score in the last layer is weak below this share of the score.
WEAK_SUPPORT = 0.1
_ENTRY = ("step", "path", "format", "sha256", "status", "reason")


@dataclass(frozen=True)
class Record:
    """A checkpoint's line of the journal, its measures, and the transition that leads to it."""

    facts: dict[str, Any]
    measures: Measures | None
    transition: Transition | None

    @staticmethod
    def bad(checkpoint: Checkpoint, reason: str) -> Record:
        """Return the record of a checkpoint that could not be loaded."""
        facts = {"step": checkpoint.step, "path": str(checkpoint.path), "format": checkpoint.format,
                 "sha256": None, "status": "bad", "reason": reason}  # fmt: skip
        return Record(facts, None, None)


def write_results(
    folder: Path,
    manifest: dict[str, Any],
    records: Sequence[Record],
    dynamics: Dynamics,
    bad: Sequence[LeftOut],
) -> None:
    """Write sums, tables, the outlier report, the heatmap, and last the manifest."""
    skipped = [{"step": entry.step, "path": str(entry.path), "format": None, "sha256": None,
                "status": "bad", "reason": entry.reason} for entry in bad]  # fmt: skip
    entries = [{key: record.facts[key] for key in _ENTRY} for record in records]
    entries = sorted([*entries, *skipped], key=_by_step)
    manifest["checkpoints"] = [{"index": index, **entry} for index, entry in enumerate(entries)]
    gaps = [
        entry["step"] for entry in entries if entry["status"] == "bad" and entry["step"] is not None
    ]
    for name in ("dynamics", "net_change", "mean_relevance"):
        store.save_array(folder / f"{name}.npy", getattr(dynamics, name))
    explained = [record for record in records if record.measures is not None]
    changes = _changes(explained, gaps, flip_is_cause=manifest["target"]["policy"] == "argmax")
    steps = _steps(explained)
    store.save_table(folder / "metrics.csv", store.METRICS, _metric_rows(explained))
    store.save_table(folder / "transitions.csv", store.TRANSITIONS, _transition_rows(changes))
    report = build_report(steps, changes, dynamics.dynamics)
    store.save_json(folder / "outliers.json", report)
    with store.whole_file(folder / "outliers.csv") as file:
        file.write(as_csv(report, ("steps", "samples", "pixels", "cells"), None) + "\n")
    manifest["checks"].update(_checks(steps, explained))
    manifest["environment"]["finished"] = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    draw(store.Run(folder, manifest), "dynamics")
    store.save_json(folder / store.MANIFEST, manifest)


def _by_step(entry: dict[str, Any]) -> tuple[float, str]:
    return (float("inf") if entry["step"] is None else entry["step"], entry["path"])


def _numbers(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _steps(records: Sequence[Record]) -> Steps:
    measures = [record.measures for record in records if record.measures is not None]
    return Steps(
        np.array([record.facts["step"] for record in records], dtype=np.int64),
        np.stack([_numbers(record.facts["score"]) for record in records]),
        np.stack([values.relevance_l1 for values in measures]),
        np.array([record.facts["status"] == "done" for record in records]),
    )


def _changes(records: Sequence[Record], gaps: Sequence[int], *, flip_is_cause: bool) -> Changes:
    """Gather the transitions; the record before a transition's own is the step it starts from."""
    pairs = [(a, b) for a, b in pairwise(records) if b.transition is not None]
    moves = [b.transition for _, b in pairs if b.transition is not None]
    samples = len(records[0].facts["score"])

    def stacked(rows: list[Any], kind: Any) -> NDArray[Any]:
        return np.array(rows, dtype=kind).reshape(len(pairs), samples)

    def gone(record: Record) -> NDArray[np.bool_]:
        assert record.measures is not None
        return vanished(_numbers(record.facts["score"]), record.measures.relevance_l1)

    steps = np.array([(t.from_step, t.to_step) for t in moves], dtype=np.int64).reshape(-1, 2)
    return Changes(
        pairs=steps,
        change=stacked([t.change for t in moves], np.float64),
        scale_share=stacked([t.scale_share for t in moves], np.float64),
        score_before=stacked([a.facts["score"] for a, _ in pairs], np.float64),
        score_after=stacked([b.facts["score"] for _, b in pairs], np.float64),
        argmax_before=stacked([a.facts["argmax"] for a, _ in pairs], np.int64),
        argmax_after=stacked([b.facts["argmax"] for _, b in pairs], np.int64),
        vanished_before=stacked([gone(a) for a, _ in pairs], np.bool_),
        vanished_after=stacked([gone(b) for _, b in pairs], np.bool_),
        step_gap=np.array(
            [any(a < g < b for g in gaps) for a, b in steps.tolist()], dtype=np.bool_
        ),
        flip_is_cause=flip_is_cause,
    )


def _metric_rows(records: Sequence[Record]) -> Iterator[list[Any]]:
    for record in records:
        measures, facts = record.measures, record.facts
        assert measures is not None
        for n, score in enumerate(facts["score"]):
            yield [facts["step"], n, facts["target"][n], score, facts["argmax"][n],
                   measures.relevance_sum[n], measures.relevance_l1[n], measures.entropy[n],
                   measures.distance_from_first[n]]  # fmt: skip


def _transition_rows(changes: Changes) -> Iterator[list[Any]]:
    flips = changes.argmax_before != changes.argmax_after
    score_change = changes.score_after - changes.score_before
    for t, (start, end) in enumerate(changes.pairs.tolist()):
        for n in range(changes.change.shape[1]):
            yield [start, end, n, changes.change[t, n], score_change[t, n],
                   changes.scale_share[t, n], flips[t, n], changes.step_gap[t]]  # fmt: skip


def _checks(steps: Steps, records: Sequence[Record]) -> dict[str, Any]:
    """Return what is said of the whole run: conservation, negative scores, vanished relevance."""
    sums = np.stack([r.measures.relevance_sum for r in records if r.measures is not None])
    usable = steps.finite[:, None] & (steps.score != 0) & np.isfinite(steps.score)
    score = steps.score[usable]
    support = np.stack([_numbers(record.facts["support"]) for record in records])
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
