"""Reads files into one checked array of observations, as the network sees them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.errors import ObservationError, UsageError
from lrpdyn.files.nearby import did_you_mean
from lrpdyn.files.streamed import Samples, Streamed, in_memory, joined, kept, pieces
from lrpdyn.observations.choice import choose
from lrpdyn.observations.doubtful import Doubt
from lrpdyn.observations.fills import parse_number
from lrpdyn.observations.frames import oldest_first
from lrpdyn.observations.label_files import Label, read_labels
from lrpdyn.observations.layout import Expected, arrange
from lrpdyn.observations.normalisation import Statistics, from_file, from_options, imagenet
from lrpdyn.observations.pictures import check_no_alpha
from lrpdyn.observations.sizing import parse_sizing
from lrpdyn.observations.sources import classes_of, labels_of, open_sources, sample_names
from lrpdyn.observations.spaces import are_whole, check_range, whole_as_features

DIVIDED_ALREADY = (
    "observations are no integers and lie in 0..1: taken as divided by 255 already, as the network sees "
    "them; --scale 255 if they are not"
)
AS_THEY_ARE = (
    "images have no values below 0 and are taken as they are, as the network sees them: --scale 255 or "
    "--scale imagenet if training divided or normalised them first"
)


@dataclass(frozen=True, kw_only=True)
class Observations:
    """Observations as the network sees them, and how they were made.

    Attributes
    ----------
    values
        (N, C, H, W) or (N, F), float32; of sequences (N, T, C, H, W) or (N, T, F).
    files
        The names of what was read.
    layout
        Of the files, before they were arranged.
    scale
        The number that they were divided by.
    counts
        How many samples each of the files has.
    pixels
        Whether they were bytes, 0 to 255, before that.
    chosen
        Their numbers among all that were read.
    normalisation
        Applied after the division.
    preparation
        The options behind all else that was done.
    sample_names
        The name of the file of each, None where it holds several.
    labels
        Of each, by the folder, data set or file that says it; None where none does.
    classes
        What the labels number, where folders or a data set say it.
    notes
        What was done without being requested, and what is assumed, in sentences.
    doubtful
        Why some of them may be wrong.
    """

    values: Samples
    files: tuple[str, ...]
    layout: str
    scale: float
    counts: tuple[int, ...] = ()
    pixels: bool = False
    chosen: tuple[int, ...] = ()
    normalisation: Statistics | None = None
    preparation: Mapping[str, Any] = field(default_factory=dict)
    sample_names: tuple[str | None, ...] = ()
    labels: tuple[Label | None, ...] = ()
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    doubtful: tuple[Doubt, ...] = ()


def load_observations(
    sources: Sequence[Any],
    expected: Expected,
    *,
    layout: str | None = None,
    scale: str | float | None = None,
    samples: str | Sequence[int] | None = None,
    stack: int | None = None,
    stack_order: str = "oldest",
    mean: Any = None,
    std: Any = None,
    statistics: str | Path | None = None,
    select: str | None = None,
    seed: int = 0,
    resize: str | int | None = None,
    crop: str | int | None = None,
    labels: str | Path | None = None,
    trust: bool = False,
    folder: Path | None = None,
) -> Observations:
    """Read, arrange, choose, scale and normalise observations.

    Parameters
    ----------
    sources
        Files (.npy, .npz or ``FILE.npz:KEY``, .png, .jpg), folders of them, folders of class folders, data
        sets (`lrpdyn.observations.datasets`), or arrays.
    expected
        What the network takes.
    layout
        One of `lrpdyn.pipeline.setup.options.Layout`; taken from the network's channels where not given.
    scale
        What the observations are divided by, ``none``, or ``imagenet``; given by the architecture
        for uint8.
    samples
        ``0,3,7`` or ``0-3``; all where not given.
    stack
        The sources hold single frames: make each run of so many into one observation.
    stack_order
        ``newest`` turns the frames of each stack round; the network gets ``oldest`` first.
    mean, std
        Subtracted, and divided by, after `scale`: one number, one a channel, or a .npy file.
    statistics
        A file of running means and variances, applied instead: a checkpoint of sample-factory, or
        ``vecnormalize.pkl`` (with `trust`). ``none``: the observations are as the network saw them.
    select, seed
        ``spread:K`` or ``random:K``; see `lrpdyn.observations.choice.choose`.
    resize, crop
        What is done to each picture first; see `lrpdyn.observations.sizing.parse_sizing`.
    labels
        A CSV file of labels; see `lrpdyn.observations.label_files.read_labels`.
    trust
        Believe a ``vecnormalize.pkl``.
    folder
        Where more observations than fit in a little memory are kept, in a file without a name that
        is gone with them; the system's folder of temporary files where not given.

    Raises
    ------
    ObservationError
        A file cannot be read, or its shape, range or values do not fit the network.
    """
    sizing = parse_sizing(resize, crop)
    opened, notes = open_sources(
        sources, expected, stack=stack, layout=layout, sizing=sizing, folder=folder
    )
    found = [(whole_as_features(one.array, one.name, expected.space), one.name) for one in opened]
    layout = layout if stack is None else "NCHW"
    arranged = [arrange(array, name, expected, layout) for array, name in found]
    if layout is None:
        for (samples_of, _), (_, name) in zip(arranged, found, strict=True):
            check_no_alpha(samples_of, name, expected)
    shapes = {values.shape[1:] for values, _ in arranged}
    if len(shapes) > 1:
        raise ObservationError(_differing(shapes, {name for _, name in arranged}))
    kinds = {array.dtype for array, _ in found}
    if len(kinds) > 1:
        raise ObservationError(f"observations differ in type: {', '.join(map(str, kinds))}")
    read = joined([values for values, _ in arranged])
    counts = [len(values) for values, _ in arranged]
    # Pictures are decoded whenever they are read: only those that are chosen, where that can be told.
    decoded = any(one.name != "<array>" and not _is_array(one.name) for one in opened)
    by_pixels = select is not None and select.startswith("spread")
    if decoded and by_pixels:
        read = _unpacked(read, folder)
    chosen = choose(read, samples, select, seed)
    read = read.chosen(chosen)
    if decoded and not by_pixels:
        read = _unpacked(read, folder)
    names = sample_names(opened, counts)
    classes = classes_of(opened)
    if labels is None:
        labelled = labels_of(opened, counts, chosen)
    else:
        paths = [
            None if one.sample is None else one.name
            for one, count in zip(opened, counts, strict=True)
            for _ in range(count)
        ]
        given = read_labels(labels, paths)
        labelled, classes = [given[index] for index in chosen], ()
    read = oldest_first(read, stack_order) if read.ndim > 3 else read
    normalisation = _statistics(expected, scale, mean, std, statistics, trust)
    divisor = _divisor(read.dtype, expected, scale, normalisation)
    if not expected.fits(read.shape[1:]):
        raise ObservationError(
            f"observations have shape {read.shape[1:]} for each sample; the checkpoint says that "
            f"the network was trained on {expected.shape}{expected.source}; give them with their axes in "
            "that order, of the environment of the training"
        )
    bounds = expected
    if str(scale) == "imagenet":
        bounds = Expected(range=(0.0, 1.0))
    elif scale is not None or statistics is not None or normalisation is not None:
        bounds = Expected()
    if bounds.divisor == 255 and read.dtype.kind not in "ui":
        notes.append(DIVIDED_ALREADY)
    said = (scale, mean, std, statistics, bounds.range, bounds.divisor)
    pictures = read.ndim > 3 and read.dtype.kind == "f" and all(one is None for one in said)
    if pictures and all((piece >= 0).all() for piece in pieces(read)):
        notes.append(AS_THEY_ARE)
    scaled = _scaled(read, divisor, normalisation, bounds)
    values = kept(read.shape, np.float32, scaled, folder)
    preparation = {
        "stack": stack, "stack_order": stack_order, "select": select,
        "seed": seed if select else None, "samples": chosen if select or samples else None,
        "resize": _text(resize), "crop": _text(crop), "labels": _text(labels),
        "mean": _text(mean), "std": _text(std), "statistics": _text(statistics),
    }  # fmt: skip
    return Observations(
        values=values,
        files=tuple(name for _, name in found),
        counts=tuple(counts),
        layout=arranged[0][1],
        scale=divisor,
        pixels=read.dtype == np.uint8,
        chosen=tuple(chosen),
        normalisation=normalisation,
        preparation=preparation,
        sample_names=tuple(names[index] for index in chosen),
        labels=tuple(labelled),
        classes=classes,
        notes=tuple(dict.fromkeys(notes)),
    )


def _unpacked(read: Streamed, folder: Path | None) -> Streamed:
    """Return an array that is decoded once."""
    unpacked = kept(read.shape, read.dtype, pieces(read), folder)
    return unpacked if isinstance(unpacked, Streamed) else in_memory(unpacked)


def _differing(shapes: set[tuple[int, ...]], layouts: set[str]) -> str:
    """Return what is wrong with observations of several shapes, and the way out."""
    remedy = ""
    if any({"T", "L"} & set(name) for name in layouts):
        remedy = "; pad or cut the sequences to one length, or explain each length in its own run"
    elif all(len(shape) == 3 for shape in shapes):
        remedy = "; --resize 224 --crop center:224 gives pictures one size, as in training"
    listed = ", ".join(map(str, sorted(shapes)[:4])) + (", ..." if len(shapes) > 4 else "")
    return f"observations differ in shape: {listed}{remedy}"


def _is_array(source: str | Path) -> bool:
    """Return whether a file holds an array, not a picture or other files."""
    return Path(source).suffix.lower() == ".npy" or ".npz" in str(source)


def _scaled(
    read: Streamed, divisor: float, normalisation: Statistics | None, expected: Expected
) -> Iterator[NDArray[np.float32]]:
    """Yield the observations as the network takes them, and check them, a few at a time."""
    least, most, start, whole = np.inf, -np.inf, 0, True
    # Pixels that are divided by 255 are fractions.
    space = None if expected.divisor == 255 else expected.space
    for piece in pieces(read):
        with np.errstate(over="ignore", invalid="ignore"):  # what is too large is refused below
            scaled = piece.astype(np.float32)
            if divisor != 1:
                piece = scaled = scaled / np.float32(divisor)
        finite = np.isfinite(scaled)
        if not finite.all():
            sample = start + int(np.argwhere(~finite)[0][0])
            raise ObservationError(
                f"observations hold NaN or infinity, first in sample {sample}; mend them, or leave such "
                "samples out with --samples"
            )
        least, most = min(least, float(scaled.min())), max(most, float(scaled.max()))
        start += len(scaled)
        whole = whole and are_whole(piece, space)
        yield scaled if normalisation is None else normalisation.apply(piece)
    if expected.range is not None:
        pictures = expected.shape is None or len(expected.shape) == 3
        check_range(
            least, most, expected.range, expected.source,
            divided=pictures and read.dtype.kind == "f", whole=whole,
        )  # fmt: skip


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _statistics(
    expected: Expected, scale: Any, mean: Any, std: Any, statistics: Any, trust: bool
) -> Statistics | None:
    given = from_options(mean, std, expected.channels)
    if str(scale) == "imagenet":
        if given is not None or statistics is not None:
            raise UsageError("--scale imagenet sets mean and deviation: leave the others out")
        return imagenet(expected.channels)
    if statistics in (None, "none"):
        return given
    if given is not None:
        raise UsageError("--statistics, and --mean or --std: give one of them")
    return from_file(Path(statistics), trust=trust, name=expected.name)


def parse_divisor(scale: str | float) -> float:
    """Return the number that ``--scale`` says, a name of it being 1.

    Raises
    ------
    UsageError
        It is neither a number above 0 nor a name.
    """
    if scale in ("none", "imagenet"):
        return 1.0
    otherwise = f"--scale {scale}: expected a number above 0, such as 255, or none or imagenet"
    otherwise += did_you_mean(str(scale), ("none", "imagenet"))
    divisor = parse_number(scale, otherwise)
    if divisor <= 0:
        raise UsageError(otherwise)
    return divisor


def _divisor(
    kind: np.dtype[Any],
    expected: Expected,
    scale: str | float | None,
    normalisation: Statistics | None,
) -> float:
    if str(scale) == "imagenet":
        return 255.0 if kind == np.uint8 else 1.0
    if scale is None and normalisation is not None and normalisation.raw:
        return 1.0
    if scale is not None:
        return parse_divisor(scale)
    if kind.kind not in "ui" or (kind != np.uint8 and expected.divisor is None):
        return 1.0
    if expected.divisor is None:
        raise ObservationError(
            "uint8 observations: how this network wants its pixels is not known; say what they are "
            "divided by, --scale 255, or --scale none if the network does it"
        )
    return expected.divisor
