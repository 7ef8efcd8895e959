"""Real checkpoints, saved by the real framework, shared by the tests."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from numpy.typing import NDArray

from lrpdyn.checkpoints import settling
from tests.small_runs import mlp_checkpoints, seeds_of_two_kinds

# The same examples in every run; campaigns, which are run by name, draw their own.
settings.register_profile("seeded", derandomize=True)
settings.load_profile("seeded")

# Threads of so small networks wait for each other, most of all where tests share the cores; processes
# that tests start are told by the variable.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Share the whole suite between two workers; a part of it has none to wait for."""
    return 2 if config.args_source is pytest.Config.ArgsSource.TESTPATHS else 0


@pytest.fixture(autouse=True)
def _files_settle_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let bad files, which tests have just written, be looked at again at once."""
    monkeypatch.setattr(settling, "QUIET", 0.02)


@pytest.fixture(scope="session")
def ppo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of a short real PPO run on images, as Stable-Baselines3's callback saves them."""
    folder = tmp_path_factory.mktemp("ppo")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # gymnasium and Stable-Baselines3 warn about each other
        from stable_baselines3 import PPO
        from stable_baselines3.common.callbacks import CheckpointCallback
        from stable_baselines3.common.envs import FakeImageEnv

        env = FakeImageEnv(screen_height=84, screen_width=84, n_channels=4, channel_first=True)
        model = PPO("CnnPolicy", env, n_steps=16, batch_size=16, n_epochs=1, seed=0, device="cpu")
        model.save(folder / "rl_model_0_steps.zip")
        model.learn(48, callback=CheckpointCallback(16, str(folder)))
    return folder


@pytest.fixture(scope="session")
def images() -> NDArray[np.uint8]:
    """Four frame stacks, uint8 (4, 4, 84, 84)."""
    generator = np.random.default_rng(0)
    frames = generator.integers(0, 256, size=(4, 4, 84, 84), dtype=np.uint8)
    frames[:, :, 40:, :] //= 4
    return frames


@pytest.fixture
def mlp_folder(tmp_path: Path) -> Path:
    """Five state dicts of a small MLP, saved out of order."""
    return mlp_checkpoints(tmp_path)


@pytest.fixture(scope="session")
def mlps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in a folder that tests share, and do not change."""
    return mlp_checkpoints(tmp_path_factory.mktemp("mlps"))


@pytest.fixture(scope="session")
def vectors() -> NDArray[np.float32]:
    """Five flat observations of both signs, (5, 6)."""
    return np.random.default_rng(1).normal(size=(5, 6)).astype(np.float32)


@pytest.fixture(scope="session")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Eight runs, every second of which looks at another end of the picture from its second step on."""
    return seeds_of_two_kinds(tmp_path_factory.mktemp("seeds"))
