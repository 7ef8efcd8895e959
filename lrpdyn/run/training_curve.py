"""A training curve curve_section the run: read from what frameworks write, aligned by step, correlated."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.dynamics.measures import centred_ranks, cosines, rank_correlation
from lrpdyn.errors import UsageError
from lrpdyn.files.npy import load_npz
from lrpdyn.files.plain import check_plain, open_plain
from lrpdyn.files.reasons import reason_of
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.series import table_series

Floats = NDArray[np.float64]

#: Fewer steps than this give no p value: a shift of few steps is hardly another series.
FEWEST_STEPS = 30
_STEP_COLUMNS = ("time/total_timesteps", "total_timesteps", "timesteps", "global_step", "step", "steps",
                 "num_timesteps", "iteration", "epoch")  # fmt: skip


@dataclass(frozen=True)
class Curve:
    """A series of a training run: steps (M,), not falling, and values (M,), finite."""

    source: str
    steps: Floats
    values: Floats

    def at(self, steps: NDArray[np.int64]) -> Floats:
        """Return the curve at the steps of a run, (S,).

        That is the mean of its values since the step before; where it has none there, its last value;
        NaN before its first.
        """
        found = np.full(len(steps), np.nan)
        edges = np.searchsorted(self.steps, steps, side="right")
        before = 0
        for place, edge in enumerate(edges.tolist()):
            if edge > before:
                found[place] = self.values[before:edge].mean()
            elif edge > 0:
                found[place] = self.values[edge - 1]
            before = edge
        return found


def read_curve(text: str) -> Curve:
    """Read ``FILE`` or ``FILE:COLUMN``.

    Stable-Baselines3's ``progress.csv``, ``monitor.csv`` (steps are its episodes' lengths, summed;
    column r) and ``evaluations.npz`` (column results, mean over episodes), any CSV with a column of
    steps, or TensorBoard's event files or their folder (the column is the tag; needs tensorboard).

    Raises
    ------
    UsageError
        The file cannot be read, or has no such column or no column of steps; the message lists them.
    """
    path, column = _split(text)
    if path.is_dir() or ".tfevents." in path.name:
        steps, columns = _events(path, column)
    elif path.suffix == ".npz":
        steps, columns = _evaluations(path)
    else:
        steps, columns = _table(path)
    chosen = _column(column, columns, path)
    values = columns[chosen]
    usable = np.isfinite(steps) & np.isfinite(values)
    if not usable.any():
        raise UsageError(f"--curve {path}: column {chosen} holds no number")
    order = np.argsort(steps[usable], kind="stable")
    return Curve(
        source=f"{path.name}:{chosen}", steps=steps[usable][order], values=values[usable][order]
    )


def _split(text: str) -> tuple[Path, str | None]:
    whole = Path(text)
    if whole.exists():
        return whole, None
    name, _, column = text.rpartition(":")
    if not name or not Path(name).exists():
        raise UsageError(f"--curve {text}: no such file; expected FILE:COLUMN")
    return Path(name), column


def _column(asked: str | None, columns: Collection[str], path: Path) -> str:
    if asked is None:
        usual = [name for name in ("rollout/ep_rew_mean", "r", "results") if name in columns]
        if usual or len(columns) == 1:
            return (usual or list(columns))[0]
    elif asked in columns:
        return asked
    says = "give a column" if asked is None else f"no column {asked}"
    raise UsageError(f"--curve {path}: {says}; it has {', '.join(columns) or 'none'}")


def _table(path: Path) -> tuple[Floats, dict[str, Floats]]:
    try:
        with io.TextIOWrapper(open_plain(path), encoding="utf-8", newline="") as file:
            lines = [line for line in file if line.strip() and not line.startswith("#")]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--curve {path}: cannot be read: {reason_of(error)}") from error
    try:
        names, *rows = csv.reader(lines) if lines else [[]]
    except csv.Error as error:
        raise UsageError(f"--curve {path}: is no CSV: {reason_of(error)}") from error
    columns = {name: np.array([_number(row[at]) if at < len(row) else np.nan for row in rows])
               for at, name in enumerate(names)}  # fmt: skip
    if {"r", "l", "t"} <= set(names):
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is left out
            return np.cumsum(columns["l"]), columns
    steps = next((name for name in _STEP_COLUMNS if name in columns), None)
    if steps is None:
        raise UsageError(
            f"--curve {path}: no column of steps; expected one of {', '.join(_STEP_COLUMNS)}, found "
            f"{', '.join(names) or 'none'}"
        )
    return columns[steps], columns


def _number(text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return float("nan")


def _evaluations(path: Path) -> tuple[Floats, dict[str, Floats]]:
    try:
        arrays = {name: array.astype(np.float64) for name, array in load_npz(path).items()
                  if array.dtype.kind in "buif" and array.ndim > 0}  # fmt: skip
    except (OSError, ValueError, MemoryError) as error:
        raise UsageError(f"--curve {path}: cannot be read: {reason_of(error)}") from error
    if "timesteps" not in arrays:
        raise UsageError(f"--curve {path}: no array timesteps; it has {', '.join(arrays)}")
    steps = arrays.pop("timesteps")
    fitting = {name: values for name, values in arrays.items() if len(values) == len(steps)}
    if steps.ndim != 1 or not steps.size:
        raise UsageError(f"--curve {path}: timesteps has shape {steps.shape}, expected (M,)")
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is left out
        return steps, {
            name: v.reshape(len(v), -1).mean(axis=1) for name, v in fitting.items() if v.size
        }


def _events(path: Path, column: str | None) -> tuple[Floats, dict[str, Floats]]:
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError as error:
        raise UsageError(
            f"--curve {path}: TensorBoard files need the package tensorboard; pip install "
            "'lrpdyn[tensorboard]'"
        ) from error
    try:
        for file in [path, *(path.iterdir() if path.is_dir() else ())]:
            if ".tfevents." in file.name:
                check_plain(file)
    except OSError as error:
        raise UsageError(f"--curve {path}: cannot be read: {reason_of(error)}") from error
    events = EventAccumulator(str(path), size_guidance={"scalars": 0})
    events.Reload()
    # Each tag has steps of its own, so only the chosen one is read.
    chosen = _column(column, events.Tags()["scalars"], path)
    found = events.Scalars(chosen)
    return (
        np.array([event.step for event in found], dtype=np.float64),
        {chosen: np.array([event.value for event in found], dtype=np.float64)},
    )


def circular_shift_p(one: Floats, other: Floats) -> float | None:
    """Return how often a series that is shifted in time, its end put before its start, does as well.

    The share of the S shifts, none included, at which |rank correlation| is at least what it is
    without: what autocorrelation alone gives. None below 30 steps, or where a series does not vary.
    """
    if len(one) < FEWEST_STEPS:
        return None
    ranked = centred_ranks(other[None])
    shifted = centred_ranks(np.stack([np.roll(one, shift) for shift in range(len(one))]))
    found = np.abs(cosines(shifted, np.broadcast_to(ranked, shifted.shape)))
    if not np.isfinite(found[0]):
        return None
    return float((found >= found[0] - 1e-12).mean())


def correlations(
    curve: Curve, steps: NDArray[np.int64], series: Mapping[str, Floats]
) -> list[dict[str, Any]]:
    """Return the rank correlation of the curve with each series, as plain data.

    `steps` are (S,), those of the run; `series`, by name, (S,), NaN where a step has no value.
    """
    aligned = curve.at(steps)
    found = []
    for name, values in series.items():
        usable = np.isfinite(aligned) & np.isfinite(values)
        one, other = aligned[usable], values[usable]
        found.append(
            {
                "series": name,
                "steps": int(usable.sum()),
                "rank_correlation": rank_correlation(one, other) if len(one) > 2 else None,
                "p": circular_shift_p(one, other),
            }
        )
    return found


def curve_section(run: RunFolder, curve: Curve) -> dict[str, Any]:
    """Return the section ``curve`` of a report: where it is from, its last value, and its correlations.

    A series that is a median where it is usually a mean is called so.
    """
    series = table_series(run)
    found = correlations(curve, series.steps, series.named_curves())
    last = curve.at(series.steps)[-1:].tolist()
    known = last[0] if last and np.isfinite(last[0]) else None
    return {"source": curve.source, "last": known, "series": found}
