"""What is wrong or unusual in a run, by step, by transition and by sample: what causes are made of.

Every criterion is cheap and is checked for every step and sample, whether or not a fence is crossed.
Where a criterion compares with "the usual", that is the run's own median: what is healthy for one
network is not for another.
"""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from lrpdyn.outliers.causes import UNSTABLE_SUPPORT
from lrpdyn.outliers.facts import UNAVAILABLE, Changes, Evidence, Floats, RunFacts, Steps, Truths
from lrpdyn.outliers.fences.fences import fences
from lrpdyn.outliers.fences.in_time import (
    HALF,
    NEAR,
    first_after_start,
    local_trend,
    medians_at,
    sides,
)
from lrpdyn.outliers.weight_path import WeightPath

#: Relevance below this share of the score has vanished.
VANISHED = 1e-6
#: A score below this share of the run's median |score| is near zero.
NEAR_ZERO = 0.01
#: A loss of relevance is a failure above this share of the score, and so many times the usual loss.
LEAST_LOSS, TIMES_USUAL_LOSS = 0.1, 3.0
#: A layer is dead where less than this share of the units that usually live is left, or none. (In
#: sound runs it fell to .39 of the usual.)
LEAST_ALIVE = 1 / 3
#: A layer is dormant where at least this share of its units is, and less than this share of those is left
#: that gave something.
MOST_DORMANT, LEAST_AWAKE = 0.5, 0.5
#: A step that was rounded to a whole number is so far off.
ROUNDED = 0.5
#: The share of the transitions around one that have the usual length where steps are evenly spaced.
MOSTLY = 0.8
#: Maps meant something before where so many measured steps say it.
FEWEST_MEASURED = 2
#: Another unit is preferred in so large a share of the samples, and so many times as often as around.
LEAST_CHURN, TIMES_USUAL_CHURN = 0.25, 3.0
#: A map lost its meaning where its faithfulness was so many times what random orders reach, and the
#: score is at least this share of what it was.
TIMES_RANDOM, LEAST_SCORE_LEFT = 2.0, 0.5


def vanished(score: Floats, relevance_l1: Floats) -> Truths:
    """Return where relevance is gone (below 1e-6 of the score) though the score is not zero."""
    with np.errstate(invalid="ignore"):
        gone = relevance_l1 <= VANISHED * np.abs(score)
    found: Truths = gone & (score != 0) & np.isfinite(score)
    return found


def far_above_usual(
    values: Floats, *, times: float = 0.0, least: float = 0.0, of_few: float = np.inf
) -> Truths:
    """Return which values, NaN aside, are large for their run.

    Large is beyond the far fence (beyond `of_few` where there is none), beyond `times` the median
    and beyond `least`.
    """
    known = values[np.isfinite(values)]
    if not known.size:
        return np.zeros(values.shape, dtype=bool)
    far = fences(known).far
    bound = max(least, times * float(np.median(known)), of_few if far is None else far)
    return values > bound


def _medians(shares: Floats) -> Floats:
    """Return the median over steps of shares (S, A), NaN aside, (A,); 0 where none is known."""
    known = np.isfinite(shares).any(axis=0)
    if not len(shares):
        return np.zeros(shares.shape[1:])
    found: Floats = np.nanmedian(np.where(known, shares, 0.0), axis=0)
    return found


class Criteria:
    """Every criterion of a run, worked out once: S steps, T transitions, N samples, L and A layers.

    `layers` is the evidence by layer, from `lrpdyn.diagnostics`, by step and cause; None where it was
    not gathered.
    """

    def __init__(self, facts: RunFacts, layers: Evidence | None = None) -> None:
        self.facts: RunFacts = facts
        self.steps: Steps = facts.steps
        self.changes: Changes = facts.changes
        self.layers = layers or {}

    def ends(self, transition: int) -> tuple[int, int]:
        """Return the steps that a transition leads from and to, as places in `steps`."""
        return int(self.changes.before[transition]), int(self.changes.after[transition])

    def before(self, values: Any) -> Any:
        """Return values (S, ...) at the beginning of each transition, (T, ...)."""
        return values[self.changes.before]

    def after(self, values: Any) -> Any:
        """Return values (S, ...) at the end of each transition, (T, ...)."""
        return values[self.changes.after]

    def at_either_end(self, found: Any) -> Any:
        """Return where something (S, N) is present at the beginning or end of a transition, (T, N)."""
        return self.before(found) | self.after(found)

    def by_layer(self, cause: str, step: int, sample: int) -> Any:
        """Return what the layers show of a cause at a step: words, a share, or None."""
        found = self.layers.get((step, cause), {"samples": {}})
        return f"by layer: {UNAVAILABLE}" if found.get("gone") else found["samples"].get(sample)

    @cached_property
    def vanished(self) -> Truths:
        """Where relevance is gone, (S, N)."""
        return vanished(self.steps.score, self.steps.relevance_l1)

    @cached_property
    def near_zero(self) -> Truths:
        """Where a score is below a hundredth of the run's median |score|, (S, N)."""
        size = np.abs(self.steps.score)
        known = size[np.isfinite(size)]
        usual = float(np.median(known)) if known.size else 0.0
        return size < NEAR_ZERO * usual

    @cached_property
    def unstable(self) -> Truths:
        """Where a score, or relevance at a layer, is divided by next to nothing, (S, N)."""
        found = np.zeros(self.steps.score.shape, dtype=bool)
        if self.facts.gives_only_support:
            # A bias is part of the denominator, not of the support, and keeps its part of the relevance:
            # what comes through is the share that the support has of the denominator.
            with np.errstate(invalid="ignore", divide="ignore"):
                # More than all comes where terms of both signs cancel below, as in attention.
                passed = np.minimum(self.steps.relevance_l1 / np.abs(self.steps.score), 1.0)
                weak = self.steps.support < UNSTABLE_SUPPORT * passed
            # A score that is next to nothing itself may be divided by what it likes.
            found = weak & ~self.near_zero
        for (step, cause), evidence in self.layers.items():
            if cause == "unstable_denominator":
                found[step, list(evidence["samples"])] = True
        return found

    def over_score(self, values: Floats) -> Floats:
        """Return values (S, N) as shares of |score|; NaN where that is near zero or not finite."""
        size = np.abs(self.steps.score)
        usable = np.isfinite(size) & (size > 0) & ~self.near_zero
        return np.where(usable, values / np.where(usable, size, 1.0), np.nan)

    @cached_property
    def loss(self) -> Floats:
        """|score - sum R| / |score|, (S, N); NaN near a score of zero, or where R vanished."""
        difference = np.abs(self.steps.score - self.steps.relevance_sum)
        return np.where(self.vanished, np.nan, self.over_score(difference))

    @cached_property
    def usual_loss(self) -> float:
        """The median of `loss`."""
        return float(np.nanmedian(self.loss))

    @cached_property
    def not_conserved(self) -> Truths:
        """Where far more relevance got lost or was made than is usual for the run, (S, N).

        Nowhere under a rule that does not conserve relevance.
        """
        if not self.facts.conserves:
            return np.zeros(self.loss.shape, dtype=bool)
        return far_above_usual(self.loss, times=TIMES_USUAL_LOSS, least=LEAST_LOSS)

    @cached_property
    def usually_dead(self) -> Floats:
        """The share of units that are usually dead, (A,)."""
        return _medians(self.steps.dead)

    @cached_property
    def dead(self) -> Truths:
        """Which layers are dead, (S, A).

        Less than a third of the units that usually live is left, or of those that lived in the first fifth
        of the run: a layer that is dead for most of a run is the usual.
        """
        found: Truths = (self.steps.dead == 1) | self._died(self.steps.dead, LEAST_ALIVE)
        return found & np.isfinite(self.steps.dead)

    @cached_property
    def dormant(self) -> Truths:
        """Which layers are dormant, (S, A): half or more of the units that gave something give nothing."""
        dormant = self.steps.dormant
        found: Truths = (dormant >= MOST_DORMANT) & self._died(dormant, LEAST_AWAKE)
        return found & np.isfinite(dormant) & ~self.dead

    def _died(self, shares: Floats, least: float) -> Truths:
        """Return where less than a share of the units is left that usually, or first, did something."""
        first = _medians(shares[: max(1, first_after_start(len(shares)))])
        alive = 1 - np.minimum(_medians(shares), first)
        found: Truths = 1 - shares < least * alive
        return found

    @cached_property
    def weights(self) -> WeightPath:
        """What the weights say of each step."""
        return WeightPath(self.steps)

    @cached_property
    def moved(self) -> Truths:
        """Into which steps, and in which layers, the weights jumped or began to move, (S, L)."""
        return self.weights.jumped | self.weights.began

    @cached_property
    def duplicates(self) -> Truths:
        """Which steps have the weights of the step before, (S,), once training has begun."""
        change = self.steps.weight_change
        same = (change == 0).all(axis=1) & bool(self.steps.weight_layers)
        begun = np.logical_or.accumulate((change > 0).any(axis=1))
        found: Truths = same & begun if begun.any() else same
        return found

    @cached_property
    def restarted(self) -> Truths:
        """Into which steps training began anew, or went on from an earlier step, (S,)."""
        weights = self.weights
        found = np.zeros(len(weights.move), dtype=np.bool_)
        found[1:] = ~weights.off[:-1]
        lasting = found & ~weights.off & weights.jumped[:, weights.learned].any(axis=1)
        for step in np.flatnonzero(lasting).tolist():
            found[step] = weights.new[step] or weights.came_from(step) is not None
        return found & lasting

    @cached_property
    def reset(self) -> Truths:
        """At which steps statistics of BatchNorm began anew, (S,)."""
        return np.array([bool(layers) for layers in self.steps.reset], dtype=np.bool_)

    @cached_property
    def length_ratio(self) -> Floats:
        """How long each transition is, over those around it, (T,).

        Lengths may grow over a run, and their usual growth is taken out: the median of that from one to
        the next around there. What is expected is the largest of a line through the logarithms of those
        around it, and of the medians of the three before and the three after. Where fewer than most are the
        same, steps were rounded to whole numbers, which half a step on either side allows for.
        """
        between = (self.after(self.steps.step) - self.before(self.steps.step)).astype(np.float64)
        if not between.size:
            return np.zeros(0)
        nothing = np.full(HALF, np.nan)
        around = np.arange(len(between))[:, None] + np.arange(2 * HALF + 1)
        logarithms = np.log(np.maximum(between, 1))
        steps = np.diff(logarithms, prepend=logarithms[:1])
        growth = medians_at(np.concatenate([nothing, steps, nothing]), around)
        level = logarithms - np.cumsum(growth)
        expected = np.exp(np.fmax(local_trend(level), sides(level, 1, 3)) + logarithms - level)
        expected = np.where(np.isfinite(expected), expected, between)
        near = np.concatenate([nothing, between, nothing])[around]
        usual = np.nanmedian(near, axis=1)[:, None]
        regular = (near == usual).sum(axis=1) > MOSTLY * np.isfinite(near).sum(axis=1)
        rounding = np.where(regular, 0.0, ROUNDED)
        found: Floats = np.maximum(between - rounding, 0.0) / (expected + rounding)
        return found

    @cached_property
    def churn(self) -> Floats:
        """The share of the samples whose preferred unit changes in each transition, (T,)."""
        return self.flips.mean(axis=1) if self.flips.size else np.zeros(len(self.flips))

    @cached_property
    def churned(self) -> Truths:
        """In which transitions far more samples change their preferred unit than around it, (T,)."""
        around = np.nan_to_num(sides(self.churn, 1, NEAR))
        found: Truths = self.churn >= np.maximum(LEAST_CHURN, TIMES_USUAL_CHURN * around)
        found[: first_after_start(len(found))] = False
        return found

    @cached_property
    def flips(self) -> Truths:
        """In which transitions the preferred unit changes, (T, N)."""
        found: Truths = self.before(self.steps.argmax) != self.after(self.steps.argmax)
        return found

    @cached_property
    def lost_meaning(self) -> Truths:
        """At which measured steps maps say no more than a random order, though the score holds, (S,)."""
        own, high = self.steps.faithfulness, self.steps.faithfulness_band[:, 1]
        size = np.median(np.abs(self.steps.score), axis=1)
        found = np.zeros(len(own), dtype=np.bool_)
        measured = np.flatnonzero(np.isfinite(own))
        for before, place in pairwise(measured.tolist()):
            earlier = measured[measured < place]
            random = max(float(np.median(high[earlier])), high[place])
            meant = (
                len(earlier) >= FEWEST_MEASURED and np.median(own[earlier]) > TIMES_RANDOM * random
            )
            holds = size[place] >= LEAST_SCORE_LEFT * size[before]
            found[place] = meant and holds and own[place] <= high[place]
        return found

    @cached_property
    def crosses_zero(self) -> Truths:
        """Where the score changes its sign, (T, N)."""
        sign = np.sign(self.steps.score)
        found: Truths = self.before(sign) * self.after(sign) < 0
        return found
