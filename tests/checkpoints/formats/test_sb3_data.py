"""What `data` says is held against the framework's own objects."""

from __future__ import annotations

import functools
import json
import zipfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.preprocessing import get_flattened_obs_dim
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from lrpdyn.checkpoints.formats.sb3_data import features_of_space, hints_of

BOX = spaces.Box(-1, 1, (4,), np.float32)


class Env(gym.Env[Any, Any]):
    def __init__(self, observations: spaces.Space[Any], actions: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = observations, actions


class Own(ActorCriticPolicy):
    def _build_mlp_extractor(self) -> None:
        super()._build_mlp_extractor()


class OwnExtractor(BaseFeaturesExtractor):
    def __init__(self, space: spaces.Box) -> None:
        super().__init__(space, 4)

    def forward(self, x: Any) -> Any:
        return x


def hints(
    folder: Path,
    observations: spaces.Space[Any] = BOX,
    actions: spaces.Space[Any] = BOX,
    policy: Any = "MlpPolicy",
    **options: Any,
) -> dict[str, Any]:
    env: Any = Env(observations, actions)
    PPO(policy, env, policy_kwargs=options).save(folder / "m.zip")
    with zipfile.ZipFile(folder / "m.zip") as archive:
        return hints_of(json.loads(archive.read("data")))


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (nn.ReLU, "ReLU"),
        (functools.partial(nn.LeakyReLU, 0.3), "LeakyReLU(0.3)"),
        (functools.partial(nn.ELU, alpha=0.5), "ELU(alpha=0.5)"),
        (functools.partial(nn.ReLU), "ReLU"),
        (lambda: nn.ReLU(), "<function <lambda>>"),
    ],
)
def test_an_activation(tmp_path: Path, function: Any, said: str) -> None:
    found = hints(tmp_path, activation_fn=function)
    assert (found["activation"], found["metadata"]) == (said, True)


def test_stock_classes_are_not_named(tmp_path: Path) -> None:
    found = hints(tmp_path)
    assert not {"policy_class", "features_extractor", "activation"} & found.keys()


def test_own_classes_are_named(tmp_path: Path) -> None:
    found = hints(tmp_path, policy=Own, features_extractor_class=OwnExtractor)
    assert found["policy_class"].endswith(".Own")
    assert found["features_extractor"].endswith(".OwnExtractor")


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (BOX, {"kind": "Box", "shape": (4,), "dtype": "float32", "low": -1, "high": 1}),
        (spaces.Box(np.array([-1.0, -3.0]), np.array([2.5, 4.0]), dtype=np.float64),
         {"kind": "Box", "shape": (2,), "dtype": "float64", "low": None, "high": None}),
        (spaces.Discrete(4), {"kind": "Discrete", "n": 4, "start": 0}),
        (spaces.MultiDiscrete([3, 2]), {"kind": "MultiDiscrete", "nvec": (3, 2)}),
        (spaces.MultiBinary(3), {"kind": "MultiBinary", "shape": (3,)}),
    ],
)  # fmt: skip
def test_a_space_of_actions(tmp_path: Path, space: spaces.Space[Any], said: dict[str, Any]) -> None:
    found = hints(tmp_path, actions=space)["action_space"]
    assert said.items() <= found.items()


@pytest.mark.parametrize(
    "space",
    [BOX, spaces.Discrete(16), spaces.MultiDiscrete([3, 4]), spaces.MultiBinary(5),
     spaces.Box(0, 255, (3, 2), np.uint8)],
)  # fmt: skip
def test_features_of_a_space(tmp_path: Path, space: spaces.Space[Any]) -> None:
    found = hints(tmp_path, observations=space)["observation_space"]
    assert features_of_space(found) == get_flattened_obs_dim(space)


def test_the_spaces_of_a_dict(tmp_path: Path) -> None:
    inside = {"b": spaces.Discrete(5), "a": BOX, "c": spaces.Box(0, 255, (3, 36, 36), np.uint8)}
    found = hints(tmp_path, spaces.Dict(inside), policy="MultiInputPolicy")["observation_space"]
    read = found["spaces"]
    assert list(read) == ["a", "b", "c"]
    assert read["c"] == {
        "kind": "Box", "shape": (3, 36, 36), "dtype": "uint8", "low": 0.0, "high": 255.0,
    }  # fmt: skip
    assert features_of_space(read["b"]) == 5
