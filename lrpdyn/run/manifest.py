"""manifest.json: the question of a run and what has been done, sealed with its own hash."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from lrpdyn.checkpoints.digests import ALGORITHMS
from lrpdyn.errors import RunError
from lrpdyn.files import nearby
from lrpdyn.files.atomic import save_json
from lrpdyn.files.json_data import Each, Where, fault, read_json
from lrpdyn.files.reasons import reason_of
from lrpdyn.files.text import printable
from lrpdyn.run.environments import PARTS
from lrpdyn.run.journal import whole_records
from lrpdyn.run.missing import no_run
from lrpdyn.run.parts import check_parts
from lrpdyn.run.question import CONTRASTS, KINDS
from lrpdyn.run.tables import TABLES

SCHEMA = 1
MANIFEST = nearby.MANIFEST

_OPTIONAL_TEXT = (None, str)
_ENTRY = {
    "path": str,
    "format?": _OPTIONAL_TEXT,
    "digest?": _OPTIONAL_TEXT,
    "sha256?": _OPTIONAL_TEXT,
}
_DONE = {**_ENTRY, "step": int, "relevance_sha256?": _OPTIONAL_TEXT, "reason?": _OPTIONAL_TEXT}
_SPREAD = (None, {"least": float, "median": float, "most": float})
_MEDIAN = {"median": (None, float)}
#: What the commands that read or resume a run rely on.
_EXPECTED = {
    "command?": str,
    "rule": {"name": str, "parameters": dict, "layers": Each(str), "notes?": [str],
             "tried?": {"named": str, "reference?": _OPTIONAL_TEXT}},
    "about_rule?": {"title?": str, "usual_sum?": (None, str), "terms_cancel?": bool,
                    "shows_support_only?": bool, "conserves?": bool},
    "architecture": {"name": str, "arguments": dict},
    "head": str,
    "units?": {"kind": frozenset(KINDS), "groups": [int]},
    "contrast": frozenset(CONTRASTS),
    "target": {"policy": str, "values?": (None, [int]), "runner_up?": (None, [int])},
    "normalize": str,
    "reference?": str,
    "baseline": str,
    "unit": str,
    "digest?": frozenset(ALGORITHMS),
    "observations": {"files": [str], "sha256": str, "shape": [int]},
    "selection": dict,
    "weights?": {"same?": [[int]]},
    "batch_size": int,
    "smaller_batches?": [{"step": int, "batch_size": int}],
    "stored?": {"keep": frozenset({"relevance", "pixels", "none"}),
                "dtype": frozenset({"float32", "float16"})},
    "tables?": frozenset(TABLES),
    "interventions?": (None, int),
    "faithfulness?": (None, str),
    "faithfulness_samples?": (None, int),
    "shard?": (None, {"name": str, "series": str}),
    "names?": Each(Each(str)),
    "regions?": (None, {"key": str}),
    "checkpoints": [Where(key="status", expected={
        "done": _DONE, "not_finite": _DONE, "pending": {**_ENTRY, "step": int},
        "bad": {**_ENTRY, "step": (None, int), "reason": str},
    })],
    "checks": {
        "maps?": int, "negative_scores?": int, "weak_support?": int, "vanished?": int,
        "relevance_sum_to_score?": _SPREAD, "relevance_l1_to_score?": _SPREAD,
        "outputs?": {"largest_difference": float},
        "dynamics?": {"alike_mean_relevance": (None, float), "net_share": (None, float)},
        "dependence?": [{"samples?": int, "best_to_worst": _MEDIAN, "upper_layers": _MEDIAN,
                         "random": _MEDIAN, "random_to_random": {**_MEDIAN, "low": (None, float)}}],
        "faithfulness?": (None, {
            "fill": (str, float), "patches": int, "samples": [int],
            "steps": [{"step": int, "range": (None, float), "abpc": Each((None, float)),
                       "random_band": {"low": (None, float), "high": (None, float)},
                       "abpc_policy": Each((None, float))}],
            "reference?": (None, {
                "reference": str, "step": int, "helps": bool,
                "fills": [{"fill": (str, float), "without": float, "with": float,
                           "gain": {"low": float, "high": float}}],
            }),
        }),
        "expected?": (None, {"file": str, "step": int, "head": str, "samples": int,
                             "largest_difference": float, "largest_output": float}),
        "stock?": (None, {"exact_rule": str, "largest_difference": float,
                          "cosine": (None, float), "reasons": [str]}),
    },
    "environment": dict,
    "files?": Each(str),
    "stamps?": Each([int]),
    "environments?": [{"from_step": int, "to_step": int, **{f"{part}?": str for part in PARTS}}],
    "same_bytes?": bool,
}  # fmt: skip
#: What a finished run has, too.
_FINISHED = {"lrpdyn": str, "command": str,
             "checks": {"maps": int, "negative_scores": int, "weak_support": int, "vanished": int,
                        "relevance_sum_to_score": _SPREAD, "relevance_l1_to_score": _SPREAD}}  # fmt: skip
#: What a shard has, too.
_SHARD = {"stored": dict, "weights": dict, "lrpdyn": str, "target": {"values": (None, [int])},
          "checks": {"outputs": dict}, "selection": {"weights": str}}  # fmt: skip
_LARGEST_STEP = 10**18
#: The names of files that a manifest may have hashes of.
_INSIDE = re.compile(r"(\w+/)?\w+\.\w+", re.ASCII)
#: Keys sort as text once they are some: what is sealed goes through the one, and then the other.
_STRICT, _SORTED = json.JSONEncoder(allow_nan=False), json.JSONEncoder(sort_keys=True)


def save_manifest(run: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest with the hash of what it says.

    Raises
    ------
    RunError
        It holds numbers that JSON does not have: sums of outputs that are next to infinity.
    """
    try:
        sealed = {**manifest, "sha256": seal(manifest)}
    except ValueError as error:
        raise RunError(
            f"{run}: its results hold numbers that are not finite, of outputs or relevance close to the "
            "largest that there is; metrics.csv says at which steps, --since and --until leave them out"
        ) from error
    save_json(run / MANIFEST, sealed)


def seal(manifest: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what a manifest says, whatever the order and the layout of its keys."""
    digest = hashlib.sha256(b"{")
    before = ""
    for key in sorted(manifest.keys() - {"sha256"}):
        digest.update(f"{before}{json.dumps(key)}: ".encode())
        for piece in _plain(manifest[key]):
            digest.update(piece.encode())
        before = ", "
    digest.update(b"}")
    return digest.hexdigest()


def _plain(value: Any) -> Iterator[str]:
    """Yield JSON with sorted keys; that of the list of checkpoints, which is long, by its entries."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        before = "["
        for entry in value:
            yield before + _SORTED.encode(json.loads(_STRICT.encode(entry)))
            before = ", "
        yield "]"
    else:
        yield _SORTED.encode(json.loads(_STRICT.encode(value)))


def is_sealed(manifest: Mapping[str, Any]) -> bool:
    """Tell whether a manifest says what lrpdyn wrote; one of before manifests were sealed does."""
    try:
        return "sha256" not in manifest or manifest["sha256"] == seal(manifest)
    except ValueError:  # a number beyond all bounds, such as 1e999, is none that lrpdyn writes
        return False


def read_manifest(run: Path) -> dict[str, Any]:
    """Return the manifest of a run folder, as lrpdyn wrote it.

    Raises
    ------
    RunError
        The folder holds no run, or its manifest is damaged, was edited, or is of a newer schema.
    """
    manifest = load_manifest(run)
    if not is_sealed(manifest):
        raise RunError(
            f"{run / MANIFEST}: was changed after it was written; the command that made the run makes "
            "it anew (no step is explained again), or take its key sha256 out to have it read as it is"
        )
    return manifest


def check_unchanged(run: Path, manifest: Mapping[str, Any]) -> None:
    """Check that a run folder has the manifest that was read of it: so its files are of one run.

    Raises
    ------
    RunError
        Another process has begun another run there, or has gone on with this one.
    """
    if "sha256" in manifest and load_manifest(run).get("sha256") != manifest["sha256"]:
        raise RunError(
            f"{run}: another process wrote the run while it was read; try again when it has ended"
        )


def load_manifest(run: Path) -> dict[str, Any]:
    """Return the manifest of a run folder, which may have been edited, as long as it can be used.

    Raises
    ------
    RunError
        The folder holds no run, its manifest is damaged or of a newer schema, or a part of it leads out
        of the folder.
    """
    path = run / MANIFEST
    check_parts(run, writing=False)
    try:
        manifest = read_json(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise no_run(run) from error
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise _damaged(run, f"it is no JSON: {reason_of(error)}") from error
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if isinstance(schema, int) and not isinstance(schema, bool) and schema > SCHEMA:
        raise RunError(
            f"{path}: schema {schema}, this version reads {SCHEMA}; install a newer lrpdyn"
        )
    wrong = fault(manifest, {"schema": int, **_EXPECTED}, "manifest") or _contradiction(manifest)
    if wrong is not None or schema != SCHEMA:
        raise _damaged(run, wrong or f"schema {schema}, expected {SCHEMA}")
    found: dict[str, Any] = manifest
    return found


def is_of_lrpdyn(run: Path) -> bool:
    """Tell whether lrpdyn wrote a folder: its seal, or a line of its journal, shows that it did."""
    try:
        if is_sealed(load_manifest(run)):
            return True
    except RunError:
        pass
    return any(True for _ in whole_records(run))


def _contradiction(manifest: dict[str, Any]) -> str | None:
    """Return what is wrong with a manifest whose parts, one by one, are as expected."""
    shape, entries = manifest["observations"]["shape"], manifest["checkpoints"]
    if len(shape) not in (2, 3, 4, 5) or any(not 0 < size < 2**40 for size in shape):
        return (
            f"manifest.observations.shape is {shape}, expected (N, C, H, W), (N, F), (N, L, C) or "
            "(N, T, C, H, W)"
        )
    strange = next(
        (name for name in manifest.get("files", {}) if not _INSIDE.fullmatch(name)), None
    )
    if strange is not None:
        return f"manifest.files names {printable(strange[:80])}, which is no file of a run folder"
    steps = [entry["step"] for entry in entries if entry["status"] != "bad"]
    if any(abs(step) >= _LARGEST_STEP for step in steps):
        return "manifest.checkpoints hold a step that is too large"
    if any(later <= earlier for earlier, later in pairwise(steps)):
        return "manifest.checkpoints are not in the order of their steps"
    pending = any(entry["status"] == "pending" for entry in entries)
    part = manifest.get("shard") is not None
    return None if pending else fault(manifest, _SHARD if part else _FINISHED, "manifest")


def _damaged(run: Path, why: str) -> RunError:
    if not any(True for _ in whole_records(run)):
        return RunError(
            f"{run / MANIFEST}: is damaged ({why}), or not of lrpdyn; choose another folder, or delete the "
            "run if it is yours"
        )
    return RunError(
        f"{run / MANIFEST}: is damaged ({why}); the command that made the run, with --overwrite, makes it "
        "again"
    )
