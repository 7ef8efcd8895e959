"""Expanded modules and functions give what torch's own give."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lrpdyn.errors import ArchitectureError
from lrpdyn.lrp.canonical.canonise import canonise
from lrpdyn.lrp.canonical.layers import Weighted
from lrpdyn.lrp.canonical.tracing.expansions import (
    EXPANDED_FUNCTIONS,
    EXPANDED_MODULES,
    scaled_dot_product_attention,
)

PRECISIONS = st.sampled_from([(torch.float32, 1e-6), (torch.float64, 1e-12)])
SMALL = st.integers(1, 3)


def expanded(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
    return EXPANDED_MODULES[type(module)](module, *args, **kwargs)


def assert_same(found: Any, expected: Any, tolerance: float) -> None:
    # Relative to the largest entry: what cancels keeps the rounding of what it was made of.
    found, expected = leaves(found), leaves(expected)
    largest = [max(1.0, float(part.detach().abs().max())) for part in expected]
    for one, other, size in zip(found, expected, largest, strict=True):
        torch.testing.assert_close(one, other, atol=tolerance * size, rtol=0)


def leaves(given: Any) -> list[Tensor]:
    if isinstance(given, tuple):
        return [leaf for part in given for leaf in leaves(part)]
    return [] if given is None else [given]


@settings(deadline=None, max_examples=60)
@given(
    kind=st.sampled_from(["LSTM", "GRU", "tanh", "relu"]), layers=SMALL, bidirectional=st.booleans(),
    batch_first=st.booleans(), bias=st.booleans(), project=st.booleans(), stated=st.booleans(),
    sizes=st.tuples(SMALL, SMALL, SMALL, st.integers(2, 4)), precision=PRECISIONS,
    seed=st.integers(0, 99),
)  # fmt: skip
def test_recurrent_layers_give_what_torch_gives(
    kind: str, layers: int, bidirectional: bool, batch_first: bool, bias: bool, project: bool,
    stated: bool, sizes: tuple[int, ...], precision: tuple[torch.dtype, float], seed: int,
) -> None:  # fmt: skip
    torch.manual_seed(seed)
    dtype, tolerance = precision
    samples, times, features, hidden = sizes
    known: dict[str, Any] = {
        "num_layers": layers, "bidirectional": bidirectional, "batch_first": batch_first,
        "bias": bias, "dtype": dtype,
    }  # fmt: skip
    shown = hidden
    if kind == "LSTM":
        shown = hidden - 1 if project else hidden
        module: nn.Module = nn.LSTM(features, hidden, proj_size=shown % hidden, **known)
    elif kind == "GRU":
        module = nn.GRU(features, hidden, **known)
    else:
        module = nn.RNN(features, hidden, nonlinearity=kind, **known)
    shape = (samples, times, features) if batch_first else (times, samples, features)
    x = torch.randn(shape, dtype=dtype)
    count = layers * (2 if bidirectional else 1)
    state: Any = torch.randn(count, samples, shown, dtype=dtype)
    if kind == "LSTM":
        state = (state, torch.randn(count, samples, hidden, dtype=dtype))
    arguments = {"hx": state} if stated else {}
    assert_same(expanded(module, x, **arguments), module(x, **arguments), tolerance)


@settings(deadline=None, max_examples=30)
@given(
    kind=st.sampled_from([nn.LSTMCell, nn.GRUCell, nn.RNNCell, "relu"]), bias=st.booleans(),
    stated=st.booleans(), sizes=st.tuples(SMALL, SMALL, SMALL), precision=PRECISIONS,
)  # fmt: skip
def test_cells_give_what_torch_gives(
    kind: Any, bias: bool, stated: bool, sizes: tuple[int, ...],
    precision: tuple[torch.dtype, float],
) -> None:  # fmt: skip
    dtype, tolerance = precision
    samples, features, hidden = sizes
    if kind == "relu":
        module = nn.RNNCell(features, hidden, bias, nonlinearity="relu", dtype=dtype)
    else:
        module = kind(features, hidden, bias, dtype=dtype)
    x, state = (torch.randn(samples, size, dtype=dtype) for size in (features, hidden))
    hx: Any = (state, state.flip(0)) if kind is nn.LSTMCell else state
    arguments = (x, hx) if stated else (x,)
    assert_same(expanded(module, *arguments), module(*arguments), tolerance)


def masks(shape: tuple[int, ...], kind: str, dtype: torch.dtype) -> Tensor | None:
    """Return a mask that hides some keys, never the first; true or -inf is hidden."""
    hidden = torch.rand(shape) < 0.4
    hidden[..., 0] = False
    if kind == "none":
        return None
    if kind == "bool":
        return hidden
    return torch.randn(shape, dtype=dtype).masked_fill(hidden, -math.inf)


@settings(deadline=None, max_examples=100)
@given(data=st.data(), precision=PRECISIONS, seed=st.integers(0, 99))
def test_attention_modules_give_what_torch_gives(
    data: st.DataObject, precision: tuple[torch.dtype, float], seed: int
) -> None:
    torch.manual_seed(seed)
    dtype, tolerance = precision
    flag = st.booleans()
    samples, queries, keys, heads, depth = data.draw(
        st.tuples(SMALL, SMALL, SMALL, SMALL, SMALL), "sizes"
    )
    size = heads * depth
    itself, other_sizes = data.draw(flag, "self-attention"), data.draw(flag, "kdim, vdim")
    keys = queries if itself else keys
    key_size, value_size = (size + 1, size + 2) if other_sizes and not itself else (size, size)
    batch_first = data.draw(flag, "batch_first")
    module = nn.MultiheadAttention(
        size, heads, dropout=0.3, bias=data.draw(flag, "bias"),
        add_bias_kv=data.draw(flag, "add_bias_kv"), add_zero_attn=data.draw(flag, "add_zero_attn"),
        kdim=key_size, vdim=value_size, batch_first=batch_first, dtype=dtype,
    ).eval()  # fmt: skip
    for parameter in module.parameters():  # biases are zero when they are new
        nn.init.normal_(parameter, std=0.3)
    query = torch.randn(samples, queries, size, dtype=dtype)
    key = query if itself else torch.randn(samples, keys, key_size, dtype=dtype)
    value = query if itself else torch.randn(samples, keys, value_size, dtype=dtype)
    inputs = [x if batch_first else x.transpose(0, 1) for x in (query, key, value)]
    if itself:
        inputs = inputs[:1] * 3  # torch's fast path asks for the same object
    # torch warns of a bool mask next to a float mask.
    kind = data.draw(st.sampled_from(["bool", "float"]), "kind")
    shape = (samples * heads, queries, keys) if data.draw(flag, "mask by head") else (queries, keys)
    arguments: dict[str, Any] = {
        "key_padding_mask": masks(
            (samples, keys), data.draw(st.sampled_from(["none", kind])), dtype
        ),
        "attn_mask": masks(shape, data.draw(st.sampled_from(["none", kind])), dtype),
        "need_weights": data.draw(flag, "need_weights"),
        "average_attn_weights": data.draw(flag, "average"),
    }
    if data.draw(flag, "causal"):
        causal = torch.ones(queries, keys, dtype=torch.bool).triu(1)
        arguments |= {"attn_mask": causal, "is_causal": True}
        arguments["key_padding_mask"] = masks((samples, keys), "bool", dtype)
        if data.draw(flag, "no padding"):
            arguments["key_padding_mask"] = None
    with torch.set_grad_enabled(data.draw(flag, "slow path")):
        expected = module(*inputs, **arguments)
    assert_same(expanded(module, *inputs, **arguments), expected, tolerance)


def test_static_keys_and_values_are_taken_as_they_are() -> None:
    size, heads, samples, times = 6, 3, 2, 4
    x = torch.randn(times, samples, size)
    static = torch.randn(2, samples * heads, times, 2)
    weight, bias, out = torch.randn(3 * size, size), torch.randn(3 * size), torch.randn(size, size)
    for zeros in (False, True):
        arguments = (x, x, x, size, heads, weight, bias, None, None, zeros, 0.5, out, None, False)
        known = {"static_k": static[0], "static_v": static[1]}
        function = F.multi_head_attention_forward
        assert_same(
            EXPANDED_FUNCTIONS[function](*arguments, **known), function(*arguments, **known), 1e-5
        )


@settings(deadline=None, max_examples=60)
@given(
    data=st.data(), mask=st.sampled_from(["none", "bool", "float", "causal"]), precision=PRECISIONS,
    scale=st.sampled_from([None, 0.3]), grouped=st.booleans(), heads=st.integers(0, 2),
)  # fmt: skip
def test_attention_functions_give_what_torch_gives(
    data: st.DataObject, mask: str, precision: tuple[torch.dtype, float], scale: float | None,
    grouped: bool, heads: int,
) -> None:  # fmt: skip
    dtype, tolerance = precision
    samples, queries, keys, depth, values = data.draw(
        st.tuples(SMALL, SMALL, SMALL, SMALL, SMALL), "sizes"
    )
    grouped = grouped and heads > 0
    before = (samples, heads) if heads else (samples,)
    query_before = (samples, 2 * heads) if grouped else before
    q = torch.randn(*query_before, queries, depth, dtype=dtype)
    k = torch.randn(*before, keys, depth, dtype=dtype)
    v = torch.randn(*before, keys, values, dtype=dtype)
    chosen = masks((queries, keys), mask if mask != "causal" else "none", dtype)
    if mask == "bool" and chosen is not None:
        chosen = ~chosen  # true is seen here
    known: dict[str, Any] = {
        "attn_mask": chosen, "is_causal": mask == "causal", "scale": scale, "enable_gqa": grouped,
    }  # fmt: skip
    expected = F.scaled_dot_product_attention(q, k, v, **known)
    assert_same(scaled_dot_product_attention(q, k, v, **known), expected, tolerance)


def states(*shapes: tuple[int, ...]) -> tuple[Tensor, ...]:
    return tuple(torch.zeros(shape) for shape in shapes)


@pytest.mark.parametrize(
    ("module", "arguments", "says"),
    [
        (nn.LSTM(2, 3), (torch.ones(4, 2),), "2 dimensions, expected 3"),
        (nn.LSTMCell(2, 3), (torch.ones(2),), "1 dimensions, expected 2"),
        (nn.MultiheadAttention(2, 1), (torch.ones(4, 2),) * 3, "2 dimensions, expected 3"),
        (nn.GRU(2, 3), (torch.ones(4, 5, 2), torch.ones(1, 5, 4)),
         r"shapes \(1, 5, 4\), expected \(1, 5, 3\)"),
        (nn.LSTM(2, 3), (torch.ones(4, 5, 2), states((1, 5, 3), (1, 1, 3))), r"\(1, 1, 3\)"),
        (nn.LSTM(2, 3, num_layers=2), (torch.ones(4, 5, 2), states((4, 5, 3), (4, 5, 3))),
         r"expected \(2, 5, 3\), \(2, 5, 3\)"),
        (nn.LSTM(2, 3), (nn.utils.rnn.pack_sequence([torch.ones(4, 2)]),), "packed sequence"),
        (nn.GRUCell(2, 3), (torch.ones(4, 2), torch.ones(1, 3)), r"expected \(4, 3\)"),
    ],
)  # fmt: skip
def test_what_is_refused_by_modules(
    module: nn.Module, arguments: tuple[Any, ...], says: str
) -> None:
    with pytest.raises(ArchitectureError, match=says):
        expanded(module, *arguments)


@pytest.mark.parametrize(
    ("known", "says"),
    [({"dropout_p": 0.1}, "at random"),
     ({"is_causal": True, "attn_mask": torch.ones(2, 2)}, "one of them")],
)  # fmt: skip
def test_what_is_refused_by_attention(known: dict[str, Any], says: str) -> None:
    x = torch.ones(1, 2, 2)
    with pytest.raises(ArchitectureError, match=says):
        scaled_dot_product_attention(x, x, x, **known)


class Added(nn.Module):
    """``torch.addmm`` as transformers' ``Conv1D`` has it, with factors."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weight, self.bias = nn.Parameter(torch.randn(3, 4)), nn.Parameter(torch.randn(4))
        self.last = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.addmm(self.bias, x, self.weight, beta=0.5, alpha=2).relu())


def test_addmm_is_a_linear_layer() -> None:
    network, x = Added(), torch.randn(5, 3)
    explained = canonise(network, example=x[:1])
    torch.testing.assert_close(explained(x), network(x))
    weighted = [m for m in explained.modules() if isinstance(m, Weighted)]
    assert len(weighted) == 2
    torch.testing.assert_close(weighted[0].weights()[0], 2 * network.weight.T)
