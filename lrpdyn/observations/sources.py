"""Opens all sources of observations: files, folders, folders of classes, data sets and arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lrpdyn.errors import ObservationError, UsageError
from lrpdyn.files.streamed import Streamed, in_memory
from lrpdyn.observations.class_folders import class_folders, is_of_classes
from lrpdyn.observations.datasets import OpenDataset, is_dataset
from lrpdyn.observations.frames import grey, join_frames, stack_frames
from lrpdyn.observations.label_files import Label
from lrpdyn.observations.layout import Expected
from lrpdyn.observations.pictures import plain_picture
from lrpdyn.observations.reading import IMAGES, check_numbers, files_inside, open_observations
from lrpdyn.observations.sizing import Sizing, with_sizing
from lrpdyn.remote.path import as_path

LabelOf = Callable[[int], Label | None]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Some samples, of one file, data set or array.

    Attributes
    ----------
    array
        (N, ...), or one sample without N.
    name
        The file's, for messages and the manifest.
    sample
        What its sample is called, where it is one picture: its place in a folder of classes, or its
        file's name.
    label_of
        Gives the label of the n-th of its samples.
    classes
        The names of the classes whose numbers these labels are.
    """

    array: Streamed
    name: str
    sample: str | None = None
    label_of: LabelOf | None = None
    classes: tuple[str, ...] = ()


def open_sources(
    sources: Sequence[Any],
    expected: Expected,
    *,
    stack: int | None,
    layout: str | None,
    sizing: Sizing | None,
    folder: Path | None,
) -> tuple[list[Source], list[str]]:
    """Return all sources, stacked where `stack` is given, and what was done in sentences.

    Raises
    ------
    ObservationError
        One cannot be read, or there are none.
    """
    found: list[Source] = []
    loose: list[Path] = []
    notes: list[str] = []

    def opened(file: Path) -> Streamed:
        array = open_observations(file, folder)
        if file.suffix.lower() not in IMAGES:
            return with_sizing(array, str(file), sizing)
        if layout not in ("HWC", "NHWC"):
            array, said = plain_picture(array, str(file), expected, stack=stack, sizing=sizing)
            notes.extend(said)
            return array
        return with_sizing(array, str(file), sizing)

    def of_file(file: Path) -> Source:
        sample = file.name if file.suffix.lower() in IMAGES else None
        return Source(array=opened(file), name=str(file), sample=sample)

    def labelled(file: Path, root: Path, label: int, classes: tuple[str, ...]) -> Source:
        return Source(
            array=opened(file), name=str(file), sample=file.relative_to(root).as_posix(),
            label_of=lambda _: label, classes=classes,
        )  # fmt: skip

    for source in sources:
        if is_dataset(source):
            data = OpenDataset(source, sizing)
            found.append(Source(
                array=data.array, name=data.where, label_of=data.label, classes=data.classes
            ))  # fmt: skip
            continue
        if isinstance(source, np.ndarray):
            array = with_sizing(check_numbers(in_memory(source), "the array"), "the array", sizing)
            found.append(Source(array=array, name="<array>"))
            continue
        path = as_path(source)
        try:
            of_classes = stack is None and path.is_dir() and is_of_classes(path)
            inside = [path]
            if of_classes:
                classes = class_folders(path)
            elif path.is_dir():
                inside = files_inside(path)
        except OSError as error:
            raise ObservationError(f"{path}: cannot be read: {error.strerror}") from error
        if of_classes:
            pairs = zip(classes.files, classes.labels, strict=True)
            found += [labelled(file, path, label, classes.classes) for file, label in pairs]
            continue
        frames = [file for file in inside if file.suffix.lower() in IMAGES]
        if stack is None or not frames:
            found += [of_file(file) for file in inside]
        elif path.is_dir():
            joined = join_frames([opened(file) for file in frames], str(path))
            found.append(Source(array=joined, name=str(path)))
        else:
            loose += frames
    if loose:
        joined = join_frames([opened(file) for file in loose], str(loose[0]))
        found.append(Source(array=joined, name=", ".join(map(str, loose))))
    if not found:
        raise ObservationError("no observations given")
    if stack is None:
        return found, notes
    if stack < 1:
        raise UsageError(f"--stack {stack}: expected 1 or more")
    return [_stacked(source, stack, expected) for source in found], notes


def _stacked(source: Source, stack: int, expected: Expected) -> Source:
    single = expected.depth == stack
    frames = grey(source.array, source.name) if single else source.array
    return Source(array=stack_frames(frames, stack, source.name), name=source.name)


def sample_names(sources: Sequence[Source], counts: Sequence[int]) -> list[str | None]:
    """Return what samples are called: by their files' whole paths where names do not tell them apart.

    Samples that are several in a file, a data set or an array have no name.
    """
    short = [source.sample for source in sources if source.sample is not None]
    whole = len(set(short)) < len(short)
    named: list[str | None] = []
    for source, count in zip(sources, counts, strict=True):
        named += [source.name if whole and source.sample is not None else source.sample] * count
    return named


def classes_of(sources: Sequence[Source]) -> tuple[str, ...]:
    """Return the classes whose numbers the labels are.

    Raises
    ------
    ObservationError
        Those of two sources differ.
    """
    known = {source.classes: source.name for source in sources if source.classes}
    if len(known) > 1:
        (first, one), (second, other) = list(known.items())[:2]
        raise ObservationError(
            f"{one} and {other}: their classes differ, {', '.join(first[:4])} and {', '.join(second[:4])}; "
            "explain each in its own run, or put the class folders into one folder"
        )
    return next(iter(known), ())


def labels_of(
    sources: Sequence[Source], counts: Sequence[int], chosen: Sequence[int]
) -> list[Label | None]:
    """Return the labels of the `chosen` of all samples, None where one has none."""
    places = [
        (source, place)
        for source, count in zip(sources, counts, strict=True)
        for place in range(count)
    ]
    found: list[Label | None] = []
    for index in chosen:
        source, place = places[index]
        found.append(None if source.label_of is None else source.label_of(place))
    return found
