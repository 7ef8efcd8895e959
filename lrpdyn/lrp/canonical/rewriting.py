"""Rewrite a traced graph: every operation on tensors becomes its own layer."""

from __future__ import annotations

import copy
import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from lrpdyn.errors import ArchitectureError
from lrpdyn.lrp.canonical import operations as known
from lrpdyn.lrp.canonical.graphs import share_memory, without_dead_code, writes
from lrpdyn.lrp.canonical.layers import (
    LINEAR_LAYERS,
    AveragePooling,
    Concatenation,
    Constant,
    Elementwise,
    Layer,
    MatrixProduct,
    MaximumPooling,
    Opaque,
    Product,
    Rearrangement,
    Scale,
    Scaling,
    Softmax,
    Sum,
    Weighted,
)
from lrpdyn.lrp.canonical.refusals import LINE, refused
from lrpdyn.lrp.canonical.tracing.tracer import PART_OF, Claims
from lrpdyn.lrp.canonical.weights import (
    BatchNorm,
    batch_norm_of_function,
    batch_norm_of_module,
    merged_batch_norm,
    normalisation_layer,
    own_weights,
    weighted_function,
)

#: What nodes of a traced graph stand for in each run on the example, where there is one.
Values = Mapping[fx.Node, tuple[Any, ...]]
#: Layers behind which a gate is still one.
_KEEPING = (
    Rearrangement,
    Scaling,
    AveragePooling,
    MaximumPooling,
    Sum,
    Concatenation,
    Product,
    Elementwise,
)
_SCALE = (
    "it takes a norm, a deviation, a root or a reciprocal of the observation as more than a scale of other "
    "entries"
)
_TOKENS = (
    "its inputs are numbers of tokens, which have no relevance: give the network a method path(head) that "
    "takes what the tokens are embedded as"
)


class Gate(IntEnum):
    """What only weighs the entries that it multiplies; of two gates the surer one, the greater here, does."""

    CLIPPED = 1
    SIGMOID = 2
    SOFTMAX = 3
    SCALE = 4


class Rewriting:
    """One pass over a traced graph that gives every operation on tensors its own layer."""

    def __init__(
        self,
        network: nn.Module,
        graph: fx.Graph,
        name: str,
        claims: Claims,
        values: Values | None = None,
    ) -> None:
        self.network, self.graph, self.name, self.claims = network, graph, name, claims
        self.values = dict(values or {})
        self.modules = dict(network.named_modules(remove_duplicate=False))
        self.root: dict[str, Any] = {}
        inputs = [node for node in graph.nodes if node.op == "placeholder"]
        if len(inputs) != 1:
            names = ", ".join(node.name for node in inputs)
            raise ArchitectureError(
                f"{name}.forward takes {len(inputs)} inputs ({names}), expected one tensor of "
                "observations; give the network a method path(head) that holds the others fixed"
            )
        self.tensors = set(inputs)
        self.raw = set(inputs)  # nodes whose entries are still entries of the observation
        self.tuples: set[fx.Node] = set()
        self.gates: dict[fx.Node, Gate] = {}  # what weighs the entries that it multiplies
        self.order = {node: place for place, node in enumerate(graph.nodes)}

    def result(self) -> fx.GraphModule:
        for node in list(self.graph.nodes):
            if node.op == "get_attr":
                self.root[str(node.target)] = operator.attrgetter(str(node.target))(self.network)
            elif node.op == "output":
                self._check_output(node)
            elif node.op != "placeholder" and self._takes_tensor(node):
                self._rewrite(node)
            elif node.op == "call_module":
                constant = Constant(self.modules[str(node.target)].forward)
                constant.called = self._called(node)
                node.target = self._add(node, constant)
        self._flatten_constants()
        return without_dead_code(fx.GraphModule(self.root, self.graph))

    def _flatten_constants(self) -> None:
        """Keep parameters on the network itself: Captum takes a module of them for a layer."""
        for node in self.graph.nodes:
            if node.op == "get_attr" and "." in str(node.target):
                value, name = self.root[str(node.target)], str(node.target).replace(".", "_")
                while self.root.get(name, value) is not value:
                    name += "_"
                self.root[name], node.target = value, name

    def _takes_tensor(self, node: fx.Node) -> bool:
        """Return whether a node works on activations; arithmetic on shapes stays as it is."""
        if not any(n in self.tensors for n in node.all_input_nodes) or self._made_alike(node):
            return False
        if node in self.values:
            first = self.values[node][0]
            parts = first if isinstance(first, tuple | list) else (first,)
            return any(isinstance(part, Tensor) for part in parts)
        shape = node.op == "call_method" and node.target in known.SHAPE_METHODS
        attribute = node.op == "call_function" and node.target in (getattr, len)
        return not shape and not attribute

    @staticmethod
    def _made_alike(node: fx.Node) -> bool:
        """Return whether a tensor is made of the shape and dtype of another alone."""
        name = str(getattr(node.target, "__name__", node.target))
        return node.op != "call_module" and name in known.FACTORIES

    def _is_tensor(self, argument: Any) -> bool:
        return isinstance(argument, fx.Node) and argument in self.tensors

    def _rewrite(self, node: fx.Node) -> None:
        if self._changes_in_place(node):
            self._refuse_views(node)
            self._use_after(node)
        if node.op == "call_function" and node.target is operator.getitem:
            source = node.args[0]
            if source in self.tuples:
                self._pick(node)
                return
        if self._is_dropped(node):
            source = node.args[0]
            assert isinstance(source, fx.Node)
            node.replace_all_uses_with(source)
            self.graph.erase_node(node)
            return
        if self._is_merged(node):
            return
        if node.op != "call_module" and node.target in known.SPLITTING:
            self.tuples.add(node)
            self.tensors.add(node)
            return
        layer, inputs = self._layer(node)
        self._replace(node, layer, inputs)

    def _is_floating(self, argument: Any) -> bool:
        """Return whether an argument is a tensor that may have relevance."""
        if not isinstance(argument, fx.Node):
            return False
        value = self.values[argument][0] if argument in self.values else None
        if value is None:
            return argument.op == "get_attr" or argument in self.tensors
        return isinstance(value, Tensor) and value.is_floating_point()

    def _samples_along(self, node: fx.Node) -> int | None:
        """Return the dimension of a tensor that grows with the number of samples; None where none does."""
        if node not in self.values:
            return None if node.op == "get_attr" else 0
        first, second = (value.shape for value in self.values[node])
        return next((n for n, (a, b) in enumerate(zip(first, second, strict=True)) if a != b), None)

    def _changes_in_place(self, node: fx.Node) -> bool:
        """Return whether an operation writes to its first input."""
        if node.op == "call_module":
            return bool(getattr(self.modules[str(node.target)], "inplace", False))
        flagged = node.kwargs.get("inplace") is True or node.args[-1:] == (True,)
        told = node.target in known.TAKING_INPLACE and flagged
        return writes(node) or node.target in known.IN_PLACE or told

    def _refuse_views(self, node: fx.Node) -> None:
        """Refuse a change in place that others see who hold a view of what is changed."""
        changed = node.args[0]
        for other, runs in self.values.items():
            if other in (changed, node) or self.order.get(other, 0) > self.order[node]:
                continue
            later = any(self.order.get(user, 0) > self.order[node] for user in other.users)
            if later and share_memory(runs[0], self.values[changed][0]):  # type: ignore[index]
                raise self._refusal(
                    node,
                    "it changes a tensor in place, of which a view is used later; write it as y = f(x)",
                )

    def _use_after(self, node: fx.Node) -> None:
        """Let what comes after a change in place use what it gave."""
        changed = node.args[0]
        assert isinstance(changed, fx.Node)
        for user in list(changed.users):
            if self.order.get(user, 0) > self.order[node]:
                user.replace_input_with(changed, node)

    def _replace(self, node: fx.Node, layer: Layer, inputs: tuple[Any, ...]) -> None:
        layer.called = self._called(node)
        sources = [n for n in self._nodes(inputs) if n in self.tensors]
        layer.sees_observation = all(n in self.raw for n in sources)
        layer.samples_along = self._samples_along(node) or 0
        layer.inputs_along = tuple(self._samples_along(n) for n in inputs if self._is_floating(n))
        gate = self._gate(node, layer, inputs, sources)
        with self.graph.inserting_before(node):
            call = self.graph.call_module(self._add(node, layer), inputs)
        call.meta[LINE] = node.meta.get(LINE, "")
        self.tensors.add(call)
        if node in self.values:
            self.values[call] = self.values[node]
        if layer.sees_observation and isinstance(layer, Scaling | Rearrangement):
            self.raw.add(call)
        if gate is not None:
            self.gates[call] = gate
        node.replace_all_uses_with(call)
        self.graph.erase_node(node)

    def _gate(
        self, node: fx.Node, layer: Layer, inputs: tuple[Any, ...], sources: list[fx.Node]
    ) -> Gate | None:
        """Return as what kind of gate a layer's output weighs what it multiplies; None where it is none.

        Raises
        ------
        ArchitectureError
            A scale becomes something else than a gate: relevance would have to go through it.
        """
        if isinstance(layer, Scale):
            return Gate.SCALE
        weighing = [inputs[n] for n in layer.gates] if isinstance(layer, Product) else []
        signals = [n for n in sources if n not in weighing]
        ranks = [self.gates.get(n) for n in signals]
        least = min((rank for rank in ranks if rank is not None), default=None)
        kept = least if None not in ranks and isinstance(layer, _KEEPING) else None
        if Gate.SCALE in ranks and kept is not Gate.SCALE:
            raise self._refusal(node, _SCALE)
        if isinstance(layer, Softmax):
            return Gate.SOFTMAX
        if isinstance(layer, Weighted) and ranks == [Gate.SOFTMAX]:
            return Gate.SOFTMAX  # heads of attention that are mixed
        return self._bounded(node) or kept

    def _bounded(self, node: fx.Node) -> Gate | None:
        """Return the kind of gate that an activation with bounds and no negative values is."""
        kind: Any = (
            type(self.modules[str(node.target)]) if node.op == "call_module" else node.target
        )
        if kind in known.GATES:
            return Gate.SIGMOID
        if kind in known.CLIPPED:
            return Gate.CLIPPED
        if kind not in known.CLAMPS:
            return None
        if node.op == "call_module":
            module: Any = self.modules[str(node.target)]
            return Gate.CLIPPED if module.min_val == 0 else None
        names = ("min", "min_val"), ("max", "max_val")
        low, high = (
            next((node.kwargs[n] for n in given if n in node.kwargs), None) for given in names
        )
        low = node.args[1] if len(node.args) > 1 else low
        high = node.args[2] if len(node.args) > 2 else high
        at_zero = isinstance(low, int | float) and low == 0
        return Gate.CLIPPED if at_zero and high is not None else None

    def _weighing(self, factors: Sequence[Any]) -> frozenset[int]:
        """Return which of two factors only weighs the other: the constant, or the surer gate."""
        tensors = [n for n in (0, 1) if self._is_tensor(factors[n])]
        if len(tensors) == 1:
            return frozenset({0, 1} - set(tensors))
        first, second = (self.gates.get(factor) for factor in factors)  # type: ignore[arg-type]
        if first == second:  # of two gates alike neither is the signal
            return frozenset()
        return frozenset({0 if second is None or (first is not None and first > second) else 1})

    def _pick(self, node: fx.Node) -> None:
        """Make one part of a split tensor its own layer."""
        split = node.args[0]
        assert isinstance(split, fx.Node)
        source, *arguments = split.args
        part = node.args[1]
        if not isinstance(part, int) or self._nodes(arguments) or source not in self.tensors:
            raise self._refusal(node)
        function = self._function(split)

        def picked(x: Tensor) -> Tensor:
            chosen: Tensor = function(x, *arguments)[part]
            return chosen

        self._replace(node, Rearrangement(picked), (source,))
        if not split.users:
            self.graph.erase_node(split)

    def _is_dropped(self, node: fx.Node) -> bool:
        if node.op == "call_module":
            return isinstance(self.modules[str(node.target)], known.DROPPED_MODULES)
        if node.op == "call_method":
            return node.target in known.DROPPED_METHODS
        if node.target is getattr:
            return node.args[1] in known.ITSELF
        return (
            node.target in known.DROPPED_FUNCTIONS
            or getattr(node.target, "__name__", "") in known.DROPPED_NAMES
        )

    def _layer(self, node: fx.Node) -> tuple[Layer, tuple[Any, ...]]:
        """Return the layer that an operation becomes, and what it is called with."""
        if node.op == "call_module":
            return self._of_module(node)
        if node.target in known.JOINING:
            return self._concatenation(node)
        if node.target is operator.setitem:
            return self._assignment(node)
        branches = [n for n in node.args if self._is_tensor(n)]
        if node.target in (*known.ADDING, *known.SUBTRACTING):
            return self._sum(node, branches)
        if any(self._is_tensor(n) for n in self._nodes(node.kwargs)):
            raise self._refusal(
                node, "a factor or option of it, given by name, depends on the observation"
            )
        if node.target is known.weighed:
            return Product(torch.mul, frozenset({0})), node.args
        if node.target in known.MULTIPLYING:
            return self._product(node, branches)
        if node.target in known.MATRIX_PRODUCTS or node.target is torch.einsum:
            return self._matrix_product(node)
        if node.target in known.POWERS:
            return self._power(node, branches)
        if len(branches) != 1:
            raise self._refusal(node, "it mixes two branches that both depend on the observation")
        if node.target in known.NEGATING:
            return Scaling(torch.neg), node.args
        if node.target in known.LINEAR_FUNCTIONS:
            made = weighted_function(node, self.network)
            if isinstance(made, str):
                raise self._refusal(node, made)
            return made, (branches[0],)
        if not self._is_tensor(node.args[0]):
            raise self._refusal(node)
        return self._of_function(node)

    def _product(self, node: fx.Node, branches: list[Any]) -> tuple[Layer, tuple[Any, ...]]:
        """Return the layer of a product or a quotient, of branches or with a constant."""
        divides = "div" in self._called(node)
        if len(branches) == 1 and not (divides and not self._is_tensor(node.args[0])):
            others = [a for a in node.args if a is not branches[0]]
            return Scaling(self._function(node)), (branches[0], *others)
        if len(branches) == 1:  # a constant over a branch
            return self._scale(node)
        gates = frozenset({1}) if divides else self._weighing(node.args)
        return Product(self._function(node), gates), node.args

    def _scale(self, node: fx.Node) -> tuple[Layer, tuple[Any, ...]]:
        return Scale(self._function(node)), node.args

    def _power(self, node: fx.Node, branches: list[Any]) -> tuple[Layer, tuple[Any, ...]]:
        exponent = node.args[1]
        if len(branches) != 1 or not isinstance(exponent, int | float):
            raise self._refusal(node, "its exponent is not a plain number")
        if exponent < 1:
            return self._scale(node)
        return Elementwise(self._function(node)), node.args

    def _matrix_product(self, node: fx.Node) -> tuple[Layer, tuple[Any, ...]]:
        """Return the layer of a product of matrices: a Linear one where the second is a weight."""
        function, factors = self._function(node), node.args
        if node.target is torch.einsum:
            equation, *parts = node.args
            factors = (
                tuple(parts[0])
                if len(parts) == 1 and isinstance(parts[0], list | tuple)
                else tuple(parts)
            )
            function = functools.partial(function, equation)
        if len(factors) != 2:
            raise self._refusal(node, f"it has {len(factors)} factors; write it as products of two")
        tensors = [n for n, factor in enumerate(factors) if self._is_tensor(factor)]
        if tensors == [0] and node.target is not torch.einsum:
            made = weighted_function(node, self.network)
            if isinstance(made, Weighted):
                return made, (factors[0],)
        gates = self._weighing(factors)
        softmax = frozenset(n for n in gates if self.gates.get(factors[n]) is Gate.SOFTMAX)  # type: ignore[arg-type]
        return MatrixProduct(function, gates, softmax), factors

    def _of_function(self, node: fx.Node) -> tuple[Layer, tuple[Any, ...]]:
        if node.target in known.SOFTMAX:
            dim = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
            if not isinstance(dim, int):
                raise self._refusal(node, "its dimension is not given")
            return Softmax(self._function(node), dim), node.args
        if node.target is F.batch_norm:
            norm = self._batch_norm_of(node)
            if norm is None:
                raise self._refusal(node, "its mean and variance are those of the batch")
            return Scaling(norm), (node.args[0],)
        if node.target in known.SCALES:
            return self._scale(node)
        if node.target in known.ROOT_MEAN_SQUARE:
            return Elementwise(self._function(node)), node.args
        if node.target is getattr and node.args[1] in known.TRANSPOSED:
            return Rearrangement(getattr), node.args
        if node.target in known.LOOKING_UP:
            raise self._refusal(node, _TOKENS)
        if node.target in (F.layer_norm, F.group_norm, F.instance_norm):
            made = normalisation_layer(node, self.network)
            if made is None:
                raise self._refusal(node)
            return made, (node.args[0],)
        table: dict[Any, type[Layer]] = (
            known.METHODS if node.op == "call_method" else known.FUNCTIONS  # type: ignore[assignment]
        )
        kind = table.get(node.target)
        if self._called(node) in ("max", "min"):
            raise self._refusal(
                node, "it gives values and places, or the one extreme of two branches; amax(dim) of one "
                "tensor is explained, whose winner takes all",
            )  # fmt: skip
        if kind is None:
            raise self._refusal(node)
        return kind(self._function(node)), self._arguments(node)  # type: ignore[call-arg]

    def _of_module(self, node: fx.Node) -> tuple[Layer, tuple[Any, ...]]:
        name = str(node.target)
        module = self.modules[name]
        source = node.args[0] if node.args else None
        if source not in self.tensors or len(node.all_input_nodes) > 1:
            raise self._refusal(node)
        inputs = (source,)
        if self.claims(name, module) and not known.is_known(module):
            return Opaque(module.forward), inputs
        if isinstance(module, LINEAR_LAYERS) or "noisy_mean" in vars(module):
            return own_weights(module), inputs
        if isinstance(module, known.BATCH_NORMS) and module.running_mean is not None:
            return Scaling(module.forward), inputs
        if isinstance(module, known.LOOKING_UP[:2]):
            raise self._refusal(node, _TOKENS)
        if isinstance(module, known.ROOT_MEAN_SQUARE_MODULES):
            return Elementwise(module.forward), inputs
        if isinstance(module, known.NORMALISATIONS):
            made = normalisation_layer(module, self.network)
            if made is not None:
                return made, inputs
        if isinstance(module, known.SOFTMAX_MODULES):
            dim = -3 if isinstance(module, nn.Softmax2d) else module.dim
            if isinstance(dim, int):
                return Softmax(module.forward, dim), inputs
        for kinds, layer in known.MODULES:
            if isinstance(module, kinds):
                return layer(_without_side_effects(module).forward), inputs  # type: ignore[call-arg]
        raise self._refusal(node)

    def _is_merged(self, node: fx.Node) -> bool:
        """Merge a BatchNorm into the linear layer before it."""
        norm = self._batch_norm_of(node)
        if norm is None:
            return False
        source = node.args[0]
        if not isinstance(source, fx.Node):
            return False
        before = self.root.get(str(source.target)) if source.op == "call_module" else None
        if not isinstance(before, Weighted) or before.by_shape:
            return False
        merged = merged_batch_norm(before, norm)
        merged.called, merged.sees_observation = before.called, before.sees_observation
        merged.samples_along, merged.inputs_along = before.samples_along, before.inputs_along
        if len(source.users) == 1:
            self.root[str(source.target)] = merged
            node.replace_all_uses_with(source)
        else:  # others use the output as it is: the linear layer is there twice
            with self.graph.inserting_before(node):
                call = self.graph.call_module(self._add(source, merged), source.args)
            self.tensors.add(call)
            if node in self.values:
                self.values[call] = self.values[node]
            node.replace_all_uses_with(call)
        self.graph.erase_node(node)
        return True

    def _batch_norm_of(self, node: fx.Node) -> BatchNorm | None:
        """Return what a BatchNorm, module or functional, does at evaluation."""
        if node.op == "call_module":
            module = self.modules[str(node.target)]
            known_one = isinstance(module, known.BATCH_NORMS) and module.running_mean is not None
            return batch_norm_of_module(module) if known_one else None
        return batch_norm_of_function(node, self.network) if node.target is F.batch_norm else None

    def _concatenation(self, node: fx.Node) -> tuple[Layer, tuple[Any, ...]]:
        branches = node.args[0] if node.args else node.kwargs.get("tensors")
        if not isinstance(branches, list | tuple):
            raise self._refusal(node)
        function, arguments = self._function(node, leave=("tensors",)), node.args[1:]
        if self._nodes(arguments):
            raise self._refusal(node, "its dimension is computed from the data")
        return Concatenation(lambda *parts: function(list(parts), *arguments)), tuple(branches)

    def _assignment(self, node: fx.Node) -> tuple[Layer, tuple[Any, ...]]:
        """Return the layer that gives a tensor with some of its entries replaced by others."""
        whole, key, part = node.args
        if any(n in self.tensors for n in self._nodes(key)):
            raise self._refusal(node, "where it writes depends on the observation")
        return Concatenation(_assigned), (whole, part, key)

    def _sum(self, node: fx.Node, branches: list[Any]) -> tuple[Layer, tuple[Any, ...]]:
        if len(node.args) != 2 or node.kwargs.get("alpha", 1) != 1:
            raise self._refusal(node)
        if len(branches) == 1 and node.args[0] in self.raw:
            # A shift of the observation, such as less its mean: entries keep their relevance.
            return Scaling(self._function(node)), node.args
        second = -1 if node.target in known.SUBTRACTING else 1
        return Sum((1, second)), node.args

    def _arguments(self, node: fx.Node) -> tuple[Any, ...]:
        """Return the arguments less a positional ``inplace``, which would change the input."""
        if node.target in known.TAKING_INPLACE:
            return tuple(a for a in node.args if a is not True and a is not False)
        return node.args

    def _function(self, node: fx.Node, leave: tuple[str, ...] = ()) -> Callable[..., Any]:
        """Return the operation as a function of its positional arguments."""
        omitted = ("inplace", "training", *leave)
        options = {key: value for key, value in node.kwargs.items() if key not in omitted}
        if self._nodes(options):
            raise self._refusal(node, "an option of it is computed under way")
        if node.op == "call_method":
            name = str(node.target).rstrip("_")
            # What made entries contiguous is gone, which only `view` needs.
            return functools.partial(_method, "reshape" if name == "view" else name, options)
        assert callable(node.target)
        plain = {operator.iadd: operator.add, operator.isub: operator.sub,
                 operator.imul: operator.mul, operator.itruediv: operator.truediv}  # fmt: skip
        return functools.partial(plain.get(node.target, node.target), **options)

    @staticmethod
    def _nodes(arguments: Any) -> list[fx.Node]:
        found: list[fx.Node] = []
        fx.node.map_arg(arguments, found.append)
        return found

    def _add(self, node: fx.Node, layer: Layer) -> str:
        """Store `layer` under the name that it has in the network, or its node's; return it."""
        stem = str(node.target) if node.op == "call_module" else node.name
        if node.op != "call_module" and PART_OF in node.meta:
            stem = f"{node.meta[PART_OF]}.{self._called(node).strip('_')}"
        name, calls = stem, 1
        while name in self.root:
            calls += 1
            name = f"{stem}__{calls}"
        self.root[name] = layer
        return name

    def _check_output(self, node: fx.Node) -> None:
        if self.gates.get(node.args[0]) is Gate.SCALE:  # type: ignore[arg-type]
            raise self._refusal(node, _SCALE)
        if not (isinstance(node.args[0], fx.Node) and node.args[0] in self.tensors - self.tuples):
            raise ArchitectureError(
                f"{self.name}.forward must return one tensor of outputs, (N, units); found "
                f"{node.args[0]}. Give the network a method path(head) that returns the module of "
                "one head"
            )

    def _called(self, node: fx.Node) -> str:
        if node.op == "call_module":
            return type(self.modules[str(node.target)]).__name__
        return str(getattr(node.target, "__name__", node.target))

    def _refusal(self, node: fx.Node, why: str = "no rule is defined for it") -> ArchitectureError:
        return refused(self.name, node, self._called(node), why)


def _assigned(whole: Tensor, part: Any, key: Any) -> Tensor:
    found = whole.clone()
    found[key] = part
    return found


def _method(name: str, options: dict[str, Any], x: Tensor, *arguments: Any) -> Any:
    return getattr(x, name)(*arguments, **options)


def _without_side_effects(module: nn.Module) -> nn.Module:
    if getattr(module, "inplace", False):
        module = copy.copy(module)
        module.inplace = False  # type: ignore[assignment]
    return module
