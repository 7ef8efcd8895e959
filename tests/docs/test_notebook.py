"""The page on notebooks as a notebook: its code in a real kernel, and what is shown below each cell."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from numpy.typing import NDArray
from PIL import Image

from tests.docs.blocks import blocks_of

PAGE = Path(__file__).parents[2] / "docs" / "notebook.md"
#: What a person may look at after a test run; git ignores it.
PICTURES = Path(__file__).parents[2] / "build" / "notebook"
WIDGET, PNG = "application/vnd.jupyter.widget-view+json", "image/png"


@pytest.fixture(scope="module")
def cells(
    ppo_folder: Path, images: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory
) -> list[nbformat.NotebookNode]:
    """The cells of the page after they were run, with their outputs."""
    folder = tmp_path_factory.mktemp("notebook")
    (folder / "ckpts").symlink_to(ppo_folder)
    np.save(folder / "obs.npy", images)
    code = [block.text for block in blocks_of(PAGE) if block.language == "python"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in code])
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": folder}}).execute()
    PICTURES.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, PICTURES / "notebook.ipynb")
    found: list[nbformat.NotebookNode] = notebook.cells
    return found


def outputs(cells: list[nbformat.NotebookNode], begin: str) -> list[nbformat.NotebookNode]:
    """Return the outputs of the one cell that has a line which begins so."""
    (found,) = (
        cell for cell in cells if any(line.startswith(begin) for line in cell.source.splitlines())
    )
    shown: list[nbformat.NotebookNode] = found.outputs
    return shown


def data_of(cells: list[nbformat.NotebookNode], begin: str, kind: str) -> Any:
    """Return what a cell shows as this kind of data, which it shows once."""
    shown = [one.data for one in outputs(cells, begin) if "data" in one]
    (found,) = (one[kind] for one in shown if kind in one)
    return found


def picture(cells: list[nbformat.NotebookNode], begin: str, name: str) -> Image.Image:
    """Return the picture that a cell shows, which a person can look at too."""
    found = Image.open(io.BytesIO(base64.b64decode(data_of(cells, begin, PNG))))
    found.save(PICTURES / f"{name}.png")
    return found


def test_nothing_complains(cells: list[nbformat.NotebookNode]) -> None:
    text = [one.text for cell in cells for one in cell.outputs if one.output_type == "stream"]
    assert not [one for one in text if "warn" in one.lower()]
    assert not [one for cell in cells for one in cell.outputs if one.get("name") == "stderr"]


def test_progress_is_shown_as_bars(cells: list[nbformat.NotebookNode]) -> None:
    bars = [
        one.data["text/plain"] for one in outputs(cells, "run = ") if WIDGET in one.get("data", ())
    ]
    assert [bar for bar in bars if bar.startswith("explaining")]


def test_a_run_is_a_line_and_a_picture_of_less_than_100_kb(
    cells: list[nbformat.NotebookNode],
) -> None:
    html = data_of(cells, "run = ", "text/html")
    assert len(html) < 100_000
    assert "<img" in html
    last = outputs(cells, "run = ")[-1].data["text/plain"]
    assert last == "Run('lrpdyn-run': 4 steps 0 to 48, 4 samples, rule gamma)"


def test_its_summary_is_lines(cells: list[nbformat.NotebookNode]) -> None:
    said, _ = outputs(cells, "print(run.summary")
    assert "\nCan you trust the maps?\n" in said.text
    assert max(map(len, said.text.splitlines())) <= 80
    checks: Mapping[str, Any] = eval(data_of(cells, "print(run.summary", "text/plain"))
    assert checks["median"] > 0


def test_steps_and_maps(cells: list[nbformat.NotebookNode]) -> None:
    steps, shape = outputs(cells, "some = ")
    assert steps.text == "()\n"
    assert shape.data["text/plain"] == "(4, 4, 84, 84)"


def test_figures_are_seen(cells: list[nbformat.NotebookNode]) -> None:
    strip, own = (
        picture(cells, 'run.plot("filmstrip"', "filmstrip"),
        picture(cells, "figure,", "axes"),
    )
    assert min(strip.width, own.width) > 500
    for shown in (strip, own):
        assert len(np.unique(np.asarray(shown.convert("RGB")).reshape(-1, 3), axis=0)) > 100


def test_the_player_is_a_widget(cells: list[nbformat.NotebookNode]) -> None:
    assert data_of(cells, "player = ", WIDGET)["model_id"]
    assert len(data_of(cells, "player = ", "text/plain")) < 100, "not the page"
