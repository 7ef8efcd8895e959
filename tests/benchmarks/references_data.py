"""Runs to measure references on, trained here in a few minutes: a classifier of real pictures, and an agent.

``photographs`` needs scikit-image, which ships most of the pictures; ``boxing`` plays an Atari game.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from stable_baselines3 import PPO
from stable_baselines3.common.atari_wrappers import WarpFrame
from torch import Tensor, nn

OBSERVATIONS = 32
#: The photographs of the classes, from scikit-image and scikit-learn.
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "retina", "immunohistochemistry",
               "hubble_deep_field")  # fmt: skip


class Vgg(nn.Module):
    """Pairs of convolutions with pooling between, and two linear layers, as VGG has them."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, side = 3, 32
        for width in (16, 32, 64):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(),
                       nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]  # fmt: skip
            channels, side = width, side // 2
        self.features = nn.Sequential(*layers)
        self.hidden = nn.Linear(channels * side * side, 64)
        self.classes = nn.Linear(64, len(PHOTOGRAPHS) + 2)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.classes(torch.relu(self.hidden(self.features(pictures).flatten(1))))


def train(
    parameters: Any,
    logits: Callable[[Tensor], Tensor],
    inputs: NDArray[np.uint8],
    labels: NDArray[np.int64],
    save: Callable[[int], Any],
    saved: tuple[int, ...],
) -> None:
    """Fit labels with Adam in batches of 32 pictures, 0..1, and save at some iterations."""
    generator = np.random.default_rng(0)
    optimiser = torch.optim.Adam(parameters, lr=5e-4)
    for iteration in range(1, max(saved) + 1):
        chosen = generator.integers(len(inputs), size=32)
        x, y = torch.from_numpy(inputs[chosen]).float() / 255, torch.from_numpy(labels[chosen])
        loss = nn.functional.cross_entropy(logits(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if iteration in saved:
            print(f"iteration {iteration}: cross entropy {loss.item():.3f}", flush=True)
            save(iteration)


def photographs(folder: Path) -> None:
    """Which of nine colour photographs a crop is of; held out are crops of their right third."""
    from skimage import data
    from sklearn.datasets import load_sample_images

    generator = np.random.default_rng(0)
    whole = [getattr(data, name)() for name in PHOTOGRAPHS] + load_sample_images().images

    def crops(each: int, left: float, right: float) -> tuple[Any, Any]:
        found = []
        for photograph in whole:
            picture = Image.fromarray(photograph[..., :3])
            scale = 320 / min(picture.size)
            picture = picture.resize([round(side * scale) for side in picture.size])
            width, height = picture.size
            for _ in range(each):
                x = int(generator.integers(left * width, right * width - 64))
                y = int(generator.integers(height - 64))
                crop = picture.crop((x, y, x + 64, y + 64)).resize((32, 32))
                found.append(np.asarray(crop).transpose(2, 0, 1))
        labels = np.repeat(np.arange(len(whole)), each)
        order = generator.permutation(len(labels))
        return np.stack(found)[order], labels[order]

    (x, y), (held_x, held_y) = crops(300, 0, 2 / 3), crops(50, 2 / 3, 1)
    torch.manual_seed(0)
    network = Vgg()
    (folder / "ckpts").mkdir(parents=True)

    def save(step: int) -> None:
        state = {"step": step, "model": network.state_dict()}
        torch.save(state, folder / "ckpts" / f"net_{step}.pt")

    train(network.parameters(), network, x, y, save, (50, 150, 400))
    _keep(folder, network, held_x, held_y)


def boxing(folder: Path, frames: int = 4000) -> None:
    """An agent that learns to box from a player who goes for his opponent's place, from RAM."""
    import ale_py

    gymnasium.register_envs(ale_py)
    environment = gymnasium.make("ALE/Boxing-v5", frameskip=4, repeat_action_probability=0.0)
    environment = gymnasium.wrappers.FrameStackObservation(WarpFrame(environment), 4)
    environment = gymnasium.wrappers.TransformObservation(
        environment,
        lambda stack: np.asarray(stack)[..., 0],
        gymnasium.spaces.Box(0, 255, (4, 84, 84), np.uint8),
    )
    agent = PPO("CnnPolicy", environment, device="cpu", seed=0)
    generator = np.random.default_rng(0)
    seen, wanted = [], []
    observation, _ = environment.reset(seed=0)
    for _ in range(frames):
        action = _boxer(environment.unwrapped.ale.getRAM())
        seen.append(observation)
        wanted.append(action)
        if generator.random() < 0.4:  # so that it is seen from everywhere in the ring
            action = int(generator.integers(18))
        observation, _, ended, cut, _ = environment.step(action)
        if ended or cut:
            observation, _ = environment.reset()
    x, y = np.stack(seen), np.array(wanted)
    policy, known = agent.policy, slice(0, frames * 3 // 4)
    (folder / "ckpts").mkdir(parents=True)

    def logits(pictures: Tensor) -> Tensor:
        hidden, _ = policy.mlp_extractor(policy.pi_features_extractor(pictures))
        return policy.action_net(hidden)

    def save(step: int) -> None:
        agent.num_timesteps = step
        agent.save(folder / "ckpts" / f"boxer_{step}_steps.zip")

    train(policy.parameters(), logits, x[known], y[known], save, (100, 600, 1200))
    _keep(folder, logits, x[known.stop :], y[known.stop :])


def _keep(
    folder: Path,
    logits: Callable[[Tensor], Tensor],
    inputs: NDArray[np.uint8],
    labels: NDArray[np.int64],
) -> None:
    """Say how much of what is held out is right, and keep some of it as observations."""
    with torch.no_grad():
        found = logits(torch.from_numpy(inputs).float() / 255).argmax(1).numpy()
    print(
        f"{folder.name}: {np.mean(found == labels):.0%} of {len(labels)} that are held out are right"
    )
    np.save(folder / "obs.npy", inputs[:: len(inputs) // OBSERVATIONS][:OBSERVATIONS])


def _boxer(ram: NDArray[np.uint8]) -> int:
    """Return the action of a player who moves to the side of his opponent, and punches there."""
    x, other_x, y, other_y = (int(ram[place]) for place in (32, 33, 34, 35))
    across, down = other_x - x, other_y - y
    if abs(across) < 30 and abs(down) < 8:
        return 1
    right, left, below, above = across > 24, across < -24, down > 3, down < -3
    names = {
        (False, False, False, True): 2, (True, False, False, False): 3, (False, True, False, False): 4,
        (False, False, True, False): 5, (True, False, False, True): 6, (False, True, False, True): 7,
        (True, False, True, False): 8, (False, True, True, False): 9,
    }  # fmt: skip
    return names.get((right, left, below, above), 1)
