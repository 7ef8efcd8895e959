"""Trace a network with an example at hand: what depends on shapes alone is known while it is traced.

torch.fx records what a forward pass does with proxies in place of tensors. Here each proxy knows what
it stands for in two runs on the example, with `RUNS` numbers of samples. What is the same in both and no
tensor (a size, a dtype, the answer to a branch on them) is given to the forward pass as it is; what
differs depends on the number of samples and stays a step of the graph; what is made of the entries of a
tensor is refused where the forward pass branches on it. Modules and functions that are known by their
parts are traced through (`lrpdyn.lrp.canonical.tracing.expansions`).
"""

from __future__ import annotations

import builtins
import functools
import inspect
import operator
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.fx.proxy import TraceError

from lrpdyn.lrp.canonical import operations as known
from lrpdyn.lrp.canonical.layers import CONVOLUTIONS
from lrpdyn.lrp.canonical.refusals import LINE, calling_line
from lrpdyn.lrp.canonical.tracing.expansions import EXPANDED_FUNCTIONS, EXPANDED_MODULES
from lrpdyn.lrp.canonical.tracing.shorthands import (
    SHORT_FUNCTIONS,
    SHORT_METHODS,
    SHORT_MODULES,
    largest,
)

_MODULES = {**EXPANDED_MODULES, **SHORT_MODULES}
_FUNCTIONS = {**EXPANDED_FUNCTIONS, **SHORT_FUNCTIONS}
#: Tells whether a module, by its name, is given a rule as a whole.
Claims = Callable[[str, nn.Module], bool]
#: So many samples the two runs on the example have.
RUNS = (2, 3)
#: Where a traced node keeps the module that it is a part of, of those that are known by their parts.
PART_OF = "lrpdyn part of"
#: Inputs that are held fixed are buffers of this name, with an entry for each sample.
HELD = "held_"
_SHAPE = ("shape", "ndim", "dtype", "device", "is_cuda", "layout", "is_mps", "is_cpu", "is_meta",
          "requires_grad",
          "is_floating_point", "is_complex", "is_contiguous", "names", "is_quantized", "is_sparse",
          "is_nested", *known.SHAPE_METHODS)  # fmt: skip
#: Functions that take their sizes one by one, among which torch does not look for a proxy.
_MAKERS = ("zeros", "ones", "empty", "rand", "randn")
_UNKNOWN: Any = object()


class Traced(fx.Proxy):
    """A proxy that knows what it stands for in two runs, where an example is at hand."""

    tracer: ExampleTracer

    @property
    def runs(self) -> tuple[Any, ...] | None:
        """What it is in each run."""
        found: tuple[Any, ...] | None = self.tracer.values.get(self.node)
        return found

    def __getattr__(self, name: str) -> Any:
        if self.runs is None or name.startswith("__"):
            return super().__getattr__(name)
        value = getattr(self.runs[0], name)  # an AttributeError of its own
        if callable(value):
            return super().__getattr__(name)
        return self.tracer.create_proxy("call_function", getattr, (self, name), {})

    def __bool__(self) -> bool:
        return bool(self._known("branches on"))

    def __index__(self) -> int:
        return int(self._known("counts by"))

    def __int__(self) -> int:
        return int(self._known("counts by"))

    def __float__(self) -> float:
        return float(self._known("computes with"))

    def __len__(self) -> int:
        if self.runs is None:
            return super().__len__()
        lengths = {len(value) for value in self.runs}
        if len(lengths) > 1:
            raise TraceError("forward uses the number of samples as a plain number")
        return lengths.pop()

    def __iter__(self) -> Iterator[Any]:
        if self.runs is None:
            return super().__iter__()
        return iter([self[n] for n in range(self.__len__())])  # type: ignore[index]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.tracer.create_proxy("call_function", operator.setitem, (self, key, value), {})

    def __contains__(self, item: Any) -> bool:
        if self.runs is None or isinstance(self.runs[0], Tensor):
            raise TraceError("forward branches on the entries of a tensor")
        return any(bool(entry == item) for entry in self)

    def _known(self, does: str) -> Any:
        """Return what both runs have, or refuse what depends on data or on the number of samples."""
        if self.runs is None:
            return self.tracer.to_bool(self)
        if self.node in self.tracer.of_data or isinstance(self.runs[0], Tensor):
            raise TraceError(f"forward {does} the entries of a tensor")
        first, second = self.runs
        if first != second:
            raise TraceError(f"forward {does} the number of samples")
        return first


def _in_place(operation: Callable[[Any, Any], Any]) -> Callable[[Traced, Any], Any]:
    def change(self: Traced, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", operation, (self, other), {})

    return change


for _operation in known.IN_PLACE:
    # torch.fx records ``x += y`` as a sum that leaves x what it was, for others who hold it.
    setattr(Traced, f"__{_operation.__name__}__", _in_place(_operation))


class ExampleTracer(fx.Tracer):
    """Stop at the layers that are known, also where a user's subclass keeps torch's own forward.

    Parameters
    ----------
    claims
        Tells which modules are given a rule as a whole, whatever is inside.
    example
        One observation, (1, ...), as the network takes it; None where nothing is known of them, so that
        shapes are not known either.
    """

    # A buffer that is read while tracing would stay what it was when other weights are loaded.
    proxy_buffer_attributes = True

    def __init__(self, claims: Claims, example: Tensor | None = None) -> None:
        super().__init__()
        self.claims, self.example = claims, example
        self.values: dict[fx.Node, tuple[Any, ...]] = {}
        self.of_data: set[fx.Node] = set()
        self._part_of = ""
        self._computing = False

    def trace(self, root: Any, concrete_args: Any = None) -> fx.Graph:
        """Return the graph of the network's forward pass."""
        fast = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)
        makers = {name: getattr(torch, name) for name in _MAKERS}
        length, instance = builtins.len, builtins.isinstance
        try:
            builtins.len = functools.partial(_length, length)
            builtins.isinstance = functools.partial(_is_instance, instance)
            for name, maker in makers.items():
                setattr(torch, name, functools.partial(_made, maker))
            return super().trace(root, concrete_args)
        finally:
            builtins.len, builtins.isinstance = length, instance
            for name, maker in makers.items():
                setattr(torch, name, maker)
            torch.backends.mha.set_fastpath_enabled(fast)

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> Any:
        """Return forward and its arguments: a proxy for each that has no default."""
        takes = list(inspect.signature(root_fn).parameters.values())[1:]
        needed = [
            p
            for p in takes
            if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        ]
        # A network whose inputs all have defaults, or are ``*args``, is given one.
        names = [p.name for p in needed] or [p.name for p in takes[:1]]
        given = {name: self.create_proxy("placeholder", name, (), {}) for name in names}
        first, *others = names
        options = {name: given[name] for name in others}
        return functools.partial(_called, root_fn, options), [self.root, given[first]]

    def proxy(self, node: fx.Node) -> Traced:
        return Traced(node, self)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        # torch's own record of the stack imports its compiler, which takes longer than tracing.
        node = super().create_node(*args, **kwargs)
        node.meta[LINE] = calling_line()
        if self._part_of:
            node.meta[PART_OF] = self._part_of
        return node

    def create_arg(self, a: Any) -> Any:
        if type(a) is Traced:  # its class says what it stands for
            return a.node
        if isinstance(a, torch.Size):
            return tuple(self.create_arg(entry) for entry in a)
        return super().create_arg(a)

    def create_proxy(
        self,
        kind: str,
        target: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *more: Any,
        **named: Any,
    ) -> Any:
        if kind == "call_function" and not args and "input" in kwargs:
            args, kwargs = (kwargs["input"],), {k: v for k, v in kwargs.items() if k != "input"}
        spelled_out = _spelled_out(kind, target, args, kwargs)
        if spelled_out is not None:
            return spelled_out(*args, **kwargs)
        if kind == "call_function" and _is_foreign(target):
            return target(*args, **kwargs)
        if self.example is None:
            return super().create_proxy(kind, target, args, kwargs, *more, **named)
        values = self._computed(kind, target, args, kwargs)
        of_data = target is not operator.setitem and self._is_of_data(
            kind, target, args, kwargs, values
        )
        if target is operator.setitem:
            values = args[0].runs  # which has other entries now
        elif not of_data and kind not in ("placeholder", "get_attr"):
            plain = _plain(target, values)
            if plain is not _UNKNOWN:
                return plain
        proxy = super().create_proxy(kind, target, args, kwargs, *more, **named)
        self.values[proxy.node] = values
        if of_data:
            self.of_data.add(proxy.node)
        return proxy

    def _computed(
        self, kind: str, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, ...]:
        assert self.example is not None
        if kind == "placeholder":
            return tuple(self.example.repeat(n, *[1] * (self.example.ndim - 1)) for n in RUNS)
        if kind == "get_attr":
            value = self._attribute(target)
            if target.rpartition(".")[2].startswith(HELD):
                return tuple(value[:1].repeat(n, *[1] * (value.ndim - 1)) for n in RUNS)
            return (value,) * len(RUNS)
        return tuple(
            self._run(kind, target, _of_run(args, n), _of_run(kwargs, n)) for n in range(len(RUNS))
        )

    def _attribute(self, name: str) -> Any:
        with self.in_a_run():
            return operator.attrgetter(name)(self.root)

    def _run(self, kind: str, target: Any, args: Any, kwargs: Any) -> Any:
        """Return what an operation gives, or where that takes long a tensor of its shape."""
        with self.in_a_run(), torch.no_grad():
            if kind == "call_module":
                return _module_run(operator.attrgetter(target)(self.root), args, kwargs)
            if kind == "call_method":
                return getattr(args[0], target)(*args[1:], **kwargs)
            if target is F.linear:
                weight = args[1] if len(args) > 1 else kwargs["weight"]
                return args[0].new_empty((*args[0].shape[:-1], len(weight)))
            return target(*args, **kwargs)

    @contextmanager
    def in_a_run(self) -> Iterator[None]:
        """Have modules compute and give what they hold, while nothing is recorded."""
        before, self._computing = self._computing, True
        try:
            yield
        finally:
            self._computing = before

    def _is_of_data(self, kind: str, target: Any, args: Any, kwargs: Any, values: Any) -> bool:
        """Return whether a value that is no tensor was made of entries of one."""
        if kind in ("placeholder", "get_attr") or isinstance(values[0], Tensor):
            return False
        name = args[1] if target is getattr else getattr(target, "__name__", target)
        if name in _SHAPE or name == "len":
            return False
        found: list[Traced] = []
        _visit((args, kwargs), found.append)
        return any(
            proxy.node in self.of_data
            or (isinstance(proxy.runs[0], Tensor) and not isinstance(values[0], tuple | list))  # type: ignore[index]
            for proxy in found
        )

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: Any) -> Any:
        if self._computing:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        if self._computing:
            return forward(*args, **kwargs)
        expanded = _expansion(m)
        name = self.path_of_module(m)
        if expanded is None or self.claims(name, m):
            return super().call_module(m, forward, args, kwargs)
        with self._within(name):
            return expanded(m, *args, **kwargs)

    @contextmanager
    def _within(self, name: str) -> Iterator[None]:
        before, self._part_of = self._part_of, name
        try:
            yield
        finally:
            self._part_of = before

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if "noisy_mean" in vars(m) or self.claims(module_qualified_name, m):
            return True
        if known.is_known(m):
            return True
        own = type(m).__module__.startswith("torch.nn.modules.transformer")
        return not own and super().is_leaf_module(m, module_qualified_name)


def _is_instance(is_instance: Callable[[Any, Any], bool], what: Any, kinds: Any) -> bool:
    """Return whether something, or what a proxy stands for, is of a kind.

    A class that a proxy claims to have would be believed by torch's own code, too, which then reads entries
    that are not there.
    """
    if is_instance(what, kinds):
        return True
    return type(what) is Traced and what.runs is not None and is_instance(what.runs[0], kinds)


def _length(length: Callable[[Any], int], of: Any) -> Any:
    """Return a length; of a tensor with an entry for each sample, as a step of the graph."""
    if type(of) is Traced and (of.runs is None or length(of.runs[0]) != length(of.runs[1])):
        return of.tracer.create_proxy("call_function", length, (of,), {})
    return length(of)


def _made(maker: Callable[..., Any], *sizes: Any, **options: Any) -> Any:
    """Call what makes a tensor with its sizes in one tuple."""
    one_by_one = len(sizes) > 1 and all(isinstance(size, int) for size in sizes)
    return maker(sizes, **options) if one_by_one else maker(*sizes, **options)


def _called(forward: Any, options: dict[str, Any], root: nn.Module, x: Any) -> Any:
    return forward(root, x, **options)


def _expansion(module: nn.Module) -> Callable[..., Any] | None:
    """Return the function that does what a module does by its parts, where it has torch's own forward."""
    for kind in type(module).__mro__:
        if kind in _MODULES:
            same = getattr(type(module), "forward", None) is getattr(kind, "forward", None)
            return _MODULES[kind] if same else None
    return None


def _spelled_out(kind: str, target: Any, args: Any, kwargs: Any) -> Callable[..., Any] | None:
    """Return the function that does what an operation does by its parts."""
    name = target if kind == "call_method" else getattr(target, "__name__", "")
    along = (len(args) > 1 and type(args[1]) is int) or isinstance(kwargs.get("dim"), int)
    if name == "max" and along and kind in ("call_method", "call_function"):
        return largest
    if kind == "call_method":
        return SHORT_METHODS.get(target)
    return _FUNCTIONS.get(target) if kind == "call_function" else None


def _is_foreign(function: Any) -> bool:
    """Return whether a function is Python of another package, which its author kept torch.fx out of."""
    return (
        function is not known.weighed
        and isinstance(function, types.FunctionType)
        and not (function.__module__ or "").startswith("torch.")
    )


def _of_run(arguments: Any, run: int) -> Any:
    """Return arguments with what proxies stand for in a run."""
    if type(arguments) is Traced:
        assert arguments.runs is not None
        return arguments.runs[run]
    if isinstance(arguments, torch.Size):
        return arguments
    if isinstance(arguments, tuple) and hasattr(arguments, "_fields"):
        return type(arguments)(*(_of_run(entry, run) for entry in arguments))
    if isinstance(arguments, tuple | list):
        return type(arguments)(_of_run(entry, run) for entry in arguments)
    if isinstance(arguments, dict):
        return {key: _of_run(entry, run) for key, entry in arguments.items()}
    if isinstance(arguments, slice):
        return slice(
            *(_of_run(end, run) for end in (arguments.start, arguments.stop, arguments.step))
        )
    return arguments


def _visit(arguments: Any, visit: Callable[[Traced], None]) -> None:
    if type(arguments) is Traced:
        visit(arguments)
    elif isinstance(arguments, tuple | list):
        for entry in arguments:
            _visit(entry, visit)
    elif isinstance(arguments, dict):
        _visit(list(arguments.values()), visit)
    elif isinstance(arguments, slice):
        _visit((arguments.start, arguments.stop, arguments.step), visit)


def _plain(target: Any, values: tuple[Any, ...]) -> Any:
    """Return what is the same in both runs and no activation, or `_UNKNOWN`."""
    first, second = values
    if isinstance(first, Tensor):
        name = target if isinstance(target, str) else getattr(target, "__name__", "")
        return first if name in known.FACTORIES and first.shape == second.shape else _UNKNOWN
    if isinstance(first, tuple | list) and any(isinstance(entry, Tensor) for entry in first):
        return _UNKNOWN
    return first if type(first) is type(second) and first == second else _UNKNOWN


def _module_run(module: nn.Module, args: Any, kwargs: Any) -> Any:
    """Return a tensor of the shape that a module gives, without computing what only takes time."""
    if not known.is_known(module) or not args:
        return module(*args, **kwargs)
    x = args[0]
    if isinstance(module, known.SAME_SHAPE):
        return x if getattr(module, "inplace", False) else torch.empty_like(x)
    if isinstance(module, nn.Linear):
        return x.new_empty((*x.shape[:-1], module.out_features))
    if isinstance(module, CONVOLUTIONS) and x.ndim == len(module.kernel_size) + 2:
        return x.new_empty((len(x), *module(x[:1]).shape[1:]))
    return module(*args, **kwargs)
