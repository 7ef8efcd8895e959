"""Short runs that several tests record."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from tests.recording.training import cart_pole


@pytest.fixture(scope="session")
def relu_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PPO run on CartPole whose activation, ReLU, is written in its zips."""
    folder = tmp_path_factory.mktemp("relu")
    cart_pole(folder, policy_kwargs={"activation_fn": nn.ReLU, "net_arch": [16]})
    return folder
