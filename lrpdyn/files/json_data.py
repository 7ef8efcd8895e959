"""Plain data of JSON files, which anybody may have edited: read, and compared with what is expected."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from lrpdyn.files.plain import read_plain

#: A number that may be beyond all floats; what is in quotes, as a digest, is none.
LARGE = re.compile(rb"[\s:,\[]-?[0-9.]+[eE]\+?[0-9]{3}|[0-9]{308}")


@dataclass(frozen=True)
class Each:
    """An object of any keys, with values as `expected`."""

    expected: Any


@dataclass(frozen=True)
class Where:
    """An object whose value of `key` says, by `expected`, what the whole is compared with."""

    key: str
    expected: Mapping[str, Any]


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises
    ------
    OSError
        It cannot be read.
    ValueError
        It is no JSON, or one with NaN, or nested too deeply.
    """
    return parse_json(read_plain(path))


def parse_json(text: bytes) -> Any:
    """Return what JSON says; raises ValueError for whatever is wrong with it."""
    # Each float through a function takes ten times as long, and few files have one that is so large.
    parse_float, parse_int = (_finite, _within) if LARGE.search(text) else (None, None)
    try:
        return json.loads(
            text, parse_constant=_no_number, parse_float=parse_float, parse_int=parse_int
        )
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _within(text: str) -> int:
    _finite(text)  # an integer may have more digits than any float
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _no_number(text)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text[:40]} is no number of JSON")


def fault(value: Any, expected: Any, at: str = "it") -> str | None:
    """Return what is wrong with `value` and where, or None.

    Parameters
    ----------
    expected
        A type; None; a set of texts, one of which it is; a list of what each entry is; a dict of what
        is at its keys (``"key?"`` may be missing); `Each`; `Where`; a tuple of all this, one of which
        fits.
    """
    if isinstance(expected, tuple):
        # The last alternative is the fullest one: most values fit it, and what is wrong with it says most.
        wrong = fault(value, expected[-1], at)
        fits = wrong is None or any(fault(value, one, at) is None for one in expected[:-1])
        return None if fits else wrong
    if isinstance(expected, list):
        entries = enumerate(value) if isinstance(value, list) else None
        return _first(entries, expected[0], at, "[{}]") or _of_type(value, list, at)
    if isinstance(expected, Each):
        items = value.items() if isinstance(value, dict) else None
        return _first(items, expected.expected, at, ".{}") or _of_type(value, dict, at)
    if isinstance(expected, Where):
        said = value.get(expected.key) if isinstance(value, dict) else None
        if not isinstance(said, str) or said not in expected.expected:
            known = ", ".join(expected.expected)
            return f"{at}.{expected.key} is {_short(said)}, expected one of {known}"
        return fault(value, expected.expected[said], at)
    if isinstance(expected, Mapping):
        return _of_type(value, dict, at) or _at_keys(value, expected, at)
    if isinstance(expected, frozenset):
        fits = isinstance(value, str) and value in expected
        return (
            None if fits else f"{at} is {_short(value)}, expected {' or '.join(sorted(expected))}"
        )
    if expected is None:
        return None if value is None else f"{at} is {_short(value)}, expected null"
    return _of_type(value, expected, at)


def _first(entries: Any, expected: Any, at: str, named: str) -> str | None:
    for name, entry in entries or ():
        if (
            fault(entry, expected) is not None
        ):  # most fit: where they are is worded for others alone
            return fault(entry, expected, at + named.format(name))
    return None


def _at_keys(value: Mapping[str, Any], expected: Mapping[str, Any], at: str) -> str | None:
    for name, inside in expected.items():
        key = name.removesuffix("?")
        if key not in value:
            if key == name:
                return f"{at} has no {key}"
        elif (wrong := fault(value[key], inside, f"{at}.{key}")) is not None:
            return wrong
    return None


def _of_type(value: Any, expected: type, at: str) -> str | None:
    kinds = (int, float) if expected is float else (expected,)
    fits = isinstance(value, kinds) and (expected is bool or not isinstance(value, bool))
    named = {int: "an integer", float: "a number", str: "a text", dict: "an object", list: "a list"}
    return (
        None
        if fits
        else f"{at} is {_short(value)}, expected {named.get(expected, 'true or false')}"
    )


def _short(value: Any) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
