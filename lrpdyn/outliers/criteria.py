"""What is called wrong, or a cause, and from which value on: each by a criterion of its own.

Every criterion is cheap and looked at for every step and sample, whether or not a fence is crossed.
Where a criterion compares with "the usual", that is the run's own median: what is healthy for one
network is not for another.
"""

from __future__ import annotations

import numpy as np

from lrpdyn.outliers.facts import Changes, Floats, Question, Steps, Truths
from lrpdyn.outliers.fences.fences import fences

#: Relevance below this share of the score has vanished.
VANISHED = 1e-6
#: A score is carried by next to nothing where the denominator at the last layer is this share of it.
UNSTABLE_SUPPORT = 0.01
#: Support below which a negative score under z-plus is called weak.
WEAK_SUPPORT = 0.1
#: A score below this share of the run's median |score| is near zero.
NEAR_ZERO = 0.01
#: A loss of relevance below this share of the score is never called a failure.
LEAST_LOSS = 0.1
#: A layer is dead where less than this share of the units that usually live is left, or none. (In
#: sound runs it fell to .39 of the usual.)
LEAST_ALIVE = 1 / 3
#: A layer's change of weights has to be this many times its usual one to be a jump.
JUMP = 3.0
#: The same where there are too few values for a fence.
JUMP_OF_FEW = 5.0
#: Steps on either side that tell what change of weights is usual at a place.
NEIGHBOURS = 10
#: So many steps are held with their neighbours at once: each with twenty.
AT_ONCE = 4096
#: A transition this many times as long as the usual one is a gap.
GAP = 1.5


def vanished(score: Floats, relevance_l1: Floats) -> Truths:
    """Tell where relevance is gone (below 1e-6 of the score) though the score is not zero."""
    with np.errstate(invalid="ignore"):
        gone = relevance_l1 <= VANISHED * np.abs(score)
    found: Truths = gone & (score != 0) & np.isfinite(score)
    return found


def unstable(steps: Steps, question: Question) -> Truths:
    """Tell where z-plus divides a score by contributions that are next to nothing, (S, N)."""
    if not question.gives_only_support:
        return np.zeros(steps.score.shape, dtype=bool)
    # A bias is part of the denominator, not of the support, and keeps its part of the relevance: what
    # comes through is the share that the support has of the denominator.
    with np.errstate(invalid="ignore", divide="ignore"):
        passed = steps.relevance_l1 / np.abs(steps.score)
        weak: Truths = steps.support < UNSTABLE_SUPPORT * passed
    # A score that is next to nothing itself may be divided by what it likes.
    return weak & ~near_zero(steps)


def near_zero(steps: Steps) -> Truths:
    """Tell where a score is below a hundredth of the run's median |score|, (S, N)."""
    size = np.abs(steps.score)
    known = size[np.isfinite(size)]
    usual = float(np.median(known)) if known.size else 0.0
    found: Truths = size < NEAR_ZERO * usual
    return found


def negative(steps: Steps, question: Question) -> Truths:
    """Tell where z-plus shows evidence for a unit whose score is negative, (S, N)."""
    if not question.gives_only_support:
        return np.zeros(steps.score.shape, dtype=bool)
    found: Truths = steps.score < 0
    return found


def loss(steps: Steps) -> Floats:
    """Return |score - sum R| / |score|, (S, N); NaN near a score of zero, or where R vanished."""
    size = np.abs(steps.score)
    usable = np.isfinite(size) & ~near_zero(steps) & ~vanished(steps.score, steps.relevance_l1)
    usable &= size > 0
    difference = np.abs(steps.score - steps.relevance_sum)
    return np.where(usable, difference / np.where(usable, size, 1.0), np.nan)


def not_conserved(steps: Steps) -> Truths:
    """Tell where far more relevance got lost or was made than is usual for the run, (S, N)."""
    lost = loss(steps)
    known = lost[np.isfinite(lost)]
    if not known.size:
        return np.zeros(lost.shape, dtype=bool)
    far = fences(known).far
    least = max(LEAST_LOSS, 3 * float(np.median(known)), np.inf if far is None else far)
    found: Truths = lost > least
    return found


def duplicates(steps: Steps) -> Truths:
    """Tell which checkpoints hold the weights of the one before, (S,)."""
    if not steps.weight_layers:
        return np.zeros(len(steps.step), dtype=bool)
    found: Truths = (steps.weight_change == 0).all(axis=1)
    return found


def dead(steps: Steps) -> Truths:
    """Tell which layers are dead, (S, A): less than a third of what usually lives is left."""
    if steps.dead.size == 0:
        return np.zeros(steps.dead.shape, dtype=bool)
    known = np.isfinite(steps.dead)
    usual = np.nanmedian(np.where(known.any(axis=0), steps.dead, 0.0), axis=0)
    found: Truths = (steps.dead == 1) | (1 - steps.dead < LEAST_ALIVE * (1 - usual))
    return found & known


def weight_ratio(steps: Steps) -> Floats:
    """Return each layer's change of weights over the usual one at its place, (S, L).

    The change is taken for a transition of usual length, and the usual one is the median of the ten
    steps on either side. NaN where the change is zero or unknown.
    """
    change = np.where(steps.weight_change > 0, steps.weight_change, np.nan)
    length = np.diff(steps.step, prepend=steps.step[:1]).astype(np.float64)
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


def weight_jumps(steps: Steps) -> Truths:
    """Tell into which steps, and in which layers, the weights jumped, (S, L)."""
    ratio = weight_ratio(steps)
    known = ratio[np.isfinite(ratio)]
    far = fences(known).far if known.size else None
    found: Truths = ratio > max(JUMP, JUMP_OF_FEW if far is None else far)
    return found


def lengths(steps: Steps, changes: Changes) -> Floats:
    """Return how long each transition is, over the usual length, (T,)."""
    length = (steps.step[changes.after] - steps.step[changes.before]).astype(np.float64)
    return length / np.median(length) if length.size else length


def step_gaps(steps: Steps, changes: Changes) -> Truths:
    """Tell which transitions bridge missing checkpoints, (T,)."""
    found: Truths = changes.left_out | (lengths(steps, changes) > GAP)
    return found


def flips(steps: Steps, changes: Changes) -> Truths:
    """Tell in which transitions the preferred unit changes, (T, N)."""
    found: Truths = steps.argmax[changes.before] != steps.argmax[changes.after]
    return found


def crosses_zero(steps: Steps, changes: Changes) -> Truths:
    """Tell where the score changes its sign, or is near zero at one end, (T, N)."""
    before, after = steps.score[changes.before], steps.score[changes.after]
    close = near_zero(steps)
    found: Truths = (
        (np.sign(before) * np.sign(after) < 0) | close[changes.before] | close[changes.after]
    )
    return found
