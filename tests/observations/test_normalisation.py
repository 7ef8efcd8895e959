"""Observations normalised as in training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lrpdyn.errors import LrpdynError
from lrpdyn.observations.layout import Expected
from lrpdyn.observations.loading import load_observations

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 3, 5, 4), dtype=np.uint8)
COLOUR = Expected(channels=3)
FLAT = Expected(features=4)


def test_imagenet() -> None:
    from torchvision.transforms.v2 import functional

    found = load_observations([PIXELS], COLOUR, scale="imagenet")
    expected = functional.normalize(
        torch.from_numpy(PIXELS).float() / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    )
    np.testing.assert_allclose(found.values, expected.numpy(), rtol=1e-5, atol=1e-6)
    assert found.normalisation is not None
    low, high = found.normalisation.bounds(0.0, 1.0) or ((), ())
    np.testing.assert_allclose(low, -np.array([0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225])
    np.testing.assert_allclose(high, (1 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225])


def test_mean_and_deviation(tmp_path: Path) -> None:
    plain = PIXELS.astype(np.float64) / 255
    one = load_observations([PIXELS], COLOUR, scale=255, mean="0.5", std=0.25)
    np.testing.assert_allclose(one.values, (plain - 0.5) / 0.25, atol=1e-5)
    each = load_observations([PIXELS], COLOUR, scale=255, mean="0.1,0.2,0.3")
    np.testing.assert_allclose(
        each.values, plain - np.array([0.1, 0.2, 0.3]).reshape(3, 1, 1), atol=1e-6
    )
    mean = np.random.default_rng(1).random((3, 5, 4))
    np.save(tmp_path / "mean.npy", mean)
    whole = load_observations([PIXELS], COLOUR, scale=255, mean=tmp_path / "mean.npy")
    np.testing.assert_allclose(whole.values, plain - mean, atol=1e-6)
    assert whole.normalisation is not None
    assert whole.normalisation.bounds(0.0, 1.0) is None


def test_running_statistics_of_sample_factory(tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    mean, variance = generator.random((3, 5, 4)), generator.random((3, 5, 4)) / 50
    prefix = "obs_normalizer.running_mean_std.running_mean_std.obs."
    weights = {f"{prefix}running_mean": torch.from_numpy(mean), "other.weight": torch.ones(2),
               f"{prefix}running_var": torch.from_numpy(variance)}  # fmt: skip
    path = tmp_path / "checkpoint_000000001_10.pth"
    torch.save({"model": weights, "env_steps": 10}, path)
    found = load_observations([PIXELS], COLOUR, scale=255, statistics=path)
    # sample_factory.algo.utils.running_mean_std: epsilon 1e-5, clipped to -5..5
    expected = np.clip((PIXELS / 255 - mean) / np.sqrt(variance + 1e-5), -5, 5)
    np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-4)
    assert abs(expected).max() == 5
    torch.save({"model": {"other.weight": torch.ones(2)}}, path)
    with pytest.raises(LrpdynError, match="no running statistics"):
        load_observations([PIXELS], COLOUR, scale=255, statistics=path)


def test_vecnormalize_is_read_only_where_it_is_trusted(tmp_path: Path) -> None:
    from stable_baselines3.common.envs import SimpleMultiObsEnv
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    env = VecNormalize(DummyVecEnv([SimpleMultiObsEnv]), norm_obs_keys=["vec"], clip_obs=1.25)
    env.reset()
    for _ in range(20):
        env.step([env.action_space.sample()])
    env.save(str(tmp_path / "vecnormalize.pkl"))
    raw = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    expected = env.normalize_obs({"vec": raw, "img": np.zeros(1)})["vec"]
    given: dict[str, Any] = {"statistics": tmp_path / "vecnormalize.pkl"}
    with pytest.raises(LrpdynError, match="--trust"):
        load_observations([raw], Expected(features=5), **given)
    found = load_observations([raw], Expected(features=5), **given, trust=True)
    np.testing.assert_allclose(found.values, expected, rtol=1e-6)
    assert abs(found.values).max() == 1.25


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"mean": "x"}, "--mean x: expected numbers"),
        ({"mean": "1,2"}, "one number, or 3"),
        ({"std": "0"}, "--std: expected numbers above 0"),
        ({"scale": "imagenet", "mean": "1"}, "leave the others out"),
        ({"statistics": "nothing.pkl", "mean": "1"}, "one of them"),
        ({"statistics": "nothing.pkl"}, "nothing.pkl"),
        ({"mean": "nothing.npy"}, "cannot be read"),
    ],
)
def test_normalisations_that_make_no_sense(options: dict[str, Any], says: str) -> None:
    with pytest.raises(LrpdynError, match=says):
        load_observations([PIXELS], COLOUR, **{"scale": 255, **options})


def test_imagenet_wants_three_channels_of_pixels() -> None:
    with pytest.raises(LrpdynError, match="takes 4 channels"):
        load_observations(
            [np.zeros((1, 4, 5, 5), np.uint8)], Expected(channels=4), scale="imagenet"
        )
    with pytest.raises(LrpdynError, match=r"lie in 0\.\.200"):
        load_observations([np.linspace(0, 200, 75).reshape(1, 3, 5, 5)], COLOUR, scale="imagenet")
