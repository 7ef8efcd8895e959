"""Training curves as frameworks write them, aligned and correlated."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from lrpdyn.dynamics.measures import rank_correlation
from lrpdyn.errors import UsageError
from lrpdyn.run.training_curve import Curve, circular_shift_p, correlations, read_curve


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Stable-Baselines3 itself logs of a short run: progress, monitor, evaluations, events."""
    folder = tmp_path_factory.mktemp("logs")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # gymnasium and Stable-Baselines3 warn about each other
        import gymnasium
        from stable_baselines3 import PPO
        from stable_baselines3.common.callbacks import EvalCallback
        from stable_baselines3.common.logger import configure
        from stable_baselines3.common.monitor import Monitor

        env = Monitor(gymnasium.make("CartPole-v1"), str(folder / "monitor.csv"))
        model = PPO("MlpPolicy", env, n_steps=64, batch_size=64, n_epochs=1, seed=0, device="cpu")
        model.set_logger(configure(str(folder), ["csv", "tensorboard"]))
        evaluation = EvalCallback(Monitor(gymnasium.make("CartPole-v1")), eval_freq=64,
                                  n_eval_episodes=2, log_path=str(folder), verbose=0)  # fmt: skip
        model.learn(256, callback=evaluation)
        model.logger.close()
        env.close()
    return folder


def test_reads_what_stable_baselines_writes(logs: Path) -> None:
    progress = read_curve(f"{logs / 'progress.csv'}:rollout/ep_rew_mean")
    assert progress.steps.tolist()[-1] == 256
    assert read_curve(str(logs / "progress.csv")).source == "progress.csv:rollout/ep_rew_mean"
    monitor = read_curve(str(logs / "monitor.csv"))
    # A step of CartPole is worth one: rewards are lengths, and steps their sum.
    np.testing.assert_allclose(monitor.steps, monitor.values.cumsum())
    evaluations = read_curve(str(logs / "evaluations.npz"))
    with np.load(logs / "evaluations.npz") as stored:
        np.testing.assert_allclose(evaluations.values, stored["results"].mean(axis=1))
    assert evaluations.steps.tolist() == [64, 128, 192, 256]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what tensorboard itself imports
def test_reads_tensorboard(logs: Path) -> None:
    progress = read_curve(f"{logs / 'progress.csv'}:rollout/ep_rew_mean")
    events = read_curve(f"{logs}:rollout/ep_rew_mean")
    np.testing.assert_allclose(events.values, progress.values, rtol=1e-2)
    (file,) = logs.glob("*.tfevents.*")
    for text in (logs, file):
        usual = read_curve(str(text))
        assert usual.source == f"{text.name}:rollout/ep_rew_mean"
        assert usual.values.tolist() == events.values.tolist()
    with pytest.raises(UsageError, match=r"no column nothing; it has .*rollout/ep_len_mean"):
        read_curve(f"{logs}:nothing")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_asks_for_the_tag_of_tensorboard_where_none_is_usual(tmp_path: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path / "two")) as writer:
        for step in (10, 20):
            writer.add_scalar("reward", step * 2, step)
            writer.add_scalar("loss", 1 / step, step)
    with pytest.raises(UsageError, match="give a column; it has reward, loss"):
        read_curve(str(tmp_path / "two"))
    with SummaryWriter(str(tmp_path / "one")) as writer:
        writer.add_scalar("reward", 5, 10)
    assert read_curve(str(tmp_path / "one")).values.tolist() == [5.0]
    (tmp_path / "none").mkdir()
    with pytest.raises(UsageError, match="give a column; it has none"):
        read_curve(str(tmp_path / "none"))


def test_refuses_what_is_no_curve(logs: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain.csv"
    plain.write_text("when,loss\n1,2\n")
    empty = tmp_path / "empty.csv"
    empty.write_text("step,loss,acc\n1,,\n2,,\n")
    for text, says in [
        (f"{tmp_path}/none.csv:a", "no such file"),
        (f"{logs / 'progress.csv'}:reward", r"no column reward; it has .*rollout/ep_rew_mean"),
        (f"{plain}:loss", "no column of steps.*found when, loss"),
        (f"{empty}:loss", "column loss holds no number"),
        (str(empty), "give a column"),
    ]:
        with pytest.raises(UsageError, match=says):
            read_curve(text)


def test_alignment_takes_the_mean_since_the_step_before() -> None:
    curve = Curve("", np.array([10.0, 20, 30, 60]), np.array([1.0, 3, 5, 9]))
    found = curve.at(np.array([5, 20, 30, 40, 70]))
    assert np.isnan(found[0])
    assert found[1:].tolist() == [2, 5, 5, 9]


def test_rank_correlation_is_spearmans() -> None:
    generator = np.random.default_rng(0)
    one, other = generator.normal(size=(2, 40)).round(1)
    assert rank_correlation(one, other) == pytest.approx(stats.spearmanr(one, other).statistic)
    assert rank_correlation(one, np.ones(40)) is None


def test_p_counts_the_circular_shifts_that_do_as_well() -> None:
    generator = np.random.default_rng(0)
    one = generator.normal(size=50)
    other = one + 0.1 * generator.normal(size=50)
    assert circular_shift_p(one, other) == pytest.approx(1 / 50)
    shifts = [abs(stats.spearmanr(np.roll(one, k), one[::-1]).statistic) for k in range(50)]
    assert circular_shift_p(one, one[::-1]) == np.mean(np.array(shifts) >= shifts[0] - 1e-12)
    trend = np.arange(50.0)
    # Two trends correlate perfectly, and so they do shifted by one, nearly: p is no wonder.
    assert circular_shift_p(trend, trend) == pytest.approx(1 / 50)
    assert circular_shift_p(one[:29], other[:29]) is None
    assert circular_shift_p(one, np.ones(50)) is None


def test_correlations_are_of_the_steps_that_both_have() -> None:
    steps = np.arange(0, 400, 10)
    curve = Curve("log.csv:reward", np.arange(50.0, 400), np.arange(50.0, 400))
    series = {"change": np.append(np.nan, -np.arange(39.0)), "flat": np.ones(40)}
    first, second = correlations(curve, steps, series)
    assert first == {"series": "change", "steps": 35, "rank_correlation": -1.0, "p": first["p"]}
    assert second["rank_correlation"] is None
    assert second["p"] is None
