"""Names of the files that a request makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from lrpdyn.api import Run
from lrpdyn.errors import UsageError
from lrpdyn.figures.canvas.look import Look
from lrpdyn.figures.file_names import name_pattern
from lrpdyn.figures.kinds import KINDS, draw
from lrpdyn.figures.request import Request


def test_names_tell_samples_and_formats(of_images: Run, tmp_path: Path) -> None:
    request = Request(samples=[1, 3], formats=["svg", "pdf"], look=Look(dpi=60), out=tmp_path)
    names = [path.name for path in draw([of_images], "dynamics", request)]
    assert names == ["dynamics_sample1-3.svg", "dynamics_sample1-3.pdf"]
    request = Request(samples=[1, 3], look=Look(dpi=60), out=tmp_path)
    names = [path.name for path in draw([of_images], "filmstrip", request)]
    assert names == ["filmstrip_sample1.png", "filmstrip_sample3.png"]
    assert all(name_pattern(KINDS.values()).fullmatch(path.name) for path in tmp_path.iterdir())
    assert (tmp_path / "filmstrip_sample1.txt") in tmp_path.iterdir()
    one = Request(samples=[2], look=Look(dpi=60), out=tmp_path / "new" / "mine.PNG")
    assert draw([of_images], "filmstrip", one) == [tmp_path / "new" / "mine.PNG"]


def test_a_text_of_the_user_is_not_replaced(of_images: Run, tmp_path: Path) -> None:
    (tmp_path / "paper.txt").write_text("my notes\n")
    request = Request(look=Look(dpi=60), out=tmp_path / "paper.png")
    with pytest.raises(UsageError, match=r"paper\.txt: is no caption that lrpdyn wrote"):
        draw([of_images], "raster", request)
    assert [path.name for path in tmp_path.iterdir()] == ["paper.txt"]
    (tmp_path / "paper.txt").unlink()
    for _ in range(2):  # its own caption is replaced
        draw([of_images], "raster", request)
    assert "Change of each sample" in (tmp_path / "paper.txt").read_text(encoding="utf-8")
