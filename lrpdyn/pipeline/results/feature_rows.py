"""The rows of features.csv: which features carry how much of the relevance at each step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lrpdyn.dynamics.columns import names_of
from lrpdyn.dynamics.step_table import Records
from lrpdyn.files.atomic import blocks_of, save_table
from lrpdyn.files.names import Names
from lrpdyn.run.layout import FEATURES
from lrpdyn.run.tables import MOST_ROWS


def save_features(folder: Path, records: Records, names: Names) -> None:
    """Write features.csv where observations are flat: a row for each step and feature, the strongest first.

    Of very many features and steps it has the strongest of each step.
    """
    if "features" in records:
        rows = _rows(records, names.get("features", {}))
        save_table(folder / FEATURES, names_of("feature"), blocks_of(rows))


def _rows(records: Records, names: Mapping[str, str]) -> Iterator[Sequence[Any]]:
    most = max(1, MOST_ROWS // records.explained)
    for row in records["finite"].nonzero()[0].tolist():
        step = int(records["step"][row])
        ranked = zip(records["features"][row], records["feature_shares"][row], strict=True)
        for rank, (feature, share) in enumerate(list(ranked)[:most], start=1):
            known = share == share  # no sample has a map where it is not
            yield step, feature, names.get(str(feature), ""), share, rank if known else None
