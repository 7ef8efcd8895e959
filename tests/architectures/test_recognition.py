"""Networks that frameworks save: recognised, and the same outputs as the framework's own."""

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

from lrpdyn.architectures.registry import load_weights, path_of, register_architecture, resolve
from lrpdyn.checkpoints.model import Header
from lrpdyn.checkpoints.readers import read_header, read_weights
from lrpdyn.errors import ArchitectureError, UsageError


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


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


class CleanAgent(nn.Module):
    """cleanrl/ppo_atari.py, from its published layout."""

    def __init__(self, dqn: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(4, 32, 8, stride=4), nn.ReLU(), nn.Conv2d(32, 64, 4, stride=2), nn.ReLU(),
            nn.Conv2d(64, 64, 3, stride=1), nn.ReLU(), nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(),
        ]  # fmt: skip
        if dqn:
            layers.append(nn.Linear(512, 6))
        self.network = nn.Sequential(*layers)
        if not dqn:
            self.actor, self.critic = nn.Linear(512, 6), nn.Linear(512, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.network(x / 255.0)
        return self.actor(hidden) if hasattr(self, "actor") else hidden


@pytest.mark.parametrize(
    ("dqn", "name"), [(False, "cleanrl-ppo-atari"), (True, "cleanrl-dqn-atari")]
)
def test_cleanrl_atari(dqn: bool, name: str) -> None:
    torch.manual_seed(0)
    agent = CleanAgent(dqn)
    resolved = resolve(None, {}, Header(shapes(agent)), "here")
    assert resolved.architecture.name == name
    network = resolved.build()
    load_weights(network, agent.state_dict(), resolved, "here")
    x = torch.randint(0, 256, (2, 4, 84, 84)).float()
    torch.testing.assert_close(path_of(network, None)[1](x), agent(x))


def test_plain_mlp_asks_for_its_activation() -> None:
    network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    with pytest.raises(ArchitectureError, match="--arch-arg activation=tanh"):
        resolve(None, {}, Header(shapes(network)), "here")
    resolved = resolve(None, {"activation": "Tanh"}, Header(shapes(network)), "here")
    built = resolved.build()
    load_weights(built, network.state_dict(), resolved, "here")
    x = torch.randn(3, 4)
    torch.testing.assert_close(path_of(built, None)[1](x), network(x))


def test_misfit_lists_keys_with_both_shapes() -> None:
    found = shapes(CleanAgent(dqn=False))
    found["critic.weight"] = (2, 512)
    with pytest.raises(
        ArchitectureError, match=r"critic.weight expected \(1, 512\), found \(2, 512\)"
    ):
        resolve(None, {}, Header(found), "here")


def test_named_architecture_of_other_weights() -> None:
    found = Header(shapes(nn.Sequential(nn.Linear(4, 2))))
    with pytest.raises(ArchitectureError, match=r"not the weights of .*0.weight \(2, 4\)"):
        resolve("cleanrl-ppo-atari", {}, found, "here")


def test_unknown_weights_show_what_was_seen() -> None:
    with pytest.raises(ArchitectureError, match=r"strange \(3, 4, 5\).*--arch FILE.py:CALLABLE"):
        resolve(None, {}, Header({"strange": (3, 4, 5)}), "here")


def test_own_architecture_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("import torch\ndef make(width):\n    return torch.nn.Linear(3, width)\n")
    header = Header({"weight": (2, 3), "bias": (2,)})
    assert isinstance(resolve(f"{path}:make", {"width": 2}, header, "here").build(), nn.Linear)
    with pytest.raises(ArchitectureError, match=r"weight expected \(4, 3\), found \(2, 3\)"):
        resolve(f"{path}:make", {"width": 4}, header, "here")
    with pytest.raises(ArchitectureError, match="--arch-arg"):
        resolve(f"{path}:make", {}, header, "here")
    with pytest.raises(UsageError, match="nothing to call named 'other'"):
        resolve(f"{path}:other", {}, header, "here")
    with pytest.raises(UsageError, match="no architecture is called"):
        resolve("unheard-of", {}, header, "here")


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="already"):
        register_architecture("mlp", nn.Linear)


def test_only_what_the_path_goes_through_is_copied() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # gymnasium and Stable-Baselines3 warn about each other
        from stable_baselines3 import PPO

        model = PPO("CnnPolicy", image_env(), n_steps=16, batch_size=16, device="cpu")
    weights = model.policy.state_dict()
    header = Header({key: tuple(value.shape) for key, value in weights.items()})
    resolved = resolve(None, {}, header, "here")
    network = resolved.build()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    load_weights(network, weights, resolved, "here", path_of(network, "policy")[1])
    for key, value in network.state_dict().items():
        loaded = key.startswith(("pi_features_extractor", "action_net"))
        assert torch.equal(value, weights[key] if loaded else before[key]), key
