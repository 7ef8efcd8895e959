"""What has no rule is refused by the name of its node and its line."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrpdyn.errors import ArchitectureError
from lrpdyn.lrp.canonical.canonise import canonise


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


class Dynamic(nn.Module):
    """Weights that are made of the observation."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.q(x), self.k(x))


class Deviating(nn.Module):
    """A deviation that is more than a scale."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.last = nn.Linear(3, 3), nn.Linear(1, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.layer(x).std(dim=1, keepdim=True))


class Mixed(nn.Module):
    """The logarithm of a softmax in the middle, with a layer on it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.log_softmax(self.first(x), dim=1))


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
        (Branching(), 'cannot be traced.*test_refusals.py", line .*does not branch'),
        (Silent(), "NotImplementedError"),
        (Doubled(), "takes 2 inputs.*path"),
        (Paired(), "must return one tensor"),
        (nn.LSTM(3, 3), "LSTM cannot be traced"),
        (Recurrent(), 'cannot be traced.*test_refusals.py"'),
        (Dynamic(), "'linear' \\(linear\\).*test_refusals.py.*mixes two branches.*register_rule"),
        (nn.MultiheadAttention(4, 2), "cannot be traced"),
        (Deviating(), "'last' \\(Linear\\).*as more than a scale"),
        (nn.Sequential(nn.Embedding(3, 3), nn.Linear(3, 2)), "numbers of tokens"),
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
