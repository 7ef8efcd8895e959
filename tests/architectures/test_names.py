"""The names that are known without torch are those of the registry."""

from __future__ import annotations

from lrpdyn.architectures.names import NAMES, PREFIXES
from lrpdyn.architectures.registry import ARCHITECTURES, FAMILIES


def test_names_are_those_of_the_registry() -> None:
    assert tuple(ARCHITECTURES) == NAMES
    assert tuple(family.prefix for family in FAMILIES) == PREFIXES
