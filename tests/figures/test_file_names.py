"""Names of the files that a request makes."""

from __future__ import annotations

from pathlib import Path

from lrpdyn.api import Run
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
    one = Request(samples=[2], look=Look(dpi=60), out=tmp_path / "new" / "mine.PNG")
    assert draw([of_images], "filmstrip", one) == [tmp_path / "new" / "mine.PNG"]
