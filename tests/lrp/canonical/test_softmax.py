"""A softmax before the outputs is skipped."""

from __future__ import annotations

import torch
from torch import nn

from lrpdyn.lrp.canonical.canonise import canonise_fully


def test_softmax_head_is_explained_at_its_logits() -> None:
    torch.manual_seed(0)
    logits = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    for last in (nn.Softmax(dim=1), nn.LogSoftmax(dim=-1)):
        network = nn.Sequential(logits, last)
        found = canonise_fully(network)
        x = torch.randn(2, 4)
        torch.testing.assert_close(found.reference(x), network(x))
        torch.testing.assert_close(found.explained(x), logits(x))
        assert "explained at the logits" in found.notes[0]
