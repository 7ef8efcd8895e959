"""Pickles followed without being run: the same values as pickle gives, and nothing executed."""

from __future__ import annotations

import io
import os
import pickle
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lrpdyn.checkpoints.pickles.globals import dangerous
from lrpdyn.checkpoints.pickles.outline import DamagedPickleError, outline
from lrpdyn.checkpoints.pickles.pickled import ArrayOutline, Opaque, TensorOutline

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.tuples(inner)
        | st.tuples(inner, inner)
        | st.tuples(inner, inner, inner, inner)
    ),
    max_leaves=20,
)


def followed(thing: Any, protocol: int = 2) -> Any:
    return outline(io.BytesIO(pickle.dumps(thing, protocol))).root


@given(PLAIN, st.integers(0, 5))
@settings(max_examples=200, deadline=None)
def test_plain_values_are_those_that_pickle_gives(thing: Any, protocol: int) -> None:
    assert followed(thing, protocol) == pickle.loads(pickle.dumps(thing, protocol))


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize(
    "values",
    [np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6).reshape(2, 3)),
     np.array([True, False]), np.arange(4, dtype=">i4")],
)  # fmt: skip
def test_arrays(values: np.ndarray, protocol: int) -> None:
    found = followed({"a": values}, protocol)["a"]
    assert isinstance(found, ArrayOutline)
    assert found.values is not None
    assert found.values.dtype == values.dtype
    np.testing.assert_array_equal(found.values, values)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_known_containers_and_scalars(protocol: int) -> None:
    thing = {"o": OrderedDict(a=1), "d": defaultdict(list, b=[2]), "n": np.int64(7), "s": {1, 2},
             "b": bytearray(b"xy"), "f": np.float32(0.5)}  # fmt: skip
    found = followed(thing, protocol)
    assert found["o"] == {"a": 1}
    assert found["d"] == {"b": [2]}
    assert (found["n"], found["f"], bytes(found["b"])) == (7, 0.5, b"xy")


def test_tensors_have_shapes_and_places(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(4, 3).t(), "p": torch.nn.Parameter(torch.zeros(2))},
               tmp_path / "a.pt", _use_new_zipfile_serialization=False)  # fmt: skip
    with (tmp_path / "a.pt").open("rb") as file:
        for _ in range(3):
            outline(file)
        found = outline(file)
    weights = found.root["w"]
    assert isinstance(weights, TensorOutline)
    assert (weights.shape, weights.stride, weights.size) == ((3, 4), (1, 3), 48)
    assert found.root["p"].shape == (2,)
    assert {storage.size for storage in found.storages} == {48, 8}
    assert dangerous(found.names) == ()


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_what_is_named_is_not_called(tmp_path: Path) -> None:
    payload = pickle.dumps({"x": Canary(tmp_path / "executed"), "y": 1})
    found = outline(io.BytesIO(payload))
    assert found.root["y"] == 1
    assert isinstance(found.root["x"], Opaque)
    assert found.root["x"].args == (str(tmp_path / "executed"),)
    assert dangerous(found.names) == (f"{os.mkdir.__module__}.mkdir",)
    assert not (tmp_path / "executed").exists()
    pickle.loads(payload)  # the canary does sing where it is run
    assert (tmp_path / "executed").is_dir()


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x80\x02",
        b"\x80\x02}",
        b"\x80\x02u.",
        b"\x80\x02h\x05.",
        b"\x80\x02cposix\n",
        b"\x80\x02\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x80\x02cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.",
        b"\x80\x02" + b"(" * 100_000 + b"t" * 100_000,
        b"\x80\x05\x97.",
    ],
)
def test_damaged_pickles_are_told(payload: bytes) -> None:
    with pytest.raises(DamagedPickleError):
        outline(io.BytesIO(payload))


def test_copies_do_not_fill_the_memory() -> None:
    # A dictionary of a million text bytes, copied again and again from the memo.
    text = b"\x8d" + (1 << 20).to_bytes(8, "little") + b"a" * (1 << 20)
    again = b"h\x01h\x00\x85R0"
    payload = b"\x80\x04" + text + b"q\x000c_codecs\nencode\nq\x010" + again * 10_000 + b"N."
    with pytest.raises(DamagedPickleError, match="without end"):
        outline(io.BytesIO(payload))


def test_what_holds_itself_is_followed_and_what_is_shared_is_counted() -> None:
    shared: list[Any] = [0]
    shared.append(shared)
    assert len(followed({"a": shared, "b": [shared] * 1000})["b"]) == 1000
    for _ in range(40):
        shared = [shared, shared]
    with pytest.raises(DamagedPickleError, match="shared without end"):
        followed(shared)
