"""TorchRL's folders: components in their place, tensors as large as their files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from lrpdyn.checkpoints.formats.torchrl import MANIFEST, header_of, recognises, weights_of
from lrpdyn.checkpoints.model import Choice
from lrpdyn.errors import CheckpointError
from tests.checkpoints.layouts import LAYOUTS
from tests.checkpoints.networks import states


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    LAYOUTS["torchrl"].write(tmp_path, states((5,)))
    return next(tmp_path.iterdir())


def test_weights_are_those_that_were_saved(folder: Path) -> None:
    assert recognises(folder)
    weights = weights_of(folder, Choice())
    assert header_of(folder, Choice()).shapes.keys() == weights.keys()
    assert all(torch.equal(weights[key], value) for key, value in states((5,))[5].items())


@pytest.mark.parametrize("place", ["../outside", "components/..", "components/a/b", "/tmp/a", None])
def test_components_elsewhere_are_refused(folder: Path, place: str | None) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["components"]["policy"]["path"] = place
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="refused: component policy"):
        header_of(folder, Choice())


def test_a_tensor_that_is_cut_short_is_refused(folder: Path) -> None:
    first = min(folder.rglob("*.memmap"))
    first.write_bytes(first.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="missing or cut short; copy it again"):
        header_of(folder, Choice())


def test_a_manifest_that_is_no_json_is_named(folder: Path) -> None:
    (folder / MANIFEST).write_text('{"format": "torchrl.checkpoint"')
    with pytest.raises(CheckpointError, match="is no JSON, cut short or damaged"):
        header_of(folder, Choice())
