"""Writing figures."""

import os
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

import matplotlib
import pytest
from matplotlib.figure import Figure
from PIL import Image

from lrpdyn.errors import RunError, UsageError
from lrpdyn.figures.canvas import layout, saving
from lrpdyn.figures.canvas.look import DEFAULT_LOOK, Look
from lrpdyn.figures.canvas.words import DIFFERENCE, Caption
from lrpdyn.run.layout import CAPTION_END

CAPTION = Caption(
    title="Dynamics", line=["rule zplus"], notes=[f"The sum of {DIFFERENCE}: größer."]
)
TEXT = "Dynamics\nrule zplus\nThe sum of |R_i − R_{i+1}|: größer.\n"


def _settings() -> dict[str, object]:
    # Asking for the backend would choose one.
    return {name: matplotlib.rcParams[name] for name in matplotlib.rcParams if name != "backend"}


def _figure() -> Figure:
    return layout.new_figure(20, 10, 100)


def _save(figure: Figure, path: Path, look: Look = DEFAULT_LOOK) -> None:
    saving.save_figure(figure, path, CAPTION, look)


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_saving_twice_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    settings = _settings()
    paths = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for path in paths:
        with saving.own_settings():
            _save(_figure(), path)
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert {path.name for path in paths} | {"a.txt", "b.txt"} == set(os.listdir(tmp_path))
    assert _settings() == settings


def test_a_caption_lies_next_to_its_figure_and_in_its_metadata(tmp_path: Path) -> None:
    for suffix in (".png", ".svg", ".pdf"):
        _save(_figure(), tmp_path / f"a{suffix}")
        text = (tmp_path / "a.txt").read_text(encoding="utf-8")
        assert text == f"{TEXT}{CAPTION_END}\n"
    with Image.open(tmp_path / "a.png") as picture:
        assert (picture.info["Title"], picture.info["Description"]) == ("Dynamics", TEXT)
    svg = ElementTree.parse(tmp_path / "a.svg")
    assert TEXT in [
        element.text for element in svg.iter("{http://purl.org/dc/elements/1.1/}description")
    ]
    assert "größer".encode("utf-16-be") in (tmp_path / "a.pdf").read_bytes()


def test_a_title_of_the_user_is_that_of_the_caption(tmp_path: Path) -> None:
    _save(_figure(), tmp_path / "a.png", Look(title="Mine"))
    assert (tmp_path / "a.txt").read_text(encoding="utf-8").startswith("Mine\nrule zplus\n")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.info["Title"] == "Mine"


def test_png_names_no_software(tmp_path: Path) -> None:
    _save(_figure(), tmp_path / "a.png")
    assert b"Software" not in (tmp_path / "a.png").read_bytes()


def test_interrupted_saving_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"old")

    def torn(self: Figure, file: IO[bytes], **options: object) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", torn)
    with pytest.raises(RunError, match=r"a\.png: cannot be written: no space is left on its disk"):
        _save(_figure(), target)
    assert target.read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["a.png"]


def test_saving_where_no_folder_can_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"a\.png: cannot be written: (File exists|Not a directory)"):
        _save(_figure(), tmp_path / "file" / "a.png")


def test_saving_under_an_unknown_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"expected a name ending in \.png or \.svg or \.pdf, found \.gif"
    ):
        _save(_figure(), tmp_path / "a.gif")


def test_a_style_of_the_user_changes_nothing(tmp_path: Path) -> None:
    @saving.own_settings()
    def draw(path: Path) -> None:
        figure = _figure()
        layout.add_panel(figure, 2, 2, 10, 5).plot([1, 2])
        _save(figure, path)

    draw(tmp_path / "a.svg")
    with matplotlib.rc_context({"axes.facecolor": "black", "lines.linewidth": 9}):
        draw(tmp_path / "b.svg")
        assert matplotlib.rcParams["lines.linewidth"] == 9
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_too_many_pixels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="70,000 x 10 pixels are too many"):
        _save(layout.new_figure(70_000, 10, 100), tmp_path / "a.png")
