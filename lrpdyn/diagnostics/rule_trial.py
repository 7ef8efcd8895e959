"""Which rule suits a network: rules side by side, at a few checkpoints and on a few observations."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lrpdyn.checkpoints.model import Checkpoint
from lrpdyn.diagnostics.faithfulness import RANDOM, Curves, Floats, measure
from lrpdyn.diagnostics.reference_gain import (
    Spread,
    TwoFills,
    abpc,
    are_same,
    is_better,
    spread,
    under,
    usable,
)
from lrpdyn.diagnostics.sanity_checks import Weights, best_to_worst
from lrpdyn.dynamics.measures import cosines, rows
from lrpdyn.errors import CheckpointError, UsageError
from lrpdyn.explain.explanation import Integers, Question, explain
from lrpdyn.explain.loaded import LoadedNetwork, other_weights
from lrpdyn.explain.model import Model, with_plan
from lrpdyn.lrp.canonical.layers import HiddenSoftmax, Product
from lrpdyn.lrp.composites import COMPOSITES, parse_composite, split_attention
from lrpdyn.lrp.plan import Bounds, layers_of
from lrpdyn.lrp.registry import ALIASES, STOCK, rule_definitions

#: So many observations are explained, evenly spaced.
SAMPLES = 8
#: What 5 and 95 % of random orders lie below.
Band = tuple[float, float]
_BAND = (0.05, 0.95)


def tried_checkpoints(checkpoints: Sequence[Checkpoint]) -> list[Checkpoint]:
    """Return the last, a middle and an early checkpoint, the last first; fewer of a short series.

    Those nearest to half and to a tenth of the way in steps; step 0, where nothing is learned, is
    taken only if there is no other.
    """
    later = [one for one in checkpoints if one.step != 0] or list(checkpoints)
    first, last = checkpoints[0].step, later[-1].step
    places = [first + part * (last - first) for part in (1.0, 0.5, 0.1)]
    chosen = {one.step: one for place in places
              for one in [min(later, key=lambda c: abs(c.step - place))]}  # fmt: skip
    return list(chosen.values())


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A rule that is not tried, and why."""

    rule: str
    reason: str


def candidates(
    model: Model, observations: NDArray[np.float32], bounds: Bounds | None
) -> tuple[list[Model], list[LeftOut]]:
    """Return the model under each rule that fits it, by all registered names, and what does not fit.

    With attention in the network, each rule with attnlrp, too.
    """
    names = [*rule_definitions(), *ALIASES, *COMPOSITES]
    if any(isinstance(one, Product | HiddenSoftmax) for one in layers_of(model.explained).values()):
        names += [f"{name}+attnlrp" for name in names]
    fitting: dict[str, Model] = {}
    stock = "Captum's own, often wrong; the same by its plain name is exact"
    left_out = [LeftOut(rule=name, reason=stock) for name in STOCK]
    for name in names:
        try:
            composite = parse_composite(name)
            known = replace(model, composite=composite, plan={})
            fitting.setdefault(str(composite), with_plan(known, observations, bounds))
        except UsageError as error:
            # Every rule with attnlrp fits where it fits alone; those that have it already do not say so.
            if not split_attention(name)[1]:
                left_out.append(LeftOut(rule=name, reason=str(error)))
    return list(fitting.values()), left_out


def distinct(
    loaded: LoadedNetwork,
    shown: NDArray[np.float32],
    question: Question,
    models: Sequence[Model],
) -> tuple[list[Model], list[LeftOut]]:
    """Return the models whose maps are not those of one before, and why the others are left out."""
    known: list[tuple[str, NDArray[np.float32]]] = []
    chosen, left_out = [], []
    for model in models:
        name = str(model.composite)
        maps = explain(under(loaded, model), shown, question).relevance
        same = next((other for other, of_it in known if are_same(maps, of_it)), None)
        if same is not None:
            left_out.append(LeftOut(rule=name, reason=f"its maps are those of {same} here"))
        else:
            known.append((name, maps))
            chosen.append(model)
    return chosen, left_out


@dataclass(frozen=True, kw_only=True)
class OfRule:
    """What one rule gives at one checkpoint, a value for each of m observations.

    Attributes
    ----------
    maps
        Relevance.
    target
        The units that were explained.
    unit
        Cosines of the maps of the best and the worst unit; none where there are no two to compare.
    random
        |cosines| to the maps of random networks, of all of them.
    sums
        sum(R) / score; NaN where the score is zero.
    milliseconds
        That one observation takes.
    """

    maps: NDArray[np.float32]
    target: Integers
    unit: Floats
    random: Floats
    sums: Floats
    milliseconds: float


def measure_rule(
    loaded: LoadedNetwork,
    shown: NDArray[np.float32],
    question: Question,
    model: Model,
    fresh: Sequence[Weights],
) -> OfRule:
    """Return what the rule of `model` gives; `fresh` are the weights of random networks."""
    network = under(loaded, model)
    started = time.perf_counter()
    own = explain(network, shown, question)
    seconds = time.perf_counter() - started
    fixed = replace(question, targets=own.target)
    randoms = []
    for weights in fresh:
        with other_weights(network.model, weights, "a random network") as untrained:
            randoms.append(explain(untrained, shown, fixed).relevance)
    sums, nonzero = rows(own.relevance).sum(axis=1), own.score != 0
    return OfRule(
        maps=own.relevance,
        target=own.target,
        unit=best_to_worst(network, shown, own, question),
        random=np.concatenate([np.abs(cosines(own.relevance, other)) for other in randoms]),
        sums=np.where(nonzero, sums, np.nan) / np.where(nonzero, own.score, 1.0),
        milliseconds=1000 * seconds / len(shown),
    )


def untrained_range(
    model: Model,
    shown: NDArray[np.float32],
    question: Question,
    fresh: Sequence[Weights],
    filled: NDArray[np.float32],
) -> float:
    """Return how far the score of random networks moves when all is taken away, at most."""
    everything = np.ones((1, *shown[:1].shape), dtype=bool)
    found = []
    for weights in fresh:
        with other_weights(model, weights, "a random network") as network:
            found.append(measure(network, shown, question, {}, filled, everything).score_range)
    return max(found)


def joined_curves(parts: Sequence[Curves]) -> Curves:
    """Return the curves of parts of the observations together."""
    return Curves(
        score={
            name: np.concatenate([one.score[name] for one in parts], axis=-2)
            for name in parts[0].score
        },
        policy=None,
        forwards=sum(one.forwards for one in parts),
    )


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a trial says of a rule; medians over checkpoints and observations.

    Attributes
    ----------
    reference
        What relevance is measured from; None where that is what was asked for.
    faithfulness, low, high
        Area between the curves, least relevant patches first and most relevant first, in shares of the
        score's range at the checkpoint; what 5 and 95 % of medians over observations that are drawn
        again lie below.
    other_fill
        The same under another fill; of rules alone that were tried with a reference, too.
    helps
        Whether maps are more faithful than without the reference, under both fills, by more than the
        interval; None where there is no reference.
    unit
        Cosine of the maps of the best and the worst unit; None where there are no two to compare.
    random
        |cosine| to the maps of random networks.
    sum_to_score
        sum(R) / score.
    milliseconds
        The least that an observation took at one of the checkpoints.
    """

    rule: str
    reference: str | None = None
    faithfulness: float
    low: float
    high: float
    other_fill: Spread | None = None
    helps: bool | None = None
    unit: float | None
    random: float | None
    sum_to_score: float | None
    milliseconds: float

    @property
    def name(self) -> str:
        """The rule, and its reference."""
        return name_of(self.rule, self.reference)


def name_of(rule: str, reference: str | None) -> str:
    """Return what a rule with a reference is called in a trial.

    >>> name_of("gamma:0.25", "modal")
    'gamma:0.25, reference modal'
    """
    return rule if reference is None else f"{rule}, reference {reference}"


def _row(rule: str, values: Floats, measured: Sequence[OfRule]) -> Row:
    """Return the row of areas (checkpoints, m), and of what was measured at each checkpoint."""
    found = spread(values)
    return Row(
        rule=rule,
        faithfulness=found.median,
        low=found.low,
        high=found.high,
        unit=_median([one.unit for one in measured]),
        random=_median([one.random for one in measured]),
        sum_to_score=_median([one.sums for one in measured]),
        milliseconds=min(one.milliseconds for one in measured),
    )


def ranked(
    measured: Sequence[Mapping[str, OfRule]], curves: Sequence[Curves]
) -> tuple[list[Row], Band]:
    """Return a row for each rule, the most faithful first, and the band of random orders.

    Parameters
    ----------
    measured
        By checkpoint, what each rule gives.
    curves
        By checkpoint, those of each rule's maps. Those whose range is flat beside the largest do not
        count.

    Raises
    ------
    CheckpointError
        The score is the same, whatever is taken away.
    """
    largest = max(one.score_range for one in curves)
    if largest == 0:
        raise CheckpointError(
            "the score of these observations stays the same when all of them is taken away: no rule can be "
            "held against it; give other observations, or another --fill"
        )
    moving = usable(curves, largest)
    rows_of_rules = [
        _row(name, abpc(moving, name), [one[name] for one in measured]) for name in measured[0]
    ]
    by_order = np.median(abpc(moving, RANDOM), axis=(0, 2))
    low, high = np.quantile(by_order, _BAND).tolist()
    return _by_faithfulness(rows_of_rules), (low, high)


def _by_faithfulness(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: -row.faithfulness)


def with_references(
    rows: Sequence[Row],
    reference: str,
    measured: Sequence[Mapping[str, OfRule]],
    curves: Sequence[Curves],
    other: Sequence[Curves],
) -> tuple[list[Row], dict[str, TwoFills]]:
    """Return the rows with those of rules with a reference, and the areas of what has two fills, by name.

    Parameters
    ----------
    rows
        Of all rules alone.
    measured
        By checkpoint, what each rule with a reference gives, by `name_of`.
    curves, other
        By checkpoint, under the fill those of rules with a reference, and of some alone; the same ones
        under another fill, whose range is not flat everywhere.
    """
    largest = max(one.score_range for one in curves)
    moving = usable(curves, largest), usable(other, largest)
    values = {
        name: TwoFills(fill=abpc(moving[0], name), other=abpc(moving[1], name))
        for name in other[0].score
    }
    found = []
    for row in rows:
        if row.rule not in values:
            found.append(row)
            continue
        alone, name = values[row.rule], name_of(row.rule, reference)
        found.append(replace(row, other_fill=spread(alone.other)))
        if name in values:
            both = values[name]
            referred = _row(row.rule, both.fill, [one[name] for one in measured])
            found.append(
                replace(
                    referred,
                    reference=reference,
                    other_fill=spread(both.other),
                    helps=is_better(both, alone),
                )
            )
    return _by_faithfulness(found), values


def _median(values: Sequence[Floats]) -> float | None:
    known = np.concatenate(values)
    known = known[np.isfinite(known)]
    return float(np.median(known)) if len(known) else None


def choose(rows: Sequence[Row], band: Band) -> tuple[str | None, str]:
    """Return the rule that is named, or None, and the reason in a sentence.

    Of the rules whose interval reaches the best one's median it is the one that depends most on the
    unit; the most faithful where nothing says it. None is named whose interval reaches down into the
    band of random orders.
    """
    above = [row for row in rows if row.low > band[1]]
    if not above:
        best = rows[0]
        return None, (
            f"no rule is clearly more faithful than random orders of patches (up to {band[1]:.2f}); the "
            f"best is {best.rule} ({best.faithfulness:.2f}, {best.low:.2f} to {best.high:.2f})"
        )
    best = above[0]
    close = [row for row in above if row.high >= best.faithfulness]
    named = min(close, key=lambda row: 0.0 if row.unit is None else abs(row.unit))
    said = f"({named.faithfulness:.2f}, {named.low:.2f} to {named.high:.2f})"
    others = [row for row in close if row is not named]
    if named is not best:
        return named.rule, (
            f"{named.rule}: as faithful {said} as {best.rule} ({best.faithfulness:.2f}) within its interval, "
            f"and its maps depend more on the unit ({_cosine(named)}; of {best.rule} {_cosine(best)})"
        )
    if named.unit is None or not others:
        return named.rule, f"{named.rule}: most faithful {said}"
    worst = max(others, key=lambda row: abs(row.unit or 0.0))
    return named.rule, (
        f"{named.rule}: most faithful {said}, and its maps depend on the unit ({_cosine(named)}); "
        f"{worst.rule} is as faithful within its interval, and its maps depend less on it ({_cosine(worst)})"
    )


def _cosine(row: Row) -> str:
    return f"{row.unit:.2f}"


def choose_reference(
    rows: Sequence[Row],
    values: Mapping[str, TwoFills],
    named: str | None,
    band: Band,
    fills: Sequence[str],
) -> tuple[Row, str] | None:
    """Return the rule and reference to take instead of the rule that is `named`, if any, and the reason.

    The reference must help its rule, and maps must be more faithful than those of the rule that is named
    and than random orders: all under both fills. Of several it is, as of rules, the one that depends most
    on the unit of those that reach the best; each is judged by the worse of its fills.

    Parameters
    ----------
    values
        By name, the areas under both fills.
    band
        That of random orders, under the first fill.
    fills
        What both are called.
    """
    fitting = [
        (row, row.other_fill)
        for row in rows
        if row.helps
        and row.other_fill is not None
        and min(row.low, row.other_fill.low) > band[1]
        and (named is None or is_better(values[row.name], values[named]))
    ]
    if not fitting:
        return None
    best = max(min(row.faithfulness, other.median) for row, other in fitting)
    close = [one for one in fitting if min(one[0].high, one[1].high) >= best]
    row, other = min(close, key=lambda one: 0.0 if one[0].unit is None else abs(one[0].unit))
    than = named or row.rule
    medians = [float(np.median(part)) for part in (values[than].fill, values[than].other)]
    said = "; ".join(
        f"{fill}: {here:.2f} against {there:.2f}"
        for fill, here, there in zip(fills, (row.faithfulness, other.median), medians, strict=True)
    )
    return row, (
        f"{row.rule} with the reference {row.reference}: more faithful than {than} without one under both "
        f"fills ({said})"
    )
