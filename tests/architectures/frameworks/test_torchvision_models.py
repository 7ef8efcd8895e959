"""Torchvision's classifiers, by name and recognised, against torchvision's own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torchvision import models

from lrpdyn.architectures.registry import resolve
from lrpdyn.architectures.shapes import on_meta
from lrpdyn.checkpoints.model import Header
from lrpdyn.errors import ArchitectureError, UsageError


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


def on_meta_of(name: str, **arguments: Any) -> Header:
    with on_meta():
        return Header(shapes(models.get_model(name, weights=None, **arguments)))


#: One of each way of naming and stacking layers.
FAMILIES = ("mobilenet_v3_small", "regnet_x_400mf", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_1",
            *(pytest.param(name, marks=pytest.mark.slow) for name in ("densenet121", "swin_t", "vit_b_32")),
            )  # fmt: skip


def check_recognised(
    load: Callable[..., Any], compare: Callable[..., None], name: str, **arguments: Any
) -> None:
    torch.manual_seed(0)
    theirs = models.get_model(name, weights=None, num_classes=7, **arguments).eval()
    for (
        parameter
    ) in theirs.parameters():  # heads and residual scales that begin at zero show nothing
        nn.init.normal_(parameter, std=0.05)
    resolved, network = load(theirs.state_dict())
    told = {name: arguments[name] for name in ("image_size", "aux_logits") if name in arguments}
    assert resolved.architecture.name == f"torchvision:{name}"
    assert resolved.arguments == {"num_classes": 7, **told}
    assert resolved.also == ()
    assert f"torchvision's own {name}" in resolved.assumed[0]
    size = 75 if name == "inception_v3" else 224 if name == "maxvit_t" else 64
    x = torch.randn(2, 3, size, size)
    with torch.no_grad():
        wanted = theirs(x)
        assert torch.equal(network(x), wanted)
    compare(network, x, wanted)


@pytest.mark.parametrize("name", FAMILIES)
def test_recognised_by_their_weights_with_the_outputs_of_torchvision(
    load: Callable[..., Any], compare: Callable[..., None], name: str
) -> None:
    check_recognised(load, compare, name, **({"image_size": 64} if name == "vit_b_32" else {}))


@pytest.mark.slow
@pytest.mark.parametrize("name", models.list_models(module=models)[::6])
def test_families_are_recognised(name: str) -> None:
    further: dict[str, Any] = (
        {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
    )
    resolved = resolve(None, {}, on_meta_of(name, num_classes=12, **further), "here")
    assert resolved.architecture.name == f"torchvision:{name}"
    assert resolved.arguments["num_classes"] == 12
    assert resolved.also == ()


@pytest.mark.slow
def test_a_network_that_is_another_can_be_named_and_is_refused_with_what_differs() -> None:
    header = on_meta_of("resnet18")
    shapes_of_another = {**header.shapes, "layer4.1.conv2.weight": (512, 512, 5, 5)}
    with pytest.raises(ArchitectureError, match="no registered architecture has these weights"):
        resolve(None, {}, Header(shapes_of_another), "here")
    with pytest.raises(ArchitectureError, match=r"layer4.1.conv2.weight expected .* 3, 3\)"):
        resolve("torchvision:resnet18", {}, Header(shapes_of_another), "here")


def test_no_package_is_imported_for_what_is_no_classifier() -> None:
    code = (
        "import sys; from lrpdyn.architectures.registry import resolve; "
        "from lrpdyn.checkpoints.model import Header; from lrpdyn.errors import ArchitectureError\n"
        "try: resolve(None, {}, Header({f'net.{n}.weight': (4, 4, 3, 3) for n in range(40)}), 'here')\n"
        "except ArchitectureError: pass\n"
        "print({'torchvision', 'timm', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
@pytest.mark.parametrize("auxiliary", [True, False])
def test_auxiliary_heads_as_the_weights_have_them(name: str, auxiliary: bool) -> None:
    header = on_meta_of(name, num_classes=5, aux_logits=auxiliary, init_weights=True)
    resolved = resolve(f"torchvision:{name}", {}, header, "here")
    assert resolved.arguments == {"num_classes": 5, "aux_logits": auxiliary}


@pytest.mark.slow
def test_further_arguments_reach_torchvision() -> None:
    header = on_meta_of("vit_b_32", num_classes=5, image_size=64)
    assert resolve("torchvision:vit_b_32", {}, header, "here").arguments["image_size"] == 64
    assert resolve("torchvision:vit_b_32", {"image_size": 64}, header, "here")
    with pytest.raises(ArchitectureError, match=r"pos_embedding expected \(1, 10, 768\)"):
        resolve("torchvision:vit_b_32", {"image_size": 96}, header, "here")
    with pytest.raises(
        ArchitectureError, match=r"cannot be built with .*indivisible by patch size"
    ):
        resolve("torchvision:vit_b_32", {"image_size": 65}, header, "here")


def test_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    header = on_meta_of("resnet18")
    with pytest.raises(UsageError, match=r"nearest are .*torchvision:resnet18"):
        resolve("torchvision:resnet19", {}, header, "here")
    with pytest.raises(ArchitectureError, match="not the weights of architecture torchvision:vgg"):
        resolve("torchvision:vgg16", {}, header, "here")
    monkeypatch.setitem(sys.modules, "torchvision", None)
    for arch in ("torchvision:resnet18", "torchvision:resnext50_32x4d"):
        with pytest.raises(UsageError, match=r"pip install 'lrpdyn\[torchvision\]'"):
            resolve(arch, {}, header, "here")
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ArchitectureError, match=r"pip install 'lrpdyn\[torchvision\]'"):
        resolve(None, {}, header, "here")


@pytest.mark.parametrize(
    ("word", "refused"),
    [("resnet50", False), ("timm/resnet50.a1_in1k", False), ("ResNet-50", False), ("ResNet", False),
     ("tv_resnet50", False), ("baseline", False), ("resnetaa50", True), ("resnetblur50", True),
     ("resnet50d", True), ("resnet50_v1", True)],
)  # fmt: skip
def test_networks_that_look_alike_are_refused_by_name(
    word: str, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)  # which may have the one that is named
    header = Header(on_meta_of("resnet50").shapes, hints={"network": word})
    named = resolve("torchvision:resnet50", {}, header, "here")
    assert len(named.assumed) == 1 + refused
    assert "max-pooling" in named.assumed[-1]
    if not refused:
        assert resolve(None, {}, header, "here").assumed == named.assumed
        return
    with pytest.raises(ArchitectureError, match=f"{word},.*FILE.py.*--arch torchvision:resnet50$"):
        resolve(None, {}, header, "here")
