"""What the calls in a pickle would give, as outlines: tensors, storages, arrays and containers."""

from __future__ import annotations

import re
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
_LARGEST_NUMBER = 1 << 62
_MOST_IN_KEY = 64
_MOST_BITS = 4096
_HASHED = (str, float, bytes, type(None), Opaque, TensorOutline, ArrayOutline, StorageOutline)


def put_pairs(target: Any, items: list[Any]) -> None:
    """Put keys and values, one after the other, into the outline of a mapping."""
    if isinstance(target, Opaque):
        target.items += items
        return
    if not isinstance(target, dict):
        raise TypeError("no mapping")
    for key, value in zip(items[::2], items[1::2], strict=True):
        check_key(key)
        target[Opaque(name="key", args=(key,)) if isinstance(key, tuple) else key] = value


def check_key(key: Any) -> None:
    """Raise ValueError where `key` takes long to hash, or cannot be: torch would hash it."""
    waiting, count = [key], 0
    while waiting:
        part, count = waiting.pop(), count + 1
        if isinstance(part, tuple) and len(part) <= _MOST_IN_KEY and count <= _MOST_IN_KEY:
            waiting += part
        elif not isinstance(part, _HASHED) and not (
            isinstance(part, int) and part.bit_length() <= _MOST_BITS
        ):
            raise ValueError("a key that is neither text nor a number")


def called(function: Any, args: Any) -> Any:
    """Return the outline of what `function` would give."""
    if not isinstance(function, Opaque) or not isinstance(args, tuple):
        raise TypeError("a call of what cannot be called")
    if args and _WITHOUT_BYTES.fullmatch(function.name):
        raise ValueError("a tensor that is not stored")
    known = _KNOWN.get(function.name)
    return Opaque(name=function.name, args=args) if known is None else known(*args)


def storage(identity: Any) -> Any:
    """Return the outline of ``("storage", class, key, device, count)``."""
    if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] != "storage":
        return Opaque(name="persistent", args=(identity,))
    _, kind, key, _, count = identity[:5]
    name = kind.name if isinstance(kind, Opaque) else kind
    check_key(key)
    if not isinstance(name, str) or not isinstance(key, str | int):
        raise TypeError("a storage without its type or key")
    if not isinstance(count, int) or not 0 <= count < _LARGEST_NUMBER:
        raise ValueError("a storage without a size")
    name = name.rpartition(".")[2]
    return StorageOutline(key=str(key), kind=name, count=count, size=count * item_size(name))


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *rest: Any) -> TensorOutline:
    sizes, strides = _sizes(shape), _sizes(stride)
    numbers = (offset, *sizes, *strides)
    if not isinstance(storage, StorageOutline) or len(sizes) != len(strides):
        raise TypeError("a tensor without its storage")
    if any(not isinstance(number, int) or not 0 <= number < _LARGEST_NUMBER for number in numbers):
        raise ValueError("a tensor without its shape")
    # After requires_grad and hooks: a dtype that the storage does not have, bits such as "conjugated".
    special = any(rest[2:])
    return TensorOutline(
        shape=sizes, storage=storage, offset=offset, stride=strides, special=special
    )


def _sizes(found: Any) -> tuple[Any, ...]:
    if not isinstance(found, tuple | list) or len(found) > _MOST_DIMENSIONS:
        raise ValueError("a tensor without its shape")
    return tuple(found)


def _from_type(function: Any, kind: Any, args: Any, state: Any) -> Any:
    if not isinstance(function, Opaque) or not function.name.startswith("torch._utils."):
        raise TypeError("a tensor of unknown making")
    found = called(function, args)
    return replace(found, special=True) if isinstance(found, TensorOutline) else found


def _mapping(*args: Any) -> dict[Any, Any]:
    """Return an (ordered, default, counting) dictionary; pairs or another mapping may come along."""
    found: dict[Any, Any] = {}
    for argument in args:
        if isinstance(argument, dict):
            found = argument
        elif isinstance(argument, list):
            if any(not isinstance(pair, tuple | list) or len(pair) != 2 for pair in argument):
                raise TypeError("no pairs")
            put_pairs(found, [entry for pair in argument for entry in pair])
    return found


def _counter(*args: Any) -> dict[Any, Any]:
    """Return a counting dictionary, of the counts or of the things that were counted."""
    return _mapping(*args) if all(isinstance(given, dict) for given in args) else _unique(*args)


def _set(*args: Any) -> Opaque:
    _unique(*args)
    return Opaque(name="builtins.set", args=args)


def _unique(*args: Any) -> dict[Any, Any]:
    for given in args:
        if not isinstance(given, list | tuple):
            raise TypeError("a set of what is no list")
        for key in given:
            check_key(key)
    return {}


def _of_text(name: str) -> Callable[..., Opaque]:
    """Return what stands for calls of `name`, which takes text and numbers alone."""

    def noted(*args: Any) -> Opaque:
        for given in args:
            check_key(given)
            if isinstance(given, tuple):
                raise TypeError(f"{name} of a tuple")
        return Opaque(name=name, args=args)

    return noted


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
    sizes = (shape,) if isinstance(shape, int) else _sizes(shape)
    values = np.frombuffer(payload, dtype=_dtype(dtype))
    return values.reshape(sizes, order="F" if fortran else "C")


def _dtype(found: Any) -> np.dtype[Any]:
    """Return a plain numeric dtype from its outline (its code, and its byte order as state)."""
    if not isinstance(found, Opaque) or found.name != "numpy.dtype" or not found.args:
        raise TypeError("an array of unknown type")
    code = found.args[0]
    order = found.state[1] if isinstance(found.state, tuple) and len(found.state) > 1 else "|"
    if not isinstance(code, str) or not _CODE.fullmatch(code) or order not in ("<", ">", "|", "="):
        raise TypeError("an array of objects")
    return np.dtype(order.replace("|", "") + code)


def _scalar(dtype: Any, payload: Any = None) -> Any:
    try:
        return np.frombuffer(payload, dtype=_dtype(dtype))[0].item()
    except (TypeError, ValueError, IndexError):
        return Opaque(name="numpy.scalar", args=(dtype, payload))


_CODE = re.compile(r"[fiubc]\d{0,2}")
#: What would take memory that the file does not hold.
_WITHOUT_BYTES = re.compile(r"torch\.(?:storage\.)?\w*(?:Tensor|Storage)")
_TENSORS = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3")
_KNOWN: dict[str, Callable[..., Any]] = {
    **{f"torch._utils.{name}": _tensor for name in _TENSORS},
    "torch._utils._rebuild_parameter": lambda data, *rest: data,
    "torch._utils._rebuild_parameter_with_state": lambda data, *rest: data,
    "torch.nn.parameter.Parameter": lambda data=None, *rest: data,
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "torch.Size": lambda sizes=(): _sizes(sizes),
    "collections.OrderedDict": _mapping,
    "collections.defaultdict": _mapping,
    "collections.Counter": _counter,
    "builtins.dict": _mapping,
    "builtins.set": _set,
    "builtins.frozenset": _set,
    **{
        name: _of_text(name)
        for name in ("torch.device", "torch.serialization._get_layout", "builtins.complex")
    },
    "_codecs.encode": _encoded,
    "builtins.bytes": lambda text=b"", *rest: _bytes(text, *rest),
    "builtins.bytearray": lambda text=b"", *rest: _bytes(text, *rest),
    **{f"{package}.multiarray._reconstruct": _array for package in ("numpy.core", "numpy._core")},
    **{f"{package}.multiarray.scalar": _scalar for package in ("numpy.core", "numpy._core")},
    **{f"{package}.numeric._frombuffer": _array_from_buffer for package in ("numpy.core", "numpy._core")},
}  # fmt: skip
