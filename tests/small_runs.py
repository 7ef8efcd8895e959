"""What small runs are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

import lrpdyn

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


def seeds_of_two_kinds(folder: Path) -> list[Path]:
    """Explain eight networks that look at the lower or the upper end of a picture from step 1 on, in turn.

    Channels summed is what is kept of half of the runs.
    """
    from lrpdyn.architectures.frameworks.catch import CatchNetwork

    pictures = np.random.default_rng(0).random((4, 2, 24, 24), dtype=np.float32)
    for seed in range(8):
        torch.manual_seed(seed)
        state = CatchNetwork().state_dict()
        (checkpoints := folder / f"seed_{seed}").mkdir()
        for step in range(4):
            state = {name: w + 1e-3 * torch.randn_like(w) for name, w in state.items()}
            if step == 1:
                rows = state["features.5.weight"].view(64, 32, 5, 5)
                rows[:, :, 2:] *= seed % 2 == 0
                rows[:, :, :3] *= seed % 2 == 1
            torch.save(state, checkpoints / f"net_{step}.pt")
        lrpdyn.compute(checkpoints, pictures, out=folder / "runs" / f"seed_{seed}", workers=1,
                       keep=("relevance", "pixels")[seed // 4], **UNCHECKED)  # fmt: skip
    return [folder / "runs" / f"seed_{seed}" for seed in range(8)]
