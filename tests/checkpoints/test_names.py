"""The numbers in names, by hand."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lrpdyn.checkpoints.names import numbers_in, template, with_dates, without_groups

Known = list[tuple[int | None, str]]


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("rl_model_1024_steps", [(1024, "steps")]),
        ("global_step500", [(500, "steps")]),
        ("epoch=3-step=1200-v2", [(3, "epochs"), (1200, "steps")]),
        ("net_1_acc_91", [(1, ""), (91, "no step")]),
        ("episode_100_reward_-21", [(100, "episodes"), (-21, "no step")]),
        ("step_100", [(100, "steps")]),  # and not the ep within it
        ("ckpt_1e6", [(1_000_000, "")]),
        ("agent_2.5M", [(2_500_000, "")]),
        ("agent-5", [(5, "")]),  # a hyphen that separates is no sign
        ("agent_-5", [(-5, "")]),
        ("CartPole-v1", []),
        ("model_0.95", [(None, "no step")]),
        ("a1b2c3d4e5f6_7", [(7, "")]),  # a hash
    ],
)
def test_numbers(name: str, known: Known) -> None:
    assert [(number.value, number.unit) for number in numbers_in(name)] == known


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("20240101_120000", datetime(2024, 1, 1, 12, tzinfo=UTC)),
        ("run_2024-01-02T03-04-05", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2024-02-29", datetime(2024, 2, 29, tzinfo=UTC)),
    ],
)
def test_a_date_and_its_time_are_one_number(name: str, moment: datetime) -> None:
    (number,) = with_dates(name, numbers_in(name))
    assert (number.value, number.label) == (int(moment.timestamp()), "date")


def test_what_is_no_day_is_no_date() -> None:
    assert len(with_dates("2024-02-30", numbers_in("2024-02-30"))) > 1


def test_groups_of_digits() -> None:
    assert without_groups(["m_1,048,576", "m_10"]) == ["m_1048576", "m_10"]
    assert without_groups(["m_1_000", "m_2_000"]) == ["m_1000", "m_2000"]
    assert without_groups(["m_1_250", "m_2_000"]) == ["m_1_250", "m_2_000"]


def test_names_of_one_series_are_alike() -> None:
    assert template("rl_model_5_steps") == template("rl_model_10_steps")
    assert template("actor_5") != template("critic_5")
