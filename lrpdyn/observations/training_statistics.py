"""Whether the network was trained on normalised observations: what lies with its checkpoints."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lrpdyn.checkpoints.formats.arrays import read_pickle
from lrpdyn.errors import LrpdynError, ObservationError
from lrpdyn.files.plain import open_plain
from lrpdyn.observations.recording import is_recording, normalised_in_play
from lrpdyn.remote.path import RemotePath, as_path

_NAMED = re.compile(r"vec_?norm", re.I)
_PICKLES = (".pkl", ".pickle", ".p")
#: What a file may be whose name speaks of statistics; a run or a script may be called so too.
_OTHERS = (".gz", ".bz2", ".xz", ".joblib", ".npz", ".json", "")
#: Folders next to the checkpoints that may hold statistics; other runs lie there too.
_NEXT = re.compile(r"(vec|env|obs)?_?(norm\w*|stat\w*|envs?)", re.I)
_SETTINGS = ("config.yml", "args.yml")
#: ``normalize: true``, or as RL-Zoo writes an OrderedDict; not where observations are excepted.
_NORMALIZE = re.compile(r"^[\s-]*normalize['\"]?(?::|\s*\n\s*-)[ \t]*(\S.*)$", re.M)
_NOT_OBSERVATIONS = re.compile(r"^['\"]?(false|null|none|no)\b|norm_obs['\"]*\s*[:=]\s*false", re.I)
_MOST_FOLDERS = 100
_LARGEST_SETTINGS = 1 << 20


def check_normalisation(
    statistics: Any,
    checkpoint: Path,
    checkpoint_format: str,
    sources: Sequence[Any],
    *,
    known: bool = False,
) -> list[str]:
    """Return a note on the statistics that are used; ask where there are some and none are given.

    Parameters
    ----------
    statistics
        What the user gave.
    checkpoint, checkpoint_format
        One checkpoint of the run.
    sources
        The observations. A recording of what the network was given needs no statistics, unless it
        says that it was made without ``VecNormalize``.
    known
        The checkpoints say that their run had ``VecNormalize``.

    Raises
    ------
    ObservationError
        Whether observations were normalised in training is not said.
    """
    if statistics is not None and str(statistics) == "none":
        return []
    found = statistics_near(checkpoint)
    last = max(found, key=_step_of, default=None)
    if statistics is not None:
        several = len(found) > 1 and Path(statistics).resolve() in {p.resolve() for p in found}
        return [f"statistics of {statistics} are applied at all steps, though {len(found)} files of them "
                "lie with the checkpoints"] if several else []  # fmt: skip
    known = known and not has_statistics(checkpoint)
    recordings = [_normalised_in_play(source) for source in sources if _is_recording(source)]
    without = False in recordings
    if recordings and len(recordings) == len(sources) and not without:
        return []
    choice = (
        "if the observations are raw, --statistics none if they are normalised already or were not "
        "normalised in training"
    )
    if without and (last is not None or known):
        why = "which the run had" if last is None else f"and {last} lies with the checkpoints"
        raise ObservationError(
            f"{sources[0]}: was recorded without VecNormalize, {why}; record it again with --vecnormalize "
            "FILE, or give --statistics none if observations were not normalised in training"
        )
    if last is not None:
        which = f", the last of {len(found)}," if len(found) > 1 else ""
        raise ObservationError(
            f"{last}{which} lies with the checkpoints: was the network trained on normalised "
            f"observations? give --statistics {last} --trust {choice}"
        )
    settings = _settings_near(checkpoint) if checkpoint_format.startswith("sb3") else None
    if settings is not None:
        raise ObservationError(
            f"{settings} says normalize, and no vecnormalize.pkl lies there: was the network trained on "
            f"normalised observations? give --statistics FILE --trust {choice}"
        )
    if known:
        raise ObservationError(
            f"{checkpoint}: its run had VecNormalize, and no vecnormalize.pkl lies there: was the network "
            f"trained on normalised observations? give --statistics FILE --trust {choice}"
        )
    return []


def recorded_as_normalised(sources: Sequence[Any]) -> bool:
    """Return whether all observations are recordings of what was normalised in play."""
    return bool(sources) and all(
        _is_recording(source) and _normalised_in_play(source) is True for source in sources
    )


def statistics_near(checkpoint: Path) -> list[Path]:
    """Return the files of VecNormalize that lie with a checkpoint and normalised observations.

    They are recognised by content: what `VecNormalize.save` pickles may have any name.
    """
    found = {}
    for file in _files_near(checkpoint):
        if _may_be_statistics(file) and file.resolve() not in found:
            found[file.resolve()] = file
    return [file for file in found.values() if normalises_observations(file)]


def has_statistics(checkpoint: Path) -> bool:
    """Return whether a file of VecNormalize lies there, of observations or of rewards alone."""
    return any(map(_may_be_statistics, _files_near(checkpoint)))


def _settings_near(checkpoint: Path) -> Path | None:
    """Return RL-Zoo's settings where they say that observations were normalised.

    None, too, where a file of VecNormalize says that they were not.
    """
    if has_statistics(checkpoint):
        return None
    for file in _files_near(checkpoint):
        if file.name in _SETTINGS and file.stat().st_size <= _LARGEST_SETTINGS:
            text = file.read_text(encoding="utf-8", errors="replace")
            if any(not _NOT_OBSERVATIONS.search(m[1]) for m in _NORMALIZE.finditer(text)):
                return file
    return None


def _files_near(checkpoint: Path) -> Iterator[Path]:
    """Yield files in the checkpoint's folder, in folders in it, and next to it."""
    folder = (
        checkpoint.absolute().parent
        if not isinstance(checkpoint, RemotePath)
        else checkpoint.parent
    )
    inside = _entries(folder)
    yield from (path for path in inside if path.is_file())
    if isinstance(checkpoint, RemotePath):
        return
    for inner in [path for path in inside if path.is_dir()][:_MOST_FOLDERS]:
        yield from _files(inner)
    yield from _files(folder.parent)
    beside = [path for path in _entries(folder.parent) if path.is_dir() and path != folder]
    for other in [path for path in beside if _NEXT.fullmatch(path.name)][:_MOST_FOLDERS]:
        files = list(_files(other))
        if not any(file.suffix in (".zip", ".pth", ".pt") for file in files):  # another run's
            yield from files


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in _entries(folder) if path.is_file())


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _may_be_statistics(file: Path) -> bool:
    suffix = file.suffix.lower()
    named = _NAMED.search(file.name) is not None and suffix in _PICKLES + _OTHERS
    if isinstance(file, RemotePath) or (not named and suffix not in _PICKLES):
        return named
    try:
        with open_plain(file) as opened:
            head = opened.read(512)
    except OSError:
        return named
    return b"VecNormalize" in head or (named and head[:1] != b"\x80")


def normalises_observations(file: Path) -> bool:
    """Return False where the file says so: it is followed, and nothing in it is run."""
    try:
        root = read_pickle(file, trust=True)
    except (LrpdynError, OSError):
        return True
    state = getattr(root, "state", None)
    return not isinstance(state, Mapping) or state.get("norm_obs") is not False


def _step_of(file: Path) -> tuple[float, str]:
    """Return what orders statistics by step; those without one were saved at the end."""
    found = re.search(r"(\d+)_steps", file.name)
    return (int(found[1]) if found else float("inf"), str(file))


def _is_recording(source: Any) -> bool:
    """Return whether observations say that they are what a network was given (``about``)."""
    if not isinstance(source, str | Path):
        return isinstance(source, Mapping) and {"observations", "about"} <= set(source)
    file = _archive(source)
    return bool(file) and is_recording(as_path(file))


def _normalised_in_play(source: Any) -> bool | None:
    return normalised_in_play(as_path(_archive(source))) if _archive(source) else None


def _archive(source: Any) -> str:
    """Return FILE.npz of FILE.npz or FILE.npz:KEY, nothing of others."""
    if not isinstance(source, str | Path):
        return ""
    name, archive, _ = str(source).rpartition(".npz")
    return name + archive
