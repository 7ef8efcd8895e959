"""Layers put back, against Zennit and plain Python; the budget, what is said, and what is left behind."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from itertools import chain, combinations, permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import lrpdyn
from lrpdyn.diagnostics import interventions
from lrpdyn.diagnostics.interventions import (
    EXACT,
    Interventions,
    Transition,
    chosen_transitions,
    in_words,
    layers_of,
    sampled_values,
    samples_by_default,
    shapley_values,
    shared_out,
    shared_out_by_default,
)
from lrpdyn.explain.explanation import Question
from lrpdyn.observations.checked_samples import evenly_spaced
from lrpdyn.outliers.report import find_outliers
from tests.diagnostics.networks import checkpoint, model_of
from tests.lrp.zennit_reference import RULES, by_zennit
from tests.outliers.made_up import calm_run, spiked
from tests.pipeline.test_compute import Vectors, contents, mlp_run
from tests.pipeline.test_shards import shards_of

JUMP = Transition(before=100, after=200, why="far")


class Pictures(nn.Module):
    """Two convolutions and two Linear layers."""

    heads = ("logits",)

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(),
            nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3),
        )  # fmt: skip

    def path(self, head: str) -> nn.Module:
        return self.body


class WithNorm(nn.Module):
    heads = ("logits",)

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
        )

    def path(self, head: str) -> nn.Module:
        return self.body


class Recurrent(nn.Module):
    heads = ("logits",)

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.last = nn.GRU(6, 4, batch_first=True), nn.Linear(4, 3)

    def path(self, head: str) -> nn.Module:
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.cell(x)[1].squeeze(0))


class Attentive(nn.Module):
    heads = ("logits",)

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.last = nn.Linear(6, 3)

    def path(self, head: str) -> nn.Module:
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.attention(x, x, x, need_weights=False)[0].mean(dim=1))


def trained(network: nn.Module, x: np.ndarray, steps: int) -> nn.Module:
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    inputs = torch.from_numpy(x)
    for _ in range(steps):
        optimiser.zero_grad()
        outputs = network.path("logits")(inputs)  # type: ignore[operator]
        nn.functional.cross_entropy(outputs, torch.arange(len(x)) % 3).backward()
        optimiser.step()
    return network


def copy_of(network: nn.Module) -> nn.Module:
    made = type(network)()
    made.load_state_dict(network.state_dict())
    return made


def between(
    folder: Path,
    one: nn.Module,
    two: nn.Module,
    x: np.ndarray,
    rule: str = "zplus",
    targets: np.ndarray | None = None,
    normalisation: str = "none",
) -> Interventions:
    """Return interventions on two networks that are saved as steps 100 and 200."""
    series = {100: checkpoint(folder, 100, one), 200: checkpoint(folder, 200, two)}
    return Interventions(
        model=model_of(type(one), x, rule, batch=3), observations=x,
        question=Question(contrast="none", targets=targets), normalisation=normalisation,
        checkpoints=series, trust=False,
    )  # fmt: skip


def measured(looked: Interventions, allowed: int) -> dict[str, Any]:
    """Return the entry of the two steps, of at most sixteen samples."""
    return looked.measure(JUMP, allowed, evenly_spaced(len(looked.observations), 16))


def parts(entry: dict[str, Any], kind: str) -> dict[str, float]:
    return {layer["layer"]: layer[kind] for layer in entry["layers"]}


def subsets(names: tuple[str, ...]) -> Iterator[frozenset[str]]:
    sizes = (combinations(names, size) for size in range(len(names) + 1))
    return (frozenset(those) for those in chain.from_iterable(sizes))


def by_permutations(
    players: tuple[str, ...], value: Callable[[frozenset[str]], float]
) -> dict[str, float]:
    """Return the mean gain over all orders, one by one."""
    gains: dict[str, list[float]] = {player: [] for player in players}
    for order in permutations(players):
        for n, player in enumerate(order):
            gains[player].append(value(frozenset(order[: n + 1])) - value(frozenset(order[:n])))
    return {player: sum(of) / len(of) for player, of in gains.items()}


@pytest.fixture
def two_steps(pictures: np.ndarray) -> tuple[nn.Module, nn.Module]:
    """Two steps of a training, between which the second convolution was drawn again."""
    torch.manual_seed(0)
    one = trained(Pictures(), pictures, 20)
    two = trained(copy_of(one), pictures, 5)
    two.body[2].reset_parameters()
    return one, two


@pytest.mark.parametrize("fixed", [True, False])
def test_parts_are_those_of_zennit_and_all_orders(
    two_steps: tuple[nn.Module, nn.Module], pictures: np.ndarray, tmp_path: Path, fixed: bool
) -> None:
    one, two = two_steps
    x, names = torch.from_numpy(pictures), ("body.0", "body.2", "body.5", "body.7")

    def maps(back: frozenset[str]) -> Tensor:
        mixed = copy_of(two)
        with torch.no_grad():
            for name in back:
                mixed.get_submodule(name).load_state_dict(one.get_submodule(name).state_dict())
        mixed, unit = mixed.double().body, torch.tensor([0, 1, 2, 0, 1])
        if not fixed:
            unit = mixed(x.double()).argmax(dim=1)
        return by_zennit(mixed, RULES["zplus"], x.double(), unit)

    base = maps(frozenset(names))
    left = {
        back: (maps(back) - base).abs().flatten(1).sum(1).quantile(0.5) for back in subsets(names)
    }
    value = {back: float(1 - change / left[frozenset()]) for back, change in left.items()}

    targets = np.array([0, 1, 2, 0, 1]) if fixed else None
    looked = between(tmp_path, one, two, pictures, targets=targets)
    found = measured(looked, 15)
    assert (found["explanations"], found["together"], found["samples"]) == (
        15,
        1.0,
        [0, 1, 2, 3, 4],
    )
    assert found["change"] == pytest.approx(float(left[frozenset()]), rel=1e-5)
    assert parts(found, "alone") == pytest.approx(
        {n: value[frozenset([n])] for n in names}, abs=1e-5
    )
    expected = by_permutations(names, value.__getitem__)
    assert parts(found, "shapley") == pytest.approx(expected, abs=1e-5)
    assert list(parts(found, "shapley")) == sorted(names, key=expected.__getitem__, reverse=True)
    assert found["layers"][0]["layer"] == "body.2"
    moved = [
        torch.cat([p.detach().flatten() for p in net.body[2].parameters()]) for net in (one, two)
    ]
    ratio = float((moved[1] - moved[0]).norm() / moved[0].norm())
    assert parts(found, "moved")["body.2"] == pytest.approx(ratio, rel=1e-5)
    # What is left behind is the step after, in every tensor.
    for name, tensor in looked.model.network.state_dict().items():
        assert torch.equal(tensor, two.state_dict()[name]), name
    assert looked.model.weights.source is looked.checkpoints[200]


def test_fewer_explanations_give_fewer_parts(
    two_steps: tuple[nn.Module, nn.Module],
    pictures: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []

    def counted(*given: Any) -> Any:
        made.append(given[0].name)
        return explain(*given)

    explain = interventions.explain
    monkeypatch.setattr(interventions, "explain", counted)
    looked = between(tmp_path, *two_steps, pictures)
    for most, taken, shapley in ((5, 5, False), (14, 5, False), (15, 15, True), (99, 15, True)):
        made.clear()
        (work,) = looked.works([JUMP], 1000, most)
        found = work()
        assert made == ["step 100", "step 200", *taken * ["layers of two steps"]]
        assert found["explanations"] == taken
        assert all((part is not None) is shapley for part in parts(found, "shapley").values())
    made.clear()
    first, second = (work() for work in looked.works([JUMP, JUMP], 1000, 6))
    assert len(made) == 7
    assert (first["explanations"], second["explanations"], second["layers"]) == (5, 0, [])
    assert second["words"] == "not measured: --interventions 10 reaches it"
    (few,) = looked.works([JUMP], 1000, 4)
    assert few()["words"] == "not measured: --interventions 5 reaches it"


@given(st.integers(0, 12), st.integers(1, 40), st.integers(0, 500))
def test_a_budget_is_never_passed(transitions: int, layers: int, most: int) -> None:
    found = shared_out(transitions, layers, most)
    first = layers + (layers > 1)
    assert len(found) == transitions
    assert sum(found) <= most
    reached = sum(allowed > 0 for allowed in found)
    assert reached == min(transitions, most // first)
    assert all(allowed >= first for allowed in found[:reached])


@given(st.integers(1, 12), st.integers(1, 40), st.integers(2, 500), st.integers(1, 300))
def test_by_default_it_takes_a_quarter(
    transitions: int, layers: int, steps: int, samples: int
) -> None:
    allowed = shared_out_by_default(transitions, layers, steps, samples)
    each = samples_by_default(layers, steps, samples)
    assert min(4, samples) <= each <= min(16, samples)
    reached = sum(one > 0 for one in allowed)
    in_steps = (sum(allowed) + 2 * reached) * each / samples
    assert in_steps <= steps / 4 or reached == 1
    if in_steps > steps / 4:
        assert in_steps <= steps
        assert allowed[0] == layers + (layers > 1)
    if not reached:
        assert (layers + (layers > 1) + 2) * each > steps * samples


values = st.floats(-2, 2, allow_subnormal=False)


@settings(max_examples=60)
@given(st.integers(1, 5).flatmap(lambda n: st.lists(values, min_size=2**n, max_size=2**n)))
def test_shares_add_up_to_what_all_take_away(drawn: list[float]) -> None:
    players = tuple("abcde"[: int(math.log2(len(drawn)))])
    value = dict(zip(subsets(players), [0.0, *drawn[1:]], strict=True)).__getitem__
    exact = shapley_values(players, value)
    assert exact == pytest.approx(by_permutations(players, value), abs=1e-9)
    for found in (exact, sampled_values(players, value, 8)):
        assert sum(found.values()) == pytest.approx(value(frozenset(players)), abs=1e-9)


def test_drawn_orders_come_near_all_orders() -> None:
    players, random = tuple("abcdef"), np.random.default_rng(0)
    value = {those: random.normal() * (len(those) > 0) for those in subsets(players)}.__getitem__
    exact = by_permutations(players, value)
    apart = []
    for orders in (8, 64, 512):
        found = sampled_values(players, value, orders)
        apart.append(max(abs(found[player] - exact[player]) for player in players))
    assert apart[0] > apart[1] > apart[2]
    assert apart[2] < 0.1


def test_of_many_layers_orders_are_drawn(tmp_path: Path) -> None:
    class Deep(nn.Module):
        heads = ("logits",)

        def __init__(self) -> None:
            super().__init__()
            layers = [layer for _ in range(6) for layer in (nn.Linear(6, 6), nn.ReLU())]
            self.body = nn.Sequential(*layers, nn.Linear(6, 3))

        def path(self, head: str) -> nn.Module:
            return self.body

    torch.manual_seed(1)
    x = np.random.default_rng(0).random((20, 6)).astype(np.float32)
    one = Deep()
    two = copy_of(one)
    with torch.no_grad():
        for weight in two.parameters():
            weight += 0.05 * torch.randn_like(weight)
        two.body[0].weight += 1.0
    looked = between(tmp_path, one, two, x)
    assert len(layers_of(looked.model)) == 7 > EXACT
    assert measured(looked, 47)["orders"] is None
    assert parts(measured(looked, 47), "shapley")["body.0"] is None
    found = measured(looked, 48)  # seven alone, all, and five for each of eight orders
    assert found["orders"] == 8
    assert 8 < found["explanations"] <= 48
    assert len(found["samples"]) == 16
    assert found["layers"][0]["layer"] == "body.0"
    assert sum(parts(found, "shapley").values()) == pytest.approx(found["together"])


def test_statistics_are_a_layer_of_their_own(pictures: np.ndarray, tmp_path: Path) -> None:
    torch.manual_seed(0)
    one = trained(WithNorm(), pictures, 10)
    two = copy_of(one)
    two.body[1].reset_running_stats()
    found = measured(between(tmp_path, one, two, pictures), 99)
    assert parts(found, "alone") == parts(found, "shapley") == {"body.1 statistics": 1.0}
    assert found["words"] == "body.1 statistics alone makes all of the change"
    assert found["explanations"] == 1
    # Weights and statistics that both moved are told apart.
    with torch.no_grad():
        two.body[1].weight += 0.01
    found = measured(between(tmp_path, one, two, pictures), 99)
    assert list(parts(found, "shapley")) == ["body.1 statistics", "body.1"]
    assert not found["no_single_layer"]


class Masked(nn.Module):
    """A Linear layer with a mask of whole numbers, and one with the same weights behind it."""

    heads = ("logits",)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.again.weight = self.first.weight
        self.mask: Tensor
        self.register_buffer("mask", torch.ones(6, dtype=torch.int64))

    def path(self, head: str) -> nn.Module:
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.again(self.first(x).relu() * self.mask).relu())


def test_a_mask_is_put_back_and_shared_weights_once(tmp_path: Path) -> None:
    torch.manual_seed(0)
    x = np.random.default_rng(0).random((5, 6)).astype(np.float32)
    one = Masked()
    two = Masked()
    two.load_state_dict(one.state_dict())
    with torch.no_grad():
        two.mask[:3] = 0
        two.first.weight += 0.1
    found = measured(between(tmp_path, one, two, x), 99)
    assert set(parts(found, "alone")) == {"first", "weights statistics"}
    assert found["together"] == 1.0
    assert all(part not in (0, 1) for part in parts(found, "alone").values())


def test_a_restart_is_no_single_layer(pictures: np.ndarray, tmp_path: Path) -> None:
    torch.manual_seed(0)
    one, two = (trained(Pictures(), pictures, 60) for _ in range(2))
    found = measured(between(tmp_path, one, two, pictures), 99)
    best = max(parts(found, "alone").values())
    assert found["no_single_layer"] is (best < 0.5) is True
    assert found["words"].startswith(
        "no single layer: putting back any one of the 4 layers takes away"
    )
    assert "all together take away all" in found["words"]


@pytest.mark.parametrize(
    ("network", "rule", "shape"),
    [
        (Recurrent, "zplus", (3, 6)),
        (Recurrent, "epsilon", (3, 6)),
        (Attentive, "epsilon+attnlrp", (3, 6)),
        (WithNorm, "gamma", (2, 6, 6)),
        (Pictures, "captum:epsilon", (2, 6, 6)),
    ],
)
def test_all_layers_put_back_are_the_step_before(
    network: type[nn.Module], rule: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    torch.manual_seed(2)
    x = np.random.default_rng(3).random((7, *shape)).astype(np.float32)
    one = network()
    two = trained(copy_of(one), x, 3)
    found = measured(between(tmp_path, one, two, x, rule), 99)
    assert found["together"] == 1.0
    assert sum(parts(found, "shapley").values()) == pytest.approx(1.0)
    assert any(part != found["layers"][0]["alone"] for part in parts(found, "alone").values())


def test_what_cannot_be_measured_is_said(
    two_steps: tuple[nn.Module, nn.Module], pictures: np.ndarray, tmp_path: Path
) -> None:
    one, two = two_steps
    same = measured(between(tmp_path, one, one, pictures), 99)
    assert (same["change"], same["layers"], same["words"]) == (0.0, [], "nothing changed")
    broken = copy_of(two)
    with torch.no_grad():
        broken.body[0].weight[0] = math.nan
    found = measured(between(tmp_path, one, broken, pictures), 99)
    assert (found["change"], found["words"]) == (None, "not measured: maps are not finite")
    # By a sum of both signs nothing is divided; the run goes on.
    apart = measured(between(tmp_path, one, two, pictures, "epsilon", normalisation="sum"), 99)
    assert all(part is None or math.isfinite(part) for part in parts(apart, "alone").values())
    json.dumps(apart, allow_nan=False)
    looked = between(tmp_path, one, two, pictures)
    looked.checkpoints[100].path.unlink()
    gone = measured(looked, 99)
    assert gone["words"] == "not measured: the checkpoint of step 100 is gone"
    assert (gone["explanations"], gone["no_single_layer"]) == (0, False)


def layers(*given: tuple[str, float, float | None]) -> list[dict[str, Any]]:
    return [{"layer": name, "alone": alone, "shapley": part} for name, alone, part in given]


@pytest.mark.parametrize(
    ("given", "together", "words"),
    [
        ([("a", 0.84, 0.8), ("b", 0.2, 0.2)], 1.0, "a alone makes 84 % of the change"),
        (
            [("a", 1.0, None), ("b", 0.7, None), ("c", -0.33, None)],
            1.0,
            "a alone makes all of the change; putting back b in its place takes away 70 %; "
            "putting back c alone makes it 33 % larger",
        ),
        ([("a", 0.6, 0.62), ("b", 0.3, 0.3), ("c", 0.0, 0.08)], 1.0, "mostly a (62 %) with b (30 %)"),
        ([("a", 0.6, None), ("b", 0.3, None)], 1.0, "putting back a alone takes away 60 % of the change"),
        (
            [("a", 0.07, None), ("b", 0.0, None)],
            0.93,
            "no single layer: putting back any one of the 2 layers takes away at most 7 %; "
            "all together take away 93 % of it",
        ),
        (
            [("a", -0.05, 0.6), ("b", -0.02, 0.4)],
            1.0,
            "no single layer: putting back any one of the 2 layers takes away nothing; "
            "all together take away all of it; shares: a (60 %), b (40 %)",
        ),
    ],
)  # fmt: skip
def test_words(given: list[tuple[str, float, float | None]], together: float, words: str) -> None:
    assert in_words(layers(*given), together) == words


def test_flagged_transitions_come_first_or_the_strongest() -> None:
    calm = find_outliers(calm_run())
    (strongest,) = chosen_transitions(calm)
    assert strongest.why == "strongest"
    assert {"from_step": strongest.before, "to_step": strongest.after} == (
        calm.listed["steps"][0][0]["where"]
    )
    far = chosen_transitions(find_outliers(spiked(spiked(calm_run(), 20), 30, by=60)))
    assert [(one.before, one.why) for one in far] == [(3000, "far"), (2000, "far")]


def test_the_report_is_the_same_for_any_number_of_workers(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    one, two = (
        mlp_run(mlp_folder, vectors, tmp_path / str(n), workers=n, interventions=9) for n in (1, 2)
    )
    assert contents(one.path) == contents(two.path)
    (found,) = one.outliers["layers"]
    assert (found["why"], found["explanations"], found["together"]) == ("strongest", 3, 1.0)
    assert two.manifest["interventions"] == 9
    shards = shards_of(mlp_folder, vectors, tmp_path, 2, arch_args={"activation": "tanh"})
    merged = lrpdyn.merge(shards, out=tmp_path / "merged", interventions=9, quiet=True)
    assert contents(merged.path) == contents(one.path)


def test_a_finished_run_is_looked_into_again(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    first = mlp_run(mlp_folder, vectors, tmp_path / "run", interventions=0)
    assert first.outliers["layers"] == []
    journal = (first.path / "journal.jsonl").read_bytes()
    before = contents(first.path)
    again = mlp_run(mlp_folder, vectors, tmp_path / "run")
    assert len(again.outliers["layers"]) == 1
    assert (first.path / "journal.jsonl").read_bytes() == journal  # nothing is explained again
    after = contents(first.path)
    assert {name for name in after if after[name] != before[name]} == {"outliers.json"}
