"""Whether the maps of a run can be trusted, in a few sentences: first of all that is said of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lrpdyn.files.text import wrapped
from lrpdyn.run.question import has_preference, rule_parts, unit_of
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.series import table_series

QUESTION = "Can you trust the maps?"
#: Maps whose cosine is above the first hardly depend on what was changed, above the second partly.
HARDLY, PARTLY = 0.9, 0.6
#: Above this cosine a map is mostly what random weights draw, however alike these are.
MOSTLY_RANDOM = 0.8
#: Relevance adds up to the score where it is off by less than this share of it.
ADDS_UP = 0.25
#: Maps predict only weakly what matters below this share of the faithfulness with a reference.
WEAKLY = 0.5
#: What a rule's faithfulness is compared with, in words.
YARDSTICKS = {
    "gradient_x_input": "gradient x input",
    "edges": "edges of the picture",
    "difference": "difference from the fill",
}


def trust_lines(run: RunFolder) -> list[tuple[str, str]]:
    """Return sentences on the maps of a run, each with a verdict: "ok", "CARE" or "note"."""
    return [
        _network(run),
        *_assumed(run),
        *_explained_as(run),
        *_sums(run),
        *_signs(run),
        *_random(run),
        *_unit(run),
        *_faithfulness(run),
        *_preference(run),
    ]


def trust_text(run: RunFolder, width: int) -> list[str]:
    """Return the question and `trust_lines` as lines of at most `width` characters."""
    lines = [QUESTION]
    for verdict, text in trust_lines(run):
        lines += wrapped(text, width, f"  {verdict:<6}", " " * 8)
    return lines


def about_rule(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run recorded of its rule; see `lrpdyn.lrp.registry.RuleDefinition`.

    Nothing is known of a composite, and runs of 0.1 recorded nothing.
    """
    unknown = {"usual_sum": None, "terms_cancel": False, "shows_support_only": False}
    return {"title": manifest["rule"]["name"], **unknown, **manifest.get("about_rule", {})}


def _network(run: RunFolder) -> tuple[str, str]:
    """Say whether the network is known to be the user's."""
    found = run.manifest["checks"].get("expected")
    if found is None:
        return "CARE", (
            "Nobody checked that this is your network: record its outputs with the observations (lrpdyn "
            "record), or give them with --expect."
        )
    constant = "; up to a constant for each sample" if found.get("up_to_constant") else ""
    constant = "; after the tanh that makes actions of them" if found.get("squashed") else constant
    return "ok", (
        f"The network is yours: outputs as recorded at step {found['step']:,} ({found['samples']:,} of "
        f"{run.manifest['observations']['shape'][0]:,} samples; largest difference "
        f"{found['largest_difference']:.1g} of {found['largest_output']:.2g}{constant})."
    )


def _assumed(run: RunFolder) -> Iterator[tuple[str, str]]:
    """Say what of the network's function nobody knows."""
    assumed = run.manifest["architecture"].get("assumed", ())
    if assumed:
        yield "CARE", f"Of the network this is assumed: {'; '.join(assumed)}."


def _explained_as(run: RunFolder) -> Iterator[tuple[str, str]]:
    """Say how the network was rewritten to be explained, and what a rule does that is not exact."""
    notes = run.manifest["rule"].get("notes", ())
    if notes:
        yield "note", f"How it is explained: {'; '.join(notes)}."
    stock = run.manifest["checks"].get("stock")
    if stock is None:
        return
    cosine = "" if stock["cosine"] is None else f" (similarity {stock['cosine']:.2f})"
    line = (
        f"{run.manifest['rule']['name']} differs from the exact rule, {stock['exact_rule']}, by up to "
        f"{stock['largest_difference']:.2g} of the largest relevance{cosine}"
    )
    if stock["largest_difference"] < 1e-3:
        yield "ok", f"{line}: both are right here."
    else:
        why = f": {'; '.join(stock['reasons'])}" if stock["reasons"] else ""
        yield "CARE", f"{line}{why}."


def _sums(run: RunFolder) -> Iterator[tuple[str, str]]:
    """Say whether relevance adds up to the score."""
    checks, about = run.manifest["checks"], about_rule(run.manifest)
    total, size = checks["relevance_sum_to_score"], checks["relevance_l1_to_score"]
    if total is None or size is None:
        return
    usual = f" (usual for {about['title']}: {about['usual_sum']})" if about["usual_sum"] else ""
    shares = f"{_percent(total['median'])} of the score ({100 * total['least']:,.0f} to "
    shares += f"{_percent(total['most'])})"
    sizes = ""
    if size["median"] > 1.05 * abs(total["median"]):  # of both signs
        sizes = f"; sum|R| is {_short(size['median'])} times |score|{usual}"
    if not about.get("conserves", True):
        yield "note", f"They need not add up under this rule: relevance is {shares}{sizes}."
    elif abs(total["median"] - 1) < ADDS_UP:
        sound = not checks["vanished"] and not checks["negative_scores"]
        signs = " No map is empty, no score negative." if sound else ""
        yield "ok", f"They add up: relevance is {shares}{sizes}.{signs}"
    else:
        yield "CARE", f"They do not add up: relevance is {shares}{sizes}."
    if about["terms_cancel"]:
        yield "CARE", f"They are noisy, for terms of both signs cancel.{_advice(run, ' See')}"


def _signs(run: RunFolder) -> Iterator[tuple[str, str]]:
    """Say how many maps are empty, and how many scores negative."""
    checks, about = run.manifest["checks"], about_rule(run.manifest)
    maps, negative, gone = (checks[name] for name in ("maps", "negative_scores", "vanished"))
    weak = checks["weak_support"]
    if gone:
        yield "CARE", f"{gone:,} of {maps:,} maps are empty though their score is not zero."
    if negative and about["shows_support_only"]:
        hardly = f", and in {weak:,} hardly anything speaks for it" if weak else ""
        yield (
            "CARE",
            f"{negative:,} of {maps:,} scores are negative: {about['title']} gives them to the evidence "
            f"for the unit, none to what is against it{hardly}.",
        )
    elif negative:
        yield "note", f"{negative:,} of {maps:,} scores are negative."


def _dependence(run: RunFolder) -> dict[str, Any] | None:
    """Return what the maps of the last step that was checked depend on."""
    found = run.manifest["checks"].get("dependence")
    return found[-1] if found else None


def _random(run: RunFolder) -> Iterator[tuple[str, str]]:
    """Say whether the maps differ from those of untrained networks."""
    last = _dependence(run)
    if last is None or last["random"]["median"] is None:
        return
    similar, among = f"similarity {_short(last['random']['median'])}", last["random_to_random"]
    if among["median"] is None:
        yield (
            "note",
            f"Their {similar} to maps of an untrained network says little alone: --baseline random:2 or "
            "more shows how alike untrained ones are.",
        )
        return
    both = f"({similar}; two untrained ones: {_short(among['median'])})"
    if among["median"] < PARTLY / 2:
        yield (
            "note",
            f"No conclusion can be drawn from maps of untrained networks, which are as unlike each other "
            f"{both}.",
        )
    elif told_apart(last):
        yield "ok", f"They differ from maps of untrained networks {both}."
    else:
        yield (
            "CARE",
            f"They look much like maps of untrained networks {both}: compare what they show with those.",
        )


def told_apart(last: Mapping[str, Any]) -> bool:
    """Tell whether maps are less like those of random networks than these are like each other.

    They must lie below nearly all similarities among random networks, and be mostly something
    else: of a map that is still alike at `MOSTLY_RANDOM`, the greater part is what random weights
    draw too.
    """
    to_random, among = last["random"]["median"], last["random_to_random"]["low"]
    if to_random is None or among is None:
        return False
    return bool(to_random < among and to_random < MOSTLY_RANDOM)


def _unit(run: RunFolder) -> Iterator[tuple[str, str]]:
    """Say whether the maps show why it is this unit; nothing where two were not compared.

    Of two outputs the maps are each other's negative.
    """
    last = _dependence(run)
    if last is None:
        return
    best, upper = last["best_to_worst"]["median"], last["upper_layers"]["median"]
    unit = unit_of(run.manifest)
    ends = (
        "the best and the worst" if has_preference(run.manifest) else "the largest and the smallest"
    )
    if best is not None:
        much = "hardly " if best > HARDLY else "partly " if best > PARTLY else ""
        alike = "differ" if best <= PARTLY else "are alike"
        line = f"They {much}show why this {unit}: maps of {ends} {unit} {alike} ({_short(best)}; "
        line += "1 = identical)."
        verdict = {"hardly ": "CARE", "partly ": "note", "": "ok"}[much]
        yield verdict, line + (_advice(run, " To ask that:") if best > HARDLY else "")
    if upper is not None and upper > HARDLY:
        yield (
            "CARE",
            f"They hardly depend on the upper layers: drawn anew, these give nearly the same maps "
            f"({_short(upper)}).",
        )


def _advice(run: RunFolder, begin: str) -> str:
    """Return where a map of both signs and little noise is to be had; nothing where it is set."""
    linear, attention = rule_parts(run.manifest)
    return "" if linear.partition(":")[0] == "gamma" else f"{begin} --rule gamma{attention}"


def _faithfulness(run: RunFolder) -> Iterator[tuple[str, str]]:
    """Say whether what the maps show matters to the network, at the last step that was measured."""
    found = run.manifest["checks"].get("faithfulness")
    if not found or not found["steps"]:
        yield (
            "note",
            "Nobody measured whether they predict what matters: --faithfulness all does, at every step.",
        )
        return
    known = [one for one in found["steps"] if one["abpc"].get("rule") is not None]
    if not known:
        yield (
            "note",
            "Whether they predict what matters cannot be measured: the score hardly changes when the "
            "whole observation is taken away.",
        )
        return
    last = known[-1]
    rule, low, high = last["abpc"]["rule"], last["random_band"]["low"], last["random_band"]["high"]
    others = {n: last["abpc"][n] for n in YARDSTICKS if last["abpc"].get(n) is not None}
    at = "the last step" if last["step"] == run.steps[-1] else f"step {last['step']:,}"
    numbers = [
        *(f"{YARDSTICKS[name]} {value:.2f}" for name, value in others.items()),
        f"random orders {low:.2f} to {high:.2f}",
    ]
    where = f"measured at {len(found['steps']):,} of {len(run.steps):,} steps"
    samples = f"{len(found['samples']):,} samples"
    measured = f"faithfulness {rule:.2f} at {at} ({', '.join(numbers)}; {where}, {samples})"
    with_reference, advice = _reference(found, last["step"])
    if rule <= high:
        yield (
            "CARE",
            "The map says nothing here: it predicts the score no better than a random order does; "
            f"{measured}.{advice}",
        )
    elif round(rule, 2) < max((round(value, 2) for value in others.values()), default=rule):
        yield "CARE", f"A cheaper map predicts what matters better: {measured}.{advice}"
    elif with_reference is not None and rule < WEAKLY * with_reference:
        yield "CARE", f"They predict only weakly what matters: {measured}.{advice}"
    else:
        yield "ok", f"They predict what matters: {measured}.{advice}"


def _reference(found: Mapping[str, Any], step: int) -> tuple[float | None, str]:
    """Return the faithfulness with a reference, and advice to take it; none where it is not known to help."""
    known = found.get("reference")
    if known is None or not known["helps"] or known["step"] != step:
        return None, ""
    first, second = known["fills"]
    under = second["fill"] if isinstance(second["fill"], str) else "modal"
    return first["with"], (
        f" With --reference {known['reference']} it would be {first['with']:.2f} (with --fill {under}, as a "
        f"second test, {second['with']:.2f} instead of {second['without']:.2f})."
    )


def _preference(run: RunFolder) -> Iterator[tuple[str, str]]:
    """Say how often another unit was explained than at the step before."""
    group, colon, policy = run.manifest["target"]["policy"].rpartition(":")
    if policy not in ("argmax", "largest"):
        return
    flips, of = table_series(run).preference_changes()
    if flips:
        unit = unit_of(run.manifest)
        changed = f"preferred {unit}" if has_preference(run.manifest) else f"largest {unit}"
        yield (
            "note",
            f"In {flips:,} of {of:,} cases the {changed} changed between two checkpoints, and with it what "
            f"is explained. To keep it fixed: --target {group}{colon}modal",
        )


def _percent(share: float) -> str:
    return f"{100 * share:,.0f} %"


def _short(value: float) -> str:
    """Return two digits after the point, and no more than three that matter."""
    return f"{value:.2f}" if abs(value) < 10 else f"{value:,.0f}"
