"""The rule of each layer: with the range of what the layer sees, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lrpdyn.errors import UsageError
from lrpdyn.lrp.attribution import relevance
from lrpdyn.lrp.canonical.canonise import canonise
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.lrp.plan import layers_of, make_plan, unused
from tests.lrp.test_composites import X, convolutional, in_file, texts


def test_box_is_the_range_of_the_observation_scaled_as_it_is() -> None:
    torch.manual_seed(0)

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = convolutional()
            self.register_buffer("mean", torch.tensor([0.1, 0.2, 0.3]).reshape(1, 3, 1, 1))

        def forward(self, x: Tensor) -> Tensor:
            return self.inner((x / 255 - self.mean) / 0.5)

    network = Scaled().double()
    pixels = (255 * X).double().round()
    inside = canonise(network)
    rows = torch.eye(5).double()[[0, 3]]
    found = relevance(inside, make_plan(inside, parse_composite("zbox"), pixels[:1], (0.0, 255.0)),
                      pixels, rows)  # fmt: skip
    outside = canonise(network.inner)
    mean = torch.tensor([0.1, 0.2, 0.3])
    low, high = ((end - mean) / 0.5 for end in (0, 1))
    bounds = (tuple(low.tolist()), tuple(high.tolist()))
    scaled = (pixels / 255 - network.mean) / 0.5
    expected = relevance(outside, make_plan(outside, parse_composite("zbox"), scaled[:1], bounds),
                         scaled, rows)  # fmt: skip
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-8)
    text = "zbox:" + ",".join("/".join(map(str, b.tolist())) for b in (low, high))
    by_name = make_plan(outside, parse_composite(text), scaled[:1])
    torch.testing.assert_close(relevance(outside, by_name, scaled, rows), expected)


def test_box_of_an_inverted_observation_has_its_bounds_in_order() -> None:
    class Inverted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = convolutional()

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(-x)

    torch.manual_seed(0)
    network = Inverted().double()
    x, rows = X.double(), torch.eye(5).double()[[0, 3]]
    inside, outside = canonise(network), canonise(network.inner)
    found = relevance(inside, make_plan(inside, parse_composite("zbox:0,2"), x[:1]), x, rows)
    plan = make_plan(outside, parse_composite("zbox:-2,0"), x[:1])
    torch.testing.assert_close(found, relevance(outside, plan, -x, rows))


def test_box_without_a_known_range_is_refused() -> None:
    with pytest.raises(UsageError, match="range of this network's observations is not known"):
        texts("zbox", bounds=None)
    assert texts("zbox:0,1", bounds=None)["0"] == "zbox:0,1"


def test_layers_that_a_file_leaves_out_or_misfits(tmp_path: Path) -> None:
    network = canonise(convolutional())
    left_out = parse_composite(in_file(tmp_path, "[[layers]]\nrule='gamma'\ntype='convolution'"))
    with pytest.raises(UsageError, match=r"no entry is for layer '6' \(Linear\)"):
        make_plan(network, left_out)
    misfit = parse_composite(
        in_file(tmp_path, "[[layers]]\nrule='gamma'\ntype='AvgPool2d'\n[[layers]]\nrule='zplus'")
    )
    with pytest.raises(UsageError, match=r"given to '4' \(AvgPool2d, average-pooling\)"):
        make_plan(network, misfit)
    later = parse_composite(
        in_file(tmp_path, "[[layers]]\nrule='zbox:0,1'\nname='2'\n[[layers]]\nrule='zplus'")
    )
    with pytest.raises(UsageError, match="'2' sees what other layers made of it"):
        make_plan(network, later, X[:1])


def test_bounds_of_channels_are_as_many_as_the_channels() -> None:
    network = canonise(convolutional())
    with pytest.raises(UsageError, match=r"found 2 bounds.*of shape \(3, 8, 8\)"):
        make_plan(network, parse_composite("zbox:0/0,1/1"), X[:1])


def test_layers_are_in_order_and_an_entry_that_fits_none_is_told(tmp_path: Path) -> None:
    network = canonise(convolutional())
    assert list(layers_of(network)) == [str(place) for place in range(9)]
    text = "[[layers]]\nrule='gamma'\nname='absent'\n[[layers]]\nrule='zplus'"
    composite = parse_composite(in_file(tmp_path, text))
    assert {make_plan(network, composite)[name].text for name in ("0", "2", "6", "8")} == {"zplus"}
    (sentence,) = unused(composite, network)
    assert sentence.startswith("[[layers]] 1 of ")
    assert sentence.endswith("(gamma:0.25) fits no layer of this network")
