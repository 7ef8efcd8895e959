"""What strangers say is printed visibly."""

from __future__ import annotations

from lrpdyn.files.text import printable_data


def test_control_characters_of_plain_data_are_visible() -> None:
    found = {"a\u202eb": ["\x1b[2J", "fine é", 3, None, {"x": "one\ntwo"}]}
    assert printable_data(found) == {"a\\u202eb": ["\\x1b[2J", "fine é", 3, None, {"x": "one two"}]}
