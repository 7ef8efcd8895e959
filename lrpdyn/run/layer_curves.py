"""layers.csv as curves: a value for each step and layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lrpdyn.run.reader import RunFolder

Floats = NDArray[np.float64]

#: The columns that are drawn, with their titles, in order.
DRAWN = {
    "weight_change": "change of the weights, relative to their norm",
    "effective_rank": "effective rank of the features",
    "dead_share": "share of dead units",
    "dormant_share": "share of dormant units",
    "cka_previous": "likeness of the features to those a step before (CKA)",
    "cka_last": "likeness of the features to the last ones (CKA)",
}
#: Layers that have a colour and a name.
MOST_NAMED = 8


@dataclass(frozen=True, kw_only=True)
class LayerCurves:
    """Curves of the layers of a run.

    `steps` are (S,), `layers` (L) in the network's order, `named` those whose weights changed most;
    `values` are (S, L) for each of `DRAWN`, NaN where there is none.
    """

    steps: NDArray[np.int64]
    layers: list[str]
    named: list[str]
    values: Mapping[str, Floats]

    @property
    def drawn(self) -> dict[str, str]:
        """The columns that hold a number, with their titles."""
        return {
            name: title for name, title in DRAWN.items() if np.isfinite(self.values[name]).any()
        }


def layer_curves(run: RunFolder) -> LayerCurves:
    """Return the curves of all layers.

    Raises
    ------
    RunError
        The run has no layers.csv, or it cannot be read.
    """
    table = run.layers
    names: list[str] = table["layer"].tolist()
    layers = list(dict.fromkeys(names))
    steps, rows = np.unique(table["step"], return_inverse=True)
    places = {layer: place for place, layer in enumerate(layers)}
    columns = np.array([places[name] for name in names], dtype=np.int64)
    values = {}
    for name in DRAWN:
        values[name] = np.full((len(steps), len(layers)), np.nan)
        values[name][rows, columns] = table[name]
    moved = np.nansum(values["weight_change"], axis=0)
    largest = sorted(np.argsort(-moved, kind="stable")[:MOST_NAMED].tolist())
    return LayerCurves(
        steps=np.asarray(steps, dtype=np.int64),
        layers=layers,
        named=[layers[place] for place in largest],
        values=values,
    )
