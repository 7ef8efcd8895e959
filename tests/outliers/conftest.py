"""A run in which nothing is wrong, and the weights of real training."""

import pytest

from lrpdyn.outliers.facts import RunFacts
from tests.outliers.made_up import calm_run
from tests.outliers.trained import State, training


@pytest.fixture
def calm() -> RunFacts:
    """Eight samples at forty-one steps."""
    return calm_run()


@pytest.fixture(scope="session")
def clean() -> list[State]:
    """The weights of forty checkpoints of training, for tests that change none of them in place."""
    return training(0)


@pytest.fixture(scope="session")
def other() -> list[State]:
    """The same of another seed."""
    return training(1)


@pytest.fixture(scope="session")
def unfrozen() -> list[State]:
    """Training in which a layer and its norm were frozen until half way."""
    return training(4, frozen_until=20)
