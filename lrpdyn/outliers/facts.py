"""The facts of a run that outliers are found in: plain arrays by step and by transition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.dynamics.totals import Sums
from lrpdyn.files.streamed import Samples

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Truths = NDArray[np.bool_]
#: What was found by layer of the steps that are `Wanted`, by place in `Steps` and cause.
Evidence = dict[tuple[int, str], dict[str, Any]]

#: Stands for evidence whose checkpoint is gone.
UNAVAILABLE = "unavailable"


@dataclass(frozen=True)
class Steps:
    """S steps of N samples, as `lrpdyn.dynamics.step_table.Records` has them; NaN where unknown.

    `support` (S, N) is the sum of the positive contributions to the last layer over |score|. L names
    of layers with `weight_change` (S, L), A with `dead` (S, A), the share of units no sample moves.
    """

    step: Integers
    score: Floats
    relevance_sum: Floats
    relevance_l1: Floats
    support: Floats
    argmax: Integers
    finite: Truths
    broken: tuple[tuple[str, ...], ...]
    weight_layers: tuple[str, ...]
    weight_change: Floats
    activity_layers: tuple[str, ...]
    dead: Floats


@dataclass(frozen=True)
class Changes:
    """T transitions of N samples, which lead from the places `before` (T,) to `after` in `Steps`.

    (T, N) in the same order as in `lrpdyn.dynamics.step_table.Records`; `left_out` (T,) says whether a
    checkpoint in between could not be used.
    """

    before: Integers
    after: Integers
    change: Floats
    scale_share: Floats
    scale_factor: Floats
    left_out: Truths


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """All of a run that its outlier report is made from.

    Attributes
    ----------
    gives_only_support
        Whether the rule of the last layer shares a score among what speaks for it alone.
    conserves
        Whether relevance is to add up to the score under the rule, up to what biases take.
    follows_preference
        Whether the explained unit changes with the preferred one.
    relative
        Dynamics over sum |R_i|, (N, H, W) or (N, F), read a few samples at a time.
    sums
        Gives the sums over all steps of some samples.
    """

    gives_only_support: bool
    conserves: bool
    follows_preference: bool
    steps: Steps
    changes: Changes
    relative: Samples
    sums: Callable[[slice], Sums]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which steps a report wants evidence by layer of.

    `places` in `Steps`; `usual` are places spread over the run, which tell what is usual; `flips`
    has, by transition, the samples whose preferred unit changed, and `samples`, by place, those that
    are outliers there.
    """

    places: tuple[int, ...]
    usual: tuple[int, ...]
    flips: dict[int, tuple[int, ...]]
    samples: dict[int, tuple[int, ...]]
