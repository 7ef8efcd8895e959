"""Evidence by layer of flagged steps, from checkpoints that are loaded again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lrpdyn.diagnostics.at_each_step import layer_names
from lrpdyn.diagnostics.second_look import SecondLook, denominators, trace
from lrpdyn.explain.explanation import Question, chosen_samples, explain
from lrpdyn.explain.loaded import load
from lrpdyn.explain.model import Model
from lrpdyn.lrp.attribution import explain as explain_rows
from lrpdyn.observations.checked_samples import checked_samples
from lrpdyn.outliers.facts import UNAVAILABLE, Evidence, RunFacts, Wanted
from tests.diagnostics.networks import Small, TwoHeads, checkpoint, loaded_of, model_of, small
from tests.outliers.made_up import calm_run


def gathered(look: SecondLook, facts: RunFacts, wanted: Wanted) -> Evidence:
    return look.evidence(wanted, facts, [work() for work in look.works(wanted, facts)])


def test_of_many_samples_a_second_look_traces_those_that_stand_out_too(tmp_path: Path) -> None:
    many = np.random.default_rng(0).random((200, 2, 6, 6)).astype(np.float32)
    torch.manual_seed(3)
    model = model_of(TwoHeads, many, batch=48)
    series = {100 * i: checkpoint(tmp_path, 100 * i, TwoHeads()) for i in range(2)}
    targets = {step: np.arange(200) % 3 for step in series}

    def unread(step: int, samples: Sequence[int]) -> np.ndarray:
        raise AssertionError("no maps are needed")

    look = SecondLook(
        model=model,
        observations=many,
        question=Question(contrast="mean"),
        normalisation="none",
        checkpoints=series,
        targets=targets.__getitem__,
        maps=unread,
        trust=False,
    )
    found = gathered(
        look, calm_run(2, 200), Wanted(places=(1,), usual=(0, 1), flips={}, samples={1: (2, 7)})
    )
    told = set(found[1, "conservation_failure"]["samples"])
    assert told == {2, 7, *checked_samples(200)}
    assert not {2, 7} & set(checked_samples(200))
    # What is told of a sample is told of that sample, wherever it stands among those traced.
    loaded = load(model, series[100], trust=False)
    alone = trace(
        *chosen_samples(loaded, many, Question(contrast="mean", targets=targets[100]), [7])
    )
    share = float(
        found[1, "conservation_failure"]["samples"][7].split("gives on ")[1].split(" %")[0]
    )
    assert share == pytest.approx(100 * alone.most_lost_at(0)[1], rel=5e-3)


def test_a_second_look_tells_what_a_flip_is_worth(
    model: Model, pictures: np.ndarray, tmp_path: Path
) -> None:
    torch.manual_seed(3)
    networks = [TwoHeads() for _ in range(3)]
    series = {100 * i: checkpoint(tmp_path, 100 * i, net) for i, net in enumerate(networks)}
    maps, targets = {}, {0: np.zeros(5, dtype=np.int64), 100: np.full(5, 2)}
    for step, unit in targets.items():
        maps[step] = explain(
            load(model, series[step], trust=False),
            pictures,
            Question(contrast="mean", targets=unit),
        ).relevance
    look = SecondLook(
        model=model, observations=pictures, question=Question(contrast="mean"), normalisation="none",
        checkpoints=series, targets=targets.__getitem__,
        maps=lambda step, samples: maps[step][list(samples)], trust=False,
    )  # fmt: skip
    flips = Wanted(places=(), usual=(), flips={0: (1, 4)}, samples={})
    found = gathered(look, calm_run(2, 5), flips)[1, "action_flip"]["samples"]
    kept = explain(
        load(model, series[100], trust=False),
        pictures,
        Question(contrast="mean", targets=targets[0]),
    ).relevance
    for n in (1, 4):
        change = np.abs(maps[100][n] - maps[0][n]).sum()
        without = np.abs(kept[n] - maps[0][n]).sum()
        assert found[n] == pytest.approx(1 - without / change, abs=1e-5)
    series[100].path.unlink()
    again = gathered(
        look, calm_run(2, 5), Wanted(places=(1,), usual=(0,), flips={0: (1,)}, samples={})
    )
    assert again[1, "action_flip"]["samples"] == {1: UNAVAILABLE}
    assert again[1, "vanished_relevance"]["gone"]


def test_a_trace_names_the_layer_at_which_relevance_vanished() -> None:
    built, observations = small([-1.0, -1.0])
    found = trace(
        built, observations, Question(contrast="none", targets=np.zeros(2, dtype=np.int64))
    )
    assert found.layers[0] == "last"
    assert found.rules[0] == "zplus"
    assert [found.vanished_at(n) for n in range(2)] == [0, 0]
    np.testing.assert_allclose(found.came[0], [2, 4])
    assert not found.went[0].any()
    whole, observations = small([1.0, 1.0])
    found = trace(
        whole, observations, Question(contrast="none", targets=np.zeros(2, dtype=np.int64))
    )
    assert [found.vanished_at(n) for n in range(2)] == [None, None]
    np.testing.assert_allclose(found.kept, 1, rtol=1e-5)


def test_a_trace_tells_relevance_that_is_divided_by_next_to_nothing() -> None:
    built, observations = small([-1.0, 1e-4])
    found = trace(
        built, observations, Question(contrast="none", targets=np.zeros(2, dtype=np.int64))
    )
    # Sample 0 has no second feature, and its relevance vanishes; sample 1 has -2 over 2e-4.
    assert found.vanished_at(0) == 0
    layer, share = found.smallest_at(1)
    assert (found.layers[layer], share) == ("last", 1)
    plain, observations = small([1.0, 1.0])
    found = trace(
        plain, observations, Question(contrast="none", targets=np.zeros(2, dtype=np.int64))
    )
    assert [found.smallest_at(n)[1] for n in range(2)] == [0, 0]


def test_a_trace_tells_where_a_bias_absorbed() -> None:
    built, observations = small([1.0, 1.0], bias=6.0)
    found = trace(
        built, observations, Question(contrast="none", targets=np.zeros(2, dtype=np.int64))
    )
    layer, kept = found.most_lost_at(0)
    assert (found.layers[layer], kept) == ("last", pytest.approx(2 / 8, rel=1e-5))


class Attentive(nn.Module):
    """Within its attention tokens lie along the first dimension, three of each sample."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.head = nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x.unflatten(1, (3, 4))
        return self.head(self.attention(x, x, x)[0].flatten(1))


@pytest.mark.parametrize("samples", [3, 5])
def test_samples_are_told_apart_where_tokens_come_first(samples: int) -> None:
    x = np.random.default_rng(0).normal(size=(samples, 12)).astype(np.float32)
    loaded = loaded_of(Attentive, x)
    question = Question(contrast="none", targets=np.zeros(samples, np.int64))
    together = trace(loaded, x, question)
    for n in range(samples):
        alone = trace(loaded, x[n : n + 1], replace(question, targets=question.targets[:1]))
        for name in ("came", "went", "kept"):
            of_sample = getattr(together, name)[:, n : n + 1]
            np.testing.assert_allclose(of_sample, getattr(alone, name), rtol=1e-4)


def test_traces_do_not_depend_on_batches(pictures: np.ndarray) -> None:
    question = Question(contrast="mean", targets=np.array([0, 1, 2, 1, 0]))
    torch.manual_seed(0)
    whole = trace(loaded_of(TwoHeads, pictures), pictures, question)
    torch.manual_seed(0)
    parts = trace(loaded_of(TwoHeads, pictures, batch=2), pictures, question)
    assert whole.layers == parts.layers
    np.testing.assert_allclose(whole.went, parts.went, rtol=1e-4)


@pytest.mark.parametrize("rule", ["zplus", "epsilon", "gamma:0.5", "alphabeta:2,1"])
def test_denominators_are_those_of_the_rule(rule: str) -> None:
    torch.manual_seed(1)
    observations = np.random.default_rng(1).normal(size=(4, 4)).astype(np.float32)
    built = model_of(Small, observations, rule)
    x = torch.from_numpy(observations)
    done = explain_rows(built.explained, built.plan, x, lambda o: torch.ones_like(o), keep=True)
    first = next(d for name, d in done.layers.items() if layer_names(built)[name] == "first")
    weight, bias = (t.detach().double() for t in built.network.first.parameters())
    parts = x.double()[:, None, :] * weight
    output = parts.sum(dim=2) + bias
    positive = parts.clamp(min=0).sum(dim=2) + bias.clamp(min=0)
    if rule == "epsilon":
        expected = output
    elif rule == "gamma:0.5":
        expected = output + 0.5 * torch.where(output > 0, positive, output - positive)
    else:
        expected = positive
    found = denominators(first)
    assert found is not None
    np.testing.assert_allclose(found.double(), expected, rtol=1e-4, atol=1e-6)
