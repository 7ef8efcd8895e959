"""What a pickle holds, with outlines in place of objects: nothing it names is imported or called.

A pickle is a program for a small stack machine. This machine runs it and builds plain containers,
numbers and text; for all else it notes what was to be built from what. So a checkpoint can be
read, whoever made it, and without the framework that saved it.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from lrpdyn.checkpoints.pickles.pickled import ArrayOutline, Opaque, StorageOutline
from lrpdyn.checkpoints.pickles.rebuilt import called, check_key, fill, put_pairs, storage

#: Longest pickle that is followed: state dicts of thousands of layers have some 100,000 steps.
_MOST_STEPS = 4_000_000
_MOST_COPIED = 1 << 28
_LONGEST_NAME = 1000
#: What a pickle holds may be this many times as large as it has steps, where parts are shared.
_MOST_SHARED, _ALWAYS_ALLOWED = 16, 100_000
_ERRORS = (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, EOFError,
           RecursionError, MemoryError, struct.error)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Outline:
    """The object of a pickle, the names of all that it refers to, and its storages."""

    root: Any
    names: frozenset[str]
    storages: tuple[StorageOutline, ...]


class DamagedPickleError(ValueError):
    """A pickle that was cut short or damaged, or that would take too much to follow."""


def outline(file: Any) -> Outline:
    """Follow the pickle that begins at `file`'s position, and leave the position behind it.

    Raises
    ------
    DamagedPickleError
        It is no pickle, or one that was cut short or damaged.
    """
    machine, count = _Machine(), 0
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if count > _MOST_STEPS:
                raise ValueError("it does not end")
            machine.step(opcode.name, argument)
        _check_size(machine.root, _MOST_SHARED * count + _ALWAYS_ALLOWED)
    except _ERRORS as error:
        raise DamagedPickleError(str(error)) from error
    return Outline(
        root=machine.root,
        names=frozenset(machine.names),
        storages=tuple(machine.storages.values()),
    )


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
        items = self._since_mark()
        for item in items:
            check_key(item)
        self.stack.append(tuple(items))

    def _dict(self, argument: Any) -> None:
        items = self._since_mark()
        self.stack.append({})
        put_pairs(self.stack[-1], items)

    def _append(self, argument: Any) -> None:
        value = self.stack.pop()
        _put_items(self.stack[-1], [value])

    def _appends(self, argument: Any) -> None:
        items = self._since_mark()
        _put_items(self.stack[-1], items)

    def _additems(self, argument: Any) -> None:
        self._frozenset(argument)
        _put_items(self.stack[-2], list(self.stack.pop()))

    def _setitem(self, argument: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        put_pairs(self.stack[-1], [key, value])

    def _setitems(self, argument: Any) -> None:
        items = self._since_mark()
        put_pairs(self.stack[-1], items)

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
        if len(full) > _LONGEST_NAME:
            raise ValueError("a name without end")
        self.names.add(full)
        self.stack.append(Opaque(full))

    def _reduce(self, argument: Any) -> None:
        args, function = self.stack.pop(), self.stack.pop()
        self._call(function, args)

    def _call(self, function: Any, args: Any) -> None:
        self._count_copies(args)
        self.stack.append(called(function, args))

    def _count_copies(self, args: Any) -> None:
        """A pickle can have the same thing copied any number of times."""
        self.copied += _cost(args)
        if self.copied > _MOST_COPIED:
            raise ValueError("it copies without end")

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
            fill(built, state)
        else:
            self._count_copies((state,))

    def _binpersid(self, argument: Any) -> None:
        found = storage(self.stack.pop())
        if isinstance(found, StorageOutline):
            found = self.storages.setdefault((found.key, found.size), found)
        self.stack.append(found)

    def _persid(self, argument: Any) -> None:
        self.stack.append(Opaque(name="persistent", args=(argument,)))

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


def _put_items(target: Any, items: list[Any]) -> None:
    if isinstance(target, Opaque):
        target.items += items
    elif isinstance(target, list):
        target += items
    else:
        raise TypeError("no list")


def _cost(args: Any) -> int:
    """Return how many bytes a call may copy, at most, that is given the tuple `args`."""
    if not isinstance(args, tuple):
        return 0
    inner = [entry for value in args if isinstance(value, tuple) for entry in value]
    return 64 + sum(
        len(value) * (1 if isinstance(value, str | bytes | bytearray) else 200)
        for value in (*args, *inner)
        if isinstance(value, str | bytes | bytearray | list | dict | tuple)
    )


def _check_size(root: Any, most: int) -> None:
    """Raise ValueError where `root` holds more than `most` values, each counted wherever it is reached.

    Lists of a few hundred bytes that share their parts are as large as the universe to all who
    print, copy or compare them.
    """
    sizes: dict[int, int] = {}  # 0 for what is on the way: what holds itself is counted once
    waiting = [root]
    while waiting:
        value = waiting[-1]
        if sizes.get(id(value)):
            waiting.pop()
            continue
        inside = _inside(value)
        if id(value) not in sizes:
            sizes[id(value)] = 0
            waiting += [item for item in inside if _holds(item) and id(item) not in sizes]
            continue
        waiting.pop()
        sizes[id(value)] = 1 + sum(sizes.get(id(item), 1) for item in inside)
        if sizes[id(value)] > most:
            raise ValueError("its parts are shared without end")


def _holds(value: Any) -> bool:
    return isinstance(value, tuple | list | dict | Opaque)


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return [*value, *value.values()]
    if isinstance(value, Opaque):
        return [*value.args, value.state, *value.items]
    return value if isinstance(value, tuple | list) else ()
