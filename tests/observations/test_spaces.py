"""Each kind of observation space: the score is the output of the real Stable-Baselines3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from numpy.typing import NDArray

from lrpdyn.errors import ObservationError
from tests.observations.policies import assert_as_the_framework, explained, save

RANDOM = np.random.default_rng(0)


def box(low: float, high: float, shape: tuple[int, ...], dtype: str) -> gymnasium.Space[Any]:
    return spaces.Box(low, high, shape, np.dtype(dtype).type)


def pixels(*shape: int) -> NDArray[np.uint8]:
    return RANDOM.integers(0, 256, shape, dtype=np.uint8)


def uniform(low: float, high: float, *shape: int) -> NDArray[np.float64]:
    return RANDOM.uniform(low, high, shape)


#: A space, the policy and its options, raw observations, and what is given to lrpdyn for them.
RIGHT: dict[str, tuple[Any, str, dict[str, Any], Any, Any, dict[str, Any]]] = {
    "an image": (
        box(0, 255, (3, 36, 36), "uint8"), "CnnPolicy", {}, (raw := pixels(2, 3, 36, 36)), raw, {},
    ),
    "an image with the channels last": (
        box(0, 255, (36, 36, 3), "uint8"), "CnnPolicy", {}, (raw := pixels(2, 36, 36, 3)), raw, {},
    ),
    "an image as int64": (
        box(0, 255, (3, 36, 36), "uint8"), "CnnPolicy", {}, (raw := pixels(2, 3, 36, 36)),
        raw.astype(np.int64), {},
    ),
    "an image that is divided already": (
        box(0, 255, (3, 36, 36), "uint8"), "CnnPolicy", {}, (raw := pixels(2, 3, 36, 36)), raw / 255, {},
    ),
    "an image as floats of 0..255": (
        box(0, 255, (3, 36, 36), "uint8"), "CnnPolicy", {}, (raw := pixels(2, 3, 36, 36)),
        raw.astype(np.float64), {"scale": 255},
    ),
    "an image of 0..255 that is not divided": (
        box(0, 255, (3, 36, 36), "uint8"), "CnnPolicy", {"normalize_images": False},
        (raw := pixels(2, 3, 36, 36)), raw, {},
    ),
    "that image, divided by the user": (
        box(0, 255, (3, 36, 36), "uint8"), "CnnPolicy", {"normalize_images": False},
        (raw := pixels(2, 3, 36, 36)), raw / 255, {"scale": "0.00392156862745098"},
    ),
    "an image of 0..1": (
        box(0, 1, (3, 36, 36), "float32"), "CnnPolicy", {"normalize_images": False},
        (raw := uniform(0, 1, 2, 3, 36, 36)), raw, {},
    ),
    "an image of 0..1 as pixels": (
        box(0, 1, (3, 36, 36), "float32"), "CnnPolicy", {"normalize_images": False},
        (raw := pixels(2, 3, 36, 36)) / 255, raw, {"scale": 255},
    ),
    "an image of -1..1": (
        box(-1, 1, (3, 36, 36), "float32"), "CnnPolicy", {"normalize_images": False},
        (raw := uniform(-1, 1, 2, 3, 36, 36)), raw, {},
    ),
    "a mask of 0 and 1": (
        box(0, 1, (1, 36, 36), "uint8"), "CnnPolicy", {"normalize_images": False},
        (raw := pixels(2, 1, 36, 36) // 128), raw, {},
    ),
    "a flat policy on an image": (
        box(0, 255, (3, 6, 5), "uint8"), "MlpPolicy", {}, (raw := pixels(2, 3, 6, 5)), raw, {},
    ),
    "a flat policy on an image with the channels last": (
        box(0, 255, (6, 5, 3), "uint8"), "MlpPolicy", {}, (raw := pixels(2, 6, 5, 3)), raw, {},
    ),
    "a flat policy on an image, one sample": (
        box(0, 255, (6, 5, 3), "uint8"), "MlpPolicy", {}, (raw := pixels(1, 6, 5, 3)), raw[0], {},
    ),
    "a flat policy on an image that is divided already": (
        box(0, 255, (3, 6, 5), "uint8"), "MlpPolicy", {}, (raw := pixels(2, 3, 6, 5)), raw / 255, {},
    ),
    "a flat policy on an image that is not divided": (
        box(0, 255, (3, 6, 5), "uint8"), "MlpPolicy", {"normalize_images": False},
        (raw := pixels(2, 3, 6, 5)), raw, {},
    ),
    "bytes that are no image": (
        box(0, 255, (8,), "uint8"), "MlpPolicy", {}, (raw := pixels(3, 8)), raw, {},
    ),
    "small numbers of a large box": (
        box(0, 255, (5,), "float32"), "MlpPolicy", {}, (raw := uniform(0, 1, 3, 5)), raw, {},
    ),
    "bytes of other bounds": (
        box(0, 10, (3, 4, 4), "uint8"), "MlpPolicy", {}, (raw := pixels(3, 3, 4, 4) // 30), raw, {},
    ),
    "a box of float64": (
        box(-2, 2, (5,), "float64"), "MlpPolicy", {}, (raw := uniform(-2, 2, 4, 5)), raw, {},
    ),
    "a stack of vectors": (
        box(-2, 2, (3, 5), "float32"), "MlpPolicy", {}, (raw := uniform(-2, 2, 4, 3, 5)), raw, {},
    ),
    "one stack of vectors": (
        box(-2, 2, (3, 5), "float32"), "MlpPolicy", {}, (raw := uniform(-2, 2, 1, 3, 5)), raw[0], {},
    ),
    "stacks of vectors that are flat": (
        box(-2, 2, (3, 5), "float32"), "MlpPolicy", {}, (raw := uniform(-2, 2, 4, 3, 5)),
        raw.reshape(4, 15), {},
    ),
    "as many stacks as they have vectors": (
        box(-2, 2, (3, 3), "float32"), "MlpPolicy", {}, (raw := uniform(-2, 2, 3, 3, 3)), raw, {},
    ),
    "a volume of floats": (
        box(0, 1, (4, 3, 2), "float32"), "MlpPolicy", {}, (raw := uniform(0, 1, 3, 4, 3, 2)), raw, {},
    ),
    "four axes": (
        box(0, 1, (2, 2, 3, 2), "float32"), "MlpPolicy", {},
        (raw := uniform(0, 1, 3, 2, 2, 3, 2)), raw, {},
    ),
    "a Discrete": (
        spaces.Discrete(16), "MlpPolicy", {}, (raw := np.arange(16)), raw, {},
    ),
    "a Discrete with an axis more": (
        spaces.Discrete(5), "MlpPolicy", {}, (raw := np.array([3, 0])), raw[:, None], {},
    ),
    "a Discrete that is one-hot": (
        spaces.Discrete(5), "MlpPolicy", {}, (raw := np.array([3, 0])), np.eye(5)[raw], {},
    ),
    "a MultiDiscrete": (
        spaces.MultiDiscrete([3, 5, 2]), "MlpPolicy", {},
        (raw := np.array([[2, 4, 1], [0, 1, 0], [1, 0, 0], [0, 0, 1]])), raw, {},
    ),
    "one of a MultiDiscrete": (
        spaces.MultiDiscrete([3, 5, 2]), "MlpPolicy", {}, (raw := np.array([[2, 4, 1]])), raw[0], {},
    ),
    "a MultiBinary": (
        spaces.MultiBinary(6), "MlpPolicy", {}, (raw := pixels(4, 6) % 2), raw.astype(bool), {},
    ),
    "a MultiBinary of two axes": (
        spaces.MultiBinary([2, 3]), "MlpPolicy", {}, (raw := pixels(4, 2, 3) % 2), raw, {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", RIGHT)
def test_the_score_is_the_output_of_the_framework(case: str, tmp_path: Path) -> None:
    space, policy, options, raw, given, more = RIGHT[case]
    algorithm = "DQN" if sorted(RIGHT).index(case) % 3 == 0 else "PPO"
    models = save(tmp_path, space, policy, algorithm, **options)
    job = assert_as_the_framework(tmp_path, models, raw, given, **more)
    assert ["divided by 255 already" in note for note in job.observations.notes] == [True] * (
        "already" in case
    )


#: A space, the policy and its options, observations that are not of it, and what is said.
REFUSED: dict[str, tuple[Any, str, dict[str, Any], Any, str]] = {
    "pixels for 0..1": (
        box(0, 1, (3, 36, 36), "float32"), "CnnPolicy", {"normalize_images": False},
        pixels(2, 3, 36, 36), r"in 0\.\.255, .* takes 0\.\.1 \(observation space Box\(0, 1, .*--scale 255 if",
    ),
    "divided pixels for 0..255": (
        box(0, 255, (3, 36, 36), "uint8"), "CnnPolicy", {"normalize_images": False},
        pixels(2, 3, 36, 36) / 255, r"takes 0\.\.255 .*--scale 0\.0039.* if they are pixels divided",
    ),
    "floats of 0..255": (
        box(0, 255, (3, 36, 36), "uint8"), "CnnPolicy", {}, pixels(2, 3, 36, 36) * 1.0, "--scale 255 if",
    ),
    "divided bytes": (
        box(0, 255, (8,), "uint8"), "MlpPolicy", {}, pixels(3, 8) / 255, r"--scale 0\.0039.* divided by 255",
    ),
    "fractions of bytes": (
        box(0, 255, (8,), "uint8"), "MlpPolicy", {}, pixels(3, 8) / 2, "no whole numbers",
    ),
    "values of another box": (
        box(-1, 1, (4,), "float32"), "MlpPolicy", {}, uniform(-9, 9, 3, 4),
        r"network takes -1\.\.1 \(observation space Box\(-1, 1, \(4,\), float32\)\); --scale none",
    ),
    "another size": (
        box(-1, 1, (4,), "float32"), "MlpPolicy", {}, uniform(-1, 1, 3, 5), r"Box\(-1, 1, \(4,\), float32\)",
    ),
    "vectors the other way round": (
        box(-1, 1, (2, 4), "float32"), "MlpPolicy", {}, uniform(-1, 1, 3, 4, 2), r"trained on \(2, 4\)",
    ),
    "an image that is flat": (
        box(0, 255, (3, 6, 5), "uint8"), "MlpPolicy", {}, pixels(2, 90), r"trained on \(3, 6, 5\)",
    ),
    "a number beyond a Discrete": (
        spaces.Discrete(5), "MlpPolicy", {}, np.array([1, 5]), r"not in the observation space Discrete\(5\)",
    ),
    "floats for a Discrete": (
        spaces.Discrete(5), "MlpPolicy", {}, np.zeros(5), r"integers of shape \(N,\) or one-hot, \(N, 5\)",
    ),
    "shares for a Discrete": (
        spaces.Discrete(5), "MlpPolicy", {}, np.full((2, 5), 0.2), "not in the observation space",
    ),
    "a number beyond a MultiDiscrete": (
        spaces.MultiDiscrete([3, 2]), "MlpPolicy", {}, np.array([[0, 2]]), "not in the observation space",
    ),
    "a negative number": (
        spaces.MultiDiscrete([3, 2]), "MlpPolicy", {}, np.array([[-1, 0]]), "not in the observation space",
    ),
    "two for a MultiBinary": (
        spaces.MultiBinary(3), "MlpPolicy", {}, np.array([[0, 2, 1]]), r"MultiBinary\(\(3,\)\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_of_the_space_is_refused(case: str, tmp_path: Path) -> None:
    space, policy, options, given, says = REFUSED[case]
    save(tmp_path, space, policy, **options)
    with pytest.raises(ObservationError, match=says):
        explained(tmp_path, given)


def test_values_outside_of_the_bounds_are_kept_where_that_is_requested(tmp_path: Path) -> None:
    models = save(tmp_path, box(-1, 1, (4,), "float32"))
    raw = uniform(-2, 2, 3, 4)
    assert_as_the_framework(tmp_path, models, raw, raw, scale="none")
