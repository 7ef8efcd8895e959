"""What is kept of every step in memory: a row of numbers, from which tables and report are made."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from sys import intern
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lrpdyn.checkpoints.digests import as_sha256, recorded
from lrpdyn.checkpoints.model import Checkpoint
from lrpdyn.dynamics.columns import measured as formulas_of
from lrpdyn.dynamics.one_step import Measured

_SHARED = ("format", "reason")
#: What is one value for each step, and its type.
_SINGLE: dict[str, DTypeLike] = {
    "step": np.int64, "finite": np.bool_, "digest": "S71", "relevance_sha256": "S64",
    "largest_difference": np.float64, "largest_output": np.float64,
    "batch_size": np.int64, "from_step": np.int64, "from_step_zero": np.bool_,
}  # fmt: skip

#: What is known of the weights of each layer, and of the units of each activation.
_OF_WEIGHTS = ("change", "norm", "back")
_OF_UNITS = ("dead", "dormant", "rank")

#: How many numbers the sketch of all weights has (`lrpdyn.diagnostics.weight_change.Sketches`).
SKETCHED = 64

#: Where no transition leads to a step: steps may be negative.
NO_TRANSITION = np.iinfo(np.int64).min

#: What a line of a journal that somebody edited raises when it is put into a row.
UNUSABLE = (KeyError, ValueError, TypeError, AttributeError, IndexError, OverflowError)


class Records:
    """The steps of a run so far, in order: those that are explained have a row in each column.

    The lines of the journal are not kept in memory: with their keys and nested lists they take ten times the
    bytes of the numbers in them, and a run may have a hundred thousand.

    Columns
    -------
    step, finite, digest, relevance_sha256, batch_size, from_step, from_step_zero
    largest_difference, largest_output
        (S,), the last two of the network as loaded and as explained. `batch_size` is -1 where it is
        what was requested, `from_step`, where the transition begins that leads to the step,
        `NO_TRANSITION` where none does; a hash is empty where there is none.
    target, argmax
        (S, N), -1 where not finite.
    score, support; those that are measured of maps (`lrpdyn.dynamics.columns.measured`)
        (S, N), NaN where unknown.
    outputs
        (S, N, K).
    sketch
        (S, 64), of the weights: distances of rows estimate theirs; NaN where unknown.
    outline
        (S, D): the L1-normalised map of a mean sample, summed over coarse patches.
    features, feature_shares
        (S, K), of flat observations alone (`lrpdyn.dynamics.feature_shares.strongest_features`).
    shares, effects
        (S, R, N): the share of sum|R| in each region, and the effect of painting it over; only where
        regions are given, the effects only where some are known.

    Attributes
    ----------
    explained
        The number S of rows.
    broken
        For each row, where NaN or infinity is, the cause before what follows from it; else empty.
    reset
        For each row, the layers whose statistics began anew since the checkpoint before.
    bad
        What the manifest says of checkpoints that could not be loaded, in order.

    Parameters
    ----------
    expected
        How many rows there will be, as far as is known.
    """

    def __init__(self, expected: int) -> None:
        self.explained = 0
        self.broken: list[tuple[str, ...]] = []
        self.reset: list[tuple[str, ...]] = []
        self.bad: list[dict[str, Any]] = []
        #: For each row, the path, the format and why it is not finite.
        self._texts: list[tuple[str, str | None, str | None]] = []
        #: For each row, what explained it, as JSON, of which few are not the same.
        self._environments: list[str] = []
        self._columns, self._weights, self._units = (Columns(expected) for _ in range(3))
        for name, kind in _SINGLE.items():
            self._columns.make(name, (), kind)
        self._columns.make("sketch", (SKETCHED,), np.float32)

    def __len__(self) -> int:
        return self.explained + len(self.bad)

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return a column (S, ...), which is not to be written to."""
        column = self._columns[name][: self.explained]
        column.flags.writeable = False
        return column

    @property
    def steps(self) -> list[int]:
        """All steps, those of bad checkpoints included, in order."""
        return sorted([*self["step"].tolist(), *(facts["step"] for facts in self.bad)])

    @property
    def finite_steps(self) -> list[int]:
        """The steps that are finite, in order."""
        found: list[int] = self["step"][self["finite"]].tolist()
        return found

    @property
    def weights(self) -> tuple[tuple[str, ...], dict[str, NDArray[np.float64]]]:
        """L layers, and (S, L) each of change, norm and back (`lrpdyn.diagnostics.weight_change`)."""
        return self._by_layer(self._weights, _OF_WEIGHTS)

    @property
    def units(self) -> tuple[tuple[str, ...], dict[str, NDArray[np.float64]]]:
        """A layers, and (S, A) each of dead, dormant and rank (`lrpdyn.diagnostics.activity`)."""
        return self._by_layer(self._units, _OF_UNITS)

    def _by_layer(
        self, of_layers: Columns, kinds: tuple[str, ...]
    ) -> tuple[tuple[str, ...], dict[str, NDArray[np.float64]]]:
        names = tuple(of_layers)
        table = np.empty((len(kinds), self.explained, len(names)))
        for place, name in enumerate(names):
            table[:, :, place] = of_layers[name][: self.explained].T
        return names, dict(zip(kinds, table, strict=True))

    def extend(self) -> int:
        """Make a row more, and return its number."""
        self.explained += 1
        self.broken.append(())
        self.reset.append(())
        self._texts.append(("", None, None))
        self._environments.append("{}")
        for columns in (self._columns, self._weights, self._units):
            columns.reserve(self.explained)
        self._columns.put("from_step", self.explained - 1, NO_TRANSITION)
        return self.explained - 1

    def add(
        self,
        facts: Mapping[str, Any],
        measured: Measured,
        outline: NDArray[np.float64],
        shares: NDArray[np.float64] | None,
        features: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None,
    ) -> None:
        """Add a step by its line of the journal and what is measured of it."""
        row, put = self.extend(), self._columns.put
        self.put_facts(row, facts)
        put("from_step_zero", row, measured.from_step_zero)
        if measured.from_step is not None:
            put("from_step", row, measured.from_step)
        unknown = np.full(len(facts["score"]), np.nan)
        for name in (*formulas_of("step"), *formulas_of("transition")):
            put(name, row, measured.columns.get(name, unknown))
        put("outline", row, outline)
        if shares is not None:
            put("shares", row, shares)
        if features is not None:
            put("features", row, features[0], np.int64)
            put("feature_shares", row, features[1])

    def put_facts(self, row: int, facts: Mapping[str, Any]) -> None:
        """Put what a line of the journal says into a row, whatever was in it before."""
        put, evidence = self._columns.put, facts["evidence"]
        # Of texts that are the same for most steps one is kept.
        shared = (text if text is None else intern(text) for text in map(facts.get, _SHARED))
        self._texts[row] = (facts["path"], *shared)
        self._environments[row] = intern(json.dumps(facts.get("environment", {}), sort_keys=True))
        self.broken[row] = _broken_places(facts)
        put("step", row, facts["step"])
        put("finite", row, facts["status"] == "done")
        put("batch_size", row, facts.get("batch_size", -1))
        for name in ("largest_difference", "largest_output"):
            put(name, row, facts.get("same_outputs", {}).get(name))
        put("digest", row, (recorded(facts) or "").encode())
        put("relevance_sha256", row, (facts.get("relevance_sha256") or "").encode())
        for name in ("score", "support", "outputs"):
            put(name, row, facts[name])
        for name in ("target", "argmax"):
            put(name, row, [-1 if unit is None else unit for unit in facts[name]], np.int64)
        if "effects" in evidence or "effects" in self:
            put("effects", row, evidence.get("effects"))
        weights, units = evidence["weights"], evidence.get("units") or {}
        self.reset[row] = tuple(weights.get("reset") or ())
        put("sketch", row, weights.get("sketch"))
        _put_tables(self._weights, row, [weights.get(kind) for kind in _OF_WEIGHTS])
        of_units = [
            {name: of_layer.get(kind) for name, of_layer in units.items()} for kind in _OF_UNITS[1:]
        ]
        _put_tables(self._units, row, [evidence["dead"], *of_units])

    def add_bad(self, checkpoint: Checkpoint, reason: str) -> None:
        """Add a checkpoint that could not be loaded."""
        self.bad.append({
            "step": checkpoint.step, "path": str(checkpoint.path), "format": checkpoint.format,
            "digest": None, "sha256": None, "status": "bad", "reason": reason,
            "relevance_sha256": None,
        })  # fmt: skip

    def entries(self) -> Iterator[dict[str, Any]]:
        """Yield what the manifest says of each step, in order, bad ones included."""
        explained = (self._entry(row) for row in range(self.explained))
        return heapq.merge(explained, self.bad, key=lambda entry: entry["step"])

    def environments(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield each explained step, and the versions and the device that explained it."""
        for step, text in zip(self["step"].tolist(), self._environments, strict=True):
            yield step, json.loads(text)

    def _entry(self, row: int) -> dict[str, Any]:
        path, kind, reason = self._texts[row]
        digest = self["digest"][row].decode() or None
        return {
            "step": int(self["step"][row]),
            "path": path,
            "format": kind,
            "digest": digest,
            "sha256": as_sha256(digest),
            "status": "done" if self["finite"][row] else "not_finite",
            "reason": reason,
            "relevance_sha256": self["relevance_sha256"][row].decode() or None,
        }


def _put_tables(
    columns: Columns, row: int, tables: Sequence[Mapping[str, float | None] | None]
) -> None:
    """Put what tables have of each layer into a row, NaN for layers that one has nothing of."""
    for name in dict.fromkeys(chain(columns, *(table or {} for table in tables))):
        values = [(table or {}).get(name) for table in tables]
        columns.put(name, row, np.array(values, dtype=np.float64))


def _broken_places(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """Return where NaN or infinity is, the cause before what follows from it."""
    if facts["status"] == "done":
        return ()
    layers = facts["evidence"]["weights_not_finite"]
    places = [f"the weights of {', '.join(layers)}"] if layers else []
    if any(output is None for row in facts["outputs"] for output in row):
        places.append("the outputs")
    if not facts["relevance_finite"]:
        places.append("the relevance")
    return tuple(places)


#: What a row holds that nothing was put into, by the kind of its column.
_NOTHING: dict[str, Any] = {"f": np.nan, "i": -1, "b": False, "S": b""}


class Columns:
    """Arrays by name, which share their number of rows.

    Rows of Python's own numbers take ten times the bytes, and a small array for each row twice.

    Parameters
    ----------
    expected
        How many rows there will be, as far as is known.
    """

    def __init__(self, expected: int) -> None:
        self._rows = max(expected, 1)
        self._arrays: dict[str, NDArray[Any]] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return a column (rows, ...), those rows included that nothing was put into."""
        return self._arrays[name]

    def make(self, name: str, shape: tuple[int, ...], kind: DTypeLike) -> None:
        """Make a column of rows of `shape`, where there is none."""
        if name not in self._arrays:
            self._arrays[name] = _empty(self._rows, shape, np.dtype(kind))

    def put(self, name: str, row: int, values: Any, kind: DTypeLike = np.float64) -> None:
        """Put values into a row, and make the column where there is none; None becomes NaN."""
        if name not in self._arrays:
            self.make(name, np.shape(values), kind)
        self._arrays[name][row] = values

    def reserve(self, rows: int) -> None:
        """Have so many rows at least."""
        if rows <= self._rows:
            return
        self._rows = max(rows, 2 * self._rows)
        for name, array in self._arrays.items():
            more = _empty(self._rows - len(array), array.shape[1:], array.dtype)
            self._arrays[name] = np.concatenate([array, more])


def _empty(rows: int, shape: tuple[int, ...], kind: np.dtype[Any]) -> NDArray[Any]:
    return np.full((rows, *shape), _NOTHING[kind.kind], kind)
