"""What units, features, channels and samples are called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lrpdyn.errors import UsageError
from lrpdyn.files.nearby import did_you_mean
from lrpdyn.files.reasons import reason_of
from lrpdyn.files.text import printable
from lrpdyn.files.toml_files import read_toml

#: The kinds of things that have names, and what one of them is called without.
WORDS = {"units": "unit", "features": "feature", "channels": "channel", "samples": "sample"}
#: A kind that only a file of names has: numbered from 1, and measured under these names.
REGIONS = "regions"
#: By kind, names by number, as JSON has it: {"units": {"3": "LEFT"}}.
Names = Mapping[str, Mapping[str, str]]
NO_NAMES: Names = {}
_LONGEST = 40


def called(names: Names, kind: str, number: int, word: str | None = None) -> str:
    """Return what one of a kind is called: its number, and its name where it has one.

    Parameters
    ----------
    word
        What stands before the number; the kind's own word where not given, nothing where empty.

    Examples
    --------
    >>> called({"units": {"3": "LEFT"}}, "units", 3), called({}, "samples", 3)
    ('unit 3 (LEFT)', 'sample 3')
    """
    begin = f"{WORDS[kind] if word is None else word} {number}".lstrip()
    name = names.get(kind, {}).get(str(number))
    if name is None:
        return begin
    # The end of a path tells more than its beginning.
    return f"{begin} ({name if len(name) <= _LONGEST else f'...{name[3 - _LONGEST :]}'})"


def short_name(names: Names, kind: str, number: int) -> str:
    """Return the name alone, where there is little room; the word and the number where there is none.

    >>> short_name({"channels": {"3": "t"}}, "channels", 3), short_name({}, "channels", 3)
    ('t', 'channel 3')
    """
    return names.get(kind, {}).get(str(number), f"{WORDS[kind]} {number}")


def read_names(path: str | Path, counts: Mapping[str, int]) -> dict[str, dict[str, str]]:
    """Return the names in a TOML file.

    Each kind is a list of all names, or a table of some: number = "name". Regions are read on their own
    (`read_region_names`).

    Parameters
    ----------
    counts
        How many there are of each kind that there is.

    Raises
    ------
    UsageError
        The file cannot be read, or names what is not there.
    """
    given = _read(path)
    for kind in given:
        if kind not in (*WORDS, REGIONS):
            known = [*WORDS, REGIONS]
            raise UsageError(
                f"--names {path}: {kind}: expected {', '.join(known)}{did_you_mean(kind, known)}"
            )
        if kind not in (*counts, REGIONS):
            raise UsageError(f"--names {path}: {kind}: these observations have no {kind}")
    return {
        kind: _names_of(path, kind, WORDS[kind], entry, range(counts[kind]))
        for kind, entry in given.items()
        if kind != REGIONS
    }


def read_region_names(path: str | Path, count: int) -> dict[int, str]:
    """Return the names of regions in a TOML file, by their numbers from 1; as columns of tables have them.

    Raises
    ------
    UsageError
        The file cannot be read, or names what is not there.
    """
    given = _read(path)
    if REGIONS not in given:
        return {}
    if not count:
        raise UsageError(
            f"--names {path}: regions: there are none; give --regions auto or a file of masks"
        )
    found = _names_of(path, REGIONS, "region", given[REGIONS], range(1, count + 1))
    return {int(number): re.sub(r"\W+", "_", name) for number, name in found.items()}


def _read(path: str | Path) -> dict[str, Any]:
    try:
        return read_toml(Path(path))
    except (OSError, ValueError) as error:
        raise UsageError(f"--names {path}: cannot be read: {reason_of(error)}") from error


def _names_of(path: str | Path, kind: str, word: str, given: Any, numbers: range) -> dict[str, str]:
    count = len(numbers)
    if isinstance(given, list) and len(given) != count:
        raise UsageError(
            f"--names {path}: {kind}: has {len(given)} names, expected {count}; a table, [{kind}] and lines "
            'such as 3 = "name", names some of them'
        )
    if not isinstance(given, list | dict):
        raise UsageError(
            f'--names {path}: {kind}: expected a list of names, or a table of lines such as 3 = "name"'
        )
    entries = dict(zip(numbers, given, strict=True)) if isinstance(given, list) else given
    for number, name in entries.items():
        if not isinstance(name, str) or not name.strip():
            raise UsageError(f"--names {path}: {kind}: {number}: expected a name in quotes")
        text = str(number)
        if not text.isdecimal() or len(text) > 9 or int(text) not in numbers:
            only = f"only {numbers[0]} to {numbers[-1]}"
            raise UsageError(f"--names {path}: {kind}: there is no {word} {number}, {only}")
    return {str(int(number)): printable(name.strip()) for number, name in entries.items()}
