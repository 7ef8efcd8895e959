"""Maps that lost their meaning are found in real training, and sound ones are not."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

import lrpdyn
from lrpdyn.diagnostics.faithfulness import areas, measure, random_areas
from lrpdyn.diagnostics.occlusion import patch_masks
from lrpdyn.explain.explanation import Question, explain
from lrpdyn.observations.fills import make_fill
from lrpdyn.outliers.facts import RunFacts
from lrpdyn.pipeline.results.run_facts import with_faithfulness
from lrpdyn.system.threads import one_thread
from tests.diagnostics.networks import loaded_of
from tests.outliers.made_up import calm_run, report_on, with_steps

CHECKPOINTS, PLANTED = 8, 6


class Digits(nn.Module):
    """A convolution and two linear layers."""

    heads = ("policy",)

    def __init__(self) -> None:
        super().__init__()
        self.all = nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(),
            nn.Linear(8 * 6 * 6, 32), nn.ReLU(), nn.Linear(32, 10),
        )  # fmt: skip

    def path(self, head: str) -> nn.Module:
        return self.all


@pytest.fixture(autouse=True)
def _on_one_thread() -> Iterator[None]:
    with one_thread():
        yield


def pictures() -> tuple[np.ndarray, torch.Tensor]:
    data = load_digits()
    return (data.images[:, None] / 16).astype(np.float32), torch.from_numpy(data.target)


def training(seed: int) -> list[Digits]:
    """Return the network at every checkpoint, the first one untrained."""
    torch.manual_seed(seed)
    x, labels = pictures()
    network, found = Digits(), []
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(CHECKPOINTS):
        found.append(copy.deepcopy(network))
        for _ in range(20):
            chosen = torch.randint(1500, (64,))
            optimizer.zero_grad()
            F.cross_entropy(network.all(torch.from_numpy(x)[chosen]), labels[chosen]).backward()
            optimizer.step()
    return found


def measured(
    networks: list[Digits], rule: str, *, contrast: str, preferred: bool = False
) -> RunFacts:
    """Return a run with the scores and the faithfulness of the maps of the true or preferred class."""
    x, labels = (of[-12:] for of in pictures())
    question = Question(contrast=contrast, targets=None if preferred else labels.numpy())
    filled = make_fill("modal", 0.0, x).of(x)
    masks = np.stack(patch_masks(x.shape))
    found: list[dict[str, Any]] = []
    scores = []
    for step, network in enumerate(networks):
        loaded = loaded_of(lambda network=network: network, x, rule)
        own = explain(loaded, x, question)
        fixed = replace(question, targets=own.target)
        curves = measure(loaded, x, fixed, {"rule": own.relevance}, filled, masks)
        _, (low, high) = random_areas(curves.score["random"], curves.score_range)
        rule_abpc = float(np.median(areas(curves.score["rule"], curves.score_range)[2]))
        band = {"low": low, "high": high}
        found.append({"step": 100 * step, "abpc": {"rule": rule_abpc}, "random_band": band})
        scores.append(own.score)
    facts = with_steps(calm_run(len(networks), len(x)), score=np.stack(scores).astype(np.float64))
    return with_faithfulness(facts, found)


def lost(facts: RunFacts) -> list[int]:
    """Return the steps at which maps lost their meaning."""
    entries = report_on(facts)["pathologies"]
    return [e["where"]["step"] for e in entries if e["causes"][0]["cause"] == "map_lost_meaning"]


@pytest.mark.parametrize("seed", range(3))
def test_a_constant_that_turns_the_logits_takes_the_meaning_of_their_maps(seed: int) -> None:
    networks = training(seed)
    clean = measured(networks, "zplus", contrast="none")
    assert lost(clean) == []
    # What the network prefers, and how surely, stays the same.
    networks[PLANTED].all[-1].bias.data -= 2 * float(np.median(clean.steps.score[PLANTED]))
    assert lost(measured(networks, "zplus", contrast="none")) == [100 * PLANTED]
    # A rule that shows what speaks against a logit, and a score without the constant, keep it.
    assert lost(measured(networks, "gamma", contrast="none")) == []
    assert lost(measured(networks, "zplus", contrast="mean")) == []


@pytest.mark.parametrize("planted", ["upper layers", "input layer"])
def test_another_network_is_explained_as_faithfully(planted: str) -> None:
    """A network whose layers are others computes something else, and its maps say what."""
    networks = training(0)
    torch.manual_seed(1)
    first, *_, upper, _, last = networks[PLANTED].all
    if planted == "input layer":
        weight = first.weight.data
        weight.copy_(weight.flatten()[torch.randperm(weight.numel())].reshape(weight.shape))
    else:
        upper.reset_parameters()
        last.reset_parameters()
    facts = measured(networks, "zplus", contrast="mean", preferred=True)
    steps = facts.steps
    assert steps.faithfulness[PLANTED] > 2 * steps.faithfulness_band[PLANTED, 1]
    assert lost(facts) == []


def test_compute_finds_it(tmp_path: Path) -> None:
    networks, (x, labels) = training(0), (of[-12:] for of in pictures())
    scores = networks[PLANTED].all(torch.from_numpy(x))[torch.arange(len(x)), labels]
    networks[PLANTED].all[-1].bias.data -= 2 * scores.detach().median()
    (tmp_path / "ckpts").mkdir()
    for place, network in enumerate(networks):
        torch.save(network.state_dict(), tmp_path / "ckpts" / f"net_{100 * place}.pt")
    np.save(tmp_path / "labels.npy", labels.numpy())
    run = lrpdyn.compute(
        tmp_path / "ckpts", x, arch="tests.outliers.test_lost_meaning:Digits", contrast="none",
        target=str(tmp_path / "labels.npy"), faithfulness="all", baseline="none", interventions=0,
        out=tmp_path / "run", workers=1, quiet=True,
    )  # fmt: skip
    found = [
        e for e in run.outliers["pathologies"] if e["causes"][0]["cause"] == "map_lost_meaning"
    ]
    assert [entry["where"] for entry in found] == [{"step": 100 * PLANTED}]
    assert any("the maps say no more" in one["words"][0] for one in run.outliers["first"])
