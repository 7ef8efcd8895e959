"""The sections of a report next to the outliers: phases, regions, agreement, training curve."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Draw = Callable[[list[list[str]]], list[str]]


def context(report: Mapping[str, Any], draw: Draw, heading: str) -> list[str]:
    """Return the lines on phases, regions and agreement, as far as the report has them."""
    return [
        *_phases(report.get("phases"), heading),
        *_regions(report.get("regions"), draw, heading),
        *_agreement(report.get("agreement"), heading),
        *_curve(report.get("curve"), draw, heading),
    ]


def _phases(phases: Mapping[str, Any] | None, heading: str) -> list[str]:
    if phases is None:
        return []
    begin = f"{heading}phases of {phases['of']}: "
    if not phases["borders"]:
        return [f"{begin}none told; {phases['why']}", ""]
    borders = ", ".join(
        f"{border['step']:,} ({100 * border['sure']:.0f} % sure)" for border in phases["borders"]
    )
    share = f"{100 * phases['explained']:.0f} % of the variation"
    return [f"{begin}a new one begins at {borders}; they describe {share}", ""]


def _regions(regions: Mapping[str, Any] | None, draw: Draw, heading: str) -> list[str]:
    if regions is None:
        return []
    steps = regions["steps"]
    chosen = sorted({0, len(steps) // 2, len(steps) - 1}) if steps else []
    head = ["region", *(f"at {steps[i]:,}" for i in chosen), "agreement over steps"]
    rows = [
        [
            name,
            *(
                f"{_number(regions['share'][r][i], '.1%')}, {_number(regions['effect'][r][i], '.3g')}"
                for i in chosen
            ),
            _number(regions["agreement"][r], "+.2f"),
        ]
        for r, name in enumerate(regions["names"])
    ]
    over = _number(regions["agreement_over_regions"], "+.2f")
    return [
        f"{heading}regions: share of sum|R|, effect of painting over (means over samples)",
        "",
        *draw([head, *rows]),
        f"  rank agreement of shares under {regions['rule']} with effects, over regions, median over "
        f"steps: {over}",
        "",
    ]


def _agreement(agreement: Mapping[str, Any] | None, heading: str) -> list[str]:
    """Return how well relevance ranks patches as painting them over does."""
    if agreement is None:
        return []
    parts = [
        f"step {one['step']:,}: {_number(one['rule'], '+.2f')} "
        f"(gradient x input {_number(one['gradient'], '+.2f')})"
        for one in agreement["steps"]
    ]
    return [
        f"{heading}agreement of {agreement['rule']} with painting patches over: {'; '.join(parts)}",
        "",
    ]


def _curve(curve: Mapping[str, Any] | None, draw: Draw, heading: str) -> list[str]:
    if curve is None:
        return []
    rows = [
        [
            one["series"],
            _number(one["rank_correlation"], "+.2f"),
            "too few steps" if one["p"] is None else f"{one['p']:.2g}",
            str(one["steps"]),
        ]
        for one in curve["series"]
    ]
    return [
        f"{heading}beside {curve['source']} (p: share of circular shifts that do as well)",
        "",
        *draw([["series", "rank correlation", "p", "steps"], *rows]),
        "",
    ]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
