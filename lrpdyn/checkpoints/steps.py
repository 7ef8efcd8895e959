"""Which number in a file, or in its name, says where in training it was saved.

Several numbers of the names that vary are told apart by evidence: words next to them, dates, what rises
together, and when the files changed. Where there is none, the user is asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

from lrpdyn.checkpoints.model import Header, StepCandidate
from lrpdyn.checkpoints.names import (
    MILLISECONDS,
    NO_STEP,
    PARTS,
    SECONDS,
    Number,
    numbers_in,
    template,
    with_dates,
    without_groups,
)

#: In order of preference; a series takes all its steps from one of these.
SOURCES = ("file", "label", "file epoch", "epoch", "number")

#: Fewer files than this may have any two orders by chance; copies are written faster than that.
_FEWEST_TIMES, _LEAST_SECONDS = 7, 1.0
#: The numbers that clocks have shown from 2001 to 2033, in seconds.
_CLOCK = range(10**9, 2 * 10**9)
_COARSE = ("epochs", "episodes", "ep")


@dataclass(kw_only=True)
class Reading:
    """What a file and its name say: candidates by their source (`SOURCES`), or what is open."""

    candidates: dict[str, StepCandidate]
    open: str = ""


@dataclass(kw_only=True)
class Readings:
    """The reading of each of some names, in their order, and what was concluded from all of them."""

    of: list[Reading]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class _Column:
    """One number of names that are alike, in each of them."""

    numbers: Sequence[Number]

    @cached_property
    def values(self) -> list[int]:
        return [n.value for n in self.numbers if n.value is not None]

    @property
    def unit(self) -> str:
        return self.numbers[0].unit

    @cached_property
    def is_usable(self) -> bool:
        """Tell whether it is a whole number in each name, and varies."""
        return len(self.values) == len(self.numbers) and len(set(self.values)) > 1

    @property
    def is_time(self) -> bool:
        return self.unit in (SECONDS, MILLISECONDS)

    @property
    def examples(self) -> str:
        label = f"{self.numbers[0].label} " * bool(self.numbers[0].label)
        return f"{label}{', '.join([n.text for n in self.numbers[:3]])}"

    def follows(self, other: _Column) -> bool:
        """Tell whether it never falls where the other one, without ties, rises."""
        order = sorted(zip(other.values, self.values, strict=True))
        distinct = len(set(other.values)) == len(order)
        return distinct and all(a[1] <= b[1] for a, b in pairwise(order))


def read_steps(
    names: Sequence[str], headers: Sequence[Header], changed: Callable[[int], float]
) -> Readings:
    """Return the numbers that may be the step of each file of a folder.

    Parameters
    ----------
    names
        Their names without what follows the last dot.
    headers
        What their files say.
    changed
        When the file at a place changed, in seconds; asked only where names leave it open.
    """
    found = Readings(of=[Reading(candidates=_of_header(header)) for header in headers])
    steps = {header.step.value if header.step else None for header in headers}
    if None not in steps and len(steps) > 1:
        return found  # names are not needed
    grouped: dict[str, list[int]] = {}
    names = without_groups(names)
    for place, name in enumerate(names):
        grouped.setdefault(template(name), []).append(place)
    levels: dict[int, tuple[Number, Number]] = {}
    for places in grouped.values():
        columns = _columns([names[place] for place in places])
        _read_labels(columns, places, found, levels)
        _read_others(columns, places, names, headers, found, changed)
    _join_levels(levels, found)
    for reading in found.of:
        large = [name for name, step in reading.candidates.items() if abs(step.value) >= 1 << 62]
        for name in large:
            del reading.candidates[name]
    return found


def step_in(name: str) -> StepCandidate | None:
    """Return the step that one name says without others to compare it with."""
    numbers = numbers_in(name)
    known = [n for n in numbers if n.unit not in ("", NO_STEP)] or [
        n for n in numbers if not n.unit
    ]
    return _candidate(known[0]) if len(known) == 1 and known[0].value is not None else None


def unit_at(name: str, place: int) -> str:
    """Return the unit of the number at a place of a name; steps where nothing tells."""
    units = (n.unit for n in numbers_in(name) if n.start <= place < n.end)
    return next((unit for unit in units if unit not in ("", NO_STEP)), "steps")


def _of_header(header: Header) -> dict[str, StepCandidate]:
    known = {"file": header.step, "file epoch": header.epoch}
    return {source: step for source, step in known.items() if step is not None}


def _candidate(number: Number, unit: str = "", source: str = "") -> StepCandidate:
    assert number.value is not None
    source = source or f"name ({number.label})"
    return StepCandidate(value=number.value, unit=unit or number.unit or "steps", source=source)


def _columns(names: Sequence[str]) -> list[_Column]:
    """Return the numbers of names that are alike, dates as one where all of them have one there."""
    plain = [numbers_in(name) for name in names]
    dated = [with_dates(name, numbers) for name, numbers in zip(names, plain, strict=True)]
    if len({tuple(n.unit for n in numbers) for numbers in dated}) > 1:
        dated = plain
    columns = [_Column(numbers) for numbers in zip(*dated, strict=True)]
    return [_as_clock(column) for column in columns]


def _as_clock(column: _Column) -> _Column:
    """Return a column as time where its numbers are what a clock of Unix shows."""
    if column.unit or not column.is_usable:
        return column
    for unit, scale in ((SECONDS, 1), (MILLISECONDS, 1000)):
        within = all(value // scale in _CLOCK for value in column.values)
        if within and any(value % (1000 * scale) for value in column.values):
            return _Column([
                Number(text=n.text, value=n.value, start=n.start, end=n.end, unit=unit,
                       label=n.label or "time")
                for n in column.numbers
            ])  # fmt: skip
    return column


def _read_labels(
    columns: Sequence[_Column],
    places: Sequence[int],
    found: Readings,
    levels: dict[int, tuple[Number, Number]],
) -> None:
    """Note the numbers that words call steps, or epochs and episodes."""
    fine = [c for c in columns if c.unit == "steps" and len(c.values) == len(c.numbers)]
    coarse = [c for c in columns if c.unit in _COARSE and len(c.values) == len(c.numbers)]
    chosen = []
    for source, known in (("label", fine), ("epoch", coarse)):
        varied = [column for column in known if column.is_usable] or known[:1]
        best = [c for c in varied if all(other.follows(c) for other in varied)] or varied[:1]
        if len(varied) > 1 and not any(all(o.follows(c) for o in varied) for c in varied):
            for place in places:
                found.of[place].open = _listed(varied)
            return
        chosen.append(max(best, key=lambda c: max(c.values)) if best else None)
        if best:
            for place, number in zip(places, chosen[-1].numbers, strict=True):  # type: ignore[union-attr]
                found.of[place].candidates[source] = _candidate(number)
    step = chosen[0] or chosen[1]
    parts = [c for c in columns if c.numbers[0].label in PARTS and c.is_usable]
    again = [part for part in parts if step is not None and _begins_again(step, part)]
    if again and step is not None:
        for place in places:
            for source in ("label", "epoch"):
                found.of[place].candidates.pop(source, None)
            found.of[place].open = _listed([*again, step])
        return
    if chosen[0] is not None and chosen[1] is not None:
        both = zip(chosen[1].numbers, chosen[0].numbers, strict=True)
        levels.update(zip(places, both, strict=True))


def _begins_again(step: _Column, part: _Column) -> bool:
    """Tell whether steps fall from one part of a training to the next."""
    order = sorted(zip(part.values, step.values, strict=True))
    return any(a[1] >= b[1] for a, b in pairwise(order))


def _join_levels(levels: dict[int, tuple[Number, Number]], found: Readings) -> None:
    """Order by epoch, then by iteration, where iterations begin again in each epoch."""
    pairs = {(a.value, b.value): (a, b) for a, b in levels.values()}
    coarse, fine = (_Column([pair[at] for pair in pairs.values()]) for at in (0, 1))
    if not pairs or not fine.is_usable or not coarse.is_usable or coarse.follows(fine):
        return
    if min(coarse.values) < 0 or min(fine.values) < 0:
        for place in levels:
            found.of[place].candidates.pop("label")
            found.of[place].open = _listed([coarse, fine])
        return
    size = 10**6 if max(fine.values) < 10**6 else 10**9
    names = f"{coarse.numbers[0].label}, {fine.numbers[0].label}"
    for place, (one, other) in levels.items():
        assert one.value is not None
        assert other.value is not None
        found.of[place].candidates["label"] = StepCandidate(
            value=one.value * size + other.value,
            unit=f"{coarse.unit} x {size:,} + {fine.unit}",
            source=f"name ({names})",
        )
    found.notes.append(
        f"{fine.numbers[0].label} begins again in each {coarse.numbers[0].label}: a step is "
        f"{size:,} x {coarse.numbers[0].label} + {fine.numbers[0].label}"
    )


def _read_others(
    columns: Sequence[_Column],
    places: Sequence[int],
    names: Sequence[str],
    headers: Sequence[Header],
    found: Readings,
    changed: Callable[[int], float],
) -> None:
    """Note the number without a word that may be the step, or what is open."""
    alone = len(names) == 1
    usable = [c for c in columns if c.is_usable or (alone and len(c.values) == len(c.numbers))]
    unknown = [c for c in usable if not c.unit or c.is_time]
    signed = [c for c in unknown if max(c.values) < 0 and len(c.values) > 1]
    chosen, why = _chosen([c for c in unknown if c not in signed])
    if chosen is None and why is None and not signed and len(unknown) > 1:
        chosen = _by_times(unknown, [changed(place) for place in places],
                           [names[place] for place in places])  # fmt: skip
        why = None if chosen is None else "rises with the times at which the files changed"
    if chosen is not None and not signed:
        ordinal = f"number {columns.index(chosen) + 1} of {len(columns)}" * (len(columns) > 1)
        label = chosen.numbers[0].label
        source = f"name ({label if chosen.is_time else ordinal or 'its number'})"
        for place, number in zip(places, chosen.numbers, strict=True):
            unit = chosen.unit or headers[place].counter
            found.of[place].candidates["number"] = _candidate(number, unit, source)
        if why is not None:
            others = "; ".join(c.examples for c in unknown if c is not chosen)
            found.notes.append(
                f"the step is {chosen.examples} ... of the names, not {others} ...: it {why}"
            )
    elif unknown or any(c.is_usable for c in columns):
        asked = unknown or [c for c in columns if c.is_usable]
        text = _listed(asked) + _suggested(names[places[0]], asked[0])
        for place in places:
            found.of[place].open = found.of[place].open or text


def _chosen(unknown: Sequence[_Column]) -> tuple[_Column | None, str | None]:
    """Return the column that must be the step, and why where there are others."""
    different = list({tuple(c.values): c for c in unknown}.values())
    if len(different) <= 1:
        return (different[0], None) if different else (None, None)
    times = [c for c in different if c.is_time]
    plain = [c for c in different if not c.is_time]
    leading = [c for c in different if all(other.follows(c) for other in different)]
    counting = [c for c in leading if not c.is_time and _counts(c.values)]
    if len(counting) == 1:
        return counting[0], "counts evenly, and all that varies rises with it"
    if len(times) == 1 and len(set(times[0].values)) == len(times[0].values):
        return times[0], "is the time, and nothing says that another number is the step"
    if len(leading) == 1 and not leading[0].is_time:
        return leading[0], "alone differs in each name, and the others rise with it"
    if not times and len(leading) == len(plain) == 2:
        one, other = sorted(leading, key=lambda c: max(c.values))
        for shift in (0, 1):
            if _is_multiple(other.values, [value + shift for value in one.values]):
                return other, "is a multiple of the other"
    return None, None


def _counts(values: Sequence[int]) -> bool:
    """Tell whether values are 0, d, 2d ... or d, 2d, 3d ..., three or more."""
    ordered = sorted(values)
    step = ordered[1] - ordered[0]
    even = all(b - a == step for a, b in pairwise(ordered))
    return len(ordered) > 2 and step > 0 and even and ordered[0] in (0, step)


def _is_multiple(values: Sequence[int], units: Sequence[int]) -> bool:
    if any(unit <= 0 for unit in units):
        return False
    factors = {value / unit for value, unit in zip(values, units, strict=True)}
    return len(factors) == 1 and min(factors) >= 2 and min(factors) % 1 == 0


def _by_times(
    unknown: Sequence[_Column], changed: Sequence[float], names: Sequence[str]
) -> _Column | None:
    """Return the one column that rises with the times of the files, where these are of a training.

    Files that were copied have times in the order of their names, or of no meaning, or all at once.
    """
    order = sorted(range(len(names)), key=lambda at: changed[at])
    gaps = [changed[b] - changed[a] for a, b in pairwise(order)]
    by_name = sorted(range(len(names)), key=lambda at: names[at])
    if (
        len(names) < _FEWEST_TIMES
        or min(gaps) < _LEAST_SECONDS
        or order in (by_name, by_name[::-1])
    ):
        return None
    rising = [c for c in unknown if all(c.values[a] < c.values[b] for a, b in pairwise(order))]
    return rising[0] if len(rising) == 1 else None


def _listed(columns: Sequence[_Column]) -> str:
    return " or ".join(f"{column.examples} ..." for column in columns[:4])


def _suggested(name: str, column: _Column) -> str:
    """Return the option that takes a number from names such as `name`, the first of the column."""
    number, parts, at = column.numbers[0], [], 0
    for other in numbers_in(name):
        if other.start >= number.start:
            break
        parts += [re.escape(name[at : other.start]).replace("\\-", "-"), r"[-\d.]+"]
        at = other.end
    parts.append(re.escape(name[at : number.start]).replace("\\-", "-"))
    plain = all(n.text.lstrip("-").isdigit() for n in column.numbers)
    digits = r"\d+" if plain else r"\d[\dkKmMbBeE]*"
    return f", such as --step-from '^{''.join(parts)}(-?{digits})'"
