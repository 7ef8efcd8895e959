"""The rows of layers.csv: what is known of each layer at each step, and how alike its features are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lrpdyn.dynamics.columns import names_of
from lrpdyn.dynamics.similarity import FEWEST, Array, aligned, cka, unpacked
from lrpdyn.dynamics.step_table import Records
from lrpdyn.errors import RunError
from lrpdyn.files.atomic import blocks_of, save_table
from lrpdyn.run.journal import JOURNAL, placed_records, record_at
from lrpdyn.run.layout import LAYERS

#: What layers.csv holds of the weights of a layer, and of the units of its activation, by name in `Records`.
_OF_WEIGHTS = {"weight_norm": "norm", "weight_change": "change"}
_OF_UNITS = {"dead_share": "dead", "dormant_share": "dormant", "effective_rank": "rank"}

#: By layer, what CKA compares.
Features = dict[str, Array]


def save_layers(folder: Path, records: Records) -> None:
    """Write layers.csv, of which the journal's line of one step at a time is in memory."""
    save_table(folder / LAYERS, names_of("layer"), blocks_of(_rows(folder, records)))


def _rows(folder: Path, records: Records) -> Iterator[Sequence[Any]]:
    weight_layers, of_weights = records.weights
    activity_layers, of_units = records.units
    layers = in_order(weight_layers, activity_layers)
    known = {
        **{column: (weight_layers, of_weights[kind]) for column, kind in _OF_WEIGHTS.items()},
        **{column: (activity_layers, of_units[kind]) for column, kind in _OF_UNITS.items()},
    }
    column_of = {
        (column, layer): table[:, place]
        for column, (names, table) in known.items()
        for place, layer in enumerate(names)
    }
    places: dict[int, int] = {}
    if records["score"].shape[1] >= FEWEST:  # else there are no features to compare
        places = {record["step"]: place for place, record in placed_records(folder)}
    steps = records["step"].tolist()
    finite = records.finite_steps
    last = _features(folder, places[finite[-1]]) if finite and places else {}
    previous: Features = {}
    columns = names_of("layer")
    for row, step in enumerate(steps):
        now = _features(folder, places[step]) if places else {}
        for layer in layers:
            values: dict[str, Any] = {"step": step, "layer": layer}
            for column in known:
                values[column] = (
                    column_of[column, layer][row] if (column, layer) in column_of else None
                )
            values["cka_previous"] = _alike(previous, now, layer)
            values["cka_last"] = _alike(last, now, layer)
            yield [values[column] for column in columns]
        previous = now


def in_order(weight_layers: Sequence[str], activity_layers: Sequence[str]) -> list[str]:
    """Return all layers, those of activations without weights after the activation before them.

    >>> in_order(["a", "a statistics", "b"], ["a", "sum", "b"])
    ['a', 'sum', 'a statistics', 'b']
    """
    found = list(weight_layers)
    at = 0
    for layer in activity_layers:
        if layer not in found:
            found.insert(at, layer)
        at = found.index(layer) + 1
    return found


def _features(folder: Path, place: int) -> Features:
    units = record_at(folder, place)["evidence"].get("units") or {}
    try:
        found = {
            layer: aligned(unpacked(of["gram"])) for layer, of in units.items() if of.get("gram")
        }
    except ValueError as error:
        raise RunError(
            f"{folder / JOURNAL}: cannot be used ({error}); start again with --overwrite, or elsewhere "
            "with -o"
        ) from error
    return {layer: features for layer, features in found.items() if features is not None}


def _alike(one: Features, other: Features, layer: str) -> float | None:
    a, b = one.get(layer), other.get(layer)
    return cka(a, b) if a is not None and b is not None and a.shape == b.shape else None
