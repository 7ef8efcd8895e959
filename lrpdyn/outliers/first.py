"""What to look at first, in plain sentences: everything unusual about one place is one finding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lrpdyn.files.names import NO_NAMES, Names, called
from lrpdyn.outliers.causes import meaning_of, with_share

#: The order of findings: what is broken, what does not belong here, what changed, what lasts.
_ORDER = ("not_finite", "swapped_order", "off_path", "restart", "statistics_reset", "far", "weight_jump",
          "vanished_relevance", "unstable_denominator", "map_lost_meaning", "dead_layer",
          "duplicate_checkpoint", "cells", "dormant_units", "near_copy", "mild", "small jump", "began",
          "step_gap", "samples")  # fmt: skip
_HEADLINES = {
    "swapped_order": "very likely in the wrong order.",
    "restart": "training began anew, or went on from an earlier checkpoint.",
    "statistics_reset": "the running statistics of BatchNorm began anew.",
    "duplicate_checkpoint": "holds the same weights as the one before.",
    "near_copy": "nearly a copy of the one before.",
}
Entry = Mapping[str, Any]


def findings(report: Entry) -> list[dict[str, Any]]:
    """Return what is unusual, what to look at first before what follows.

    Each is {``words``: a headline and what explains it, ``where``, ``kind``, ``severity``}.

    Parameters
    ----------
    report
        With all its entries; ``weights``, ``conditions``, ``layers`` and ``cell_groups`` included.
    """
    found = [*_of_weights(report), *_of_conditions(report)]
    covered = {_ends(one["where"]) for one in found}
    steps_off = {one["where"]["step"] for one in found if one["kind"] in _AT_BOTH_ENDS}
    steps_off |= {entry["other_step"] for entry in report["weights"] if "other_step" in entry}
    for entry in report["steps"]:
        if entry["severity"] == "none":
            continue
        ends = (entry["where"]["from_step"], entry["where"]["to_step"])
        jump = next(
            (one for one in found if one["kind"] == "weight_jump" and _ends(one["where"]) == ends),
            None,
        )
        if jump is not None:  # what the weights did and what the maps did is one finding
            jump["words"][1:1] = [f"the maps changed {_times(entry)} as much as usual there"]
        elif not steps_off & set(ends) and ends not in covered:
            found.append(_of_step(entry))
    names: Names = report.get("names", {})
    covered |= {_ends(one["where"]) for one in found}
    found += [
        _of_group(group, names)
        for group in report["cell_groups"]
        if group["severity"] == "far"
        and _ends(group["where"]) not in covered
        and not steps_off & set(_ends(group["where"]))
    ]
    for one in found:
        one["words"] += _of_layers(report.get("layers", ()), one["where"])
    found = _in_a_row(found)
    far = [entry for entry in report["samples"] if entry["severity"] == "far"]
    found += [_of_samples(far, report["totals"]["samples"]["values"], names)] if far else []
    return sorted(found, key=lambda one: _rank(one.pop("order")))


def _in_a_row(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return findings of which jumps that follow each other, or a restart, are one."""
    may_follow = [one for one in found if one["kind"] == "weight_jump" and one["order"] != "began"]
    jumps = {one["where"]["from_step"]: one for one in may_follow}
    starts = [*may_follow, *(one for one in found if one["kind"] == "restart")]
    part_of: set[int] = set()
    for one in sorted(starts, key=lambda one: int(one["where"]["from_step"])):
        if one["kind"] == "weight_jump" and one["where"]["from_step"] in part_of:
            continue
        row: list[dict[str, Any]] = []
        while (end := (row[-1] if row else one)["where"]["to_step"]) in jumps:
            row.append(jumps[end])
            part_of.add(end)
        if not row:
            continue
        if one["kind"] == "restart":
            one["words"].append(f"the weights moved more than usual up to step {end:,}")
            continue
        strongest = min([one, *row], key=lambda jump: _rank(jump["order"]))
        begin, to = one["where"]["from_step"], one["where"]["to_step"]
        which = strongest["where"]
        first = (
            f"most from {which['from_step']:,} to {which['to_step']:,}"
            if strongest is not one
            else ""
        )
        one["words"] = [
            f"{begin:,} -> {end:,}: the weights jumped in {len(row) + 1:,} transitions in a row.",
            *([first] if first else [f"first, and most, up to {to:,}"]),
            *strongest["words"][1:],
        ]
        one["where"], one["order"] = {"from_step": begin, "to_step": end}, strongest["order"]
        one["severity"] = strongest["severity"]
    return [
        one
        for one in found
        if one["kind"] != "weight_jump" or one["where"]["from_step"] not in part_of
    ]


def _of_samples(far: Sequence[Entry], of: int, names: Names) -> dict[str, Any]:
    numbers = [entry["where"]["sample"] for entry in far]
    listed = ", ".join(called(names, "samples", number, word="") for number in numbers[:6])
    which = listed + (" and others" if len(numbers) > 6 else "")
    what, change = ("sample", "changes") if len(numbers) == 1 else ("samples", "change")
    words = f"{what} {which}: {change} far more than the other {of - len(numbers):,} over the whole run."
    return _finding("samples", {"sample": numbers[0]}, [words], order="samples")


def _rank(order: str) -> int:
    """Return the place of a kind of finding in the order; a cause that was added goes last."""
    return _ORDER.index(order) if order in _ORDER else len(_ORDER)


_AT_BOTH_ENDS = ("off_path", "swapped_order", "not_finite", "statistics_reset")


def _finding(
    kind: str,
    where: Mapping[str, int],
    words: Sequence[str],
    *,
    severity: str = "far",
    order: str = "",
) -> dict[str, Any]:
    return {
        "words": [word for word in words if word],
        "where": dict(where),
        "kind": kind,
        "severity": severity,
        "order": order or kind,
    }


def _ends(where: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(where[name] for name in ("from_step", "to_step", "step") if name in where)


def _of_weights(report: Entry) -> list[dict[str, Any]]:
    found = []
    for entry in report["weights"]:
        where, cause, evidence = entry["where"], entry["cause"], entry["evidence"]
        if cause == "step_gap":
            place = f"{where['from_step']:,} -> {where['to_step']:,}"
            words = [f"{place}: checkpoints are missing in between.", evidence]
            found.append(_finding(cause, where, words, severity="mild"))
            continue
        if cause == "weight_jump":
            place = f"{where['from_step']:,} -> {where['to_step']:,}"
            began = entry["value"] is None
            what = "layers that stood still began to move." if began else "the weights jumped."
            if not began and all(name.endswith(" statistics") for name in entry["layers"]):
                what = "the running statistics jumped."
            words = [f"{place}: {what}", evidence]
            order = "began" if began else "small jump" if entry["severity"] == "mild" else ""
            found.append(_finding(cause, where, words, severity=entry["severity"], order=order))
            continue
        place = (
            f"checkpoint {where['step']:,}"
            if "step" in where
            else f"checkpoint {where['to_step']:,}"
        )
        if cause == "swapped_order":
            place = f"checkpoints {where['step']:,} and {entry['other_step']:,}"
        headline = _HEADLINES.get(cause) or _of_detour(entry)
        words = [f"{place}: {headline}", evidence]
        if cause == "off_path" and entry["without"] is not None:
            before, after = entry["without"]
            words.append(f"without it, {before:,} -> {after:,} is an ordinary step")
        found.append(_finding(cause, where, words, severity=entry["severity"]))
    return found


def _of_detour(entry: Entry) -> str:
    if entry["like_step"] is not None:
        return f"very likely a copy of checkpoint {entry['like_step']:,} of this run."
    if entry["all_layers"]:
        return "very likely not of this run (or a bad file)."
    return f"very likely damaged, or changed by hand ({', '.join(entry['layers'][:3])})."


def conditions(pathologies: Sequence[Entry], explained: Sequence[int]) -> list[dict[str, Any]]:
    """Return what is wrong by itself, one for each cause, and layer, over steps that follow each other.

    Parameters
    ----------
    pathologies
        Entries of the report.
    explained
        All steps that were explained, in order.
    """
    order = {step: place for place, step in enumerate(explained)}
    found = []
    for (cause, layer), those in _grouped(pathologies):
        places = sorted({order[entry["where"]["step"]] for entry in those})
        for stretch in _stretches(places):
            steps = {explained[place] for place in stretch}
            inside = [entry for entry in those if entry["where"]["step"] in steps]
            samples = {entry["where"]["sample"] for entry in inside if "sample" in entry["where"]}
            first = inside[0]
            evidence = first["causes"][0]["evidence"]
            found.append({
                "cause": cause,
                "layer": layer,
                "first_step": min(steps),
                "last_step": max(steps),
                "steps": len(steps),
                "samples": sorted(samples),
                "evidence": evidence.removeprefix(f"step {first['where']['step']:,}: "),
            })  # fmt: skip
    return found


def _of_conditions(report: Entry) -> list[dict[str, Any]]:
    told = {(entry["cause"], entry["where"].get("step")) for entry in report["weights"]}
    found = []
    for one in report["conditions"]:
        if (one["cause"], one["first_step"]) in told:
            continue
        headline = f"{when(one, report.get('names', NO_NAMES))}: {meaning_of(one['cause'])}."
        found.append(
            _finding(one["cause"], {"step": one["first_step"]}, [headline, one["evidence"]])
        )
    return found


def when(condition: Entry, names: Names = NO_NAMES) -> str:
    """Return at which steps, and in which sample or how many, a condition is, in words."""
    first, last, count = (condition[name] for name in ("first_step", "last_step", "steps"))
    steps = f"step {first:,}" if count == 1 else f"{count:,} steps from {first:,} to {last:,}"
    samples = condition["samples"]
    if len(samples) == 1:
        return f"{steps}, {called(names, 'samples', samples[0])}"
    return steps + (f", {len(samples):,} samples" if samples else "")


def _grouped(pathologies: Iterable[Entry]) -> list[tuple[tuple[str, str], list[Entry]]]:
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in pathologies:
        cause, evidence = entry["causes"][0]["cause"], entry["causes"][0]["evidence"]
        layer = evidence.partition(": ")[0] if cause in ("dead_layer", "dormant_units") else ""
        groups.setdefault((cause, layer), []).append(entry)
    return list(groups.items())


def _stretches(places: Sequence[int]) -> list[list[int]]:
    """Return places in stretches that follow each other; a gap of one is bridged.

    >>> _stretches([1, 2, 4, 9])
    [[1, 2, 4], [9]]
    """
    found: list[list[int]] = []
    for place in places:
        if found and place - found[-1][-1] <= 2:
            found[-1].append(place)
        else:
            found.append([place])
    return found


def _of_step(entry: Entry) -> dict[str, Any]:
    where = entry["where"]
    often = {
        "lasting": " and stayed so",
        "spike": " and came back",
        "shift": ": from here on they change more",
    }
    words = [
        f"{where['from_step']:,} -> {where['to_step']:,}: the maps changed {_times(entry)} as much as usual"
        f"{often.get(entry['form'] or '', '')}.",
        "; ".join(with_share(one["cause"], one["share"]) for one in main_causes(entry)[:2]),
    ]
    return _finding("step", where, words, severity=entry["severity"], order=entry["severity"])


def main_causes(entry: Entry) -> list[Mapping[str, Any]]:
    """Return the causes of an entry that are worth a word, strongest first."""
    return [cause for cause in entry["causes"] if cause["share"] is None or cause["share"] >= 0.1][
        :4
    ]


def _times(entry: Entry) -> str:
    return f"{entry['value'] / entry['usual']:.2g} times" if entry["usual"] else "far more than"


def _of_group(group: Entry, names: Names) -> dict[str, Any]:
    where, cells = group["where"], group["cells"]
    if "sample" in where:
        sample = called(names, "samples", where["sample"])
        words = f"{sample}: its map changed far more than usual in {cells:,} transitions."
    else:
        words = (
            f"{where['from_step']:,} -> {where['to_step']:,}: the maps of {cells:,} samples changed far "
            "more than usual."
        )
    return _finding("cells", where, [words])


def _of_layers(layers: Iterable[Entry], where: Mapping[str, int]) -> list[str]:
    """Return who made the change at a place, as putting layers back showed."""
    for entry in layers:
        ends = (entry["from_step"], entry["to_step"])
        here = where.get("step") == ends[1] or _ends(where) == ends
        if here and entry["layers"]:
            return [str(entry["words"])]
    return []
