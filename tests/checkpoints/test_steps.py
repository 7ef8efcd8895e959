"""Numbers in names that may be the step, and those that are none."""

from __future__ import annotations

import pytest

from lrpdyn.checkpoints.model import Header
from lrpdyn.checkpoints.steps import step_candidates


@pytest.mark.parametrize(
    ("stem", "source", "value"),
    [
        ("rl_model_500_steps", "label", 500),
        ("epoch=3-step=1200-v1", "label", 1200),
        ("checkpoint_iter_77", "label", 77),
        ("model_epoch_12", "epoch", 12),
        ("agent-2024-05-01-300", "number", 300),
        ("ppo_loss=3.210_40", "number", 40),
        ("100k", "label", 100_000),
        ("ppo-2.5M", "label", 2_500_000),
        ("500_checkpoint", "label", 500),
        ("a1b2c3d4e5_7", "number", 7),
        ("PongNoFrameskip-v4", None, None),
        ("best", None, None),
    ],
)
def test_step_from_the_name(stem: str, source: str | None, value: int | None) -> None:
    found = step_candidates(stem, Header({}))
    if source is None:
        assert found == {}
    else:
        assert found[source].value == value
