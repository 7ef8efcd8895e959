"""CleanRL's ``ppo_trxl``: attention over a memory of the episode, which is held fixed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lrpdyn.architectures.frameworks.cleanrl import DivideBy255
from lrpdyn.architectures.model import INSIDE, UNKNOWN, Architecture, Arguments
from lrpdyn.architectures.nature_cnn import convolutions
from lrpdyn.checkpoints.model import Shapes
from lrpdyn.errors import ArchitectureError

MEMORY, MASK, INDICES = "memory", "memory_mask", "memory_indices"
_HIDDEN = -1e20  # what CleanRL has for entries of the memory that the mask hides
_POSITIONS, _SINES, _LEARNED = "transformer.pos_embedding", "absolute", "learned"


class _Attention(nn.Module):
    """``MultiHeadAttention``, whose heads share their projections."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.size, self.heads = size, heads
        self.values, self.keys, self.queries = (
            nn.Linear(size // heads, size // heads, bias=False) for _ in range(3)
        )
        self.fc_out = nn.Linear(size, size)

    def forward(self, memory: Tensor, x: Tensor, mask: Tensor) -> Tensor:
        """Return (N, 1, size) for a memory (N, L, size), x (N, 1, size) and a mask (N, L)."""
        memory, x = (torch.unflatten(part, -1, (self.heads, -1)) for part in (memory, x))
        energy = torch.einsum("nqhd,nkhd->nhqk", self.queries(x), self.keys(memory))
        energy = energy.masked_fill(mask[:, None, None] == 0, _HIDDEN)
        weights = torch.softmax(energy / self.size**0.5, dim=3)
        seen = torch.einsum("nhql,nlhd->nqhd", weights, self.values(memory))
        return self.fc_out(seen.flatten(2))  # type: ignore[no-any-return]


class _Layer(nn.Module):
    """``TransformerLayer``."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.attention = _Attention(size, heads)
        self.layer_norm_q, self.norm_kv, self.layer_norm_attn = (
            nn.LayerNorm(size) for _ in range(3)
        )
        self.fc_projection = nn.Sequential(nn.Linear(size, size), nn.ReLU())

    def forward(self, memory: Tensor, x: Tensor, mask: Tensor) -> Tensor:
        x = self.attention(self.norm_kv(memory), self.layer_norm_q(x), mask) + x
        return self.fc_projection(self.layer_norm_attn(x)) + x  # type: ignore[no-any-return]


class _Transformer(nn.Module):
    """``Transformer``: positions are sines of `max_episode_steps`, learned, or none."""

    def __init__(
        self, size: int, heads: int, layers: int, positions: str, max_episode_steps: int
    ) -> None:
        super().__init__()
        self.positions, self.steps, self.size = positions, max_episode_steps, size
        self.pos_embedding: Any = None
        if positions == _SINES:
            self.pos_embedding = nn.Module()
            self.pos_embedding.register_buffer("inv_freqs", torch.zeros((size + 1) // 2))
        elif positions == _LEARNED:
            self.pos_embedding = nn.Parameter(torch.randn(max_episode_steps, size))
        self.transformer_layers = nn.ModuleList(_Layer(size, heads) for _ in range(layers))

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor, indices: Tensor) -> Tensor:
        """Return (N, size) for x (N, size), a memory (N, L, layers, size), mask and indices (N, L)."""
        if self.positions == _SINES:
            angles = (self.steps - 1 - indices).unsqueeze(-1) * self.pos_embedding.inv_freqs
            memory = memory + torch.cat([angles.sin(), angles.cos()], dim=-1).unsqueeze(2)
        elif self.positions == _LEARNED:
            memory = memory + self.pos_embedding[indices.long()].unsqueeze(2)
        x = x.unsqueeze(1)
        for number, layer in enumerate(self.transformer_layers):
            x = layer(memory[:, :, number], x, mask)
        return x.squeeze(1)


class _Path(nn.Module):
    """The network as a function of one observation; the memory of the episode is fixed.

    Attributes
    ----------
    held, whole
        As `lrpdyn.observations.fixed_inputs.split_inputs` takes them.
    without
        What is assumed where no memory is given.
    """

    without = "an empty memory, as where an episode begins"

    def __init__(
        self, before: nn.Module, transformer: _Transformer, after: nn.Module, length: int
    ) -> None:
        super().__init__()
        self.before, self.transformer, self.after = before, transformer, after
        layers, size = len(transformer.transformer_layers), transformer.size
        self.held = {MEMORY: (length, layers, size), MASK: (length,), INDICES: (length,)}
        self.whole = {MASK: 1, INDICES: transformer.steps - 1}
        first = {INDICES: torch.arange(float(length))}
        for name, shape in self.held.items():
            values = first.get(name, torch.zeros(shape))
            self.register_buffer(f"held_{name}", values[None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs (N, units) for observations (N, ...)."""
        held = (getattr(self, f"held_{name}") for name in self.held)
        return self.after(self.transformer(self.before(x), *held))  # type: ignore[no-any-return]


class Agent(nn.Module):
    """``ppo_trxl.Agent``.

    Parameters
    ----------
    inputs
        Features of an observation; `images`: they are 84 x 84 pixels of three channels instead.
    size, heads, layers, positions
        Of the transformer: ``trxl_dim``, ``trxl_num_heads``, ``trxl_num_layers``, and ``absolute``,
        ``learned`` or none.
    actions
        Choices of each action.
    memory_length
        ``trxl_memory_length``, and `max_episode_steps` of the environment.

    Raises
    ------
    ArchitectureError
        The last two are not given, and the weights do not tell them.
    """

    heads = ("policy", "value")

    def __init__(
        self,
        inputs: int,
        size: int,
        heads: int,
        layers: int,
        positions: str,
        actions: list[int],
        images: bool = False,
        memory_length: int | None = None,
        max_episode_steps: int | None = None,
    ) -> None:
        super().__init__()
        if memory_length is None or max_episode_steps is None:
            raise ArchitectureError(
                "how long the memory is, and an episode at most, is not in the weights; say it with "
                "--arch-arg memory_length=119 --arch-arg max_episode_steps=STEPS (trxl_memory_length, and "
                "max_episode_steps of the environment; 1024 where that has none)"
            )
        if not 0 < memory_length <= max_episode_steps:
            raise ArchitectureError(
                f"--arch-arg memory_length={memory_length}: expected 1 to max_episode_steps, "
                f"{max_episode_steps}"
            )
        self._images, self._length = images, memory_length
        self.action_space = "discrete" if len(actions) == 1 else ",".join(map(str, actions))
        first = [*convolutions(3), nn.Linear(inputs, size), nn.ReLU()]
        self.encoder = nn.Sequential(*first) if images else nn.Linear(inputs, size)
        self.transformer = _Transformer(size, heads, layers, positions, max_episode_steps)
        self.hidden_post_trxl = nn.Sequential(nn.Linear(size, size), nn.ReLU())
        self.actor_branches = nn.ModuleList(nn.Linear(size, count) for count in actions)
        self.critic = nn.Linear(size, 1)

    def initialise(self) -> None:
        """Begin as CleanRL does: ``layer_init`` sets the weights outside of the transformer, no bias."""
        gains = {
            "critic": 1.0,
            **{f"actor_branches.{n}": 0.1 for n in range(len(self.actor_branches))},
        }
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear | nn.Conv2d) and not name.startswith("transformer."):
                nn.init.orthogonal_(module.weight, gains.get(name, 2**0.5))

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the outputs of `head`."""
        before = nn.Sequential(DivideBy255() if self._images else nn.Flatten(), self.encoder)
        last = self.critic if head == "value" else _Joined(self.actor_branches)
        after = nn.Sequential(self.hidden_post_trxl, last)
        return _Path(before, self.transformer, after, self._length)


class _Joined(nn.Module):
    """The outputs of several layers, one after the other."""

    def __init__(self, layers: nn.ModuleList) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([layer(x) for layer in self.layers], dim=1)


def _recognise(shapes: Shapes, hints: Mapping[str, Any], *, images: bool) -> Arguments | None:
    encoder = "encoder.7.weight" if images else "encoder.weight"
    layer = "transformer.transformer_layers.{}.attention.values.weight"
    if encoder not in shapes or layer.format(0) not in shapes:
        return None
    size, inputs = shapes[encoder]
    branches = [key for key in shapes if key.startswith("actor_branches.") and "weight" in key]
    told = {"memory_length": hints.get("trxl_memory_length")}
    learned = shapes.get(_POSITIONS)
    sines = f"{_POSITIONS}.inv_freqs" in shapes
    if learned is not None:
        told["max_episode_steps"] = learned[0]
    return {
        "inputs": inputs,
        "size": size,
        "heads": size // shapes[layer.format(0)][0],
        "layers": sum(layer.format(n) in shapes for n in range(len(shapes))),
        "positions": _SINES if sines else "" if learned is None else _LEARNED,
        "actions": [shapes[key][0] for key in branches],
        "images": images,
        **{name: value for name, value in told.items() if value is not None},
    }


def _assumes(arguments: Arguments, hints: Mapping[str, Any]) -> tuple[str, ...]:
    inside = ", pixels divided by 255 inside" if arguments.get("images") else ""
    return (f"the network of CleanRL's ppo_trxl.py: ReLU{inside} (weights do not tell)",)


ARCHITECTURES = tuple(
    Architecture(
        name=f"cleanrl-ppo-trxl{'-images' if images else ''}",
        factory=Agent,
        recognise=partial(_recognise, images=images),
        preprocessing=INSIDE if images else UNKNOWN,
        source="cleanrl/ppo_trxl/ppo_trxl.py",
        assumes=_assumes,
        unused=r"transposed_cnn\.",
    )
    for images in (False, True)
)
