"""Actors that the real Stable-Baselines3 and sb3-contrib save: recognised, and the same means."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from lrpdyn.architectures.registry import Resolved, load_weights, path_of, resolve
from lrpdyn.checkpoints.model import Header
from lrpdyn.checkpoints.readers import read_header, read_weights
from lrpdyn.errors import ArchitectureError
from lrpdyn.explain.units import Units, units_of


class Anything(gymnasium.Env[Any, Any]):
    """Observations and actions of given spaces; nothing happens."""

    def __init__(self, actions: spaces.Space[Any], *, images: bool = False) -> None:
        pixels = spaces.Box(0, 255, (4, 40, 40), np.uint8)
        self.observation_space = pixels if images else spaces.Box(-1, 1, (6,), np.float32)
        self.action_space = actions

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), 0.0, False, False, {}


BOX = spaces.Box(-2, 2, (3,), np.float32)


def saved(
    path: Path, algorithm: str, policy: str, actions: spaces.Space[Any], **options: Any
) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import sb3_contrib
        import stable_baselines3

        made = getattr(stable_baselines3, algorithm, None) or getattr(sb3_contrib, algorithm)
        if algorithm in ("SAC", "TD3", "DDPG", "TQC", "CrossQ"):
            options["buffer_size"] = 10
        env = Anything(actions, images=policy == "CnnPolicy")
        model = made(policy, env, seed=1, device="cpu", **options)
        with torch.no_grad():  # biases and statistics that count
            for tensor in model.policy.state_dict().values():
                if tensor.ndim == 1:
                    tensor.add_(torch.rand(tensor.shape) * 0.05)
        model.save(path)
    return model


def ours(path: Path) -> tuple[Resolved, nn.Module]:
    resolved = resolve(None, {}, read_header(path, "sb3-zip"), str(path))
    network = resolved.build()
    load_weights(network, read_weights(path, "sb3-zip")[0], resolved, str(path))
    return resolved, network


def observed(model: Any) -> tuple[Tensor, Tensor]:
    """Return observations, and what the network makes of them first."""
    model.observation_space.seed(0)
    found = torch.as_tensor(np.stack([model.observation_space.sample() for _ in range(4)]))
    return found, found.float() / 255 if found.ndim == 4 else found.float()


@pytest.mark.parametrize(
    ("algorithm", "policy", "options", "name"),
    [
        ("SAC", "MlpPolicy", {}, "sb3-sac-mlp"),
        ("SAC", "MlpPolicy", {"use_sde": True}, "sb3-sac-mlp"),
        ("SAC", "MlpPolicy", {"policy_kwargs": {"net_arch": []}}, "sb3-sac-mlp"),
        ("SAC", "CnnPolicy", {"policy_kwargs": {"net_arch": [8]}}, "sb3-sac-cnn"),
        ("TQC", "MlpPolicy", {"policy_kwargs": {"activation_fn": nn.Tanh}}, "sb3-sac-mlp"),
        ("TD3", "MlpPolicy", {}, "sb3-td3-mlp"),
        ("TD3", "MlpPolicy", {"policy_kwargs": {"net_arch": []}}, "sb3-td3-mlp"),
        ("TD3", "CnnPolicy", {"policy_kwargs": {"net_arch": [8]}}, "sb3-td3-cnn"),
        ("DDPG", "MlpPolicy", {"policy_kwargs": {"net_arch": [8, 9]}}, "sb3-td3-mlp"),
        ("CrossQ", "MlpPolicy", {}, "sb3-crossq-mlp"),
        ("CrossQ", "MlpPolicy", {"policy_kwargs": {"net_arch": [5]}}, "sb3-crossq-mlp"),
    ],
)
def test_means_are_those_of_the_actor(
    tmp_path: Path, algorithm: str, policy: str, options: dict[str, Any], name: str
) -> None:
    model = saved(tmp_path / "m.zip", algorithm, policy, BOX, **options)
    model.policy.set_training_mode(False)
    observations, x = observed(model)
    with torch.no_grad():
        if name.startswith("sb3-td3"):
            wanted = model.actor(observations)
        else:
            wanted = model.actor.get_action_dist_params(observations)[0]
    resolved, network = ours(tmp_path / "m.zip")
    assert resolved.architecture.name == name
    head, path = path_of(network, None)
    assert units_of(network, head, 3, resolved.hints, None) == Units(kind="gaussian")
    found = path(x).detach()
    found = found.tanh() if name.startswith("sb3-td3") else found
    assert float(found.abs().max()) < (0.99 if "td3" in name else 2), (
        "squashed or clipped to nothing"
    )
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_bare_weights_of_an_actor_ask_for_the_activation(tmp_path: Path) -> None:
    model = saved(tmp_path / "m.zip", "SAC", "MlpPolicy", BOX)
    shapes = {key: tuple(value.shape) for key, value in model.policy.state_dict().items()}
    with pytest.raises(ArchitectureError, match="--arch-arg activation=tanh"):
        resolve(None, {}, Header(shapes), "here")
    resolved = resolve(None, {"activation": "relu"}, Header(shapes), "here")
    network = resolved.build()
    load_weights(network, model.policy.state_dict(), resolved, "here")
    observations, x = observed(model)
    with torch.no_grad():
        wanted = model.actor.get_action_dist_params(observations)[0]
        torch.testing.assert_close(path_of(network, None)[1](x), wanted)


@pytest.mark.parametrize(
    ("algorithm", "actions", "options", "units"),
    [
        ("PPO", BOX, {"use_sde": True}, Units(kind="gaussian")),
        (
            "A2C",
            BOX,
            {"use_sde": True, "policy_kwargs": {"full_std": False}},
            Units(kind="gaussian"),
        ),
        ("TRPO", BOX, {}, Units(kind="gaussian")),
        ("PPO", spaces.MultiDiscrete([3, 2]), {}, Units(kind="groups", groups=(3, 2))),
        ("MaskablePPO", spaces.MultiDiscrete([2, 4]), {}, Units(kind="groups", groups=(2, 4))),
        ("A2C", spaces.MultiBinary(4), {}, Units(kind="bernoulli")),
        ("PPO", spaces.Discrete(4), {}, Units()),
    ],
)
def test_outputs_are_those_of_the_policy(
    tmp_path: Path, algorithm: str, actions: Any, options: dict[str, Any], units: Units
) -> None:
    model = saved(tmp_path / "m.zip", algorithm, "MlpPolicy", actions, **options)
    observations, x = observed(model)
    resolved, network = ours(tmp_path / "m.zip")
    outputs = path_of(network, "policy")[1](x).detach()
    assert units_of(network, "policy", outputs.shape[1], resolved.hints, None) == units
    with torch.no_grad():
        distribution = model.policy.get_distribution(observations)
        if units.kind == "gaussian":
            torch.testing.assert_close(outputs, distribution.distribution.mean)
            return
        if units.kind == "bernoulli":
            torch.testing.assert_close(outputs, distribution.distribution.logits)
        # The policy as probabilities, whatever constants it keeps its logits up to.
        parts = getattr(distribution, "distributions", None)
        parts = np.ravel(np.array(parts or distribution.distribution, dtype=object))
        wanted = torch.cat([part.probs for part in parts], dim=1).double().numpy()
        found = units.predictions(outputs.double().numpy())
        np.testing.assert_allclose(found[:, -wanted.shape[1] :], wanted, rtol=1e-5)
        mode = model.policy.predict(observations.numpy(), deterministic=True)[0]
    if units.kind == "groups":
        for group, chosen in enumerate(mode.T):
            best = units.strength(outputs.double().numpy(), group).argmax(axis=1)
            assert (best - sum(units.groups[:group])).tolist() == chosen.tolist()
