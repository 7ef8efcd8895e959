"""The whole job on checkpoints of the real Stable-Baselines3, step by step against Zennit 0.5.1."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from zennit.composites import LayerMapComposite
from zennit.rules import Epsilon, Gamma, Pass, ZPlus
from zennit.types import Activation, Convolution, Linear

import lrpdyn
from lrpdyn.architectures.registry import load_weights, resolve
from lrpdyn.checkpoints.discovery import discover
from lrpdyn.checkpoints.readers import read_weights
from lrpdyn.lrp import rules
from lrpdyn.lrp.attribution import contrast_rows, relevance
from lrpdyn.lrp.canonical.canonise import canonise
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.lrp.plan import make_plan
from tests.lrp.zennit_reference import NOTHING
from tests.small_runs import UNCHECKED

RULES = {
    "zplus": lambda: ZPlus(stabilizer=NOTHING),
    "epsilon": lambda: Epsilon(1e-6),
    "gamma": lambda: Gamma(0.25, stabilizer=NOTHING),
}


def reference_network(path: Path, dtype: torch.dtype, contrast: str) -> nn.Sequential:
    """NatureCNN built here, from the file as it is, with the contrast folded into the last layer."""
    weights, _ = read_weights(path, "sb3-zip")
    network = nn.Sequential(
        nn.Conv2d(4, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(),
        nn.Conv2d(64, 64, 3, 1), nn.ReLU(), nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(),
        nn.Linear(512, len(weights["action_net.bias"])),
    )  # fmt: skip
    names = ["cnn.0", "cnn.2", "cnn.4", "linear.0"]
    keys = {0: 0, 2: 1, 4: 2, 7: 3}
    state = {
        f"{index}.{kind}": weights[f"features_extractor.{names[place]}.{kind}"]
        for index, place in keys.items()
        for kind in ("weight", "bias")
    }
    state |= {f"9.{kind}": weights[f"action_net.{kind}"] for kind in ("weight", "bias")}
    network.load_state_dict(state)
    network.to(dtype)
    if contrast == "mean":
        last = network[9]
        last.weight.data -= last.weight.data.mean(0, keepdim=True)
        last.bias.data -= last.bias.data.mean()
    return network


def by_zennit(network: nn.Module, rule: str, x: Tensor, target: Tensor) -> Tensor:
    composite = LayerMapComposite([(Activation, Pass()), ((Convolution, Linear), RULES[rule]())])
    x = x.clone().requires_grad_()
    with composite.context(network) as explained:
        output = explained(x)
        seed = torch.zeros_like(output)
        index = torch.arange(len(x))
        seed[index, target] = output[index, target].detach()
        (found,) = torch.autograd.grad(output, x, seed)
    return found


def error(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("policy", "contrast"),
    [("argmax", "mean"), pytest.param("final", "none", marks=pytest.mark.slow)],
)
def test_every_step_equals_zennit(
    ppo_folder: Path,
    images: NDArray[np.uint8],
    tmp_path: Path,
    rule: str,
    policy: str,
    contrast: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rules, "STABILISER", NOTHING)
    run = lrpdyn.compute(
        ppo_folder,
        images,
        out=tmp_path / "run",
        rule=rule,
        target=policy,
        contrast=contrast,
        **UNCHECKED,
    )
    listing = discover(ppo_folder)
    assert run.steps == (0, 16, 32, 48)
    x64 = torch.from_numpy(images).double() / 255
    x32 = torch.from_numpy(images).float() / 255
    last = reference_network(listing.checkpoints[-1].path, torch.float64, contrast)
    for checkpoint in listing.checkpoints:
        path = checkpoint.path
        exact_network = reference_network(path, torch.float64, contrast)
        chooser = exact_network if policy == "argmax" else last
        target = chooser(x64).argmax(1)
        exact = by_zennit(exact_network, rule, x64, target)
        single = by_zennit(reference_network(path, torch.float32, contrast), rule, x32, target)
        found = torch.from_numpy(np.array(run.relevance[checkpoint.step]))
        limit = 1e-5 if rule == "zplus" else 2 * error(single, exact)
        assert error(found, exact) <= limit
        weights, _ = read_weights(path, checkpoint.format)
        resolved = resolve(None, {}, checkpoint.header, str(path))
        network = resolved.build().double()
        load_weights(network, weights, resolved, str(path))
        canonised = canonise(network.path("policy"))
        plan = make_plan(canonised, parse_composite(rule))
        rows = contrast_rows(canonised(x64).detach(), target, contrast)
        assert error(relevance(canonised, plan, x64, rows), exact) <= 1e-10


def test_dynamics_equal_numpy_over_the_stored_maps(
    ppo_folder: Path, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    run = lrpdyn.compute(ppo_folder, images, out=tmp_path / "run", **UNCHECKED)
    maps = np.stack([run.relevance[step] for step in run.steps]).astype(np.float64)
    differences = np.abs(np.diff(maps, axis=0))
    for found, expected in (
        (run.dynamics, differences.sum(0)),
        (run.net_change, np.abs(maps[-1] - maps[0])),
        (run.mean_relevance, np.abs(maps).mean(0)),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9 * np.abs(maps).max())
    change = run.transitions["change"].reshape(len(differences), -1)
    np.testing.assert_allclose(change, differences.sum(axis=(2, 3, 4)), rtol=1e-12)
    np.testing.assert_allclose(
        run.metrics["relevance_sum"].reshape(len(maps), -1), maps.sum(axis=(2, 3, 4)), rtol=1e-9
    )
