"""From the keys of a saved state dict to those of a network: wrappers off, a prefix off.

A mapping is only ever a proposal. It is taken where keys and shapes then fit a network exactly, and
the same one holds for a whole run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from lrpdyn.checkpoints.model import Shapes

_T = TypeVar("_T")

#: What torch.compile, DataParallel, AveragedModel and FSDP put into keys, at any place.
_WRAPPERS = frozenset(("_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"))
#: Copies of a network, and what is saved next to it: no prefix is taken from their keys.
_BESIDE = re.compile(
    r"(?:.*[._])?(?:target|old|ema|averaged?|lagged)(?:[._].*)?|.*normalizer\..*|n_averaged"
    r"|(?:loss|criterion|metrics?|train_metrics|val_metrics|test_metrics)\..*"
)
_DEEPEST_PREFIX = 6


@dataclass(frozen=True)
class KeyMapping:
    """How keys are changed: wrappers taken off, then `prefix`; keys without it are not used."""

    wrappers: bool = True
    prefix: str = ""

    def rename(self, key: str) -> str | None:
        """Return the network's name for a key, or None if the network has no part in it."""
        name = _unwrapped(key) if self.wrappers else key
        if name == "n_averaged" and self.wrappers:
            return None
        return name.removeprefix(self.prefix) if name.startswith(self.prefix) else None

    def apply(self, entries: Mapping[str, _T]) -> dict[str, _T]:
        """Return `entries` by the network's names; as they are where two of those would be one."""
        found: dict[str, _T] = {}
        for key, value in entries.items():
            name = self.rename(key)
            if name in found:
                return dict(entries)
            if name is not None:
                found[name] = value
        return found

    def unused(self, keys: Iterable[str]) -> list[str]:
        """Return the keys that the network has no part in."""
        return [key for key in keys if self.rename(key) is None]

    def as_dict(self) -> dict[str, object]:
        """Return the mapping as plain data, for the manifest."""
        return {"wrappers": self.wrappers, "prefix": self.prefix}


IDENTITY = KeyMapping(wrappers=False)


def candidates(shapes: Shapes, *, whole: bool) -> Iterator[KeyMapping]:
    """Propose mappings, the plainest first.

    With `whole`, a prefix must be that of all keys but copies, normalisers and losses, so that no
    part of an unknown network is taken for the whole of a known one.
    """
    plain = KeyMapping()
    if plain.apply(shapes).keys() != shapes.keys():
        # A layer may be called so by its author, and what it wraps is then another network.
        yield IDENTITY
    yield plain
    names = list(plain.apply(shapes))
    used = [name for name in names if not _BESIDE.fullmatch(name)] if whole else names
    for prefix in _prefixes(used):
        if not whole or all(name.startswith(prefix) for name in used):
            yield KeyMapping(prefix=prefix)


def is_copy(prefix: str) -> bool:
    """Tell whether a prefix is that of a copy of a network: a target, an old one, an average."""
    return _BESIDE.match(prefix) is not None


def _prefixes(names: Iterable[str]) -> list[str]:
    """Return all that end in a dot and begin a name, short ones and copies' last."""
    found: dict[str, None] = {}
    for name in names:
        parts = name.split(".")[:-1][:_DEEPEST_PREFIX]
        for count in range(1, len(parts) + 1):
            found[".".join(parts[:count]) + "."] = None
    return sorted(found, key=lambda prefix: (is_copy(prefix), prefix.count(".")))


def _unwrapped(key: str) -> str:
    return ".".join(part for part in key.split(".") if part not in _WRAPPERS)
