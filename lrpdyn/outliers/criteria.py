"""What is wrong or unusual in a run, by step, by transition and by sample: what causes are made of.

Every criterion is cheap and is checked for every step and sample, whether or not a fence is crossed.
Where a criterion compares with "the usual", that is the run's own median: what is healthy for one
network is not for another.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from lrpdyn.outliers.causes import UNSTABLE_SUPPORT
from lrpdyn.outliers.facts import UNAVAILABLE, Changes, Evidence, Floats, RunFacts, Steps, Truths
from lrpdyn.outliers.fences.fences import fences

#: Relevance below this share of the score has vanished.
VANISHED = 1e-6
#: A score below this share of the run's median |score| is near zero.
NEAR_ZERO = 0.01
#: A loss of relevance is a failure above this share of the score, and so many times the usual loss.
LEAST_LOSS, TIMES_USUAL_LOSS = 0.1, 3.0
#: A layer is dead where less than this share of the units that usually live is left, or none. (In
#: sound runs it fell to .39 of the usual.)
LEAST_ALIVE = 1 / 3
#: A layer's change of weights has to be this many times its usual one to be a jump.
JUMP = 3.0
#: The same where there are too few values for a fence.
JUMP_OF_FEW = 5.0
#: Steps on either side that show what change of weights is usual at a place.
NEIGHBOURS = 10
#: So many steps are compared with their neighbours at once: each with twenty.
AT_ONCE = 4096


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
        dead = self.steps.dead
        known = np.isfinite(dead).any(axis=0)
        return np.nanmedian(np.where(known, dead, 0.0), axis=0) if dead.size else dead[0]

    @cached_property
    def dead(self) -> Truths:
        """Which layers are dead, (S, A): less than a third of what usually lives is left."""
        dead = self.steps.dead
        found: Truths = (dead == 1) | (1 - dead < LEAST_ALIVE * (1 - self.usually_dead))
        return found & np.isfinite(dead)

    @cached_property
    def weight_ratio(self) -> Floats:
        """Each layer's change of weights over the usual one at its place, (S, L).

        The change is taken for a transition of usual length, and the usual one is the median of the
        ten steps on either side. NaN where the change is zero or unknown.
        """
        step, change = self.steps.step, self.steps.weight_change
        change = np.where(change > 0, change, np.nan)
        length = np.diff(step, prepend=step[:1]).astype(np.float64)
        if len(length) > 1:
            change = change / np.maximum(length / np.median(length[1:]), 1.0)[:, None]
        around = np.pad(change, ((NEIGHBOURS, NEIGHBOURS), (0, 0)), constant_values=np.nan)
        near = np.lib.stride_tricks.sliding_window_view(around, 2 * NEIGHBOURS + 1, axis=0)
        usual = np.full(change.shape, np.nan)
        for start in range(0, len(near), AT_ONCE):
            part = near[start : start + AT_ONCE]
            counted = np.isfinite(part).sum(axis=2) > 1
            medians = np.nanmedian(np.where(counted[:, :, None], part, 1.0), axis=2)
            usual[start : start + AT_ONCE] = np.where(counted, medians, np.nan)
        found: Floats = change / usual
        return found

    @cached_property
    def jumps(self) -> Truths:
        """Into which steps, and in which layers, the weights jumped, (S, L)."""
        return far_above_usual(self.weight_ratio, least=JUMP, of_few=JUMP_OF_FEW)

    @cached_property
    def lengths(self) -> Floats:
        """How long each transition is, over the usual length, (T,)."""
        between = self.after(self.steps.step) - self.before(self.steps.step)
        length: Floats = between.astype(np.float64)
        return length / np.median(length) if length.size else length

    @cached_property
    def flips(self) -> Truths:
        """In which transitions the preferred unit changes, (T, N)."""
        found: Truths = self.before(self.steps.argmax) != self.after(self.steps.argmax)
        return found

    @cached_property
    def crosses_zero(self) -> Truths:
        """Where the score changes its sign, or is near zero at one end, (T, N)."""
        sign = np.sign(self.steps.score)
        found: Truths = self.before(sign) * self.after(sign) < 0
        found |= self.at_either_end(self.near_zero)
        return found
