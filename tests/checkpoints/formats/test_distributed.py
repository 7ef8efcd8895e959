"""torch.distributed.checkpoint: chunks put together, and a ``.metadata`` that is not run."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed import checkpoint

from lrpdyn.checkpoints.formats.distributed import METADATA, header_of, weights_of
from lrpdyn.checkpoints.model import Choice
from lrpdyn.errors import CheckpointError
from tests.checkpoints.networks import states


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint as torch writes it in one process."""
    saved: dict[str, Any] = {"model": states((1,))[1], "step": 30}
    with pytest.warns(UserWarning, match="single process"):
        checkpoint.save(saved, checkpoint_id=str(tmp_path / "ckpt"))
    return tmp_path / "ckpt"


def test_weights_and_step_are_those_that_were_saved(folder: Path) -> None:
    header = header_of(folder, Choice())
    assert header.step is not None
    assert (header.step.value, header.weights) == (30, "model")
    weights = weights_of(folder, Choice())
    assert dict(header.shapes) == {key: tuple(value.shape) for key, value in weights.items()}
    assert all(torch.equal(weights[key], value) for key, value in states((1,))[1].items())


def test_a_file_that_is_cut_short_is_refused(folder: Path) -> None:
    (file,) = folder.glob("*.distcp")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"missing or cut short; copy it again"):
        header_of(folder, Choice())


class Canary:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


def test_metadata_that_names_other_things_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (folder / METADATA).write_bytes(pickle.dumps(Canary()))
    with pytest.raises(CheckpointError, match=r"refused: .*mkdir"):
        header_of(folder, Choice())
    assert not (tmp_path / "executed").exists()
