"""What names say of steps, alone and together with others."""

from __future__ import annotations

import pytest

from lrpdyn.checkpoints.steps import step_in


@pytest.mark.parametrize(
    ("stem", "unit", "value"),
    [
        ("rl_model_500_steps", "steps", 500),
        ("checkpoint_iter_77", "steps", 77),
        ("model_epoch_12", "epochs", 12),
        ("ppo_loss=3.210_40", "steps", 40),
        ("100k", "steps", 100_000),
        ("ppo-2.5M", "steps", 2_500_000),
        ("500_checkpoint", "steps", 500),
        ("a1b2c3d4e5_7", "steps", 7),
        ("m_1e5", "steps", 100_000),
        ("ck_-1", "steps", -1),
        ("step-1", "steps", 1),
        ("500ksteps", "steps", 500_000),
        ("globalStep7_f1_91", "steps", 7),
        ("net_1_acc_91", "steps", 1),
        ("ep_7_rew_-3", "ep", 7),
        ("PongNoFrameskip-v4", None, None),
        ("best", None, None),
        ("reward_20", None, None),
        ("model_10_95", None, None),
    ],
)
def test_the_step_that_one_name_says(stem: str, unit: str | None, value: int | None) -> None:
    found = step_in(stem)
    assert (found and found.unit, found and found.value) == (unit, value)
