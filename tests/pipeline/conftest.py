"""A series that is cut into shards."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """Sixteen state dicts of a small MLP that drifts."""
    folder = tmp_path / "series"
    folder.mkdir()
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    for step in range(0, 160, 10):
        torch.save(network.state_dict(), folder / f"net_{step}.pt")
        with torch.no_grad():
            for weight in network.parameters():
                weight += 0.3 * torch.randn_like(weight)
    return folder
