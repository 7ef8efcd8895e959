"""safetensors: only the header is read for a listing, and it is not believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from lrpdyn.checkpoints.formats.safetensors import header_of, recognises, weights_of
from lrpdyn.checkpoints.model import Choice
from lrpdyn.errors import CheckpointError
from tests.checkpoints.layouts import safetensors
from tests.checkpoints.networks import states


def written(folder: Path, header: Any, data: bytes = bytes(16)) -> Path:
    path, text = folder / "model.safetensors", json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def entry(**changed: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16], **changed}


def test_numbers_in_the_metadata_may_be_the_step(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    safetensors(path, states((1,))[1], {"step": "70", "epoch": "x"})
    header = header_of(path, Choice())
    assert header.step is not None
    assert (header.step.value, header.epoch) == (70, None)
    weights = weights_of(path, Choice())
    assert all(torch.equal(weights[key], value) for key, value in states((1,))[1].items())
    assert recognises(path.read_bytes()[:512])


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ({"w": entry(shape=[2, 3])}, "header is damaged"),
        ({"w": entry(dtype="F99")}, "header is damaged"),
        ({"w": entry(shape=[-2, -2])}, "header is damaged"),
        ({"w": entry(shape=[8], data_offsets=[0, 32])}, "cut short: .* bytes of"),
        ({"w": entry(data_offsets=[8, 24])}, "leave gaps"),
        ({"w": 3}, "header is damaged"),
        ([], "header is damaged"),
        ({}, "names no tensor"),
    ],
)
def test_headers_that_lie_are_refused(tmp_path: Path, header: Any, says: str) -> None:
    with pytest.raises(CheckpointError, match=says):
        header_of(written(tmp_path, header), Choice())


def test_there_is_one_set_of_weights(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="none called ema; leave --weights out"):
        header_of(written(tmp_path, {"w": entry()}), Choice("ema"))


def test_a_length_beyond_the_file_is_a_cut(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes((1 << 20).to_bytes(8, "little") + b"{}")
    with pytest.raises(CheckpointError, match=r"its header has 1,048,576 bytes, the file 10"):
        header_of(path, Choice())
