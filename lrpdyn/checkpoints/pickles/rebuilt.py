"""What the calls in a pickle would give, as outlines: tensors, storages, arrays and containers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from lrpdyn.checkpoints.pickles.pickled import (
    ArrayOutline,
    Opaque,
    StorageOutline,
    TensorOutline,
    item_size,
)

_MOST_DIMENSIONS = 64
_KEYS = (str, int, float, bytes, bool, type(None))


def put_pairs(target: Any, items: list[Any]) -> None:
    """Put keys and values, one after the other, into the outline of a mapping."""
    if isinstance(target, Opaque):
        target.items += items
        return
    if not isinstance(target, dict):
        raise TypeError("no mapping")
    for key, value in zip(items[::2], items[1::2], strict=True):
        # Other keys are noted as they come: the hash of a hostile one could take for ever.
        target[key if isinstance(key, (*_KEYS, Opaque)) else Opaque(name="key", args=(key,))] = (
            value
        )


def called(function: Any, args: Any) -> Any:
    """Return the outline of what `function` would give."""
    if not isinstance(function, Opaque) or not isinstance(args, tuple):
        raise TypeError("a call of what cannot be called")
    known = _KNOWN.get(function.name)
    return Opaque(name=function.name, args=args) if known is None else known(*args)


def storage(identity: Any) -> Any:
    """Return the outline of ``("storage", class, key, device, count)``."""
    if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] != "storage":
        return Opaque(name="persistent", args=(identity,))
    kind, key, count = identity[1], str(identity[2]), identity[4]
    name = kind.name.rpartition(".")[2] if isinstance(kind, Opaque) else str(kind)
    if not isinstance(count, int) or count < 0:
        raise ValueError("a storage without a size")
    return StorageOutline(key=key, kind=name, count=count, size=count * item_size(name))


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *rest: Any) -> TensorOutline:
    sizes, strides = tuple(shape), tuple(stride)
    numbers = (offset, *sizes, *strides)
    if not isinstance(storage, StorageOutline) or len(sizes) != len(strides):
        raise TypeError("a tensor without its storage")
    if len(sizes) > _MOST_DIMENSIONS or any(
        not isinstance(number, int) or number < 0 for number in numbers
    ):
        raise ValueError("a tensor without its shape")
    # After requires_grad and hooks: a dtype that the storage does not have, bits such as "conjugated".
    special = any(rest[2:])
    return TensorOutline(
        shape=sizes, storage=storage, offset=offset, stride=strides, special=special
    )


def _from_type(function: Any, kind: Any, args: Any, state: Any) -> Any:
    found = called(function, args)
    return replace(found, special=True) if isinstance(found, TensorOutline) else found


def _mapping(*args: Any) -> dict[Any, Any]:
    """Return an (ordered, default, counting) dictionary; pairs or another mapping may come along."""
    found: dict[Any, Any] = {}
    for argument in args:
        if isinstance(argument, dict):
            found = argument
        elif isinstance(argument, list):
            put_pairs(found, [entry for pair in argument for entry in pair])
    return found


def _encoded(text: str, encoding: str = "utf-8") -> bytes:
    if encoding not in ("latin1", "latin-1", "utf-8", "ascii"):
        raise ValueError("an unknown encoding")
    return text.encode(encoding)


def _bytes(given: Any, *rest: Any) -> bytes:
    if isinstance(given, str):
        return _encoded(given, *rest)
    if not isinstance(given, bytes):
        # A number would mean that many zeros.
        raise TypeError("bytes from what is none")
    return given


def _array(*args: Any) -> ArrayOutline:
    return ArrayOutline()


def _array_from_buffer(buffer: Any, dtype: Any, shape: Any, order: Any = "C") -> ArrayOutline:
    if not isinstance(buffer, bytes | bytearray):
        raise TypeError("an array without its bytes")
    return ArrayOutline(_view(bytes(buffer), dtype, shape, fortran=order == "F"))


def fill(array: ArrayOutline, state: Any) -> None:
    """Take NumPy's (version, shape, dtype, is_fortran, bytes)."""
    _, shape, dtype, fortran, payload = state
    if isinstance(payload, bytes):
        array.values = _view(payload, dtype, shape, fortran=bool(fortran))


def _view(payload: bytes, dtype: Any, shape: Any, *, fortran: bool) -> np.ndarray[Any, Any]:
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    values = np.frombuffer(payload, dtype=_dtype(dtype))
    return values.reshape(sizes, order="F" if fortran else "C")


def _dtype(found: Any) -> np.dtype[Any]:
    """Return a plain numeric dtype from its outline (its code, and its byte order as state)."""
    if not isinstance(found, Opaque) or found.name != "numpy.dtype" or not found.args:
        raise TypeError("an array of unknown type")
    code = found.args[0]
    order = found.state[1] if isinstance(found.state, tuple) and len(found.state) > 1 else "|"
    if not isinstance(code, str) or code[:1] not in "fiubc" or order not in ("<", ">", "|", "="):
        raise TypeError("an array of objects")
    return np.dtype(order.replace("|", "") + code)


def _scalar(dtype: Any, payload: Any = None) -> Any:
    try:
        return np.frombuffer(payload, dtype=_dtype(dtype))[0].item()
    except (TypeError, ValueError, IndexError):
        return Opaque(name="numpy.scalar", args=(dtype, payload))


_TENSORS = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3")
_KNOWN: dict[str, Callable[..., Any]] = {
    **{f"torch._utils.{name}": _tensor for name in _TENSORS},
    "torch._utils._rebuild_parameter": lambda data, *rest: data,
    "torch._utils._rebuild_parameter_with_state": lambda data, *rest: data,
    "torch.nn.parameter.Parameter": lambda data=None, *rest: data,
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "torch.Size": lambda sizes=(): tuple(sizes),
    "collections.OrderedDict": _mapping,
    "collections.defaultdict": _mapping,
    "collections.Counter": _mapping,
    "builtins.dict": _mapping,
    "_codecs.encode": _encoded,
    "builtins.bytes": lambda text=b"", *rest: _bytes(text, *rest),
    "builtins.bytearray": lambda text=b"", *rest: _bytes(text, *rest),
    **{f"{package}.multiarray._reconstruct": _array for package in ("numpy.core", "numpy._core")},
    **{f"{package}.multiarray.scalar": _scalar for package in ("numpy.core", "numpy._core")},
    **{f"{package}.numeric._frombuffer": _array_from_buffer for package in ("numpy.core", "numpy._core")},
}  # fmt: skip
