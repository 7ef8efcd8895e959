"""The manifest of a run: sealed, and read only as lrpdyn wrote it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import lrpdyn
from lrpdyn.errors import RunError
from lrpdyn.run.manifest import is_sealed, load_manifest, read_manifest, save_manifest, seal


@pytest.fixture(scope="module")
def manifest(
    tmp_path_factory: pytest.TempPathFactory, ppo_folder: Path, images: NDArray[np.uint8]
) -> dict[str, Any]:
    run = lrpdyn.compute(ppo_folder, images[:1], out=tmp_path_factory.mktemp("m") / "run", quiet=True,
                         baseline="none", workers=1, limit=2)  # fmt: skip
    return run.manifest


def test_the_seal_is_of_what_is_said_not_of_how(manifest: dict[str, Any]) -> None:
    turned = dict(reversed(manifest.items()))
    assert seal(turned) == seal(manifest) == manifest["sha256"]
    assert is_sealed(json.loads(json.dumps(turned, indent=3)))
    assert not is_sealed({**manifest, "head": "value"})
    assert not is_sealed({**manifest, "batch_size": float("inf")})
    assert is_sealed({name: value for name, value in manifest.items() if name != "sha256"})


def test_what_is_saved_is_read_and_what_is_edited_is_refused(
    manifest: dict[str, Any], tmp_path: Path
) -> None:
    save_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest
    text = (tmp_path / "manifest.json").read_text()
    (tmp_path / "manifest.json").write_text(text.replace('"zplus"', '"gamma"'))
    with pytest.raises(RunError, match="was changed after it was written"):
        read_manifest(tmp_path)
    assert load_manifest(tmp_path)["rule"]["name"] == "gamma"
    shutil.rmtree(tmp_path)
    with pytest.raises(RunError, match="holds no run of lrpdyn"):
        load_manifest(tmp_path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schema": 2}, "schema 2, this version reads 1; install a newer lrpdyn"),
        ({"schema": 0}, "schema 0, expected 1"),
        ({"contrast": "median"}, "manifest.contrast"),
        ({"observations": {"files": [], "sha256": "", "shape": [3]}}, r"shape is \[3\]"),
        ({"observations": {"files": [], "sha256": "", "shape": [0, 3]}}, r"shape is \[0, 3\]"),
        ({"checks": {}}, "manifest.checks"),
    ],
)
def test_what_cannot_be_used_is_damaged(
    manifest: dict[str, Any], tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    save_manifest(tmp_path, {**manifest, **changes})
    with pytest.raises(RunError, match=says):
        load_manifest(tmp_path)


@pytest.mark.parametrize(
    ("steps", "says"),
    [((16, 16), "order of their steps"), ((16, 0), "order of their steps"), ((-1, 0), "below 0"),
     ((0, 10**18), "too large")],
)  # fmt: skip
def test_steps_rise(
    manifest: dict[str, Any], tmp_path: Path, steps: tuple[int, int], says: str
) -> None:
    entries = [
        {**entry, "step": step} for entry, step in zip(manifest["checkpoints"], steps, strict=True)
    ]
    save_manifest(tmp_path, {**manifest, "checkpoints": entries})
    with pytest.raises(RunError, match=says):
        load_manifest(tmp_path)
