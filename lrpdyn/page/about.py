"""What was requested, what was done and what was checked, as terms and their words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lrpdyn.checkpoints.digests import SIGN, recorded
from lrpdyn.run.question import question_in_words
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.summary import run_notes


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Terms with their words: the checks, then the manifest; and a row for each checkpoint."""

    checks: tuple[tuple[str, str], ...]
    manifest: tuple[tuple[str, str], ...]
    checkpoints: tuple[dict[str, str], ...]


def facts_of(run: RunFolder) -> Facts:
    """Return the facts of a run."""
    checkpoints = tuple(
        {
            "step": "" if entry["step"] is None else f"{entry['step']:,}",
            "path": entry["path"],
            "kind": entry.get("format") or "",
            "status": entry["status"].replace("_", " "),
            "reason": entry.get("reason") or "",
            "digest": _short(recorded(entry)),
        }
        for entry in run.manifest["checkpoints"]
    )
    question = ("question", question_in_words(run.manifest, long=True))
    checks = (question, *(("note", text) for text in run_notes(run)))
    return Facts(checks=checks, manifest=tuple(_manifest(run.manifest)), checkpoints=checkpoints)


def _short(digest: str | None) -> str:
    """Return a digest with the first twelve digits, which tell a person enough."""
    name, _, value = (digest or "").partition(SIGN)
    return f"{name}{SIGN}{value[:12]}" if value else ""


def _manifest(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    rule, network, seen = manifest["rule"], manifest["architecture"], manifest["observations"]
    target, contrast = manifest["target"]["policy"], manifest["contrast"]
    done = sum(entry["status"] == "done" for entry in manifest["checkpoints"])
    environment = manifest["environment"]
    layers = ", ".join(f"{layer}: {name}" for layer, name in rule["layers"].items())
    return [
        ("rule", _called(rule["name"], rule["parameters"])),
        ("rule by layer", layers),
        ("network", _called(network["name"], network["arguments"])),
        ("output", f"head {manifest['head']}, target {target}, contrast {contrast}"),
        ("normalisation", "none: raw relevance" if manifest["normalize"] == "none"
         else f"{manifest['normalize']}: each sample at each step by itself"),
        ("observations", f"{' x '.join(map(str, seen['shape']))} from {', '.join(seen['files'])}"),
        ("observations' scale", f"layout {seen.get('layout')}, divided by {seen.get('scale')}"),
        ("observations' SHA-256", seen["sha256"]),
        ("checkpoints", f"{done:,} of {len(manifest['checkpoints']):,} explained"),
        ("command", manifest["command"]),
        ("made by", f"lrpdyn {manifest['lrpdyn']}, " + ", ".join(
            f"{key} {environment[key]}" for key in ("python", "torch", "numpy", "device")
            if environment.get(key) is not None)),
        ("finished", str(environment.get("finished", ""))),
    ]  # fmt: skip


def _called(name: str, arguments: Mapping[str, Any]) -> str:
    """Return a name with its arguments, without those that are None."""
    given = ", ".join(f"{key} {value}" for key, value in arguments.items() if value is not None)
    return f"{name} ({given})" if given else name
