"""A run as users see it: opened by its folder, as a dataset and in a notebook."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest

import lrpdyn
from lrpdyn.api import Run, open_run
from lrpdyn.errors import RunError
from tests.pipeline.test_compute import Vectors, mlp_run


@pytest.fixture
def run(mlp_folder: Path, vectors: Vectors, tmp_path: Path) -> Run:
    return mlp_run(mlp_folder, vectors, tmp_path / "lrpdyn-run", workers=1)


def test_a_run_is_opened_by_its_folder_and_by_its_usual_name(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lrpdyn.open_run is open_run
    monkeypatch.chdir(run.path.parent)
    for opened in (open_run(run.path), open_run(str(run.path)), open_run()):
        assert type(opened) is Run
        assert opened.steps == (2, 4, 10, 20, 30)
        assert opened.manifest == run.manifest
        np.testing.assert_array_equal(opened.dynamics, np.load(run.path / "dynamics.npy"))
    monkeypatch.chdir(run.path)
    with pytest.raises(RunError, match="lrpdyn-run: holds no run of lrpdyn"):
        open_run()


def test_as_a_dataset_it_holds_what_its_files_hold(run: Run) -> None:
    dataset = run.to_xarray()
    assert dataset["relevance"].dims == ("step", "sample", "feature")
    assert dataset["step"].values.tolist() == [2, 4, 10, 20, 30]
    written = np.load(run.path / "relevance" / "step_000000000010.npy")
    np.testing.assert_array_equal(dataset["relevance"].sel(step=10), written)
    np.testing.assert_array_equal(dataset["dynamics"], np.load(run.path / "dynamics.npy"))


def test_in_a_notebook_it_is_its_figure_and_its_three_strongest_outliers(run: Run) -> None:
    html = run._repr_html_()
    drawn = (run.path / "figures" / "dynamics.png").read_bytes()
    assert f"base64,{base64.b64encode(drawn).decode()}" in html
    assert html.count("<tr>") == 1 + 3
