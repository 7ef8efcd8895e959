"""features.csv as curves: the share of the relevance of each feature at each step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lrpdyn.errors import RunError
from lrpdyn.run.layout import FEATURES
from lrpdyn.run.reader import RunFolder

#: Features that are shown one by one; all others together.
MOST_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class FeatureCurves:
    """The share of sum|R| of the strongest features of a run, and of all others together.

    `steps` are (S,), those at which a sample has a map. `features` (K,) have the largest mean share of the
    `count` that there are, in the order of their share at the last step; `shares` are (S, K), `rest` (S,).
    """

    steps: NDArray[np.int64]
    features: tuple[int, ...]
    shares: NDArray[np.float64]
    rest: NDArray[np.float64]
    count: int


def feature_curves(run: RunFolder) -> FeatureCurves:
    """Return the curves of the strongest features.

    Raises
    ------
    RunError
        The run has no features.csv, or nothing is in it.
    """
    table = run.features
    table = table[np.isfinite(table["share"])]
    if not len(table):
        raise RunError(f"{run.path}: {FEATURES} has no number: all maps are zero")
    steps, rows = np.unique(table["step"], return_inverse=True)
    known, columns = np.unique(table["feature"], return_inverse=True)
    # Of very many features a step has its strongest alone: the others have next to nothing there.
    shares = np.zeros((len(steps), len(known)))
    shares[rows, columns] = table["share"]
    strongest = np.argsort(-shares.mean(axis=0), kind="stable")[:MOST_SHOWN]
    shown = strongest[np.argsort(-shares[-1, strongest], kind="stable")]
    return FeatureCurves(
        steps=np.asarray(steps, dtype=np.int64),
        features=tuple(known[shown].tolist()),
        shares=shares[:, shown],
        rest=np.maximum(1 - shares[:, shown].sum(axis=1), 0.0),
        count=run.shape[1],
    )
