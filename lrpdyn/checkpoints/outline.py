"""What a pickle holds, with outlines in place of objects: nothing it names is imported or called.

A pickle is a program for a small stack machine. This machine runs it and builds plain containers,
numbers and text; for all else it notes what was to be built from what. So a checkpoint can be
looked at, whoever made it, and without the framework that saved it.
"""

from __future__ import annotations

import math
import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

#: Longest pickle that is followed: state dicts of thousands of layers have some 100,000 steps.
_MOST_STEPS = 20_000_000
_MOST_COPIED = 1 << 28
_MOST_DIMENSIONS = 64
_ERRORS = (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, EOFError,
           RecursionError, MemoryError, struct.error)  # fmt: skip
_KEYS = (str, int, float, bytes, bool, type(None))


@dataclass(eq=False)
class Opaque:
    """An object that is not built: what was called, with what, and the state it was to have."""

    name: str
    args: tuple[Any, ...] = ()
    state: Any = None
    items: list[Any] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class StorageOutline:
    """Where a tensor's numbers are: the key of a storage, and its size in bytes."""

    key: str
    kind: str
    count: int
    size: int


@dataclass(frozen=True, eq=False)
class TensorOutline:
    """A tensor without its numbers."""

    shape: tuple[int, ...]
    storage: StorageOutline
    offset: int
    stride: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes that its entries take."""
        return math.prod(self.shape) * ITEM_SIZES.get(self.storage.kind, 1)


@dataclass(eq=False)
class ArrayOutline:
    """A NumPy array: `values` is a view of the pickle's bytes, None until they are known."""

    values: np.ndarray[Any, Any] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return () if self.values is None else tuple(self.values.shape)


@dataclass(frozen=True)
class Outline:
    """The object of a pickle, the names of all that it refers to, and its storages."""

    root: Any
    names: frozenset[str]
    storages: tuple[StorageOutline, ...]


class DamagedPickleError(ValueError):
    """A pickle that was cut short or damaged, or that would take too much to follow."""


#: Bytes for each entry of a storage, by the name of its class or dtype.
ITEM_SIZES = {
    "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2,
    "LongStorage": 8, "IntStorage": 4, "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1,
    "BoolStorage": 1, "ComplexFloatStorage": 8, "ComplexDoubleStorage": 16, "UntypedStorage": 1,
}  # fmt: skip


def outline(file: Any) -> Outline:
    """Follow the pickle that begins at `file`'s position, and leave the position behind it.

    Raises
    ------
    DamagedPickleError
        It is no pickle, or one that was cut short or damaged.
    """
    machine = _Machine()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if count > _MOST_STEPS:
                raise ValueError("it does not end")
            machine.step(opcode.name, argument)
    except _ERRORS as error:
        raise DamagedPickleError(str(error)) from error
    return Outline(machine.root, frozenset(machine.names), tuple(machine.storages.values()))


#: Names of Python 2, which protocol 2 still writes.
_PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}


class _Mark:
    pass


_MARK = _Mark()


class _Machine:
    """The stack machine; `step` takes one instruction."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.names: set[str] = set()
        self.root: Any = None
        self.storages: dict[tuple[str, int], StorageOutline] = {}
        self.copied = 0

    def step(self, name: str, argument: Any) -> None:
        if name in _PUSHES:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _MEMO_PUTS:
            self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]
        elif name in _MEMO_GETS:
            self.stack.append(self.memo[argument])
        elif name not in _NOTHING:
            getattr(self, "_" + name.lower())(argument)

    def _since_mark(self) -> list[Any]:
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise IndexError("no mark")
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def _stop(self, argument: Any) -> None:
        self.root = self.stack.pop()

    def _pop(self, argument: Any) -> None:
        self.stack.pop()

    def _pop_mark(self, argument: Any) -> None:
        self._since_mark()

    def _dup(self, argument: Any) -> None:
        self.stack.append(self.stack[-1])

    def _list(self, argument: Any) -> None:
        self.stack.append(self._since_mark())

    def _tuple(self, argument: Any) -> None:
        self.stack.append(tuple(self._since_mark()))

    def _tuple1(self, argument: Any) -> None:
        self.stack[-1:] = [(self.stack[-1],)]

    def _tuple2(self, argument: Any) -> None:
        self.stack[-2:] = [(self.stack[-2], self.stack[-1])]

    def _tuple3(self, argument: Any) -> None:
        self.stack[-3:] = [(self.stack[-3], self.stack[-2], self.stack[-1])]

    def _frozenset(self, argument: Any) -> None:
        self.stack.append(self._since_mark())

    def _dict(self, argument: Any) -> None:
        items = self._since_mark()
        self.stack.append({})
        _put_pairs(self.stack[-1], items)

    def _append(self, argument: Any) -> None:
        value = self.stack.pop()
        _put_items(self.stack[-1], [value])

    def _appends(self, argument: Any) -> None:
        items = self._since_mark()
        _put_items(self.stack[-1], items)

    _additems = _appends

    def _setitem(self, argument: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _put_pairs(self.stack[-1], [key, value])

    def _setitems(self, argument: Any) -> None:
        items = self._since_mark()
        _put_pairs(self.stack[-1], items)

    def _global(self, argument: Any) -> None:
        module, name = argument.split(" ", 1)
        self._push_name(module, name)

    def _stack_global(self, argument: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise TypeError("a global without a name")
        self._push_name(module, name)

    def _push_name(self, module: str, name: str) -> None:
        full = f"{_PYTHON_2.get(module, module)}.{name}"
        self.names.add(full)
        self.stack.append(Opaque(full))

    def _reduce(self, argument: Any) -> None:
        args, function = self.stack.pop(), self.stack.pop()
        self._call(function, args)

    def _call(self, function: Any, args: Any) -> None:
        if isinstance(args, tuple):
            self.copied += _cost(args)
        if self.copied > _MOST_COPIED:
            raise ValueError("it copies without end")
        self.stack.append(_called(function, args))

    def _newobj(self, argument: Any) -> None:
        self._reduce(argument)

    def _newobj_ex(self, argument: Any) -> None:
        self.stack.pop()
        self._reduce(argument)

    def _obj(self, argument: Any) -> None:
        function, *args = self._since_mark()
        self._call(function, tuple(args))

    def _inst(self, argument: Any) -> None:
        args = tuple(self._since_mark())
        self._global(argument)
        self._call(self.stack.pop(), args)

    def _build(self, argument: Any) -> None:
        state = self.stack.pop()
        built = self.stack[-1]
        if isinstance(built, Opaque):
            built.state = state
        elif isinstance(built, ArrayOutline):
            _fill(built, state)

    def _binpersid(self, argument: Any) -> None:
        found = _storage(self.stack.pop())
        if isinstance(found, StorageOutline):
            found = self.storages.setdefault((found.key, found.size), found)
        self.stack.append(found)

    def _persid(self, argument: Any) -> None:
        self.stack.append(Opaque("persistent", (argument,)))

    def _ext1(self, argument: Any) -> None:
        self._push_name("copyreg", f"extension {argument}")

    _ext2 = _ext4 = _ext1

    def _next_buffer(self, argument: Any) -> None:
        raise ValueError("numbers are kept outside of the pickle")


_PUSHES = frozenset(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "STRING",
    "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
    "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "FLOAT", "BINFLOAT"))  # fmt: skip
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "MARK": lambda: _MARK, "NONE": lambda: None, "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict,
    "EMPTY_SET": list,
}  # fmt: skip
_MEMO_PUTS = frozenset(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"))
_MEMO_GETS = frozenset(("GET", "BINGET", "LONG_BINGET"))
_NOTHING = frozenset(("PROTO", "FRAME", "READONLY_BUFFER"))


def _put_pairs(target: Any, items: list[Any]) -> None:
    if isinstance(target, Opaque):
        target.items += items
        return
    if not isinstance(target, dict):
        raise TypeError("no mapping")
    for key, value in zip(items[::2], items[1::2], strict=True):
        # Other keys are noted as they come: the hash of a hostile one could take for ever.
        target[key if isinstance(key, (*_KEYS, Opaque)) else Opaque("key", (key,))] = value


def _put_items(target: Any, items: list[Any]) -> None:
    if isinstance(target, Opaque):
        target.items += items
    elif isinstance(target, list):
        target += items
    else:
        raise TypeError("no list")


def _called(function: Any, args: Any) -> Any:
    """Return the outline of what `function` would give."""
    if not isinstance(function, Opaque) or not isinstance(args, tuple):
        raise TypeError("a call of what cannot be called")
    known = _KNOWN.get(function.name)
    return Opaque(function.name, args) if known is None else known(*args)


def _cost(args: Any) -> int:
    """Return how many bytes a call may copy, at most: a pickle can ask for it any number of times."""
    sized = [value for value in args if isinstance(value, str | bytes | bytearray | list | dict)]
    return 64 + sum(
        len(value) * (1 if isinstance(value, str | bytes | bytearray) else 200) for value in sized
    )


def _storage(identity: Any) -> Any:
    """Return the outline of ``("storage", class, key, device, count)``."""
    if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] != "storage":
        return Opaque("persistent", (identity,))
    kind, key, count = identity[1], str(identity[2]), identity[4]
    name = kind.name.rpartition(".")[2] if isinstance(kind, Opaque) else str(kind)
    if not isinstance(count, int) or count < 0:
        raise ValueError("a storage without a size")
    return StorageOutline(key, name, count, count * ITEM_SIZES.get(name, 1))


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *rest: Any) -> TensorOutline:
    sizes, strides = tuple(shape), tuple(stride)
    numbers = (offset, *sizes, *strides)
    if not isinstance(storage, StorageOutline) or len(sizes) != len(strides):
        raise TypeError("a tensor without its storage")
    if len(sizes) > _MOST_DIMENSIONS or any(
        not isinstance(number, int) or number < 0 for number in numbers
    ):
        raise ValueError("a tensor without its shape")
    return TensorOutline(sizes, storage, offset, strides)


def _from_type(function: Any, kind: Any, args: Any, state: Any) -> Any:
    return _called(function, args)


def _mapping(*args: Any) -> dict[Any, Any]:
    """Return an (ordered, default, counting) dictionary; pairs or another mapping may come along."""
    found: dict[Any, Any] = {}
    for argument in args:
        if isinstance(argument, dict):
            found = argument
        elif isinstance(argument, list):
            _put_pairs(found, [entry for pair in argument for entry in pair])
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


def _fill(array: ArrayOutline, state: Any) -> None:
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
        return Opaque("numpy.scalar", (dtype, payload))


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
