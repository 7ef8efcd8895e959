"""Modules and buffers at the dotted keys of a state dict."""

from __future__ import annotations

import torch
from torch import nn

from lrpdyn.architectures.places import place, place_buffer


def test_modules_lie_where_their_keys_say() -> None:
    root = nn.Module()
    place(root, "a.b", nn.Linear(2, 1))
    place(root, "a.c", nn.Linear(2, 1))
    place(root, "", nn.Sequential(nn.Linear(1, 1)))
    keys = {key.rpartition(".")[0] for key in root.state_dict()}
    assert keys == {"a.b", "a.c", "0"}


def test_buffers_are_kept_where_they_are_persistent() -> None:
    root = nn.Module()
    place(root, "a", nn.Module())
    place_buffer(root, "a.atoms", torch.ones(2))
    place_buffer(root, "b.c.atoms", torch.zeros(3), persistent=False)
    place_buffer(root, "atoms", torch.ones(1))
    assert list(root.state_dict()) == ["atoms", "a.atoms"]
    assert root.get_buffer("b.c.atoms").shape == (3,)
