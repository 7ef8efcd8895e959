"""The path of a network's weights over training, and the steps that are off it.

It is known from three numbers of each layer and step: the norm ||W(k)||, the move ||W(k) - W(k-1)|| and the
distance over two steps ||W(k) - W(k-2)||; and from a sketch of all weights, small enough to be kept of each
step, whose distances estimate theirs. No observation takes part: a step is found whether or not its maps
moved.

In training, weights move 1.4 times (a random walk) to 2 times (a straight line) as far over two steps as
over one. A checkpoint that is off the path makes a detour: it is far from both of its neighbours, and
these are near each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lrpdyn.outliers.facts import Floats, Integers, Steps, Truths
from lrpdyn.outliers.fences.in_time import FEWEST, first_after_start, in_time

#: Neighbours are at most this share as far apart as the step between them is from one of them: a detour.
DETOUR = 0.75
#: A detour of one layer, or of all that goes far one way alone, has to be as clear as this.
CLEAR_DETOUR = 0.6
#: A detour goes so many times as far as the usual move, there and back.
THERE_AND_BACK, LAYER_THERE_AND_BACK = 1.5, 2.0
#: Two steps that were swapped are less than this share as far from their new neighbours as from the old.
SWAPPED = 0.9
#: A step that moved by less than this share of the usual is a copy with noise. (In sound training: .007.)
NEAR_COPY = 1e-3
#: So is one that moved so many times less than the step before it, than the one after it, and than usual.
FAR_LESS = 10.0
#: A layer's move has to be so many times its usual one to be a jump; more where there is no fence.
JUMP, JUMP_OF_FEW = 3.0, 5.0
#: A step is where weights came from that are nearer to it than this share of the way to the step before.
NEARER = 0.5
#: Weights whose cosine with those of the step before is below this are new ones.
NEW = 0.5
#: A layer stood still for so many steps before it begins to move.
STOOD_STILL = 3


@dataclass(frozen=True)
class WeightPath:
    """What the weights say of S steps with L layers; nothing where they are not known."""

    steps: Steps

    @cached_property
    def learned(self) -> Truths:
        """Which layers are learned, (L,): not the statistics of a BatchNorm, which go up and down."""
        names = self.steps.weight_layers
        return np.array([not name.endswith(" statistics") for name in names], dtype=np.bool_)

    @cached_property
    def moved(self) -> Floats:
        """How far each layer moved into each step, (S, L); NaN where unknown."""
        before = np.full(self.steps.weight_norm.shape, np.nan)
        before[1:] = self.steps.weight_norm[:-1]
        found: Floats = self.steps.weight_change * before
        return found

    @cached_property
    def _fences(self) -> tuple[Floats, Floats]:
        """The usual move of each layer around each step, and where a jump begins, (S, L) each."""
        usual, jump = (np.full(self.moved.shape, np.nan) for _ in range(2))
        for layer, moves in enumerate(self.moved[1:].T):
            known = np.where(np.isfinite(moves), moves, 0.0)
            found = in_time(known, least_far=JUMP)
            usual[1:, layer], jump[1:, layer] = found.trend, found.far
            if len(moves) < FEWEST:
                jump[1 + first_after_start(len(moves)) :, layer] = (
                    JUMP_OF_FEW * found.trend[first_after_start(len(moves)) :]
                )
        return usual, jump

    @property
    def usual(self) -> Floats:
        """How far each layer usually moves around each step, (S, L)."""
        return self._fences[0]

    @cached_property
    def ratio(self) -> Floats:
        """How far each layer moved, over its usual move around there, (S, L)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.moved / self.usual

    @cached_property
    def began(self) -> Truths:
        """Which layers begin to move into a step after they stood still, (S, L): they were frozen."""
        still = np.zeros(self.moved.shape, dtype=np.bool_)
        still |= self.moved == 0
        found = np.zeros(still.shape, dtype=np.bool_)
        if len(still) > STOOD_STILL + 1:
            windows = np.lib.stride_tricks.sliding_window_view(still, STOOD_STILL, axis=0)
            found[STOOD_STILL:] = windows[:-1].all(axis=2) & (self.moved[STOOD_STILL:] > 0)
        return found

    @cached_property
    def jumped(self) -> Truths:
        """Which layers jumped into each step, (S, L), after the start of learning; not those that began."""
        found: Truths = (self.moved > self._fences[1]) & ~self.began
        return found

    @cached_property
    def _size(self) -> Floats:
        """The median move of each learned layer, (L,), to count a small layer as much as a large one."""
        moved = np.where(self.moved > 0, self.moved, np.nan)[:, self.learned]
        known = np.isfinite(moved).any(axis=0)
        found: Floats = np.nanmedian(np.where(known, moved, 1.0), axis=0)
        return found

    def _together(self, distances: Floats) -> Floats:
        """Return distances by layer (S, L) as one of all learned layers, (S,); NaN where unknown."""
        of_layers = distances[:, self.learned] / self._size
        known = np.isfinite(of_layers).any(axis=1)
        return np.where(known, np.sqrt(np.nansum(of_layers**2, axis=1)), np.nan)

    @cached_property
    def move(self) -> Floats:
        """How far all learned layers moved into each step, in units of their usual moves, (S,)."""
        return self._together(self.moved)

    @cached_property
    def usual_of_all(self) -> Floats:
        """The usual `move` around each step, (S,)."""
        found = np.full(self.move.shape, np.nan)
        if len(found) > 1:
            found[1:] = in_time(np.nan_to_num(self.move[1:])).trend
        return found

    @cached_property
    def apart(self) -> Floats:
        """How far the steps before and after each are apart, as `move`, (S,); NaN at both ends."""
        found = np.full(self.move.shape, np.nan)
        found[1:-1] = self._together(self.steps.weight_back)[2:]
        return found

    def _ways(self, distances: Floats) -> tuple[Floats, Floats]:
        """Return distances into each step (S, ...) and out of it; NaN at the ends."""
        out = np.full(distances.shape, np.nan)
        out[:-1] = distances[1:]
        return distances, out

    @cached_property
    def detour(self) -> Floats:
        """How far the neighbours of each step are apart, over the longer way to one of them, (S,)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.apart / np.fmax(*self._ways(self.move))

    @cached_property
    def detours(self) -> Floats:
        """The same of each layer, (S, L)."""
        apart = np.full(self.moved.shape, np.nan)
        apart[1:-1] = self.steps.weight_back[2:]
        with np.errstate(divide="ignore", invalid="ignore"):
            return apart / np.fmax(*self._ways(self.moved))

    @cached_property
    def layers_off(self) -> Truths:
        """Which layers of each step make a clear detour of their own, (S, L)."""
        into, out = self._ways(self.ratio)
        # One that stands still else has no usual move.
        found: Truths = (self.detours < CLEAR_DETOUR) & (
            (np.fmin(into, out) > LAYER_THERE_AND_BACK) | self.began
        )
        return found & self.learned

    @cached_property
    def swapped(self) -> Truths:
        """Which steps were swapped with the one after them, (S,)."""
        found = np.zeros(self.move.shape, dtype=np.bool_)
        if len(found) < 4:
            return found
        # a, c, b, d where a, b, c, d is the order: c is the step, b the one after it.
        a_c, c_b, b_d = self.move[1:-2], self.move[2:-1], self.move[3:]
        a_b, c_d = self.apart[1:-2], self.apart[2:-1]
        found[1:-2] = (
            (a_b < SWAPPED * a_c) & (c_d < SWAPPED * b_d) & (c_b < SWAPPED * np.fmin(a_c, b_d))
            & (a_c > np.fmax(a_b, c_b)) & (b_d > np.fmax(c_d, c_b))
        )  # fmt: skip
        return found

    @cached_property
    def off(self) -> Truths:
        """Which steps are off the path of their neighbours, (S,), not counting swapped ones."""
        with np.errstate(divide="ignore", invalid="ignore"):
            into, out = self._ways(self.move / self.usual_of_all)
        one_way, both_ways = (f(into, out) > THERE_AND_BACK for f in (np.fmax, np.fmin))
        # Where training has come to rest, weights swing to and fro, but not far.
        found: Truths = (self.detour < CLEAR_DETOUR) & one_way
        found |= (self.detour < DETOUR) & both_ways
        found |= self.layers_off.any(axis=1)
        swapped = self.swapped
        found[1:] &= ~swapped[:-1]
        return found & ~swapped

    @cached_property
    def near_copy(self) -> Truths:
        """Which steps are those before them but for a little noise, (S,)."""
        before, (_, after) = np.roll(self.move, 1), self._ways(self.move)
        alone = self.move < np.minimum(before, after) / FAR_LESS
        found: Truths = (self.move > 0) & ((self.move < NEAR_COPY * self.usual_of_all) | alone)
        return found & (self.move < self.usual_of_all / FAR_LESS)

    @cached_property
    def new(self) -> Truths:
        """Which steps have weights that have nothing to do with those before, (S,)."""
        norm, change = self.steps.weight_norm[:, self.learned], self.moved[:, self.learned]
        before = np.full(norm.shape, np.nan)
        before[1:] = norm[:-1]
        with np.errstate(divide="ignore", invalid="ignore"):
            cosine = (norm**2 + before**2 - change**2) / (2 * norm * before)
        known = np.isfinite(cosine).any(axis=1)
        middle = (
            np.nanmedian(np.where(known[:, None], cosine, 1.0), axis=1) if cosine.size else known
        )
        found: Truths = known & (middle < NEW)
        return found

    def came_from(self, step: int) -> int | None:
        """Return the place of an earlier step that the weights of a place are near to, if any is.

        That is much nearer than the step just before.
        """
        return self._nearest(step, range(step - 1))

    def belongs_to(self, step: int) -> int | None:
        """Return the place of a step, not a neighbour, that the weights of a place are near to."""
        others = [n for n in range(len(self.move)) if abs(n - step) > 1]
        return self._nearest(step, others)

    def _nearest(self, step: int, others: range | list[int]) -> int | None:
        sketch = self.steps.weight_sketch
        if not len(others) or not np.isfinite(sketch[step]).all():
            return None
        places: Integers = np.array(others, dtype=np.int64)
        away = np.linalg.norm(sketch[places] - sketch[step], axis=1)
        last = float(np.linalg.norm(sketch[step - 1] - sketch[step]))
        nearest = int(np.nanargmin(np.where(np.isfinite(away), away, np.inf)))
        return int(places[nearest]) if away[nearest] < NEARER * last else None
