"""Three figures beside pictures of them that were looked at.

A font is drawn a little differently by other versions of the libraries: pictures are compared in
blocks of 4 x 4 pixels, and a few blocks may differ. ``python -m tests.figures.test_images`` draws the
references anew; look at them before they are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lrpdyn.figures.canvas.look import Look
from lrpdyn.figures.canvas.words import About
from lrpdyn.figures.drawings.filmstrip import draw_filmstrip
from lrpdyn.figures.drawings.heatmap import Moved, draw_heatmap
from lrpdyn.figures.drawings.raster import Mark, draw_raster
from lrpdyn.figures.run_data import Flags

REFERENCES = Path(__file__).parent / "references"
ABOUT, LOOK = About(rule="zplus", question="unit preferred at each step"), Look(dpi=50)
BLOCK, TOLERANCE, LARGEST_SHARE = 4, 16, 0.01


def _blob(row: float, column: float, width: float) -> np.ndarray:
    rows, columns = np.indices((24, 24))
    return np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / width)


def _heatmap(path: Path) -> None:
    observations = np.stack([[_blob(5, 5, 9)], [_blob(18, 12, 9)]])
    dynamics = observations * 0.01 + _blob(12, 20, 4) * 0.02
    moved = Moved(
        dynamics=dynamics,
        net_change=dynamics**2 * 20,
        relative=dynamics[:, 0] / (dynamics[:, 0] + 0.01),
    )
    draw_heatmap(path, observations, moved, steps=[0, 1_000, 2_000], about=ABOUT, look=LOOK)


def _filmstrip(path: Path) -> None:
    def relevance(step: int) -> np.ndarray:
        return np.array([_blob(5, 5, 9) * step / 1_000 - _blob(18, 5 + step / 50, 6)])

    draw_filmstrip(
        path, np.array([_blob(5, 5, 9)]), range(0, 1_000, 50), relevance, about=ABOUT, sample=3,
        flags=Flags({500: "far"}, {50: "vanished"}), look=LOOK,
    )  # fmt: skip


def _raster(path: Path) -> None:
    change = np.abs(np.sin(np.arange(60.0) * 1.7)).reshape(12, 5)
    change[7] += 2
    ends = [(step, step + 1_000) for step in range(0, 12_000, 1_000)]
    marks = [Mark(column=7, row=row, kind="far") for row in range(5)] + [
        Mark(column=2, row=1, kind="mild"),
        Mark(column=4, row=0, kind="pathology"),
    ]
    draw_raster(
        path, change, ends, range(5), marks, about=ABOUT, borders=[8_000], look=Look(dpi=80)
    )


FIGURES: dict[str, Callable[[Path], None]] = {
    "heatmap": _heatmap,
    "filmstrip": _filmstrip,
    "raster": _raster,
}


def _blocks(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        values = np.asarray(picture.convert("RGB")).astype(np.float64)
    height, width = (side // BLOCK * BLOCK for side in values.shape[:2])
    cut = values[:height, :width]
    return cut.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK, 3).mean(axis=(1, 3))


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_looks_as_it_did(name: str, tmp_path: Path) -> None:
    FIGURES[name](tmp_path / "now.png")
    now, then = _blocks(tmp_path / "now.png"), _blocks(REFERENCES / f"{name}.png")
    assert now.shape == then.shape
    differing = (np.abs(now - then).max(axis=-1) > TOLERANCE).mean()
    assert differing <= LARGEST_SHARE


if __name__ == "__main__":
    for name, draw in FIGURES.items():
        draw(REFERENCES / f"{name}.png")
