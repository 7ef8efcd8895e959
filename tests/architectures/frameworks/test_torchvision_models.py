"""Torchvision's classifiers, by name and recognised, against torchvision's own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torchvision import models

from lrpdyn.architectures.frameworks.torchvision_models import ARCHITECTURES
from lrpdyn.architectures.registry import resolve
from lrpdyn.checkpoints.model import Header
from lrpdyn.errors import ArchitectureError, UsageError


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


def on_meta(name: str, **arguments: Any) -> Header:
    with torch.device("meta"):
        return Header(shapes(models.get_model(name, weights=None, **arguments)))


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1"])
def test_outputs_are_those_of_torchvision(
    load: Callable[..., Any], compare: Callable[..., None], name: str
) -> None:
    torch.manual_seed(0)
    theirs = models.get_model(name, weights=None, num_classes=7).eval()
    resolved, network = load(theirs.state_dict(), f"torchvision:{name}")
    assert resolved.arguments == {"num_classes": 7}
    x = torch.randn(2, 3, 64, 64)
    compare(network, x, theirs(x).detach())


def test_the_usual_ones_are_recognised() -> None:
    for architecture in ARCHITECTURES:
        name = architecture.name.removeprefix("torchvision:")
        resolved = resolve(None, {}, on_meta(name, num_classes=12), "here")
        assert resolved.architecture.name == architecture.name
        assert resolved.arguments == {"num_classes": 12}


@pytest.mark.parametrize("name", ["resnet101", "wide_resnet50_2", "resnext50_32x4d", "vgg13"])
def test_what_is_not_recognised_can_be_named(name: str) -> None:
    header = on_meta(name, num_classes=12)
    with pytest.raises(ArchitectureError, match="--arch"):
        resolve(None, {}, header, "here")
    assert resolve(f"torchvision:{name}", {}, header, "here").arguments["num_classes"] == 12


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
@pytest.mark.parametrize("auxiliary", [True, False])
def test_auxiliary_heads_as_the_weights_have_them(name: str, auxiliary: bool) -> None:
    header = on_meta(name, num_classes=5, aux_logits=auxiliary, init_weights=True)
    resolved = resolve(f"torchvision:{name}", {}, header, "here")
    assert resolved.arguments == {"num_classes": 5, "aux_logits": auxiliary}


def test_further_arguments_reach_torchvision() -> None:
    header = on_meta("vit_b_32", num_classes=5, image_size=64)
    with pytest.raises(ArchitectureError, match=r"pos_embedding expected \(1, 50, 768\)"):
        resolve("torchvision:vit_b_32", {}, header, "here")
    assert resolve("torchvision:vit_b_32", {"image_size": 64}, header, "here")


def test_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    header = on_meta("resnet18")
    with pytest.raises(UsageError, match=r"nearest are .*torchvision:resnet18"):
        resolve("torchvision:resnet19", {}, header, "here")
    with pytest.raises(ArchitectureError, match="not the weights of architecture torchvision:vgg"):
        resolve("torchvision:vgg16", {}, header, "here")
    monkeypatch.setitem(sys.modules, "torchvision", None)
    for arch in ("torchvision:resnet18", "torchvision:resnext50_32x4d", None):
        with pytest.raises(UsageError, match=r"pip install 'lrpdyn\[torchvision\]'"):
            resolve(arch, {}, header, "here")


@pytest.mark.parametrize(
    ("word", "refused"),
    [("resnet50", False), ("timm/resnet50.a1_in1k", False), ("ResNet-50", False), ("ResNet", False),
     ("tv_resnet50", False), ("baseline", False), ("resnetaa50", True), ("resnetblur50", True),
     ("resnet50d", True), ("resnet50_v1", True)],
)  # fmt: skip
def test_networks_that_look_alike_are_refused_by_name(word: str, refused: bool) -> None:
    header = Header(on_meta("resnet50").shapes, hints={"network": word})
    named = resolve("torchvision:resnet50", {}, header, "here")
    assert len(named.assumed) == 1 + refused
    assert "max-pooling" in named.assumed[-1]
    if not refused:
        assert resolve(None, {}, header, "here").assumed == named.assumed
        return
    with pytest.raises(ArchitectureError, match=f"{word},.*FILE.py.*--arch torchvision:resnet50$"):
        resolve(None, {}, header, "here")
