"""A network of two heads with the weights that it was built with, and pictures for it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lrpdyn.explain.loaded import LoadedNetwork
from lrpdyn.explain.model import Model
from tests.diagnostics.networks import TwoHeads, loaded_of


@pytest.fixture
def pictures() -> np.ndarray:
    return np.random.default_rng(0).random((5, 2, 6, 6)).astype(np.float32)


@pytest.fixture
def loaded(pictures: np.ndarray) -> LoadedNetwork:
    torch.manual_seed(0)
    return loaded_of(TwoHeads, pictures)


@pytest.fixture
def model(loaded: LoadedNetwork) -> Model:
    return loaded.model
