"""What each operation of a traced graph becomes, by the names and kinds of its layers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from lrpdyn.errors import ArchitectureError
from lrpdyn.lrp.canonical.layers import Weighted
from lrpdyn.lrp.canonical.rewriting import Rewriting
from lrpdyn.lrp.plan import layers_of


def rewritten(
    network: nn.Module, claims: Callable[[str, nn.Module], bool] = lambda name, module: False
) -> fx.GraphModule:
    graph = fx.Tracer().trace(network.eval())
    return Rewriting(network, graph, type(network).__name__, claims).result()


def kinds(network: fx.GraphModule) -> dict[str, str]:
    return {name: type(layer).__name__ for name, layer in layers_of(network).items()}


class Repeated(nn.Module):
    """One layer that is called twice, with an activation as a function after it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(F.relu(self.layer(x / 2), inplace=True)).view(x.size(0), -1)


def test_a_module_that_is_called_twice_becomes_two_layers() -> None:
    network = Repeated()
    found = rewritten(network)
    assert kinds(found) == {
        "truediv": "Scaling", "layer": "Weighted", "relu": "Elementwise", "layer__2": "Weighted",
        "view": "Rearrangement",
    }  # fmt: skip
    one, two = (found.get_submodule(name) for name in ("layer", "layer__2"))
    assert isinstance(one, Weighted)
    assert one is not two
    assert one.module is two.module is network.layer
    sees = [name for name, layer in layers_of(found).items() if layer.sees_observation]
    assert sees == ["truediv", "layer"]


class Residual(nn.Module):
    """A normalised layer whose output before the normalisation may be used again."""

    def __init__(self, again: bool) -> None:
        super().__init__()
        self.layer, self.norm, self.drop = nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout()
        nn.init.uniform_(self.norm.running_mean)
        nn.init.uniform_(self.norm.running_var, 0.5, 2)
        self.again = again

    def forward(self, x: Tensor) -> Tensor:
        before = self.layer(x)
        after = self.drop(self.norm(before))
        return after + before if self.again else after


@pytest.mark.parametrize(
    ("again", "expected"),
    [
        (False, {"layer": "Weighted"}),
        (True, {"layer": "Weighted", "layer__2": "Weighted", "add": "Sum"}),
    ],
)
def test_a_batch_norm_is_merged_into_a_layer_or_into_a_copy_of_it(
    again: bool, expected: dict[str, str]
) -> None:
    network = Residual(again)
    found = rewritten(network)
    assert kinds(found) == expected
    x = torch.randn(4, 3)
    torch.testing.assert_close(found(x), network(x))


def test_a_module_that_is_claimed_stays_whole() -> None:
    network = nn.Sequential(nn.CosineSimilarity(), nn.ReLU())
    claimed = rewritten(network, lambda name, module: name == "0")
    assert kinds(claimed) == {"0": "Opaque", "1": "Elementwise"}
    with pytest.raises(ArchitectureError, match=r"CosineSimilarity.*no rule is defined"):
        rewritten(network)


class Applied(nn.Module):
    """A function of the output of a layer."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.function = nn.Linear(3, 4), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.layer(x))


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda x: 1 / x, "as more than a scale of other entries"),
        (lambda x: F.softmax(x), "its dimension is not given"),
        (lambda x: torch.add(x, x, alpha=2), "'add'"),
        (lambda x: x.chunk(2, dim=1)[0:1][0], "'getitem'"),
        (lambda x: torch.chunk(x, 2, dim=1), "must return one tensor of outputs"),
    ],
)
def test_what_becomes_no_layer_is_refused(function: Callable[..., Tensor], says: str) -> None:
    with pytest.raises(ArchitectureError, match=says):
        rewritten(Applied(function))
