"""The small agent that ``lrpdyn demo`` trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from lrpdyn.architectures.model import OUTSIDE, Architecture, Arguments
from lrpdyn.checkpoints.model import Shapes
from lrpdyn.demo import CatchNetwork


class Catch(CatchNetwork):
    """The demo's network, with a path for each of its heads."""

    heads = ("policy", "value")

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the outputs of `head`."""
        return nn.Sequential(self.features, self.policy if head == "policy" else self.value)


def _recognise(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    first, policy = shapes.get("features.0.weight"), shapes.get("policy.weight")
    if first is None or policy is None or "value.weight" not in shapes:
        return None
    return {"channels": first[1], "actions": policy[0]}


ARCHITECTURE = Architecture("catch", Catch, _recognise, OUTSIDE, "lrpdyn demo")
