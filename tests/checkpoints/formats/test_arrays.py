"""Plain pickles of NumPy arrays, read without unpickling."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lrpdyn.checkpoints.formats.arrays import header_of, recognises, weights_of
from lrpdyn.checkpoints.model import Choice
from lrpdyn.errors import CheckpointError


def saved(folder: Path, thing: Any) -> Path:
    path = folder / "module_state.pkl"
    path.write_bytes(pickle.dumps(thing))
    return path


def test_arrays_are_what_they_were_in_the_order_of_this_machine(tmp_path: Path) -> None:
    swapped = np.arange(3, dtype=">f4")
    path = saved(tmp_path, {"state": {"w": np.ones((2, 3)), "b": swapped}, "epoch": 4})
    header = header_of(path, Choice("state"))
    assert header.shapes == {"w": (2, 3), "b": (3,)}
    assert header.epoch is not None
    assert header.epoch.value == 4
    weights = weights_of(path, Choice("state"))
    assert weights["b"].tolist() == [0, 1, 2]
    assert weights["w"].dtype == torch.float64


@pytest.mark.parametrize(
    ("thing", "says"),
    [
        ({"w": np.zeros(2), "x": Path("a").exists}, "can run code"),
        ({"steps": 3}, "no weights found"),
    ],
)
def test_other_pickles_are_refused(tmp_path: Path, thing: Any, says: str) -> None:
    with pytest.raises(CheckpointError, match=says):
        header_of(saved(tmp_path, thing), Choice())


def test_a_cut_is_noticed(tmp_path: Path) -> None:
    path = saved(tmp_path, {"w": np.zeros(50)})
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(
        CheckpointError, match=r"damaged or cut short .*; copy it again, .*--skip-bad"
    ):
        header_of(path, Choice())


def test_text_is_no_pickle() -> None:
    assert recognises(pickle.dumps(1, 2)[:8])
    assert not recognises(b"\x80")
    assert not recognises(b"(lp0\n.")
