"""timm's classifiers, by name, by the file's word and by their weights, against timm's own."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

from lrpdyn.architectures.registry import resolve
from lrpdyn.architectures.shapes import on_meta, shapes_of
from lrpdyn.checkpoints.discovery import discover
from lrpdyn.checkpoints.model import Header
from lrpdyn.errors import ArchitectureError, UsageError

#: Small ones of timm's own ways of building: the name, further arguments that the weights tell.
TOLD: tuple[tuple[str, dict[str, Any]], ...] = (
    ("convnext_atto", {}),
    ("mobilenetv3_small_050", {}),
    ("test_vit", {"img_size": 96}),
    ("test_byobnet", {"in_chans": 4}),
)


def on_meta_of(name: str, **arguments: Any) -> Header:
    with on_meta():
        return Header(shapes_of(timm.create_model(name, **arguments)))


def drawn(name: str, **arguments: Any) -> nn.Module:
    torch.manual_seed(0)
    network = timm.create_model(name, **arguments).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.05)
    return network


@pytest.mark.parametrize(("name", "told"), TOLD)
def test_outputs_are_those_of_timm(
    load: Callable[..., Any], compare: Callable[..., None], name: str, told: dict[str, Any]
) -> None:
    theirs = drawn(name, num_classes=7, **told)
    resolved, network = load(theirs.state_dict(), f"timm:{name}")
    assert resolved.arguments == {"num_classes": 7, **told}
    size = told.get("img_size", 64)
    x = torch.randn(2, told.get("in_chans", 3), size, size)
    with torch.no_grad():
        wanted = theirs(x)
        assert torch.equal(network(x), wanted)
    compare(network, x, wanted)


@pytest.mark.parametrize(
    "name", ["convnext_atto", pytest.param("deit_tiny_patch16_224", marks=pytest.mark.slow)]
)
def test_recognised_by_the_weights_where_all_that_fit_compute_the_same(name: str) -> None:
    resolved = resolve(None, {}, on_meta_of(name, num_classes=7), "here")
    assert f"timm:{name}" in (resolved.architecture.name, *resolved.also)
    assert set(resolved.also) <= {"timm:vit_tiny_patch16_224", "timm:vit_tiny_patch16_384"}
    assert resolved.arguments == {"num_classes": 7}
    assert f"timm {timm.__version__}'s own" in resolved.assumed[0]
    assert "as --mean 0." in resolved.assumed[0]


@pytest.mark.slow
def test_candidates_that_compute_other_things_are_listed() -> None:
    header = on_meta_of("resnetaa50d", num_classes=7)
    with pytest.raises(
        ArchitectureError, match=r"resnet50d, resnetaa50d, resnetblur50d; say"
    ) as told:
        resolve(None, {}, header, "here")
    assert "\n" not in str(told.value)
    named = Header(header.shapes, hints={"network": "resnetaa50d.sw_in12k"})
    assert resolve(None, {}, named, "here").architecture.name == "timm:resnetaa50d"


def test_the_name_in_the_file_goes_before_a_network_that_looks_alike() -> None:
    header = Header(on_meta_of("resnetaa50", num_classes=7).shapes, hints={"network": "resnetaa50"})
    assert resolve(None, {}, header, "here").architecture.name == "timm:resnetaa50"


def test_checkpoints_as_the_training_script_saves_them(tmp_path: Path) -> None:
    for epoch in (2, 10):
        saved = {
            "epoch": epoch,
            "arch": "test_resnet",
            "state_dict": timm.create_model("test_resnet", num_classes=5).state_dict(),
            "optimizer": {"state": {}, "param_groups": []},
            "version": 2,
            "args": argparse.Namespace(model="test_resnet", num_classes=5),
            "metric": 12.5,
        }
        torch.save(saved, tmp_path / f"checkpoint-{epoch}.pth.tar")
    listing = discover(tmp_path)
    assert [checkpoint.step for checkpoint in listing.checkpoints] == [2, 10]
    resolved = resolve(None, {}, listing.checkpoints[0].header, "here")
    assert resolved.architecture.name == "timm:test_resnet"
    assert resolved.arguments == {"num_classes": 5}


def test_errors() -> None:
    header = on_meta_of("test_resnet", num_classes=5)
    with pytest.raises(UsageError, match=r"nearest are .*timm:test_resnet"):
        resolve("timm:test_resnett", {}, header, "here")
    with pytest.raises(ArchitectureError, match=r"fc.weight expected \(6, \d+\), found \(5, \d+\)"):
        resolve("timm:test_resnet", {"num_classes": 6}, header, "here")
    with pytest.raises(ArchitectureError, match="not the weights of architecture timm:test_vit"):
        resolve("timm:test_vit", {}, Header({"a.weight": (3, 3)}), "here")
    word = Header(header.shapes, hints={"network": "resnet50"})
    with pytest.raises(ArchitectureError, match="do not fit architecture timm:resnet50: "):
        resolve(None, {}, word, "here")


@pytest.mark.slow
@pytest.mark.parametrize("name", timm.list_models()[::120])
def test_some_are_recognised_or_among_those_listed(name: str) -> None:
    header = on_meta_of(name, num_classes=7)
    try:
        resolved = resolve(None, {}, header, "here")
        names = {resolved.architecture.name, *resolved.also}
    except ArchitectureError as error:
        names = {f"timm:{listed}" for listed in re.split("[:,; ]+", str(error))}
    assert f"timm:{name}" in names or any(found.startswith("torchvision:") for found in names)
