"""lrpdyn regions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from lrpdyn import open_run
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


def test_objects_that_compute_finds_have_the_names_of_a_file(tmp_path: Path) -> None:
    _moving_square(tmp_path / "obs.npy")
    (tmp_path / "ckpts").mkdir()
    torch.manual_seed(0)
    for step in (1, 2, 3):
        network = nn.Sequential(nn.Conv2d(2, 4, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(484, 3))
        torch.save(network.state_dict(), tmp_path / f"ckpts/net_{step}.pt")
    (tmp_path / "net.py").write_text(
        "from torch import nn\n\n\ndef net():\n    return nn.Sequential(nn.Conv2d(2, 4, 3, 2), nn.ReLU(), "
        "nn.Flatten(), nn.Linear(484, 3))\n"
    )
    asked = ("compute", "ckpts", "obs.npy", "--arch", "net.py:net", "--scale", 255, "--baseline", "none",
             "--faithfulness", "none", "--interventions", 0)  # fmt: skip
    done = lrpdyn(*asked, "--regions", "auto", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "lrpdyn-run"
    masks = np.load(run / "regions.npz")
    assert masks.files == ["object_1", "object_2"]
    assert (masks["object_2"] == (np.load(tmp_path / "obs.npy") == 120)).all()
    assert (run / "figures/regions.png").stat().st_size > 1000
    shares = open_run(run).metrics["share_object_2"]

    names = tmp_path / "names.toml"
    names.write_text('[regions]\n2 = "the ball"\n')
    done = lrpdyn(*asked, "--regions", "auto", "--names", names, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = open_run(run)
    np.testing.assert_array_equal(found.metrics["share_the_ball"], shares)
    assert np.load(run / "regions.npz").files == ["object_1", "the_ball"]
    report = lrpdyn("outliers", "--details", cwd=tmp_path)
    assert "\n  the_ball " in report.stdout
    assert "object_2" not in report.stdout

    for text, regions, says in [
        ('[regions]\n3 = "score"', ["--regions", "auto"], "there is no region 3, only 1 to 2"),
        ('regions = ["a"]', ["--regions", "auto"], "regions: has 1 names, expected 2"),
        ('[regions]\n1 = "wall"', [], "regions: there are none; give --regions auto"),
    ]:
        names.write_text(text)
        refused = lrpdyn(*asked, *regions, "--names", names, "-o", "other", cwd=tmp_path)
        assert refused.returncode == 2, refused.stderr
        assert says in refused.stderr
        assert refused.stderr.count("\n") == 1
