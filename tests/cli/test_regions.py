"""lrpdyn regions."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.cli.processes import lrpdyn


def _moving_square(path: Path) -> None:
    frames = np.full((12, 2, 24, 24), 40, dtype=np.uint8)
    frames[..., :3, :] = 220
    for sample in range(12):
        for time in range(2):
            frames[sample, time, 5 + sample, 4 + sample + time : 8 + sample + time] = 120
    np.save(path, frames)


def test_objects_are_written_and_drawn(tmp_path: Path) -> None:
    _moving_square(tmp_path / "obs.npy")
    done = lrpdyn("regions", "obs.npy", "-o", "found.npz", "--name", "1=wall", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "found.npz\n")
    assert "--regions found.npz" in done.stderr
    found = np.load(tmp_path / "found.npz")
    assert found.files == ["wall", "object_2"]
    assert (found["object_2"] == (np.load(tmp_path / "obs.npy") == 120)).all()
    assert (tmp_path / "regions.png").stat().st_size > 1000


def test_where_nothing_moves_nothing_is_written(tmp_path: Path) -> None:
    np.save(tmp_path / "obs.npy", np.full((6, 2, 12, 12), 7, dtype=np.uint8))
    done = lrpdyn("regions", "obs.npy", cwd=tmp_path)
    assert done.returncode == 0
    assert "No objects in 6 observations: nothing differs" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["obs.npy"]


def test_features_are_refused_in_a_line(tmp_path: Path) -> None:
    np.save(tmp_path / "obs.npy", np.zeros((6, 4), dtype=np.float32))
    done = lrpdyn("regions", "obs.npy", cwd=tmp_path)
    assert done.returncode == 1
    assert "features have no objects" in done.stderr
    assert done.stderr.count("\n") == 1
