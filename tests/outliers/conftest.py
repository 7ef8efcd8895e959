"""A run in which nothing is wrong."""

import pytest

from lrpdyn.outliers.facts import RunFacts
from tests.outliers.made_up import calm_run


@pytest.fixture
def calm() -> RunFacts:
    """Eight samples at forty-one steps."""
    return calm_run()
