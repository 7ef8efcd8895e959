"""A linear network, for which the right order of the features is known, over a background."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

SAMPLES, FEATURES, STEPS = 12, 10, (10, 20, 30)


def linear_folder(folder: Path, background: float) -> Path:
    """Return a folder with ckpts/, obs.npy and nets.py: features are the background but for four of ten."""
    (folder / "ckpts").mkdir()
    (folder / "nets.py").write_text(
        "from torch import nn\n\ndef linear():\n    return nn.Sequential(nn.Linear(10, 3))\n"
    )
    generator = np.random.default_rng(0)
    x = np.full((SAMPLES, FEATURES), background)
    for one in x:
        one[generator.permutation(FEATURES)[:4]] += generator.normal(size=4)
    np.save(folder / "obs.npy", x.astype(np.float32))
    for step in STEPS:
        torch.manual_seed(step)
        network = nn.Sequential(nn.Linear(FEATURES, 3))
        network[0].weight.data *= 10
        torch.save(network.state_dict(), folder / "ckpts" / f"net_{step}.pt")
    return folder


def faithfulness(
    folder: Path, step: int, samples: list[int], *, fill: str, reference: bool
) -> float:
    """Return the median area between the curves, in shares of the median range, of lrp0's maps."""
    weights = torch.load(folder / "ckpts" / f"net_{step}.pt")["0.weight"].numpy().astype(float)
    x = np.load(folder / "obs.npy").astype(float)
    outputs = x @ weights.T + torch.load(folder / "ckpts" / f"net_{step}.pt")["0.bias"].numpy()
    slopes = (weights - weights.mean(axis=0))[outputs.argmax(axis=1)]
    values, counts = np.unique(x, return_counts=True)
    others = (x.sum(axis=0) - x) / (len(x) - 1)
    filled = np.full_like(x, values[counts.argmax()]) if fill == "modal" else others
    effects = slopes * (x - filled)
    relevance = slopes * (x - x.mean(axis=0) * reference)
    areas = [_between(relevance[n], effects[n]) for n in samples]
    return float(np.median(areas) / np.median(np.abs(effects.sum(axis=1)[samples])))


def _between(relevance: NDArray[np.float64], effects: NDArray[np.float64]) -> float:
    """Return the area between the curves of one sample: the score loses the effects, one by one."""
    lost = [
        np.concatenate([[0.0], effects[np.argsort(sign * relevance, kind="stable")].cumsum()])
        for sign in (-1, 1)
    ]
    return float(np.trapezoid(lost[0] - lost[1]) / FEATURES)
