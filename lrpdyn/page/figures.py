"""The curves of a page as Bokeh figures without data, which the page's script fills and colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bokeh.embed import json_item
from bokeh.layouts import column
from bokeh.models import (
    BasicTicker,
    ColumnDataSource,
    DataRange1d,
    HoverTool,
    NumeralTickFormatter,
)
from bokeh.models.annotations import Span
from bokeh.plotting import figure

from lrpdyn.page.page import Page

_HEIGHT, _TEXT = 126, "12px"
_FONT = "system-ui, sans-serif"


def curves_item(page: Page) -> dict[str, Any]:
    """Return the figures of the series, one below the other, as Bokeh's plain data."""
    borders = [phase.first for phase in page.findings.phases[1:]]
    return _item([series.title for series in page.series], "curve", page.step_unit, borders)


def history_item(page: Page) -> dict[str, Any]:
    """Return the figures of one pixel's values over training, as Bokeh's plain data."""
    borders = [phase.first for phase in page.findings.phases[1:]]
    return _item(["Relevance of the pixel", "Its change into the step"], "history", page.step_unit,
                 borders)  # fmt: skip


def _item(titles: Sequence[str], kind: str, unit: str, borders: Sequence[int]) -> dict[str, Any]:
    steps = DataRange1d(range_padding=0.02)
    cursor = Span(dimension="height", line_width=2, name="cursor")
    panels = []
    for place, title in enumerate(titles):
        panel = _panel(title, place, kind, steps, unit)
        panel.renderers.append(cursor)
        panel.renderers.extend(
            Span(location=border, dimension="height", line_dash="dashed", line_color="#8a8a8a")
            for border in borders
        )
        panels.append(panel)
    item: dict[str, Any] = json_item(column(*panels, sizing_mode="stretch_width"))  # type: ignore[assignment]
    return item


def _panel(title: str, place: int, kind: str, steps: DataRange1d, unit: str) -> Any:
    panel = figure(
        height=_HEIGHT,
        sizing_mode="stretch_width",
        x_range=steps,
        title=title,
        tools="",
        toolbar_location=None,
        name=f"{kind}-{place}",
        min_border_left=52,
        min_border_right=12,
    )
    # What is not of the chosen sample stands behind it.
    every = ColumnDataSource({"xs": [], "ys": []}, name=f"{kind}-{place}-all")
    one = ColumnDataSource({"x": [], "y": []}, name=f"{kind}-{place}-one")
    marks = ColumnDataSource({"x": [], "y": []}, name=f"{kind}-{place}-marks")
    panel.multi_line("xs", "ys", source=every, line_color="#8a8a8a", line_alpha=0.45)
    line = panel.line("x", "y", source=one, line_width=2, name=f"{kind}-{place}-line")
    panel.scatter("x", "y", source=marks, size=10, marker="diamond", line_color=None,
                  name=f"{kind}-{place}-diamonds")  # fmt: skip
    panel.add_tools(
        HoverTool(
            renderers=[line],
            mode="vline",
            tooltips=[(unit.rstrip("s"), "@x{0,0}"), ("value", "@y{0.0000}")],
        )
    )
    panel.xaxis.formatter = NumeralTickFormatter(format="0.[00]a")
    panel.yaxis.ticker = BasicTicker(desired_num_ticks=3)
    for axis in panel.axis:
        axis.major_label_text_font = _FONT
        axis.major_label_text_font_size = _TEXT
        axis.minor_tick_line_color = None
    panel.title.text_font = _FONT  # type: ignore[union-attr]
    panel.title.text_font_size = "13px"  # type: ignore[union-attr]
    panel.title.text_font_style = "normal"  # type: ignore[union-attr]
    panel.background_fill_alpha = 0
    panel.border_fill_alpha = 0
    panel.outline_line_color = None
    panel.xgrid.grid_line_color = None
    return panel
