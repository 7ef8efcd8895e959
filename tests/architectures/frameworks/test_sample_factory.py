"""Sample Factory's actor-critic, from its published layout: encoders, decoder, normalisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lrpdyn.architectures.registry import path_of, resolve
from lrpdyn.checkpoints.model import Header
from lrpdyn.errors import ArchitectureError

PLAIN = {
    "convnet_simple": ([(4, 32, 8, 4), (32, 64, 4, 2), (64, 128, 3, 2)], 2048),
    "convnet_impala": ([(4, 16, 8, 4), (16, 32, 4, 2)], 2592),
    "convnet_atari": ([(4, 32, 8, 4), (32, 64, 4, 2), (64, 64, 3, 1)], 3136),
}
FUNCTIONS: dict[str, type[nn.Module]] = {"elu": nn.ELU, "relu": nn.ReLU, "tanh": nn.Tanh}


class ResBlock(nn.Module):
    def __init__(self, channels: int, function: str) -> None:
        super().__init__()
        self.res_block_core = nn.Sequential(
            FUNCTIONS[function](), nn.Conv2d(channels, channels, 3, 1, 1),
            FUNCTIONS[function](), nn.Conv2d(channels, channels, 3, 1, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.res_block_core(x) + x


def mlp(inputs: int, sizes: list[int], function: str) -> nn.Module:
    layers: list[nn.Module] = []
    for size in sizes:
        layers += [nn.Linear(inputs, size), FUNCTIONS[function]()]
        inputs = size
    return nn.Sequential(*layers) if layers else nn.Identity()


class Encoder(nn.Module):
    def __init__(self, name: str, sizes: list[int], function: str) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if name == "resnet_impala":
            for inputs, outputs in ((4, 16), (16, 32), (32, 32)):
                layers += [nn.Conv2d(inputs, outputs, 3, 1, 1), nn.MaxPool2d(3, 2, 1)]
                layers += [ResBlock(outputs, function), ResBlock(outputs, function)]
            layers.append(FUNCTIONS[function]())
            convolved = 3872
        else:
            filters, convolved = PLAIN[name]
            for inputs, outputs, kernel, stride in filters:
                layers += [nn.Conv2d(inputs, outputs, kernel, stride), FUNCTIONS[function]()]
        self.conv_head = nn.Sequential(*layers)
        self.mlp_layers = mlp(convolved, sizes, function)
        self.outputs = sizes[-1] if sizes else convolved

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp_layers(self.conv_head(x).flatten(1))


class Statistics(nn.Module):
    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.rand(shape, dtype=torch.float64))
        self.register_buffer("running_var", torch.rand(shape, dtype=torch.float64) / 4)
        self.register_buffer("count", torch.full((1,), 7.0, dtype=torch.float64))


def holder(**modules: nn.Module) -> nn.Module:
    module = nn.Module()
    for name, inner in modules.items():
        module.add_module(name, inner)
    return module


class ActorCritic(nn.Module):
    """ActorCriticSharedWeights, or ActorCriticSeparateWeights; forward gives both outputs."""

    def __init__(
        self,
        name: str,
        function: str,
        encoder: list[int],
        decoder: list[int],
        *,
        separate: bool,
        normalised: bool,
    ) -> None:
        super().__init__()
        self.normalised = normalised
        if normalised:
            self.obs_normalizer = holder(
                running_mean_std=holder(running_mean_std=holder(image=Statistics((4, 84, 84))))
            )
            self.returns_normalizer = Statistics((1,))
        self.prefixes = ("actor_", "critic_") if separate else ("", "")
        for prefix in dict.fromkeys(self.prefixes):
            made = Encoder(name, encoder, function)
            held = made if name == "resnet_impala" else holder(enc=made)
            self.add_module(f"{prefix}encoder", holder(encoders=holder(image=held)))
            decoded = mlp(made.outputs, decoder, function)
            self.add_module(f"{prefix}decoder", holder(mlp=decoded))
        width = decoder[-1] if decoder else made.outputs
        self.critic_linear = nn.Linear(width, 1)
        self.action_parameterization = holder(distribution_linear=nn.Linear(width, 6))

    def forward(self, x: Tensor, mean: float, scale: float) -> dict[str, Tensor]:
        x = (x - mean) * (1.0 / scale)
        if self.normalised:
            image = self.get_submodule("obs_normalizer.running_mean_std.running_mean_std.image")
            sigma = torch.sqrt(image.running_var.float() + 1e-5)
            x = ((x - image.running_mean.float()) * (1 / sigma)).clamp(-5.0, 5.0)
        outputs = {}
        last = {
            "policy": self.action_parameterization.distribution_linear,
            "value": self.critic_linear,
        }
        for prefix, (head, linear) in zip(self.prefixes, last.items(), strict=True):
            encoder = self.get_submodule(f"{prefix}encoder.encoders.image")
            hidden = getattr(encoder, "enc", encoder)(x)
            outputs[head] = linear(self.get_submodule(f"{prefix}decoder.mlp")(hidden))
        return outputs


@pytest.mark.parametrize(
    ("name", "function", "encoder", "decoder", "options"),
    [
        ("convnet_atari", "relu", [512], [], {"separate": False, "normalised": True}),
        ("convnet_simple", "elu", [64], [32], {"separate": True, "normalised": False}),
        ("convnet_impala", "tanh", [], [32, 16], {"separate": False, "normalised": True}),
        ("resnet_impala", "elu", [64, 32], [], {"separate": False, "normalised": False}),
        ("resnet_impala", "relu", [64], [16], {"separate": True, "normalised": True}),
    ],
)
@pytest.mark.parametrize(("mean", "scale"), [(0.0, 255.0), (100.0, 128.0)])
def test_outputs(
    load: Callable[..., Any],
    compare: Callable[..., None],
    name: str,
    function: str,
    encoder: list[int],
    decoder: list[int],
    options: dict[str, bool],
    mean: float,
    scale: float,
) -> None:
    torch.manual_seed(0)
    theirs = ActorCritic(name, function, encoder, decoder, **options)
    given = {} if mean == 0 else {"obs_subtract_mean": mean, "obs_scale": scale}
    resolved, network = load(theirs.state_dict(), activation=function, **given)
    assert resolved.architecture.name == "sample-factory"
    x = torch.randint(0, 256, (2, 4, 84, 84)).float()
    with torch.no_grad():
        outputs = theirs(x, mean, scale)
    for head, wanted in outputs.items():
        compare(network, x, wanted, head)


def test_the_activation_is_asked_for() -> None:
    theirs = ActorCritic("convnet_atari", "relu", [512], [], separate=False, normalised=True)
    shapes = {key: tuple(value.shape) for key, value in theirs.state_dict().items()}
    with pytest.raises(ArchitectureError, match="--arch-arg activation=elu"):
        resolve(None, {}, Header(shapes), "here")


class Core(nn.Module):
    """ModelCoreRNN: the states (N, layers * size) of an LSTM are the hidden and cell of each layer."""

    def __init__(self, kind: str, inputs: int, size: int, layers: int) -> None:
        super().__init__()
        self.core = {"gru": nn.GRU, "lstm": nn.LSTM}[kind](inputs, size, layers)
        self.size, self.layers = size, layers

    def forward(self, head_output: Tensor, rnn_states: Tensor) -> tuple[Tensor, Tensor]:
        states = rnn_states.view(rnn_states.size(0), self.layers, -1).permute(1, 0, 2)
        if isinstance(self.core, nn.GRU):
            x, states = self.core(head_output.unsqueeze(0), states.contiguous())
        else:
            h, c = torch.split(states, self.size, dim=2)
            x, pair = self.core(head_output.unsqueeze(0), (h.contiguous(), c.contiguous()))
            states = torch.cat(pair, dim=2)
        return x.squeeze(0), states.permute(1, 0, 2).reshape(states.size(1), -1)


@pytest.mark.parametrize(
    ("kind", "layers", "separate"), [("gru", 1, False), ("lstm", 2, True), ("gru", 2, True)]
)
def test_a_recurrent_core(load: Callable[..., Any], kind: str, layers: int, separate: bool) -> None:
    torch.manual_seed(0)
    theirs = ActorCritic("convnet_atari", "relu", [512], [], separate=separate, normalised=True)
    for prefix in dict.fromkeys(theirs.prefixes):
        theirs.add_module(f"{prefix}core", Core(kind, 512, 512, layers))
    resolved, network = load(theirs.state_dict(), activation="relu")
    assert (resolved.architecture.name, resolved.also) == ("sample-factory", ())
    x = torch.randint(0, 256, (2, 3, 4, 84, 84)).float()
    features = theirs.get_submodule("obs_normalizer.running_mean_std.running_mean_std.image")
    for prefix, head in zip(theirs.prefixes, ("policy", "value"), strict=True):
        states = torch.randn(2, layers * 512 * (2 if kind == "lstm" else 1))
        path = path_of(network, head)[1]
        by_layer = states.view(2, layers, -1).split(512, dim=2)
        names = [f"{prefix}core_{part}" for part in "hc"[: len(by_layer)]]
        assert list(path.held) == names
        for name, values in zip(names, by_layer, strict=True):
            path.get_buffer(f"held_{name}").data = values
        with torch.no_grad():
            found = path(x)
            for step in x.unbind(1):
                sigma = torch.sqrt(features.running_var.float() + 1e-5)
                seen = ((step / 255 - features.running_mean.float()) / sigma).clamp(-5, 5)
                encoded = theirs.get_submodule(f"{prefix}encoder.encoders.image.enc")(seen)
                hidden, states = theirs.get_submodule(f"{prefix}core")(encoded, states)
            last = {"policy": theirs.action_parameterization.distribution_linear,
                    "value": theirs.critic_linear}[head]  # fmt: skip
            torch.testing.assert_close(found, last(hidden), rtol=1e-5, atol=1e-6)
