"""Inputs beside the image: read by name, checked, held fixed at their values in each sample."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import lrpdyn
from lrpdyn.errors import ObservationError
from lrpdyn.observations.fixed_inputs import notes, split_inputs
from lrpdyn.observations.spaces import DictInputs
from tests.observations.policies import (
    assert_as_the_framework,
    compare,
    explained,
    save,
    scores,
)

SPACE = {
    "image": gymnasium.spaces.Box(0, 255, (3, 40, 40), np.uint8),
    "goal": gymnasium.spaces.Discrete(4),
    "speed": gymnasium.spaces.Box(-1, 1, (2,), np.float32),
}


class Env(gymnasium.Env):  # type: ignore[type-arg]
    observation_space = gymnasium.spaces.Dict(SPACE)
    action_space = gymnasium.spaces.Discrete(3)

    def reset(self, **options: Any) -> Any:
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        return self.observation_space.sample(), 0.0, False, False, {}


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    folder = tmp_path_factory.mktemp("multi")
    models = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from stable_baselines3 import PPO

        for seed in (0, 1):
            model = PPO("MultiInputPolicy", Env(), n_steps=8, batch_size=8, seed=seed, device="cpu")
            model.save(folder / f"model_{seed}_steps.zip")
            models.append(model)
    return folder, models


def observations() -> dict[str, NDArray[Any]]:
    generator = np.random.default_rng(0)
    return {
        "image": generator.integers(0, 256, (3, 3, 40, 40), dtype=np.uint8),
        "goal": np.array([0, 3, 1]),
        "speed": generator.uniform(-1, 1, (3, 2)).astype(np.float32),
    }


def test_scores_are_those_of_the_framework(
    policies: tuple[Path, list[Any]], tmp_path: Path
) -> None:
    folder, models = policies
    given = observations()
    np.savez(tmp_path / "obs.npz", **given)
    run = lrpdyn.compute(folder, tmp_path / "obs.npz", out=tmp_path / "run", contrast="none",
                         samples="2,0", baseline="random:1")  # fmt: skip
    assert "inputs goal, speed are kept at their values" in run.manifest["rule"]["notes"][-1]
    for step, model in enumerate(models):
        tensors, _ = model.policy.obs_to_tensor(given)
        with torch.no_grad():
            features = model.policy.extract_features(tensors, model.policy.pi_features_extractor)
            expected = model.policy.action_net(model.policy.mlp_extractor.forward_actor(features))
        rows = run.metrics[run.metrics["step"] == step]
        wanted = expected.numpy()[[2, 0]].max(axis=1)
        np.testing.assert_allclose(rows["score"], wanted, rtol=1e-5, atol=1e-6)
    assert run.relevance[0].shape == (2, 3, 40, 40)


def test_without_values_they_are_zero_and_it_is_said(
    policies: tuple[Path, list[Any]], tmp_path: Path
) -> None:
    run = lrpdyn.compute(
        policies[0], observations()["image"], out=tmp_path / "run", baseline="none"
    )
    assert "inputs goal, speed are kept at zero" in run.manifest["rule"]["notes"][-1]
    with pytest.raises(lrpdyn.errors.RunError, match="another question: observations"):
        lrpdyn.compute(policies[0], observations(), out=tmp_path / "run", baseline="none")


class TwoInputs:
    held: ClassVar[dict[str, int]] = {"goal": 4, "speed": 2}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"goal": np.array([0, 4, 1])}, "expected 0 to 3, found 4"),
        ({"speed": np.zeros((3, 3))}, r"'speed': expected shape \(3, 2\)"),
        ({"speed": np.full((3, 2), np.nan)}, "NaN"),
        ({"other": np.zeros(3)}, "found image, other, goal, speed; keep one array as the image"),
        ({"goal": None}, "the image and an array for each of goal, speed; .*; add goal$"),
        ({"image": None}, "found goal, speed; add the image$"),
    ],
)
def test_wrong_values_are_refused(change: dict[str, NDArray[Any] | None], says: str) -> None:
    given = {
        name: array for name, array in {**observations(), **change}.items() if array is not None
    }
    with pytest.raises(ObservationError, match=says):
        split_inputs([given], TwoInputs())  # type: ignore[arg-type]


def test_an_array_that_the_space_does_not_name_is_no_image() -> None:
    spaces = {
        "image": {"kind": "Box", "shape": (3, 40, 40), "dtype": "uint8", "low": 0, "high": 255},
        "goal": {"kind": "Discrete", "n": 4},
        "speed": {"kind": "Box", "shape": (2,), "dtype": "float32", "low": -1, "high": 1},
    }
    given = {"reward": np.zeros(3), **observations()}
    (image,), fixed = split_inputs([given], TwoInputs(), DictInputs(spaces=spaces))  # type: ignore[arg-type]
    assert image is given["image"]
    assert set(fixed) == {"goal", "speed"}


DICT = gymnasium.spaces.Dict(
    {
        "speed": gymnasium.spaces.Box(-1, 1, (2, 2), np.float32),
        "goal": gymnasium.spaces.Discrete(4),
        "arms": gymnasium.spaces.MultiDiscrete([2, 3]),
        "bytes": gymnasium.spaces.Box(0, 255, (3,), np.uint8),
        "locks": gymnasium.spaces.MultiBinary(3),
    }
)


def named(samples: int = 4) -> dict[str, NDArray[Any]]:
    generator = np.random.default_rng(1)
    return {
        "speed": generator.uniform(-1, 1, (samples, 2, 2)).astype(np.float32),
        "goal": generator.integers(0, 4, samples),
        "locks": generator.integers(0, 2, (samples, 3)),
        "arms": generator.integers(0, 2, (samples, 2)),
        "bytes": generator.integers(0, 256, (samples, 3), dtype=np.uint8),
    }


@pytest.mark.parametrize("algorithm", ["PPO", "DQN"])
def test_inputs_without_an_image_are_joined_as_the_framework_does(
    tmp_path: Path, algorithm: str
) -> None:
    models = save(tmp_path, DICT, "MultiInputPolicy", algorithm)
    raw = named()
    np.savez(tmp_path / "obs.npz", **raw, reward=np.zeros(4))
    for given in (
        tmp_path / "obs.npz",
        raw,
        [{k: v[:1] for k, v in raw.items()}, tmp_path / "obs.npz"],
    ):
        seen = (
            {k: np.concatenate([v[:1], v]) for k, v in raw.items()}
            if isinstance(given, list)
            else raw
        )
        job = assert_as_the_framework(tmp_path, models, seen, given)
    parts = job.observations.preparation["inputs"]
    assert parts == [
        ["arms", 0, 5],
        ["bytes", 5, 3],
        ["goal", 8, 4],
        ["locks", 12, 3],
        ["speed", 15, 4],
    ]
    first = {name: values[0] for name, values in raw.items()}
    assert_as_the_framework(tmp_path, models, first, first)

    joined = job.observations.values[1:]
    job = assert_as_the_framework(tmp_path, models, raw, joined)
    assert "arms (5), bytes (3), goal (4), locks (3), speed (4)" in job.observations.notes[-1]


def test_a_run_on_several_inputs(tmp_path: Path) -> None:
    models = save(tmp_path, DICT, "MultiInputPolicy")
    np.savez(tmp_path / "obs.npz", **named())
    run = lrpdyn.compute(
        tmp_path, tmp_path / "obs.npz", out=tmp_path / "run", target=0, quiet=True, baseline="none"
    )
    compare(scores(run), models, named())
    kept = run.manifest["observations"]
    assert kept["files"] == [str(tmp_path / "obs.npz")]
    assert kept["inputs"][0] == ["arms", 0, 5]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"goal": np.array([0, 1, 2, 4])},
            r"input 'goal': .*not in the observation space Discrete\(4\)",
        ),
        ({"speed": np.zeros((4, 3))}, r"input 'speed': expected shape \('N', 2, 2\) of Box"),
        ({"speed": np.full((4, 2, 2), 7.0)}, r"lie in 7\.\.7, .*input 'speed'.*--scale none"),
        ({"speed": np.full((4, 2, 2), np.nan)}, "NaN"),
        ({"goal": np.array([0, 1, 2])}, "different numbers of samples"),
        ({"goal": None}, "an array for each input of the observation space, arms, bytes, goal"),
    ],
)
def test_inputs_that_are_not_of_the_space_are_refused(
    tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    save(tmp_path, DICT, "MultiInputPolicy")
    given = {name: value for name, value in {**named(), **change}.items() if value is not None}
    with pytest.raises(ObservationError, match=says):
        explained(tmp_path, given)
    np.savez(tmp_path / "upper.npz", **{name.upper(): value for name, value in named().items()})
    with pytest.raises(ObservationError, match=r"speed; found SPEED, GOAL, LOCKS, ARMS, BYTES$"):
        explained(tmp_path, tmp_path / "upper.npz")


@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_images_next_to_other_inputs_are_scaled_by_their_space(
    tmp_path: Path, scale: float
) -> None:
    kind = np.uint8 if scale == 255 else np.float32
    space = gymnasium.spaces.Dict(
        {
            "image": gymnasium.spaces.Box(0, scale, (3, 36, 36), kind),
            "second": gymnasium.spaces.Box(0, 255, (1, 36, 36), np.uint8),
            "hand": gymnasium.spaces.Discrete(3),
            "level": gymnasium.spaces.Box(0, 255, (2,), np.uint8),
        }
    )
    options: dict[str, Any] = {} if scale == 255 else {"normalize_images": False}
    models = save(tmp_path, space, "MultiInputPolicy", **options)
    raw = {name: np.stack([s.sample() for _ in range(2)]) for name, s in space.spaces.items()}
    assert_as_the_framework(tmp_path, models, raw, raw)
    one = {name: values[0] for name, values in raw.items()}
    assert_as_the_framework(tmp_path, models, one, one)


class TwoStates:
    held: ClassVar[dict[str, tuple[int, int]]] = {"lstm_h": (2, 8), "lstm_c": (2, 8)}
    recurrent = True


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"lstm_h": np.zeros((3, 2, 9))}, r"'lstm_h': expected shape \(3, 2, 8\), found .* \(3, 2, 9\)"),
        ({"lstm_c": np.zeros((2, 3, 8))}, r"'lstm_c': expected shape \(3, 2, 8\), found .* \(2, 3, 8\)"),
        ({"lstm_h": np.full((3, 2, 8), np.inf)}, "'lstm_h' holds NaN or infinity"),
        ({"lstm_c": None}, "expected the observations and an array for each of .*; add lstm_c$"),
        ({"seen": None}, "found lstm_h, lstm_c; add the observations$"),
        ({"more": np.zeros(3)}, "keep one array as the observations$"),
    ],
)  # fmt: skip
def test_hidden_states_of_another_size_are_refused(
    change: dict[str, NDArray[Any] | None], says: str
) -> None:
    given = {"seen": np.zeros((3, 5)), "lstm_h": np.zeros((3, 2, 8)), "lstm_c": np.ones((3, 2, 8))}
    (seen,), held = split_inputs([given], TwoStates())  # type: ignore[arg-type]
    assert seen is given["seen"]
    assert held["lstm_c"].all()
    changed = {name: array for name, array in {**given, **change}.items() if array is not None}
    with pytest.raises(ObservationError, match=says):
        split_inputs([changed], TwoStates())  # type: ignore[arg-type]


def test_what_hidden_states_are_is_said() -> None:
    states = {name: np.zeros((3, 2, 8), np.float32) for name in TwoStates.held}
    assert notes(TwoStates(), states) == [  # type: ignore[arg-type]
        "hidden state lstm_h, lstm_c fixed at its values in each sample"
    ]
    assert notes(TwoStates(), {})[0].startswith("assumed: hidden state zero")  # type: ignore[arg-type]
