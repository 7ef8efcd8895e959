"""Makes frames of a game into the stacks that a network takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.errors import ObservationError, UsageError
from lrpdyn.files.streamed import Streamed, as_sample, joined, pieces

ORDERS = ("oldest", "newest")


def stack_frames(frames: Streamed, count: int, where: str) -> Streamed:
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
    pictures = _colours_first(frames, where)
    if len(pictures) < count:
        raise ObservationError(
            f"{where}: has {len(pictures)} frames, too few for a stack of {count} (--stack)"
        )

    def read(start: int, stop: int) -> NDArray[Any]:
        seen = pictures[start : stop + count - 1]
        stacks = np.moveaxis(np.lib.stride_tricks.sliding_window_view(seen, count, axis=0), -1, 1)
        return stacks.reshape(len(stacks), -1, *pictures.shape[2:])

    channels, *picture = pictures.shape[1:]
    shape = (len(pictures) - count + 1, count * channels, *picture)
    return Streamed(shape, pictures.dtype, read)


def grey(frames: Streamed, where: str) -> Streamed:
    """Return (T, H, W) of coloured frames (T, H, W, 3) whose channels are all the same.

    Raises
    ------
    ObservationError
        They have colours; which grey the network saw in training cannot be known.
    """
    if frames.ndim != 4 or frames.shape[-1] not in (3, 4):
        return frames
    if not all((piece[..., :1] == piece[..., 1:3]).all() for piece in pieces(frames)):
        raise ObservationError(
            f"{where}: the frames have colours, the network takes grey ones; convert them as in training "
            "(Stable-Baselines3 and CleanRL: OpenCV's RGB2GRAY, then 84x84)"
        )
    return frames.changed(frames.shape[1:3], lambda piece: piece[..., 0])


def oldest_first(values: Streamed, order: str) -> Streamed:
    """Return stacks (N, ..., C, H, W), the oldest frame first, of stacks in some `order`.

    Raises
    ------
    UsageError
        `order` is neither ``oldest`` nor ``newest``.
    """
    if order not in ORDERS:
        raise UsageError(f"--stack-order {order}: expected {' or '.join(ORDERS)}")
    if order == "oldest":
        return values
    return values.changed(values.shape[1:], lambda piece: piece[..., ::-1, :, :])


def merged(array: Streamed, channels: int) -> tuple[Streamed, str] | None:
    """Return a stack of pictures (N, K, H, W, C) or (N, K, C, H, W) as (N, K * C, H, W).

    None where K * C is not `channels`.
    """
    _, count, *axes = array.shape
    if count * axes[2] == channels:
        shape = (channels, *axes[:2])
        return array.changed(shape, lambda piece: _merge(np.moveaxis(piece, 4, 2), shape)), "NKHWC"
    if count * axes[0] == channels:
        shape = (channels, *axes[1:])
        return array.changed(shape, lambda piece: _merge(piece, shape)), "NKCHW"
    return None


def _merge(stacks: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    return stacks.reshape(len(stacks), *shape)


def _colours_first(frames: Streamed, where: str) -> Streamed:
    if frames.ndim == 3:
        return channels_first(frames, "NHW")
    if frames.ndim == 4 and frames.shape[1] in (1, 3):
        return frames
    if frames.ndim == 4 and frames.shape[3] in (1, 3):
        return channels_first(frames, "NHWC")
    raise ObservationError(
        f"{where}: --stack takes frames of shape (T, H, W), or with one or three channels; found "
        f"{frames.shape}"
    )


def channels_first(array: Streamed, layout: str) -> Streamed:
    """Return an array of layout NHW or NHWC as NCHW; one of another layout as it is."""
    if layout == "NHW":
        return array.changed((1, *array.shape[1:]), lambda piece: piece[:, None])
    if layout == "NHWC":
        shape = (array.shape[3], *array.shape[1:3])
        return array.changed(shape, lambda piece: np.moveaxis(piece, -1, 1))
    return array


def join_frames(frames: Sequence[Streamed], where: str) -> Streamed:
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
    return joined([as_sample(frame) for frame in frames])
