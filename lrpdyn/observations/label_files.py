"""Labels from a CSV file: ``file,label``, or one label a row."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

from lrpdyn.errors import ObservationError, UsageError
from lrpdyn.files.plain import open_plain
from lrpdyn.files.reasons import reason_of

#: A number, or the name of a class.
Label = int | str
_LARGEST = 64 << 20


def read_labels(path: str | Path, files: Sequence[str | None]) -> list[Label]:
    """Return the label of each sample.

    Parameters
    ----------
    path
        A CSV file. With two columns, a row for each file, whose name is written as the sample's path or
        the end of it; rows of other files are passed over. With one, a row for each sample, in order.
        A first row that is none of these is taken for a heading.
    files
        The path of each sample's file, None where it is one of several in a file.

    Raises
    ------
    ObservationError
        The file cannot be read, or its labels are not those of the samples.
    """
    try:
        with open_plain(Path(path)) as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise ValueError(f"has more than {_LARGEST:,} bytes")
        text = io.StringIO(content.decode("utf-8-sig"), newline="")
        rows = [[cell.strip() for cell in row] for row in csv.reader(text) if any(row)]
    except (OSError, ValueError, csv.Error) as error:
        raise ObservationError(f"--labels {path}: cannot be read: {reason_of(error)}") from error
    columns = {len(row) for row in rows}
    if columns not in ({1}, {2}):
        found = ", ".join(map(str, sorted(columns))) or "none"
        raise ObservationError(
            f"--labels {path}: expected a CSV of file,label or of one label a row, found {found} columns"
        )
    labels = _in_order(path, rows, len(files)) if columns == {1} else _by_file(path, rows, files)
    return [int(label) if label.isdecimal() and len(label) < 10 else label for label in labels]


def _in_order(path: str | Path, rows: list[list[str]], samples: int) -> list[str]:
    labels = [row[0] for row in rows]
    if len(labels) == samples + 1:
        labels = labels[1:]
    if len(labels) != samples:
        raise ObservationError(
            f"--labels {path}: has {len(labels)} labels, expected {samples}, one for each observation that "
            "is read"
        )
    return labels


def _by_file(path: str | Path, rows: list[list[str]], files: Sequence[str | None]) -> list[str]:
    if None in files:
        raise ObservationError(
            f"--labels {path}: names files, and observation {files.index(None)} is one of several in a "
            "file; give one label a row"
        )
    by_name: dict[str, list[tuple[tuple[str, ...], str]]] = defaultdict(list)
    for name, label in rows:
        parts = PurePath(name.replace("\\", "/")).parts
        if parts:
            by_name[parts[-1]].append((parts, label))
    labels: list[str] = []
    for file in files:
        own = PurePath(str(file)).parts
        fits = {label for parts, label in by_name.get(own[-1], ()) if _ends_alike(parts, own)}
        if len(fits) != 1:
            found = f"the labels {', '.join(sorted(fits))}" if fits else "no row"
            raise ObservationError(
                f"--labels {path}: has {found} for {file}, expected one label for each observation"
            )
        labels += fits
    return labels


def _ends_alike(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    count = min(len(one), len(other))
    return one[-count:] == other[-count:]


def numbered(
    labels: Sequence[Label | None],
    samples: Sequence[str],
    *,
    classes: Sequence[str],
    units: Mapping[str, str],
    count: int,
) -> list[int]:
    """Return labels as units of the head.

    Parameters
    ----------
    labels
        Of the samples: units by number or by name; where there are `classes`, numbers are places among them.
    samples
        What the samples are called in messages.
    classes
        The names of the classes, where folders or a data set give the labels.
    units
        The names of units by number, of those that have one.
    count
        How many units the head has.

    Raises
    ------
    UsageError
        A sample has no label, or one that is no unit.
    """
    if any(label is None for label in labels):
        missing = samples[list(labels).index(None)]
        raise UsageError(
            f"--target labels: {missing} has no label; give a folder of class folders, a data set with "
            "labels, or --labels FILE"
        )
    often = Counter(units.values())
    named = {name: int(unit) for unit, name in units.items() if often[name] == 1}
    by_name = bool(classes) and all(name in named for name in classes)
    if classes and not by_name and len(classes) != count:
        listed = ", ".join(classes[:3]) + (", ..." if len(classes) > 3 else "")
        raise UsageError(
            f"--target labels: there are {len(classes)} classes ({listed}), the head has {count} units, so "
            "that their numbers are not its units; give --labels FILE, or the units' names by --names"
        )
    found = []
    for label, sample in zip(labels, samples, strict=True):
        name = classes[label] if by_name and isinstance(label, int) else label
        unit = named.get(name) if isinstance(name, str) else name
        if unit is None:
            raise UsageError(
                f"--target labels: {sample} has the label {name}, which is no number and no name of a unit; "
                "--names FILE.toml gives the units names"
            )
        if not 0 <= unit < count:
            raise UsageError(
                f"--target labels: {sample} has the label {unit}, expected a unit from 0 to {count - 1}"
            )
        found.append(unit)
    return found
