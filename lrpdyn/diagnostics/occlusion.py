"""What the network does when a part of the observation is painted over: the effect of that part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lrpdyn.dynamics.measures import centred_ranks, cosines
from lrpdyn.explain.explanation import Question, outputs_of, rows_of
from lrpdyn.explain.loaded import LoadedNetwork
from lrpdyn.explain.model import batch_slices, batches
from lrpdyn.files.streamed import Samples
from lrpdyn.observations.fills import PATCHES
from lrpdyn.observations.regions import Mask, Painting

#: Fewer patches than this that are not empty do not make a correlation.
FEWEST_PATCHES = 5


def distance(
    before: NDArray[np.float64], after: NDArray[np.float64], *, probabilities: bool
) -> Any:
    """Return how far apart two predictions (N, K) are, (N,).

    Of distributions the Jensen-Shannon distance, the root of the divergence with natural
    logarithms, in 0..sqrt(ln 2) (Endres and Schindelin 2003); of several independent distributions
    divergences add up under the root; of values the sum of |difference|.
    """
    if not probabilities:
        return np.abs(after - before).sum(axis=1)
    middle = (before + after) / 2

    def divergence(p: NDArray[np.float64]) -> NDArray[np.float64]:
        ratio = np.where(p > 0, p / np.where(middle > 0, middle, 1.0), 1.0)
        result: NDArray[np.float64] = (p * np.log(ratio)).sum(axis=1)
        return result

    return np.sqrt(np.maximum((divergence(before) + divergence(after)) / 2, 0.0))


def effects(
    loaded: LoadedNetwork,
    observations: NDArray[np.float32],
    masks: Sequence[Mask],
    filled: NDArray[np.float32] | float,
) -> NDArray[np.float64]:
    """Return how much each sample's prediction changes when a mask is painted over, (masks, N).

    Masks have the shape of the observations; `filled` is what each entry becomes. NaN where a mask is
    empty for a sample.
    """
    plain, units = outputs_of(loaded, observations), loaded.model.units
    before = units.predictions(plain)
    found = np.full((len(masks), len(observations)), np.nan)
    for row, mask in zip(found, masks, strict=True):
        there = mask.reshape(len(mask), -1).any(axis=1)
        painted = np.where(mask, np.float32(filled), observations)
        after = units.predictions(outputs_of(loaded, painted))
        probabilities = units.give_probabilities(plain.shape[1])
        row[there] = distance(before, after, probabilities=probabilities)[there]
    return found


def region_effects(
    loaded: LoadedNetwork, observations: Samples, painting: Painting
) -> NDArray[np.float64]:
    """Return the effect of each region on each sample, (R, N); painted a batch at a time."""
    found = []
    for chosen in batch_slices(loaded.model, len(observations)):
        shown, regions = observations[chosen], painting.regions.part(chosen)
        samples = range(*chosen.indices(len(observations)))
        masks = [regions.of_sample(r, shown.shape) for r in range(len(regions.names))]
        found.append(effects(loaded.with_samples(samples), shown, masks, painting.fill.of(shown)))
    return np.concatenate(found, axis=1)


def patch_masks(shape: tuple[int, ...]) -> list[Mask]:
    """Return a grid of patches over the picture, or groups of features, as masks (1, ...)."""
    if len(shape) == 2:
        groups = np.array_split(np.arange(shape[1]), min(PATCHES**2, shape[1]))
        return [np.isin(np.arange(shape[1]), group)[None] for group in groups]
    masks = []
    height, width = shape[-2:]
    for rows in np.array_split(np.arange(height), min(PATCHES, height)):
        for columns in np.array_split(np.arange(width), min(PATCHES, width)):
            mask = np.zeros((*[1] * (len(shape) - 2), height, width), dtype=bool)
            mask[..., rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
            masks.append(mask)
    return masks


def agreement(
    loaded: LoadedNetwork,
    observations: NDArray[np.float32],
    maps: NDArray[np.float32],
    filled: NDArray[np.float32] | float,
    question: Question,
) -> dict[str, float | None]:
    """Return how well relevance ranks the patches of a picture by what painting them over does.

    Only patches that painting changes are ranked. ``rule`` is the rank correlation of each patch's
    sum|R| with its effect, ``gradient`` that of |gradient x (observation - filled)|, the maps of which
    are no explanation but a yardstick: medians over samples. ``samples`` says how many had five such
    patches; both are None where none had.
    """
    steepness = gradient(loaded, observations, question)
    sizes = {
        "rule": np.abs(maps.astype(np.float64)),
        "gradient": np.abs(steepness * (observations - np.float32(filled)).astype(np.float64)),
    }
    masks = [np.broadcast_to(mask, observations.shape) for mask in patch_masks(observations.shape)]
    changed = observations != np.float32(filled)
    moved = effects(loaded, observations, masks, filled).T
    empty = np.stack([_within(changed, mask) == 0 for mask in masks], axis=1)
    of_patches = {
        name: np.stack([_within(size, mask) for mask in masks], axis=1)
        for name, size in sizes.items()
    }
    usable = [n for n in range(len(moved)) if (~empty[n]).sum() >= FEWEST_PATCHES]
    found: dict[str, float | None] = {"samples": len(usable)}
    for name, size in of_patches.items():
        values = [
            float(cosines(centred_ranks(size[n : n + 1, ~empty[n]]),
                         centred_ranks(moved[n : n + 1, ~empty[n]]))[0])
            for n in usable
        ]  # fmt: skip
        finite = [value for value in values if np.isfinite(value)]
        found[name] = float(np.median(finite)) if finite else None
    return found


def _within(values: NDArray[Any], mask: Mask) -> NDArray[np.float64]:
    found: NDArray[np.float64] = (values * mask).reshape(len(values), -1).sum(axis=1)
    return found


def gradient(
    loaded: LoadedNetwork, observations: NDArray[np.float32], question: Question
) -> NDArray[np.float64]:
    """Return the gradient of each sample's score by its observation."""
    parts = []
    for chosen, x in batches(loaded.model, observations):
        leaf = x.clone().requires_grad_()
        found = loaded.explained(leaf)
        rows = rows_of(loaded, x, question.part(chosen), found.detach())
        (slope,) = torch.autograd.grad((rows * found).sum(), leaf)
        parts.append(slope.cpu().double().numpy())
    return np.concatenate(parts)
