"""The facts of a run that outliers are found in: plain arrays by step and by transition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.files.streamed import Samples

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Truths = NDArray[np.bool_]
#: What was found by layer of the steps that are `Wanted`, by place in `Steps` and cause.
Evidence = dict[tuple[int, str], dict[str, Any]]

#: Stands for evidence whose checkpoint is gone.
UNAVAILABLE = "unavailable"


@dataclass(frozen=True)
class Question:
    """What was asked, as far as the causes depend on it.

    `gives_only_support` is whether the rule of the last layer shares a score among what speaks for it
    alone, `target` the target policy.
    """

    gives_only_support: bool
    target: str

    @property
    def follows_preference(self) -> bool:
        """Tell whether the explained unit changes with the preferred one."""
        return self.target.rpartition(":")[2] in ("argmax", "largest")


@dataclass(frozen=True)
class Steps:
    """S steps of N samples.

    Attributes
    ----------
    step
        (S,), rising.
    score, relevance_sum, relevance_l1
        (S, N); NaN where not finite.
    support
        (S, N): sum of the positive contributions to the last layer over |score|; NaN where unknown.
    argmax
        (S, N); -1 where not finite.
    finite
        (S,).
    broken
        For each step, where NaN or infinity is: names of layers, "outputs", "relevance"; else empty.
    weight_layers, weight_change
        L names and (S, L): ||difference to the checkpoint before|| / ||before||; NaN where unknown.
    activity_layers, dead
        A names and (S, A): share of the units that no sample moves; NaN where unknown.
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
    """T transitions of N samples.

    Attributes
    ----------
    before, after
        (T,): the places in `Steps` that a transition leads from and to.
    change, scale_share, scale_factor
        (T, N); the share is NaN where nothing changed. The factor is that of the map along the
        direction common to both, negative where it turned round.
    left_out
        (T,): whether a checkpoint in between could not be used.
    """

    before: Integers
    after: Integers
    change: Floats
    scale_share: Floats
    scale_factor: Floats
    left_out: Truths


@dataclass(frozen=True)
class PixelsOfSample:
    """What is known of the pixels of one sample, (H, W) or (F,).

    `path` is Dynamics; `largest` is the largest of a pixel's differences and `largest_at` the
    transition in which it was.
    """

    path: Floats
    largest: Floats
    largest_at: Integers


@dataclass(frozen=True)
class Pixels:
    """What is known of each pixel of each sample, too many for memory.

    `relative` is Dynamics over sum |R_i|, (N, H, W) or (N, F), read a few samples at a time;
    `of_sample` gives the rest of a sample that a listed pixel lies in.
    """

    relative: Samples
    of_sample: Callable[[int], PixelsOfSample]


@dataclass(frozen=True)
class RunFacts:
    """All of a run that its outlier report is made from."""

    question: Question
    steps: Steps
    changes: Changes
    pixels: Pixels


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
