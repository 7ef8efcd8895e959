"""What somebody may have meant who mistyped a word or a path, and what a path seems to be by its name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from itertools import islice
from pathlib import Path

IMAGES = (".png", ".jpg", ".jpeg")
ARRAYS = (".npy", ".npz")
#: Endings of files that hold weights.
_WEIGHTS = (".zip", ".pt", ".pth", ".ckpt", ".tar", ".bin", ".cleanrl_model", ".safetensors",
            ".pkl", ".distcp", ".msgpack")  # fmt: skip
MANIFEST = "manifest.json"
_RUN = {MANIFEST, "journal.jsonl"}
#: So many entries of a folder are looked through.
_MOST = 2_000
_ALIKE = 0.6


def plain_word(word: str) -> str:
    """Return a word without capitals, and without all that is neither letter nor digit."""
    return re.sub(r"[\W_]", "", word.casefold())


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that is most like one that is not known, or None where none is.

    >>> nearest("Arg_Max", ["argmax", "modal"]), nearest("mod", ["argmax", "modal"])
    ('argmax', 'modal')
    """
    plain = plain_word(word)

    def likeness(name: str) -> float:
        other = plain_word(name)
        begins = len(plain) > 1 and other.startswith(plain)
        return max(SequenceMatcher(None, plain, other).ratio(), 0.8 if begins else 0.0)

    best = max(known, key=likeness, default=None)
    return None if best is None or likeness(best) < _ALIKE else best


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `` (did you mean argmax?)``, or nothing where no known word is like `word`."""
    found = nearest(word, known)
    return "" if found is None else f" (did you mean {found}?)"


def similar_path(text: str) -> str:
    """Return `` (did you mean ckpts/?)`` for a path that is not there, or nothing."""
    found = _similar(Path(text)) if "://" not in text and text.strip() else None
    if found is None:
        return ""
    return f" (did you mean {found}{os.sep if found.is_dir() else ''}?)"


def _similar(path: Path) -> Path | None:
    folder = path.parent
    if not folder.is_dir():
        other = None if folder == path else _similar(folder)
        if other is None or not other.is_dir():
            return None
        folder = other
    there = folder / path.name
    if os.path.lexists(there):
        return there
    name = nearest(path.name, (entry for entry in _names(folder) if entry[0] != "."))
    return None if name is None else folder / name


def _names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in islice(entries, _MOST))
    except OSError:
        return []


def seems(path: str | Path) -> str:
    """Return what a path seems to be by names alone, in words; empty where these do not say it.

    It is one of ``a run``, ``a file of a run``, ``a folder of checkpoints``, ``a checkpoint``,
    ``observations``.
    """
    path = Path(path)
    if "://" in str(path):
        return ""
    suffix = path.suffix.lower()
    if path.is_file():
        if suffix in _WEIGHTS:
            return "a checkpoint"
        if _is_run(_names(path.parent)):
            return "a file of a run"
        return "observations" if suffix in IMAGES + ARRAYS else ""
    names = _names(path)
    if _is_run(names):
        return "a run"
    endings = {Path(name).suffix.lower() for name in names}
    deeper = {Path(name).suffix.lower() for folder in names[:20] for name in _names(path / folder)}
    if (endings | deeper) & set(_WEIGHTS):
        return "a folder of checkpoints"
    of_classes = not any(endings) and deeper & set(IMAGES)
    return "observations" if endings & set(IMAGES + ARRAYS) or of_classes else ""


def _is_run(names: Iterable[str]) -> bool:
    return set(names) >= _RUN
