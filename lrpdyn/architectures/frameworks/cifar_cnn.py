"""The small CIFAR network of the research notes: two convolutions and two linear layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from lrpdyn.architectures.model import Architecture, Arguments, always
from lrpdyn.architectures.places import place
from lrpdyn.checkpoints.model import Shapes

_CONV1, _CONV2, _HIDDEN = (16, 3, 3, 3), (32, 16, 3, 3), (512, 1568)


class CifarCNN(nn.Module):
    """For images (N, 3, 32, 32); the layers are called as the four `names` say.

    Convolution 3 -> 16, ReLU, convolution 16 -> 32 of stride 2, ReLU, max-pooling by 2, linear
    1568 -> 512, ReLU, linear 512 -> `classes`.
    """

    def __init__(self, names: list[str], classes: int) -> None:
        super().__init__()
        self._names = tuple(names)
        layers = (
            nn.Conv2d(3, 16, 3), nn.Conv2d(16, 32, 3, stride=2),
            nn.Linear(1568, 512), nn.Linear(512, classes),
        )  # fmt: skip
        for name, layer in zip(names, layers, strict=True):
            place(self, name, layer)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, classes)."""
        conv1, conv2, hidden, output = map(self.get_submodule, self._names)
        x = F.max_pool2d(F.relu(conv2(F.relu(conv1(x)))), 2)
        return output(F.relu(hidden(x.flatten(1))))  # type: ignore[no-any-return]


def _recognise(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    weights = {
        name.removesuffix(".weight"): shape
        for name, shape in shapes.items()
        if name.endswith(".weight")
    }
    if len(shapes) != 8 or len(weights) != 4:
        return None
    outputs = [s for s in weights.values() if len(s) == 2 and s[1] == 512 and s != _HIDDEN]
    by_shape = {shape: name for name, shape in weights.items()}
    wanted = [_CONV1, _CONV2, _HIDDEN, *outputs]
    if len(outputs) != 1 or any(shape not in by_shape for shape in wanted):
        return None
    return {"names": [by_shape[shape] for shape in wanted], "classes": outputs[0][0]}


ARCHITECTURE = Architecture(
    name="cifar-cnn",
    factory=CifarCNN,
    recognise=_recognise,
    source="two convolutions, two linear layers",
    assumes=always(
        "ReLU after each layer but the last, stride 2 in the second convolution, then max-pooling by 2 "
        "(weights do not tell)"
    ),
)
