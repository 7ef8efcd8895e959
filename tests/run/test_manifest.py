"""The manifest: sealed by what it says, and refused where it was edited or contradicts itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lrpdyn.errors import RunError
from lrpdyn.run.manifest import is_sealed, load_manifest, read_manifest, save_manifest, seal


@pytest.fixture
def run(mlp_copy: Path) -> Path:
    return mlp_copy


def test_the_seal_is_the_hash_of_what_is_said_whatever_its_layout(run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    said = {key: value for key, value in manifest.items() if key != "sha256"}
    expected = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    assert manifest["sha256"] == seal(manifest) == expected
    turned = dict(reversed(manifest.items()))
    (run / "manifest.json").write_text(json.dumps(turned, indent=7))
    assert read_manifest(run) == manifest
    assert seal({"b": [], "a": {2: "é", 10: None}}) == (
        hashlib.sha256(rb'{"a": {"10": null, "2": "\u00e9"}, "b": []}').hexdigest()
    )
    with pytest.raises(ValueError, match="not JSON compliant"):
        seal({"a": float("nan")})


def test_one_that_was_edited_can_be_loaded_but_is_not_read(run: Path) -> None:
    manifest = load_manifest(run)
    assert is_sealed(manifest)
    edited = {**manifest, "head": "another"}
    assert not is_sealed(edited)
    (run / "manifest.json").write_text(json.dumps(edited))
    assert load_manifest(run)["head"] == "another"
    with pytest.raises(RunError, match=r"manifest\.json: was changed after it was written"):
        read_manifest(run)
    del edited["sha256"]
    (run / "manifest.json").write_text(json.dumps(edited))
    assert read_manifest(run) == edited
    save_manifest(run, edited)
    assert read_manifest(run) == {**edited, "sha256": seal(edited)}


def test_what_is_no_manifest_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        RunError, match="holds no run of lrpdyn; lrpdyn compute CHECKPOINTS OBSERVATIONS"
    ):
        load_manifest(tmp_path)
    path = tmp_path / "manifest.json"
    for text, says in (("{", "is damaged .it is no JSON"), ("[]", "manifest is a list, expected"),
                       ('{"schema": 2}', "schema 2, this version reads 1"),
                       ('{"schema": true}', "manifest.schema is true"),
                       ('{"schema": 1}', "manifest has no ")):  # fmt: skip
        path.write_text(text)
        with pytest.raises(RunError, match=rf"manifest\.json: .*{says}"):
            load_manifest(tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(
        RunError, match=r"manifest\.json: cannot be read: is a folder, expected a file"
    ):
        load_manifest(tmp_path)


def first_step(manifest: dict[str, Any], step: int) -> None:
    manifest["checkpoints"][0]["step"] = step


def shape(manifest: dict[str, Any], *sizes: int) -> None:
    manifest["observations"]["shape"] = list(sizes)


def test_parts_that_contradict_each_other_are_told(run: Path) -> None:
    whole = (run / "manifest.json").read_text()
    changes: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
        (lambda m: first_step(m, 10**18), "a step that is too large"),
        (lambda m: first_step(m, 4), "not in the order of their steps"),
        (lambda m: shape(m, 5, 0), r"shape is \[5, 0\], expected"),
        (lambda m: shape(m, 5, 6, 7, 8, 9, 10), r"shape is \[5, 6, 7, 8, 9, 10\], expected"),
        (lambda m: m["checks"].pop("vanished"), "manifest.checks has no vanished"),
        (lambda m: m["environments"][0].update(torch=[]), r"environments\[0\]\.torch is a list"),
    ]
    for change, says in changes:
        manifest = json.loads(whole)
        change(manifest)
        save_manifest(run, manifest)
        with pytest.raises(RunError, match=says):
            load_manifest(run)


def test_checks_may_be_missing_until_the_run_is_finished(run: Path) -> None:
    manifest = load_manifest(run)
    manifest["checks"] = {}
    manifest["checkpoints"][-1]["status"] = "pending"
    save_manifest(run, manifest)
    assert load_manifest(run)["checks"] == {}


def test_numbers_that_json_does_not_have_are_one_line(run: Path) -> None:
    manifest = load_manifest(run)
    before = (run / "manifest.json").read_bytes()
    with pytest.raises(RunError, match="hold numbers that are not finite"):
        save_manifest(run, {**manifest, "more": float("inf")})
    assert (run / "manifest.json").read_bytes() == before
