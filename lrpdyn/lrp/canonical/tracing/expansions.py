"""Recurrent layers and attention, spelled out in operations that have rules.

Each function gives what the module or function of torch gives in evaluation mode, and takes what
that takes, by the same names. They branch on settings and shapes alone, so a tracer can call them
with proxies in place of tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from lrpdyn.errors import ArchitectureError
from lrpdyn.lrp.canonical.operations import weighed

#: The states of a recurrent layer: the hidden one, which is also its output, and that of the cell.
_States = tuple[Tensor, ...]
_Step = Callable[[Tensor, _States], _States]


def lstm(
    module: nn.LSTM, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Return output and last states of `nn.LSTM`; see its documentation for the shapes."""
    hidden = module.proj_size or module.hidden_size
    sizes = (hidden, module.hidden_size)
    output, (h, c) = _unrolled(module, input, hx, sizes, _lstm_step)
    return output, (h, c)


def gru(module: nn.GRU, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return output and last states of `nn.GRU`; see its documentation for the shapes."""
    states = None if hx is None else (hx,)
    output, (h,) = _unrolled(module, input, states, (module.hidden_size,), _gru_step)
    return output, h


def rnn(module: nn.RNN, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return output and last states of `nn.RNN`; see its documentation for the shapes."""
    states = None if hx is None else (hx,)
    output, (h,) = _unrolled(module, input, states, (module.hidden_size,), _rnn_step)
    return output, h


def lstm_cell(
    module: nn.LSTMCell, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Return the next states (N, H) of `nn.LSTMCell`."""
    h, c = _next(module, input, hx, 2, _lstm_step)
    return h, c


def gru_cell(module: nn.GRUCell, input: Tensor, hx: Tensor | None = None) -> Tensor:
    """Return the next state (N, H) of `nn.GRUCell`."""
    return _next(module, input, None if hx is None else (hx,), 1, _gru_step)[0]


def rnn_cell(module: nn.RNNCell, input: Tensor, hx: Tensor | None = None) -> Tensor:
    """Return the next state (N, H) of `nn.RNNCell`."""
    return _next(module, input, None if hx is None else (hx,), 1, _rnn_step)[0]


def _unrolled(
    module: nn.RNNBase,
    input: Tensor,
    hx: _States | None,
    sizes: Sequence[int],
    step_of: Callable[[nn.Module, str], _Step],
) -> tuple[Tensor, _States]:
    """Return the output, step by step, and the last states (layers * directions, N, H)."""
    name = type(module).__name__
    if isinstance(input, PackedSequence):
        raise ArchitectureError(
            f"nn.{name}: takes a packed sequence, whose lengths depend on the data; expected a tensor, with "
            "observations that all have the same number of time steps"
        )
    _check_dimensions(name, input, 3)
    x = input if module.batch_first else input.transpose(0, 1)
    directions = 2 if module.bidirectional else 1
    count = module.num_layers * directions
    if hx is not None:
        _check_states(name, hx, [(count, x.shape[0], size) for size in sizes])
    zeros = [_zeros(x, size) for size in sizes] if hx is None else []
    steps = [x[:, time] for time in range(int(x.shape[1]))]
    last = []
    for layer in range(module.num_layers):
        outputs = []
        for direction in range(directions):
            step = step_of(module, f"_l{layer}{'_reverse' * direction}")
            place = layer * directions + direction
            states = tuple(zeros) if hx is None else tuple(part[place] for part in hx)
            given = []
            for at in steps[::-1] if direction else steps:
                states = step(at, states)
                given.append(states[0])
            outputs.append(given[::-1] if direction else given)
            last.append(states)
        steps = [_joined(parts) for parts in zip(*outputs, strict=True)]
    output = torch.stack(steps, dim=1)
    final = tuple(torch.stack(parts) for parts in zip(*last, strict=True))
    return output if module.batch_first else output.transpose(0, 1), final


def _next(
    module: nn.RNNCellBase,
    input: Tensor,
    hx: _States | None,
    count: int,
    step_of: Callable[[nn.Module, str], _Step],
) -> _States:
    name, size = type(module).__name__, module.hidden_size
    _check_dimensions(name, input, 2)
    if hx is None:
        hx = (_zeros(input, size),) * count
    _check_states(name, hx, [(input.shape[0], size)] * count)
    return step_of(module, "")(input, hx)


def _zeros(x: Tensor, *sizes: int) -> Tensor:
    """Return zeros (N, ...) for the samples of `x`, of whose entries they are not made."""
    return torch.zeros(x.shape[0], *sizes, dtype=x.dtype, device=x.device)


def _check_dimensions(name: str, input: Tensor, expected: int) -> None:
    if len(input.shape) != expected:
        raise ArchitectureError(
            f"nn.{name}: its input has {len(input.shape)} dimensions, expected {expected}, the samples among "
            "them; without these it would take the samples for steps of one sequence"
        )


def _check_states(name: str, states: _States, expected: Sequence[tuple[int, ...]]) -> None:
    found = [tuple(part.shape) for part in states]
    if found != list(expected):
        raise ArchitectureError(
            f"nn.{name}: its hidden states have the shapes {', '.join(map(str, found))}, expected "
            f"{', '.join(map(str, expected))}; give it states of that size, or none, which are zeros"
        )


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(parts), dim=-1) if len(parts) > 1 else parts[0]


def _weights(module: nn.Module, suffix: str) -> tuple[Tensor, Tensor | None]:
    """Return weight and bias of one linear layer over the input and the hidden state together.

    As one layer, whatever the rule, input and state share its relevance; as two layers whose
    outputs are summed they would not where the outputs have different signs.
    """
    weight = torch.cat(
        [_own(module, "weight_ih", suffix), _own(module, "weight_hh", suffix)], dim=1
    )
    if not module.bias:
        return weight, None
    return weight, _own(module, "bias_ih", suffix) + _own(module, "bias_hh", suffix)


def _own(module: nn.Module, name: str, suffix: str) -> Tensor:
    tensor: Tensor = getattr(module, name + suffix)
    return tensor


def _rows(tensor: Tensor | None, start: int, stop: int) -> Tensor | None:
    return None if tensor is None else tensor[start:stop]


def _lstm_step(module: nn.Module, suffix: str) -> _Step:
    weight, bias = _weights(module, suffix)
    size = int(module.hidden_size)  # type: ignore[arg-type]
    # The gates' rows are one layer, though the cell's own rows lie among them and go unused there.
    own_weight, own_bias = weight[2 * size : 3 * size], _rows(bias, 2 * size, 3 * size)
    projection = _own(module, "weight_hr", suffix) if getattr(module, "proj_size", 0) else None

    def step(x: Tensor, states: _States) -> _States:
        h, c = states
        both = torch.cat([x, h], dim=-1)
        gates = torch.sigmoid(F.linear(both, weight, bias))
        entering, kept, shown = gates[:, :size], gates[:, size : 2 * size], gates[:, 3 * size :]
        c = weighed(kept, c) + entering * torch.tanh(F.linear(both, own_weight, own_bias))
        h = shown * torch.tanh(c)
        return (h if projection is None else F.linear(h, projection)), c

    return step


def _gru_step(module: nn.Module, suffix: str) -> _Step:
    weight, bias = _weights(module, suffix)
    size = int(module.hidden_size)  # type: ignore[arg-type]
    gate_weight, gate_bias = weight[: 2 * size], _rows(bias, 0, 2 * size)
    # The reset gate weighs the state's part alone, its bias included: two layers.
    new, old = (
        (_own(module, f"weight_{of}", suffix)[2 * size :],
         _own(module, f"bias_{of}", suffix)[2 * size :] if module.bias else None)
        for of in ("ih", "hh")
    )  # fmt: skip

    def step(x: Tensor, states: _States) -> _States:
        (h,) = states
        gates = torch.sigmoid(F.linear(torch.cat([x, h], dim=-1), gate_weight, gate_bias))
        reset, kept = gates[:, :size], gates[:, size:]
        candidate = torch.tanh(F.linear(x, *new) + weighed(reset, F.linear(h, *old)))
        return ((1 - kept) * candidate + weighed(kept, h),)

    return step


def _rnn_step(module: nn.Module, suffix: str) -> _Step:
    weight, bias = _weights(module, suffix)
    activation = torch.relu if module.nonlinearity == "relu" else torch.tanh

    def step(x: Tensor, states: _States) -> _States:
        return (activation(F.linear(torch.cat([x, states[0]], dim=-1), weight, bias)),)

    return step


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return what ``F.scaled_dot_product_attention`` gives.

    A query that a mask hides all keys from gives nan, where torch gives zeros.
    """
    if dropout_p > 0:
        raise ArchitectureError(
            f"scaled_dot_product_attention: draws at random (dropout_p={dropout_p}), at evaluation too; "
            "give it dropout_p=0 there"
        )
    if is_causal:
        if attn_mask is not None:
            raise ArchitectureError(
                "scaled_dot_product_attention: has both a mask and is_causal=True, expected one of them"
            )
        shape = (int(query.shape[-2]), int(key.shape[-2]))
        attn_mask = torch.ones(shape, dtype=torch.bool, device=query.device).tril()
    if enable_gqa:
        key, value = (_for_each_head(x, int(query.shape[-3])) for x in (key, value))
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        attn_mask = ~attn_mask  # there: what is seen; here: what is hidden
    weights = _attention_weights(query, key, [attn_mask], scale)
    return weights @ value


def _for_each_head(x: Tensor, heads: int) -> Tensor:
    """Return (..., heads, S, E), where `x` has fewer heads, each for a group of queries."""
    group = heads // int(x.shape[-3])
    sizes = [-1] * (len(x.shape) - 2)
    return x.unsqueeze(-3).expand(*sizes, group, -1, -1).flatten(-4, -3)


def _attention_weights(
    query: Tensor, key: Tensor, masks: Sequence[Tensor | None], scale: float | None = None
) -> Tensor:
    """Return the weights (..., L, S); masks hide what is true, or are added."""
    scale = 1 / math.sqrt(int(query.shape[-1])) if scale is None else scale
    scores = (query * scale) @ key.transpose(-2, -1)
    for mask in masks:
        if mask is not None and mask.dtype == torch.bool:
            scores = scores.masked_fill(mask, -math.inf)
        elif mask is not None:
            scores = scores + mask
    return torch.softmax(scores, dim=-1)


def multi_head_attention(
    module: nn.MultiheadAttention,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Return output and weights, or None for these, of `nn.MultiheadAttention`."""
    _check_dimensions("MultiheadAttention", query, 3)
    packed = module.in_proj_weight
    if module.batch_first:
        query, key, value = (x.transpose(0, 1) for x in (query, key, value))
    output, weights = multi_head_attention_forward(
        query, key, value,
        module.embed_dim, module.num_heads, packed, module.in_proj_bias,
        module.bias_k, module.bias_v, module.add_zero_attn, 0.0,
        module.out_proj.weight, module.out_proj.bias,
        training=False, key_padding_mask=key_padding_mask, need_weights=need_weights,
        attn_mask=attn_mask, use_separate_proj_weight=packed is None,
        q_proj_weight=module.q_proj_weight, k_proj_weight=module.k_proj_weight,
        v_proj_weight=module.v_proj_weight, average_attn_weights=average_attn_weights,
        is_causal=is_causal,
    )  # fmt: skip
    return (output.transpose(0, 1) if module.batch_first else output), weights


def multi_head_attention_forward(
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
) -> tuple[Tensor, Tensor | None]:
    """Return what ``F.multi_head_attention_forward`` gives for ``training=False``."""
    _check_dimensions("MultiheadAttention", query, 3)
    if use_separate_proj_weight:
        given: Sequence[Tensor | None] = (q_proj_weight, k_proj_weight, v_proj_weight)
    else:
        given = _thirds(in_proj_weight, embed_dim_to_check)
    # Samples first, as everywhere else.
    q, k, v = (
        F.linear(x.transpose(0, 1), weight, bias)  # type: ignore[arg-type]
        for x, weight, bias in zip(
            (query, key, value), given, _thirds(in_proj_bias, embed_dim_to_check), strict=True
        )
    )
    added = 0
    if bias_k is not None and bias_v is not None:
        k, v = (
            torch.cat([x, bias.expand(x.shape[0], -1, -1)], dim=1)
            for x, bias in ((k, bias_k), (v, bias_v))
        )
        added += 1
    q, k, v = (_by_head(x, num_heads) for x in (q, k, v))
    k, v = (
        x if static is None else torch.unflatten(static, 0, (-1, num_heads))
        for x, static in ((k, static_k), (v, static_v))
    )
    if add_zero_attn:
        k, v = (torch.cat([x, _zeros(x, num_heads, 1, x.shape[3])], dim=2) for x in (k, v))
        added += 1
    if attn_mask is not None and len(attn_mask.shape) == 3:
        attn_mask = torch.unflatten(attn_mask, 0, (-1, num_heads))
    if attn_mask is not None and is_causal and key_padding_mask is None and not need_weights:
        # Here torch takes the word for the mask.
        shape = (int(q.shape[2]), int(k.shape[2]))
        attn_mask, added = torch.ones(shape, dtype=torch.bool, device=q.device).triu(1), 0
    if key_padding_mask is not None:
        key_padding_mask = key_padding_mask[:, None, None, :]
    masks = [
        mask if mask is None or not added else F.pad(mask, (0, added))
        for mask in (attn_mask, key_padding_mask)
    ]
    weights = _attention_weights(q, k, masks)
    output = (weights @ v).transpose(1, 2).flatten(2)
    output = F.linear(output, out_proj_weight, out_proj_bias).transpose(0, 1)
    if not need_weights:
        return output, None
    return output, weights.mean(dim=1) if average_attn_weights else weights


def _thirds(tensor: Tensor | None, size: int) -> tuple[Tensor | None, ...]:
    """Return the rows for queries, keys and values."""
    return tuple(_rows(tensor, place * size, (place + 1) * size) for place in range(3))


def addmm(
    input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """Return what ``torch.addmm`` gives: with a vector to be added, a linear layer."""
    if input.ndim == 1:
        return F.linear(mat1, alpha * mat2.t(), beta * input)
    return beta * input + alpha * (mat1 @ mat2)


def _by_head(x: Tensor, heads: int) -> Tensor:
    """Return (N, heads, L, E / heads) of (N, L, E)."""
    return torch.unflatten(x, -1, (heads, -1)).transpose(1, 2)


#: The modules that are expanded, and what is called in their place, with the module itself first.
EXPANDED_MODULES: dict[type[nn.Module], Callable[..., Any]] = {
    nn.LSTM: lstm,
    nn.GRU: gru,
    nn.RNN: rnn,
    nn.LSTMCell: lstm_cell,
    nn.GRUCell: gru_cell,
    nn.RNNCell: rnn_cell,
    nn.MultiheadAttention: multi_head_attention,
}
#: The functions that are expanded, and what is called in their place.
EXPANDED_FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    F.scaled_dot_product_attention: scaled_dot_product_attention,
    F.multi_head_attention_forward: multi_head_attention_forward,
    torch.addmm: addmm,
}
