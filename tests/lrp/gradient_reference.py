"""LRP-0 of any network a second time: input times gradient of the untouched network.

No tracing and no layers: torch's functions are replaced while the network runs.

- A non-linearity is a product with f(x) / x, which is held fixed; of a normalisation the scale is.
- A BatchNorm is linear right behind a linear layer, as one with it, and elsewhere relevance passes.
- A product of two signals gives half of its gradient to each, and all of it to the signal where the
  other factor is a gate (Arras et al. 2017; Achtibat et al. 2024, prop. 3.2 and 3.3).
- A matrix product with the weights of a softmax gives all to the values under ``cp-lrp`` (Ali et al.
  2022), and half to each under ``attnlrp``, where the softmax keeps its own gradient: for R = s g
  input times gradient is x s (g - sum s g) = x (R - s sum R), prop. 3.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Functions of each entry alone, by name.
_ACTIVATIONS = _names(
    "relu relu6 leaky_relu rrelu prelu elu celu selu gelu silu mish tanh hardtanh sigmoid hardsigmoid "
    "hardswish softplus softsign logsigmoid log_sigmoid softshrink hardshrink tanhshrink threshold clamp "
    "clamp_min clamp_max clip pow square sqrt abs exp expm1 log log1p sin cos erf"
)
_LINEAR = _names("linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d")
#: What divides or multiplies other entries and is made of them.
_SCALES = _names("norm vector_norm linalg_vector_norm linalg_norm std var rsqrt reciprocal")
#: Leave a linear layer what it is.
_NOTHING = _names(
    "dropout dropout1d dropout2d dropout3d alpha_dropout contiguous clone to float double type "
    "type_as"
)
#: Leave a gate what it is.
_MOVES = _NOTHING | _names(
    "view view_as reshape reshape_as flatten unflatten permute transpose swapaxes movedim squeeze unsqueeze "
    "expand expand_as repeat repeat_interleave getitem get chunk split split_with_sizes tensor_split unbind "
    "select narrow roll flip pad t neg mean sum avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d "
    "adaptive_avg_pool2d adaptive_avg_pool3d interpolate upsample masked_fill cat concat concatenate "
    "stack hstack amax max_pool1d max_pool2d max_pool3d adaptive_max_pool1d adaptive_max_pool2d"
)
_GATES = frozenset({"sigmoid", "hardsigmoid"})
#: Marks of gates: of two factors the stronger one weighs the other, and of two alike each gets half.
_STRENGTH = {"weak gate": 1, "gate": 2, "softmax": 3}
_SHIFTS = _names("add radd iadd sub rsub isub subtract")
_PRODUCTS = _names("mul rmul imul multiply")
_QUOTIENTS = _names("div rdiv idiv truediv rtruediv itruediv true_divide divide")
_MATRIX_PRODUCTS = _names("matmul rmatmul imatmul mm bmm mv dot")
_IN_PLACE = _names("imul iadd isub idiv itruediv imatmul")


def _held(x: Tensor, y: Tensor) -> Tensor:
    """Return y as x times a constant."""
    slope = torch.where(x == 0, 0, y / torch.where(x == 0, 1, x)).detach()
    return x * slope + (y - x * slope).detach()


def _fixed(x: Any) -> Any:
    # A copy: autograd would miss the value if the network changed it in place later.
    return x.detach().clone() if isinstance(x, Tensor) else x


def _signal(x: Any) -> bool:
    """Return whether a value, or one inside, depends on the observation."""
    if isinstance(x, list | tuple):
        return any(_signal(part) for part in x)
    if isinstance(x, dict):
        return _signal(list(x.values()))
    return isinstance(x, Tensor) and x.requires_grad


def _kind(x: Any) -> str | None:
    """Return what a tensor was marked as: ``linear``, or one of `_STRENGTH`."""
    return getattr(x, "kind_of_signal", None)


def _marked(x: Any, kind: str | None) -> Any:
    for part in x if isinstance(x, list | tuple) else [x]:
        if isinstance(part, Tensor):
            part.kind_of_signal = kind  # type: ignore[attr-defined]
    return x


def _affine(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _by_channel(values: Tensor | None, x: Tensor) -> Tensor | None:
    return None if values is None else values.reshape(1, -1, *[1] * (x.ndim - 2))


def _normalised(x: Tensor, dims: tuple[int, ...], eps: float) -> Tensor:
    scale = (x.var(dims, correction=0, keepdim=True) + eps).sqrt().detach()
    return (x - x.mean(dims, keepdim=True)) / scale


def _layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *_: Any,
) -> Tensor:
    dims = tuple(range(-len(normalized_shape), 0))
    return _affine(_normalised(input, dims, eps), weight, bias)


def _group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *_: Any,
) -> Tensor:
    x = input
    plain = _normalised(x.reshape(len(x), num_groups, -1), (2,), eps).reshape(x.shape)
    return _affine(plain, _by_channel(weight, x), _by_channel(bias, x))


def _instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *_: Any,
) -> Tensor:
    x = input
    if not use_input_stats:
        found = F.instance_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
        return _held(x, found)
    plain = _normalised(x, tuple(range(2, x.ndim)), eps)
    return _affine(plain, _by_channel(weight, x), _by_channel(bias, x))


def _rms_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    dims = tuple(range(-len(normalized_shape), 0))
    eps = torch.finfo(input.dtype).eps if eps is None else eps
    scale = (input.square().mean(dims, keepdim=True) + eps).sqrt().detach()
    return _affine(input / scale, weight, None)


def _normalize(
    input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: None = None
) -> Tensor:
    scale: Tensor = input.norm(p, dim, keepdim=True)
    return input / scale.clamp_min(eps).detach()


_NORMALISATIONS: dict[str, Callable[..., Tensor]] = {
    "layer_norm": _layer_norm, "group_norm": _group_norm, "instance_norm": _instance_norm,
    "rms_norm": _rms_norm, "normalize": _normalize,
}  # fmt: skip


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Attend as ``F.scaled_dot_product_attention`` does, by its parts."""
    if enable_gqa:
        key, value = (x.repeat_interleave(query.shape[-3] // x.shape[-3], -3) for x in (key, value))
    scores = query @ key.transpose(-2, -1)
    scores = scores * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, -math.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return F.softmax(scores, -1) @ value


def _multi_head(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, None]:
    """Attend as ``F.multi_head_attention_forward`` does with inputs (L, N, E), by its parts."""
    assert bias_k is None
    assert bias_v is None
    assert not add_zero_attn
    weights = (
        (q_proj_weight, k_proj_weight, v_proj_weight)
        if in_proj_weight is None
        else in_proj_weight.chunk(3)
    )
    biases = (None,) * 3 if in_proj_bias is None else in_proj_bias.chunk(3)
    heads = []
    for x, weight, bias in zip((query, key, value), weights, biases, strict=True):
        y = F.linear(x, weight, bias)  # type: ignore[arg-type]
        heads.append(y.unflatten(-1, (num_heads, -1)).permute(1, 2, 0, 3))
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        attn_mask = torch.zeros(attn_mask.shape, dtype=query.dtype).masked_fill(
            attn_mask, -math.inf
        )
    if attn_mask is not None and attn_mask.ndim == 3:
        attn_mask = attn_mask.unflatten(0, (-1, num_heads))
    if key_padding_mask is not None:
        padded = key_padding_mask
        if padded.dtype == torch.bool:
            padded = torch.zeros(padded.shape, dtype=query.dtype).masked_fill(padded, -math.inf)
        padded = padded[:, None, None]
        attn_mask = padded if attn_mask is None else attn_mask + padded
    mixed = _attention(*heads, attn_mask).permute(2, 0, 1, 3).flatten(2)
    return F.linear(mixed, out_proj_weight, out_proj_bias), None


State = tuple[Tensor, Tensor]


def _lstm_cell(input: Tensor, hx: Sequence[Tensor], *weights: Tensor | None) -> State:
    """Make one step of an LSTM; W_hr, where it is given, projects the output.

    Its gates get nothing, also where what they weigh is a constant, such as the first state.
    """
    w_ih, w_hh, b_ih, b_hh, w_hr = (*weights, *[None] * (5 - len(weights)))
    (h, c) = hx
    gates = F.linear(input, w_ih, b_ih) + F.linear(h, w_hh, b_hh)  # type: ignore[arg-type]
    g = gates.chunk(4, -1)[2]
    i, f, _, o = torch.sigmoid(gates).detach().chunk(4, -1)
    c = f * c + i * torch.tanh(g)
    h = o * torch.tanh(c)
    return h if w_hr is None else F.linear(h, w_hr), c


def _gru_cell(input: Tensor, hx: Tensor, *weights: Tensor | None) -> Tensor:
    w_ih, w_hh, b_ih, b_hh = (*weights, *[None] * (4 - len(weights)))
    of_input = F.linear(input, w_ih, b_ih).chunk(3, -1)  # type: ignore[arg-type]
    of_state = F.linear(hx, w_hh, b_hh).chunk(3, -1)  # type: ignore[arg-type]
    r, z = (torch.sigmoid(of_input[k] + of_state[k]).detach() for k in (0, 1))
    return (1 - z) * torch.tanh(of_input[2] + r * of_state[2]) + z * hx


def _rnn_cell(function: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    def step(input: Tensor, hx: Tensor, *weights: Tensor | None) -> Tensor:
        w_ih, w_hh, b_ih, b_hh = (*weights, *[None] * (4 - len(weights)))
        return function(F.linear(input, w_ih, b_ih) + F.linear(hx, w_hh, b_hh))  # type: ignore[arg-type]

    return step


_CELLS: dict[str, Callable[..., Any]] = {
    "lstm": _lstm_cell, "gru": _gru_cell,
    "rnn_tanh": _rnn_cell(torch.tanh), "rnn_relu": _rnn_cell(torch.relu),
}  # fmt: skip


def _recurrence(cell: Callable[..., Any]) -> Callable[..., Any]:
    """Return what ``torch.lstm`` and its like do, step by step."""

    def run(
        input: Tensor,
        hx: Any,
        params: Sequence[Tensor],
        has_biases: bool,
        layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
    ) -> tuple[Tensor, ...]:
        states = [tuple(s) for s in zip(*hx, strict=True)] if cell is _lstm_cell else list(hx)
        ways, x = 2 if bidirectional else 1, input.transpose(0, 1) if batch_first else input
        count, last = len(params) // (layers * ways), []
        for layer in range(layers):
            found = []
            for way in range(ways):
                index = layer * ways + way
                w: list[Any] = list(params[index * count : (index + 1) * count])
                w = w if has_biases else [*w[:2], None, None, *w[2:]]
                state, given = states[index], []
                for step in x.flip(0) if way else x:
                    state = cell(step, state, *w)
                    given.append(state[0] if cell is _lstm_cell else state)
                found.append(torch.stack(given[::-1] if way else given))
                last.append(state)
            x = torch.cat(found, -1)
        output = x.transpose(0, 1) if batch_first else x
        if cell is _lstm_cell:
            return output, *(torch.stack(parts) for parts in zip(*last, strict=True))
        return output, torch.stack(last)

    return run


_BY_PARTS: dict[str, Callable[..., Any]] = {
    "scaled_dot_product_attention": _attention,
    "multi_head_attention_forward": _multi_head,
    **{name: _recurrence(cell) for name, cell in _CELLS.items()},
    **{f"{name}_cell": cell for name, cell in _CELLS.items()},
}


class _Replaced(TorchFunctionMode):
    def __init__(self, attention: str) -> None:
        super().__init__()
        self.attention = attention

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not _signal([args, kwargs]):
            return func(*args, **kwargs)
        name = func.__name__.strip("_")
        in_place = name in _IN_PLACE or (func.__name__.endswith("_") and func.__name__[:2] != "__")
        args, kwargs, said = _without_in_place(func, args, kwargs)
        if name in _BY_PARTS:
            with self:
                return _BY_PARTS[name](*args, **kwargs)
        found, kind = self._replaced(name, func, args, kwargs)
        target = args[0] if args else kwargs.get("input")
        if (in_place or said) and isinstance(target, Tensor) and not target.is_leaf:
            found = target.copy_(found)
        if kind or in_place or said:
            _marked(found, kind)
        return found

    def _replaced(self, name: str, func: Any, args: Any, kwargs: Any) -> tuple[Any, str | None]:
        """Return what a function gives with the gradient that it should have, and its mark."""
        if name in _NORMALISATIONS:
            return _NORMALISATIONS[name](*args, **kwargs), None
        x = args[0] if args else kwargs.get("input")
        if name in _PRODUCTS or name in _QUOTIENTS:
            return self._product(name, *args, **kwargs)
        if name in _MATRIX_PRODUCTS:
            a, b = args if len(args) == 2 else (x, kwargs.get("other", kwargs.get("mat2")))
            a, b = (b, a) if name == "rmatmul" else (a, b)
            weighted = isinstance(b, Tensor) and not _signal(b) and b.ndim == 2
            return self._matrix_product(torch.matmul, a, b), "linear" if weighted else None
        if name == "linear" and _signal(
            [args[1:], {k: v for k, v in kwargs.items() if k != "input"}]
        ):
            weight = args[1] if len(args) > 1 else kwargs["weight"]
            bias = args[2] if len(args) > 2 else kwargs.get("bias")
            product = self._matrix_product(lambda a, w: a @ w.mT, x, weight)
            return product if bias is None else product + bias, "linear"
        if name == "einsum":
            operands = args[1] if isinstance(args[1], list | tuple) else args[1:]
            if len(operands) == 2:
                return self._matrix_product(
                    lambda a, b: torch.einsum(args[0], a, b), *operands
                ), None
        if name in ("baddbmm", "addmm", "addbmm"):
            beta, alpha = kwargs.get("beta", 1), kwargs.get("alpha", 1)
            product = self._matrix_product(torch.matmul, *args[1:3]) * alpha
            return product.sum(0) if name == "addbmm" else product + args[0] * beta, None
        if name == "addcmul":
            factors, _ = self._product("mul", args[1], args[2])
            return args[0] + kwargs.get("value", 1) * factors, None
        if name == "glu":
            values, gate = x.chunk(2, args[1] if len(args) > 1 else kwargs.get("dim", -1))
            return values * torch.sigmoid(gate).detach(), None
        if name == "var_mean":
            variance, mean = func(*args, **kwargs)
            return (variance.detach(), mean), None
        plain = _plain(name, func)
        found = plain(*args, **kwargs)
        if name in _SCALES or (name == "pow" and isinstance(args[1], int | float) and args[1] < 0):
            return found.detach(), None
        if name in ("amax", "softmax"):
            found = found * 1  # autograd keeps their result, which what follows may change in place
        # Of another tensor's shape: its entries take no part.
        kind = _kind_of_all(args[:1] if name.endswith("_as") else [args, kwargs])
        if name in _ACTIVATIONS:
            return _held(x, found), _strongest(_bounded(name, args, kwargs), kind)
        if name == "softmax":
            return found, "softmax"
        if name == "batch_norm":
            return (found, "linear" if x.ndim != 3 else None) if _kind(x) == "linear" else (
                _held(x, found), kind)  # fmt: skip
        if name in _LINEAR:
            # Heads of attention that are mixed are its weights still.
            return found, "softmax" if kind == "softmax" else "linear"
        if _kind(x) == "linear":
            return found, "linear" if name in _NOTHING else None
        if name in _SHIFTS and _kind(x) == "raw" and not _signal(args[1:]):
            return _held(
                x, found
            ), "raw"  # an observation less its mean: entries keep their relevance
        if _kind(x) == "raw":
            return found, "raw" if name in _MOVES else None
        return found, kind if name in _MOVES or name in _SHIFTS else None

    def _product(
        self, name: str, input: Any, other: Any, **kwargs: Any
    ) -> tuple[Tensor, str | None]:
        if name in _QUOTIENTS:
            a, b = (other, input) if name.startswith("r") else (input, other)
            raw = _kind(a) if _kind(a) == "raw" and not _signal(b) else None
            return torch.div(a, _fixed(b), **kwargs), raw or _kind_of_all(a)
        if not (_signal(input) and _signal(other)):
            raw = next((kind for kind in map(_kind, (input, other)) if kind == "raw"), None)
            return input * other, raw or _kind_of_all([input, other])
        one, two = _weight(input), _weight(other)
        if one == two:
            return (_fixed(input) * other + input * _fixed(other)) / 2, _kind_of_all([input, other])
        if one > two:
            return _fixed(input) * other, _kind_of_all(other)
        return input * _fixed(other), _kind_of_all(input)

    def _matrix_product(self, function: Callable[..., Tensor], a: Tensor, b: Tensor) -> Tensor:
        if not (_signal(a) and _signal(b)):
            return function(a, b)
        one, two = _weight(a), _weight(b)
        halves = self.attention == "attnlrp" and "softmax" in (_kind(a), _kind(b))
        if one == two or halves:
            return (function(_fixed(a), b) + function(a, _fixed(b))) / 2
        return function(_fixed(a), b) if one > two else function(a, _fixed(b))


def _weight(x: Any) -> int:
    """Return how sure it is that a factor weighs the other."""
    return _STRENGTH.get(_kind(x) or "", 0)


def _strongest(one: str | None, two: str | None) -> str | None:
    return max(one, two, key=lambda kind: _STRENGTH.get(kind or "", 0))


def _bounded(name: str, args: Any, kwargs: Any) -> str | None:
    """Return whether an activation makes gates; a ReLU6, and what is clamped from 0 on, is a weak one."""
    if name in _GATES:
        return "gate"
    low = args[1] if len(args) > 1 else kwargs.get("min", kwargs.get("min_val"))
    high = args[2] if len(args) > 2 else kwargs.get("max", kwargs.get("max_val"))
    clamped = name in ("clamp", "hardtanh") and low == 0 and high is not None
    return "weak gate" if clamped or name == "relu6" else None


def _kind_of_all(x: Any) -> str | None:
    """Return the mark of all signals of some arguments, where all of them are gates."""
    if isinstance(x, dict):
        return _kind_of_all(list(x.values()))
    if isinstance(x, list | tuple):
        kinds = [_kind_of_all(part) for part in x if _signal(part)]
        if None in kinds or not kinds:
            return None
        return min(kinds, key=lambda kind: _STRENGTH[kind or ""])
    kind = _kind(x)
    return kind if kind in _STRENGTH else None


def _without_in_place(func: Any, args: Any, kwargs: Any) -> tuple[Any, Any, bool]:
    """Return the arguments less ``inplace``, and what that said."""
    if "inplace" in kwargs:
        rest = {key: value for key, value in kwargs.items() if key != "inplace"}
        return args, rest, bool(kwargs["inplace"])
    code = getattr(func, "__code__", None)
    names = code.co_varnames[: min(code.co_argcount, len(args))] if code else ()
    if "inplace" in names:
        place = names.index("inplace")
        return (*args[:place], *args[place + 1 :]), kwargs, bool(args[place])
    return args, kwargs, False


def _plain(name: str, func: Any) -> Callable[..., Any]:
    """Return the function that changes nothing in place."""
    if func.__name__ == name + "_":
        return getattr(torch, name, None) or getattr(F, name, None) or getattr(Tensor, name)
    if name in _IN_PLACE:
        return getattr(torch, name[1:])  # type: ignore[no-any-return]
    return func  # type: ignore[no-any-return]


@contextmanager
def _parameters_as_constants(network: nn.Module) -> Iterator[None]:
    given = {p: p.requires_grad for p in network.parameters()}
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    network.requires_grad_(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for parameter, requires in given.items():
            parameter.requires_grad_(requires)


def lrp0_reference(
    network: nn.Module, x: Tensor, rows: Tensor, attention: str = "cp-lrp"
) -> Tensor:
    """Return the relevance of each entry of `x` for the scores that `rows` (N, K) make of the outputs.

    `attention` is ``cp-lrp`` or ``attnlrp``. The replaced network is checked to give the outputs of
    the network as it is.
    """
    leaf = _marked(x.clone().requires_grad_(), "raw")
    with _parameters_as_constants(network):
        with torch.no_grad():
            plain = network(x.clone())
        with torch.enable_grad(), _Replaced(attention):
            outputs = network(leaf * 1)
        (gradient,) = torch.autograd.grad((outputs * rows).sum(), leaf)
    torch.testing.assert_close(outputs.detach(), plain, rtol=1e-7, atol=1e-9)
    return (leaf * gradient).detach()
