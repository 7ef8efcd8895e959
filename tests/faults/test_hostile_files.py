"""Options, reports and runs that were made to do harm, or by mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import lrpdyn
from lrpdyn.cli.main import group
from lrpdyn.errors import LrpdynError, ObservationError, RunError, UsageError
from lrpdyn.files.toml_files import read_toml
from lrpdyn.observations.layout import Expected
from lrpdyn.observations.loading import load_observations
from lrpdyn.outliers.render import as_markdown, as_table
from lrpdyn.run.manifest import load_manifest, save_manifest
from lrpdyn.run.series import table_series
from lrpdyn.run.verify import verify
from tests.pipeline.test_compute import Vectors, mlp_run


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 3000, "rule = 5\n\xff", "x" * (1 << 21), "a = 1\na = 2"]
)
def test_toml_is_refused_by_a_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"."):
        read_toml(path)
    given = ["compute", "a", "b", "--config", str(path)]
    assert CliRunner().invoke(group, given).exit_code == 2


@pytest.mark.parametrize(("text", "says"), [
    ("workers = [1, 2]", "workers takes one value"), ("rule = {a = 1}", "rule takes one value"),
    ("since = 1979-05-27", "expected a whole number"), ("overwrite = 3.5", "is not a valid boolean"),
])  # fmt: skip
def test_an_option_of_another_kind_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "a.toml").write_text(text)
    found = CliRunner().invoke(group, ["compute", "a", "b", "--config", str(tmp_path / "a.toml")])
    assert found.exit_code == 2
    assert says in " ".join(found.output.split())


def test_names_of_strangers_do_nothing_to_a_terminal_or_a_page(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    name = "obs\x1b]0;x\x07\n<script>alert(1)</script>|.npy".replace("/", "")
    with pytest.raises(ObservationError, match="no such file"):
        load_observations([tmp_path / name], Expected(features=6))
    run = mlp_run(mlp_folder, vectors, tmp_path / "run", workers=1)
    report = run.outliers
    report["cells"][0]["causes"][0]["evidence"] = name
    for text in (as_table(report, ["cells"], None), as_markdown(report, ["cells"], None)):
        assert "\x1b" not in text
        assert "\x07" not in text
    assert "<script>" not in as_markdown(report, ["cells"], None)


def test_what_was_edited_or_is_newer_is_told(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    run = mlp_run(mlp_folder, vectors, tmp_path / "run", workers=1)
    whole = json.loads((run.path / "manifest.json").read_text())
    for change, says in [
        ({"schema": 2}, "schema 2, this version reads 1; install a newer lrpdyn"),
        ({"schema": "1"}, "manifest.schema is \"1\", expected an integer"),
        ({"head": None}, "manifest.head is null, expected a text"),
        ({"contrast": "most"}, 'manifest.contrast is "most", expected mean or none or runner-up'),
        ({"checkpoints": [{**whole["checkpoints"][0], "status": "lost"}]}, "expected one of done"),
        ({"checkpoints": whole["checkpoints"][::-1]}, "not in the order of their steps"),
        ({"observations": {**whole["observations"], "shape": [5, -6]}}, "expected (N, C, H, W)"),
    ]:  # fmt: skip
        save_manifest(run.path, {**whole, **change})
        with pytest.raises(RunError) as refused:
            load_manifest(run.path)
        assert says in str(refused.value)
        for command in ("plot", "verify", "compare"):
            given = [command, str(run.path)] + ([str(run.path)] if command == "compare" else [])
            error = CliRunner().invoke(group, given, standalone_mode=False).exception
            assert isinstance(error, LrpdynError)
    save_manifest(run.path, whole)
    (run.path / "metrics.csv").write_text(
        (run.path / "metrics.csv").read_text().replace("0", "1", 1)
    )
    with pytest.raises(RunError, match=r"metrics.csv: cannot be read: its bytes are not those"):
        _ = lrpdyn.open_run(run.path).metrics
    (run.path / "outliers.json").write_text('{"schema": 7}')
    with pytest.raises(RunError, match="schema 7; install a newer"):
        _ = run.outliers


@pytest.mark.parametrize(
    "text", ["r,l,t\n" + "9" * 200_000, "step,r\n1,\x00\n", 'step,r\n"1,2\n' * 3]
)
def test_curves_that_are_no_curves(tmp_path: Path, text: str) -> None:
    from lrpdyn.run.training_curve import read_curve

    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(UsageError, match=r"a\.csv"):
        read_curve(str(tmp_path / "a.csv"))


def test_a_table_without_a_column_and_a_manifest_beyond_numbers_are_told(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    path = mlp_run(mlp_folder, vectors, tmp_path / "run").path
    manifest = path / "manifest.json"
    whole = manifest.read_text()
    assert '"scale": 1.0' in whole
    manifest.write_text(whole.replace('"scale": 1.0', '"scale": 1e999'))
    with pytest.raises(RunError, match=r"manifest\.json: is damaged .*1e999 is no number of JSON"):
        verify(path)
    table = path / "metrics.csv"
    table.write_text(table.read_text().replace("distance_from_first_l1", "another", 1))
    unsealed = json.loads(whole)
    del unsealed["sha256"], unsealed["files"]
    manifest.write_text(json.dumps(unsealed))
    with pytest.raises(
        RunError, match="no column distance_from_first_l1: the table has step, samp"
    ):
        table_series(lrpdyn.open_run(path)).curves()
