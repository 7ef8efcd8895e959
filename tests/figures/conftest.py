"""What the tests of figures share."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from lrpdyn.figures.canvas import saving


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Figures as they were saved; where there is no folder for them, they are kept alone."""
    figures: list[Figure] = []
    save = saving.save_figure

    def keep(figure: Figure, path: str | Path) -> None:
        figures.append(figure)
        if Path(path).is_absolute():
            save(figure, path)

    monkeypatch.setattr(saving, "save_figure", keep)
    return figures
