"""What the calls in a pickle would give: outlines, and refusals of what cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from lrpdyn.checkpoints.pickles.pickled import Opaque, TensorOutline
from lrpdyn.checkpoints.pickles.rebuilt import called, put_pairs, storage

FLOATS = storage(("storage", Opaque("torch.FloatStorage"), "0", "cpu", 12))


def tensor(*args: Any) -> Any:
    return called(Opaque("torch._utils._rebuild_tensor_v2"), args)


def test_storages_know_their_bytes() -> None:
    assert (FLOATS.key, FLOATS.count, FLOATS.size) == ("0", 12, 48)
    assert isinstance(storage(("module", 1)), Opaque)
    with pytest.raises(ValueError, match="without a size"):
        storage(("storage", Opaque("torch.FloatStorage"), "0", "cpu", -1))


def test_tensors_are_described() -> None:
    found = tensor(FLOATS, 2, (2, 3), (3, 1), False, {})
    assert isinstance(found, TensorOutline)
    assert (found.shape, found.offset, found.size, found.special) == ((2, 3), 2, 24, False)
    assert tensor(FLOATS, 0, (2,), (1,), False, {}, "conjugated").special


@pytest.mark.parametrize(
    "args",
    [
        (FLOATS, -1, (2,), (1,)),
        (FLOATS, 0, (2,), ()),
        (FLOATS, 0, (1,) * 65, (1,) * 65),
        (FLOATS, 0, (2.5,), (1,)),
        ("no storage", 0, (2,), (1,)),
    ],
)
def test_tensors_that_cannot_be_are_refused(args: tuple[Any, ...]) -> None:
    with pytest.raises((TypeError, ValueError), match="a tensor without its"):
        tensor(*args)


def test_unknown_functions_are_noted_and_not_called() -> None:
    found = called(Opaque("os.system"), ("true",))
    assert isinstance(found, Opaque)
    assert (found.name, found.args) == ("os.system", ("true",))
    with pytest.raises(TypeError, match="cannot be called"):
        called(print, ("x",))
    with pytest.raises(TypeError, match="bytes from what is none"):
        called(Opaque("builtins.bytes"), (1 << 40,))


def test_keys_that_are_tuples_are_noted_and_not_hashed() -> None:
    target: dict[Any, Any] = {}
    put_pairs(target, ["a", 1, ((),), 2])
    assert target["a"] == 1
    (key,) = (key for key in target if isinstance(key, Opaque))
    assert (key.name, target[key]) == ("key", 2)
    with pytest.raises(ValueError, match="neither text nor a number"):
        put_pairs(target, [(0,) * 65, 2])
