"""The film of a sample's relevance."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lrpdyn.errors import UsageError
from lrpdyn.figures.canvas import style
from lrpdyn.figures.canvas.look import Look
from lrpdyn.figures.canvas.words import About
from lrpdyn.figures.drawings.animation import CONTAINERS, FRAME_MS, LAST_MS, Score, draw_animation
from lrpdyn.figures.run_data import Flags

STEPS = [0, 10_000, 20_000, 30_000]


def _draw(path: Path, shape: tuple[int, ...] = (2, 12, 12), **options: Any) -> None:
    random = np.random.default_rng(0)
    values = {step: random.normal(size=shape) * (1 + place) for place, step in enumerate(STEPS)}
    score = Score(np.array([0.5, np.nan, 2.5, 3.5]), [0, 1, 1, 4])
    draw_animation(
        path, random.uniform(size=shape), STEPS, values.__getitem__, score,
        about=About(rule="zplus", question="best action"), sample=2, look=Look(dpi=70), **options,
    )  # fmt: skip


def _frames(path: Path) -> list[np.ndarray]:
    frames = []
    with Image.open(path) as film:
        for place in range(film.n_frames):
            film.seek(place)
            frames.append(np.asarray(film.convert("RGB")).astype(int))
    return frames


@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize("shape", [(2, 12, 12), (5,)])
def test_a_frame_for_each_step_and_the_same_bytes(
    tmp_path: Path, suffix: str, shape: tuple[int, ...]
) -> None:
    for name in "ab":
        _draw(tmp_path / f"{name}{suffix}", shape, flags=Flags({20_000: "far"}))
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    frames = _frames(tmp_path / f"a{suffix}")
    assert len(frames) == 4
    assert all(np.abs(one - other).max() > 50 for one, other in itertools.pairwise(frames))


def test_the_last_frame_stays_longer_and_the_film_begins_again(tmp_path: Path) -> None:
    _draw(tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as film:
        assert film.info["loop"] == 0
        durations = []
        for place in range(film.n_frames):
            film.seek(place)
            durations.append(film.info["duration"])
    assert durations == [FRAME_MS] * 3 + [LAST_MS]


def test_relevance_has_the_colours_of_one_scale(tmp_path: Path) -> None:
    _draw(tmp_path / "a.apng")
    frames = _frames(tmp_path / "a.apng")
    ends = [
        np.array(style.colour_map("RdBu_r")(end, bytes=True)[:3]).astype(int) for end in (0.0, 1.0)
    ]
    seen = [max((np.abs(frame - end).max(axis=-1) == 0).sum() for end in ends) for frame in frames]
    assert seen[3] > max(seen[:3])


def test_the_palette_of_a_gif_keeps_the_picture(tmp_path: Path) -> None:
    for suffix in (".gif", ".apng"):
        _draw(tmp_path / f"a{suffix}")
    for reduced, exact in zip(
        _frames(tmp_path / "a.gif"), _frames(tmp_path / "a.apng"), strict=True
    ):
        assert np.abs(reduced - exact).mean() < 1.5


def test_chosen_steps_alone_are_shown(tmp_path: Path) -> None:
    _draw(tmp_path / "a.gif", wanted=[0, 30_000])
    assert len(_frames(tmp_path / "a.gif")) == 2


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.gif or \.webp or \.apng, found \.mp4"):
        _draw(tmp_path / "a.mp4")
