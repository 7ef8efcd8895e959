"""CleanRL's Transformer-XL agent, from its published layout: the same outputs from any memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lrpdyn
from lrpdyn.architectures.registry import heads_of, load_weights, path_of, resolve
from lrpdyn.checkpoints.model import Header
from lrpdyn.errors import ArchitectureError, ObservationError

STEPS, LENGTH, LAYERS, HEADS, SIZE = 9, 4, 2, 2, 6
SAMPLES = 5


class Theirs(nn.Module):
    """``cleanrl/ppo_trxl/ppo_trxl.py``: what it computes, step by step, with its names of weights."""

    def __init__(self, inputs: int, positions: str, actions: tuple[int, ...], images: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.images, self.positions = images, positions
        pixels = [
            nn.Conv2d(3, 32, 8, stride=4), nn.ReLU(), nn.Conv2d(32, 64, 4, stride=2), nn.ReLU(),
            nn.Conv2d(64, 64, 3, stride=1), nn.ReLU(), nn.Flatten(), nn.Linear(3136, SIZE), nn.ReLU(),
        ]  # fmt: skip
        self.encoder = nn.Sequential(*pixels) if images else nn.Linear(inputs, SIZE)
        self.transformer = nn.Module()
        if positions == "absolute":
            self.transformer.pos_embedding = nn.Module()
            frequencies = 1e4 ** (-torch.arange(0, SIZE, 2.0) / SIZE)
            self.transformer.pos_embedding.register_buffer("inv_freqs", frequencies)
        elif positions == "learned":
            self.transformer.pos_embedding = nn.Parameter(torch.randn(STEPS, SIZE))
        self.transformer.transformer_layers = nn.ModuleList(self.layer() for _ in range(LAYERS))
        self.hidden_post_trxl = nn.Sequential(nn.Linear(SIZE, SIZE), nn.ReLU())
        self.actor_branches = nn.ModuleList(nn.Linear(SIZE, n) for n in actions)
        self.critic = nn.Linear(SIZE, 1)

    @staticmethod
    def layer() -> nn.Module:
        layer = nn.Module()
        layer.attention = nn.Module()
        for name in ("values", "keys", "queries"):
            layer.attention.add_module(name, nn.Linear(SIZE // HEADS, SIZE // HEADS, bias=False))
        layer.attention.fc_out = nn.Linear(SIZE, SIZE)
        for name in ("layer_norm_q", "norm_kv", "layer_norm_attn"):
            layer.add_module(name, nn.LayerNorm(SIZE))
        layer.fc_projection = nn.Sequential(nn.Linear(SIZE, SIZE), nn.ReLU())
        return layer

    def forward(
        self, x: Tensor, memory: Tensor, mask: Tensor, indices: Tensor
    ) -> tuple[Tensor, Tensor]:
        x = self.encoder(x.permute(0, 3, 1, 2) / 255.0) if self.images else self.encoder(x)
        table = getattr(self.transformer, "pos_embedding", None)
        if self.positions == "absolute":
            angles = torch.arange(STEPS - 1, -1, -1.0)[:, None] * table.inv_freqs[None]
            table = torch.cat((angles.sin(), angles.cos()), dim=-1)
        if table is not None:
            memory = memory + table[indices].unsqueeze(2)
        for number, layer in enumerate(self.transformer.transformer_layers):
            x = self.attended(layer, memory[:, :, number], x, mask)
        x = self.hidden_post_trxl(x)
        return torch.cat([branch(x) for branch in self.actor_branches], dim=1), self.critic(x)

    @staticmethod
    def attended(layer: Any, memory: Tensor, x: Tensor, mask: Tensor) -> Tensor:
        attention, before = layer.attention, layer.norm_kv(memory)
        queries = attention.queries(layer.layer_norm_q(x).view(-1, HEADS, SIZE // HEADS))
        kept = before.view(len(x), -1, HEADS, SIZE // HEADS)
        keys, values = attention.keys(kept), attention.values(kept)
        seen = []
        for head in range(HEADS):
            energy = (keys[:, :, head] @ queries[:, head, :, None])[..., 0]
            weights = energy.masked_fill(mask == 0, -1e20).div(SIZE**0.5).softmax(dim=1)
            seen.append((weights[..., None] * values[:, :, head]).sum(dim=1))
        x = attention.fc_out(torch.cat(seen, dim=1)) + x
        return layer.fc_projection(layer.layer_norm_attn(x)) + x


def memory(seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    draw = np.random.default_rng(seed)
    return {
        "memory": draw.normal(size=(SAMPLES, LENGTH, LAYERS, SIZE)).astype(np.float32),
        "memory_mask": np.tril(np.ones((SAMPLES, LENGTH)), -1).astype(bool),
        "memory_indices": np.stack([np.arange(n, n + LENGTH) for n in range(SAMPLES)]),
    }


@pytest.mark.parametrize(
    ("positions", "actions", "images"),
    [("absolute", (3,), False), ("learned", (3, 2), False), ("", (3,), True)],
)
def test_outputs_are_those_of_cleanrl(
    positions: str, actions: tuple[int, ...], images: bool
) -> None:
    theirs = Theirs(5, positions, actions, images)
    shapes = {key: tuple(value.shape) for key, value in theirs.state_dict().items()}
    given = {} if positions == "learned" else {"max_episode_steps": STEPS}
    header = Header(shapes, hints={"trxl_memory_length": LENGTH})
    resolved = resolve(None, given, header, "here")
    assert resolved.architecture.name == f"cleanrl-ppo-trxl{'-images' if images else ''}"
    network = resolved.build()
    load_weights(network, theirs.state_dict(), resolved, "here")
    generator = torch.Generator().manual_seed(1)
    size = (SAMPLES, 84, 84, 3) if images else (SAMPLES, 5)
    x = torch.randn(size, generator=generator) * (80 if images else 1)
    held = {name: torch.from_numpy(values) for name, values in memory().items()}
    wanted = theirs(x, held["memory"], held["memory_mask"], held["memory_indices"])
    empty = (torch.zeros(SAMPLES, LENGTH, LAYERS, SIZE), torch.zeros(SAMPLES, LENGTH))
    at_first = theirs(x, *empty, torch.arange(LENGTH).expand(SAMPLES, -1))
    assert (wanted[0] - at_first[0]).abs().max() > 1e-2
    for number, head in enumerate(heads_of(network)):
        path = path_of(network, head)[1].eval()
        seen = x.permute(0, 3, 1, 2) if images else x
        torch.testing.assert_close(path(seen), at_first[number])
        for name, values in held.items():
            path.get_buffer(f"held_{name}").data = values.float()
        torch.testing.assert_close(path(seen), wanted[number])


@pytest.fixture
def run(tmp_path: Path) -> tuple[Path, Theirs]:
    theirs = Theirs(5, "absolute", (3,), False)
    for step in (1, 2):
        with torch.no_grad():
            for weights in theirs.parameters():
                weights += 0.1 * torch.randn_like(weights)
        saved = {"model_weights": theirs.state_dict(), "args": {"trxl_memory_length": LENGTH}}
        torch.save(saved, tmp_path / f"agent_{step}.cleanrl_model")
    return tmp_path, theirs


def computed(folder: Path, observations: Any, **options: Any) -> Any:
    options = {"arch_args": {"max_episode_steps": STEPS}, **options}
    return lrpdyn.compute(folder, observations, out=folder / "out", quiet=True, **options)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("given", [True, False])
def test_a_run_is_explained_from_its_memory(run: tuple[Path, Theirs], given: bool) -> None:
    folder, theirs = run
    x = np.random.default_rng(3).normal(size=(SAMPLES, 5)).astype(np.float32)
    held = memory()
    if not given:
        held = {name: np.zeros_like(values) for name, values in held.items()}
        held["memory_indices"][:] = np.arange(LENGTH)
    with torch.no_grad():
        wanted = theirs(torch.from_numpy(x), *(torch.from_numpy(v) for v in held.values()))[0]
    np.save(folder / "outputs.npy", wanted.numpy())
    seen = {"observations": x, **held} if given else x
    found = computed(folder, seen, expect=folder / "outputs.npy", expect_step=2)
    assert found.manifest["checks"]["expected"]["largest_difference"] < 1e-5
    said = [note for note in found.manifest["rule"]["notes"] if "memory" in note]
    assert len(said) == 1
    assert said[0].startswith("inputs memory" if given else "assumed: an empty memory")


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("memory_indices", np.full((SAMPLES, LENGTH), STEPS), "whole numbers 0 to 8, found 9"),
        ("memory_indices", np.full((SAMPLES, LENGTH), -1), "found -1"),
        ("memory_mask", np.full((SAMPLES, LENGTH), 0.5), "whole numbers 0 to 1, found 0.5"),
        ("memory", np.zeros((SAMPLES, LENGTH, LAYERS, SIZE - 1)), r"expected shape \(5, 4, 2, 6\)"),
    ],
)
def test_a_memory_that_does_not_fit_is_refused(
    run: tuple[Path, Theirs], name: str, values: Any, message: str
) -> None:
    with pytest.raises(ObservationError, match=message):
        computed(run[0], {"observations": np.zeros((SAMPLES, 5)), **memory(), name: values})


def test_what_the_weights_do_not_say_is_requested(run: tuple[Path, Theirs]) -> None:
    with pytest.raises(ArchitectureError, match="max_episode_steps=STEPS"):
        computed(run[0], np.zeros((SAMPLES, 5)), arch_args={})
    with pytest.raises(ArchitectureError, match="memory_length=4: expected 1 to max"):
        computed(run[0], np.zeros((SAMPLES, 5)), arch_args={"max_episode_steps": 3})
