"""A run as users see it: opened by its folder, as a dataset and in a notebook."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure
from numpy.typing import NDArray

import lrpdyn
from lrpdyn.api import Run, open_run
from lrpdyn.errors import LrpdynError, RunError, UsageError
from lrpdyn.figures.kinds import KINDS, PictureKind
from lrpdyn.run.summary import closing_lines
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


def test_only_public_names_are_listed() -> None:
    code = "import lrpdyn, lrpdyn.api, lrpdyn.errors; print(*dir(lrpdyn))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {*lrpdyn.__all__, "exports"}
    assert all(getattr(lrpdyn, name) for name in dir(lrpdyn))


def test_it_is_one_line_and_its_summary_is_what_compute_says(run: Run) -> None:
    assert repr(run) == f"Run('{run.path}': 5 steps 2 to 30, 5 samples, rule zplus)"
    assert run.summary() == "\n".join(closing_lines(run, 80))
    assert repr(run.summary()) == run.summary()


@pytest.fixture
def axes() -> Iterator[pyplot.Axes]:
    figure, axes = pyplot.subplots()
    yield axes
    pyplot.close(figure)


def test_every_kind_of_one_picture_is_a_figure_and_leaves_no_file(run: Run) -> None:
    one_picture = [k.name for k in KINDS.values() if "png" in k.formats and not k.several_runs]
    assert sorted(get_args(PictureKind)) == sorted(one_picture)
    before = sorted(run.path.rglob("*"))
    for kind in ("dynamics", "trajectory", "layers"):
        assert isinstance(run.plot(kind), Figure)
    assert sorted(run.path.rglob("*")) == before
    assert run.plot("dynamics", dpi=50).dpi == 50


def test_flat_maps_are_bars_in_axes_of_the_user(run: Run, axes: pyplot.Axes) -> None:
    assert run.plot("dynamics", ax=axes, sample=3) is axes
    assert [bar.get_width() for bar in axes.patches] == run.dynamics[3].tolist()
    axes.clear()
    run.plot("filmstrip", ax=axes, sample=3, steps=10)
    assert [bar.get_width() for bar in axes.patches] == run.relevance[10][3].tolist()
    assert axes.get_title() == "relevance, sample 3, step 10"


def test_changes_in_axes_are_those_of_the_table(run: Run, axes: pyplot.Axes) -> None:
    changes = run.transitions["change"].reshape(4, 5)
    run.plot("trajectory", ax=axes)
    np.testing.assert_allclose(axes.lines[0].get_ydata()[1:], np.median(changes, axis=1))
    axes.clear()
    run.plot("trajectory", ax=axes, sample=3)
    np.testing.assert_allclose(axes.lines[0].get_ydata()[1:], changes[:, 3])
    run.plot("raster", ax=axes)
    np.testing.assert_allclose(axes.images[-1].get_array(), changes.T)


def test_maps_are_pictures_in_axes_with_their_scale(
    ppo_folder: Path, images: NDArray[np.uint8], tmp_path: Path, axes: pyplot.Axes
) -> None:
    run = lrpdyn.compute(ppo_folder, images[:1], out=tmp_path / "run", baseline="none",
                         faithfulness="none", interventions=0, limit=2, quiet=True)  # fmt: skip
    run.plot("dynamics", ax=axes)
    np.testing.assert_allclose(axes.images[0].get_array(), run.dynamics[0].sum(0), rtol=1e-5)
    assert "clipped" in axes.get_xlabel()
    run.plot("filmstrip", ax=axes, steps=run.steps[0])
    first = run.relevance[run.steps[0]][0].sum(0)
    np.testing.assert_allclose(axes.images[1].get_array(), first, rtol=1e-3, atol=1e-7)
    low, high = axes.images[1].get_clim()
    assert low == -high


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"kind": "nope"}, "--kind nope: expected dynamics, "),
        ({"kind": "animation"}, "no single picture; lrpdyn plot --kind animation makes it"),
        ({"kind": "filmstrip", "sample": [0, 1]}, "shows one sample, found 2; give one"),
        ({"kind": "dynamics", "sample": 5}, "the run has samples 0 to 4"),
        ({"kind": "filmstrip", "steps": 11}, "has no such step"),
        ({"kind": "layers", "ax": True}, "leave out ax for the whole figure, or draw dynamics"),
        ({"kind": "dynamics", "ax": True, "sample": [0, 1]}, "axes have room for one"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    run: Run, axes: pyplot.Axes, asked: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        run.plot(**{**asked, "ax": axes if asked.get("ax") else None})  # type: ignore[call-overload]


def test_without_anywidget_the_player_says_what_to_install(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "anywidget", None)
    monkeypatch.delitem(sys.modules, "lrpdyn.page.player", raising=False)
    with pytest.raises(
        LrpdynError, match=r"needs the package anywidget: pip install 'lrpdyn\[note"
    ):
        run.player()


def test_in_a_notebook_it_is_its_figure_and_its_three_strongest_outliers(run: Run) -> None:
    html = run._repr_html_()
    assert 'src="data:image/' in html
    assert html.count("<tr>") == 1 + 3
