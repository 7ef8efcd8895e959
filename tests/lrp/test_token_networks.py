"""Networks over tokens after training, against input times gradient of the network as it is."""

from __future__ import annotations

import pytest
import torch

from lrpdyn.lrp.attribution import contrast_rows, relevance
from lrpdyn.lrp.canonical.canonise import canonise
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.lrp.plan import make_plan
from tests.lrp.gradient_reference import lrp0_reference
from tests.lrp.token_networks import NETWORKS, trained


@pytest.mark.parametrize("contrast", ["none", "mean"])
@pytest.mark.parametrize("name", NETWORKS)
def test_lrp0_is_input_times_gradient(name: str, contrast: str) -> None:
    network, x = trained(name)
    canonised = canonise(network)
    outputs = network(x).detach()
    torch.testing.assert_close(canonised(x), outputs, rtol=1e-9, atol=1e-12)
    rows = contrast_rows(outputs, outputs.argmax(1), contrast)
    plan = make_plan(canonised, parse_composite("lrp0"), x[:1])
    found, expected = relevance(canonised, plan, x, rows), lrp0_reference(network, x, rows)
    assert found.shape == x.shape
    assert float((found - expected).abs().max()) <= 1e-9 * float(expected.abs().max())
