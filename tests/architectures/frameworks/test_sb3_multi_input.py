"""MultiInputPolicy, saved by the real Stable-Baselines3: an image, and other inputs held fixed."""

from __future__ import annotations

import collections
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from lrpdyn.architectures.frameworks.sb3_multi_input import read_inputs
from lrpdyn.architectures.registry import Resolved, load_weights, path_of, resolve
from lrpdyn.checkpoints.formats.sb3_data import spaces_of
from lrpdyn.checkpoints.model import Header
from lrpdyn.checkpoints.readers import read_header, read_weights
from lrpdyn.errors import ArchitectureError

MIXED = spaces.Dict(
    {
        "velocity": spaces.Box(-1, 1, (3,)),
        "camera": spaces.Box(0, 255, (3, 40, 44), np.uint8),
        "goal": spaces.Discrete(4),
        "matrix": spaces.Box(np.array([[-1, 0], [0, -2]]), np.array([[1, 2], [3, 4]])),
        "levers": spaces.MultiDiscrete([2, 3]),
        "lights": spaces.MultiBinary(3),
    }
)
TWO_IMAGES = spaces.Dict(
    collections.OrderedDict(
        z=spaces.Box(-1, 1, (2,)),
        front=spaces.Box(0, 255, (3, 40, 44), np.uint8),
        back=spaces.Box(0, 255, (1, 36, 36), np.uint8),
    )
)


class Environment(gymnasium.Env[Any, Any]):
    def __init__(self, space: spaces.Dict) -> None:
        self.observation_space, self.action_space = space, spaces.Discrete(5)

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        return self.observation_space.sample(), {}


def saved(path: Path, algorithm: str, space: spaces.Dict, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import stable_baselines3

        extra = {"buffer_size": 10} if algorithm == "DQN" else {"n_steps": 8}
        extra |= {"batch_size": 8} if algorithm == "PPO" else {}
        model = getattr(stable_baselines3, algorithm)(
            "MultiInputPolicy",
            Environment(space),
            policy_kwargs=options,
            seed=1,
            device="cpu",
            **extra,
        )
        model.save(path)
    return model


def loaded(path: Path, **given: Any) -> tuple[Resolved, Any]:
    resolved = resolve(None, given, read_header(path, "sb3-zip"), str(path))
    network = resolved.build()
    load_weights(network, read_weights(path, "sb3-zip")[0], resolved, str(path))
    return resolved, network


def as_features(space: spaces.Space[Any], values: Tensor) -> Tensor:
    """Return one input as the network sees it, by Stable-Baselines3's own preprocessing."""
    from stable_baselines3.common.preprocessing import preprocess_obs

    seen = preprocess_obs(values, space)
    assert isinstance(seen, Tensor)
    return seen if seen.ndim == 4 else seen.reshape(len(seen), -1)


@pytest.mark.parametrize(
    ("algorithm", "space", "options", "name", "explained", "held"),
    [
        (
            "PPO",
            MIXED,
            {},
            "sb3-multi-input",
            "camera",
            {"goal": 4, "levers": 5, "lights": 3, "matrix": 4, "velocity": 3},
        ),
        (
            "A2C",
            TWO_IMAGES,
            {"share_features_extractor": False, "activation_fn": nn.ReLU, "net_arch": []},
            "sb3-multi-input",
            "front",
            {"z": 2, "back": (1, 36, 36)},
        ),
        (
            "DQN",
            TWO_IMAGES,
            {"net_arch": [16]},
            "sb3-dqn-multi-input",
            "front",
            {"z": 2, "back": (1, 36, 36)},
        ),
    ],
)
def test_outputs_are_those_of_stable_baselines3(
    tmp_path: Path,
    compare: Callable[..., None],
    algorithm: str,
    space: spaces.Dict,
    options: dict[str, Any],
    name: str,
    explained: str,
    held: dict[str, Any],
) -> None:
    model = saved(tmp_path / "m_5_steps.zip", algorithm, space, **options)
    resolved, network = loaded(tmp_path / "m_5_steps.zip")
    assert resolved.architecture.name == name
    own = model.observation_space.spaces
    model.observation_space.seed(0)
    fixed = {key: torch.as_tensor(np.asarray(own[key].sample()))[None] for key in held}
    images = torch.as_tensor(np.stack([own[explained].sample() for _ in range(3)]))
    whole = {key: values.expand(3, *values.shape[1:]) for key, values in fixed.items()}
    observations = {key: images if key == explained else whole[key] for key in own}
    with torch.no_grad():
        if algorithm == "DQN":
            wanted = {"q": model.policy.q_net(observations)}
        else:
            policy = model.policy
            logits = policy.get_distribution(observations).distribution.logits
            wanted = {"policy": logits, "value": policy.predict_values(observations)}
    assert network.held == held
    assert list(network.held) == list(held)
    for key, values in fixed.items():
        network.get_buffer(f"held_{key}").copy_(as_features(own[key], values))
    assert not any("held_" in key for key in network.state_dict())
    for head, expected in wanted.items():
        path = path_of(network, head)[1]
        assert path.held == held  # type: ignore[comparison-overlap]
        if head == "policy":
            # Torch's Categorical keeps logits less their logsumexp: a shared constant.
            ours = torch.log_softmax(path(images / 255), dim=1)
            torch.testing.assert_close(ours, expected, rtol=0, atol=1e-6)
        else:
            compare(network, images / 255, expected, head)


def test_the_held_inputs_count(tmp_path: Path) -> None:
    saved(tmp_path / "m_5_steps.zip", "DQN", MIXED)
    _, network = loaded(tmp_path / "m_5_steps.zip")
    path, image = path_of(network, None)[1], torch.rand(2, 3, 40, 44)
    before = path(image)
    network.held_goal[0, 2] = 1
    after = path(image)
    assert not torch.allclose(before, after)


def test_without_the_file_s_word_the_user_is_asked(tmp_path: Path) -> None:
    model = saved(tmp_path / "m_5_steps.zip", "PPO", TWO_IMAGES)
    header = Header({k: tuple(v.shape) for k, v in model.policy.state_dict().items()})
    with pytest.raises(ArchitectureError, match=r"--arch-arg inputs=.*'front': \(C, H, W\)"):
        resolve(None, {}, header, "here")
    inputs = {"z": 2, "front": (3, 40, 44), "back": [1, 36, 36]}
    known = resolve(None, {"inputs": inputs}, header, "here").build()
    assert known.held == {"z": 2, "back": (1, 36, 36)}
    with pytest.raises(ArchitectureError, match="give 515 features, the weights take 514"):
        resolve(None, {"inputs": {**inputs, "z": 3}}, header, "here")
    with pytest.raises(ArchitectureError, match="'back' is an image"):
        resolve(None, {"inputs": {"z": 258, "front": (3, 40, 44)}}, header, "here")


@pytest.mark.parametrize(
    ("text", "inputs"),
    [
        (str(MIXED)[5:-1], {"velocity": (3,), "camera": (3, 40, 44), "goal": 4, "matrix": (2, 2),
                            "levers": 5, "lights": 3}),
        ("OrderedDict([('a', Box(0, 255, (3, 8, 8), uint8)), ('b', Discrete(2))])",
         {"a": (3, 8, 8), "b": 2}),
        ("{'a': MultiDiscrete([2 2 2 ... 2 2 2])}", None),
        ("", None),
    ],
)  # fmt: skip
def test_the_text_of_a_space(text: str, inputs: dict[str, Any] | None) -> None:
    assert read_inputs(spaces_of(text)) == inputs
