"""What lrpdyn is timed beside, each a process of its own: see `tests.benchmarks.speed`."""

from __future__ import annotations

import csv
import io
import sys
import zipfile
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tests.benchmarks.speed_data import ACTIONS, scaled

BATCH = 64
Maps = NDArray[np.float32]


def step_of(path: Path) -> int:
    """Return the step that a file's name holds."""
    return int(path.stem.split("_")[1])


def network() -> nn.Sequential:
    """Return Stable-Baselines3's NatureCNN with its policy head."""
    return nn.Sequential(
        nn.Conv2d(4, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(),
        nn.Conv2d(64, 64, 3, 1), nn.ReLU(), nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(),
        nn.Linear(512, ACTIONS),
    )  # fmt: skip


def load(model: nn.Sequential, path: Path) -> None:
    """Load the weights of the policy alone."""
    with zipfile.ZipFile(path) as archive:
        state = torch.load(io.BytesIO(archive.read("policy.pth")), weights_only=True)
    places = {0: "features_extractor.cnn.0", 2: "features_extractor.cnn.2",
              4: "features_extractor.cnn.4", 7: "features_extractor.linear.0", 9: "action_net"}  # fmt: skip
    model.load_state_dict(
        {f"{n}.{kind}": state[f"{key}.{kind}"] for n, key in places.items() for kind in
         ("weight", "bias")}
    )  # fmt: skip


def naive(checkpoints: list[Path], frames: Any, out: Path, workers: int) -> None:
    """Do what a first script does: load the agent, Captum's own rule, one checkpoint at a time."""
    import copy

    from captum.attr import LRP
    from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule
    from stable_baselines3 import PPO

    x = scaled(frames)
    before, total = None, np.zeros(x.shape)
    for path in checkpoints:
        policy = PPO.load(path, device="cpu").policy
        model = copy.deepcopy(
            nn.Sequential(*policy.features_extractor.cnn, *policy.features_extractor.linear,
                          policy.action_net)
        ).eval()  # fmt: skip
        for layer in model:
            if isinstance(layer, nn.Linear | nn.Conv2d):
                layer.rule = Alpha1_Beta0_Rule()
            elif isinstance(layer, nn.Flatten):
                layer.rule = EpsilonRule()
        with torch.no_grad():
            action = model(x).argmax(dim=1)
        maps = LRP(model).attribute(x.clone().requires_grad_(), target=action).detach().numpy()
        np.save(out / f"step_{step_of(path)}.npy", maps)
        if before is not None:
            total += np.abs(maps - before)
        before = maps
    np.save(out / "dynamics.npy", total)


def floor(checkpoints: list[Path], frames: Any, out: Path, workers: int) -> None:
    """Read the weights; forward, forward and backward: the least that an explanation takes."""
    _shared(partial(_floor_of, scaled(frames)), checkpoints, workers)


def _floor_of(x: torch.Tensor, paths: list[Path]) -> None:
    model = network().eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for path in paths:
        load(model, path)
        for part in x.split(BATCH):
            leaf = part.clone().requires_grad_()
            with torch.no_grad():
                model(part)
            torch.autograd.grad(model(leaf).amax(dim=1).sum(), leaf)


def with_zennit(checkpoints: list[Path], frames: Any, out: Path, workers: int) -> None:
    """Explain with Zennit, and write what lrpdyn writes of steps and transitions."""
    (out / "relevance").mkdir()
    found = _shared(partial(_zennit_of, scaled(frames), out), checkpoints, workers)
    scores = {step: score for part in found for step, score in part.items()}
    _accumulate(sorted(scores), scores, out)


def _zennit_of(x: torch.Tensor, out: Path, paths: list[Path]) -> dict[int, Any]:
    from zennit.composites import LayerMapComposite
    from zennit.rules import Pass, ZPlus
    from zennit.types import Activation, Convolution, Linear

    composite = LayerMapComposite([(Activation, Pass()), (Convolution, ZPlus()), (Linear, ZPlus())])
    model, scores = network().eval(), {}
    for path in paths:
        load(model, path)
        # Minus the mean of the outputs, as lrpdyn asks by default: one change of the last layer.
        head = model[-1]
        with torch.no_grad():
            head.weight -= head.weight.mean(dim=0)
            head.bias -= head.bias.mean()
        maps, best = [], []
        with composite.context(model) as explained:
            for part in x.split(BATCH):
                leaf = part.clone().requires_grad_()
                output = explained(leaf)
                chosen = output.argmax(dim=1)
                start = torch.zeros_like(output)
                rows = torch.arange(len(part))
                start[rows, chosen] = output.detach()[rows, chosen]
                (relevance,) = torch.autograd.grad(output, leaf, start)
                maps.append(relevance.numpy())
                best.append(output.detach()[rows, chosen].numpy())
        np.save(out / "relevance" / f"step_{step_of(path):012d}.npy", np.concatenate(maps))
        scores[step_of(path)] = np.concatenate(best)
    return scores


def _accumulate(steps: list[int], scores: dict[int, Any], out: Path) -> None:
    """Write sums and tables, with NumPy and SciPy as one would."""
    from scipy.stats import rankdata

    total = magnitude = first = before = None
    metrics, transitions = [], []
    for step in steps:
        raw = np.load(out / "relevance" / f"step_{step:012d}.npy").astype(np.float64)
        flat, size = raw.reshape(len(raw), -1), np.abs(raw)
        q = size.sum(axis=1).reshape(len(raw), -1)
        q = q / q.sum(axis=1, keepdims=True)
        entropy = -(q * np.log(np.where(q > 0, q, 1.0))).sum(axis=1)
        ranks = rankdata(raw.sum(axis=1).reshape(len(raw), -1), axis=1)
        if first is None:
            first, total, magnitude = raw, np.zeros(raw.shape), np.zeros(raw.shape)
        magnitude += size
        distance = np.abs(raw - first).reshape(len(raw), -1).sum(axis=1)
        metrics += zip(scores[step], flat.sum(axis=1), np.abs(flat).sum(axis=1), entropy, distance,
                       strict=True)  # fmt: skip
        if before is not None:
            old, old_ranks = before
            difference = np.abs(raw - old)
            total += difference
            one, two = old.reshape(len(raw), -1), flat
            share = _scale_share(one, two)
            pixels = [m.sum(axis=1).reshape(len(raw), -1) for m in (old, raw)]
            transitions += zip(difference.reshape(len(raw), -1).sum(axis=1), share,
                               _cosine(*pixels), _cosine(old_ranks - old_ranks.mean(),
                               ranks - ranks.mean()), strict=True)  # fmt: skip
        before = raw, ranks
    np.save(out / "dynamics.npy", total.astype(np.float32))
    np.save(out / "net_change.npy", np.abs(before[0] - first).astype(np.float32))
    np.save(out / "mean_relevance.npy", (magnitude / len(steps)).astype(np.float32))
    for name, rows in (("metrics", metrics), ("transitions", transitions)):
        with (out / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)


def _scale_share(one: Any, two: Any) -> list[float]:
    found = []
    for a, b in zip(one, two, strict=True):
        pair, change = np.stack([a, b], axis=1), b - a
        values, vectors = np.linalg.eigh(pair.T @ pair)
        direction = pair @ vectors[:, 1] / np.sqrt(values[1])
        found.append(float((direction @ change) ** 2 / (change @ change)))
    return found


def _cosine(one: Any, two: Any) -> Any:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    return (one * two).sum(axis=1) / lengths


def _shared(work: Callable[[list[Path]], Any], paths: list[Path], workers: int) -> list[Any]:
    torch.set_num_threads(1)
    parts: Iterable[list[Path]] = (paths[n::workers] for n in range(workers))
    if workers == 1:
        return [work(part) for part in parts]
    with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
        return list(pool.map(work, parts))


def main() -> None:
    """Run one way."""
    way, folder, observations, out, workers = sys.argv[1:]
    checkpoints = sorted(Path(folder).glob("*.zip"), key=step_of)
    Path(out).mkdir(parents=True)
    ways = {"naive": naive, "floor": floor, "zennit": with_zennit}
    ways[way](checkpoints, np.load(observations), Path(out), int(workers))


if __name__ == "__main__":
    main()
