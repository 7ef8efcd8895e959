"""A recording of any observation space is confirmed, and explained, with no further option."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

import lrpdyn
from lrpdyn.errors import ObservationError
from tests.observations.policies import Env, outputs, save
from tests.recording.test_checkpoint import computed
from tests.recording.training import quietly

IMAGE = spaces.Box(0, 255, (3, 36, 36), np.uint8)
VECTOR = spaces.Box(-1, 1, (3,), np.float32)
#: A space, the policy and its options, and whether VecNormalize normalises it.
CASES: dict[str, tuple[spaces.Space[Any], str, dict[str, Any], bool]] = {
    "mlp-on-images": (spaces.Box(0, 255, (3, 8, 8), np.uint8), "MlpPolicy", {}, False),
    "channels-last": (spaces.Box(0, 255, (36, 36, 3), np.uint8), "CnnPolicy", {}, False),
    "pixels-as-they-are": (IMAGE, "CnnPolicy", {"normalize_images": False}, False),
    "pixels-of-floats": (
        spaces.Box(0, 1, (3, 36, 36), np.float32), "CnnPolicy", {"normalize_images": False}, False,
    ),
    "discrete": (spaces.Discrete(5), "MlpPolicy", {}, False),
    "multidiscrete": (spaces.MultiDiscrete([3, 2, 4]), "MlpPolicy", {}, False),
    "multibinary": (spaces.MultiBinary([2, 3]), "MlpPolicy", {}, False),
    "stack-of-vectors": (spaces.Box(-1, 1, (4, 3), np.float32), "MlpPolicy", {}, False),
    "whole-numbers": (spaces.Box(0, 20, (4,), np.int64), "MlpPolicy", {}, False),
    "normalised": (VECTOR, "MlpPolicy", {}, True),
    "normalised-whole-numbers": (spaces.Box(0, 20, (4,), np.int64), "MlpPolicy", {}, True),
    "several-normalised": (
        spaces.Dict({"a": VECTOR, "b": spaces.Discrete(4), "c": spaces.MultiBinary(2)}),
        "MultiInputPolicy", {}, True,
    ),
    "an-image-of-several": (
        spaces.Dict({"a": VECTOR, "i": IMAGE}), "MultiInputPolicy", {}, True,
    ),
    "an-image-alone": (
        spaces.Dict({"i": IMAGE}), "MultiInputPolicy", {"normalize_images": False}, False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_recording_needs_no_option(case: str, tmp_path: Path) -> None:
    space, policy, options, normalised = CASES[case]
    folder = tmp_path / "run"
    folder.mkdir()
    with quietly():
        from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

        env: Any = DummyVecEnv([lambda: Env(space)])
        if normalised:
            several = isinstance(space, spaces.Dict)
            env = VecNormalize(env, norm_obs_keys=["a"] if several else None)
        model = save(folder, env, policy, **options)[-1]
        if normalised:
            for _ in range(20):
                env.reset()
            env.training = False
            env.save(str(folder / "vecnormalize.pkl"))
        space.seed(1)
        found = lrpdyn.record(model, env, n=4, every=1, out=tmp_path / "obs.npz", step=1)
    checked = computed(folder, tmp_path / "obs.npz")
    assert checked is not None
    assert (checked["step"], checked["samples"]) == (1, 4)
    # The recorded outputs are the framework's own: by its distribution, for what its environment gave.
    space.seed(1)
    with quietly():
        env.seed(0)
        seen = env.reset()
    own = outputs(model, seen)[0]
    recorded = found.outputs[0] - found.outputs[0].mean()
    np.testing.assert_allclose(recorded, own, rtol=1e-4, atol=1e-5 * np.abs(own).max())


def test_a_recording_without_the_statistics_of_its_run_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with quietly():
        from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

        plain = DummyVecEnv([lambda: Env(VECTOR)])
        env = VecNormalize(plain)
        model = save(folder, env)[-1]
        env.save(str(folder / "vecnormalize.pkl"))
        lrpdyn.record(model, plain, n=4, every=1, out=tmp_path / "obs.npz", step=1)
    with pytest.raises(
        ObservationError, match=r"recorded without VecNormalize, and .*normalize\.pkl"
    ):
        computed(folder, tmp_path / "obs.npz")
    assert computed(folder, tmp_path / "obs.npz", statistics="none") is not None
    env.norm_obs = False
    env.save(str(folder / "vecnormalize.pkl"))  # rewards alone
    assert computed(folder, tmp_path / "obs.npz") is not None
