"""RecurrentPPO, saved by the real sb3-contrib: recognised, and the same outputs from any hidden state."""

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

import lrpdyn
from lrpdyn.architectures.registry import heads_of, load_weights, path_of, resolve
from lrpdyn.checkpoints.readers import read_header, read_weights
from lrpdyn.errors import ArchitectureError, ObservationError


class Anything(gymnasium.Env[Any, Any]):
    """Observations of a space; nothing happens."""

    def __init__(self, observed: spaces.Space[Any], actions: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = observed, actions


VECTOR = spaces.Box(-1, 1, (5,), np.float32)
TABLE = spaces.Box(-1, 1, (2, 3), np.float32)
IMAGE = spaces.Box(0, 255, (2, 40, 40), np.uint8)
THREE, MEANS = spaces.Discrete(3), spaces.Box(-1, 1, (2,), np.float32)

CASES: list[tuple[str, spaces.Space[Any], spaces.Space[Any], dict[str, Any]]] = [
    ("MlpLstmPolicy", VECTOR, THREE, {}),
    ("MlpLstmPolicy", TABLE, MEANS, {"n_lstm_layers": 2, "activation_fn": nn.ELU}),
    ("MlpLstmPolicy", VECTOR, THREE, {"enable_critic_lstm": False, "net_arch": []}),
    ("MlpLstmPolicy", VECTOR, THREE, {"enable_critic_lstm": False, "shared_lstm": True}),
    ("MlpLstmPolicy", VECTOR, MEANS, {"lstm_kwargs": {"bias": False}, "use_sde": True}),
    ("CnnLstmPolicy", IMAGE, THREE, {"n_lstm_layers": 2}),
    ("CnnLstmPolicy", IMAGE, THREE, {"share_features_extractor": False}),
]


def saved(path: Path, policy: str, env: Any, options: dict[str, Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sb3_contrib import RecurrentPPO

        use_sde = options.pop("use_sde", False)
        kwargs = {"lstm_hidden_size": 8, **options}
        model = RecurrentPPO(
            policy, env, policy_kwargs=kwargs, use_sde=use_sde, n_steps=8, batch_size=8, seed=1,
            device="cpu",
        )  # fmt: skip
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():  # as training would, move all weights far
            for weights in model.policy.parameters():
                weights += 0.2 * torch.randn(weights.shape, generator=generator)
        model.save(path)
    return model


def theirs(policy: Any, head: str, observations: Any, states: tuple[Tensor, Tensor]) -> Tensor:
    """Return what the policy gives for observations (N * T, ...), sequences one after the other."""
    count = states[0].shape[1] if isinstance(observations, dict) else len(observations)
    starts = torch.zeros(count)
    if head == "value":
        return policy.predict_values(observations, states, starts)
    distribution = policy.get_distribution(observations, states, starts)[0].distribution
    return getattr(distribution, "logits", distribution.mean)


@pytest.mark.parametrize(("policy", "observed", "actions", "options"), CASES)
def test_outputs_are_those_of_sb3_contrib(
    tmp_path: Path,
    policy: str,
    observed: spaces.Space[Any],
    actions: spaces.Space[Any],
    options: dict[str, Any],
) -> None:
    path = tmp_path / "model_5_steps.zip"
    network = saved(path, policy, Anything(observed, actions), dict(options)).policy
    resolved = resolve(None, {}, read_header(path, "sb3-zip"), str(path))
    images = policy == "CnnLstmPolicy"
    assert resolved.architecture.name == f"sb3-recurrent-{'cnn' if images else 'mlp'}"
    assert resolved.assumed == ()
    ours = resolved.build()
    load_weights(ours, read_weights(path, "sb3-zip")[0], resolved, str(path))
    observed.seed(0)
    samples, steps, layers = 3, 4, options.get("n_lstm_layers", 1)
    seen = torch.as_tensor(np.stack([observed.sample() for _ in range(samples * steps)]))
    x = seen.float() / 255 if images else seen.flatten(1)
    x = x.view(samples, steps, *x.shape[1:])
    states = torch.randn(2, layers, samples, 8, generator=torch.Generator().manual_seed(1))
    for head in heads_of(ours):
        path_to = path_of(ours, head)[1].eval()
        recurrent = getattr(path_to, "recurrent", False)
        assert recurrent == (head == "policy" or options.get("enable_critic_lstm", True) or
                             options.get("shared_lstm", False))  # fmt: skip
        for name, values in zip(getattr(path_to, "held", ()), states, strict=False):
            assert path_to.held[name] == (layers, 8)
            path_to.get_buffer(f"held_{name}").data = values.transpose(0, 1)
        with torch.no_grad():
            wanted = theirs(network, head, seen, (states[0], states[1]))
            wanted = wanted.view(samples, steps, -1)
            single = theirs(network, head, seen[::steps], (states[0], states[1]))
            pairs = [(path_to(x[:, 0]), single)]
            if recurrent:
                pairs += [(path_to(x), wanted[:, -1]), (path_to(x[:, :1]), single)]
        for found, expected in pairs:
            if actions is THREE and head == "policy":  # torch's logits lack a shared constant
                found, expected = (v - v.mean(1, keepdim=True) for v in (found, expected))
            assert found.abs().max() > 1e-2
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_inputs_of_a_dict_space_are_joined_and_their_states_kept(tmp_path: Path) -> None:
    observed = spaces.Dict({"near": VECTOR, "turn": spaces.Discrete(2)})
    for step in (4, 5):
        path = tmp_path / f"model_{step}_steps.zip"
        policy = saved(path, "MultiInputLstmPolicy", Anything(observed, THREE), {}).policy
    draw = np.random.default_rng(0)
    near, turn = draw.uniform(-1, 1, (4, 5)).astype(np.float32), np.array([0, 1, 1, 0])
    states = draw.normal(size=(2, 4, 1, 8)).astype(np.float32)
    hidden = tuple(torch.from_numpy(s).transpose(0, 1) for s in states)
    with torch.no_grad():
        seen = {"near": torch.from_numpy(near), "turn": torch.from_numpy(turn)}
        wanted = theirs(policy, "policy", seen, hidden).numpy()
    np.save(tmp_path / "outputs.npy", wanted)
    given = {"near": near, "turn": turn, "lstm_h": states[0], "lstm_c": states[1]}
    options: dict[str, Any] = {"expect": tmp_path / "outputs.npy", "expect_step": 5}
    run = lrpdyn.compute(tmp_path, given, out=tmp_path / "out", quiet=True, **options)
    assert run.manifest["checks"]["expected"]["largest_difference"] < 1e-5
    del given["lstm_c"]
    with pytest.raises(ObservationError, match="expected hidden states lstm_h, lstm_c or none"):
        lrpdyn.compute(tmp_path, given, out=tmp_path / "half", quiet=True)


def test_several_inputs_with_an_image_are_refused_by_name(tmp_path: Path) -> None:
    observed = spaces.Dict({"near": VECTOR, "seen": IMAGE})
    path = tmp_path / "model_5_steps.zip"
    saved(path, "MultiInputLstmPolicy", Anything(observed, THREE), {})
    with pytest.raises(ArchitectureError, match="a MultiInputLstmPolicy with images"):
        resolve(None, {}, read_header(path, "sb3-zip"), str(path))
