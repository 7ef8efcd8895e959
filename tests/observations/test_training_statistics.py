"""Statistics of the real VecNormalize with the checkpoints: asked about, used, or not needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

import lrpdyn
from lrpdyn.errors import ObservationError, UsageError
from tests.cli.processes import lrpdyn as command
from tests.observations.policies import (
    Env,
    assert_as_the_framework,
    compare,
    explained,
    save,
    scores,
)

SPACE = spaces.Box(-50, 80, (4,), np.float32)
RAW = np.random.default_rng(0).uniform(-50, 80, (3, 4))


def normalised(space: spaces.Space[Any] = SPACE, **options: Any) -> Any:
    """Return an environment whose running statistics have seen observations."""
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    env = VecNormalize(DummyVecEnv([lambda: Env(space)]), **options)
    env.reset()
    for _ in range(20):
        env.step(np.zeros(1, dtype=np.int64))
    return env


#: Where real runs keep the statistics, from the checkpoints' folder.
PLACES = [
    "vecnormalize.pkl",
    "vec_normalize.pkl",
    "ppo_vecnormalize_final.pkl",
    "VecNormalize_best.pkl",
    "env_state.pkl",
    "statistics.pickle",
    "Env-v1/vecnormalize.pkl",
    "../vecnormalize.pkl",
    "../vec_norm/final.pkl",
]


@pytest.mark.parametrize("place", PLACES)
def test_statistics_that_lie_there_are_asked_about(place: str, tmp_path: Path) -> None:
    folder = tmp_path / "ckpts"
    folder.mkdir()
    file = folder / place
    file.parent.mkdir(exist_ok=True)
    env = normalised()
    models = save(folder, env)
    env.save(str(file))
    with pytest.raises(
        ObservationError, match=r"--statistics .* --trust if .* raw, --statistics none"
    ):
        explained(folder, RAW)
    assert_as_the_framework(
        folder, models, env.normalize_obs(RAW), RAW, statistics=file, trust=True
    )
    ready = env.normalize_obs(RAW)
    job = assert_as_the_framework(folder, models, ready, ready, statistics="none")
    assert job.observations.preparation["statistics"] == "none"


@pytest.mark.slow
def test_a_run_by_the_command_line(tmp_path: Path) -> None:
    env = normalised()
    models = save(tmp_path, env)
    env.save(str(tmp_path / "vecnormalize.pkl"))
    np.save(tmp_path / "raw.npy", RAW)
    given = ["compute", tmp_path, tmp_path / "raw.npy", "--baseline", "none", "--target", "0"]
    refused = command(*given, cwd=tmp_path)
    assert refused.returncode == 1
    assert "vecnormalize.pkl lies with the checkpoints" in refused.stderr
    chosen = ["--statistics", tmp_path / "vecnormalize.pkl", "--trust"]
    assert command(*given, *chosen, cwd=tmp_path).returncode == 0
    run = lrpdyn.open_run(tmp_path / "lrpdyn-run")
    compare(scores(run), models, env.normalize_obs(RAW))


def test_statistics_of_rewards_alone_need_no_answer(tmp_path: Path) -> None:
    env = normalised(norm_obs=False)
    models = save(tmp_path, env)
    env.save(str(tmp_path / "vecnormalize.pkl"))
    assert_as_the_framework(tmp_path, models, RAW, RAW)


def test_runs_and_scripts_of_such_a_name_are_no_statistics(tmp_path: Path) -> None:
    models = save(tmp_path, SPACE)
    for step in (0, 1):
        (tmp_path / f"model_{step}_steps.zip").rename(tmp_path / f"vecnorm_{step}_steps.zip")
    (tmp_path / "vec_normalize.py").write_text("print('not run')")
    assert_as_the_framework(tmp_path, models, RAW, RAW)


def test_the_last_of_several_is_named(tmp_path: Path) -> None:
    env = normalised()
    models = save(tmp_path, env)
    for step in (500, 2000, 1000):
        env.save(str(tmp_path / f"rl_model_vecnormalize_{step}_steps.pkl"))
    last = tmp_path / "rl_model_vecnormalize_2000_steps.pkl"
    with pytest.raises(ObservationError, match=f"{last}, the last of 3, lies"):
        explained(tmp_path, RAW)
    assert_as_the_framework(
        tmp_path, models, env.normalize_obs(RAW), RAW, statistics=last, trust=True
    )


#: Settings as RL-Zoo writes them, and whether they say that observations were normalised.
SETTINGS = [
    ("- - - n_steps\n    - 8\n  - - normalize\n    - true\n", True),
    ("- - - normalize\n    - '{''norm_obs'': True, ''norm_reward'': False}'\n", True),
    ("normalize: dict(norm_obs=True, norm_reward=True)\n", True),
    ("- - - normalize\n    - '{''norm_obs'': False, ''norm_reward'': True}'\n", False),
    ("normalize: false\nnormalize_advantage: true\n", False),
    ("- - - normalize_kwargs\n    - true\n", False),
]


@pytest.mark.parametrize(("text", "says"), SETTINGS)
def test_settings_of_rl_zoo_are_read(text: str, says: bool, tmp_path: Path) -> None:
    models = save(tmp_path, SPACE)
    (tmp_path / "Env-v1").mkdir()
    (tmp_path / "Env-v1" / "config.yml").write_text(
        f"!!python/object/apply:collections.OrderedDict\n{text}"
    )
    if says:
        with pytest.raises(ObservationError, match=r"config\.yml says normalize, and no vecnorm"):
            explained(tmp_path, RAW)
    else:
        assert_as_the_framework(tmp_path, models, RAW, RAW)


def _recorded(folder: Path) -> Path:
    np.savez(folder / "obs.npz", observations=RAW, outputs=np.zeros((len(RAW), 1)), about="{}")
    return folder / "obs.npz"


@pytest.mark.parametrize("given", [lambda folder: RAW, _recorded], ids=["array", "recording"])
def test_only_a_recording_says_what_the_network_saw(
    given: Callable[[Path], Any], tmp_path: Path
) -> None:
    from lrpdyn.observations.training_statistics import check_normalisation

    normalised().save(str(tmp_path / "vecnormalize.pkl"))
    source = given(tmp_path)
    if isinstance(source, Path):
        assert check_normalisation(None, tmp_path / "a.zip", "sb3-zip", [source]) == []
    else:
        with pytest.raises(ObservationError, match="lies with the checkpoints"):
            check_normalisation(None, tmp_path / "a.zip", "sb3-zip", [source])


def test_statistics_of_images_and_of_several_inputs(tmp_path: Path) -> None:
    images = spaces.Box(0, 255, (3, 36, 36), np.uint8)
    env = normalised(images)
    folder = tmp_path / "images"
    folder.mkdir()
    models = save(folder, env, "CnnPolicy", normalize_images=False)
    env.save(str(folder / "vecnormalize.pkl"))
    raw = np.stack([images.sample() for _ in range(2)])
    given = {"statistics": folder / "vecnormalize.pkl", "trust": True}
    assert_as_the_framework(folder, models, env.normalize_obs(raw), raw, **given)

    several = spaces.Dict({"speed": SPACE, "goal": spaces.Discrete(3)})
    env = normalised(several, norm_obs_keys=["speed"])
    folder = tmp_path / "several"
    folder.mkdir()
    models = save(folder, env, "MultiInputPolicy")
    env.save(str(folder / "vecnormalize.pkl"))
    named = {"speed": RAW, "goal": np.array([2, 0, 1])}
    given = {"statistics": folder / "vecnormalize.pkl", "trust": True}
    assert_as_the_framework(folder, models, env.normalize_obs(named), named, **given)
    ready = env.normalize_obs(named)
    assert_as_the_framework(folder, models, ready, ready, statistics="none")
    with pytest.raises(UsageError, match="each has its own: give them by name"):
        explained(folder, np.zeros((2, 7)), **given)
