"""Effects of painting, against SciPy and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from torch import nn

from lrpdyn.diagnostics.occlusion import agreement, distance, effects, patch_masks
from lrpdyn.explain.explanation import Question, explain
from lrpdyn.explain.loaded import LoadedNetwork
from tests.diagnostics.networks import loaded_of


def test_distances_are_those_of_scipy() -> None:
    generator = np.random.default_rng(0)
    one, other = generator.dirichlet(np.ones(4), size=(2, 6))
    one[0], other[0] = [1, 0, 0, 0], [0, 1, 0, 0]
    found = distance(one, other, probabilities=True)
    np.testing.assert_allclose(found, jensenshannon(one, other, axis=1), atol=1e-12)
    assert found[0] == pytest.approx(math.sqrt(math.log(2)))
    assert distance(one, one, probabilities=True).tolist() == [0] * 6
    plain = distance(one, other, probabilities=False)
    np.testing.assert_allclose(plain, np.abs(one - other).sum(axis=1))


def test_effects_are_those_of_painting_by_hand(loaded: LoadedNetwork, pictures: np.ndarray) -> None:
    masks = [np.zeros(pictures.shape, dtype=bool) for _ in range(2)]
    masks[0][:, :, :3] = True
    masks[1][1:, 0, 2, 2] = True
    found = effects(loaded, pictures, masks, 0.5)
    painted = pictures.copy()
    painted[:, :, :3] = 0.5
    with torch.no_grad():
        before, after = (
            loaded.path(torch.from_numpy(values)).softmax(dim=1).numpy().astype(float)
            for values in (pictures, painted)
        )
    np.testing.assert_allclose(found[0], jensenshannon(before, after, axis=1), rtol=1e-3, atol=1e-6)
    assert np.isnan(found[1, 0])
    assert np.isfinite(found[1, 1:]).all()


def test_relevance_of_a_linear_network_agrees_with_painting() -> None:
    class Linear(nn.Module):
        heads = ("value",)

        def __init__(self) -> None:
            super().__init__()
            self.only = nn.Linear(36, 1)

        def path(self, head: str) -> nn.Module:
            return nn.Sequential(nn.Flatten(), self.only)

    torch.manual_seed(0)
    observations = np.random.default_rng(0).random((3, 1, 6, 6)).astype(np.float32)
    built = loaded_of(Linear, observations, "lrp0")
    question = Question(contrast="none", targets=np.zeros(3, dtype=np.int64))
    maps = explain(built, observations, question).relevance
    found = agreement(built, observations, maps, 0.0, question)
    # Of a linear network with one entry in a patch, x times w is what painting x with zero takes.
    assert found == {"samples": 3, "rule": pytest.approx(1), "gradient": pytest.approx(1)}
    noise = np.random.default_rng(1).random(maps.shape).astype(np.float32)
    other = agreement(built, observations, noise, 0.0, question)
    assert other["rule"] is not None
    assert abs(other["rule"]) < 0.6
    empty = agreement(built, np.zeros_like(observations), maps, 0.0, question)
    assert empty == {"samples": 0, "rule": None, "gradient": None}


def test_patches_cover_everything_once() -> None:
    for shape in ((2, 3, 10, 24), (2, 1, 5, 5), (2, 4), (2, 100)):
        masks = patch_masks(shape)
        total = sum(np.broadcast_to(mask, shape).astype(int) for mask in masks)
        assert (total == 1).all()
        assert len(masks) <= 49
