"""What ``compute`` says at the end, so that nobody reads more into a map than it holds."""

from __future__ import annotations

from typing import Any

from lrpdyn.outliers.render import SHOWN_KINDS, summary
from lrpdyn.run.environments import are_same, difference_in_words, of_results
from lrpdyn.run.question import has_preference, question_in_words, rule_parts, unit_of
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.series import table_series

#: Maps whose cosine is above the first hardly depend on what was changed, above the second partly.
HARDLY, PARTLY = 0.9, 0.6
#: Above this cosine a map is mostly what random weights draw, however alike these are.
MOSTLY_RANDOM = 0.8


def closing_lines(run: RunFolder) -> list[str]:
    """Return the lines on a finished run, each with the word that it is about."""
    return [f"{word:<9} {text}" for word, text in closing_words(run)]


def closing_words(run: RunFolder) -> list[tuple[str, str]]:
    """Return what is said of a finished run, each with the word that it is about."""
    lines = [
        ("network", _network(run)),
        ("question", _question(run)),
        ("assumed", "; ".join(run.manifest["architecture"].get("assumed", ()))),
        ("explained", "; ".join(run.manifest["rule"].get("notes", ()))),
        ("sign", _sign(run)),
        ("sums", _sums(run)),
        *_dependence(run),
        ("faithful", _faithful(run)),
        ("dynamics", _dynamics(run)),
        *_outliers(run.outliers),
        ("batches", _batches(run)),
        ("versions", _versions(run)),
        ("tables", _tables(run)),
        ("note", _note(run)),
        ("warning", _warning(run)),
    ]
    return [(word, text) for word, text in lines if text]


def _outliers(report: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what to look at first; of a report of an earlier version a line on each population."""
    if "first" not in report:
        return [("outliers", summary(report, kind)) for kind in SHOWN_KINDS]
    found = [one["words"][0] for one in report["first"]]
    more = len(report["then"])
    if not found:
        too_few = report["totals"]["steps"]["method"] == "rank"
        changes = report["totals"]["steps"]["values"]
        found = [
            f"{changes:,} transitions are too few to call one unusual (20 needed)"
            if too_few
            else "nothing unusual"
        ]
    elif more:
        found.append(f"and {more} more: lrpdyn outliers")
    return [("outliers", words) for words in found]


def _network(run: RunFolder) -> str:
    """Say whether the network is known to be the user's."""
    found = run.manifest["checks"].get("expected")
    if found is None:
        return (
            "nobody checked that this is your network: record its outputs with the observations (lrpdyn "
            "record), or give them with --expect"
        )
    constant = "; up to a constant for each sample" if found.get("up_to_constant") else ""
    constant = "; after the tanh that makes actions of them" if found.get("squashed") else constant
    return (
        f"outputs as recorded at step {found['step']:,} ({found['samples']:,} of "
        f"{run.manifest['observations']['shape'][0]:,} samples; largest difference "
        f"{found['largest_difference']:.1g} of {found['largest_output']:.2g}{constant})"
    )


def _question(run: RunFolder) -> str:
    asked = question_in_words(run.manifest, long=True)
    flips, of = table_series(run).preference_changes()
    changes = "the preference" if has_preference(run.manifest) else "which is largest in size"
    return f"{asked}; {changes} changes in {flips:,} of {of:,} transitions"


#: What the yardsticks of faithfulness are called.
_YARDSTICKS = {"gradient_x_input": "gradient x input", "edges": "edges of the picture",
               "difference": "difference from the fill"}  # fmt: skip


def _faithful(run: RunFolder) -> str:
    """Say how well maps say what the score depends on, next to what says it without them."""
    found = run.manifest["checks"].get("faithfulness")
    if not found or not found["steps"]:
        return ""
    shape, last = run.manifest["observations"]["shape"], found["steps"][-1]
    fill = found["fill"] if isinstance(found["fill"], str) else f"{found['fill']:.3g}"
    measured = (
        f"measured at {len(found['steps']):,} of {len(run.steps):,} steps, {len(found['samples']):,} of "
        f"{shape[0]:,} samples, {found['patches']} patches that become {fill} (--fill)"
    )
    medians, band = last["abpc"], last["random_band"]
    if medians.get("rule") is None or None in band.values():
        return f"unknown at step {last['step']:,}, where the score hardly moves; {measured}"
    others = [
        f"{name} {medians[key]:.2f}"
        for key, name in _YARDSTICKS.items()
        if medians.get(key) is not None
    ]
    return (
        f"{medians['rule']:.2f} at step {last['step']:,} ({', '.join(others)}, random orders "
        f"{band['low']:.2f} to {band['high']:.2f}); {measured}"
    )


def _about_rule(run: RunFolder) -> dict[str, Any]:
    """Return what the run recorded of its rule; see `lrpdyn.lrp.registry.RuleDefinition`.

    Nothing is known of a composite, and runs of 0.1 recorded nothing.
    """
    name, recorded = run.manifest["rule"]["name"], run.manifest.get("about_rule", {})
    unknown = {"usual_sum": None, "terms_cancel": False, "shows_support_only": False}
    return {"title": name, **unknown, **recorded}


def _sign(run: RunFolder) -> str:
    checks = run.manifest["checks"]
    maps, negative, gone = checks["maps"], checks["negative_scores"], checks["vanished"]
    line = f"negative scores {negative:,} of {maps:,}; weak support {checks['weak_support']:,}; "
    line += f"vanished {gone:,}"
    about = _about_rule(run)
    if about["shows_support_only"] and negative:
        line += (
            f"; {about['title']} gives a negative score to the evidence for the unit, none to what is "
            "against it"
        )
    if gone:
        line += "; a vanished map shows nothing though its score is not zero"
    return line


def _sums(run: RunFolder) -> str:
    checks = run.manifest["checks"]
    total, size = checks["relevance_sum_to_score"], checks["relevance_l1_to_score"]
    if total is None or size is None:
        return ""
    normal = _about_rule(run)["usual_sum"]
    usual = f" (normal for this rule: {normal})" if normal else ""
    return (
        f"sum(R)/score {_short(total['median'])} ({_short(total['least'])} to "
        f"{_short(total['most'])}); sum|R|/|score| {_short(size['median'])}{usual}; largest "
        f"difference in outputs {checks['outputs']['largest_difference']:.1g}"
    )


def _dependence(run: RunFolder) -> list[tuple[str, str]]:
    """Return what the maps of the last step that was checked depend on."""
    found = run.manifest["checks"].get("dependence")
    if not found:
        return []
    last = found[-1]
    unit = unit_of(run.manifest)
    parts = []
    best = last["best_to_worst"]["median"]
    if best is not None:
        ends = "best to worst" if has_preference(run.manifest) else "largest to smallest"
        parts.append(f"on the {unit}: {_much(best)} (cosine {ends} {_short(best)})")
    upper = last["upper_layers"]["median"]
    if upper is not None:
        parts.append(f"on the upper layers: {_much(upper)} ({_short(upper)})")
    looked, of = last.get("samples"), run.manifest["observations"]["shape"][0]
    if parts and looked is not None and looked < of:
        parts.append(f"looked at in {looked} of {of:,} samples")
    return [("depends", "; ".join(parts)), ("random", _random(last, run.manifest["baseline"]))]


def _random(last: dict[str, Any], baseline: str) -> str:
    to_random, among = last["random"]["median"], last["random_to_random"]
    if to_random is None:
        return ""
    line = f"similarity to random networks {_short(to_random)}"
    if among["median"] is None:
        alone = baseline.partition(":")[2] == "1"
        more = "give --baseline random:2 or more to see how alike random networks are"
        return f"{line}; {more}" if alone else line
    line += f", random to random {_short(among['median'])}"
    if among["median"] < PARTLY / 2:
        return f"{line}: random networks are as unlike each other, so that this tells nothing"
    if told_apart(last):
        return f"{line}: told apart"
    return f"{line}: not told apart; read shares relative to random"


def told_apart(last: dict[str, Any]) -> bool:
    """Tell whether maps are less like those of random networks than these are like each other.

    They must lie below nearly all similarities among random networks, and be mostly something
    else: of a map that is still alike at `MOSTLY_RANDOM`, the greater part is what random weights
    draw too.
    """
    to_random, among = last["random"]["median"], last["random_to_random"]["low"]
    if to_random is None or among is None:
        return False
    return bool(to_random < among and to_random < MOSTLY_RANDOM)


def _much(cosine: float) -> str:
    return "hardly" if cosine > HARDLY else "partly" if cosine > PARTLY else "clearly"


def _short(value: float) -> str:
    """Return two digits after the point, and no more than three that matter."""
    return f"{value:.2f}" if abs(value) < 10 else f"{value:,.0f}"


def _dynamics(run: RunFolder) -> str:
    found = run.manifest["checks"]["dynamics"]
    alike, net = found["alike_mean_relevance"], found["net_share"]
    if alike is None or net is None:
        return "zero everywhere: the relevance did not change"
    return f"{alike:.3f} alike to mean |R|; {100 * net:.0f} % of the path is net change"


def _batches(run: RunFolder) -> str:
    smaller = run.manifest.get("smaller_batches")
    if not smaller:
        return ""
    least, asked = min(one["batch_size"] for one in smaller), run.manifest["batch_size"]
    return (
        f"of down to {least:,} observations, not {asked:,}, from step {smaller[0]['step']:,} on: memory ran "
        f"out; last bits may differ from those of another run, --batch-size {least} makes them its own"
    )


def _versions(run: RunFolder) -> str:
    found, now = run.manifest.get("environments", []), of_results(run.manifest)
    return "" if are_same(found, now) else difference_in_words(found, now)


def _tables(run: RunFolder) -> str:
    rows = table_series(run).replaced_rows
    if not rows:
        return ""
    return (
        f"by step: medians and extremes over {run.shape[0]:,} samples; --tables samples writes a row for "
        f"each, {rows:,} in metrics.csv"
    )


def _note(run: RunFolder) -> str:
    """Say which rule to try where the maps do not answer the question."""
    rule = run.manifest["rule"]["name"]
    linear, attention = rule_parts(run.manifest)
    found = run.manifest["checks"].get("dependence")
    best = found[-1]["best_to_worst"]["median"] if found else None
    upper = found[-1]["upper_layers"]["median"] if found else None
    unit = unit_of(run.manifest)
    # Where no two units were compared, as of two that are each other's negative, nothing is said of why.
    if best is not None and max(best, upper or 0.0) > HARDLY:
        about = _about_rule(run)
        alone = about["shows_support_only"]
        what = f"{about['title']} shows" if alone else f"{rule} shows here"
        images = len(run.manifest["observations"]["shape"]) == 4
        layers = "the convolutions respond" if images else "the lower layers respond"
        advice = "" if linear == "gamma" else f": see --rule gamma{attention}"
        return f"{what} what {layers} to, not why this {unit}{advice}"
    if _about_rule(run)["terms_cancel"]:
        return f"{rule} is noisy, for terms of both signs cancel: see --rule gamma{attention}"
    return ""


def _warning(run: RunFolder) -> str:
    stock = run.manifest["checks"].get("stock")
    if stock is None:
        return ""
    cosine = "" if stock["cosine"] is None else f", cosine {stock['cosine']:.2f}"
    line = (
        f"{run.manifest['rule']['name']} differs from the exact rule, {stock['exact_rule']}, by "
        f"{stock['largest_difference']:.2g} of the largest relevance{cosine}"
    )
    if stock["largest_difference"] < 1e-3:
        return f"{line}: here both are right"
    why = f": {'; '.join(stock['reasons'])}" if stock["reasons"] else ""
    return f"{line}{why}"
