"""Frames of a game made into the stacks that a network takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.errors import ObservationError, UsageError

ORDERS = ("oldest", "newest")


def stack_frames(frames: NDArray[Any], count: int, where: str) -> NDArray[Any]:
    """Return each run of `count` successive frames as one observation, the oldest frame first.

    Parameters
    ----------
    frames
        (T, H, W), or with one or three channels at either side of the picture.
    count
        Frames in a stack.
    where
        The files, for messages.

    Returns
    -------
    ndarray
        (T - count + 1, count * channels, H, W), of the frames' dtype.

    Raises
    ------
    ObservationError
        There are too few frames, or they are no pictures.
    """
    pictures = _channels_first(frames, where)
    if len(pictures) < count:
        raise ObservationError(
            f"{where}: has {len(pictures)} frames, too few for a stack of {count} (--stack)"
        )
    windows = np.lib.stride_tricks.sliding_window_view(pictures, count, axis=0)
    stacks = np.moveaxis(windows, -1, 1)
    return stacks.reshape(len(stacks), -1, *pictures.shape[2:])


def grey(frames: NDArray[Any], where: str) -> NDArray[Any]:
    """Return (T, H, W) of coloured frames (T, H, W, 3) whose channels are all the same.

    Raises
    ------
    ObservationError
        They have colours; which grey the network saw in training cannot be known.
    """
    if frames.ndim != 4 or frames.shape[-1] not in (3, 4):
        return frames
    if not all((frames[..., 0] == frames[..., channel]).all() for channel in (1, 2)):
        raise ObservationError(
            f"{where}: the frames have colours, the network takes grey ones; convert them as in training "
            "(Stable-Baselines3 and CleanRL: OpenCV's RGB2GRAY, then 84x84)"
        )
    return frames[..., 0]


def in_order(values: NDArray[Any], order: str) -> NDArray[Any]:
    """Return stacks (N, C, H, W) with their frames turned round where the newest comes first.

    Raises
    ------
    UsageError
        `order` is neither ``oldest`` nor ``newest``.
    """
    if order not in ORDERS:
        raise UsageError(f"--stack-order {order}: expected {' or '.join(ORDERS)}")
    return values[:, ::-1] if order == "newest" else values


def merged(array: NDArray[Any], channels: int) -> tuple[NDArray[Any], str] | None:
    """Return a stack of pictures (N, K, H, W, C) or (N, K, C, H, W) as (N, K * C, H, W).

    None where K * C is not `channels`.
    """
    if array.ndim != 5:
        return None
    if array.shape[1] * array.shape[4] == channels:
        first = np.moveaxis(array, 4, 2)
        return first.reshape(len(array), channels, *array.shape[2:4]), "NKHWC"
    if array.shape[1] * array.shape[2] == channels:
        return array.reshape(len(array), channels, *array.shape[3:]), "NKCHW"
    return None


def _channels_first(frames: NDArray[Any], where: str) -> NDArray[Any]:
    if frames.ndim == 3:
        return frames[:, None]
    if frames.ndim == 4 and frames.shape[1] in (1, 3):
        return frames
    if frames.ndim == 4 and frames.shape[3] in (1, 3):
        return np.moveaxis(frames, 3, 1)
    raise ObservationError(
        f"{where}: --stack takes frames of shape (T, H, W), or with one or three channels; found "
        f"{frames.shape}"
    )


def together(frames: Sequence[NDArray[Any]], where: str) -> NDArray[Any]:
    """Return frames of one size as one array (T, ...).

    Raises
    ------
    ObservationError
        They differ in size or type.
    """
    kinds = {(frame.shape, str(frame.dtype)) for frame in frames}
    if len(kinds) > 1:
        raise ObservationError(
            f"{where}: frames differ: {', '.join(f'{shape} {kind}' for shape, kind in sorted(kinds)[:4])}"
        )
    return np.stack(frames)
