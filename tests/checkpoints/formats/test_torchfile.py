"""Files of torch.save: their headers, their weights, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from lrpdyn.checkpoints.discovery import discover
from lrpdyn.checkpoints.model import StepCandidate
from lrpdyn.checkpoints.readers import read_header, read_weights
from lrpdyn.errors import CheckpointError
from tests.checkpoints.networks import Net, states

WEIGHTS = {"0.weight": torch.ones(2, 2), "0.bias": torch.zeros(2)}


class Canary:
    """A pickle that creates a file when it is executed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("key", [None, "state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("legacy", [True, False])
def test_state_dicts_bare_and_nested(tmp_path: Path, key: str | None, legacy: bool) -> None:
    content = WEIGHTS if key is None else {key: WEIGHTS, "global_step": 7, "epoch": 1}
    path = tmp_path / "a.cleanrl_model"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    assert dict(read_header(path, "torch").shapes) == {"0.weight": (2, 2), "0.bias": (2,)}
    weights, _ = read_weights(path, "torch")
    assert torch.equal(weights["0.weight"], WEIGHTS["0.weight"])
    if key:
        header = read_header(path, "torch")
        assert header.step == StepCandidate(value=7, unit="steps", source="global_step")
        assert header.epoch == StepCandidate(value=1, unit="epochs", source="epoch")


def test_a_pickle_that_runs_code_is_refused_unless_trusted(tmp_path: Path) -> None:
    canary = tmp_path / "executed"
    folder = tmp_path / "ckpts"
    folder.mkdir()
    for step in (1, 2):
        torch.save({"state_dict": WEIGHTS, "extra": Canary(canary)}, folder / f"net_{step}.pt")
    (reason, _) = (entry.reason for entry in discover(folder).bad)
    assert ".mkdir" in reason
    assert "--trust" in reason
    assert not canary.exists()
    weights, _ = read_weights(folder / "net_1.pt", "torch", trust=True)
    assert canary.is_dir()
    assert set(weights) == set(WEIGHTS)


def test_a_trusted_module_is_read_and_told(tmp_path: Path) -> None:
    from lrpdyn.checkpoints.discovery import discover
    from lrpdyn.checkpoints.readers import read_header, read_weights

    for step in (1, 2):
        torch.manual_seed(step)
        torch.save({"net": Net(), "step": step}, tmp_path / f"net_{step}.pt")
    assert len(discover(tmp_path).bad) == 2
    listing = discover(tmp_path, trust=True)
    assert [checkpoint.step for checkpoint in listing.checkpoints] == [1, 2]
    (note,) = listing.notes
    assert note.startswith("trusted: reading these checkpoints runs")
    assert "Net" in note
    header = read_header(tmp_path / "net_2.pt", "torch", trust=True)
    weights, _ = read_weights(tmp_path / "net_2.pt", "torch", trust=True)
    assert {key: tuple(value.shape) for key, value in weights.items()} == dict(header.shapes)
    torch.manual_seed(2)
    assert torch.equal(weights["head.weight"], Net().head.weight)


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_other_pickle_protocols(tmp_path: Path, protocol: int) -> None:
    torch.save(states((1,))[1], tmp_path / "net_1.pt", pickle_protocol=protocol)
    assert read_header(tmp_path / "net_1.pt", "torch").shapes["head.bias"] == (3,)
    weights, _ = read_weights(tmp_path / "net_1.pt", "torch")
    assert torch.equal(weights["head.bias"], states((1,))[1]["head.bias"])


def test_another_pickle_protocol_than_torch_reads(tmp_path: Path) -> None:
    path = tmp_path / "net_1.pt"
    torch.save(states((1,))[1], path, pickle_protocol=4, _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match="pickle_protocol"):
        read_weights(path, "torch")


def test_a_file_that_was_swapped_after_the_listing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net_1.pt"
    torch.save(states((1,))[1], path)
    read_header(path, "torch")
    torch.save({"head.bias": Canary(tmp_path / "executed")}, path)
    with pytest.raises(CheckpointError, match=r"mkdir.*--trust"):
        read_weights(path, "torch")
    assert not (tmp_path / "executed").exists()
