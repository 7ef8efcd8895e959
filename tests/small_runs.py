"""What small runs are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

#: Options of a run whose maps are looked at, and not what is said about them: the checks take most of
#: its time.
UNCHECKED: dict[str, Any] = {"baseline": "none", "faithfulness": "none", "quiet": True}


def mlp_checkpoints(where: Path) -> Path:
    """Save five state dicts of a small MLP in a folder there, out of order, and return it."""
    folder = where / "mlp"
    folder.mkdir()
    torch.manual_seed(0)
    for step in (10, 2, 30, 4, 20):
        network = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
        torch.save(network.state_dict(), folder / f"net_{step}.pt")
    return folder
