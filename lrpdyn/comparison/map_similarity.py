"""How similar the maps of several runs are, sample by sample, at the same progress of training."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from lrpdyn.comparison.paired_steps import PairedSteps
from lrpdyn.dynamics.measures import normalise, pixels
from lrpdyn.run.reader import RunFolder

#: Maps of so many bytes are in memory at a time, of all runs together.
_IN_MEMORY = 2**26
#: So many cells has a picture along each side.
CELLS = 8


def map_similarity(runs: Sequence[RunFolder], paired: PairedSteps) -> NDArray[np.float64]:
    """Return the mean over samples of the cosine of the maps of each two runs, (P, R, R).

    A map is what `cells` gives. Samples whose map is zero in one of two runs are left out of their mean;
    it is 0 where none remains.
    """
    samples = runs[0].shape[0]
    part = max(1, _IN_MEMORY // (8 * len(runs) * prod(runs[0].shape[1:])))
    found = np.empty((paired.steps.shape[1], len(runs), len(runs)))
    for point, steps in enumerate(paired.steps.T.tolist()):
        total, count = np.zeros((2, len(runs), len(runs)))
        for start in range(0, samples, part):
            chosen = slice(start, start + part)
            maps = np.stack(
                [cells(run, step, chosen) for run, step in zip(runs, steps, strict=True)], axis=1
            )
            maps = maps.reshape(*maps.shape[:2], -1)
            lengths = np.sqrt(np.einsum("nrc,nrc->nr", maps, maps))[:, :, None]
            maps /= np.where(lengths > 0, lengths, 1)
            total += (maps @ maps.transpose(0, 2, 1)).sum(axis=0)
            there = (lengths[:, :, 0] > 0).astype(np.float64)
            count += there.T @ there
        found[point] = total / np.maximum(count, 1)
        np.fill_diagonal(found[point], 1)
    return found


def mean_cells(run: RunFolder, step: int) -> NDArray[np.float64]:
    """Return the mean over samples of `cells`, (...)."""
    part = max(1, _IN_MEMORY // (8 * prod(run.shape[1:])))
    starts = range(0, run.shape[0], part)
    sums = [cells(run, step, slice(start, start + part)).sum(axis=0) for start in starts]
    return np.asarray(np.sum(sums, axis=0) / run.shape[0])


def cells(run: RunFolder, step: int, samples: slice) -> NDArray[np.float64]:
    """Return where the relevance of samples is, (n, ...): shares of sum|R|, or all zero.

    |R| by pixel, channels summed before, is summed in `CELLS` x `CELLS` cells of a picture: which pixel of an
    edge has it is of each seed alone. Features stay as they are. The sign is left out, for seeds may prefer
    other actions for the same observation, and what speaks for one speaks against the other.
    """
    maps = run.relevance[step][samples].astype(np.float64)
    maps = np.abs(maps if run.keep == "pixels" else pixels(maps))
    if len(run.shape) > 3:
        for axis in (-2, -1):
            maps = np.add.reduceat(maps, cell_edges(maps.shape[axis]), axis=axis)
    return normalise(maps, "l1")


def cell_edges(length: int) -> NDArray[np.int64]:
    """Return where the cells along one side of a picture begin."""
    return np.linspace(0, length, min(length, CELLS), endpoint=False).astype(np.int64)
