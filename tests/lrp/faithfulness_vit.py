"""How faithful rules are on a small vision transformer that has learned scikit-learn's digits.

``python -m tests.lrp.faithfulness_vit`` trains it in a minute, explains images that it was not trained
on, and flips patches of each, which take the mean of the training images there: the area between the
curves of the score with the least and with the most relevant patches first (ABPC; larger is better).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrpdyn.lrp.attribution import contrast_rows, relevance
from lrpdyn.lrp.canonical.canonise import canonise
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.lrp.plan import make_plan

RULES = ("zplus+cp-lrp", "gamma+cp-lrp", "epsilon+attnlrp", "gamma+attnlrp")
SIDE, PATCH = 8, 2


class Block(nn.Module):
    """Attention and a perceptron, each behind its LayerNorm and beside its input."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.one, self.two = nn.LayerNorm(size), nn.LayerNorm(size)
        self.attention = nn.MultiheadAttention(size, heads, batch_first=True)
        self.up, self.down = nn.Linear(size, 2 * size), nn.Linear(2 * size, size)

    def forward(self, x: Tensor) -> Tensor:
        y = self.one(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.down(F.gelu(self.up(self.two(x))))


class VisionTransformer(nn.Module):
    """Takes images (N, 1, 8, 8) as 16 patches and gives ten logits."""

    def __init__(self, size: int = 32, heads: int = 4, depth: int = 2) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, size, PATCH, PATCH)
        self.first = nn.Parameter(torch.zeros(1, 1, size))
        self.places = nn.Parameter(torch.randn(1, 1 + (SIDE // PATCH) ** 2, size) * 0.02)
        self.blocks = nn.ModuleList(Block(size, heads) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(size), nn.Linear(size, 10)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(x.shape[0], -1, -1), tokens], dim=1) + self.places
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x[:, 0]))


def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return images (N, 1, 8, 8) from 0 to 1 and labels, for training and for tests."""
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    x = torch.tensor(data.images[order] / 16.0, dtype=torch.float32)[:, None]
    y = torch.tensor(data.target[order], dtype=torch.long)
    return x[:1300], y[:1300], x[1300:], y[1300:]


def trained(
    x: Tensor,
    y: Tensor,
    epochs: int,
    seed: int,
    before_epoch: Callable[[int, VisionTransformer], None] = lambda epoch, network: None,
) -> VisionTransformer:
    """Return the network after so many epochs."""
    torch.manual_seed(seed)
    network = VisionTransformer()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.05)
    batches = -(-len(x) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=epochs * batches)
    for epoch in range(epochs):
        before_epoch(epoch, network)
        for chosen in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            F.cross_entropy(network(x[chosen]), y[chosen]).backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def maps(network: nn.Module, x: Tensor, rows: Tensor) -> dict[str, Tensor]:
    """Return the relevance of each image by the name of what made it."""
    canonised = canonise(network, example=x[:2])
    found = {}
    for rule in RULES:
        plan = make_plan(canonised, parse_composite(rule), x[:1])
        found[rule] = relevance(canonised, plan, x, rows)
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((network(leaf) * rows).sum(), leaf)
    found["gradient x input"] = gradient * x
    found["random"] = torch.rand(x.shape, generator=torch.Generator().manual_seed(0))
    return found


def area(network: nn.Module, x: Tensor, rows: Tensor, given: Tensor, fill: Tensor) -> np.ndarray:
    """Return the area between the curves for each image, (N,), in units of the score."""
    by_patch = F.avg_pool2d(given, PATCH).flatten(1)
    order = by_patch.argsort(dim=1, descending=True)
    least, most = (_mean_score(network, x, rows, o, fill) for o in (order.flip(1), order))
    return (least - most).numpy()


def _mean_score(network: nn.Module, x: Tensor, rows: Tensor, order: Tensor, fill: Tensor) -> Tensor:
    """Return the mean score while patches are flipped in an order, (N,)."""
    count = order.shape[1]
    rank = order.argsort(dim=1).reshape(-1, 1, SIDE // PATCH, SIDE // PATCH)
    rank = rank.repeat_interleave(PATCH, 2).repeat_interleave(PATCH, 3)
    scores = []
    with torch.no_grad():
        for flipped in range(count + 1):
            changed = torch.where(rank < flipped, fill, x)
            scores.append((network(changed) * rows).sum(1))
    return torch.stack(scores).mean(0)


def interval(values: np.ndarray, draws: int = 2000) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean."""
    chosen = np.random.default_rng(0).integers(0, len(values), (draws, len(values)))
    low, high = np.quantile(values[chosen].mean(1), [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    """Train, explain, flip, and print a row for each rule."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(1)
    x, y, others, labels = digits()
    others, labels = others[: given.samples], labels[: given.samples]
    areas: dict[str, list[np.ndarray]] = {}
    for seed in range(given.seeds):
        network = trained(x, y, given.epochs, seed)
        with torch.no_grad():
            outputs = network(others)
        right = float((outputs.argmax(1) == labels).float().mean())
        print(
            f"seed {seed}: {right:.1%} of {len(others)} images that it was not trained on are right"
        )
        rows = contrast_rows(outputs, outputs.argmax(1), "mean")
        for name, found in maps(network, others, rows).items():
            areas.setdefault(name, []).append(area(network, others, rows, found, x.mean(0)))
    print(f"{'map':18} {'ABPC':>7}   95 % interval    less gradient x input")
    plain = np.concatenate(areas["gradient x input"])
    for name, parts in areas.items():
        values = np.concatenate(parts)
        low, high = interval(values)
        less, more = interval(values - plain)
        print(f"{name:18} {values.mean():7.3f}   {low:6.3f} {high:6.3f}    {less:6.3f} {more:6.3f}")


if __name__ == "__main__":
    main()
