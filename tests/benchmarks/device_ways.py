"""Networks, checkpoints and observations of `tests.benchmarks.device`, and Zennit's way through them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

BATCH = 64


def nature_cnn() -> nn.Sequential:
    """Return NatureCNN for 4 x 84 x 84 with a head of six actions."""
    return nn.Sequential(
        nn.Conv2d(4, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(),
        nn.Conv2d(64, 64, 3, 1), nn.ReLU(), nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(),
        nn.Linear(512, 6),
    )  # fmt: skip


def resnet18() -> nn.Module:
    """Return torchvision's ResNet-18 for ten classes."""
    from torchvision.models import resnet18

    return resnet18(num_classes=10)


NETWORKS: dict[str, Callable[[], nn.Module]] = {"resnet18": resnet18, "nature_cnn": nature_cnn}
#: Of an observation. ResNet-18 takes any size; this one is between CIFAR's and ImageNet's.
SHAPES = {"resnet18": (3, 64, 64), "nature_cnn": (4, 84, 84)}


def write_files(folder: Path, network: str, files: int) -> None:
    """Save one network `files` times, each time with other noise of a tenth of its weights."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    base = NETWORKS[network]().state_dict()
    noise = {
        name: 0.1 * value.std() * torch.randn_like(value)
        for name, value in base.items()
        if value.ndim > 1
    }
    for n in range(files):
        # To turn one noise takes a fiftieth of the time of drawing another.
        moved = {name: base[name] + one.roll(7 * n) for name, one in noise.items()}
        torch.save({**base, **moved}, folder / f"net_{n}.pt")


def linked(source: Path, folder: Path, count: int, files: int) -> Path:
    """Return a folder of `count` checkpoints: hard links to the files, again and again under later steps."""
    folder.mkdir()
    for n in range(count):
        (folder / f"net_{n + 1}.pt").hardlink_to(source / f"net_{n % files}.pt")
    return folder


def write_observations(path: Path, network: str, count: int) -> None:
    """Write `count` observations: smooth noise, between 0 and 1."""
    coarse = torch.rand(count, SHAPES[network][0], 8, 8, generator=torch.Generator().manual_seed(0))
    smooth = nn.functional.interpolate(coarse, SHAPES[network][1:], mode="bilinear")
    np.save(path, smooth.numpy())


def with_zennit(
    network: str, checkpoints: list[Path], observations: Tensor, out: Path, device: str
) -> None:
    """Load each checkpoint, explain it with ZPlus, and store its maps; nothing else."""
    from zennit.composites import LayerMapComposite, layer_map_base
    from zennit.rules import ZPlus
    from zennit.torchvision import ResNetCanonizer
    from zennit.types import Convolution, Linear

    composite = LayerMapComposite(
        [*layer_map_base(), (Convolution, ZPlus()), (Linear, ZPlus())],
        canonizers=[ResNetCanonizer()],
    )
    model: Any = NETWORKS[network]().eval().to(device)
    head = model[-1] if network == "nature_cnn" else model.fc
    batches = observations.to(device).split(BATCH)
    for path in checkpoints:
        model.load_state_dict(torch.load(path, weights_only=True))
        # Minus the mean of the outputs, as lrpdyn asks by default: one change of the last layer.
        with torch.no_grad():
            head.weight -= head.weight.mean(dim=0)
            head.bias -= head.bias.mean()
        with composite.context(model) as explained:
            maps = [_relevance(explained, batch).cpu().numpy() for batch in batches]
        np.save(out / path.stem, np.concatenate(maps))


def _relevance(explained: nn.Module, batch: Tensor) -> Tensor:
    leaf = batch.clone().requires_grad_()
    output = explained(leaf)
    best = nn.functional.one_hot(output.argmax(dim=1), output.shape[1])
    (relevance,) = torch.autograd.grad(output, leaf, output.detach() * best)
    return relevance


def main() -> None:
    """Run Zennit's way; write its seconds as ``lrpdyn compute --profile`` does."""
    network, folder, observations, out, device = sys.argv[1:]
    checkpoints = sorted(Path(folder).glob("*.pt"), key=lambda path: int(path.stem[4:]))
    Path(out).mkdir()
    torch.set_num_threads(1)  # as lrpdyn, so that a CPU compares as well
    start = time.perf_counter()
    with_zennit(network, checkpoints, torch.from_numpy(np.load(observations)), Path(out), device)
    print(f"  explaining {time.perf_counter() - start:.2f}", file=sys.stderr)


if __name__ == "__main__":
    main()
