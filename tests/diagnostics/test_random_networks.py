"""Random networks are measured by batches as at once."""

from __future__ import annotations

import numpy as np
import torch

from lrpdyn.diagnostics.occlusion import region_effects
from lrpdyn.diagnostics.random_networks import mean_of_networks, measure_network
from lrpdyn.diagnostics.sanity_checks import random_weights
from lrpdyn.explain.explanation import Question
from lrpdyn.explain.loaded import put_weights
from lrpdyn.observations.fills import Fill
from lrpdyn.observations.regions import Painting, Regions
from tests.diagnostics.networks import TwoHeads, model_of


def test_random_networks_and_regions_are_measured_batch_by_batch(pictures: np.ndarray) -> None:
    torch.manual_seed(0)
    whole = model_of(TwoHeads, pictures)
    parts = model_of(TwoHeads, pictures, batch=2)
    parts.network.load_state_dict(whole.network.state_dict())
    masks = np.zeros((2, 5, 1, 6, 6), dtype=bool)
    masks[0, :, :, :3], masks[1, 1:3, :, 4:] = True, True
    regions = Regions(names=("top", "some"), masks=masks, sha256="")
    asked, fresh = Question(contrast="mean"), [random_weights(whole, seed) for seed in range(2)]
    of_whole, of_parts = (
        mean_of_networks(
            [measure_network(model, pictures, asked, network, regions) for network in fresh],
            regions,
        )
        for model in (whole, parts)
    )
    assert of_whole is not None
    assert of_parts is not None
    np.testing.assert_allclose(of_parts.entropy, of_whole.entropy, rtol=1e-5)
    np.testing.assert_allclose(of_parts.shares, of_whole.shares, rtol=1e-5)
    painting = Painting(regions=regions, fill=Fill(kind="value", value=0.0))
    one, two = (
        region_effects(put_weights(model, {}, "as built"), pictures, painting)
        for model in (whole, parts)
    )
    np.testing.assert_allclose(two, one, rtol=1e-4)
    assert np.isnan(two[1]).tolist() == [True, False, False, True, True]
