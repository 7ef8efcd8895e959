"""A run folder as it is read: each file when it is used, compared with its hash."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lrpdyn
from lrpdyn.errors import MissingStepError, RunError, UsageError
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


def test_steps_are_chosen_by_slices_and_the_nearest(run: RunFolder) -> None:
    maps = run.relevance
    some = maps[4:20]
    assert (some.steps, len(some), list(some)) == ((4, 10, 20), 3, [4, 10, 20])
    assert [maps[ends].steps for ends in (slice(5, None), slice(None, 4), slice(None, None, 2))] == [
        (10, 20, 30), (2, 4), (2, 10, 30),
    ]  # fmt: skip
    assert maps[11:19].steps == ()
    np.testing.assert_array_equal(some[10], maps[10])
    assert maps.steps == run.steps, "a slice leaves the whole as it is"
    assert maps.sel(step=slice(4, 20)).steps == some.steps
    for wanted, nearest in ((-5, 2), (11, 10), (15, 10), (16, 20), (99, 30), (np.int64(20), 20)):
        np.testing.assert_array_equal(maps.sel(step=wanted, method="nearest"), maps[nearest])
    np.testing.assert_array_equal(maps.sel(20), maps[20])
    assert repr(some) == "Relevance(3 steps 4 to 20, each (5, 6))"
    assert (10 in some, 30 in some, some.get(30)) == (True, False, None)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (11, r'run: has no step 11; next to it are 10 and 20: \.sel\(step=11, method="nearest"\)'),
        (1, "has no step 1; it has 5 from 2 to 30, nearest 2$"),
        (-1, "has no step -1; it has 5 from 2 to 30, nearest 2$"),
        (31, "has no step 31; it has 5 from 2 to 30, nearest 30$"),
        ("10", "no step '10' among 5 steps"),
    ],
)
def test_a_missing_step_names_its_neighbours(run: RunFolder, step: Any, said: str) -> None:
    for look in (run.relevance.__getitem__, run.relevance.sel):
        with pytest.raises(MissingStepError, match=said) as caught:
            look(step)
        assert isinstance(caught.value, KeyError), "as of any mapping"
        assert isinstance(caught.value, RunError)
    with pytest.raises(MissingStepError, match=r"has no step 2; it has 3 from 4 to 20, nearest 4$"):
        run.relevance[4:20][2]


def test_a_wrong_choice_of_steps_is_refused(run: RunFolder) -> None:
    with pytest.raises(UsageError, match="method 'pad': expected 'nearest'"):
        run.relevance.sel(10, method="pad")  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="expected 'nearest' with one step"):
        run.relevance.sel(slice(4, 20), method="nearest")  # type: ignore[call-overload]
    with pytest.raises(UsageError, match=r"relevance\[::-1\]: expected 1 or more"):
        run.relevance[::-1]


def test_what_the_checks_found_is_there_as_data(run: RunFolder) -> None:
    assert run.checks is run.manifest["checks"]
    assert run.checks["relevance_sum_to_score"]["median"] > 0
