"""The network as loaded and as explained are compared, and Captum's rule with the exact one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lrpdyn.diagnostics.same_outputs import compare_outputs, stock_deviation
from lrpdyn.errors import ArchitectureError, ObservationError
from lrpdyn.explain.explanation import Question, outputs_of
from lrpdyn.explain.loaded import LoadedNetwork
from lrpdyn.explain.model import with_layers
from tests.diagnostics.networks import TwoHeads, loaded_of


def test_the_same_outputs(loaded: LoadedNetwork, pictures: np.ndarray) -> None:
    found = compare_outputs(loaded, pictures)
    assert found["samples"] == 5
    assert found["largest_difference"] < 1e-6
    with torch.no_grad():
        largest = loaded.path(torch.from_numpy(pictures)).abs().max()
    assert found["largest_output"] == pytest.approx(float(largest))


def test_a_network_that_is_not_the_one_that_is_explained(
    loaded: LoadedNetwork, pictures: np.ndarray
) -> None:
    loaded.model.path.register_forward_hook(lambda module, inputs, outputs: outputs + 1)
    with pytest.raises(ArchitectureError, match="as explained differs from the network as loaded"):
        compare_outputs(loaded, pictures)


def test_observations_that_do_not_fit(loaded: LoadedNetwork, pictures: np.ndarray) -> None:
    with pytest.raises(ObservationError, match=r"shape \(2, 5, 6\) do not fit architecture own"):
        with_layers(replace(loaded.model, layers=None), pictures[:, :, :5])


def test_how_far_captum_is_from_the_exact_rule(pictures: np.ndarray) -> None:
    torch.manual_seed(0)
    loaded = loaded_of(TwoHeads, pictures - 0.5, "captum:alpha1beta0")
    found = stock_deviation(loaded, pictures - 0.5, Question(contrast="mean"))
    assert found["exact_rule"] == "zplus"
    assert found["largest_difference"] > 0.01
    assert any("negative inputs" in reason for reason in found["reasons"])


def test_outputs_that_were_computed_before_are_compared(
    loaded: LoadedNetwork, pictures: np.ndarray
) -> None:
    outputs = outputs_of(loaded, pictures)
    assert compare_outputs(loaded, pictures, outputs) == compare_outputs(loaded, pictures)
    outputs[3, 0] += 0.5
    with pytest.raises(
        ArchitectureError, match=r"as built: the network as explained differs .* by 0\.5 "
    ):
        compare_outputs(loaded, pictures, outputs)


class _SamplesAsSteps(nn.Module):
    """An encoder that takes its first dimension for time steps, as torch's do unless told otherwise."""

    heads = ("logits",)

    def __init__(self) -> None:
        super().__init__()
        block = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0)
        self.blocks = nn.TransformerEncoder(block, 1, enable_nested_tensor=False)
        self.last = nn.Linear(4, 3)

    def path(self, head: str) -> nn.Module:
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.blocks(x).mean(1))  # type: ignore[no-any-return]


class _Counting(nn.Module):
    """Gives more each time that it is called."""

    heads = ("logits",)

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.last = nn.Linear(4, 3)

    def path(self, head: str) -> nn.Module:
        return self

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.last(x.mean(1)) * self.calls  # type: ignore[no-any-return]


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("batch", [1, 2, 64])
@pytest.mark.parametrize(
    ("factory", "said"),
    [
        (_SamplesAsSteps, "a sample other outputs alone than together .* batch_first=True"),
        (_Counting, "other outputs when it is called again with the same observations"),
    ],
)
def test_samples_that_change_the_outputs_of_others(
    factory: type[nn.Module], said: str, batch: int, *, known: bool
) -> None:
    torch.manual_seed(0)
    observations = np.random.default_rng(0).normal(size=(5, 3, 4)).astype(np.float32)
    loaded = loaded_of(factory, observations, batch=batch)
    # As at a step of a run, where what the network as explained gave is known.
    outputs = outputs_of(loaded, observations) if known else None
    with pytest.raises(ArchitectureError, match=f"as built: the network as loaded gives {said}"):
        compare_outputs(loaded, observations, outputs)
