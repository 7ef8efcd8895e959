"""Recordings that somebody else may have made, or that were cut short."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lrpdyn.errors import ObservationError
from lrpdyn.observations.layout import Expected
from lrpdyn.observations.loading import load_observations
from lrpdyn.observations.recording import Recording, is_recording, read_outputs


def saved(path: Path, **changed: Any) -> Path:
    recording = Recording(
        observations=np.arange(12.0).reshape(3, 4), outputs=np.arange(6.0).reshape(3, 2),
        actions=np.zeros(3), episode=np.zeros(3, int), time=np.arange(3), reward=np.ones(3),
        about={"step": 7, "sha256": "ab", "head": "q"},
    )  # fmt: skip
    recording.save(path)
    arrays = {**np.load(path), **changed}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def test_a_recording_comes_back(tmp_path: Path) -> None:
    path = saved(tmp_path / "obs.npz")
    found = read_outputs(path)
    assert (found.step, found.sha256, found.head, found.exact) == (7, "ab", "q", True)
    assert found.values.tolist() == [[0, 1], [2, 3], [4, 5]]
    loaded = load_observations([path], Expected(features=4))
    assert loaded.values[:].tolist() == np.arange(12.0).reshape(3, 4).tolist()
    assert (loaded.files, loaded.counts) == ((str(path),), (3,))


def test_what_is_a_recording(tmp_path: Path) -> None:
    assert is_recording(saved(tmp_path / "obs.npz"))
    assert not is_recording(saved(tmp_path / "other.npz", about=None))
    np.save(tmp_path / "obs.npy", np.zeros(3))
    assert not is_recording(tmp_path / "obs.npy")


def test_outputs_alone(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((3, 2), np.float32))
    np.save(tmp_path / "value.npy", np.ones(3))
    np.savez(tmp_path / "a.npz", anything=np.ones((3, 2)))
    np.savez(tmp_path / "b.npz", outputs=np.ones((3, 2)), other=np.zeros(3))
    for name in ("a.npy", "a.npz", "b.npz"):
        found = read_outputs(tmp_path / name)
        assert found.values.shape == (3, 2)
        assert (found.step, found.exact) == (None, False)
    assert read_outputs(tmp_path / "value.npy").values.shape == (3, 1)
    np.savez(tmp_path / "c.npz", one=np.ones((3, 2)), two=np.zeros(3))
    with pytest.raises(ObservationError, match="expected an array called outputs, found one, two"):
        read_outputs(tmp_path / "c.npz")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"outputs": np.array([[1.0], [np.nan]])}, "NaN or infinity, first in sample 1"),
        ({"outputs": np.zeros((3, 2, 2))}, r"expected outputs \(samples, units\)"),
        ({"outputs": np.zeros((0, 2))}, r"expected outputs \(samples, units\)"),
        ({"outputs": np.array(["a", "b"])}, "cannot be read|expected outputs"),
        ({"about": np.array("{")}, "its array about is not what lrpdyn record writes"),
        ({"about": np.array("[1]")}, "expected an object"),
        ({"about": np.array(json.dumps({"step": "7"}))}, r"it\.step is \"7\", expected an integer"),
        ({"about": np.array(json.dumps({"step": True}))}, r"it\.step is true"),
        ({"about": np.array('{"step": NaN}')}, "NaN is no number of JSON"),
        ({"about": np.zeros(3)}, "is float64 of shape"),
    ],
)
def test_damaged_recordings(tmp_path: Path, changed: dict[str, Any], says: str) -> None:
    with pytest.raises(ObservationError, match=says):
        read_outputs(saved(tmp_path / "obs.npz", **changed))


def test_a_file_that_was_cut_short(tmp_path: Path) -> None:
    path = saved(tmp_path / "obs.npz")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ObservationError, match="cut short"):
        read_outputs(path)


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "obs.npz"
    np.savez(path, outputs=np.ones((1, 2)), about=np.array({"a": 1}, dtype=object))
    with pytest.raises(ObservationError, match="Python objects"):
        read_outputs(path)
