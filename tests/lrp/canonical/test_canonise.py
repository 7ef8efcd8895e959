"""Networks as users write them: the same outputs, one module a call, or a refusal by name."""

from __future__ import annotations

import operator
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrpdyn.errors import ArchitectureError
from lrpdyn.lrp.attribution import contrast_rows, relevance
from lrpdyn.lrp.canonical.canonise import canonise, canonise_fully
from lrpdyn.lrp.canonical.layers import Scaling
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.lrp.plan import layers_of, make_plan


class Functional(nn.Module):
    """Scaling, permutation, functional activations and pooling, a layer called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((1, 3, 1, 1), 0.1))
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.drop = nn.Dropout()
        self.head = nn.Linear(6 * 4 * 4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = x.float() / 255 - self.mean
        x = self.act(self.conv2(self.act(self.conv1(x))))
        x = F.leaky_relu(self.conv2(x), 0.1)
        x = F.max_pool2d(x, 2)
        x = self.drop(F.avg_pool2d(x, 1))
        return self.head(x.view(x.size(0), -1))


class Modular(nn.Module):
    """The same network with its preprocessing done outside, layer by layer."""

    def __init__(self, of: Functional) -> None:
        super().__init__()
        again = nn.Conv2d(6, 6, 3, padding=1)
        again.load_state_dict(of.conv2.state_dict())
        self.layers = nn.Sequential(
            of.conv1, nn.ReLU(), of.conv2, nn.ReLU(), again, nn.LeakyReLU(0.1), nn.MaxPool2d(2),
            nn.AvgPool2d(1), nn.Flatten(), of.head,
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


@pytest.mark.parametrize("rule", ["zplus", "epsilon", "gamma"])
def test_functional_network_is_explained_like_its_modules(rule: str) -> None:
    torch.manual_seed(0)
    network = Functional().double().eval()
    pixels = torch.randint(0, 256, (2, 3, 8, 8)).double()
    canonised = canonise(network)
    scaled = pixels / 255 - 0.1
    torch.testing.assert_close(
        canonised(pixels), Modular(network).double()(scaled), rtol=1e-6, atol=1e-7
    )
    rows = torch.eye(5, dtype=torch.float64)[[1, 4]]
    composite = parse_composite(rule)
    inside = relevance(canonised, make_plan(canonised, composite), pixels, rows)
    modular = canonise(Modular(network).double())
    outside = relevance(modular, make_plan(modular, composite), scaled, rows)
    torch.testing.assert_close(inside, outside, rtol=1e-5, atol=1e-7)
    assert len({id(layer) for layer in layers_of(canonised).values()}) == len(layers_of(canonised))


def test_loaded_weights_reach_the_canonised_network() -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2))
    canonised = canonise(network)
    network.load_state_dict({k: torch.full_like(v, 0.5) for k, v in network.state_dict().items()})
    x = torch.ones(1, 3)
    assert canonised(x).tolist() == network(x).tolist() == [[2.5, 2.5]]


def test_network_that_is_one_linear_layer() -> None:
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.data = torch.tensor([[2.0, 3.0]])
    canonised = canonise(layer)
    plan = make_plan(canonised, parse_composite("epsilon"))
    found = relevance(canonised, plan, torch.ones(1, 2), torch.ones(1, 1))
    assert found[0].tolist() == pytest.approx([2.0, 3.0], rel=1e-5)


class Pieces(nn.Module):
    """A network of one module or function between two linear layers."""

    def __init__(self, piece: Callable[[Tensor], Tensor], after: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.piece = piece
        self.head = nn.Linear(after, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.piece(self.conv(x)).flatten(1))


PIECES: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    **{
        kind.__name__: (kind(), 144)
        for kind in (
            nn.ReLU,
            nn.ReLU6,
            nn.LeakyReLU,
            nn.ELU,
            nn.CELU,
            nn.SELU,
            nn.GELU,
            nn.SiLU,
            nn.Mish,
            nn.Tanh,
            nn.Sigmoid,
            nn.Hardtanh,
            nn.Hardsigmoid,
            nn.Hardswish,
            nn.Softplus,
            nn.Softsign,
            nn.PReLU,
            nn.Identity,
            nn.Dropout,
            nn.Dropout2d,
        )
    },
    "relu in place": (lambda x: F.relu(x, True), 144),
    "relu_": (lambda x: x.relu_(), 144),
    "clamp": (lambda x: torch.clamp(x, -0.3, 0.3), 144),
    "max-pool": (nn.MaxPool2d(2), 36),
    "adaptive max-pool": (nn.AdaptiveMaxPool2d(2), 16),
    "average-pool": (nn.AvgPool2d(2), 36),
    "adaptive average-pool": (nn.AdaptiveAvgPool2d(2), 16),
    "mean": (lambda x: x.mean(dim=(2, 3)), 4),
    "mean function": (lambda x: torch.mean(x, (2, 3)), 4),
    "amax": (lambda x: x.amax(dim=(2, 3)), 4),
    "group norm": (nn.GroupNorm(2, 4), 144),
    "layer norm": (nn.LayerNorm([4, 6, 6]), 144),
    "instance norm": (nn.InstanceNorm2d(4, affine=True), 144),
    "layer norm function": (lambda x: F.layer_norm(x, [6, 6]), 144),
    "group norm function": (lambda x: F.group_norm(x, 2), 144),
    "batch norm apart": (nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4)), 144),
    "zero padding": (nn.ZeroPad2d(1), 256),
    "reflection padding": (nn.ReflectionPad2d(1), 256),
    "pad": (lambda x: F.pad(x, (1, 1, 1, 1)), 256),
    "upsample": (nn.Upsample(scale_factor=2), 576),
    "interpolate": (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), 576),
    "pixel shuffle": (nn.PixelShuffle(2), 144),
    "permute": (lambda x: x.permute(0, 2, 3, 1).contiguous(), 144),
    "sum of branches": (lambda x: x + torch.relu(x), 144),
    "sum in place": (lambda x: operator.iadd(torch.tanh(x), x), 144),
    "difference": (lambda x: torch.tanh(x) - x, 144),
    "torch.add": (lambda x: torch.add(x, torch.tanh(x)), 144),
    "constant added": (lambda x: torch.relu(x) + 0.5, 144),
    "constant less": (lambda x: 1 - torch.relu(x), 144),
    "negated": (lambda x: -x, 144),
    "scaled": (lambda x: 2.5 * x / 3, 144),
    "concatenation": (lambda x: torch.cat([x, torch.relu(x)], dim=1), 288),
    "stack": (lambda x: torch.stack([x, torch.relu(x)], 1), 288),
    "chunk": (lambda x: torch.chunk(x, 2, dim=1)[0], 72),
    "split": (lambda x: x.split(2, dim=1)[1], 72),
    "index": (lambda x: x[:, 1:3], 72),
    "roll": (lambda x: torch.roll(x, 1, dims=2), 144),
}
#: Where a bias or a constant takes a part of the score by its nature.
_TAKES_A_PART = {"constant added", "constant less", "layer norm", "group norm", "instance norm"}


@pytest.mark.parametrize("name", PIECES)
def test_each_piece_gives_the_same_outputs_and_conserves(name: str) -> None:
    torch.manual_seed(0)
    piece, after = PIECES[name]
    network = Pieces(piece, after).double().eval()
    if name == "batch norm apart":
        norm = network.piece[1]  # type: ignore[index]
        norm.running_var.uniform_(0.5, 2)
        norm.running_mean.zero_()
    for parameter in (network.conv.bias, network.head.bias):
        parameter.data.zero_()
    if isinstance(piece, nn.Module):
        piece.eval()
    x = torch.randn(2, 2, 6, 6, generator=torch.Generator().manual_seed(1)).double()
    expected = network(x.clone()).detach()
    canonised = canonise(network)
    torch.testing.assert_close(canonised(x), expected, rtol=1e-9, atol=1e-12)
    if name in _TAKES_A_PART:
        return
    plan = make_plan(canonised, parse_composite("epsilon:1e-12"))
    found = relevance(canonised, plan, x, torch.eye(3).double()[[0, 2]])
    score = expected[[0, 1], [0, 2]]
    torch.testing.assert_close(found.sum((1, 2, 3)), score, rtol=1e-3, atol=1e-9)


def test_normalisation_with_its_scale_held_fixed() -> None:
    torch.manual_seed(0)
    layer = nn.LayerNorm(5).double()
    layer.weight.data.uniform_(0.5, 1.5)
    layer.bias.data.uniform_(-0.5, 0.5)
    network = nn.Sequential(layer)
    x = torch.randn(3, 5).double()
    canonised = canonise(network)
    plan = make_plan(canonised, parse_composite("epsilon"))
    assert plan["0"].text == "fixed-scale"
    found = relevance(canonised, plan, x, torch.eye(5).double()[[1, 1, 1]])
    scale = (x.var(1, correction=0, keepdim=True) + layer.eps).sqrt()
    weights = (torch.eye(5).double()[1] - 1 / 5) / scale * layer.weight[1]
    z = (x * weights).sum(1) + layer.bias[1]
    expected = x * weights * (z / (z + 1e-6 * z.sign()))[:, None]
    torch.testing.assert_close(found, expected.detach(), rtol=1e-9, atol=1e-12)


class BatchNormed(nn.Module):
    """BatchNorm behind each kind of linear layer, one of them without affine parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4)
        self.up, self.norm_up = nn.ConvTranspose2d(4, 6, 2, groups=2), nn.BatchNorm2d(6)
        self.linear, self.norm_linear = nn.Linear(150, 8), nn.BatchNorm1d(8, affine=False)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.conv(x)))
        x = F.relu(self.norm_up(self.up(x)))
        return self.head(F.relu(self.norm_linear(self.linear(x.flatten(1)))))


def disturbed(network: nn.Module, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for tensor in [*network.parameters(), *network.buffers()]:
        if tensor.is_floating_point():
            tensor.data.copy_(torch.rand(tensor.shape, generator=generator) * 0.5 + 0.1)
    return network


def test_batch_norm_is_merged_and_follows_what_is_loaded() -> None:
    network = disturbed(BatchNormed().double(), 0).eval()
    canonised = canonise(network)
    assert not [n for n, layer in layers_of(canonised).items() if isinstance(layer, Scaling)]
    x = torch.randn(2, 2, 6, 6).double()
    for seed in (0, 1):
        other = disturbed(BatchNormed().double(), seed)
        network.load_state_dict(other.state_dict())
        torch.testing.assert_close(canonised(x), network(x), rtol=1e-10, atol=1e-12)


def test_batch_norm_that_two_layers_use_is_scaling() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.head = (
                nn.Conv2d(2, 4, 1),
                nn.BatchNorm2d(4),
                nn.Linear(36, 2),
            )

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            return self.head((self.norm(x) + x).flatten(1))

    network = disturbed(Shared(), 0).eval()
    canonised = canonise(network)
    x = torch.randn(2, 2, 3, 3)
    torch.testing.assert_close(canonised(x), network(x))
    assert isinstance(layers_of(canonised)["norm"], Scaling)


def parametrised(wrap: Callable[[nn.Module], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(wrap(nn.Linear(4, 5)), nn.ReLU(), wrap(nn.Linear(5, 2))).double().eval()


@pytest.mark.parametrize(
    "wrap",
    [
        torch.nn.utils.parametrizations.weight_norm,
        torch.nn.utils.parametrizations.spectral_norm,
        torch.nn.utils.spectral_norm,
        pytest.param(
            torch.nn.utils.weight_norm,
            marks=pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning"),
        ),
    ],
)
def test_parametrisations_are_resolved(wrap: Callable[[nn.Module], nn.Module]) -> None:
    network = parametrised(wrap)
    canonised = canonise(network)
    x = torch.randn(3, 4).double()
    torch.testing.assert_close(canonised(x), network(x))
    for parameter in network.parameters():
        with torch.no_grad():
            parameter.mul_(1.3)
    torch.testing.assert_close(canonised(x), network(x))
    plain = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)).double()
    for place in (0, 2):
        plain[place].weight.data = network[place].weight.detach()
        plain[place].bias.data = network[place].bias.detach()
    rows = torch.eye(2).double()[[0, 1, 1]]
    found, expected = (
        relevance(c, make_plan(c, parse_composite("zplus")), x, rows)
        for c in (canonised, canonise(plain))
    )
    torch.testing.assert_close(found, expected)


class NoisyLinear(nn.Module):
    """Fortunato et al. 2018; this one draws noise at evaluation too."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight_mu = nn.Parameter(torch.randn(outputs, inputs))
        self.bias_mu = nn.Parameter(torch.randn(outputs))
        self.weight_sigma = nn.Parameter(torch.ones(outputs, inputs))

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.randn_like(self.weight_sigma)
        return F.linear(x, self.weight_mu + self.weight_sigma * noise, self.bias_mu)


def test_noisy_layers_are_explained_by_their_mean_weights() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(NoisyLinear(4, 5), nn.ReLU(), NoisyLinear(5, 2))
    x = torch.randn(3, 4)
    found = canonise_fully(network)
    assert "0, 2: noisy layers by their mean weights" in found.notes
    torch.testing.assert_close(found.explained(x), network(x))
    hidden = torch.relu(F.linear(x, network[0].weight_mu, network[0].bias_mu))
    torch.testing.assert_close(
        network(x), F.linear(hidden, network[2].weight_mu, network[2].bias_mu)
    )


class Computed(nn.Module):
    """Linear layers as functions, with weights that are computed from parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.filters = nn.Parameter(torch.randn(3, 2, 3, 3))
        self.matrix = nn.Parameter(torch.randn(48, 5))
        self.mask = nn.Parameter(torch.rand(2, 5))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.conv2d(x, self.filters * 2, padding=0, stride=1))
        x = F.relu(x.flatten(1) @ self.matrix)
        return F.linear(x, torch.tanh(self.mask).abs(), bias=None)


def test_functional_layers_with_computed_weights() -> None:
    torch.manual_seed(0)
    network = Computed()
    canonised = canonise(network)
    x = torch.randn(2, 2, 6, 6)
    for _ in range(2):
        torch.testing.assert_close(canonised(x), network(x), rtol=1e-5, atol=1e-5)
        with torch.no_grad():
            network.mask.mul_(0.5)
    plan = make_plan(canonised, parse_composite("zplus"))
    assert [rule.text for rule in plan.values()].count("zplus") == 3


class Dueling(nn.Module):
    """Value and advantages, as in dueling DQN, for one or several quantiles or atoms."""

    def __init__(self, actions: int = 4, atoms: int = 1, softmax: bool = False) -> None:
        super().__init__()
        self.body = nn.Linear(6, 8)
        self.value = nn.Sequential(nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, atoms))
        self.advantage = nn.Sequential(nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, actions * atoms))
        self.register_buffer("support", torch.linspace(-2, 6, atoms))
        self.shape, self.softmax = (actions, atoms), softmax

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.body(x))
        value = self.value(h).view(-1, 1, self.shape[1])
        advantage = self.advantage(h).view(x.shape[0], *self.shape)
        q = value + advantage - advantage.mean(dim=1, keepdim=True)
        if self.softmax:
            return (torch.softmax(q, dim=2) * self.support).sum(dim=2)
        return q.mean(dim=2)


def folded_by_hand(network: Dueling, weights: Tensor) -> nn.Module:
    """One Linear layer over both hidden layers; `weights` (atoms,) of the atoms in the score."""
    actions, atoms = network.shape
    hidden = [branch[0] for branch in (network.value, network.advantage)]
    centre = torch.eye(actions).double() - 1 / actions
    last = nn.Linear(14, actions).double()
    w_v, w_a = network.value[2].weight, network.advantage[2].weight
    b_v, b_a = network.value[2].bias, network.advantage[2].bias
    by_action = torch.einsum("k,akh->ah", weights, w_a.view(actions, atoms, 7))
    last.weight.data = torch.cat(
        [(weights @ w_v).expand(actions, 7), centre @ by_action], 1
    ).detach()
    bias_a = b_a.view(actions, atoms) @ weights
    last.bias.data = (weights @ b_v + centre @ bias_a).detach()
    both = nn.Linear(8, 14).double()
    both.weight.data = torch.cat([layer.weight for layer in hidden]).detach()
    both.bias.data = torch.cat([layer.bias for layer in hidden]).detach()
    return nn.Sequential(network.body, nn.ReLU(), both, nn.ReLU(), last)


@pytest.mark.parametrize("rule", ["zplus", "epsilon", "gamma", "alpha2beta1", "epsilon-plus"])
@pytest.mark.parametrize("contrast", ["none", "mean", "runner-up"])
@pytest.mark.parametrize(("atoms", "softmax"), [(1, False), (5, False), (5, True)])
def test_dueling_and_distributional_heads_are_one_linear_layer(
    rule: str, contrast: str, atoms: int, softmax: bool
) -> None:
    torch.manual_seed(0)
    network = Dueling(atoms=atoms, softmax=softmax).double()
    found = canonise_fully(network)
    x = torch.randn(3, 6).double()
    torch.testing.assert_close(found.reference(x), network(x))
    torch.testing.assert_close(found.unfolded(x), found.explained(x))
    assert any(note.startswith("folded_head") for note in found.notes)
    assert any("softmax" in note for note in found.notes) == softmax
    weights = (
        network.support - network.support.mean() if softmax else torch.ones(atoms).double() / atoms
    )
    by_hand = canonise(folded_by_hand(network, weights.double()))
    outputs = found.explained(x).detach()
    torch.testing.assert_close(by_hand(x).detach(), outputs)
    rows = contrast_rows(outputs, outputs.argmax(1), contrast)
    maps, expected = (
        relevance(c, make_plan(c, parse_composite(rule)), x, rows)
        for c in (found.explained, by_hand)
    )
    torch.testing.assert_close(maps, expected, rtol=1e-8, atol=1e-10)
    with torch.no_grad():
        network.advantage[2].weight.mul_(2)
    torch.testing.assert_close(found.unfolded(x), found.explained(x))


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


class Held(nn.Module):
    """The image is explained, a vector is held fixed."""

    def __init__(self) -> None:
        super().__init__()
        self.cnn, self.head = nn.Linear(6, 4), nn.Linear(7, 2)
        self.register_buffer("held", torch.zeros(1, 3), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        held = self.held.expand(x.shape[0], -1)
        return self.head(torch.cat([torch.relu(self.cnn(x)), held], dim=1))


def test_branch_that_is_held_fixed_keeps_its_share() -> None:
    torch.manual_seed(0)
    network = Held()
    canonised = canonise(network)
    network.held.data = torch.tensor([[1.0, -2.0, 0.5]])
    x = torch.randn(3, 6)
    torch.testing.assert_close(canonised(x), network(x))
    network.held.data = torch.randn(3, 3)
    torch.testing.assert_close(canonised(x), network(x))
    plan = make_plan(canonised, parse_composite("epsilon"))
    assert relevance(canonised, plan, x, torch.eye(2)[[0, 1, 1]]).shape == x.shape


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class Silent(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class Doubled(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class Paired(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.layer(x), x


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.softmax(self.q(x) @ self.k(x).transpose(-1, -2), dim=-1)
        return weights @ self.v(x)


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) * torch.sigmoid(x)


class Mixed(nn.Module):
    """A softmax in the middle, with a layer on it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.softmax(self.first(x), dim=1))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.core, self.head = nn.LSTM(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.core(x)[0])


class Noise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight + torch.randn_like(self.weight))


@pytest.mark.parametrize(
    ("network", "says"),
    [
        (Branching(), 'cannot be traced.*test_canonise.py", line .*does not branch'),
        (Silent(), "NotImplementedError"),
        (Doubled(), "takes 2 inputs.*path"),
        (Paired(), "must return one tensor"),
        (nn.LSTM(3, 3), "LSTM"),
        (Recurrent(), "'core' \\(LSTM\\).*test_canonise.py.*register_rule"),
        (Attention(), "'matmul' \\(matmul\\).*test_canonise.py.*two branches"),
        (nn.MultiheadAttention(4, 2), "takes 3 inputs|cannot be traced|MultiheadAttention"),
        (Gated(), "'mul' \\(mul\\).*multiplies"),
        (Mixed(), "softmax.*other layers follow"),
        (Noise(), "drawn at random"),
        (nn.Sequential(nn.Linear(3, 3), nn.LPPool1d(2, 1)), "LPPool1d"),
    ],
)
def test_what_has_no_rule_is_refused_by_name(network: nn.Module, says: str) -> None:
    with pytest.raises(ArchitectureError, match=says):
        canonise(network)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*")
def test_scripted_modules_are_refused() -> None:
    scripted = torch.jit.script(nn.Sequential(nn.Linear(3, 3), nn.ReLU()))
    with pytest.raises(ArchitectureError, match="'0' is a scripted module"):
        canonise(nn.Sequential(scripted, nn.Linear(3, 2)))
