"""The folder of RL-Zoo, as its ExperimentManager writes it, and nothing that it names is made."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import yaml

from lrpdyn.errors import ObservationError, RecordingError
from lrpdyn.recording.zoo import zoo_run
from tests.recording.test_checkpoint import computed, recorded, vec_normalised
from tests.recording.training import quietly


def save_settings(folder: Path, environment: str, **hyperparameters: Any) -> Path:
    """Write config.yml and args.yml as rl_zoo3.exp_manager.ExperimentManager._save_config does."""
    inside = folder / environment
    inside.mkdir(parents=True)
    config = OrderedDict((key, hyperparameters[key]) for key in sorted(hyperparameters))
    (inside / "config.yml").write_text(yaml.dump(config))
    arguments = {
        "algo": "ppo",
        "env": environment,
        "env_kwargs": None,
        "seed": 1,
        "log_folder": "logs",
    }
    ordered = OrderedDict((key, arguments[key]) for key in sorted(arguments))
    (inside / "args.yml").write_text(yaml.dump(ordered))
    return inside


def test_a_run_of_rl_zoo(tmp_path: Path) -> None:
    folder = tmp_path / "CartPole-v1_1"
    inside = save_settings(
        folder, "CartPole-v1", batch_size=64, normalize="dict(norm_obs=True, norm_reward=False)",
        policy="MlpPolicy", policy_kwargs="dict(activation_fn=nn.Tanh)",
    )  # fmt: skip
    vec_normalised(folder)
    (folder / "vecnormalize.pkl").rename(inside / "vecnormalize.pkl")
    out, told = recorded("CartPole-v1", folder)
    assert told[0] == f"RL-Zoo's settings in {inside}"
    assert told[1].startswith(f"normalised with {inside / 'vecnormalize.pkl'}")
    assert computed(folder, out) is not None
    (inside / "vecnormalize.pkl").unlink()
    with pytest.raises(RecordingError, match=r"no vecnormalize\.pkl lies there; give it with"):
        recorded("CartPole-v1", folder)


def test_what_the_settings_say(tmp_path: Path) -> None:
    atari = "stable_baselines3.common.atari_wrappers.AtariWrapper"
    save_settings(
        tmp_path, "PongNoFrameskip-v4", frame_stack=4, env_kwargs={"mode": 1}, train_freq=(4, "step"),
        env_wrapper=[atari, {"gymnasium.wrappers.TimeLimit": {"max_episode_steps": 5}}],
    )  # fmt: skip
    found = zoo_run(tmp_path / "best_model.zip")
    assert found is not None
    assert (found.environment, found.stack, found.normalised) == ("PongNoFrameskip-v4", 4, False)
    assert found.env_kwargs == {"mode": 1}
    limit = ("gymnasium.wrappers.TimeLimit", {"max_episode_steps": 5})
    assert found.wrappers == ((atari, {}), limit)
    assert zoo_run(tmp_path / "elsewhere" / "a.zip") is None


@pytest.mark.parametrize(
    ("normalize", "normalised"),
    [(True, True), (False, False), ("{'norm_obs': False}", False), ({"norm_reward": True}, True)],
)
def test_what_is_normalised(tmp_path: Path, normalize: Any, normalised: bool) -> None:
    save_settings(tmp_path, "CartPole-v1", normalize=normalize)
    found = zoo_run(tmp_path / "a.zip")
    assert found is not None
    assert found.normalised is normalised


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("env_wrapper: !!python/object/apply:os.system ['touch ran']", "is no name with arguments"),
        ("env_kwargs: {a: !!python/name:os.system ''}", "no plain data"),
        ("normalize: __import__('os').system('touch ran')", "is not read"),
        ("vec_env_wrapper: own.Wrapper", "vec_env_wrapper own.Wrapper"),
        ("[1, 2]", "is no mapping"),
        ("a: [", "is not what RL-Zoo writes"),
        ("!!python/object/apply:collections.OrderedDict [1, 2]", "is not what RL-Zoo writes"),
    ],
)
def test_what_a_file_asks_for_is_not_done(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "config.yml").write_text(text)
    with pytest.raises(RecordingError, match=says):
        zoo_run(tmp_path / "a.zip")
    assert not Path("ran").exists()


def test_a_wrapper_of_another_package_is_refused_by_name(relu_folder: Path, tmp_path: Path) -> None:
    name = "rl_model_128_steps.zip"
    (tmp_path / name).write_bytes((relu_folder / name).read_bytes())
    save_settings(tmp_path, "CartPole-v1", env_wrapper="own_package.wrappers.Own")
    with pytest.raises(RecordingError, match=r"wrapper own_package\.wrappers\.Own: is none of"):
        recorded("CartPole-v1", tmp_path)
    with pytest.raises(RecordingError, match=r"Own: is not installed here: No module named"):
        recorded("CartPole-v1", tmp_path, trust=True)


def test_the_best_model_is_compared_although_another_file_has_its_step(
    relu_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "CartPole-v1_1"
    save_settings(folder, "CartPole-v1", normalize=False)
    for step in (0, 128):
        name = f"rl_model_{step}_steps.zip"
        (folder / name).write_bytes((relu_folder / name).read_bytes())
    # The evaluation that saved it came after another update, at the same number of steps.
    with quietly():
        from stable_baselines3 import PPO

        best = PPO.load(folder / "rl_model_128_steps.zip", device="cpu")
        best.policy.action_net.bias.data += 0.5 * best.policy.action_net.weight.data[:, 0]
        best.save(folder / "best_model.zip")
    out, _ = recorded("CartPole-v1", folder, name="best_model.zip")
    found = computed(folder, out)
    assert found is not None
    assert found["step"] == 128
    (folder / "best_model.zip").unlink()
    with pytest.raises(ObservationError, match="SHA-256 differs"):
        computed(folder, out)
