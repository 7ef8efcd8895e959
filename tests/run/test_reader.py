"""A run folder as it is read: each file when it is used, compared with its hash."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lrpdyn
from lrpdyn.errors import RunError
from lrpdyn.files.atomic import sha256_of
from lrpdyn.run import reader
from lrpdyn.run.layout import MAPS, PIXEL_MAPS
from lrpdyn.run.reader import RunFolder, _shown
from tests.pipeline.test_compute import Vectors


@pytest.fixture
def run(mlp_copy: Path) -> RunFolder:
    return RunFolder.open(mlp_copy)


def test_maps_are_what_is_stored(run: RunFolder, vectors: Vectors) -> None:
    assert run.steps == (2, 4, 10, 20, 30)
    np.testing.assert_array_equal(run.observations, vectors)
    for name in MAPS:
        assert getattr(run, name).shape == vectors.shape, name
        np.testing.assert_array_equal(getattr(run, name), np.load(run.path / f"{name}.npy"))
    assert list(run.relevance) == list(run.steps)
    stored = np.load(run.path / "relevance" / "step_000000000010.npy")
    np.testing.assert_array_equal(run.relevance[10], stored)
    with pytest.raises(KeyError):
        run.relevance[11]


def test_a_large_map_is_not_read_whole(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not isinstance(run.mapped("dynamics"), np.memmap)
    monkeypatch.setattr(reader, "LARGEST_IN_MEMORY", 0)
    mapped = run.mapped("dynamics")
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped, run.dynamics)


@pytest.mark.parametrize("name", MAPS)
def test_other_bytes_are_refused(run: RunFolder, name: str) -> None:
    path = run.path / f"{name}.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 4
    path.write_bytes(content)
    with pytest.raises(RunError, match=rf"{name}.npy: cannot be read: its bytes are not those"):
        getattr(run, name)


def test_a_map_of_another_shape_is_refused(run: RunFolder) -> None:
    path = run.path / "dynamics.npy"
    np.save(path, run.dynamics[:2])
    run.manifest["files"]["dynamics.npy"] = sha256_of(path)
    again = RunFolder(run.path, run.manifest)
    with pytest.raises(RunError, match=r"float32 of shape \(2, 6\), expected floats of \(5, 6\)"):
        again.dynamics  # noqa: B018 - reading is what fails


def test_maps_by_pixel_lose_their_channels(run: RunFolder) -> None:
    run.manifest["observations"]["shape"] = [5, 3, 2, 4]
    for name in PIXEL_MAPS:
        with pytest.raises(RunError, match=r"expected floats of \(5, 2, 4\)"):
            getattr(run, name)


def test_names_of_before_the_rooms() -> None:
    from lrpdyn.run import Relevance, Run, open_run

    assert (Run, open_run, Relevance) == (lrpdyn.Run, lrpdyn.open_run, reader.Relevance)
    with pytest.raises(ImportError, match="nothing"):
        from lrpdyn.run import nothing  # noqa: F401


def test_the_room_alone_loads_neither_torch_nor_the_reader() -> None:
    code = "import lrpdyn.run, sys; print({'torch', 'lrpdyn.run.reader'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"


def test_the_times_of_pictures_lie_side_by_side() -> None:
    films = np.random.default_rng(0).normal(size=(2, 3, 1, 4, 5))
    found = _shown(films, (2, 1, 4, 15))
    np.testing.assert_array_equal(found, np.concatenate([*np.moveaxis(films, 1, 0)], axis=-1))
    summed = _shown(films.sum(axis=2), (2, 4, 15))
    np.testing.assert_array_equal(summed, found[:, 0])
