"""Rules of products and softmax: against autograd, plain sums over terms, and LXT, in float64."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lxt.explicit.functional as lxt
import pytest
import torch
from torch import Tensor, fx, nn

from lrpdyn.errors import UsageError
from lrpdyn.lrp import rules
from lrpdyn.lrp.attribution import explain, relevance
from lrpdyn.lrp.canonical.layers import (
    AveragePooling,
    Elementwise,
    HiddenSoftmax,
    Layer,
    MatrixProduct,
    Product,
    Scale,
    Sum,
    Weighted,
)
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.lrp.plan import about, make_plan, unused
from lrpdyn.lrp.rules import Call, RuleFunction
from tests.lrp.test_composites import in_file

WEIGHTS = frozenset({0})
N, TOKENS, FEATURES = 3, 4, 24


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def shared(rule: RuleFunction, layer: Layer, *inputs: Any, **parameters: Any) -> tuple[Any, ...]:
    """Return the relevance of the output, and what a rule makes of it for each input."""
    call = Call(layer=layer, inputs=inputs, output=layer.compute(*inputs))
    upper = drawn(*call.output.shape)
    found = rule(call, upper, **parameters)
    return (upper, *(found if isinstance(found, tuple) else (found,)))


MATRIX_PRODUCTS = {
    "matmul": (torch.matmul, (3, 2, 4, 5), (3, 2, 5, 6), "nhik,nhkj->nhikj", "nhij"),
    "broadcast": (torch.matmul, (3, 2, 4, 5), (5, 6), "nhik,kj->nhikj", "nhij"),
    "bmm": (torch.bmm, (3, 4, 5), (3, 5, 6), "nik,nkj->nikj", "nij"),
    "transposed": (lambda a, b: a @ b.mT / 2, (3, 4, 5), (3, 6, 5), "nik,njk->nikj", "nij"),
    "einsum": (lambda a, b: torch.einsum("ntc,nts->ncs", a, b), (3, 4, 5), (3, 4, 6),
               "nic,nis->nics", "ncs"),
}  # fmt: skip


@pytest.mark.parametrize("rule", [rules.attnlrp, rules.cp_lrp, rules.zplus])
@pytest.mark.parametrize("gates", [frozenset(), {0}, {1}], ids=str)
@pytest.mark.parametrize("name", MATRIX_PRODUCTS)
def test_matrix_products_share_by_the_terms_that_they_add(
    name: str, gates: frozenset[int], rule: RuleFunction
) -> None:
    function, shape, other, terms, output = MATRIX_PRODUCTS[name]
    a, b = drawn(*shape), drawn(*other)
    layer = MatrixProduct(function, frozenset(gates), frozenset(gates))
    upper, *found = shared(rule, layer, a, b)
    first, second = terms.partition("->")[0].split(",")
    every = terms.partition("->")[2]
    added = torch.einsum(terms, a, b)
    added = added.clamp(min=0) if rule is rules.zplus else added
    sums = torch.einsum(f"{every}->{output}", added)
    signals = {0, 1} - (set() if rule is rules.attnlrp else set(gates))
    share = torch.where(sums == 0, 0.0, upper / len(signals) / torch.where(sums == 0, 1.0, sums))
    whole = torch.einsum(f"{every},{output}->{every}", added, share)
    for place, letters in enumerate((first, second)):
        expected = torch.einsum(f"{every}->{letters}", whole)
        expected = expected if place in signals else torch.zeros_like(expected)
        # What stabilises a denominator is at most 1e-6.
        torch.testing.assert_close(found[place], expected, rtol=1e-3, atol=1e-4)
    total = upper.sum() if rule is not rules.zplus else upper[sums > 0].sum()
    torch.testing.assert_close(sum(share.sum() for share in found), total, rtol=1e-3, atol=1e-3)


def test_attnlrp_is_that_of_lxt() -> None:
    a, v, x = (drawn(3, 4, size) for size in (4, 5, 4))
    x[:, 0, 2] = -torch.inf
    gate = drawn(3, 1, 5)
    for layer, inputs, reference in (
        (MatrixProduct(torch.matmul, WEIGHTS, WEIGHTS), (a, v), lambda *f: lxt.matmul(*f, False, 1e-30)),
        (HiddenSoftmax(lambda x: x.softmax(-1), -1), (x,), lambda x: lxt.softmax(x, -1)),
        (Product(torch.mul), (v, gate), lxt.mul2),
    ):  # fmt: skip
        upper, *found = shared(rules.attnlrp, layer, *inputs, epsilon=0.0)
        leaves = [one.clone().requires_grad_() for one in inputs]
        expected = torch.autograd.grad(reference(*leaves), leaves, upper)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("rule", [rules.attnlrp, rules.cp_lrp])
def test_the_signal_of_a_gate_takes_all(rule: RuleFunction) -> None:
    x, gate = drawn(3, 4, 5), drawn(3, 1, 5).sigmoid()
    upper, none, found = shared(rule, Product(torch.mul, frozenset({0})), gate, x)
    assert torch.equal(found, upper)
    assert not none.any()
    # What was broadcast gets the sum.
    upper, found, none = shared(rule, Product(torch.mul, frozenset({1})), gate, x)
    torch.testing.assert_close(found, upper.sum(1, keepdim=True))
    # A number is no factor that relevance could come to.
    upper, found = shared(rule, Product(torch.mul, frozenset({0})), 2.0, x)
    assert torch.equal(found, upper)


def test_what_is_zero_gets_nothing_where_nothing_stabilises() -> None:
    x, gate = torch.tensor([[0.0, 2.0, 3.0]]).double(), torch.tensor([[1.0, 0.0, 1.0]]).double()
    upper, found, _ = shared(rules.cp_lrp, Product(torch.mul, frozenset({1})), x, gate, epsilon=0.0)
    assert torch.equal(found, torch.where(x * gate == 0, 0.0, upper))


def test_a_row_that_a_mask_hides_gets_nothing() -> None:
    x = torch.full((1, 3), -torch.inf).double()
    _, found = shared(rules.attnlrp, HiddenSoftmax(lambda x: x.softmax(-1), -1), x)
    assert not found.any()


class Block(nn.Module):
    """Attention, a gate, a product of two signals and a scale, by layers or by plain functions.

    `softmax_of_attnlrp` chooses which plain network's gradient x input is the relevance.
    """

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        for name in ("query", "key", "value", "out", "gate", "one", "two"):
            setattr(self, name, nn.Linear(FEATURES, FEATURES, bias=bias).double())
        self.head = nn.Linear(FEATURES, 3, bias=bias).double()

    def layers(self) -> fx.GraphModule:
        made = Layered(self)
        return fx.GraphModule(made, _Tracer().trace(made))

    def plainly(self, x: Tensor, *, attnlrp: bool) -> Tensor:
        scores = halves(_scores, self.query(x), self.key(x))
        weights = scores.softmax(-1)
        mixed = (
            halves(torch.matmul, weights, self.value(x))
            if attnlrp
            else weights.detach() @ self.value(x)
        )
        x = x + self.out(mixed)
        x = x * self.gate(x).sigmoid().detach()
        x = x / x.norm(dim=-1, keepdim=True).detach()
        x = halves(torch.mul, self.one(x), self.two(x))
        return self.head(x.mean(1))


def halves(function: Callable[..., Tensor], a: Tensor, b: Tensor) -> Tensor:
    """Return a product whose gradient is one half of the true one."""
    return (function(a, b.detach()) + function(a.detach(), b)) / 2


def _scores(query: Tensor, key: Tensor) -> Tensor:
    return query @ key.mT / FEATURES**0.5


class Layered(nn.Module):
    """A `Block` of layers."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        for name, linear in block.named_children():
            setattr(self, name, Weighted(linear))
        self.scores = MatrixProduct(_scores)
        self.softmax = HiddenSoftmax(lambda x: x.softmax(-1), -1)
        self.mixed = MatrixProduct(torch.matmul, WEIGHTS, WEIGHTS)
        self.added = Sum((1, 1))
        self.sigmoid = Elementwise(torch.sigmoid)
        self.gated = Product(torch.mul, frozenset({1}))
        self.norm = Scale(lambda x: x.norm(dim=-1, keepdim=True))
        self.divided = Product(torch.div, frozenset({1}))
        self.multiplied = Product(torch.mul)
        self.mean = AveragePooling(lambda x: x.mean(1))

    def forward(self, x: Tensor) -> Tensor:
        weights = self.softmax(self.scores(self.query(x), self.key(x)))
        x = self.added(x, self.out(self.mixed(weights, self.value(x))))
        x = self.gated(x, self.sigmoid(self.gate(x)))
        x = self.divided(x, self.norm(x))
        return self.head(self.mean(self.multiplied(self.one(x), self.two(x))))


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, Layer)


def scores_of(outputs: Tensor) -> Tensor:
    return torch.eye(3, dtype=outputs.dtype)[:N]


@pytest.mark.parametrize("attention", ["attnlrp", "cp-lrp"])
def test_with_lrp0_it_is_gradient_times_input(attention: str, tmp_path: Path) -> None:
    block = Block()
    network, x = block.layers(), drawn(N, TOKENS, FEATURES)
    leaf = x.clone().requires_grad_()
    outputs = block.plainly(leaf, attnlrp=attention == "attnlrp")
    torch.testing.assert_close(network(x), outputs)
    (gradient,) = torch.autograd.grad((outputs * scores_of(outputs)).sum(), leaf)
    by_file = f"[[layers]]\nrule='{attention}'\ntype='matrix-product'\n[[layers]]\nrule='lrp0'"
    for rule in (f"lrp0+{attention}", in_file(tmp_path, by_file)):
        plan = make_plan(network, parse_composite(rule))
        found = relevance(network, plan, x, scores_of(outputs))
        torch.testing.assert_close(found, leaf.detach() * gradient, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("rule", ["cp-lrp", "zplus", "epsilon:1e-9", "gamma", "lrp0+cp-lrp"])
def test_cp_lrp_conserves_and_attnlrp_does_not(rule: str) -> None:
    network, x = Block(bias=False).layers(), drawn(N, TOKENS, FEATURES)

    def kept(name: str) -> Tensor:
        plan = make_plan(network, parse_composite(name))
        done = explain(network, plan, x, scores_of, keep=True)
        return done.relevance.sum((1, 2)) / done.outputs.diagonal()

    one = torch.ones(N).double()
    # A denominator that all but cancels is stabilised by at most 1e-6.
    torch.testing.assert_close(kept(rule), one, rtol=0, atol=1e-2)
    assert (kept("lrp0+attnlrp") - one).abs().min() > 1e-3


def test_gates_and_scales_get_nothing_and_what_lies_behind_them() -> None:
    network, x = Block().layers(), drawn(N, TOKENS, FEATURES)
    for rule, silent in (
        ("cp-lrp", {"softmax", "scores", "query", "key", "sigmoid", "gate", "norm"}),
        ("attnlrp", {"sigmoid", "gate", "norm"}),
    ):
        done = explain(network, make_plan(network, parse_composite(rule)), x, scores_of, keep=True)
        came = {name: what.relevance_output.abs().sum() for name, what in done.layers.items()}
        assert {name for name, size in came.items() if size == 0} == silent
        assert [len(done.layers[name].relevance_inputs) for name in ("mixed", "norm")] == [2, 1]


def test_the_plan_says_the_rule_of_each() -> None:
    network = Block().layers()
    texts = {
        rule: {name: one.text for name, one in make_plan(network, parse_composite(rule)).items()}
        for rule in ("gamma", "gamma+attnlrp", "attnlrp", "cp-lrp")
    }
    products = ("scores", "softmax", "mixed", "gated", "divided", "multiplied")
    assert {texts["gamma"][name] for name in products} == {"cp-lrp"}
    assert {texts["gamma+attnlrp"][name] for name in products} == {"attnlrp"}
    assert {texts[rule]["query"] for rule in ("gamma", "gamma+attnlrp")} == {"gamma:0.25"}
    assert (texts["attnlrp"]["query"], texts["cp-lrp"]["query"]) == ("epsilon:1e-06", "zplus")
    assert {found["norm"] for found in texts.values()} == {"kept fixed"}


@pytest.mark.parametrize(
    ("rule", "kind"),
    [("zplus", "product"), ("epsilon", "matrix-product"), ("pass", "softmax"), ("norm", "product"),
     ("pass", "scale"), ("attnlrp", "linear"), ("cp-lrp", "sum")],
)  # fmt: skip
def test_rules_that_make_no_sense_of_a_layer_are_refused(
    rule: str, kind: str, tmp_path: Path
) -> None:
    text = f"[[layers]]\nrule='{rule}'\ntype='{kind}'\n[[layers]]\nrule='zplus'"
    composite = parse_composite(in_file(tmp_path, text))
    with pytest.raises(UsageError, match=rf"rule {rule}\S* is for .*, {kind}\)"):
        make_plan(Block().layers(), composite)


def test_positive_contributions_of_attention_by_a_rules_file(tmp_path: Path) -> None:
    text = "[[layers]]\nrule='zplus'\ntype='matrix-product'\n[[layers]]\nrule='zplus'"
    network = Block(bias=False).layers()
    plan = make_plan(network, parse_composite(in_file(tmp_path, text)))
    assert {plan[name].text for name in ("scores", "mixed", "query")} == {"zplus"}
    x = drawn(N, TOKENS, FEATURES)
    assert bool(relevance(network, plan, x, scores_of(network(x))).isfinite().all())


def test_attention_that_is_not_there_is_told() -> None:
    linear = nn.Sequential(Weighted(nn.Linear(4, 3)))
    without = fx.GraphModule(linear, _Tracer().trace(linear))
    for rule in ("gamma+attnlrp", "attnlrp"):
        (sentence,) = unused(parse_composite(rule), without)
        assert sentence.startswith("+attnlrp changes nothing: this network has no attention")
        assert not unused(parse_composite(rule), Block().layers())
    assert not unused(parse_composite("gamma"), without)


def test_a_reader_is_told_whether_relevance_is_conserved(tmp_path: Path) -> None:
    network = Block().layers()

    def told(rule: str) -> dict[str, Any]:
        composite = parse_composite(rule)
        return about(composite, network, make_plan(network, composite))

    assert told("zplus+attnlrp")["conserves"] is False
    assert told("epsilon-plus+attnlrp")["usual_sum"].startswith("none")
    assert told("zplus+attnlrp")["shows_support_only"] is False
    assert "conserves" not in told("zplus")
    assert told("zplus")["usual_sum"].startswith("1, less what biases take; more where")
    assert told("epsilon-plus") == {}
    # One product of those that a softmax weighs is enough.
    text = "[[layers]]\nrule='attnlrp'\nname='mixed'\n[[layers]]\nrule='zplus'"
    assert told(in_file(tmp_path, text))["conserves"] is False
