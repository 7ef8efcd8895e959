"""Compares the files of a run with their hashes, and says which command repairs a damaged one."""

from __future__ import annotations

import shlex
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

from lrpdyn.files.atomic import sha256_of, sync_folder
from lrpdyn.files.npy import map_npy
from lrpdyn.files.plain import read_plain
from lrpdyn.files.reasons import reason_of
from lrpdyn.run.journal import JOURNAL, is_whole, whole_records
from lrpdyn.run.layout import (
    CAPTION,
    FAITHFULNESS,
    FEATURES,
    FOUND_REGIONS,
    LAYERS,
    OTHER_BYTES,
    RESULTS,
    SHARD_REGIONS,
    SHARD_RESULTS,
    is_caption,
    leftovers,
    relevance_path,
    working_path,
)
from lrpdyn.run.manifest import MANIFEST, is_sealed, load_manifest, save_manifest
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.stamps import stamp_of
from lrpdyn.run.stored_maps import Storage
from lrpdyn.system.memory import usable_memory

#: Bytes that no header of a .npy file has.
_HEADER = 1 << 12
_EXPLAINED = ("done", "not_finite")


@dataclass(frozen=True, kw_only=True)
class Damage:
    """A file of a run that is not as it was written.

    `file` is its path in the run folder, `what` is wrong with it, and `step` has to be explained
    again; None where the file is made from what is stored.
    """

    file: str
    what: str
    step: int | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The state of the files of a run.

    So many files are `whole`; `unproven` of them have no hash, because an earlier version wrote
    them: they can be read. `missing_steps` are those that the run is to explain and has not yet,
    `leftovers` the temporary files of a process that was killed, which the next start deletes.
    `command` repairs the run; None where nothing has to be done.
    """

    whole: int
    unproven: int
    damaged: tuple[Damage, ...]
    missing_steps: tuple[int, ...]
    leftovers: tuple[str, ...]
    command: str | None

    @property
    def is_good(self) -> bool:
        """Whether the run is finished and every file of it whole."""
        return not self.damaged and not self.missing_steps

    def as_data(self) -> dict[str, Any]:
        """Return the verdict as JSON takes it."""
        return {"good": self.is_good, **asdict(self)}


def finish_manifest(
    run: Path, manifest: Mapping[str, Any], known: Mapping[Path, str] | None = None
) -> dict[str, Any]:
    """Write the manifest of a finished run, or of a shard, with the hash of each file; return it.

    It comes last, when the names of all others are on the disk: it is never ahead of them. `known`
    are hashes of files that were just written. Next to the hashes are stamps, of the relevance too
    (`lrpdyn.run.stamps`).
    """
    known = known or {}
    names = results_of(manifest, now=True)
    files = {name: known.get(run / name) or sha256_of(run / name) for name in names}
    kept = (e["step"] for e in manifest["checkpoints"] if e.get("relevance_sha256") is not None)
    maps = (str(relevance_path(Path(), step)) for step in kept)
    stamps = {name: stamp_of(run / name) for name in (*names, *maps)}
    for folder in (run / "relevance", run / "figures", run / "shard"):
        if folder.exists():
            sync_folder(folder)
    finished = {**manifest, "files": files, "stamps": stamps}
    save_manifest(run, finished)
    return finished


def replace_result(run: Path, manifest: Mapping[str, Any], name: str) -> None:
    """Write the manifest of a finished run anew, one file of which was written again.

    The others keep their hashes and stamps: what was damaged before stays known as damaged.
    """
    files = {**manifest.get("files", {}), name: sha256_of(run / name)}
    stamps = {**manifest.get("stamps", {}), name: stamp_of(run / name)}
    save_manifest(run, {**manifest, "files": files, "stamps": stamps})


def damaged_results(run: Path, manifest: Mapping[str, Any]) -> list[Damage]:
    """Return which of the files that are made from the relevance are missing, or not as written."""
    hashes = manifest.get("files", {})
    shape = manifest["observations"]["shape"]
    found = ((n, _state(run / n, hashes.get(n), shape)) for n in results_of(manifest))
    return [Damage(file=name, what=what) for name, what in found if what is not None]


def results_of(manifest: Mapping[str, Any], *, now: bool = False) -> Sequence[str]:
    """Return the files that are written besides the relevance: were written, or are to be `now`."""
    regions = manifest.get("regions")
    if manifest.get("shard") is None:
        # A run of 0.1 has none.
        added = {LAYERS, FAITHFULNESS, FEATURES, CAPTION} - manifest.get("files", {}).keys()
        flat = (FEATURES,) if len(manifest["observations"]["shape"]) == 2 else ()
        found = FOUND_REGIONS if (regions or {}).get("found") else ()
        return [name for name in (*RESULTS, *flat, *found) if now or name not in added]
    return SHARD_RESULTS if regions is None else (*SHARD_RESULTS, SHARD_REGIONS)


def verify(run: Path) -> Verdict:
    """Return the state of a run, after reading every file and comparing it with the manifest.

    Raises
    ------
    RunError
        The folder holds no run, or its manifest is damaged: there is nothing to compare files with.
    """
    manifest = load_manifest(run)
    damaged: list[Damage] = []
    if not is_sealed(manifest):
        damaged.append(Damage(file=MANIFEST, what="was changed after it was written"))
    entries = {e["step"]: e for e in manifest["checkpoints"] if e["step"] is not None}
    pending = any(entry["status"] == "pending" for entry in entries.values())
    journal: dict[int, str | None] = {}
    maps: dict[int, str | None] = {}
    for record in whole_records(run):
        journal[record["step"]] = record.get("relevance_sha256")
        maps[record["step"]] = record.get("maps_sha256")
    if not is_whole(run):
        damaged.append(Damage(file=JOURNAL, what="holds lines that are not as they were written"))
    if pending:
        missing = tuple(step for step in entries if step not in journal)
        hashes = journal
    else:
        missing = ()
        explained = {s: e for s, e in entries.items() if e["status"] in _EXPLAINED}
        hashes = {step: entry.get("relevance_sha256") for step, entry in explained.items()}
        damaged += [
            Damage(file=JOURNAL, what=f"holds no whole line on step {step}", step=step)
            for step in explained
            if step not in journal
        ]
        damaged += damaged_results(run, manifest)
    opened = RunFolder(path=run, manifest=manifest)
    if opened.keep == "none":
        hashes = {}
    damaged += _damaged_maps(run, partial(relevance_path, run), hashes, opened.relevance_shape)
    kept_whole = manifest.get("stored", Storage().as_dict()) == Storage().as_dict()
    if pending or kept_whole or manifest.get("shard") is None:
        maps = {}  # there are none besides the relevance
    damaged += _damaged_maps(run, partial(working_path, run), maps, opened.shape)
    results = () if pending else results_of(manifest)
    written = [*hashes.values(), *(manifest.get("files", {}).get(name) for name in results)]
    written += maps.values()
    checked = 2 + len(written)  # the manifest and the journal too
    return Verdict(
        whole=checked - len({damage.file for damage in damaged}),
        unproven=written.count(None),
        damaged=tuple(damaged),
        missing_steps=missing,
        leftovers=tuple(str(path.relative_to(run)) for path in leftovers(run)),
        command=_command(manifest, damaged) if damaged or missing else None,
    )


def _damaged_maps(
    run: Path,
    path_of: Callable[[int], Path],
    hashes: Mapping[int, str | None],
    shape: tuple[int, ...],
) -> Iterator[Damage]:
    for step, written in hashes.items():
        path = path_of(step)
        what = _state(path, written, shape)
        if what is None:
            try:
                found = map_npy(path).shape
                what = None if found == shape else f"has shape {found}, expected {shape}"
            except (OSError, ValueError) as error:
                what = reason_of(error)
        if what is not None:
            yield Damage(file=str(path.relative_to(run)), what=what, step=step)


def _state(path: Path, written: str | None, shape: Sequence[int]) -> str | None:
    """Return what is wrong with a file, as far as its hash tells, or None.

    One that is larger than maps of `shape`, or than memory, can be is not read.
    """
    most = _HEADER + 8 * prod(shape) if path.suffix == ".npy" else usable_memory()
    try:
        if (size := path.stat().st_size) > most:
            return f"has {size:,} bytes, expected {most:,} at most"
        if path.suffix == ".png":
            # `lrpdyn plot` draws it again, with other options too: it has to be whole, no more.
            return None if _is_whole_png(read_plain(path)) else "is no whole PNG"
        if path.name == Path(CAPTION).name and path.exists():
            return None if is_caption(path) else "is no whole caption"
        if written is None:
            return None if path.stat().st_size else "is empty"
        return None if sha256_of(path) == written else OTHER_BYTES
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"


def _is_whole_png(content: bytes) -> bool:
    """Return whether all chunks are there and fit their checksums."""
    at, kind = 8, b""
    while content.startswith(b"\x89PNG\r\n\x1a\n") and at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        kind, end = content[at + 4 : at + 8], at + 8 + length
        if end + 4 > len(content):
            return False
        if struct.unpack_from(">I", content, end)[0] != zlib.crc32(content[at + 4 : end]):
            return False
        at = end + 4
    return kind == b"IEND" and at == len(content)


def _command(manifest: Mapping[str, Any], damaged: Sequence[Damage]) -> str:
    """Return the command that made the run, with what it has to explain again."""
    steps = sorted({damage.step for damage in damaged if damage.step is not None})
    again = [text for step in steps for text in ("--recompute", str(step))]
    try:
        given = shlex.split(manifest.get("command", ""))
    except ValueError:
        given = []
    if len(given) > 1 and given[1] == "compute":
        asked = ["", *(text for text in given[2:] if text not in ("--overwrite", "--trust"))]
        # Without the steps that were explained again when the run was last made.
        asked = [
            text
            for before, text in pairwise(asked)
            if "--recompute" not in (before, text) and not text.startswith("--recompute=")
        ]
        return shlex.join(["lrpdyn", "compute", *asked, *again])
    return f"lrpdyn.compute(..., recompute={steps})" if steps else "lrpdyn.compute(...), as before"
