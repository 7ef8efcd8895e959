"""QR-DQN, saved by the real sb3-contrib."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch import nn

from lrpdyn.architectures.registry import load_weights, resolve
from lrpdyn.checkpoints.model import Header
from lrpdyn.checkpoints.readers import read_header, read_weights
from lrpdyn.errors import ArchitectureError


def image_env() -> Any:
    from stable_baselines3.common.envs import FakeImageEnv

    return FakeImageEnv(screen_height=84, screen_width=84, n_channels=4, channel_first=True)


def cart_pole() -> Any:
    return gymnasium.make("CartPole-v1")


@pytest.mark.parametrize(
    ("policy", "env", "options", "name", "quantiles"),
    [
        ("CnnPolicy", image_env, {}, "sb3-qrdqn-cnn", 200),
        ("CnnPolicy", image_env, {"n_quantiles": 25, "net_arch": [32]}, "sb3-qrdqn-cnn", 25),
        ("MlpPolicy", cart_pole, {}, "sb3-qrdqn-mlp", 200),
        (
            "MlpPolicy",
            cart_pole,
            {"n_quantiles": 10, "activation_fn": nn.Tanh},
            "sb3-qrdqn-mlp",
            10,
        ),
    ],
)
def test_outputs_are_those_of_sb3_contrib(
    tmp_path: Path,
    compare: Callable[..., None],
    policy: str,
    env: Callable[[], Any],
    options: dict[str, Any],
    name: str,
    quantiles: int,
) -> None:
    path = tmp_path / "model_5_steps.zip"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sb3_contrib import QRDQN

        model = QRDQN(
            policy, env(), policy_kwargs=options, buffer_size=10, seed=1, device="cpu"
        )  # fmt: skip
        model.save(path)
    observations = torch.as_tensor(np.stack([model.observation_space.sample() for _ in range(3)]))
    x = observations.float() / 255 if observations.ndim == 4 else observations.float()
    resolved = resolve(None, {}, read_header(path, "sb3-zip"), str(path))
    assert (resolved.architecture.name, resolved.arguments["n_quantiles"]) == (name, quantiles)
    network = resolved.build()
    load_weights(network, read_weights(path, "sb3-zip")[0], resolved, str(path))
    with torch.no_grad():
        compare(network, x, model.policy.quantile_net(observations).mean(dim=1))


def shapes(outputs: int) -> dict[str, tuple[int, ...]]:
    return {
        f"{network}.quantile_net.0.{part}": shape
        for network in ("quantile_net", "quantile_net_target")
        for part, shape in (("weight", (outputs, 4)), ("bias", (outputs,)))
    }


def test_the_number_of_quantiles_without_the_file_s_word() -> None:
    network: Any = resolve(None, {}, Header(shapes(600)), "here").build()
    assert network.path("q")(torch.zeros(2, 4)).shape == (2, 3)
    for outputs in (75, 200):
        with pytest.raises(ArchitectureError, match="--arch-arg n_quantiles=N"):
            resolve(None, {}, Header(shapes(outputs)), "here")
    network = resolve(None, {"n_quantiles": 25}, Header(shapes(75)), "here").build()
    assert network.path("q")(torch.zeros(2, 4)).shape == (2, 3)
    known = Header(shapes(75), hints={"n_actions": 5})
    assert resolve(None, {}, known, "here").arguments["n_quantiles"] == 15
