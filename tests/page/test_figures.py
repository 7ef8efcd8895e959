"""The curves of a page as Bokeh's own reader finds them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from bokeh.document import Document
from bokeh.models import ColumnDataSource, HoverTool, Span, Title

import lrpdyn
from lrpdyn.page.figures import curve_items, history_items
from lrpdyn.page.findings import Phase
from lrpdyn.page.page import page_of


def read(item: dict[str, Any]) -> Any:
    (panel,) = Document.from_json(item["doc"]).roots
    return panel


def title_of(panel: Any) -> str:
    assert isinstance(panel.title, Title)
    return str(panel.title.text)


def test_every_series_has_a_figure_in_its_order(image_run: lrpdyn.Run) -> None:
    page = page_of(image_run)
    panels = [read(item) for item in curve_items(page)]
    assert len(panels) > 3
    assert [title_of(panel) for panel in panels] == [one.title for one in page.series]
    histories = [title_of(read(item)) for item in history_items(page)]
    assert histories == ["Relevance", "Change into the step"]


def test_the_axis_reaches_a_little_beyond_the_steps(image_run: lrpdyn.Run) -> None:
    panel = read(history_items(page_of(image_run))[0])
    # Steps 0 to 48, and 1.5 % of 48 on each side.
    assert (panel.x_range.start, panel.x_range.end) == pytest.approx((-0.72, 48.72))


def test_phases_after_the_first_begin_at_dashed_lines(image_run: lrpdyn.Run) -> None:
    page = page_of(image_run)
    phases = [(0, 16), (32, 32), (48, 48)]
    found = tuple(Phase(first=first, last=last, sure=None) for first, last in phases)
    page = replace(page, findings=replace(page.findings, phases=found))
    spans = [one for one in read(curve_items(page)[0]).renderers if isinstance(one, Span)]
    assert [span.location for span in spans if span.line_dash] == [32, 48]
    assert [span.name for span in spans if not span.line_dash] == ["cursor"]


def test_the_script_finds_the_parts_by_their_names(image_run: lrpdyn.Run) -> None:
    panel = read(history_items(replace(page_of(image_run), step_unit="updates"))[0])
    sources = {one.name for one in panel.select({"type": ColumnDataSource})}
    assert sources == {"all", "one", "marks"}
    (hover,) = panel.select({"type": HoverTool})
    assert hover.tooltips[0][0] == "update"
    assert [one.name for one in hover.renderers] == ["line"]
