"""The regions of the observations, whose names a page shows at the pointer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lrpdyn.observations.regions import Regions
from lrpdyn.page.pictures import pack_bytes


@dataclass(frozen=True, kw_only=True)
class RegionMasks:
    """A region's name, and its mask as packed bits (H * W): of each sample of the page, or one for all."""

    name: str
    masks: tuple[str, ...]


def regions_of(
    regions: Regions, shape: Sequence[int], samples: Sequence[int]
) -> tuple[RegionMasks, ...]:
    """Return regions of observations of `shape` as they lie in the pictures of some samples.

    A pixel is in a region that any of its channels is in; the pictures of a sequence lie side by side.
    """
    chosen = [0] if regions.masks.shape[1] == 1 else list(samples)
    return tuple(
        RegionMasks(
            name=name, masks=tuple(map(_packed, _pictures(masks[chosen], tuple(shape[1:]))))
        )
        for name, masks in zip(regions.names, regions.masks, strict=True)
    )


def _pictures(masks: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return masks (N, ...) of observations of `shape` without channels, pictures side by side."""
    whole = np.broadcast_to(masks, (len(masks), *shape))
    if len(shape) < 3:
        return whole
    pixels = np.any(whole, axis=-3)
    return pixels if len(shape) == 3 else np.concatenate(list(np.moveaxis(pixels, 1, 0)), axis=-1)


def _packed(mask: NDArray[np.bool_]) -> str:
    return pack_bytes(np.packbits(mask))
