"""Stable-Baselines3's MultiInputPolicy: one image is explained, the other inputs are fixed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lrpdyn.architectures.frameworks.sb3 import (
    EXTRACTORS,
    ActorCritic,
    Extractor,
    assumed,
    extractor_of,
    layer_arguments,
)
from lrpdyn.architectures.mlp import activation_of, chain_sizes, perceptron
from lrpdyn.architectures.model import OUTSIDE, Architecture, Arguments
from lrpdyn.checkpoints.formats.sb3_data import features_of_space
from lrpdyn.checkpoints.model import Shapes
from lrpdyn.errors import ArchitectureError

#: An input: its number of features, or the shape (C, H, W) of an image.
Size = int | tuple[int, ...]


class Inputs(nn.Module):
    """The inputs of a policy other than the image that is explained.

    `held` gives, by name and in the extractor's order, the number of features of an input (an
    image: its shape), and the buffer ``held_NAME`` its values: (1, features) or (1, C, H, W), zero
    at first, as the network sees them (images divided by 255, Discrete one-hot). They are no part
    of the state dict.
    """

    held: dict[str, Size]

    def hold(self, inputs: Mapping[str, Size], explained: str) -> None:
        """Add the buffers of all `inputs` but the one that is explained."""
        self.held = {name: size for name, size in inputs.items() if name != explained}
        for name, size in self.held.items():
            shape = size if isinstance(size, tuple) else (size,)
            self.register_buffer(f"held_{name}", torch.zeros(1, *shape), persistent=False)


class ImageBranch(Inputs):
    """The network as a function of one image: the others' features are joined to the image's.

    Parameters
    ----------
    network
        Holds the other inputs; its buffers are shared.
    inputs
        All inputs in the extractor's order.
    extractors
        The NatureCNN of each image.
    layers
        What follows the features.
    """

    def __init__(
        self,
        network: Inputs,
        inputs: Mapping[str, Size],
        extractors: nn.ModuleDict,
        layers: list[nn.Module],
    ) -> None:
        super().__init__()
        self.held, self._inputs = network.held, tuple(inputs)
        for name in self.held:
            buffer = network.get_buffer(f"held_{name}")
            self.register_buffer(f"held_{name}", buffer, persistent=False)
        self.extractors, self.layers = extractors, nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        """Return the outputs (N, units) for images (N, C, H, W)."""
        features = []
        for name in self._inputs:
            values = getattr(self, f"held_{name}") if name in self.held else image
            if name in self.extractors:
                values = self.extractors[name](values)
            if name in self.held:
                values = values.expand(image.shape[0], -1)
            features.append(values)
        return self.layers(torch.cat(features, dim=1))  # type: ignore[no-any-return]


class MultiInputActorCritic(ActorCritic, Inputs):
    """MultiInputActorCriticPolicy (PPO, A2C).

    Parameters
    ----------
    images
        For each image the arguments of its NatureCNN; the first is explained.
    inputs
        All inputs in the extractor's order (a Dict space sorts its names): the number of features
        of each, or the shape (C, H, W) of an image.
    extractors
        The names of the combined extractors in the state dict.
    layers
        Further arguments of `lrpdyn.architectures.frameworks.sb3.ActorCritic`.

    Raises
    ------
    ArchitectureError
        The inputs are not known, or are not those of the weights.
    """

    def __init__(
        self,
        images: dict[str, Arguments],
        features: int,
        extractors: tuple[str, ...],
        inputs: dict[str, Size] | None = None,
        **layers: Any,
    ) -> None:
        super().__init__(features=features, **layers)
        self._inputs = _checked(inputs, images, features)
        for name in extractors:
            self.add_module(name, _combined(images))
        self.hold(self._inputs, _explained(self._inputs, images))

    def path(self, head: str) -> nn.Module:
        """Return the layers from the image to the outputs of `head`; other inputs are fixed."""
        combined = self.extractor(head)
        assert combined is not None  # __init__ adds one under each of its names
        extractors = combined.get_submodule("extractors")
        assert isinstance(extractors, nn.ModuleDict)
        return ImageBranch(self, self._inputs, extractors, self.after_features(head))


class MultiInputDQN(Inputs):
    """MultiInputPolicy of DQN: ``q_net`` and its target network; arguments as above."""

    heads = ("q",)

    def __init__(
        self,
        images: dict[str, Arguments],
        layers: list[int],
        activation: str | None = "relu",
        inputs: dict[str, Size] | None = None,
    ) -> None:
        super().__init__()
        self._inputs = _checked(inputs, images, layers[0])
        for name in ("q_net", "q_net_target"):
            network = nn.Module()
            network.features_extractor = _combined(images)
            network.q_net = perceptron(layers, activation)
            self.add_module(name, network)
        self.hold(self._inputs, _explained(self._inputs, images))

    def path(self, head: str) -> nn.Module:
        """Return the layers from the image to the Q values; other inputs are fixed."""
        extractors = self.get_submodule("q_net.features_extractor.extractors")
        assert isinstance(extractors, nn.ModuleDict)
        return ImageBranch(self, self._inputs, extractors, [self.get_submodule("q_net.q_net")])


def _combined(images: Mapping[str, Arguments]) -> nn.Module:
    combined = nn.Module()
    combined.extractors = nn.ModuleDict({name: Extractor(**images[name]) for name in images})
    return combined


def _explained(inputs: Mapping[str, Size], images: Mapping[str, Arguments]) -> str:
    return next(name for name in inputs if name in images)


def _checked(
    inputs: dict[str, Size] | None, images: Mapping[str, Arguments], features: int
) -> dict[str, Size]:
    """Return `inputs` with tuples as shapes, if they give as many features as the weights take."""
    pictures = "".join(f"'{name}': (C, H, W), " for name in images)
    shown = f"{{{pictures}'other': FEATURES}}"
    ask = f'--arch-arg inputs="{shown}", in the order of the observation space'
    if inputs is None:
        raise ArchitectureError(
            "a multi-input policy's weights do not tell the names, sizes and order of its inputs; say "
            f"them with {ask}"
        )
    sizes = {name: size if isinstance(size, int) else tuple(size) for name, size in inputs.items()}
    for name in images:
        if not isinstance(sizes.get(name), tuple):
            raise ArchitectureError(f"input '{name}' is an image in the weights; {ask}")
    counts = [
        images[name]["features"] if name in images else math.prod(_shape(size))
        for name, size in sizes.items()
    ]
    if sum(counts) != features:
        raise ArchitectureError(
            f"inputs {sizes} give {sum(counts)} features, the weights take {features}; {ask}"
        )
    return {name: s if name in images else math.prod(_shape(s)) for name, s in sizes.items()}


def _shape(size: Size) -> tuple[int, ...]:
    return size if isinstance(size, tuple) else (size,)


def _recognise_images(shapes: Shapes, extractor: str) -> dict[str, Arguments]:
    pattern = re.compile(re.escape(extractor) + r"\.extractors\.([^.]+)\.cnn\.0\.weight")
    images: dict[str, Arguments] = {}
    for match in filter(None, map(pattern.fullmatch, shapes)):
        found = extractor_of(shapes, f"{extractor}.extractors.{match[1]}")
        if found is not None:
            images[match[1]] = found
    return images


def read_inputs(spaces: Mapping[str, Mapping[str, Any]] | None) -> dict[str, Size] | None:
    """Return the inputs of a Dict space (`lrpdyn.checkpoints.formats.sb3_data.spaces_of`)."""
    inputs: dict[str, Size] = {}
    for name, space in (spaces or {}).items():
        size = space["shape"] if space["kind"] == "Box" else features_of_space(space)
        if size is None:
            return None
        inputs[name] = size
    return inputs or None


def _inputs(hints: Mapping[str, Any]) -> Arguments:
    found = read_inputs(hints.get("observation_space", {}).get("spaces"))
    return {"inputs": found} if found else {}


def _recognise_actor_critic(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    images = _recognise_images(shapes, EXTRACTORS[0])
    if not images or "action_net.weight" not in shapes or "value_net.weight" not in shapes:
        return None
    if any(key.startswith("lstm_") for key in shapes):
        raise ArchitectureError(
            "a MultiInputLstmPolicy with images: what its LSTM makes of several inputs is not explained; "
            "give the network with --arch FILE.py:CALLABLE (lrpdyn architectures --template prints one)"
        )
    name = next(iter(images))
    extractors = [e for e in EXTRACTORS if f"{e}.extractors.{name}.cnn.0.weight" in shapes]
    layers = layer_arguments(shapes, hints)
    return {"images": images, "extractors": extractors, **_inputs(hints), **layers}


def _recognise_dqn(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    images = _recognise_images(shapes, "q_net.features_extractor")
    layers = chain_sizes(shapes, "q_net.q_net")
    if not images or layers is None:
        return None
    return {"images": images, "layers": layers, **activation_of(hints), **_inputs(hints)}


ARCHITECTURES = tuple(
    Architecture(
        name=name,
        factory=factory,
        recognise=recognise,
        preprocessing=OUTSIDE,
        source="stable_baselines3.common.torch_layers.CombinedExtractor",
        assumes=assumed,
    )
    for name, factory, recognise in (
        ("sb3-multi-input", MultiInputActorCritic, _recognise_actor_critic),
        ("sb3-dqn-multi-input", MultiInputDQN, _recognise_dqn),
    )
)
