"""Which versions and devices explained which steps, and what to say where they differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any

#: What last bits of relevance depend on, besides the question: as in a line of the journal.
PARTS = ("lrpdyn", "torch", "numpy", "device", "processor")
_MOST = 3

Environment = Mapping[str, str]


def stretches(steps: Iterable[tuple[int, Environment]]) -> list[dict[str, Any]]:
    """Return the steps, which are in order, in stretches that one environment explained.

    >>> stretches([(0, {"torch": "2.6"}), (10, {"torch": "2.6"}), (20, {"torch": "2.7"})])
    [{'from_step': 0, 'to_step': 10, 'torch': '2.6'}, {'from_step': 20, 'to_step': 20, 'torch': '2.7'}]
    """
    found = []
    for environment, group in groupby(steps, key=itemgetter(1)):
        together = [step for step, _ in group]
        found.append({"from_step": together[0], "to_step": together[-1], **environment})
    return found


def are_same(found: Iterable[Mapping[str, Any]], now: Environment) -> bool:
    """Tell whether all stretches were explained by the environment `now`."""
    return all(_environment(one) == dict(now) for one in found)


def of_results(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return what the results of a run were made with, sums and tables, as `PARTS`."""
    known = {**manifest["environment"], "lrpdyn": manifest["lrpdyn"]}
    known["device"] = str(known.get("device")).partition(":")[0]
    return {part: str(known[part]) for part in PARTS if part in known}


def difference_in_words(found: Iterable[Mapping[str, Any]], now: Environment) -> str:
    """Say which steps were explained by another environment than `now`, and what that means.

    An earlier version of lrpdyn recorded none of a step: it counts as another one.
    """
    found = list(found)
    every = [now, *map(_environment, found)]
    differing = [part for part in PARTS if len({one.get(part) for one in every}) > 1]
    others = [one for one in found if _environment(one) != dict(now)]
    says = [f"{_steps(one)} with {_named(one, differing)}" for one in others[:_MOST]]
    more = f", {len(others) - _MOST} more stretches of steps with others" * (len(others) > _MOST)
    return (
        f"explained before: {', '.join(says)}{more}; all else with {_named(now, differing)}: the promise "
        "of the same bytes does not hold, last bits may differ from those of one run"
    )


def _environment(stretch: Mapping[str, Any]) -> dict[str, Any]:
    return {part: stretch[part] for part in PARTS if part in stretch}


def _steps(stretch: Mapping[str, Any]) -> str:
    begin, end = stretch["from_step"], stretch["to_step"]
    return f"step {begin:,}" if begin == end else f"steps {begin:,} to {end:,}"


def _named(environment: Mapping[str, Any], parts: Iterable[str]) -> str:
    named = [f"{part} {environment[part]}" for part in parts if part in environment]
    return " and ".join(named) or "an earlier lrpdyn"
