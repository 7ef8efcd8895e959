"""Boxes on the emulator's screen become regions of observations, and OCAtari's are where things are drawn."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import gymnasium as gym
import numpy as np
import pytest
import torch

import lrpdyn
from lrpdyn.errors import LrpdynError, RecordingError, UsageError
from lrpdyn.observations.regions import read_regions
from lrpdyn.recording.atari_objects import Box, ObjectTracker, View, regions_of, view_of
from lrpdyn.recording.record import objects_path
from tests.recording.training import quietly

SCREEN = (210, 160)


def box(name: str, x: int, y: int, width: int, height: int) -> Box:
    return Box(name=name, x=x, y=y, width=width, height=height)


def atari(name: str = "PongNoFrameskip-v4", **options: Any) -> Any:
    with quietly():
        import ale_py

        gym.register_envs(ale_py)
        return gym.make(name, **options)


def stacked_atari(name: str = "PongNoFrameskip-v4", **options: Any) -> Any:
    """The environment that `lrpdyn record --atari` makes."""
    from stable_baselines3.common.atari_wrappers import AtariWrapper
    from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecTransposeImage

    with quietly():
        env = AtariWrapper(atari(name, **options))
        return VecTransposeImage(VecFrameStack(DummyVecEnv([lambda: env]), 4))


def undecided(observations: torch.Tensor) -> torch.Tensor:
    """Six equal outputs, of which an action is drawn."""
    return torch.zeros(len(observations), 6)


def unplayed(observations: torch.Tensor) -> torch.Tensor:
    raise AssertionError("played")


@pytest.mark.parametrize("size", [(84, 84), (64, 96), SCREEN])
def test_a_pixel_is_of_a_box_where_the_wrappers_draw_some_of_it(size: tuple[int, int]) -> None:
    generator = np.random.default_rng(3)
    for _ in range(100):
        x, y = int(generator.integers(-6, 160)), int(generator.integers(-6, 210))
        width, height = (int(length) for length in generator.integers(1, 30, 2))
        screen = np.zeros(SCREEN)
        screen[max(0, y) : max(0, y + height), max(0, x) : max(0, x + width)] = 1
        drawn = cv2.resize(screen, size[::-1], interpolation=cv2.INTER_AREA) > 1e-6
        found = regions_of([[[box("a", x, y, width, height)]]], (1, 1, *size), View(screen=SCREEN))
        if found is None:
            assert not drawn.any()
        else:
            assert np.array_equal(found.masks[0, 0, 0], drawn)


def test_boxes_of_a_kind_are_one_region_and_kinds_out_of_sight_are_none() -> None:
    near = [
        box("enemy", 0, 0, 2, 2),
        box("enemy", 40, 40, 2, 2),
        box("gone", 200, 0, 8, 8),
    ]
    found = regions_of([[near], [[box("own", 8, 8, 2, 2)]]], (2, *SCREEN), View(screen=SCREEN))
    assert found is not None
    assert found.names == ("enemy", "own")
    assert found.masks.shape == (2, 2, 1, *SCREEN)
    assert found.masks.sum(axis=(2, 3, 4)).tolist() == [[8, 0], [0, 4]]
    assert regions_of([[near[2:]]], (1, *SCREEN), View(screen=SCREEN)) is None
    assert regions_of([[[box("flat", 9, 9, 3, 0)]]], (1, 84, 84), View(screen=SCREEN)) is None


@pytest.mark.parametrize("shape", [(1, 6, *SCREEN), (1, *SCREEN, 6)])
def test_each_frame_of_a_stack_has_the_boxes_of_its_own_time(shape: tuple[int, ...]) -> None:
    frames = [[box("a", 0, 0, 1, 1)], [box("a", 9, 0, 1, 1)]]
    found = regions_of([frames], shape, View(screen=SCREEN, stacked=2))
    assert found is not None
    where = np.argwhere(found.masks[0, 0])
    # Three colours of the older frame, then three of the newest.
    assert where.tolist() == [[0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 9], [4, 0, 9], [5, 0, 9]]


def seen(view: View) -> list[list[str]]:
    """What the last observation shows, where screen 3 begins a game, and 4 an episode after a lost life."""
    tracker = ObjectTracker(view)
    for number, begins in enumerate([True, False, False, True, False, False, False]):
        tracker.screen([box(f"{number}", 0, 0, 1, 1)], first=begins)
        if number >= 3:
            tracker.observation(first=number in (3, 4))
    return [[one.name for one in frame] for frame in tracker.frames]


def test_frames_show_the_screens_since_the_beginning_that_are_pooled() -> None:
    assert seen(View(screen=SCREEN)) == [["6"]]
    assert seen(View(screen=SCREEN, pooled=2)) == [["5", "6"]]
    assert seen(View(screen=SCREEN, pooled=2, stacked=3)) == [["3", "4"], ["4", "5"], ["5", "6"]]
    assert seen(View(screen=SCREEN, stacked=5)) == [[], [], ["4"], ["5"], ["6"]]
    assert seen(View(screen=SCREEN, stacked=5, repeated=True)) == [["4"]] * 3 + [["5"], ["6"]]


def test_no_screen_of_the_game_before_is_pooled() -> None:
    tracker = ObjectTracker(View(screen=SCREEN, pooled=2))
    tracker.screen([box("before", 0, 0, 1, 1)], first=True)
    tracker.screen([box("first", 0, 0, 1, 1)], first=True)
    tracker.observation(first=True)
    assert tracker.frames == [[box("first", 0, 0, 1, 1)]]


def gymnasium_atari() -> Any:
    with quietly():
        env = gym.wrappers.AtariPreprocessing(atari())
        return gym.wrappers.FrameStackObservation(env, 3)


@pytest.mark.parametrize(
    ("make", "view"),
    [
        (atari, View(screen=SCREEN)),
        (stacked_atari, View(screen=SCREEN, stacked=4, pooled=2)),
        (gymnasium_atari, View(screen=SCREEN, stacked=3, repeated=True, pooled=2)),
    ],
)
def test_how_real_wrappers_show_the_screen(make: Callable[[], Any], view: View) -> None:
    env = make()
    assert view_of(env) == view
    env.close()


def cut() -> Any:
    env = atari()
    space = gym.spaces.Box(0, 255, (160, 160, 3), np.uint8)
    return gym.wrappers.TransformObservation(env, lambda seen: seen[34:194], space)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: gym.make("CartPole-v1"), "CartPole-v1 is no Atari game, and OCAtari knows no"),
        (cut, "wrapper TransformObservation may cut or move what the screen shows"),
        (lambda: atari(obs_type="ram"), r"expected pictures .* found observations of shape \(128,"),
    ],
)
def test_other_environments_are_refused_before_anything_is_played(
    tmp_path: Path, make: Callable[[], Any], says: str
) -> None:
    env = make()
    with pytest.raises(UsageError, match=says):
        lrpdyn.record(unplayed, env, objects=True, out=tmp_path / "obs.npz")
    assert not any(tmp_path.iterdir())
    env.close()


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ocatari", None)
    env = stacked_atari()
    with pytest.raises(RecordingError, match=r"needs OCAtari \(.*pip install 'lrpdyn\[objects\]'"):
        lrpdyn.record(unplayed, env, objects=True)
    env.close()


def test_the_boxes_are_where_pong_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("ocatari")
    env, out = stacked_atari(), tmp_path / "obs.npz"
    found = lrpdyn.record(undecided, env, objects=True, deterministic=False, n=32, every=9, out=out)
    observations = np.load(out)["observations"]
    assert found.objects is not None
    assert set(found.objects.names) == {"Player", "Enemy", "Ball", "PlayerScore", "EnemyScore"}
    written = read_regions(objects_path(out), observations.shape)
    assert written.sha256 == found.objects.sha256
    # In the field: at its edges a pixel is of a paddle and of a wall.
    masks = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "pong_masks.py"))["masks"]
    field = np.zeros(observations.shape, dtype=np.bool_)
    field[..., 14:77, :] = observations.any(axis=(2, 3))[..., None, None]
    by_hand = {name: mask & field for name, mask in masks(observations).items()}
    for name, hand in {"Player": "own", "Enemy": "enemy", "Ball": "ball"}.items():
        box = written.masks[written.names.index(name)] & field
        assert (box & by_hand[hand]).sum() > 0.9 * (box | by_hand[hand]).sum(), name
    assert not {"step", "reset"} & vars(env.unwrapped.envs[0].unwrapped).keys()
    env.close()


def test_what_is_not_visible_is_no_region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ocatari")
    from ocatari.ram import pong

    def hide(objects: Any, memory: Any, hud: bool) -> None:
        for one in objects:
            one.visible = False

    monkeypatch.setattr(pong, "_detect_objects_ram", hide)
    env, out = stacked_atari(), tmp_path / "obs.npz"
    objects_path(out).write_text("of an earlier recording")
    assert lrpdyn.record(undecided, env, objects=True, n=2, every=1, out=out).objects is None
    assert [path.name for path in tmp_path.iterdir()] == ["obs.npz"]
    env.close()


def test_a_game_that_ocatari_does_not_know() -> None:
    pytest.importorskip("ocatari")
    env = stacked_atari("ALE/Surround-v5", frameskip=1)
    with pytest.raises(UsageError, match="OCAtari does not know ALE/Surround-v5; objects of any"):
        lrpdyn.record(unplayed, env, objects=True)
    env.close()


def test_a_game_that_ocatari_fails_on(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ocatari")
    from ocatari.ram import pong

    monkeypatch.delattr(pong, "Player")
    env = stacked_atari()
    with pytest.raises(LrpdynError, match=r"OCAtari fails on PongNoFrameskip-v4 \(NameError: name"):
        lrpdyn.record(unplayed, env, objects=True)
    env.close()
