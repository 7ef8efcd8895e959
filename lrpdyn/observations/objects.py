"""Objects in observations: what differs from a still background, found without masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.observations.components import components

Mask = NDArray[np.bool_]
Levels = NDArray[np.int16]
Integers = NDArray[np.int64]

#: Values are compared in this many levels between the least and the largest.
LEVELS = 255
#: Values are the same that are no further apart than this many deviations of the noise.
DEVIATIONS = 5.0
#: What differs from the background in fewer frames than this share is passing by; in more, it changes.
RARE = 0.1
#: What is in this share of the frames is there as a rule.
OFTEN = 0.25
#: Things of one colour are at most this share of all levels apart, and of one size up to this factor.
SAME_COLOUR, SAME_SIZE = 1 / 8, 2.0
#: What stands still is not blurred: its colours are the same up to this share of all levels.
STILL_COLOUR = 1 / 32
#: A line is at most this share of the picture high.
LINE = 1 / 4
#: A group that is in a smaller share of the frames is dropped.
LEAST_PRESENT = 0.02
#: The background is made of this many frames at most, evenly spaced.
MOST_FRAMES = 512


@dataclass(frozen=True, kw_only=True)
class Frames:
    """Single pictures (M, H, W, D) of D colours in levels, and the shape that masks of them have.

    Each sample has `count` successive frames. `noise` is how far apart equal values may be.
    """

    values: Levels
    count: int
    noise: int

    def differ(self, picture: Levels) -> Mask:
        """Return where frames are not as the picture (H, W, D)."""
        return _apart(self.values, picture) > self.noise


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """Connected pieces of frames, an entry for each: its frame, box, area and colour (n, D)."""

    frame: Integers
    box: Integers
    area: Integers
    colour: Levels

    @property
    def size(self) -> Integers:
        """Height and width, (n, 2)."""
        return self.box[:, 2:] - self.box[:, :2] + 1

    @property
    def center(self) -> NDArray[np.float64]:
        """Row and column of the middle of the box, (n, 2)."""
        found: NDArray[np.float64] = (self.box[:, :2] + self.box[:, 2:]) / 2
        return found


def find_objects(observations: NDArray[Any]) -> tuple[list[Mask], str]:
    """Return a mask (N, C, H, W) of each object, the largest first, or why there is none.

    The background is the most frequent value of each pixel over all frames, without what is often before
    it. Objects are the zones of it that have a colour of their own (walls), and what differs from it: pieces
    of similar colour and size are one object, unless they are in different rows or columns of the same
    frames. What stays where it is and stands in one line (the digits of a score) is one object.

    Parameters
    ----------
    observations
        (N, C, H, W), or sequences of them (N, T, C, H, W), which masks are of, too. Channels are stacked
        frames where their backgrounds are the same, else colours.
    """
    whole = observations.shape
    frames = _frames(observations.reshape(len(observations), -1, *whole[-2:]))
    background, changes = _background(frames)
    if np.median(changes) > 0.5 or frames.noise > LEVELS / 2:
        return [], "their background does not stand still"
    background = _without_passers(frames, background, changes)
    drawn = frames.differ(background)
    zones = _zones(background, _modal(background), frames.noise)
    numbers = components(drawn)
    moving = _pieces(numbers, frames.values, background)
    still = _pieces(zones[None], background[None], np.full_like(background, _modal(background)))
    links = _links(moving, frames)
    groups = _grouped(moving, links, len(frames.values))
    of_drawn = _parted(moving, groups, links, numbers[drawn] - 1, frames.values[drawn])
    merged = _joined_where_fixed(moving, groups, links, still, frames.values.shape[1])
    of_zone = np.append(merged[len(merged) - len(still.area) :], -1)[zones - 1]
    of_pixel = np.broadcast_to(of_zone, drawn.shape).copy()
    of_pixel[drawn] = np.append(merged, -1)[of_drawn]
    masks = []
    counts = np.bincount(of_pixel[of_pixel >= 0].ravel())
    colours = frames.values.shape[-1]
    for group in np.argsort(-counts, kind="stable")[: int((counts > 0).sum())]:
        mask = np.repeat((of_pixel == group)[:, None], colours, axis=1)
        masks.append(mask.reshape(whole))
    return masks, "" if masks else "nothing differs from their background"


def _frames(stacked: NDArray[Any]) -> Frames:
    """Return samples (N, C, H, W) as single frames of D colours."""
    low, high = float(stacked.min()), float(stacked.max())
    levels = np.rint((stacked - np.float32(low)) * (LEVELS / max(high - low, 1e-30))).astype(
        np.int16
    )
    samples, channels, height, width = levels.shape
    chosen = levels[:: -(-samples // MOST_FRAMES)]
    middle = np.median(chosen, axis=0)
    colours = next(count for count in range(1, channels + 1) if _repeats(middle, count))
    frames = levels.reshape(-1, colours, height, width).transpose(0, 2, 3, 1)
    some = frames[:: -(-len(frames) // MOST_FRAMES)]
    spread = np.median(np.abs(some - np.median(some, axis=0)), axis=0)
    noise = int(np.ceil(DEVIATIONS * 1.4826 * np.median(spread)))
    return Frames(values=frames, count=channels // colours, noise=noise)


def _repeats(pictures: NDArray[Any], count: int) -> bool:
    """Return whether pictures (C, H, W) are the same again after so many."""
    if len(pictures) % count:
        return False
    apart = np.abs(pictures[count:] - pictures[:-count])
    return not apart.size or bool((apart <= LEVELS * SAME_COLOUR).mean() >= 0.95)


def _apart(one: Levels, other: Levels) -> NDArray[np.int16]:
    """Return the largest difference of two colours."""
    found: NDArray[np.int16] = np.abs(one - other).max(axis=-1)
    return found


def _modal(picture: Levels) -> Levels:
    """Return the most frequent colour (D,) of a picture (H, W, D)."""
    found: Levels = _mode(picture.reshape(-1, 1, picture.shape[-1]))[0]
    return found


def _mode(values: Levels) -> Levels:
    """Return the most frequent colour along the first axis, (..., D) of (M, ..., D), the least of several."""
    depth = values.shape[-1]
    keys = np.zeros(values.shape[:-1], dtype=np.int64)
    for colour in range(depth):
        keys = keys * (LEVELS + 1) + values[..., colour]
    _, keys = np.unique(keys, return_inverse=True)
    keys = keys.reshape(values.shape[:-1])
    order = np.argsort(keys, axis=0, kind="stable")
    ordered = np.take_along_axis(keys, order, axis=0)
    place = np.arange(len(keys)).reshape(-1, *(1,) * (keys.ndim - 1))
    begins = np.ones(ordered.shape, dtype=bool)
    begins[1:] = ordered[1:] != ordered[:-1]
    length = place - np.maximum.accumulate(np.where(begins, place, 0), axis=0)
    last = np.take_along_axis(order, length.argmax(axis=0)[None], axis=0)
    found: Levels = np.take_along_axis(values, last[..., None], axis=0)[0]
    return found


def _background(frames: Frames) -> tuple[Levels, NDArray[np.float64]]:
    """Return the most frequent picture (H, W, D), and the share of frames that differ, (H, W)."""
    some = frames.values[:: -(-len(frames.values) // MOST_FRAMES)]
    found = _mode(some // (2 * frames.noise + 1))
    if frames.noise:
        for near in (frames.noise + 1, frames.noise):
            center = found * (2 * frames.noise + 1) + frames.noise if near > frames.noise else found
            alike = (_apart(some, center) <= near)[..., None]
            found = np.nanmedian(np.where(alike, some, np.nan), axis=0).astype(np.int16)
    return found, frames.differ(found).mean(axis=0)


def _zones(picture: Levels, modal: Levels, noise: int) -> Integers:
    """Return the zones (H, W) of a picture that are not of the modal colour, numbered from 1.

    A zone has a colour that fills a block of four pixels; the edge of one pixel that averaging leaves is
    of it, too. Thinner lines that are further away are zones by themselves: not all that touches a wall
    through its edge is the wall.
    """
    drawn = _apart(picture, modal) > noise
    colour = _colour_numbers(picture, noise)
    same = np.zeros(drawn.shape, dtype=bool)
    block = drawn[1:, 1:].copy()
    for rows, columns in ((0, 0), (0, 1), (1, 0)):
        height, width = block.shape
        block &= colour[rows : rows + height, columns : columns + width] == colour[1:, 1:]
    for rows, columns in ((0, 0), (0, 1), (1, 0), (1, 1)):
        same[rows : rows + block.shape[0], columns : columns + block.shape[1]] |= block
    zones = components(same[None], colour[None])[0]
    zones = np.where(drawn & (zones == 0), _dilated(zones), zones)
    rest = components((drawn & (zones == 0))[None])[0]
    return np.where(rest > 0, rest + zones.max(), zones)


def _colour_numbers(picture: Levels, noise: int) -> Integers:
    """Return a number for each colour (H, W) of a picture, one number for colours within the noise."""
    colours, counts = np.unique(picture.reshape(-1, picture.shape[-1]), axis=0, return_counts=True)
    found = np.full(picture.shape[:-1], -1, dtype=np.int64)
    for number in np.argsort(-counts, kind="stable"):
        found[(found < 0) & (_apart(picture, colours[number]) <= noise)] = number
    return found


def _dilated(zones: Integers) -> Integers:
    """Return the largest of each pixel (H, W) and its eight neighbours."""
    padded = np.pad(zones, 1)
    height, width = zones.shape
    found: Integers = np.max(
        [padded[r : r + height, c : c + width] for r in range(3) for c in range(3)], axis=0
    )
    return found


def _without_passers(frames: Frames, background: Levels, changes: NDArray[np.float64]) -> Levels:
    """Return the background behind what changes often: there it is a colour of what is around."""
    zones = _zones(background, _modal(background), frames.noise)
    often = changes > RARE
    before = -1
    while before != often.sum():
        before, areas = often.sum(), components(often[None])[0]
        area_of = np.bincount(areas.ravel())
        for zone in range(1, zones.max() + 1):
            inside = zones == zone
            next_to = (_dilated(inside.astype(np.int64)) > 0) & ~inside & (zones > 0)
            larger = area_of[areas[next_to & (areas > 0)]].max(initial=0) > inside.sum()
            if np.median(changes[inside]) > RARE or (larger and often[next_to].mean() > 0.5):
                often |= inside
    found = background.copy()
    areas = components(often[None])[0]
    for number in range(1, areas.max() + 1):
        area = areas == number
        ring = (_dilated(area.astype(np.int64)) > 0) & ~often
        colours, counts = np.unique(background[ring], axis=0, return_counts=True)
        if not len(colours):
            continue
        order = np.argsort(counts, kind="stable")[-8:]
        inside = frames.values[:, area]
        chosen = np.tile(colours[order[-1]], (inside.shape[1], 1))
        for place in order:
            seen = (_apart(inside, colours[place]) <= frames.noise).mean(axis=0) > RARE
            chosen[seen] = colours[place]
        found[area] = chosen
    return found


def _pieces(numbers: Integers, values: Levels, background: Levels) -> Pieces:
    frame, row, column = np.nonzero(numbers)
    number = numbers[frame, row, column] - 1
    count = int(numbers.max())
    low = np.full((count, 2), 2**31)
    high = np.zeros((count, 2), dtype=np.int64)
    places = np.stack([row, column], axis=1)
    np.minimum.at(low, number, places)
    np.maximum.at(high, number, places)
    of_frame = np.zeros(count, dtype=np.int64)
    of_frame[number] = frame
    shown = values[frame, row, column]
    order = np.lexsort((_apart(shown, background[row, column]), number))
    last = np.searchsorted(number[order], np.arange(count), side="right") - 1
    return Pieces(
        frame=of_frame,
        box=np.hstack([low, high]),
        area=np.bincount(number, minlength=count),
        colour=shown[order[last]],
    )


def _grouped(pieces: Pieces, links: Integers, frames: int) -> Integers:
    """Return the group of each piece of so many frames, -1 where it is of none."""
    groups = _in_lanes(pieces, _alike(pieces, _fixed(pieces, links, frames)))
    groups = _adopted(pieces, groups, links)
    least = max(2, LEAST_PRESENT * frames)
    numbers = range(groups.max(initial=-1) + 1)
    present = [len(np.unique(pieces.frame[groups == group])) >= least for group in numbers]
    return np.where(np.append(present, False)[groups], groups, -1)


def _fixed(pieces: Pieces, links: Integers, frames: int) -> Mask:
    """Return which pieces are often exactly where they are, and never seen to move from there."""
    _, place, counts = np.unique(pieces.box, axis=0, return_inverse=True, return_counts=True)
    place = place.ravel()
    moves = (pieces.box[links[0]] != pieces.box[links[1]]).any(axis=1)
    leaves = np.isin(place, place[links[:, moves]])
    return (
        (counts[place] >= OFTEN * frames) & ~leaves
        if links.size
        else np.zeros(len(place), dtype=bool)
    )


def _parted(
    pieces: Pieces, groups: Integers, links: Integers, of_pixel: Integers, shown: Levels
) -> Integers:
    """Return the group of each drawn pixel: of a piece that is two objects, by the colour that is nearest.

    Parameters
    ----------
    of_pixel, shown
        The piece and the colour of each pixel, (P,) and (P, D).
    """
    found = groups[of_pixel]
    order = np.argsort(of_pixel, kind="stable")
    ends = np.searchsorted(of_pixel[order], np.arange(len(groups) + 1))
    singles = _singles(pieces, groups, links)
    colours = {one: _median_colour(pieces, groups == one) for one in singles}
    area = {one: np.median(pieces.area[groups == one]) for one in singles}
    shows = np.zeros((groups.max(initial=-1) + 1, len(groups)), dtype=bool)
    for one in singles:
        members = groups == one
        near = np.bincount(of_pixel[_same_colour(shown, colours[one])], minlength=len(groups))
        hidden = ~np.isin(pieces.frame, pieces.frame[members])
        box = pieces.box[members]
        hidden &= (pieces.box[:, :2] <= box[:, 2:].max(axis=0)).all(axis=1)
        hidden &= (pieces.box[:, 2:] >= box[:, :2].min(axis=0)).all(axis=1)
        fits = (area[one] <= pieces.area) & (pieces.area <= SAME_SIZE**2 * area[one])
        shows[one] = hidden & fits & (near >= np.median(near[members]) / 2)
    for piece in np.flatnonzero(shows.any(axis=0)).tolist():
        own, parts = int(groups[piece]), np.flatnonzero(shows[:, piece]).tolist()
        if own in area and pieces.area[piece] >= area[own] + min(area[part] for part in parts) / 2:
            parts.append(own)
        if len(parts) > 1 or own < 0:
            here = order[ends[piece] : ends[piece + 1]]
            apart = np.stack([_apart(shown[here], colours[part]) for part in parts])
            found[here] = np.array(parts)[apart.argmin(axis=0)]
    return found


def _singles(pieces: Pieces, groups: Integers, links: Integers) -> list[int]:
    """Return the groups that are in many frames, in one piece, and move."""
    found = []
    for group in range(groups.max(initial=-1) + 1):
        members = groups == group
        frames = len(np.unique(pieces.frame[members]))
        often = frames >= OFTEN * (pieces.frame.max() + 1)
        if often and members.sum() < 1.5 * frames and not _stay(pieces, members, links):
            found.append(group)
    return found


def _stay(pieces: Pieces, members: Mask, links: Integers) -> bool:
    """Return whether members hardly ever move from a frame to the next; without links, are in one place."""
    center = pieces.center
    tied = members[links].all(axis=0)
    if links.size:
        moves = (np.abs(center[links[0][tied]] - center[links[1][tied]]) > 0.5).any(axis=1)
        return bool(moves.sum() <= RARE * len(moves))
    spread = np.diff(np.quantile(center[members], (0.1, 0.9), axis=0), axis=0)[0]
    return bool((spread <= np.median(pieces.size[members], axis=0) / 2).all())


def _median_colour(pieces: Pieces, members: Any) -> Levels:
    found: Levels = np.median(pieces.colour[members], axis=0).astype(np.int16)
    return found


def _same(one: Pieces, i: Any, j: Any) -> Mask:
    """Return whether pieces `i` and `j` are of similar size, a pixel more or less of which is no matter."""
    low, high = np.minimum(one.size[i], one.size[j]), np.maximum(one.size[i], one.size[j])
    found: Mask = (high <= np.maximum(SAME_SIZE * low, low + 1)).all(axis=-1)
    return found


def _same_colour(one: Levels, other: Levels) -> Mask:
    found: Mask = _apart(one, other) <= SAME_COLOUR * LEVELS
    return found


def _alike(pieces: Pieces, fixed: Mask) -> Integers:
    """Return a class for each piece, of similar colour and size and as fixed, the first with most members."""
    looks = np.hstack([pieces.size, fixed[:, None], pieces.colour])
    kinds, of_kind, counts = np.unique(looks, axis=0, return_inverse=True, return_counts=True)
    of_kind = of_kind.ravel()
    low, high = (
        np.minimum(kinds[:, None, :2], kinds[:, :2]),
        np.maximum(kinds[:, None, :2], kinds[:, :2]),
    )
    near = (high <= np.maximum(SAME_SIZE * low, low + 1)).all(axis=-1)
    near &= (kinds[:, None, 2] == kinds[:, 2]) & _same_colour(kinds[:, None, 3:], kinds[:, 3:])
    found = np.full(len(kinds), -1)
    number = 0
    while (found < 0).any():
        free = found < 0
        center = np.where(free, (near * (counts * free)).sum(axis=1), -1).argmax()
        found[near[center] & free] = number
        number += 1
    return found[of_kind]


def _in_lanes(pieces: Pieces, classes: Integers) -> Integers:
    """Return classes that are split where lanes of rows or columns lie between what is there at once."""
    found = np.full(len(classes), -1)
    waiting = [np.flatnonzero(classes == number) for number in range(classes.max(initial=-1) + 1)]
    number = 0
    while waiting:
        members = waiting.pop()
        parts = next((p for axis in (0, 1) if len(p := _lanes(pieces, members, axis)) > 1), None)
        if parts is not None:
            waiting += parts
            continue
        found[members] = number
        number += 1
    return found


def _lanes(pieces: Pieces, members: Integers, axis: int) -> list[Integers]:
    low, high = pieces.box[members, axis], pieces.box[members, axis + 2]
    order = np.argsort(low, kind="stable")
    gaps = np.flatnonzero(low[order][1:] > np.maximum.accumulate(high[order])[:-1] + 1) + 1
    parts = np.split(members[order], gaps)
    found = [parts[0]]
    for part in parts[1:]:
        one, other = np.unique(pieces.frame[found[-1]]), np.unique(pieces.frame[part])
        if 2 * len(np.intersect1d(one, other)) >= min(len(one), len(other)):
            found.append(part)
        else:
            found[-1] = np.concatenate([found[-1], part])
    return found


def _links(pieces: Pieces, frames: Frames) -> Integers:
    """Return pairs (2, L) of pieces that are each other's next in successive frames of a sample."""
    ends = np.searchsorted(pieces.frame, np.arange(len(frames.values) + 1))
    found = []
    for frame in range(1, len(frames.values)):
        if frame % frames.count == 0:
            continue
        one, other = (
            np.arange(ends[frame - 1], ends[frame]),
            np.arange(ends[frame], ends[frame + 1]),
        )
        if not (len(one) and len(other)):
            continue
        apart = np.abs(pieces.center[one][:, None] - pieces.center[other]).max(axis=-1)
        apart[~_same(pieces, one[:, None], other)] = np.inf
        nearest, back = apart.argmin(axis=1), apart.argmin(axis=0)
        mutual = (back[nearest] == np.arange(len(one))) & np.isfinite(apart.min(axis=1))
        found.append(np.stack([one[mutual], other[nearest[mutual]]]))
    return np.concatenate([np.zeros((2, 0), dtype=np.int64), *found], axis=1)


def _adopted(pieces: Pieces, groups: Integers, links: Integers) -> Integers:
    """Return groups to which pieces of smaller ones were given that are in frames where these are missing.

    Such a piece has the group's colour and lies where the group can be, or is linked to one of it: an object
    that is partly hidden, or is drawn dimmer by averaging.
    """
    count = groups.max(initial=-1) + 1
    frames = [np.unique(pieces.frame[groups == group]) for group in range(count)]
    order = sorted(range(count), key=lambda group: -len(frames[group]))
    found = groups.copy()
    for place, small in enumerate(order):
        members = np.flatnonzero(groups == small)
        for large in order[:place]:
            of_large = np.flatnonzero(groups == large)
            low, high = pieces.box[of_large, :2].min(axis=0), pieces.box[of_large, 2:].max(axis=0)
            inside = (
                (pieces.box[members, :2] >= low - 1) & (pieces.box[members, 2:] <= high + 1)
            ).all(axis=1)
            inside &= _same_colour(pieces.colour[members], _median_colour(pieces, of_large))
            tied = np.isin(links, of_large)
            linked = np.isin(members, np.concatenate([links[0][tied[1]], links[1][tied[0]]]))
            missing = ~np.isin(pieces.frame[members], frames[large])
            taken = members[(inside | linked) & missing & (found[members] == small)]
            found[taken] = large
    return found


def _joined_where_fixed(
    moving: Pieces, groups: Integers, links: Integers, still: Pieces, height: int
) -> Integers:
    """Return the object of each group, and then of each zone, in pictures of a height.

    Zones of one colour and size are one object, and so is all that is fixed and stands in a line.
    """
    count = groups.max(initial=-1) + 1
    boxes, fixed = np.zeros((count, 4)), list[int]()
    for group in range(count):
        members = groups == group
        if members.any() and _stay(moving, members, links):
            first, _, last, _ = np.median(moving.box[members], axis=0)
            box = moving.box[members]
            boxes[group] = first, box[:, 1].min(), last, box[:, 3].max()
            fixed.append(group)
    boxes = np.vstack([boxes, still.box])
    of = np.arange(len(boxes))

    def join(alike: Callable[[int, int], bool], places: Sequence[int]) -> None:
        for place, i in enumerate(places):
            for j in places[:place]:
                if of[i] != of[j] and alike(i, j):
                    of[of == of[i]] = of[j]

    zones = range(count, len(boxes))
    low = boxes[:, 2] - boxes[:, 0] + 1 <= LINE * height
    join(lambda i, j: _in_line(boxes[i], boxes[j]), [i for i in (*fixed, *zones) if low[i]])
    for group in (group for group in fixed if low[group]):
        small = still.area <= np.median(moving.area[groups == group]) / 2
        for zone in np.flatnonzero(small & _within(still.box, boxes[group])):
            of[count + zone] = of[group]
    plain = [zone for zone in zones if not np.isin(of[fixed], of[zone]).any()]
    join(lambda i, j: _like_walls(still, i - count, j - count), plain)
    return of


def _like_walls(zones: Pieces, i: int, j: int) -> bool:
    low, high = sorted([zones.area[i], zones.area[j]])
    apart = int(_apart(zones.colour[i], zones.colour[j]))
    return apart <= STILL_COLOUR * LEVELS and bool(high <= SAME_SIZE**2 * low)


def _within(boxes: Integers, other: NDArray[np.float64]) -> Mask:
    """Return which boxes (n, 4) lie in another."""
    begins, ends = boxes[:, :2] >= other[:2], boxes[:, 2:] <= other[2:]
    inside: Mask = np.logical_and(begins, ends)
    return inside[:, 0] & inside[:, 1]


def _in_line(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Return whether two boxes are of similar height, in the same rows, and wide together."""
    low, high = np.sort([one[2] - one[0] + 1, other[2] - other[0] + 1])
    shared = min(one[2], other[2]) - max(one[0], other[0]) + 1
    width = max(one[3], other[3]) - min(one[1], other[1]) + 1
    return bool(high <= SAME_SIZE * low and shared >= low / 2 and width >= high)
