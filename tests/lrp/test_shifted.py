"""Relevance of x - f: against the gradient, and against Zennit on networks that were changed by hand."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from lrpdyn.errors import UsageError
from lrpdyn.lrp import rules
from lrpdyn.lrp.attribution import explain
from lrpdyn.lrp.canonical.canonise import canonise
from lrpdyn.lrp.canonical.layers import Weighted
from lrpdyn.lrp.composites import composite_of, parse_composite
from lrpdyn.lrp.plan import make_plan
from lrpdyn.lrp.shifted import Shifted, against
from tests.lrp.formulae import as_matrix
from tests.lrp.gradient_reference import lrp0_reference
from tests.lrp.token_networks import Network
from tests.lrp.zennit_reference import NOTHING, RULES, by_zennit

PICTURE = (3, 8, 8)


def pixels_scaled_inside() -> nn.Module:
    mean = torch.rand(3, 1, 1).double()
    layers = nn.Sequential(
        nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3, padding=1, stride=2), nn.ReLU(), nn.Flatten(),
        nn.Linear(64, 3),
    )  # fmt: skip
    drawn = layers[0]
    assert isinstance(drawn, nn.BatchNorm2d)
    for tensor in (drawn.running_mean, drawn.running_var, drawn.weight, drawn.bias):
        assert tensor is not None
        nn.init.uniform_(tensor, 0.5, 1.5)
    return Network({"layers": layers}, lambda m, x: m.layers((x / 255 - mean) / 0.3))


def tokens_of_patches() -> nn.Module:
    parts = {"embed": nn.Linear(48, 6), "head": nn.Linear(6, 3)}
    return Network(
        parts,
        lambda m, x: m.head(torch.relu(m.embed(F.unfold(x, 4, stride=4).transpose(1, 2))).mean(1)),
    )


def padded_by_hand() -> nn.Module:
    return nn.Sequential(
        nn.ConstantPad2d(2, 0.7), nn.Conv2d(3, 4, 3, padding=2, padding_mode="reflect", bias=False),
        nn.Tanh(), nn.Flatten(), nn.Linear(4 * 14 * 14, 3),
    )  # fmt: skip


NETWORKS = {
    "conv with padding": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 3)
    ),
    "pixels scaled inside": pixels_scaled_inside,
    "padded by hand": padded_by_hand,
    "features": lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 5), nn.ReLU(), nn.Linear(5, 3)),
    "one layer": lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 3)),
    "tokens of patches": tokens_of_patches,
    "vision transformer": lambda: VisionTransformer(
        img_size=8, patch_size=4, num_classes=3, embed_dim=8, depth=1, num_heads=2
    ),
}  # fmt: skip


def made(name: str) -> nn.Module:
    torch.manual_seed(2)
    network: nn.Module = NETWORKS[name]().double().eval()
    return network


def drawn() -> tuple[Tensor, Tensor, Tensor]:
    """Return observations, a reference whose entries differ, and which unit is explained."""
    torch.manual_seed(5)
    x, f = torch.randn(4, *PICTURE).double(), torch.randn(1, *PICTURE).double()
    return x, f, torch.eye(3).double()[[0, 2, 1, 0]]


def found(network: nn.Module, rule: str, x: Tensor, f: Tensor | None, rows: Tensor) -> Tensor:
    canonised = canonise(network, example=x[:1])
    plan = make_plan(canonised, parse_composite(rule), x[:1])
    plan = plan if f is None else against(canonised, plan, f)
    explained = explain(canonised, plan, x, lambda outputs: rows)
    assert torch.equal(explained.outputs, canonised(x))
    torch.testing.assert_close(explained.outputs, network(x))
    return explained.relevance


@pytest.mark.parametrize("name", NETWORKS)
def test_lrp0_is_the_difference_times_the_gradient(name: str) -> None:
    network, (x, f, rows) = made(name), drawn()
    if (
        name == "pixels scaled inside"
    ):  # where the judge lets a shift pass, which is of no reference
        given = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad((network(given) * rows).sum(), given)
    else:
        gradient = lrp0_reference(network, x, rows) / x
    torch.testing.assert_close(found(network, "lrp0", x, f, rows), (x - f) * gradient)


#: What nothing is before it is shifted or padded is something behind that.
UNCHANGED = [name for name in NETWORKS if name not in ("pixels scaled inside", "padded by hand")]


@pytest.mark.parametrize("name", UNCHANGED)
@pytest.mark.parametrize("rule", ["zplus", "gamma"])
def test_a_reference_of_nothing_changes_nothing(name: str, rule: str) -> None:
    network, (x, f, rows) = made(name), drawn()
    expected = found(network, rule, x, None, rows)
    torch.testing.assert_close(found(network, rule, x, f * 0, rows), expected)


class Places(nn.Module):
    """What a convolution gives, in the shape of pictures."""

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (4, 8, 8))


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "flat"])
def test_rules_are_those_of_a_network_changed_by_hand(
    monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    monkeypatch.setattr(rules, "STABILISER", NOTHING)
    network, (x, f, rows) = made("conv with padding"), drawn()
    weight, bias = as_matrix(network[0], PICTURE)  # type: ignore[index]
    # The padded convolution as a matrix, which has a bias for each place.
    first = nn.Linear(192, 256).double()
    first.weight.data, first.bias.data = weight, bias + (weight @ f.flatten())
    changed = nn.Sequential(nn.Flatten(), first, Places(), *copy.deepcopy(network)[1:])  # type: ignore[index]
    torch.testing.assert_close(changed(x - f), network(x))
    expected = by_zennit(changed, RULES[rule], x - f, rows.argmax(1))
    relevance = found(network, rule, x, f, rows)
    torch.testing.assert_close(relevance, expected, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(relevance, found(changed, rule, x - f, None, rows))
    assert not torch.allclose(relevance, found(network, rule, x, None, rows))


def test_flat_knows_no_reference() -> None:
    network, (x, f, rows) = made("pixels scaled inside"), drawn()
    torch.testing.assert_close(
        found(network, "flat", x, f, rows), found(network, "flat", x, None, rows)
    )


def test_the_box_lies_between_the_reference_and_the_observation() -> None:
    network, (x, f, rows) = made("one layer"), drawn()
    weight = (rows @ network[1].weight.detach()).view_as(x)  # type: ignore[index, operator]
    low, high = torch.minimum(x, f), torch.maximum(x, f)
    room = x * weight - low * weight.clamp(min=0) - high * weight.clamp(max=0)
    score = (rows * network(x).detach()).sum(1)
    expected = room * (score / room.flatten(1).sum(1)).view(-1, 1, 1, 1)
    torch.testing.assert_close(
        found(network, "zbox:-9,9", x, f, rows), expected, rtol=1e-5, atol=1e-7
    )


def test_zplus_of_many_weights_has_the_whole_bias() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2100, 130), nn.ReLU(), nn.Linear(130, 3)).double()
    x, rows = torch.rand(2, 2100).double() + 2, torch.eye(3).double()[:2]
    f = torch.ones(1, 2100).double()
    changed = copy.deepcopy(network)
    changed[0].bias.data += changed[0].weight.data.sum(1)
    expected = found(changed, "zplus", x - f, None, rows)
    torch.testing.assert_close(found(network, "zplus", x, f, rows), expected)


def test_relevance_and_the_bias_make_the_score() -> None:
    network, (x, f, rows) = made("one layer"), drawn()
    canonised = canonise(network, example=x[:1])
    plan = against(canonised, make_plan(canonised, parse_composite("zplus"), x[:1]), f)
    explained = explain(canonised, plan, x, lambda outputs: rows)
    weight = rows @ network[1].weight.detach()  # type: ignore[index, operator]
    terms = (x - f).flatten(1) * weight
    torch.testing.assert_close(explained.support, terms.clamp(min=0).sum(1))
    rest = found(network, "lrp0", x, f, rows).flatten(1).sum(1) + (rows * network(f)).sum(1)
    torch.testing.assert_close(rest, (rows * network(x)).sum(1))


def test_a_layer_of_the_difference_gives_what_it_gives_of_the_whole() -> None:
    x, f, _ = drawn()
    layer = Weighted(nn.Conv2d(3, 4, 3, padding=2, stride=2).double())
    with torch.no_grad():
        torch.testing.assert_close(Shifted(layer, f)(x - f), layer(x))


REFUSED = {
    "2 branches of this network": Network(
        {"one": nn.Linear(6, 3), "two": nn.Linear(6, 3)},
        lambda m, x: torch.relu(m.one(x)) + m.two(x),
    ),
    "LayerNorm .* takes it first": nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 3)),
    "relu|ReLU .* takes it first": nn.Sequential(nn.ReLU(), nn.Linear(6, 3)),
    "branches": Network({"lin": nn.Linear(6, 3)}, lambda m, x: m.lin(x - x.mean(1, keepdim=True))),
    "[0-9] branches of": Network(
        {"lstm": nn.LSTM(2, 4, batch_first=True), "head": nn.Linear(4, 3)},
        lambda m, x: m.head(m.lstm(x.unflatten(1, (3, 2)))[0][:, -1]),
    ),
}


@pytest.mark.parametrize("says", REFUSED)
def test_what_would_not_be_exact_is_refused(says: str) -> None:
    x = torch.randn(1, 6)
    network = canonise(REFUSED[says], example=x)
    plan = make_plan(network, parse_composite("zplus"), x)
    with pytest.raises(UsageError, match=f"--reference: is exact where .*({says})"):
        against(network, plan, x)


def test_a_rule_that_holds_the_scaling_to_zero_is_refused() -> None:
    network = canonise(Network({"lin": nn.Linear(6, 3)}, lambda m, x: m.lin(x / 2 - 1)))
    tables = [{"type": "scaling", "rule": "norm"}, {"rule": "epsilon"}]
    plan = make_plan(network, composite_of("mine.toml", tables), torch.ones(1, 6))
    with pytest.raises(UsageError, match="'truediv' before that layer has the rule norm"):
        against(network, plan, torch.ones(1, 6))
