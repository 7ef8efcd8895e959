"""Hugging Face's image classifiers by their configuration, against transformers' own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from lrpdyn.architectures.frameworks.hugging_face import settings_of
from lrpdyn.architectures.registry import load_weights, path_of, resolve
from lrpdyn.checkpoints.discovery import discover
from lrpdyn.checkpoints.model import Header
from lrpdyn.checkpoints.readers import read_weights
from lrpdyn.errors import ArchitectureError, UsageError

_WIDTHS: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
#: Small ones: 32 x 32 pixels.
CONFIGS: dict[str, dict[str, Any]] = {
    "ViT": {**_WIDTHS, "intermediate_size": 24, "image_size": 32, "patch_size": 8},
    "DeiT": {**_WIDTHS, "intermediate_size": 24, "image_size": 32, "patch_size": 8},
    "Swin": {
        "embed_dim": 8,
        "depths": [1, 2],
        "num_heads": [1, 2],
        "image_size": 32,
        "window_size": 4,
    },
    "ResNet": {
        "embedding_size": 8,
        "hidden_sizes": [8, 16],
        "depths": [1, 2],
        "layer_type": "basic",
    },
    "ConvNext": {"hidden_sizes": [8, 16], "depths": [1, 2], "num_stages": 2},
}


def made(name: str, **settings: Any) -> Any:
    torch.manual_seed(0)
    kind = getattr(transformers, f"{name}ForImageClassification")
    labels = {
        "id2label": {0: "cat", 1: "dog", 2: "fox"},
        "label2id": {"cat": 0, "dog": 1, "fox": 2},
    }
    network = kind(kind.config_class(**{**CONFIGS[name], **labels, **settings})).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    return network


def save(network: Any, folder: Path, *steps: int) -> None:
    """Save as the Trainer does."""
    for step in steps:
        inside = folder / f"checkpoint-{step}"
        network.save_pretrained(inside)
        (inside / "trainer_state.json").write_text(json.dumps({"global_step": step}))


@pytest.mark.parametrize("name", CONFIGS)
def test_recognised_with_the_outputs_of_transformers(tmp_path: Path, name: str) -> None:
    theirs = made(name)
    save(theirs, tmp_path, 1000, 500)
    listing = discover(tmp_path)
    assert [checkpoint.step for checkpoint in listing.checkpoints] == [500, 1000]
    first = listing.checkpoints[0]
    weights, _ = read_weights(first.path, first.format)
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        wanted = theirs(x).logits
    assert wanted.shape == (2, 3)
    assert wanted.std() > 1e-3
    recognised = resolve(None, {}, first.header, "here")
    assert recognised.architecture.name == f"hf:{name}ForImageClassification"
    for resolved in (recognised, resolve("hf:", {}, first.header, "here")):
        network = resolved.build()
        load_weights(network, weights, resolved, "here")
        with torch.no_grad():
            assert torch.equal(path_of(network, None)[1](x), wanted)
        json.dumps(resolved.arguments)  # the manifest keeps them


def header(name: str, **settings: Any) -> Header:
    network = made(name)
    config = json.loads(network.config.to_json_string()) | settings
    config["architectures"] = [f"{name}ForImageClassification"]
    return Header(
        {k: tuple(v.shape) for k, v in network.state_dict().items()}, hints={"config": config}
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"id2label": {"0": "a"}}, r"describes another ViT.*shape \(1, 16\)"),
        (
            {"hidden_size": 32},
            r"describes another ViT\w+ than the weights are of: it has a weight of shape",
        ),
        ({"num_hidden_layers": 200_000}, "more weights than these"),
        ({"image_size": 64}, r"position_embeddings expected \(1, 65, 16\), found \(1, 17, 16\)"),
        ({"hidden_size": "wide"}, "builds no ViTForImageClassification of its config.json"),
        ({"hidden_size": 1 << 40}, "is no setting that a network has"),
        ({"hidden_size": float("nan")}, "is no setting that a network has"),
        ({"hidden_act": "os.system"}, "builds no ViT"),
        ({"patch_size": 0}, "builds no ViT"),
        ({"depths": list(range(1000))}, "is no setting that a network has"),
    ],
)
def test_configurations_that_are_not_of_the_weights(settings: dict[str, Any], message: str) -> None:
    for arch in (None, "hf:", "hf:ViTForImageClassification"):
        with pytest.raises(ArchitectureError, match=message) as told:
            resolve(arch, {}, header("ViT", **settings), "here")
        assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "classes", [["GPT2LMHeadModel"], ["os.system"], [["x"]], "MyNet", ["TimmBackbone"], [3]]
)
def test_unknown_classes(classes: Any) -> None:
    found = header("ViT")
    config = {
        **found.hints["config"],
        "architectures": classes,
        "auto_map": {"AutoModel": "evil.py"},
    }
    with pytest.raises(ArchitectureError, match="expected an image classifier of transformers"):
        resolve(None, {}, Header(found.shapes, hints={"config": config}), "here")


def test_no_code_is_named_by_what_is_kept_of_a_configuration() -> None:
    fetching = {
        "auto_map": {"AutoModel": "evil--net.py"},
        "_attn_implementation": "evil/kernel",
        "attn_implementation": "evil/kernel",
        "quantization_config": {"quant_method": "x"},
    }
    kept = settings_of({"hidden_size": 8, "nested": dict(fetching), **fetching})
    assert kept == {"hidden_size": 8, "nested": {}}


def test_a_torn_configuration_and_two_that_differ(tmp_path: Path) -> None:
    save(made("ViT"), tmp_path, 500, 1000)
    config = tmp_path / "checkpoint-1000" / "config.json"
    whole = config.read_text()
    config.write_text(whole[: len(whole) // 2])
    listing = discover(tmp_path)
    assert [entry.path.name for entry in listing.bad] == ["checkpoint-1000"]
    assert "config.json: is no JSON, cut short" in listing.bad[0].reason


def test_errors() -> None:
    bare = Header(header("ViT").shapes)
    with pytest.raises(UsageError, match="transformers has no image classifier of this name"):
        resolve("hf:ViT", {}, bare, "here")
    with pytest.raises(ArchitectureError, match="does not lie beside the weights"):
        resolve("hf:", {}, bare, "here")
    given = {**CONFIGS["ViT"], "num_labels": 3, "as_saved": False}
    assert resolve("hf:ViTForImageClassification", given, bare, "here").build()
