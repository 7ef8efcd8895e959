"""The facts of a run that outliers are found in: plain arrays by step and by transition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.dynamics.totals import Sums
from lrpdyn.files.names import Names
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

    `support` (S, N) is the sum of the positive contributions to the last layer over |score|. Of L
    layers, W the weights: `weight_norm` ||W(k)||, `weight_change` ||W(k) - W(k-1)|| / ||W(k-1)||,
    `weight_back` ||W(k) - W(k-2)||, each (S, L); `weight_sketch` (S, 64), distances of whose rows
    estimate those of all weights; `reset`, by step, the BatchNorm layers whose statistics began anew.
    Of A layers of activations, each (S, A): `dead`, the share of units no sample moves, `dormant`, the
    share of those that give next to nothing, and `rank`, the effective rank of the features.
    `outline` (S, D) is the L1-normalised map of a mean sample, summed over coarse patches.
    `faithfulness` (S,) is that of the rule, median over samples, at the steps where it was measured;
    `faithfulness_band` (S, 2) what random orders reach there.
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
    weight_norm: Floats
    weight_change: Floats
    weight_back: Floats
    weight_sketch: Floats
    reset: tuple[tuple[str, ...], ...]
    activity_layers: tuple[str, ...]
    dead: Floats
    dormant: Floats
    rank: Floats
    outline: Floats
    faithfulness: Floats
    faithfulness_band: Floats


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
    growth_share: Floats
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
        Dynamics over sum |R_i|, (N, H, W) or (N, F), of sequences (N, T, H, W) or (N, T, F), read a few
        samples at a time.
    of_features_in_time
        Whether that is (N, T, F).
    settings
        What is set of the options that advice may name: rule, normalize, target and contrast.
    names
        What units, features and samples are called.
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
    of_features_in_time: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    names: Names = field(default_factory=dict)


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
