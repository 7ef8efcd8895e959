"""Any framework's policy is recorded: what has predict, a module, a function."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lrpdyn
from lrpdyn.errors import ObservationError, RecordingError, UsageError
from tests.recording.training import cart_pole, equals, quietly


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))


def environment(name: str = "CartPole-v1") -> gym.Env[Any, Any]:
    with quietly():
        return gym.make(name)


def test_a_module_is_recorded_and_explained(tmp_path: Path) -> None:
    folder, out = tmp_path / "nets", tmp_path / "obs.npz"
    folder.mkdir()
    for step in (10, 20):
        torch.save(network(step).state_dict(), folder / f"net_{step}.pt")
    module = network(20).train()
    found = lrpdyn.record(module, environment(), n=10, out=out, step=20)
    assert module.training  # as it was
    with torch.no_grad():
        outputs = module(torch.from_numpy(found.observations)).numpy()
    assert equals(found.outputs, outputs)
    assert found.actions.tolist() == outputs.argmax(axis=1).tolist()
    options = {"baseline": "none", "quiet": True, "workers": 1, "out": tmp_path / "run"}
    run = lrpdyn.compute(folder, out, arch_args={"activation": "tanh"}, **options)
    checked = run.manifest["checks"]["expected"]
    assert (checked["step"], checked["head"], checked["samples"]) == (20, "logits", 10)
    with pytest.raises(ObservationError, match="with --arch-arg activation=tanh they are equal"):
        lrpdyn.compute(folder, out, arch_args={"activation": "relu"}, **options)


def test_play_is_the_same_for_a_seed_and_spread_over_episodes() -> None:
    first, again, other = (
        lrpdyn.record(network(), environment(), n=8, seed=seed, deterministic=False)
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first.observations, again.observations)
    assert not np.array_equal(first.observations, other.observations)
    assert len(set(first.episode.tolist())) >= 3
    assert first.about["steps"] >= 4 * 8


def test_each_step_of_one_episode_is_as_the_environment_gives_it() -> None:
    found = lrpdyn.record(network(), environment(), n=4, every=2, seed=3)
    env = environment()
    observation, _ = env.reset(seed=3)
    for n in range(4):
        assert found.time[n] == 2 * n
        assert np.array_equal(found.observations[n], observation)
        for _ in range(2):
            action = int(network()(torch.from_numpy(observation)).argmax())
            observation, *_ = env.step(action)


class Policy:
    """A policy of a framework that lrpdyn does not know."""

    def predict(self, observation: Any) -> int:
        return int(observation[2] > 0)


def test_what_has_predict_needs_its_outputs() -> None:
    with pytest.raises(
        UsageError, match=r"how a Policy has its outputs is not known: give outputs="
    ):
        lrpdyn.record(Policy(), environment())

    def outputs(observations: Tensor) -> Tensor:
        return torch.stack([-observations[:, 2], observations[:, 2]], dim=1)

    found = lrpdyn.record(Policy(), environment(), n=6, outputs=outputs, head="policy")
    assert np.array_equal(found.actions, found.outputs.argmax(axis=1))
    assert found.about["head"] == "policy"


def test_a_model_and_its_vectorised_environment(tmp_path: Path) -> None:
    model = cart_pole(tmp_path)
    found = lrpdyn.record(model, model.get_env(), n=6)
    assert found.about["step"] == 128
    assert found.about["environment"] == "CartPole-v1"
    assert "DummyVecEnv" in found.about["wrappers"]
    single = lrpdyn.record(model, environment(), n=6)
    assert np.array_equal(found.observations[0], single.observations[0])
    with quietly():
        from stable_baselines3.common.env_util import make_vec_env

        two = make_vec_env("CartPole-v1", 2)
    with pytest.raises(UsageError, match="holds 2 environments"):
        lrpdyn.record(model, two)


def test_continuous_actions_are_the_outputs() -> None:
    module = nn.Linear(3, 1)
    found = lrpdyn.record(module, environment("Pendulum-v1"), n=4, every=1)
    assert np.allclose(found.actions, np.clip(found.outputs, -2, 2))
    with pytest.raises(UsageError, match="deterministic=False"):
        lrpdyn.record(module, environment("Pendulum-v1"), n=4, deterministic=False)


def test_what_cannot_be_recorded(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"expected outputs \(1, K\), found tuple"):
        lrpdyn.record(lambda x: (x[:, :2], x), environment())
    with pytest.raises(RecordingError, match="NaN or infinity"):
        lrpdyn.record(lambda x: x[:, :2] * torch.nan, environment(), n=2)
    with pytest.raises(UsageError, match="how 3 outputs choose an action"):
        lrpdyn.record(lambda x: x[:, :3], environment())
    with pytest.raises(UsageError, match="expected 1 or more"):
        lrpdyn.record(network(), environment(), n=0)
    with pytest.raises(UsageError, match=r"a recording is a \.npz file"):
        lrpdyn.record(network(), environment(), out=tmp_path / "obs.npy")
    np.savez(tmp_path / "obs.npz", mine=np.zeros(3))
    with pytest.raises(UsageError, match="is there already, and no recording"):
        lrpdyn.record(network(), environment(), out=tmp_path / "obs.npz")
    env = environment()
    env.step = lambda action: 1 / 0  # type: ignore[assignment,method-assign]
    with pytest.raises(RecordingError, match="failed while it was played: ZeroDivisionError"):
        lrpdyn.record(network(), env, n=2)


def test_about_is_plain_json(tmp_path: Path) -> None:
    out = tmp_path / "obs.npz"
    lrpdyn.record(network(), environment(), n=3, out=out, about={"note": "mine"})
    arrays = np.load(out)  # allow_pickle is False
    about = json.loads(str(arrays["about"]))
    assert (about["note"], about["seed"], about["policy"]) == ("mine", 0, "Sequential")
    lengths = {name: len(arrays[name]) for name in arrays.files if name != "about"}
    assert lengths == dict.fromkeys(
        ("observations", "outputs", "actions", "episode", "time", "reward"), 3
    )


def test_a_module_without_forward_needs_its_outputs(tmp_path: Path) -> None:
    agent = nn.Module()  # as CleanRL's Agent
    agent.actor = network()
    with pytest.raises(UsageError, match=r"outputs is not known: give outputs=FUNCTION"):
        lrpdyn.record(agent, environment())
    found = lrpdyn.record(agent, environment(), n=4, outputs=agent.actor)
    assert found.actions.tolist() == found.outputs.argmax(axis=1).tolist()


def test_a_policy_that_fails_is_named() -> None:
    with pytest.raises(RecordingError, match="the policy failed while it was played: RuntimeError"):
        lrpdyn.record(nn.Linear(7, 2), environment(), n=2)
