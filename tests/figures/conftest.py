"""What the tests of figures share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray

import lrpdyn
from lrpdyn.api import Run
from lrpdyn.figures.canvas import saving
from lrpdyn.figures.canvas.look import Look
from lrpdyn.figures.canvas.words import Caption


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Figures as they were saved, labelled with their captions; without a folder they are kept alone."""
    figures: list[Figure] = []
    save = saving.save_figure

    def keep(figure: Figure, path: str | Path, caption: Caption, look: Look) -> None:
        figure.set_label(caption.text(look.title))
        figures.append(figure)
        if Path(path).is_absolute():
            save(figure, path, caption, look)

    monkeypatch.setattr(saving, "save_figure", keep)
    return figures


@pytest.fixture(scope="session")
def of_images(
    ppo_folder: Path, images: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """A run on images."""
    out = tmp_path_factory.mktemp("of_images") / "run"
    return lrpdyn.compute(ppo_folder, images, rule="zplus", out=out, quiet=True)


@pytest.fixture
def of_vectors(mlp_folder: Path, vectors: NDArray[np.float32], tmp_path: Path) -> Run:
    """A run on flat observations, normalised."""
    return lrpdyn.compute(
        mlp_folder, vectors, rule="epsilon", out=tmp_path / "run", normalize="l1",
        quiet=True, arch_args={"activation": "tanh"},
    )  # fmt: skip
