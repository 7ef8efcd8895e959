"""The networks of the training runs: small, so that dozens of runs take minutes on one core."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DigitsCNN(nn.Module):
    """Two convolutions and two linear layers on pictures of 8 x 8 pixels."""

    def __init__(self, classes: int = 10, channels: int = 1, width: int = 8, side: int = 4) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.fc1 = nn.Linear(2 * width * side * side, 32)
        self.fc2 = nn.Linear(32, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        hidden = torch.relu(self.conv2(torch.relu(self.conv1(pictures))))
        return self.fc2(torch.relu(self.fc1(hidden.flatten(1))))


class ShapesCNN(nn.Module):
    """Convolutions with pooling, on coloured pictures of 12 x 12 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 10, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(10, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(16 * 9, 32),
            nn.ReLU(),
        )
        self.head = nn.Linear(32, 4)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.head(self.features(pictures))


class MLP(nn.Module):
    """Three linear layers."""

    def __init__(self, inputs: int = 64, classes: int = 10, width: int = 48) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.second = nn.Linear(width, width)
        self.last = nn.Linear(width, classes)

    def forward(self, features: Tensor) -> Tensor:
        return self.last(torch.relu(self.second(torch.relu(self.first(features)))))


class CancerMLP(MLP):
    """An `MLP` for the 30 features of the breast cancer data."""

    def __init__(self) -> None:
        super().__init__(30, 2, 32)


class WineMLP(MLP):
    """An `MLP` for the 13 features of the wine data."""

    def __init__(self) -> None:
        super().__init__(13, 3, 24)


class CartPoleMLP(nn.Sequential):
    """The Q network of Stable-Baselines3's DQN on CartPole."""

    def __init__(self) -> None:
        super().__init__(
            nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2)
        )


class Block(nn.Module):
    """Two convolutions with BatchNorm around which the input goes too."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)

    def forward(self, pictures: Tensor) -> Tensor:
        hidden = torch.relu(self.norm1(self.conv1(pictures)))
        return torch.relu(self.norm2(self.conv2(hidden)) + pictures)


class ResidualCNN(nn.Module):
    """A residual network with BatchNorm on pictures of 8 x 8 pixels."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.block1 = Block(width)
        self.block2 = Block(width)
        self.pool = nn.AvgPool2d(2)
        self.head = nn.Linear(16 * width, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        hidden = torch.relu(self.norm(self.stem(pictures)))
        return self.head(self.pool(self.block2(self.block1(hidden))).flatten(1))
