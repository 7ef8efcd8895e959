"""Observations that may be wrong: equal, constant, in other units, clipped, or noise.

A sample is compared with the others of its run, so that what all of them have (a black background,
two values alone) is not reported. Equal samples are found among two, constant ones in any number;
other units, clipping, and noise in pictures among `FEWEST`, noise in features among `FEWEST_FLAT`.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log, prod

import numpy as np
from numpy.typing import NDArray

from lrpdyn.files.streamed import Samples, slices
from lrpdyn.observations.checked_samples import evenly_spaced

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

FEWEST, FEWEST_FLAT = 4, 10
#: An observation of fewer entries may be constant, or like none of the others, by chance.
FEWEST_ENTRIES = 8
#: Samples that each one is compared with, and entries at which it is.
_REFERENCES, _ENTRIES = 64, 4096
#: What is named in words, at most: samples, and groups of equal ones.
_MOST_NAMED, _MOST_GROUPS = 6, 3
_TINY = 1e-30


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """Why some samples may be wrong.

    `what` is equal, constant, scale, clipped or noise; `samples` are their numbers in the run, and
    `words` say it.
    """

    what: str
    samples: tuple[int, ...]
    words: str


@dataclass(frozen=True, kw_only=True)
class _Measures:
    """What is compared of N samples, (N,) each.

    `prints` are equal where samples are. `at_least` and `at_most` are the shares of the entries that are
    exactly at the least and the largest value of their channel; `size` is the root of the mean square.
    `roughness`: squared differences of neighbouring pixels over twice the variance, 1 where
    neighbours have nothing to do with each other (von Neumann's ratio); NaN for features.
    `distance`: to the nearest other sample, in standard deviations of each entry.
    """

    prints: Sequence[bytes]
    least: Floats
    most: Floats
    at_least: Floats
    at_most: Floats
    size: Floats
    roughness: Floats
    distance: Floats


def find_doubtful(
    values: Samples,
    bounds: tuple[float, float] | None = None,
    fixed: Mapping[str, NDArray[np.float32]] | None = None,
) -> list[Doubt]:
    """Return why some of the observations may be wrong.

    Parameters
    ----------
    values
        (N, C, H, W) or (N, F), of sequences (N, T, C, H, W) or (N, T, F), as the network sees them.
    bounds
        The least and the largest value that they can have, where it is known.
    fixed
        Inputs next to them, (N, ...) each: samples whose inputs differ are not equal.
    """
    known, entries, pictures = (
        _measures(values, fixed or {}),
        prod(values.shape[1:]),
        values.ndim > 3,
    )
    constant = (known.least == known.most) & (entries >= FEWEST_ENTRIES)
    found = _equal(known.prints, constant)
    if constant.any():
        black = pictures and bool((known.most[constant] <= known.least.min()).all())
        are = "is constant" if constant.sum() == 1 else "are constant"
        found.append(_doubt("constant", constant, f"{are}{' (a black frame?)' * black}"))
    rest = ~constant
    for judge in (_other_scale, _noise, _clipped):
        if rest.sum() >= FEWEST:
            doubts = judge(known, rest, entries, bounds)
            found += doubts
            for doubt in doubts:
                rest[list(doubt.samples)] = False
    return found


def line_of(doubts: Sequence[Doubt], chosen: Sequence[int]) -> str:
    """Return the line that says which samples may be wrong, and how to leave them out.

    `chosen` are the numbers of the run's samples in the files, as ``--samples`` takes them.
    """
    doubtful = {sample for doubt in doubts for sample in doubt.samples}
    # Of samples that are equal, one may stay.
    left_out = doubtful - {doubt.samples[0] for doubt in doubts if doubt.what == "equal"}
    kept = _ranges([number for place, number in enumerate(chosen) if place not in left_out])
    remedy = f"--samples {kept if len(kept) <= 40 else '...'}" if kept else "other files"
    words = ", ".join(doubt.words for doubt in doubts)
    return (
        f"Observations: {len(doubtful)} of {len(chosen)} may be wrong: {words}; to leave them out: "
        f"{remedy}"
    )


def _ranges(numbers: Sequence[int]) -> str:
    """Return numbers as ``--samples`` takes them.

    >>> _ranges([0, 1, 2, 5])
    '0-2,5'
    """
    parts: list[tuple[int, int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1] = (parts[-1][0], number)
        else:
            parts.append((number, number))
    return ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in parts)


def _doubt(what: str, flags: Flags, words: str) -> Doubt:
    samples = tuple(np.flatnonzero(flags).tolist())
    return Doubt(what=what, samples=samples, words=f"{_named(samples)} {words}")


def _named(samples: Sequence[int]) -> str:
    """Return some samples by their numbers.

    >>> _named([5, 9])
    'samples 5 and 9'
    """
    named, more = [str(sample) for sample in samples[:_MOST_NAMED]], len(samples) - _MOST_NAMED
    *first, last = [*named, f"{more:,} more"] if more > 0 else named
    listed = f"{', '.join(first)} and {last}" if first else last
    return f"sample{'s' * bool(first)} {listed}"


def _equal(prints: Sequence[bytes], constant: Flags) -> list[Doubt]:
    """Return the groups of equal samples: those after the first few as one."""
    alike: dict[bytes, list[int]] = defaultdict(list)
    for sample in np.flatnonzero(~constant).tolist():
        alike[prints[sample]].append(sample)
    groups = [tuple(group) for group in alike.values() if len(group) > 1]
    found = [
        Doubt(what="equal", samples=group, words=f"{_named(group)} are equal")
        for group in groups[:_MOST_GROUPS]
    ]
    others = groups[_MOST_GROUPS:]
    if others:
        again = sum(len(group) - 1 for group in others)
        samples = tuple(sorted(sample for group in others for sample in group))
        words = f"{again:,} more {'is' if again == 1 else 'are'} equal to an earlier one"
        found.append(Doubt(what="equal", samples=samples, words=words))
    return found


def _other_scale(
    known: _Measures, rest: Flags, entries: int, bounds: tuple[float, float] | None
) -> list[Doubt]:
    """Return the samples whose values are far larger, or smaller, than those of the others."""
    usual, largest = np.median(known.size[rest]), np.maximum(-known.least, known.most)
    there = rest & (largest > 0)  # zeros have no unit
    found: list[Doubt] = []
    if there.sum() < FEWEST:
        return found
    for size in (known.size, 1 / np.maximum(largest, _TINY)):
        flags = _beyond(size, there, factor=20, spread=3)
        if flags.any():
            times = np.median(known.size[flags]) / usual
            words = f"{times:.3g} times" if times > 1 else f"1/{1 / times:.3g} of"
            have = "has" if flags.sum() == 1 else "have"
            found.append(_doubt("scale", flags, f"{have} values {words} the usual (other units?)"))
    return found


def _clipped(
    known: _Measures, rest: Flags, entries: int, bounds: tuple[float, float] | None
) -> list[Doubt]:
    """Return the samples of which an unusual share is exactly at an end of the range.

    The end is that of the possible values where it is known; the largest of all values needs a larger
    share then. Few entries at the largest suffice where the sample is brighter than the others, too.
    A least value of 0 is not examined: a black background is usual.
    """
    brighter = _beyond(known.size, rest, factor=1.25, spread=3)
    sides = [(known.most, known.at_most, None if bounds is None else bounds[1], "largest")]
    if known.least[rest].min() != 0:
        least = None if bounds is None else -bounds[0]
        sides.append((-known.least, known.at_least, least, "least"))
    found = []
    for values, at_value, possible, word in sides:
        extreme = float(values[rest].max())
        ends = [(extreme, 0.25, True)]
        if possible is not None:
            nearly = possible - 1e-6 * abs(possible)  # as float32 has it
            ends = [(nearly, 0.25, True), (extreme, 0.5, False)]
        flags = np.zeros(len(rest), dtype=bool)
        for end, least_share, few_suffice in ends:
            share = np.where(values >= end, at_value, 0.0)
            high, middle = _high(share[rest]), float(np.median(share[rest]))
            excess = max(0.15 if middle >= 0.02 else least_share, 3 * (high - middle))
            flags |= (share >= 1.5 * high) & (share - high >= excess) & (share * entries >= 3)
            if few_suffice and word == "largest":
                several = (share >= 0.01) & (share * entries >= 10) & (share > 2 * high)
                flags |= several & brighter
        flags &= rest
        if flags.any():
            usual, here = np.median(at_value[rest]), np.median(at_value[flags])
            words = (
                f"at the {word} value in {here:.0%} of the entries, usually {usual:.0%} (clipped?)"
            )
            are = "is" if flags.sum() == 1 else "are"
            found.append(_doubt("clipped", flags, f"{are} {words}"))
            rest = rest & ~flags
    return found


def _noise(
    known: _Measures, rest: Flags, entries: int, bounds: tuple[float, float] | None
) -> list[Doubt]:
    """Return the samples that are like none of the others: pictures by their neighbouring pixels."""
    count, rough = int(rest.sum()), known.roughness
    apart = count >= FEWEST_FLAT and entries >= FEWEST_ENTRIES
    if np.median(rough[rest]) < 0.5:  # not so where it is NaN, or where pictures are dots
        flags = (rough > 0.7) & (rough > 1.25 * _high(rough[rest])) & rest
        if apart:
            flags |= (rough > 0.65) & _beyond(known.distance, rest, factor=1.3, spread=2)
    elif apart:
        spread = 2.5 if count >= 2 * FEWEST_FLAT else 3
        flags = _beyond(known.distance, rest, factor=2, spread=spread)
    else:
        return []
    are = "is" if flags.sum() == 1 else "are"
    return (
        [_doubt("noise", flags, f"{are} like none of the others (noise?)")] if flags.any() else []
    )


def _high(values: Floats) -> float:
    """Return what nine tenths of the others do not exceed, for a sample that is above it."""
    return float(np.sort(values)[ceil(0.9 * (len(values) - 2))])


def _beyond(values: Floats, rest: Flags, *, factor: float, spread: float) -> Flags:
    """Return which of the `rest` are beyond nine tenths of the others.

    By a factor, and by so many times what lies, in the logarithm, between the median and these.
    """
    logarithms = np.log(np.maximum(values, 1e-12 * values[rest].max() + _TINY))
    high, middle = _high(logarithms[rest]), float(np.median(logarithms[rest]))
    return np.asarray(rest & (logarithms - high > max(log(factor), spread * (high - middle))))


def _measures(values: Samples, fixed: Mapping[str, NDArray[np.float32]]) -> _Measures:
    """Return what is compared, read a few samples at a time."""
    count, pictures = len(values), values.ndim > 3
    entries = prod(values.shape[1:])
    references = evenly_spaced(count, _REFERENCES)
    places = evenly_spaced(entries, _ENTRIES)
    compared = np.concatenate([_flat(values[[one]])[:, places] for one in references])
    mean, deviation = compared.mean(axis=0), compared.std(axis=0)
    deviation[deviation == 0] = 1
    compared = (compared - mean) / deviation
    prints: list[bytes] = []
    columns: list[Floats] = []
    for chosen in slices(values.shape):
        piece = np.asarray(values[chosen])
        numbers = range(chosen.start, chosen.stop)
        prints += [
            _print(one, [values_of[number] for values_of in fixed.values()])
            for number, one in zip(numbers, piece, strict=True)
        ]
        flat = _flat(piece)
        channels = flat.reshape(len(piece), -1, prod(values.shape[-2:]) if pictures else entries)
        least, most = channels.min(axis=2), channels.max(axis=2)
        near = (flat[:, places] - mean) / deviation
        squares = (near**2).sum(axis=1)[:, None] + (compared**2).sum(axis=1) - 2 * near @ compared.T
        squares[np.array(numbers)[:, None] == np.array(references)] = np.inf
        columns.append(
            np.stack(
                [
                    least.min(axis=1),
                    most.max(axis=1),
                    _share_at(channels, least, most),
                    _share_at(channels, most, least),
                    np.sqrt((flat**2).mean(axis=1)),
                    _roughness(piece) if pictures else np.full(len(piece), np.nan),
                    np.sqrt(np.maximum(squares.min(axis=1), 0) / len(places)),
                ]
            )
        )
    least, most, at_least, at_most, size, roughness, distance = np.concatenate(columns, axis=1)
    return _Measures(
        prints=prints, least=least, most=most, at_least=at_least, at_most=at_most, size=size,
        roughness=roughness, distance=distance,
    )  # fmt: skip


def _flat(samples: NDArray[np.float32]) -> Floats:
    return samples.reshape(len(samples), -1).astype(np.float64)


def _print(sample: NDArray[np.float32], fixed: Sequence[NDArray[np.float32]]) -> bytes:
    """Return a hash of a sample and its fixed inputs, in which -0 is 0."""
    found = hashlib.blake2b(digest_size=16)
    for values in (sample, *fixed):
        found.update(np.ascontiguousarray(values + 0.0).data)
    return found.digest()


def _share_at(channels: Floats, ends: Floats, others: Floats) -> Floats:
    """Return the share of entries at the ends (N, C) of channels (N, C, E); 0 of a constant channel."""
    share = (channels == ends[:, :, None]).mean(axis=2)
    return np.asarray(np.where(ends == others, 0.0, share).mean(axis=1))


def _roughness(pictures: NDArray[np.float32]) -> Floats:
    """Return squared differences of neighbouring pixels over twice the variance, (N,)."""
    each = tuple(range(1, pictures.ndim))
    values = pictures.astype(np.float64)
    differences = [
        (np.diff(values, axis=axis) ** 2).mean(axis=each)
        for axis in (-1, -2)
        if values.shape[axis] > 1
    ]
    if not differences:
        return np.full(len(pictures), np.nan)
    variance = np.maximum(values.var(axis=each), _TINY)
    return np.asarray(np.mean(differences, axis=0) / (2 * variance))
