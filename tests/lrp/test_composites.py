"""What ``--rule`` takes, and which layer then gets which rule."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lrpdyn
from lrpdyn.errors import ArchitectureError, UsageError
from lrpdyn.lrp.attribution import relevance
from lrpdyn.lrp.canonical.canonise import canonise
from lrpdyn.lrp.composites import COMPOSITES, parse_composite
from lrpdyn.lrp.plan import make_plan, unused
from lrpdyn.lrp.registry import RULES, parse_rule
from lrpdyn.lrp.rules import Call

CONFIGS = Path(__file__).parents[2] / "configs"


def convolutional() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 5),
    )  # fmt: skip


X = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def texts(rule: str, bounds: tuple[float, float] | None = (0, 1)) -> dict[str, str]:
    plan = make_plan(canonise(convolutional()), parse_composite(rule), X[:1], bounds)
    return {name: plan[name].text for name in ("0", "2", "6", "8")}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("gamma", ["gamma:0.25"] * 4),
        ("alpha2beta1", ["alphabeta:2,1"] * 4),
        ("zbox", ["zbox", "zplus", "zplus", "zplus"]),
        ("epsilon-plus", ["zplus", "zplus", "epsilon:1e-06", "epsilon:1e-06"]),
        ("epsilon-plus-flat", ["flat", "zplus", "epsilon:1e-06", "epsilon:1e-06"]),
        ("epsilon-alpha2-beta1", ["alphabeta:2,1", "alphabeta:2,1", "epsilon:1e-06", "epsilon:1e-06"]),
        ("epsilon-alpha2-beta1-flat", ["flat", "alphabeta:2,1", "epsilon:1e-06", "epsilon:1e-06"]),
        ("epsilon-gamma-box", ["zbox", "gamma:0.25", "epsilon:1e-06", "epsilon:1e-06"]),
        ("epsilon-gamma-box:0,1", ["zbox:0,1", "gamma:0.25", "epsilon:1e-06", "epsilon:1e-06"]),
    ],
)  # fmt: skip
def test_layers_get_their_rules(rule: str, expected: list[str]) -> None:
    assert list(texts(rule).values()) == expected


def test_every_composite_is_described() -> None:
    for name in COMPOSITES:
        assert len(parse_composite(name).assignments) > 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("zpluss", "did you mean zplus"),
        ("epsilon-pluss", "did you mean epsilon-plus"),
        ("zplus:1", "takes no parameter"),
        ("gamma:x", "must be a number of 0 or more"),
        ("epsilon:-1", "must be a number of 0 or more"),
        ("epsilon:0", "lrp0"),
        ("gamma:1,2", "found 2 values"),
        ("gamma:nan", "must be a number"),
        ("alphabeta:2,2", "alpha - beta must be 1"),
        ("zbox:1", "both bounds"),
        ("zbox:1,0", "below its upper"),
        ("zbox:0/0/0,1/1", "3 lower and 2 upper"),
        ("epsilon-plus:1", "takes no parameter"),
        ("pass", "rules file"),
        ("captum:zplus", "captum:alpha1beta0"),
        ("captum:epsilon+attnlrp", r"no rule for attention; use --rule epsilon:1e-9\+attnlrp"),
        ("gamma+nonsense", r"expected \+cp-lrp or \+attnlrp after gamma, found \+nonsense"),
        ("attnlrp+cp-lrp", r"rule for linear layers before \+cp-lrp, found attnlrp"),
        ("gamma+attnlrp+cp-lrp", r"before \+cp-lrp, found gamma\+attnlrp"),
        ("+attnlrp", "before .attnlrp, found nothing"),
        ("attnlrp:2", "takes no parameter"),
        ("gammma+attnlrp", "did you mean gamma"),
        ("absent.toml+attnlrp", "absent.toml: no such file"),
        ("absent.toml", "no such file"),
    ],
)
def test_wrong_rules_are_refused(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_composite(text)


def test_rule_reads_back() -> None:
    assert parse_rule("gamma:0.5").parameters == {"gamma": 0.5}
    for text in (
        "gamma:0.5",
        "zbox:0/0/0,1/2/1",
        "alphabeta:2,1",
        "zplus",
        "epsilon-plus",
        "gamma:0.5+attnlrp",
        "epsilon:1e+06+cp-lrp",
        "epsilon-plus+attnlrp",
    ):
        assert str(parse_composite(text)) == text
    assert str(parse_composite("attnlrp")) == "epsilon:1e-06+attnlrp"
    assert str(parse_composite("cp-lrp")) == "zplus+cp-lrp"
    assert parse_composite("alpha2beta1+attnlrp").name == "alphabeta+attnlrp"


def test_a_rules_file_with_a_rule_for_attention(tmp_path: Path) -> None:
    name = in_file(tmp_path, "[[layers]]\nrule='gamma'\n[[layers]]\nrule='flat'\nname='absent'")
    composite = parse_composite(f"{name}+attnlrp")
    assert (composite.name, str(composite)) == (f"{name}+attnlrp",) * 2
    assert composite.attention == "attnlrp"
    first, second = unused(composite, canonise(convolutional()))
    assert first.startswith("[[layers]] 2 of")
    assert second.startswith("+attnlrp changes nothing")


def in_file(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text)
    return str(path)


def test_rules_file(tmp_path: Path) -> None:
    name = in_file(
        tmp_path,
        """
        [[layers]]
        rule = "zbox"
        low = [0, 0, 0]
        high = [1, 1, 1]
        first = true
        [[layers]]
        type = "Conv2d"
        rule = "gamma:0.1"
        [[layers]]
        last = true
        rule = "lrp0"
        [[layers]]
        type = "average-pooling"
        rule = "zplus"
        [[layers]]
        name = "6*"
        rule = "epsilon"
        epsilon = 0.25
        [[layers]]
        name = "nowhere"
        rule = "flat"
        """,
    )
    composite = parse_composite(name)
    network = canonise(convolutional(), composite.claims)
    plan = make_plan(network, composite, X[:1])
    assert {name: rule.text for name, rule in plan.items()} == {
        "0": "zbox:0/0/0,1/1/1", "1": "pass", "2": "gamma:0.1", "3": "pass", "4": "zplus",
        "5": "rearrange", "6": "epsilon:0.25", "7": "pass", "8": "lrp0",
    }  # fmt: skip
    assert unused(composite, network) == [
        f"[[layers]] 6 of {name} (flat) fits no layer of this network"
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected tables"),
        ("layers = 3", "expected tables"),
        ("[[layers]]\nname = 'a'", "expected rule"),
        ("[[layers]]\nrule = 'gamma'\nfirst = 'yes'", "first must be true or false"),
        ("[[layers]]\nrule = 'gammma'", "did you mean gamma"),
        ("[[layers]]\nrule = 'gamma'\nepsilon = 1", "gamma takes gamma, found epsilon"),
        ("[[layers]]\nrule = 'captum:gamma'", "whole network"),
        ("[[layers", "cannot be read as TOML"),
    ],
)
def test_wrong_rules_files_are_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_composite(in_file(tmp_path, text))


def test_a_class_of_torch_named_in_a_file_stays_the_layer_that_it_is(tmp_path: Path) -> None:
    text = "[[layers]]\ntype='AvgPool2d'\nrule='zplus'\n[[layers]]\ntype='Conv2d'\nrule='gamma'\n"
    composite = parse_composite(in_file(tmp_path, text + "[[layers]]\nrule='epsilon'"))
    plan = make_plan(canonise(convolutional(), composite.claims), composite)
    assert [plan[name].text for name in ("0", "4", "6")] == ["gamma:0.25", "zplus", "epsilon:1e-06"]


@pytest.mark.parametrize("name", [path.name for path in CONFIGS.glob("rules-*.toml")])
def test_shipped_rules_files_fit_a_convolutional_network(name: str) -> None:
    composite = parse_composite(str(CONFIGS / name))
    plan = make_plan(canonise(convolutional()), composite, X[:1], (0, 1))
    assert len({rule.text for rule in plan.values()}) > 2


@pytest.fixture
def halving() -> Iterator[str]:
    def half(call: Call, relevance: Tensor, *, share: float) -> Tensor:
        """Give every input the same share."""
        return torch.ones_like(call.x) * relevance.sum(1, keepdim=True) * share

    lrpdyn.register_rule("half", half, parameters={"share": 0.5}, source="here")
    yield "half"
    del RULES["half"]


class Strange(nn.Module):
    """A module that nothing is known of."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.softmax(x, dim=1)


def test_own_rule_for_a_module_that_is_refused_otherwise(tmp_path: Path, halving: str) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 3), Strange(), nn.Linear(3, 2)).double()
    text = f"[[layers]]\ntype='Strange'\nrule='{halving}:0.25'\n[[layers]]\nrule='epsilon'"
    composite = parse_composite(in_file(tmp_path, text))
    canonised = canonise(network, composite.claims)
    x = torch.rand(2, 4).double()
    torch.testing.assert_close(canonised(x), network(x))
    plan = make_plan(canonised, composite)
    assert plan["1"].text == "half:0.25"
    found = relevance(canonised, plan, x, torch.eye(2).double())
    assert np.isfinite(found.numpy()).all()
    with pytest.raises(ValueError, match="already"):
        lrpdyn.register_rule("zplus", lambda call, relevance: relevance)


class Pair(nn.Module):
    """A module that gives more than a tensor."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


def test_what_a_rule_of_ones_own_gives_is_checked(tmp_path: Path) -> None:
    x, rows = torch.rand(2, 4), torch.eye(2)
    text = "[[layers]]\ntype='Pair'\nrule='norm'\n[[layers]]\nrule='zplus'"
    composite = parse_composite(in_file(tmp_path, text))
    with pytest.raises(ArchitectureError, match="Pair: gives a tuple, expected one tensor"):
        canonise(nn.Sequential(Pair(), First(), nn.Linear(4, 2)), composite.claims)(x)
    lrpdyn.register_rule("short", lambda call, relevance: relevance[:, :1])
    try:
        network = canonise(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)))
        plan = make_plan(network, parse_composite("short"))
        with pytest.raises(
            ArchitectureError, match=r"short: gave relevance of shape \(2, 1\).*Linear"
        ):
            relevance(network, plan, x, rows)
    finally:
        del RULES["short"]


class First(nn.Module):
    def forward(self, pair: tuple[Tensor, Tensor]) -> Tensor:
        return pair[0]
