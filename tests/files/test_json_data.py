"""JSON that anybody may have edited: read strictly, and what is wrong with it is said with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lrpdyn.files.json_data import Each, Where, fault, parse_json, read_json


def test_what_json_says_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": [1, 2.5, null, true], "é": "x"}', encoding="utf-8")
    assert read_json(tmp_path / "a.json") == {"a": [1, 2.5, None, True], "é": "x"}
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b'{"a": NaN}', "NaN is no number of JSON"),
        (b"[-Infinity]", "-Infinity is no number of JSON"),
        (b"9" * 400, "^9{40} is no number of JSON"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a": ', "Expecting value"),
        (b'"\xff"', "can't decode"),
    ],
    ids=["nan", "infinity", "huge", "deep", "cut", "bytes"],
)
def test_what_is_no_json_is_one_kind_of_error(text: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_json(text)


KINDS = Where(key="status", expected={"done": {"step": int}, "bad": {"reason": str}})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, int), (3, float), (2.5, float), ("a", str), (True, bool), (None, None),
        ([1, 2], [int]), ([], [int]), ({"any": 1, "key": 2}, Each(int)), ("a", frozenset({"a", "b"})),
        ({"a": 1, "others": "are let be"}, {"a": int, "b?": str}), (None, (None, str)),
        ({"status": "done", "step": 1}, KINDS), ({"status": "bad", "reason": "torn"}, KINDS),
    ],
)  # fmt: skip
def test_what_is_as_expected_has_no_fault(value: Any, expected: Any) -> None:
    assert fault(value, expected) is None


@pytest.mark.parametrize(
    ("value", "expected", "says"),
    [
        (True, int, "it is true, expected an integer"),
        (2.5, int, "it is 2.5, expected an integer"),
        (False, float, "it is false, expected a number"),
        (1, bool, "it is 1, expected true or false"),
        ({}, [int], "it is an object, expected a list"),
        ([1, 2, "3"], [int], 'it[2] is "3", expected an integer'),
        ([], Each(int), "it is a list, expected an object"),
        ({"a": 1, "b": None}, Each(int), "it.b is null, expected an integer"),
        ("c", frozenset({"b", "a"}), 'it is "c", expected a or b'),
        (0, None, "it is 0, expected null"),
        (0, (None, str), "it is 0, expected a text"),
        ({"b": 1}, {"a": int}, "it has no a"),
        ({"a": 1, "b": 1}, {"a": int, "b?": str}, "it.b is 1, expected a text"),
        ({"a": {"b": [{"c": "d"}]}}, {"a": {"b": [{"c": int}]}},
         'it.a.b[0].c is "d", expected an integer'),
        ({"status": "lost"}, KINDS, 'it.status is "lost", expected one of done, bad'),
        ([], KINDS, "it.status is null, expected one of done, bad"),
        ({"status": "done", "reason": "x"}, KINDS, "it has no step"),
        ("x" * 100, int, f'it is "{"x" * 39}..., expected an integer'),
    ],
)  # fmt: skip
def test_a_fault_says_what_is_where_and_what_was_expected(
    value: Any, expected: Any, says: str
) -> None:
    assert fault(value, expected) == says
