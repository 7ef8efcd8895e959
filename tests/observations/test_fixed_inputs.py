"""Inputs beside the image: read by name, checked, held fixed at their values in each sample."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import lrpdyn
from lrpdyn.errors import ObservationError
from lrpdyn.observations.fixed_inputs import split_inputs

SPACE = {
    "image": gymnasium.spaces.Box(0, 255, (3, 40, 40), np.uint8),
    "goal": gymnasium.spaces.Discrete(4),
    "speed": gymnasium.spaces.Box(-1, 1, (2,), np.float32),
}


class Env(gymnasium.Env):  # type: ignore[type-arg]
    observation_space = gymnasium.spaces.Dict(SPACE)
    action_space = gymnasium.spaces.Discrete(3)

    def reset(self, **options: Any) -> Any:
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        return self.observation_space.sample(), 0.0, False, False, {}


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    folder = tmp_path_factory.mktemp("multi")
    models = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from stable_baselines3 import PPO

        for seed in (0, 1):
            model = PPO("MultiInputPolicy", Env(), n_steps=8, batch_size=8, seed=seed, device="cpu")
            model.save(folder / f"model_{seed}_steps.zip")
            models.append(model)
    return folder, models


def observations() -> dict[str, NDArray[Any]]:
    generator = np.random.default_rng(0)
    return {
        "image": generator.integers(0, 256, (3, 3, 40, 40), dtype=np.uint8),
        "goal": np.array([0, 3, 1]),
        "speed": generator.uniform(-1, 1, (3, 2)).astype(np.float32),
    }


def test_scores_are_those_of_the_framework(
    policies: tuple[Path, list[Any]], tmp_path: Path
) -> None:
    folder, models = policies
    given = observations()
    np.savez(tmp_path / "obs.npz", **given)
    run = lrpdyn.compute(folder, tmp_path / "obs.npz", out=tmp_path / "run", contrast="none",
                         samples="2,0", baseline="random:1")  # fmt: skip
    assert "inputs goal, speed held fixed" in run.manifest["rule"]["notes"][-1]
    for step, model in enumerate(models):
        tensors, _ = model.policy.obs_to_tensor(given)
        with torch.no_grad():
            features = model.policy.extract_features(tensors, model.policy.pi_features_extractor)
            expected = model.policy.action_net(model.policy.mlp_extractor.forward_actor(features))
        rows = run.metrics[run.metrics["step"] == step]
        wanted = expected.numpy()[[2, 0]].max(axis=1)
        np.testing.assert_allclose(rows["score"], wanted, rtol=1e-5, atol=1e-6)
    assert run.relevance[0].shape == (2, 3, 40, 40)


def test_without_values_they_are_zero_and_it_is_said(
    policies: tuple[Path, list[Any]], tmp_path: Path
) -> None:
    run = lrpdyn.compute(
        policies[0], observations()["image"], out=tmp_path / "run", baseline="none"
    )
    assert "inputs goal, speed held at zero" in run.manifest["rule"]["notes"][-1]
    with pytest.raises(lrpdyn.errors.RunError, match="another question: observations"):
        lrpdyn.compute(policies[0], observations(), out=tmp_path / "run", baseline="none")


class TwoInputs:
    held: ClassVar[dict[str, int]] = {"goal": 4, "speed": 2}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"goal": np.array([0, 4, 1])}, "expected 0 to 3, found 4"),
        ({"speed": np.zeros((3, 3))}, r"'speed': expected shape \(3, 2\)"),
        ({"speed": np.full((3, 2), np.nan)}, "NaN"),
        ({"other": np.zeros(3)}, "expected one array beside goal, speed, the image"),
    ],
)
def test_wrong_values_are_refused(change: dict[str, NDArray[Any]], says: str) -> None:
    with pytest.raises(ObservationError, match=says):
        split_inputs([{**observations(), **change}], TwoInputs())  # type: ignore[arg-type]
