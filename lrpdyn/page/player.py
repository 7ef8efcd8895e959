"""The page of a run as a widget of a notebook; needs anywidget."""

from __future__ import annotations

from typing import ClassVar

import anywidget
import traitlets

from lrpdyn.page.page import page_of
from lrpdyn.page.render import as_html, source_of
from lrpdyn.run.reader import RunFolder


class Player(anywidget.AnyWidget):
    """The page of a run, whose `step` and `sample` are shown, and can be set.

    A step or a sample that the page does not have becomes the nearest step, and the sample shown.
    """

    _esm: ClassVar[str] = source_of("widget.js")

    page = traitlets.Unicode(help="The page as HTML.").tag(sync=True)
    step = traitlets.Int(help="The step that is shown.").tag(sync=True)
    sample = traitlets.Int(help="The sample that is chosen.").tag(sync=True)
    height = traitlets.Int(help="Pixels.").tag(sync=True)

    def __repr__(self) -> str:
        return f"Player(step={self.step}, sample={self.sample})"  # not the whole page


def player_of(run: RunFolder, *, name: str | None, note: str, height: int) -> Player:
    """Return the page of a run as a widget.

    Raises
    ------
    RunError
        A file of the run cannot be read.
    """
    page = page_of(run, name=name, note=note)
    return Player(
        page=as_html(page, alone=False),
        step=page.kept.steps[-1],
        sample=page.samples[0],
        height=height,
    )
