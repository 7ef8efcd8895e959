"""Objects that are found without masks, held against scenes whose masks are known."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lrpdyn.errors import ObservationError, UsageError
from lrpdyn.observations.components import components
from lrpdyn.observations.objects import find_objects
from lrpdyn.observations.regions import find_regions, read_regions, renamed, write_masks

N, T, SIZE = 40, 4, 48
Masks = dict[str, NDArray[np.bool_]]
Scene = tuple[NDArray[np.uint8], Masks]


def _square(row: int, column: int, height: int, width: int) -> NDArray[np.bool_]:
    found = np.zeros((SIZE, SIZE), dtype=bool)
    found[row : row + height, column : column + width] = True
    return found


def _scene(seed: int = 0, colours: tuple[int, int, int, int] = (60, 230, 150, 200)) -> Scene:
    """Return frames with a wall, two paddles of one colour in columns of their own, a ball, a score."""
    random = np.random.default_rng(seed)
    background, wall, paddle, ball = colours
    frames = np.full((N, T, SIZE, SIZE), background, dtype=np.uint8)
    names = ("wall", "left", "right", "ball", "score")
    masks = {name: np.zeros(frames.shape, dtype=bool) for name in names}
    for sample in range(N):
        left, right = random.integers(12, SIZE - 12, 2)
        row, column = random.integers(14, SIZE - 12), random.integers(9, SIZE - 16)
        step = random.choice([-1, 1], 4)
        tens, ones = random.integers(1, 5, 2)
        for time in range(T):
            here = masks["wall"][sample, time]
            here |= _square(8, 0, 3, SIZE) | _square(SIZE - 3, 0, 3, SIZE)
            masks["left"][sample, time] = _square(left + step[0] * time // 2, 4, 8, 2)
            masks["right"][sample, time] = _square(right + step[1] * time // 2, SIZE - 6, 8, 2)
            masks["ball"][sample, time] = _square(
                row + step[2] * time, column + step[3] * time, 3, 2
            )
            score = _square(1, 10, 5, tens) | _square(1, 30, 5, ones)
            masks["score"][sample, time] = score
    for name, value in zip(names, (wall, paddle, paddle, ball, paddle), strict=True):
        frames[masks[name]] = value
    return frames, masks


def _overlaps(found: list[NDArray[np.bool_]], masks: Masks) -> dict[str, float]:
    """Return the best intersection over union of each known mask."""
    return {
        name: max((mask & one).sum() / (mask | one).sum() for one in found)
        for name, mask in masks.items()
    }


@pytest.mark.parametrize("colours", [(60, 230, 150, 200), (200, 20, 110, 60), (0, 255, 90, 170)])
def test_walls_paddles_ball_and_score_are_found(colours: tuple[int, int, int, int]) -> None:
    frames, masks = _scene(colours=colours)
    found, why = find_objects(frames)
    overlaps = _overlaps(found, masks)
    assert min(overlaps.values()) > 0.9, overlaps
    assert len(found) == len(masks)
    assert not why
    sizes = [mask.sum() for mask in found]
    assert sizes == sorted(sizes, reverse=True)


def test_edges_of_a_score_that_changes_are_not_of_the_wall_next_to_it() -> None:
    # A screen that is made smaller by averaging: digits of seven bars whose edges reach down to the wall.
    bars = {"a": (1, 36, 4, 12), "b": (1, 44, 12, 4), "c": (9, 44, 12, 4), "d": (17, 36, 4, 12),
            "e": (9, 36, 12, 4), "f": (1, 36, 12, 4), "g": (9, 36, 4, 12)}  # fmt: skip
    digits = ("abcdef", "bc", "abdeg", "abcdg", "bcfg", "acdfg")
    frames = np.zeros((64, 1, 84, 84), np.uint8)
    for sample, digit in enumerate(np.repeat(range(6), [14, 5, 11, 14, 3, 17])):
        screen = np.full((210, 160), 87, np.uint8)
        screen[24:34], screen[194:] = 236, 236
        for names, right in ((digits[digit], 0), (digits[0], 80)):
            for row, column, height, width in (bars[name] for name in names):
                screen[row : row + height, right + column : right + column + width] = 148
        screen[60 + sample : 64 + sample, 60 + sample % 9 : 62 + sample % 9] = 236
        rows = screen.repeat(2, axis=0).reshape(84, 5, 160).mean(axis=1)
        frames[sample, 0] = rows.repeat(21, axis=1).reshape(84, 84, 40).mean(axis=2)
    drawn = (frames != 87) & (np.arange(84) < 20)[:, None]
    found, _ = find_objects(frames)
    above = (np.arange(84) < 9)[:, None]
    overlaps = _overlaps(
        [one & drawn for one in found], {"score": drawn & above, "wall": drawn & ~above}
    )
    assert min(overlaps.values()) > 0.8, overlaps


def _with_noise(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    noise = np.random.default_rng(1).normal(0, 2, frames.shape)
    return (frames + noise).astype(np.float32) / 255


def _coloured(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the last frames as RGB, (N, 3, H, W)."""
    tables = np.random.default_rng(2).permuted(np.tile(np.arange(256), (3, 1)), axis=1)
    return tables[:, frames[:, -1]].transpose(1, 0, 2, 3).astype(np.uint8)


@pytest.mark.parametrize(
    "change", [_with_noise, lambda f: f / np.float32(255), lambda f: f[:, None]]
)
def test_noise_scale_and_sequences_do_not_matter(
    change: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
) -> None:
    frames, masks = _scene()
    changed = change(frames)
    found, _ = find_objects(changed)
    assert all(mask.shape == changed.shape for mask in found)
    plain = [mask.reshape(frames.shape) for mask in found]
    overlaps = _overlaps(plain, masks)
    assert min(overlaps.values()) > 0.7, overlaps


def test_colours_are_one_picture() -> None:
    frames, masks = _scene()
    found, _ = find_objects(_coloured(frames))
    assert all((mask == mask[:, :1]).all() for mask in found)
    plain = {name: mask[:, -1:] for name, mask in masks.items()}
    overlaps = _overlaps([mask[:, :1] for mask in found], plain)
    assert min(overlaps.values()) > 0.7, overlaps


@pytest.mark.parametrize(
    ("observations", "why"),
    [
        (np.full((5, 4, 12, 12), 7, np.uint8), "nothing differs"),
        (np.zeros((1, 1, 12, 12), np.float32), "nothing differs"),
        (np.random.default_rng(0).integers(0, 9, (30, 1, 12, 12)) * 20, "does not stand still"),
    ],
)
def test_observations_without_objects_have_none(observations: NDArray[np.uint8], why: str) -> None:
    regions, said = find_regions(observations)
    assert regions is None
    assert why in said


def test_features_are_refused() -> None:
    with pytest.raises(ObservationError, match="--regions auto: finds objects in pictures"):
        find_regions(np.zeros((5, 4), np.float32))


def test_found_regions_are_read_as_any_file(tmp_path_factory: pytest.TempPathFactory) -> None:
    frames, _ = _scene()
    found, _ = find_regions(frames)
    assert found is not None
    path = tmp_path_factory.mktemp("found") / "masks.npz"
    write_masks(path, found)
    again = read_regions(path, frames.shape)
    assert again.sha256 == found.sha256
    assert again.names == tuple(f"object_{number}" for number in range(1, 6))


def test_regions_of_one_name_become_one() -> None:
    found, _ = find_regions(_scene()[0])
    assert found is not None
    called = renamed(found, {1: "wall", 3: "paddle", 4: "paddle"})
    assert called.names == ("wall", "object_2", "paddle", "object_5")
    assert (called.masks[2] == found.masks[2] | found.masks[3]).all()
    with pytest.raises(UsageError, match="--name 6=ball: expected a number from 1 to 5"):
        renamed(found, {6: "ball"})


def test_components_are_those_of_a_search() -> None:
    masks = np.random.default_rng(0).random((3, 15, 17)) < 0.35
    found = components(masks)
    assert ((found > 0) == masks).all()
    seen: set[int] = set()
    for number, row, column in zip(*np.nonzero(masks), strict=True):
        label = int(found[number, row, column])
        if label in seen:
            continue
        seen.add(label)
        waiting, reached = [(row, column)], {(row, column)}
        while waiting:
            r, c = waiting.pop()
            near = [(r + i, c + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
            new = [p for p in near if 0 <= p[0] < 15 and 0 <= p[1] < 17 and masks[number][p]]
            new = [p for p in new if p not in reached]
            reached.update(new)
            waiting += new
        assert set(zip(*np.nonzero(found[number] == label), strict=True)) == reached
        assert (found == label).sum() == len(reached)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # gymnasium and Stable-Baselines3 warn about each other
def test_objects_of_pong_are_those_that_its_colours_tell() -> None:
    import ale_py
    import gymnasium
    from stable_baselines3.common.atari_wrappers import AtariWrapper

    gymnasium.register_envs(ale_py)
    env = AtariWrapper(gymnasium.make("PongNoFrameskip-v4"))
    random = np.random.default_rng(0)
    env.reset(seed=0)
    action, frames = 0, []
    for time in range(800):
        action = random.integers(6) if time % 8 == 0 else action
        frames.append(env.step(action)[0][..., 0])
    stacks = np.stack([np.stack(frames[last - 4 : last]) for last in range(104, 800, 11)])
    regions, _ = find_regions(stacks)
    assert regions is not None
    masks = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "pong_masks.py"))["masks"]
    overlaps = _overlaps(list(regions.masks), masks(stacks))
    assert set(overlaps) == {"walls", "score", "enemy", "own", "ball"}
    assert min(overlaps.values()) > 0.8, overlaps
