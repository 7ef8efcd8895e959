"""What differs between seeds, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lrpdyn.comparison.basins import FEWEST, Basins


def basin_lines(found: Basins) -> list[str]:
    """Return sentences on runs that were asked the same: how similar, which basins, since when, by what."""
    count = len(found.runs)
    random = "" if found.random is None else f" (two networks before training: {found.random:.2f})"
    apart = f", at most {found.most_apart:.0%} apart" if found.most_apart else ""
    lines = [
        f"{count} runs of {found.question}: similarity of their last maps {found.similarity:.2f}{random}; "
        f"maps at {found.paired}{apart}."
    ]
    if found.silhouette is None:
        return [*lines, f"Basins are not searched for: {count} runs, {FEWEST} needed."]
    numbers = f"silhouette {found.silhouette:.2f}, by chance in {found.chance:.1%} of single groups"
    if found.number == 1:
        return [*lines, f"One basin: no groups that look at other things ({numbers})."]
    lines.append(f"{found.number} basins, groups that look at other things ({numbers}):")
    for basin in range(1, found.number + 1):
        lines.append(f"basin {basin}: {_members(found, basin)}")
    if 0 in found.basin_of:
        lines.append(f"in none: {_members(found, 0)}")
    lines += [_difference(one) for one in found.differs]
    lines.append(_parting(found))
    return [*lines, *map(_correlation, found.goes_with)]


def short_basin_line(found: Basins, names: Mapping[str, str]) -> str:
    """Return a sentence that says how many basins there are; `names` are short ones of runs, by path."""
    begin = f"Basins of {len(found.runs)} runs of {found.question}: "
    if found.silhouette is None:
        return f"{begin}nobody can tell, for {FEWEST} runs are needed."
    if found.number == 1:
        return f"{begin}one basin."
    parts = [
        f"{basin or 'in none'}: {_members(found, basin, names)}"
        for basin in (*range(1, found.number + 1), *([0] if 0 in found.basin_of else []))
    ]
    return f"{begin}{found.number}, marked by their shapes. {'; '.join(parts)}."


def _members(found: Basins, basin: int, names: Mapping[str, str] | None = None) -> str:
    members = [run for run, of in zip(found.runs, found.basin_of, strict=True) if of == basin]
    return ", ".join(members if names is None else [names[run] for run in members])


def _difference(one: Mapping[str, Any]) -> str:
    where = f"region {one['region']}" if "region" in one else ", ".join(
        f"{name} {'-'.join(map(str, place)) if isinstance(place, list) else place}"
        for name, place in one.items() if name not in ("basin", "share", "share_of_others")
    )  # fmt: skip
    return (
        f"Basin {one['basin']} differs most at {where}: {one['share']:.0%} of its relevance, elsewhere "
        f"{one['share_of_others']:.0%}."
    )


def _parting(found: Basins) -> str:
    at = found.parts_at
    if at is None:
        return f"It is not known when they part: {found.why_no_parting}."
    first = "from the first step on" if at["share"] == 0 else f"from step {at['step']:,} on"
    of_first = "" if found.paired == "the same steps" else f", in {found.runs[0]}"
    return f"They can be told apart {first} ({at['share']:.0%} of training{of_first})."


def _correlation(one: Mapping[str, Any]) -> str:
    begin = f"Basin {one['basin']} and the last {one['column']}"
    if one["correlation"] is None:
        return f"{begin}: too few runs to compare ({one['runs']})."
    goes = "no conclusion can be drawn" if one["low"] <= 0 <= one["high"] else "they go together"
    return (
        f"{begin}: rank correlation {one['correlation']:.2f} (95 % interval {one['low']:.2f} to "
        f"{one['high']:.2f}); {goes}."
    )
