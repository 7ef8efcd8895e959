"""Evidence by layer of flagged steps, from checkpoints that are loaded again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from lrpdyn.diagnostics.second_look import SecondLook
from lrpdyn.diagnostics.trace import trace
from lrpdyn.explain.explanation import Question, chosen_samples, explain
from lrpdyn.explain.loaded import load
from lrpdyn.explain.model import Model
from lrpdyn.observations.checked_samples import checked_samples
from lrpdyn.outliers.facts import UNAVAILABLE, Evidence, RunFacts, Wanted
from tests.diagnostics.networks import TwoHeads, checkpoint, model_of
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
