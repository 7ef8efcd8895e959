"""What files of torch.save say of the network, as training scripts write it."""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lrpdyn.checkpoints.model import Choice
from lrpdyn.checkpoints.readers import read_header

WEIGHTS = {"state_dict": nn.Linear(2, 3).state_dict()}


@pytest.mark.parametrize(
    ("beside", "said"),
    [
        (
            {"arch": "resnetaa50", "args": argparse.Namespace(model="other")},
            {"network": "resnetaa50"},
        ),
        ({"args": argparse.Namespace(model="resnet50", lr=0.1)}, {"network": "resnet50"}),
        ({"hyper_parameters": {"arch": "vgg16", "lr": 1}}, {"network": "vgg16"}),
        ({"hyper_parameters": {"activation": "gelu"}}, {"activation": "gelu"}),
        ({"hyper_parameters": {"activation": "gelu", "act": "relu"}}, {}),
        ({"hyper_parameters": {"activation": 3}, "args": ["resnet"], "arch": 5, "data": 1}, {}),
        ({}, {}),
    ],
)
def test_what_scripts_write(tmp_path: Path, beside: dict[str, Any], said: dict[str, Any]) -> None:
    torch.save(WEIGHTS | beside, tmp_path / "c.pth")
    assert read_header(tmp_path / "c.pth", "torch").hints == said


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (nn.SiLU, "SiLU"),
        (functools.partial(nn.ELU, alpha=0.5), "ELU(alpha=0.5)"),
        (functools.partial(nn.LeakyReLU, 0.3), "LeakyReLU(0.3)"),
        (argparse.Namespace, "<class 'argparse.Namespace'>"),
    ],
)
def test_the_parameters_of_a_policy(tmp_path: Path, function: Any, said: str) -> None:
    data = {"activation_fn": function, "normalize_images": True, "net_arch": [2],
            "features_extractor_class": Choice}  # fmt: skip
    torch.save(WEIGHTS | {"data": data}, tmp_path / "c.pth")
    assert read_header(tmp_path / "c.pth", "torch", trust=True).hints == {
        "activation": said,
        "normalize_images": True,
        "features_extractor": "lrpdyn.checkpoints.model.Choice",
    }
