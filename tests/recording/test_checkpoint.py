"""Real runs are recorded with the framework's own network, and lrpdyn's gives the same outputs."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

import lrpdyn
from lrpdyn.errors import LrpdynError, ObservationError, RecordingError
from lrpdyn.recording.checkpoint import Setting, record_checkpoint
from tests.recording.training import cart_pole, equals, quietly, save_series, saved

LAST = "rl_model_128_steps.zip"


def recorded(
    environment: str, folder: Path, *, trust: bool = False, name: str = LAST, **given: Any
) -> tuple[Path, list[str]]:
    """Record the last checkpoint of a folder; return the file, and what was told."""
    options = {"n": 6, "quiet": True, **given}
    setting = Setting(
        **{key: options.pop(key) for key in [*options] if key in Setting.__dataclass_fields__}
    )
    told: list[str] = []
    out = folder.parent / f"{folder.name}.npz"
    record_checkpoint(
        environment, folder / name, setting, trust=trust, say=told.append, out=out, **options
    )
    return out, told


def computed(folder: Path, observations: Any, **options: Any) -> dict[str, Any] | None:
    """Explain a folder and return what was found of the recorded outputs."""
    options = {"out": folder.parent / f"{folder.name}-run", "workers": 1, **options}
    run = lrpdyn.compute(
        folder, observations, baseline="none", quiet=True, overwrite=True, **options
    )
    found: dict[str, Any] | None = run.manifest["checks"]["expected"]
    return found


def test_a_run_is_recorded_and_its_outputs_are_confirmed(relu_folder: Path) -> None:
    out, _ = recorded("CartPole-v1", relu_folder, n=16)
    found = computed(relu_folder, out)
    assert found is not None
    assert (found["step"], found["head"], found["samples"]) == (128, "policy", 16)
    assert found["largest_difference"] <= 1e-5 * found["largest_output"]
    arrays = np.load(out)
    about = json.loads(str(arrays["about"]))
    assert about["environment"] == "CartPole-v1"
    assert about["framework"] == "stable-baselines3"
    assert about["checkpoint"] == LAST
    assert set(arrays["episode"]) >= {0, 1, 2}
    assert arrays["reward"].tolist() == [1.0] * 16
    # By the framework's own loading, which unpickles: the outputs are its own network's.
    with quietly():
        from stable_baselines3 import PPO

        policy = PPO.load(relu_folder / LAST, device="cpu").policy
        observations = torch.from_numpy(arrays["observations"])
        with torch.no_grad():
            logits = policy.action_net(policy.mlp_extractor.forward_actor(observations))
            actions = policy.predict(arrays["observations"], deterministic=True)[0]
    assert equals(arrays["outputs"], logits.numpy())
    assert arrays["actions"].tolist() == actions.tolist()


def test_nothing_pickled_is_run(relu_folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(relu_folder / LAST) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    data = json.loads(members["data"])
    for value in data.values():
        if isinstance(value, dict) and ":serialized:" in value:
            value[":serialized:"] = "not a pickle"  # unpickling it would fail
    members["data"] = json.dumps(data).encode()
    with zipfile.ZipFile(tmp_path / LAST, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    out, _ = recorded("CartPole-v1", tmp_path)
    assert np.load(out)["outputs"].shape == (6, 2)
    with pytest.raises(RecordingError, match="cannot be loaded by Stable-Baselines3"):
        recorded("CartPole-v1", tmp_path, trust=True)


def test_a_lambda_is_asked_for_trust(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    cart_pole(folder, policy_kwargs={"activation_fn": lambda: nn.Tanh()})
    with pytest.raises(RecordingError, match=r"activation_fn <function.*give --trust"):
        recorded("CartPole-v1", folder)
    out, _ = recorded("CartPole-v1", folder, trust=True)
    assert computed(folder, out, arch_args={"activation": "tanh"}) is not None


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [
        ("A2C", {}),
        ("DQN", {"buffer_size": 10, "policy_kwargs": {"net_arch": [16, 16]}}),
        ("QRDQN", {"buffer_size": 10, "policy_kwargs": {"n_quantiles": 7}}),
        ("TRPO", {}),
    ],
)
def test_other_algorithms(tmp_path: Path, algorithm: str, options: dict[str, Any]) -> None:
    folder = tmp_path / "run"
    model = cart_pole(folder, algorithm, **options)
    out, _ = recorded("CartPole-v1", folder)
    found = computed(folder, out)
    assert found is not None
    assert found["head"] == ("q" if "DQN" in algorithm else "policy")
    if "DQN" in algorithm:
        outputs = np.load(out)["outputs"]
        assert outputs.argmax(axis=1).tolist() == np.load(out)["actions"].tolist()
        assert outputs.shape == (6, model.action_space.n)


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [("SAC", {}), ("SAC", {"use_sde": True}), ("TD3", {}), ("TQC", {}), ("PPO", {})],
)
def test_means_are_recorded_before_what_squashes_them(
    tmp_path: Path, algorithm: str, options: dict[str, Any]
) -> None:
    folder = tmp_path / "run"
    model = saved("Pendulum-v1", folder, algorithm, **options)
    out, _ = recorded("Pendulum-v1", folder)
    found = computed(folder, out)
    assert found is not None
    assert "squashed" not in found
    # The user's own actions, as predict gives them, are compared after the tanh.
    arrays = np.load(out)
    actions = model.predict(arrays["observations"], deterministic=True)[0]
    np.save(tmp_path / "actions.npy", actions)
    np.save(tmp_path / "seen.npy", arrays["observations"])
    given = {"expect": tmp_path / "actions.npy", "expect_step": 128}
    if algorithm in ("SAC", "TD3", "TQC") and not options:
        found = computed(folder, tmp_path / "seen.npy", **given)
        assert found is not None
        assert found["squashed"] is True
        np.save(tmp_path / "actions.npy", actions + 0.01)
        with pytest.raises(ObservationError, match="gives other outputs than were recorded"):
            computed(folder, tmp_path / "seen.npy", **given)


def test_the_value_head_is_compared_through_its_own_layers(relu_folder: Path) -> None:
    out, _ = recorded("CartPole-v1", relu_folder, head="value")
    assert np.load(out)["outputs"].shape == (6, 1)
    found = computed(relu_folder, out)
    assert found is not None
    assert found["head"] == "value"


def test_atari_and_frames_in_another_order(tmp_path: Path) -> None:
    folder = tmp_path / "pong"
    with quietly():
        import ale_py
        from stable_baselines3 import PPO
        from stable_baselines3.common.env_util import make_atari_env
        from stable_baselines3.common.vec_env import VecFrameStack

        gym.register_envs(ale_py)
        env = VecFrameStack(make_atari_env("PongNoFrameskip-v4", 1, seed=0), 4)
        model = PPO("CnnPolicy", env, n_steps=8, batch_size=8, seed=0, device="cpu")
    save_series(model, folder)
    with pytest.raises(RecordingError, match=r"\(3, 210, 160\).*trained on \(4, 84, 84\).*--atari"):
        recorded("PongNoFrameskip-v4", folder)
    out, told = recorded("PongNoFrameskip-v4", folder, atari=True, every=7, n=4)
    assert told == ["wrapper AtariWrapper", "4 frames stacked (--stack)"]
    arrays = dict(np.load(out))
    assert arrays["observations"].dtype == np.uint8
    assert arrays["observations"].shape == (4, 4, 84, 84)
    assert arrays["time"].tolist() == [0, 7, 14, 21]
    found = computed(folder, out, samples="1,2")
    assert found is not None
    assert found["samples"] == 2
    arrays["observations"] = arrays["observations"][:, ::-1]
    np.savez(tmp_path / "newest.npz", **arrays)
    with pytest.raises(ObservationError, match="with --stack-order newest they are equal"):
        computed(folder, tmp_path / "newest.npz")
    assert computed(folder, tmp_path / "newest.npz", stack_order="newest") is not None
    with pytest.raises(ObservationError, match="with --scale 255 they are equal"):
        computed(folder, out, scale="none")


def vec_normalised(folder: Path) -> None:
    """Save a run whose observations are normalised by running statistics, and these."""
    with quietly():
        from stable_baselines3 import PPO
        from stable_baselines3.common.env_util import make_vec_env
        from stable_baselines3.common.vec_env import VecNormalize

        env = VecNormalize(make_vec_env("CartPole-v1", 1, seed=0))
        model = PPO("MlpPolicy", env, n_steps=64, batch_size=64, n_epochs=1, seed=0, device="cpu")
        model.learn(64)
        model.num_timesteps = 0
        save_series(model, folder)
        env.save(str(folder / "vecnormalize.pkl"))


def test_running_statistics(tmp_path: Path) -> None:
    folder = tmp_path / "normalised"
    vec_normalised(folder)
    out, told = recorded("CartPole-v1", folder)
    assert told == [
        f"normalised with {folder / 'vecnormalize.pkl'} (--vecnormalize none: not at all)"
    ]
    assert computed(folder, out) is not None
    arrays = dict(np.load(out))
    with quietly():
        from stable_baselines3.common.env_util import make_vec_env
        from stable_baselines3.common.vec_env import VecNormalize

        own = VecNormalize.load(str(folder / "vecnormalize.pkl"), make_vec_env("CartPole-v1", 1))
    raw = own.unnormalize_obs(arrays["observations"])
    assert np.abs(own.normalize_obs(raw) - arrays["observations"]).max() < 1e-5
    # The wrapper is left out on purpose: what was recorded is named as the cause.
    arrays["observations"] = raw.astype(np.float32)
    np.savez(tmp_path / "raw.npz", **arrays)
    with pytest.raises(
        ObservationError, match=r"with --statistics .*vecnormalize.pkl --trust they"
    ):
        computed(folder, tmp_path / "raw.npz")
    found = computed(
        folder, tmp_path / "raw.npz", statistics=folder / "vecnormalize.pkl", trust=True
    )
    assert found is not None


class Goals(gym.Env[Any, Any]):
    """An image and a goal, drawn at random."""

    observation_space = spaces.Dict(
        {
            "goal": spaces.Discrete(3),
            "image": spaces.Box(0, 255, (36, 36, 1), np.uint8),
            "vector": spaces.Box(-1, 1, (2,), np.float32),
        }
    )
    action_space = spaces.Discrete(4)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self._left = 5
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        self._left -= 1
        return self._seen(), 0.5, self._left == 0, False, {}

    def _seen(self) -> Any:
        image = self.np_random.integers(0, 256, (36, 36, 1), dtype=np.uint8)
        vector = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return {"goal": int(self.np_random.integers(3)), "image": image, "vector": vector}


def test_several_inputs(tmp_path: Path) -> None:
    folder = tmp_path / "goals"
    gym.register("lrpdyn-goals-v0", Goals)
    try:
        with quietly():
            from stable_baselines3 import PPO

            model = PPO(
                "MultiInputPolicy", "lrpdyn-goals-v0", n_steps=8, batch_size=8, device="cpu"
            )
        save_series(model, folder)
        out, _ = recorded("lrpdyn-goals-v0", folder)
    finally:
        del gym.registry["lrpdyn-goals-v0"]
    arrays = np.load(out)
    assert arrays["observations.image"].dtype == np.uint8
    assert arrays["observations.goal"].sum(axis=1).tolist() == [1.0] * 6  # one-hot
    found = computed(folder, out, samples="1,3,4")
    assert found is not None
    assert found["samples"] == 3


def test_what_is_no_checkpoint_and_no_environment(relu_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        RecordingError, match=r"Nowhere-v1: this environment is not installed.*record"
    ):
        recorded("Nowhere-v1", relu_folder)
    with pytest.raises(RecordingError, match="no such checkpoint"):
        recorded("CartPole-v1", relu_folder, name="none.zip")
    with pytest.raises(RecordingError, match=r"shape \(2,\).*trained on \(4,\)"):
        recorded("MountainCar-v0", relu_folder)
    torch.save(nn.Linear(4, 2).state_dict(), tmp_path / "net_1.pt")
    with pytest.raises(RecordingError, match=r"format torch.*lrpdyn.record"):
        recorded("CartPole-v1", tmp_path, name="net_1.pt")
    (tmp_path / "obs.npz").write_bytes(b"notes")
    with pytest.raises(LrpdynError, match="cannot be read"):
        record_checkpoint(
            "CartPole-v1", relu_folder / LAST, Setting(), trust=False, say=print,
            out=tmp_path / "obs.npz",
        )  # fmt: skip
    assert (tmp_path / "obs.npz").read_bytes() == b"notes"


def test_statistics_that_are_missing_are_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "normalised"
    vec_normalised(folder)
    (folder / "vecnormalize.pkl").unlink()
    with pytest.raises(RecordingError, match=r"no vecnormalize\.pkl lies there; give it with"):
        recorded("CartPole-v1", folder)
    with pytest.raises(ObservationError, match="its run had VecNormalize, and no vecnormalize"):
        computed(folder, np.zeros((2, 4), np.float32))
    out, _ = recorded("CartPole-v1", folder, vecnormalize="none")
    with pytest.raises(ObservationError, match="recorded without VecNormalize, which the run had"):
        computed(folder, out)


def test_statistics_of_several_inputs(tmp_path: Path) -> None:
    folder = tmp_path / "goals"
    gym.register("lrpdyn-goals-v0", Goals)
    try:
        with quietly():
            from stable_baselines3 import PPO
            from stable_baselines3.common.env_util import make_vec_env
            from stable_baselines3.common.vec_env import VecNormalize

            env = VecNormalize(make_vec_env("lrpdyn-goals-v0", 1, seed=0), norm_obs_keys=["vector"])
            model = PPO("MultiInputPolicy", env, n_steps=8, batch_size=8, n_epochs=1, device="cpu")
            model.learn(8)
            model.num_timesteps = 0
            save_series(model, folder)
            env.save(str(folder / "statistics.pkl"))
        out, told = recorded("lrpdyn-goals-v0", folder)
        assert told[0].startswith(f"normalised with {folder / 'statistics.pkl'}")
        arrays = np.load(out)
        plain, _ = recorded("lrpdyn-goals-v0", folder, vecnormalize="none")
    finally:
        del gym.registry["lrpdyn-goals-v0"]
    raw = np.load(plain)["observations.vector"][0]
    # The same first observation, for the seed is the same; normalised by the framework's own wrapper.
    normalised = env._normalize_obs(raw, env.obs_rms["vector"])
    assert equals(arrays["observations.vector"][0], normalised)
    recorded_again = folder.parent / "again.npz"
    np.savez(recorded_again, **arrays)
    assert computed(folder, recorded_again) is not None
