"""The curves of a page as Bokeh figures without data, which the page's script fills and colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bokeh.embed import json_item
from bokeh.layouts import column
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
#: As many figures beside each other as there is room for.
_GRID = {
    "display": "grid",
    "grid-template-columns": "repeat(auto-fill, minmax(min(100%, 300px), 1fr))",
}
_FONT = "system-ui, sans-serif"


def curves_item(page: Page) -> dict[str, Any]:
    """Return the figures of the series, one below the other, as Bokeh's plain data."""
    return _item("curve", [series.title for series in page.series], page)


def history_item(page: Page) -> dict[str, Any]:
    """Return the figures of one pixel's values over training, as Bokeh's plain data."""
    return _item("history", ["Relevance", "Change into the step"], page)


def _item(kind: str, titles: Sequence[str], page: Page) -> dict[str, Any]:
    first, last = page.steps[0], page.steps[-1]
    margin = 0.015 * max(last - first, 1)
    steps = Range1d(start=first - margin, end=last + margin)
    cursor = Span(dimension="height", line_width=2, name="cursor")
    borders = [
        Span(location=phase.first, dimension="height", line_dash="dashed", line_color="#8a8a8a")
        for phase in page.findings.phases[1:]
    ]
    panels = []
    for place, title in enumerate(titles):
        panel = _panel(f"{kind}-{place}", title, steps, page.step_unit)
        panel.renderers.extend([cursor, *borders])
        panels.append(panel)
    item: dict[str, Any] = json_item(column(*panels, sizing_mode="stretch_width", styles=_GRID))  # type: ignore[assignment]
    return item


def _panel(name: str, title: str, steps: Range1d, unit: str) -> Any:
    """Return one figure; the script knows its parts by their names."""
    panel = figure(
        name=name,
        title=title,
        height=_HEIGHT,
        sizing_mode="stretch_width",
        x_range=steps,
        tools="",
        toolbar_location=None,
        min_border_left=52,
        min_border_right=12,
    )
    # Bokeh warns of a range that no data give: these stand in until the script fills them.
    ends = [steps.start, steps.end]
    every = ColumnDataSource({"xs": [ends], "ys": [[0, 1]]}, name=f"{name}-all")
    one = ColumnDataSource({"x": ends, "y": [0, 1]}, name=f"{name}-one")
    marks = ColumnDataSource({"x": ends, "y": [0, 1]}, name=f"{name}-marks")
    panel.multi_line("xs", "ys", source=every, line_color="#8a8a8a", line_alpha=0.45)
    line = panel.line("x", "y", source=one, line_width=2, name=f"{name}-line")
    panel.scatter("x", "y", source=marks, size=10, marker="diamond", line_color=None,
                  name=f"{name}-diamonds")  # fmt: skip
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
    panel.background_fill_alpha = 0
    panel.border_fill_alpha = 0
    panel.outline_line_color = None
    panel.xgrid.grid_line_color = None
    return panel
