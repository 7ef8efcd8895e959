"""The curves of a page as Bokeh figures without data, which the page's script fills and colours."""

from __future__ import annotations

from typing import Any

from bokeh.embed import json_item
from bokeh.models import (
    BasicTicker,
    ColumnDataSource,
    HoverTool,
    NumeralTickFormatter,
    PrintfTickFormatter,
    Range1d,
)
from bokeh.models.annotations import Span
from bokeh.plotting import figure

from lrpdyn.page.page import Page

_HEIGHT, _TEXT = 126, "12px"
_FONT = "system-ui, sans-serif"


def curve_items(page: Page) -> list[dict[str, Any]]:
    """Return a figure for each series of the page, as Bokeh's plain data."""
    return [_item(series.title, page) for series in page.series]


def history_items(page: Page) -> list[dict[str, Any]]:
    """Return the figures of one pixel's values over training, as Bokeh's plain data."""
    return [_item(title, page) for title in ("Relevance", "Change into the step")]


def _item(title: str, page: Page) -> dict[str, Any]:
    first, last = page.steps[0], page.steps[-1]
    margin = 0.015 * max(last - first, 1)
    panel = _panel(title, Range1d(start=first - margin, end=last + margin), page.step_unit)
    panel.renderers.append(Span(dimension="height", line_width=2, name="cursor"))
    panel.renderers.extend(
        Span(location=phase.first, dimension="height", line_dash="dashed", line_color="#8a8a8a")
        for phase in page.findings.phases[1:]
    )
    item: dict[str, Any] = json_item(panel)  # type: ignore[assignment]
    return item


def _panel(title: str, steps: Range1d, unit: str) -> Any:
    """Return one figure; the script knows its parts by their names."""
    panel = figure(
        name="figure",
        title=title,
        height=_HEIGHT,
        sizing_mode="stretch_width",
        x_range=steps,
        tools="",
        toolbar_location=None,
        min_border_left=60,
        min_border_right=12,
    )
    # Bokeh warns of a range that no data give: these stand in until the script fills them.
    ends = [steps.start, steps.end]
    every = ColumnDataSource({"xs": [ends], "ys": [[0, 1]]}, name="all")
    one = ColumnDataSource({"x": ends, "y": [0, 1]}, name="one")
    marks = ColumnDataSource({"x": ends, "y": [0, 1]}, name="marks")
    panel.multi_line("xs", "ys", source=every, line_color="#8a8a8a", line_alpha=0.45)
    line = panel.line("x", "y", source=one, line_width=2, name="line")
    panel.scatter("x", "y", source=marks, size=10, marker="diamond", line_color=None,
                  name="diamonds")  # fmt: skip
    panel.add_tools(
        HoverTool(
            renderers=[line],
            mode="vline",
            tooltips=[(unit.rstrip("s"), "@x{0,0}"), ("value", "@y{%.4g}")],
            formatters={"@y": "printf"},
        )
    )
    panel.xaxis.formatter = NumeralTickFormatter(format="0.[00]a")
    panel.yaxis.ticker = BasicTicker(desired_num_ticks=3)
    panel.yaxis.formatter = PrintfTickFormatter(format="%.3g")
    for axis in panel.axis:
        axis.major_label_text_font = _FONT
        axis.major_label_text_font_size = _TEXT
        axis.minor_tick_line_color = None
    panel.title.text_font = _FONT  # type: ignore[union-attr]
    panel.title.text_font_size = "13px"  # type: ignore[union-attr]
    panel.title.text_font_style = "normal"  # type: ignore[union-attr]
    panel.update(background_fill_alpha=0, border_fill_alpha=0, outline_line_color=None)
    panel.xgrid.grid_line_color = None
    return panel
