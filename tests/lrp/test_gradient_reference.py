"""The reference itself: against hand-made cases, Arras's formulas in NumPy, and LXT's functions."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.lrp import arras
from tests.lrp.gradient_reference import lrp0_reference
from tests.lrp.token_networks import Network


def explained(call: Callable[[Tensor], Tensor], x: Tensor, attention: str = "cp-lrp") -> Tensor:
    """Return the relevance of one output (N,) of a function."""
    network = Network({}, lambda m, x: call(x).reshape(len(x), 1))
    return lrp0_reference(network, x, torch.ones(len(x), 1, dtype=x.dtype), attention)


X = torch.tensor([[2.0, -3.0, 5.0, 0.0]], dtype=torch.float64)
SIGMOID = torch.sigmoid(torch.tensor(-3.0, dtype=torch.float64))
BY_HAND: dict[str, tuple[Callable[[Tensor], Tensor], list[float]]] = {
    "halves": (lambda x: x[:, 0] * x[:, 1], [-3, -3, 0, 0]),
    "square": (lambda x: x[:, 0] ** 2, [4, 0, 0, 0]),
    "gate": (lambda x: x[:, 0] * torch.sigmoid(x[:, 1]), [float(2 * SIGMOID), 0, 0, 0]),
    "gate turned round": (
        lambda x: (1 - torch.sigmoid(x[:, 1:2]).expand(-1, 1)) * x[:, :1],
        [float(2 * (1 - SIGMOID)), 0, 0, 0],
    ),
    "quotient": (lambda x: x[:, 2] / x[:, 0], [0, 0, 2.5, 0]),
    "activation passes": (lambda x: torch.sigmoid(x[:, 1]), [0, float(SIGMOID), 0, 0]),
    "zero gets nothing": (lambda x: torch.sigmoid(x[:, 3]), [0, 0, 0, 0]),
    "norm": (lambda x: x[:, 2] / x[:, :2].norm(dim=1), [0, 0, 5 / 13**0.5, 0]),
    "root mean square": (
        lambda x: (x * torch.rsqrt(x.pow(2).mean(1, keepdim=True)))[:, 1], [0, -3 / 9.5**0.5, 0, 0],
    ),
    "in place": (lambda x: F.relu(x + 0, inplace=True).mul_(3)[:, 2], [0, 0, 15, 0]),
    "matrix product": (
        lambda x: torch.bmm(x[:, None, :2], x[:, 1:3, None]), [-3, -10.5, -7.5, 0],
    ),
    "addcmul": (lambda x: torch.addcmul(x[:, 0], x[:, 1], x[:, 2]), [2, -7.5, -7.5, 0]),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_HAND)
def test_hand_made_cases(name: str) -> None:
    call, expected = BY_HAND[name]
    found = explained(call, X)
    torch.testing.assert_close(found, torch.tensor([expected], dtype=torch.float64))


def test_softmax_is_left_its_gradient_under_attnlrp_and_gets_nothing_under_cp_lrp() -> None:
    x = torch.randn(1, 6, dtype=torch.float64)

    def call(x: Tensor) -> Tensor:
        return torch.softmax(x[:, None, :3], -1) @ x[:, 3:, None]

    s, v = torch.softmax(x[:, :3], -1), x[:, 3:]
    under_cp = torch.cat([torch.zeros(1, 3).double(), s * v], 1)
    torch.testing.assert_close(explained(call, x), under_cp)
    half = s * v / 2
    of_scores = x[:, :3] * (half - s * half.sum())  # prop. 3.1
    torch.testing.assert_close(explained(call, x, "attnlrp"), torch.cat([of_scores, half], 1))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_recurrence_is_explained_as_by_arras(
    kind: type[nn.RNNBase], both_ways: bool, layers: int
) -> None:
    torch.manual_seed(0)
    network = kind(3, 4, layers, batch_first=True, bidirectional=both_ways).double()
    x = torch.randn(1, 5, 3, dtype=torch.float64)
    wanted = torch.randn(5, 8 if both_ways else 4, dtype=torch.float64)
    found = explained(lambda x: (network.requires_grad_(False)(x)[0] * wanted).sum((1, 2)), x)
    expected = by_arras(network, x[0], wanted)
    torch.testing.assert_close(found[0], expected, rtol=1e-9, atol=1e-12)


def by_arras(network: nn.RNNBase, x: Tensor, wanted: Tensor) -> Tensor:
    """Return the relevance of x (T, D) for the outputs (T, H) weighed by `wanted`."""
    formula = arras.lstm if isinstance(network, nn.LSTM) else arras.gru
    ways = 2 if network.bidirectional else 1
    values, backs, size = x.numpy(), [], network.hidden_size
    for index in range(network.num_layers):
        outputs, both = [], []
        for way in range(ways):
            weights = tuple(w.detach().numpy() for w in network.all_weights[index * ways + way])
            turned = values[::-1] if way else values
            output, back = formula(turned, weights)  # type: ignore[arg-type]
            outputs.append(output[::-1] if way else output)
            both.append(back)
        backs.append(both)
        values = torch.cat([torch.from_numpy(o.copy()) for o in outputs], 1).numpy()
    relevance = values * wanted.numpy()
    for both in reversed(backs):
        parts = [relevance[:, k * size : (k + 1) * size] for k in range(ways)]
        shares = [
            back(p[::-1] if k else p) for k, (back, p) in enumerate(zip(both, parts, strict=True))
        ]
        relevance = sum(s[::-1] if k else s for k, s in enumerate(shares))
    return torch.from_numpy(relevance.copy())


class Block(nn.Module):
    """A block of a vision transformer: attention and a perceptron, each on a LayerNorm."""

    def __init__(self, size: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.one, self.two = nn.LayerNorm(size), nn.LayerNorm(size)
        self.qkv, self.mixed = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.up, self.down = nn.Linear(size, 2 * size), nn.Linear(2 * size, size)
        self.out = nn.Linear(size, 3)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.one(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        x = x + self.mixed(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        x = x + self.down(F.gelu(self.up(self.two(x))))
        return self.out(x[:, 0])


def by_lxt(block: Block, x: Tensor, epsilon: float) -> Tensor:
    """Return the outputs of the block made of LXT's functions, in which gradients are relevance."""
    lxt = pytest.importorskip("lxt.explicit.functional")

    def linear(x: Tensor, layer: nn.Linear) -> Tensor:
        return lxt.linear_epsilon(x, layer.weight, layer.bias, epsilon)

    def norm(x: Tensor, layer: nn.LayerNorm) -> Tensor:
        return lxt.layer_norm_grad_fn.apply(x, layer.weight, layer.bias, layer.eps, epsilon)

    parts = linear(norm(x, block.one), block.qkv).unflatten(-1, (3, block.heads, -1))
    q, k, v = parts.permute(2, 0, 3, 1, 4)
    # Scaled before the product: a constant factor takes no relevance.
    scores = lxt.matmul(lxt.mul2(q, torch.tensor(q.shape[-1] ** -0.5)), k.mT, False, epsilon)
    mixed = lxt.matmul(lxt.softmax(scores, -1), v, False, epsilon).transpose(1, 2).flatten(2)
    x = lxt.add2(x, linear(mixed, block.mixed), False, epsilon)
    inside = linear(norm(x, block.two), block.up)
    active = lxt.mul2(inside, (F.gelu(inside) / inside).detach())
    x = lxt.add2(x, linear(active, block.down), False, epsilon)
    return linear(x[:, 0], block.out)


def test_block_of_a_vision_transformer_is_explained_as_by_lxt() -> None:
    torch.manual_seed(3)
    block = Block().double()
    x = torch.randn(2, 5, 8, dtype=torch.float64)
    leaf = x.clone().requires_grad_()
    outputs = by_lxt(block, leaf, 1e-13)
    rows = torch.eye(3, dtype=torch.float64)[[0, 2]]
    torch.testing.assert_close(outputs, block(x))
    # In LXT relevance takes the place of gradients: it begins with the score itself.
    (expected,) = torch.autograd.grad(outputs, leaf, outputs.detach() * rows)
    found = lrp0_reference(block, x, rows, "attnlrp")
    assert float((found - expected).abs().max()) <= 1e-8 * float(expected.abs().max())
