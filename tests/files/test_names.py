"""Names from a TOML file, and how they are written next to numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from lrpdyn.errors import UsageError
from lrpdyn.files.names import called, read_names

COUNTS = {"units": 3, "samples": 2, "channels": 4}


def _read(tmp_path: Path, text: str) -> dict[str, dict[str, str]]:
    path = tmp_path / "names.toml"
    path.write_text(text)
    return read_names(path, COUNTS)


def test_lists_and_tables(tmp_path: Path) -> None:
    found = _read(tmp_path, 'units = ["NOOP", "UP", " DOWN "]\n[channels]\n3 = "now\\u0007"\n')
    assert found == {
        "units": {"0": "NOOP", "1": "UP", "2": "DOWN"}, "channels": {"3": "now\\x07"}
    }  # fmt: skip
    assert called(found, "units", 2) == "unit 2 (DOWN)"
    assert called(found, "channels", 0) == "channel 0"
    assert called({"samples": {"1": "a" * 50 + ".png"}}, "samples", 1, word="").endswith("a.png)")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('units = ["a"]', "units: has 1 names, expected 3"),
        ('[units]\n3 = "a"', "there is no unit 3, only 0 to 2"),
        ('[units]\nleft = "a"', "there is no unit left"),
        ("[units]\n1 = 5", "1: expected a name in quotes"),
        ('unit = ["a"]', r"expected units, .*did you mean units\?"),
        ('features = ["a"]', "these observations have no features"),
        ("units = 3", "expected a list of names"),
        ("units = [", "cannot be read"),
        ('region = ["a"]', r"expected units, .*did you mean regions\?"),
    ],
)
def test_names_that_are_of_nothing(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as error:
        _read(tmp_path, text)
    assert "\n" not in str(error.value)
