"""What is said of each operation: its part, its rule and source, gates, what it took in."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lrpdyn.lrp.canonical.canonise import canonise
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.lrp.operations_table import operations_table
from lrpdyn.lrp.plan import make_plan


def rows_of(network: nn.Module, x: Tensor, rule: str = "gamma") -> list[dict[str, Any]]:
    canonical = canonise(network, example=x)
    return operations_table(canonical, make_plan(canonical, parse_composite(rule)), network)


def test_a_merged_batch_norm_is_named_by_what_took_it_in() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.BatchNorm2d(2))
    rows = rows_of(nn.Sequential(network, nn.Flatten(), nn.Linear(8, 2)), torch.randn(1, 1, 4, 4))
    assert [(row["name"], row["merged"]) for row in rows[:3]] == [
        ("0.0", ["0.1"]), ("0.2", []), ("0.3", []),
    ]  # fmt: skip


def test_gates_go_by_what_made_them() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.excited, self.head = (
                nn.Conv2d(2, 4, 1),
                nn.Conv2d(4, 4, 1),
                nn.Linear(4, 2),
            )

        def forward(self, x: Tensor) -> Tensor:
            x = self.body(x)
            weights = self.excited(x.mean((2, 3), keepdim=True)).sigmoid() * 2
            x = x * weights
            return self.head((x / x.norm(dim=1, keepdim=True)).mean((2, 3)))

    gates = [row["gates"] for row in rows_of(Gated(), torch.randn(1, 2, 3, 3)) if row["gates"]]
    assert gates == [["sigmoid"], ["norm"]]


def test_attention_has_a_gate_under_cp_lrp_alone() -> None:
    class Attentive(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.head = (
                nn.MultiheadAttention(4, 2, batch_first=True),
                nn.Linear(4, 2),
            )

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.attention(x, x, x)[0].mean(1))

    for rule, gates, halves in (
        ("gamma", [[], ["attention.softmax"]], [True, False]),
        ("gamma+attnlrp", [[], []], [True, True]),
    ):
        rows = rows_of(Attentive(), torch.randn(1, 3, 4), rule)
        products = [row for row in rows if row["kind"] == "matrix-product"]
        assert [row["gates"] for row in products] == gates
        assert [row["halves"] for row in products] == halves
        assert {row["part_of"] for row in products} == {"MultiheadAttention"}
    assert products[0]["source"] == "Achtibat et al. 2024, prop. 3.1 to 3.3"


def test_every_row_has_a_summary() -> None:
    layers = nn.Conv2d(1, 2, 2), nn.MaxPool2d(2), nn.Flatten(), nn.LayerNorm(2), nn.Linear(2, 2)
    rows = rows_of(nn.Sequential(*layers), torch.randn(1, 1, 3, 3))
    assert all(row["summary"] for row in rows)
    assert [row["rule"] for row in rows if not row["source"]] == ["rearrange"]
