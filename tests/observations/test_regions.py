"""Regions as people draw them, and the share of relevance that lies in each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lrpdyn.errors import ObservationError
from lrpdyn.observations.regions import read_regions, shares

SHAPE = (3, 2, 4, 5)


def test_a_png_has_a_region_for_each_colour(tmp_path: Path) -> None:
    picture = np.zeros((4, 5, 3), dtype=np.uint8)
    picture[:2, :3] = (255, 0, 0)
    picture[3] = (0, 16, 255)
    Image.fromarray(picture).save(tmp_path / "regions.png")
    found = read_regions(tmp_path / "regions.png", SHAPE)
    assert set(found.names) == {"ff0000", "0010ff"}
    red = found.of_sample(found.names.index("ff0000"), SHAPE)
    assert red.shape == SHAPE
    assert (red == (picture[..., 0] == 255)).all()
    assert found.areas(SHAPE)[found.names.index("ff0000")].tolist() == [6 / 20] * 3


def test_masks_are_for_all_samples_for_each_or_for_each_frame(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    masks = {
        "all": generator.random(SHAPE[2:]) < 0.5,
        "each": generator.random((3, 4, 5)) < 0.5,
        "frames": generator.random(SHAPE) < 0.5,
    }
    np.savez(tmp_path / "masks.npz", **masks)
    found = read_regions(tmp_path / "masks.npz", SHAPE)
    assert found.names == ("all", "each", "frames")
    whole = {
        "all": np.broadcast_to(masks["all"], SHAPE),
        "each": np.broadcast_to(masks["each"][:, None], SHAPE),
        "frames": masks["frames"],
    }
    maps = generator.normal(size=SHAPE).astype(np.float32)
    maps[2] = 0
    found_shares = shares(maps, found)
    for region, name in enumerate(found.names):
        np.testing.assert_array_equal(found.of_sample(region, SHAPE), whole[name])
        for n in range(2):
            expected = np.abs(maps[n])[whole[name][n]].sum() / np.abs(maps[n]).sum()
            assert found_shares[region, n] == pytest.approx(expected, rel=1e-5)
        assert np.isnan(found_shares[region, 2])


def test_flat_observations_have_regions_of_features(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", first=np.array([1, 1, 0, 0]), own=np.eye(2, 4))
    found = read_regions(tmp_path / "m.npz", (2, 4))
    maps = np.array([[1, -1, 2, 0], [0, 1, 0, 3.0]])
    assert shares(maps, found).tolist() == [[0.5, 0.25], [0.25, 0.25]]


def test_regions_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "wide.npz", walls=np.ones((4, 6)))
    with pytest.raises(ObservationError, match=r"walls: has shape \(4, 6\), expected .*\(4, 5\)"):
        read_regions(tmp_path / "wide.npz", SHAPE)
    np.savez(tmp_path / "alike.npz", **{"a b": np.ones((4, 5)), "a-b": np.ones((4, 5))})
    with pytest.raises(ObservationError, match="have the same name"):
        read_regions(tmp_path / "alike.npz", SHAPE)
    (tmp_path / "text.npz").write_text("no masks")
    with pytest.raises(ObservationError, match=r"text.npz: cannot be read"):
        read_regions(tmp_path / "text.npz", SHAPE)
    with pytest.raises(ObservationError, match="cannot be read"):
        read_regions(tmp_path / "none.png", SHAPE)
    Image.new("RGB", (5, 4)).save(tmp_path / "black.png")
    with pytest.raises(ObservationError, match="holds no region"):
        read_regions(tmp_path / "black.png", SHAPE)
    noise = np.random.default_rng(0).integers(0, 255, (20, 20, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    with pytest.raises(ObservationError, match="at most 64"):
        read_regions(tmp_path / "photo.png", (1, 1, 20, 20))


def test_names_and_masks_make_the_checksum(tmp_path: Path) -> None:
    def digest(**masks: np.ndarray) -> str:
        np.savez(tmp_path / "m.npz", **masks)
        return read_regions(tmp_path / "m.npz", SHAPE).sha256

    one = np.eye(4, 5)
    assert digest(a=one) == digest(a=3 * one)
    assert len({digest(a=one), digest(b=one), digest(a=1 - one)}) == 3


def test_a_png_of_another_size_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (SHAPE[3], 10 * SHAPE[2])).save(tmp_path / "tall.png")
    monkeypatch.setattr(
        "lrpdyn.observations.regions.read_picture", lambda *_: pytest.fail("it was read")
    )
    expected = rf"tall.png: has shape \({10 * SHAPE[2]}, {SHAPE[3]}\), expected \({SHAPE[2]}, "
    with pytest.raises(ObservationError, match=expected):
        read_regions(tmp_path / "tall.png", SHAPE)
