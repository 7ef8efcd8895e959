"""Policies whose function is not in their weights: the framework's outputs, or a refusal by name.

Stable-Baselines3 is the judge. ``SB3_FUNCTIONS_SEED`` starts the random combinations elsewhere.
"""

from __future__ import annotations

import functools
import os
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.envs import FakeImageEnv
from stable_baselines3.common.policies import ActorCriticCnnPolicy, ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, NatureCNN
from stable_baselines3.dqn.policies import DQNPolicy
from torch import Tensor, nn

from lrpdyn.architectures.registry import load_weights, path_of, resolve
from lrpdyn.checkpoints.readers import find_reader, read_header, read_weights
from lrpdyn.errors import ArchitectureError

SEED = int(os.environ.get("SB3_FUNCTIONS_SEED", "20"))
ZIP, BARE_ZIP, STATE, POLICY = "zip", "zip without its options", "state dict", "policy.save"


class Sine(nn.Module):
    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.width * x)


class ReLU(nn.Module):
    """Another one of this name."""

    def forward(self, x: Tensor) -> Tensor:
        return x.abs()


class Waves(BaseFeaturesExtractor):
    """Has no weights."""

    def __init__(self, space: gym.Space[Any]) -> None:
        super().__init__(space, int(np.prod(space.shape or ())))

    def forward(self, x: Tensor) -> Tensor:
        return 3 * torch.sin(x.flatten(1))


class TanhCNN(NatureCNN):
    def __init__(self, space: gym.Space[Any]) -> None:
        super().__init__(space)
        for index in (1, 3, 5):
            self.cnn[index] = nn.Tanh()


class Absolute(ActorCriticPolicy):
    def _build_mlp_extractor(self) -> None:
        super()._build_mlp_extractor()
        self.mlp_extractor.policy_net[1] = ReLU()


class Averaged(ActorCriticCnnPolicy):
    def extract_features(self, obs: Any, features_extractor: Any = None) -> Any:
        features: Any = super().extract_features(obs, features_extractor)
        return features / 2


class Clipped(DQNPolicy):
    def make_q_net(self) -> Any:
        network = super().make_q_net()
        network.q_net[1] = nn.ReLU6()
        return network


def sine() -> nn.Module:
    return Sine()


def image_env() -> Any:
    return FakeImageEnv(screen_height=40, screen_width=36, n_channels=2, channel_first=True)


ACTIVATIONS: dict[str, Any] = {
    "ReLU": nn.ReLU, "Tanh": nn.Tanh, "SiLU": nn.SiLU, "Mish": nn.Mish, "PReLU": nn.PReLU,
    "Softsign": nn.Softsign, "SELU": nn.SELU, "Identity": nn.Identity,
    "LeakyReLU(0.3)": functools.partial(nn.LeakyReLU, 0.3),
    "ELU(alpha=0.5)": functools.partial(nn.ELU, alpha=0.5),
    "GELU(approximate='tanh')": functools.partial(nn.GELU, approximate="tanh"),
    "Hardtanh(-0.5, 2)": functools.partial(nn.Hardtanh, -0.5, 2),
    "ReLU(inplace=True)": functools.partial(nn.ReLU, inplace=True),
}  # fmt: skip
UNREADABLE: dict[str, Any] = {
    "lambda": lambda: nn.ReLU(), "own class": Sine, "of the same name": ReLU, "function": sine,
    "partial of own class": functools.partial(Sine, 2.0),
    "partial with a tensor": functools.partial(nn.ELU, torch.tensor(0.2)),  # type: ignore[arg-type]
}  # fmt: skip
DEFAULTS: dict[Any, str] = {PPO: "tanh", A2C: "tanh", DQN: "relu"}


def contrib(name: str) -> Any:
    import sb3_contrib

    return getattr(sb3_contrib, name)


for _name, _default in (("TRPO", "tanh"), ("QRDQN", "relu")):
    DEFAULTS[contrib(_name)] = _default


def make(
    kind: Any = PPO, policy: Any = "MlpPolicy", seed: int = 1, **options: Any
) -> BaseAlgorithm:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        images = policy == "CnnPolicy" or (
            isinstance(policy, type) and issubclass(policy, ActorCriticCnnPolicy)
        )
        env = image_env() if images else gym.make("CartPole-v1")
        extra = {"buffer_size": 10} if "DQN" in kind.__name__ else {"n_steps": 8}
        model: BaseAlgorithm = kind(
            policy, env, policy_kwargs=options or None, seed=seed, device="cpu", **extra
        )
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():  # initial biases are all zero
        for name, parameter in model.policy.named_parameters():
            if name.endswith("bias"):
                parameter.copy_(torch.randn(parameter.shape, generator=random) / 3)
    return model


def saved(model: BaseAlgorithm, path: Path, form: str) -> Path:
    if form == STATE:
        torch.save(model.policy.state_dict(), path)
    elif form == POLICY:
        model.policy.save(str(path))
    else:
        model.save(path, exclude=["policy_kwargs"] if form == BARE_ZIP else [])
        path = path if path.exists() else path.with_suffix(".zip")
    return path


def outputs(model: BaseAlgorithm, x: Tensor) -> Tensor:
    policy: Any = model.policy
    policy.set_training_mode(False)
    with torch.no_grad():
        if hasattr(policy, "q_net"):
            return policy.q_net(x)  # type: ignore[no-any-return]
        if hasattr(policy, "quantile_net"):
            return policy.quantile_net(x).mean(dim=1)  # type: ignore[no-any-return]
        logits: Tensor = policy.get_distribution(x).distribution.logits
        return logits - logits.mean(dim=1, keepdim=True)


def explained(path: Path, x: Tensor, arch: str | None = None, **given: Any) -> tuple[Any, Tensor]:
    """Return what is resolved of a file, and the outputs of the network that is explained."""
    reader = find_reader(path)
    assert reader is not None
    header = read_header(path, reader.format, trust=True)
    resolved = resolve(arch, given, header, path.name)
    network = resolved.build()
    load_weights(network, read_weights(path, reader.format, trust=True)[0], resolved, path.name)
    head, inner = path_of(network, None)
    divisor = resolved.architecture.preprocessing.divisor or 1
    with torch.no_grad():
        found = inner(x.float() / divisor)
    return resolved, found - found.mean(dim=1, keepdim=True) if head == "policy" else found


def observations(model: BaseAlgorithm) -> Tensor:
    model.observation_space.seed(3)
    seen = np.stack([model.observation_space.sample() for _ in range(4)])
    return torch.as_tensor(seen if seen.dtype == np.uint8 else np.clip(seen, -2, 2))


def assert_equal(model: BaseAlgorithm, path: Path, **given: Any) -> Any:
    x = observations(model)
    resolved, found = explained(path, x, **given)
    torch.testing.assert_close(found, outputs(model, x), rtol=1e-4, atol=1e-5)
    return resolved


def assert_refused(model: BaseAlgorithm, path: Path, way: str) -> None:
    with pytest.raises(ArchitectureError, match=way) as refused:
        explained(path, observations(model))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_of_torch_are_read(tmp_path: Path, name: str) -> None:
    model = make(activation_fn=ACTIVATIONS[name])
    resolved = assert_equal(model, saved(model, tmp_path / "m.zip", ZIP))
    assert resolved.assumed == ()
    assert_equal(model, saved(model, tmp_path / "p.pth", POLICY))
    bare = saved(model, tmp_path / "s.pth", STATE)
    assert_refused(model, bare, "--arch-arg activation=")
    assert_equal(model, bare, activation=name.lower() if name.isalpha() else name)


@pytest.mark.parametrize("name", UNREADABLE)
def test_other_activations_are_refused_by_name(tmp_path: Path, name: str) -> None:
    model = make(activation_fn=UNREADABLE[name])
    path = saved(model, tmp_path / "m.zip", ZIP)
    assert_refused(model, path, r"activation .*(<|ELU).*--arch FILE\.py:CALLABLE")


@pytest.mark.parametrize("kind", DEFAULTS, ids=lambda kind: kind.__name__)
def test_the_default_is_that_of_the_policy(tmp_path: Path, kind: Any) -> None:
    model = make(kind)
    assert assert_equal(model, saved(model, tmp_path / "m.zip", ZIP)).assumed == ()
    bare = saved(model, tmp_path / "b.zip", BARE_ZIP)
    assert_refused(model, bare, "--arch-arg activation=tanh")
    assert assert_equal(model, bare, activation=DEFAULTS[kind]).assumed


def test_without_hidden_layers_there_is_no_activation_to_ask_for(tmp_path: Path) -> None:
    model = make(net_arch=[])
    resolved = assert_equal(model, saved(model, tmp_path / "s.pth", STATE))
    assert "features extractor of Stable-Baselines3's own" in resolved.assumed[0]


@pytest.mark.parametrize(
    ("policy", "options", "named", "arch"),
    [
        (Absolute, {}, "Absolute", "sb3-mlp"),
        (Averaged, {}, "Averaged", "sb3-cnn"),
        ("MlpPolicy", {"features_extractor_class": Waves}, "Waves", "sb3-mlp"),
        ("CnnPolicy", {"features_extractor_class": TanhCNN}, "TanhCNN", "sb3-cnn"),
    ],
)
def test_own_classes_are_refused_unless_the_user_says_what_they_compute(
    tmp_path: Path, policy: Any, options: dict[str, Any], named: str, arch: str
) -> None:
    model = make(policy=policy, **options)
    path = saved(model, tmp_path / "m.zip", ZIP)
    assert_refused(model, path, rf"{named}, .*--arch FILE.py:CALLABLE.*--arch {arch}$")
    resolved, _ = explained(path, observations(model), arch)
    assert named in resolved.assumed[0]


def test_an_own_class_of_dqn_is_refused(tmp_path: Path) -> None:
    model = make(DQN, Clipped)
    assert_refused(model, saved(model, tmp_path / "m.zip", ZIP), r"Clipped, .*--arch sb3-dqn-mlp")


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("form", [ZIP, BARE_ZIP, STATE, POLICY])
def test_the_scale_of_images(tmp_path: Path, form: str, scaled: bool) -> None:
    model = make(policy="CnnPolicy", normalize_images=scaled)
    path = saved(model, tmp_path / "m", form)
    told = form in (ZIP, POLICY)
    given = {} if told else {"normalize_images": scaled}
    assumed = assert_equal(model, path, **given).assumed
    assert len(assumed) == (form != ZIP)
    assert "divided" not in "".join(assumed)
    if not told:
        resolved, _ = explained(path, observations(model))
        assert resolved.assumed[0].endswith("ReLU, images divided by 255 (the file does not say)")


@pytest.mark.parametrize("number", range(12))
def test_random_combinations(tmp_path: Path, number: int) -> None:
    random = np.random.default_rng([SEED, number])

    def chosen(among: Any) -> Any:
        return list(among)[random.integers(len(among))]

    kind, form = chosen(DEFAULTS), chosen([ZIP, ZIP, BARE_ZIP, STATE, POLICY])
    options: dict[str, Any] = {}
    known = random.random() < 0.6
    function = chosen((ACTIVATIONS if known else UNREADABLE).values())
    if random.random() < 0.7 and (known or form in (ZIP, STATE, BARE_ZIP)):
        options["activation_fn"] = function
    if random.random() < 0.3:
        options["features_extractor_class"] = Waves
    if random.random() < 0.5:
        options["net_arch"] = [int(size) for size in random.integers(5, 30, random.integers(1, 4))]
    model = make(kind, seed=number, **options)
    path = saved(model, tmp_path / "m", form)
    own = "features_extractor_class" in options
    readable = function in ACTIVATIONS.values() or "activation_fn" not in options
    if form == ZIP and readable and not own:
        assert assert_equal(model, path).assumed == ()
    elif form == POLICY and readable and not own:
        assert assert_equal(model, path).assumed
    else:
        assert_refused(model, path, r"--arch FILE\.py:CALLABLE|--arch-arg activation=")
