"""Policies that the real Stable-Baselines3 saves: recognised, and the same outputs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lrpdyn.architectures.registry import load_weights, path_of, resolve
from lrpdyn.checkpoints.readers import read_header, read_weights


def image_env() -> Any:
    from stable_baselines3.common.envs import FakeImageEnv

    return FakeImageEnv(screen_height=84, screen_width=84, n_channels=4, channel_first=True)


def ours(path: Path, head: str, x: Tensor) -> tuple[str, Tensor]:
    header = read_header(path, "sb3-zip")
    resolved = resolve(None, {}, header, str(path))
    network = resolved.build()
    load_weights(network, read_weights(path, "sb3-zip")[0], resolved, str(path))
    return resolved.architecture.name, path_of(network, head)[1](x).detach()


CASES: list[tuple[str, str, Callable[[], Any], dict[str, Any], str]] = [
    ("PPO", "CnnPolicy", image_env, {}, "sb3-cnn"),
    ("PPO", "CnnPolicy", image_env, {"net_arch": [32, 16]}, "sb3-cnn"),
    ("A2C", "CnnPolicy", image_env, {"share_features_extractor": False}, "sb3-cnn"),
    ("PPO", "MlpPolicy", lambda: gymnasium.make("CartPole-v1"), {}, "sb3-mlp"),
    (
        "A2C",
        "MlpPolicy",
        lambda: gymnasium.make("CartPole-v1"),
        {"activation_fn": nn.ReLU},
        "sb3-mlp",
    ),
    ("PPO", "MlpPolicy", lambda: gymnasium.make("Pendulum-v1"), {}, "sb3-mlp"),
    ("DQN", "CnnPolicy", image_env, {}, "sb3-dqn-cnn"),
    ("DQN", "MlpPolicy", lambda: gymnasium.make("CartPole-v1"), {}, "sb3-dqn-mlp"),
]


@pytest.mark.parametrize(("algorithm", "policy", "env", "options", "name"), CASES)
def test_outputs_are_those_of_stable_baselines3(
    tmp_path: Path,
    algorithm: str,
    policy: str,
    env: Callable[[], Any],
    options: dict[str, Any],
    name: str,
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import stable_baselines3

        extra = {"buffer_size": 10} if algorithm == "DQN" else {}
        model = getattr(stable_baselines3, algorithm)(
            policy, env(), policy_kwargs=options, seed=1, device="cpu", **extra
        )
        path = tmp_path / "model_5_steps.zip"
        model.save(path)
    observations = torch.as_tensor(np.stack([model.observation_space.sample() for _ in range(3)]))
    network = model.policy
    image = observations.ndim == 4
    x = observations.float() / 255 if image else observations.float()
    with torch.no_grad():
        if algorithm == "DQN":
            expected = {"q": network.q_net(observations)}
        else:
            distribution = network.get_distribution(observations).distribution
            continuous = isinstance(model.action_space, gymnasium.spaces.Box)
            logits = distribution.mean if continuous else distribution.logits
            expected = {"policy": logits, "value": network.predict_values(observations)}
    for head, wanted in expected.items():
        found_name, found = ours(path, head, x)
        assert found_name == name
        if head == "policy" and not continuous:
            # Torch's Categorical keeps logits less their logsumexp: a shared constant.
            found, wanted = (v - v.mean(1, keepdim=True) for v in (found, wanted))
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
