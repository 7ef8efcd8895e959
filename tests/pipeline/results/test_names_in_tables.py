"""Names in the tables of a run on flat observations, and the shares of its features."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from numpy.typing import NDArray

import lrpdyn
from lrpdyn.figures.drawings.distribution import populations_of
from lrpdyn.run.summary import closing_lines
from lrpdyn.run.verify import verify

NAMES = """
[units]
0 = "NOOP"
1 = "FIRE"
[features]
0 = "pole, angle"
5 = "speed"
[samples]
1 = "the start"
"""
#: What each kind is called.
UNITS, FEATURES, SAMPLES = {0: "NOOP", 1: "FIRE"}, {0: "pole, angle", 5: "speed"}, {1: "the start"}


@pytest.fixture
def names(tmp_path: Path) -> Path:
    path = tmp_path / "names.toml"
    path.write_text(NAMES)
    return path


def _run(folder: Path, vectors: NDArray[np.float32], out: Path, **options: Any) -> lrpdyn.Run:
    usual = {"workers": 1, "faithfulness": "none", "baseline": "none", "quiet": True,
             "arch_args": {"activation": "tanh"}}  # fmt: skip
    return lrpdyn.compute(folder, vectors, out=out, **{**usual, **options})


def test_tables_end_with_names(
    mlp_folder: Path, vectors: NDArray[np.float32], tmp_path: Path, names: Path
) -> None:
    plain = _run(mlp_folder, vectors, tmp_path / "run")
    assert set(plain.metrics["target_name"]) == set(plain.transitions["sample_name"]) == {""}
    run = _run(mlp_folder, vectors, tmp_path / "run", names=names)
    table = run.metrics.to_pandas()
    assert list(table.columns[-3:]) == ["sample_name", "target_name", "argmax_name"]
    assert table["target_name"].tolist() == [UNITS.get(unit, "") for unit in table["target"]]
    assert table["argmax_name"].tolist() == [UNITS.get(unit, "") for unit in table["argmax"]]
    for one in (table, run.transitions.to_pandas()):
        assert one["sample_name"].tolist() == [SAMPLES.get(n, "") for n in one["sample"]]
    # Numbers are those of the run without names.
    for one, other in ((run.metrics, plain.metrics), (run.transitions, plain.transitions)):
        numbers = [name for name in one.dtype.names or () if not name.endswith("_name")]
        pandas.testing.assert_frame_equal(one.to_pandas()[numbers], other.to_pandas()[numbers])
    with (run.path / "outliers.csv").open(newline="") as file:
        entries = list(csv.DictReader(file))
    for entry in entries:
        assert entry["sample_name"] == (SAMPLES.get(int(entry["sample"] or 0), ""))
        assert entry["feature_name"] == FEATURES.get(int(entry["column"] or -1), "")
    assert {"the start"} < {entry["sample_name"] for entry in entries}
    exported = run.to_xarray()
    assert json.loads(exported["argmax"].attrs["names"]) == {"0": "NOOP", "1": "FIRE"}
    assert json.loads(exported["sample"].attrs["names"]) == {"1": "the start"}
    assert "argmax_name" not in exported
    assert verify(run.path).is_good


def test_tables_by_step_name_the_most_common_unit(
    mlp_folder: Path, vectors: NDArray[np.float32], tmp_path: Path, names: Path
) -> None:
    run = _run(mlp_folder, vectors, tmp_path / "run", names=names, tables="steps", target="1")
    with (run.path / "metrics.csv").open(newline="") as file:
        assert next(csv.reader(file))[-2:] == ["target_name_most_common", "argmax_name_most_common"]
    assert set(run.metrics["target_name_most_common"]) == {"FIRE"}
    most = run.metrics["argmax_most_common"]
    assert run.metrics["argmax_name_most_common"].tolist() == [UNITS.get(n, "") for n in most]
    assert "sample_name" not in (run.transitions.dtype.names or ())
    assert "(FIRE)" in run.question
    assert any("1 (FIRE)" in line for line in closing_lines(run, 200))


def test_features_are_ranked_by_their_share(
    mlp_folder: Path, vectors: NDArray[np.float32], tmp_path: Path, names: Path
) -> None:
    run = _run(mlp_folder, vectors, tmp_path / "run", names=names)
    table = pandas.DataFrame(run.features.to_pandas())
    assert list(table.columns) == ["step", "feature", "name", "share", "rank"]
    assert table["name"].tolist() == [FEATURES.get(feature, "") for feature in table["feature"]]
    for step, rows in table.groupby("step"):
        size = np.abs(run.relevance[step].astype(np.float64))
        expected = pandas.Series((size / size.sum(axis=1, keepdims=True)).mean(axis=0))
        found = rows.set_index("feature").sort_index()
        np.testing.assert_allclose(found["share"], expected, rtol=1e-12)
        ranks = expected.round(12).rank(ascending=False, method="first").astype(int)
        assert found["rank"].tolist() == ranks.tolist()
        assert rows["rank"].tolist() == list(range(1, 7))
    content = (run.path / "features.csv").read_bytes()
    without = _run(mlp_folder, vectors, tmp_path / "none", names=names, keep="none")
    assert (without.path / "features.csv").read_bytes() == content
    parts = [tmp_path / "1", tmp_path / "2"]
    for number, part in enumerate(parts, start=1):
        _run(mlp_folder, vectors, part, names=names, shard=f"{number}/2", faithfulness=None)
    merged = lrpdyn.merge(parts, out=tmp_path / "merged", faithfulness="none", quiet=True)
    for name in ("features.csv", "metrics.csv", "transitions.csv", "outliers.csv"):
        assert (merged.path / name).read_bytes() == (run.path / name).read_bytes()
    (run.path / "features.csv").write_bytes(content[:-1])
    assert [one.file for one in verify(run.path).damaged] == ["features.csv"]
    again = _run(mlp_folder, vectors, run.path, names=names)
    assert (again.path / "features.csv").read_bytes() == content
    _run(mlp_folder, vectors, run.path, rule="epsilon", overwrite=True)
    assert (run.path / "features.csv").read_bytes() != content


def test_labels_of_the_distribution_speak_names(
    mlp_folder: Path, vectors: NDArray[np.float32], tmp_path: Path, names: Path
) -> None:
    run = _run(mlp_folder, vectors, tmp_path / "run")
    entry = {"where": {"sample": 1}, "value": 1.0, "severity": "far", "causes": []}
    run.outliers["samples"][:0] = [entry]
    run.outliers["names"] = {"samples": {"1": "the start"}}
    labels = {one.name: one.labels for one in populations_of(run)}
    assert labels["samples"][0] == (1.0, "sample 1 (the start)")
