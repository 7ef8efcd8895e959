"""Captum's LRP and its rules, without the rest of Captum.

`captum.attr` loads all of Captum's methods, and matplotlib for its pictures: a quarter of the imports of a
run. LRP needs none of it, so the two packages above its modules stay unread here, unless they have been
imported before. Whoever imports them later gets them whole, with the same classes.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from types import ModuleType


@contextlib.contextmanager
def _packages_unread() -> Iterator[None]:
    """Let modules of Captum be imported without what their packages import."""
    unread: list[str] = []
    places = None
    for name in ("captum", "captum.attr"):
        if name not in sys.modules and (spec := PathFinder.find_spec(name, places)) is not None:
            package = ModuleType(name)
            package.__path__ = places = list(spec.submodule_search_locations or ())
            sys.modules[name] = package
            unread.append(name)
    try:
        yield
    finally:
        for name in unread:
            del sys.modules[name]


with _packages_unread():
    from captum.attr._core.lrp import LRP
    from captum.attr._utils.lrp_rules import (
        Alpha1_Beta0_Rule,
        EpsilonRule,
        GammaRule,
        PropagationRule,
    )

__all__ = ["LRP", "Alpha1_Beta0_Rule", "EpsilonRule", "GammaRule", "PropagationRule"]
