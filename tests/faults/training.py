"""A real training run that saves checkpoints: for what follows one, in a process of its own.

    python -m tests.faults.training FOLDER POLL

Stable-Baselines3 trains PPO on images for some seconds; its own callback saves every 64 steps. Two more
checkpoints, of `SLOW`, are written in pieces, at the worst for one who looks every POLL seconds. It
begins when it is given a line.
"""

from __future__ import annotations

import io
import sys
import time
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

EVERY, LAST = 64, 480
#: The first is written in another order, as tools that copy in parallel do: its container is whole before
#: its weights are. The second, the last of all, stands still without its end.
SLOW = (288, LAST)
STEPS = sorted([*range(EVERY, LAST, EVERY), *SLOW])
#: The least that the network takes, channels first.
SHAPE = (1, 36, 36)
_PACE = 0.006


def frame(column: int) -> NDArray[np.uint8]:
    """Return what is seen where the dot is in a column."""
    image = np.zeros(SHAPE, np.uint8)
    image[0, :, 16:20] = 40
    image[0, 12:20, column : column + 4] = 255
    return image


def main(folder: Path, poll: float) -> None:
    """Train, and write checkpoints."""
    warnings.simplefilter("ignore")  # gymnasium and Stable-Baselines3 warn about each other
    import gymnasium
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback

    class Dot(gymnasium.Env[NDArray[np.uint8], np.int64]):
        """Move a dot to the middle."""

        observation_space = gymnasium.spaces.Box(0, 255, SHAPE, np.uint8)
        action_space = gymnasium.spaces.Discrete(3)

        def reset(self, **given: Any) -> tuple[NDArray[np.uint8], dict[str, Any]]:
            super().reset(**given)
            self.column, self.steps = int(self.np_random.integers(0, 32)), 0
            return frame(self.column), {}

        def step(
            self, action: np.int64
        ) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
            self.column = min(max(self.column + 2 * (int(action) - 1), 0), 31)
            self.steps += 1
            return frame(self.column), -abs(self.column - 16) / 16, False, self.steps == 20, {}

    class InPieces(BaseCallback):
        """Write some checkpoints slowly, and train no faster than a small run does."""

        def _on_step(self) -> bool:
            time.sleep(_PACE)
            if self.num_timesteps in SLOW:
                buffer = io.BytesIO()
                self.model.save(buffer)
                write = _weights_last if self.num_timesteps == SLOW[0] else _with_rests
                write(folder / f"rl_model_{self.num_timesteps}_steps.zip", buffer.getvalue(), poll)
            return True

    torch.set_num_threads(1)
    model = PPO("CnnPolicy", Dot(), n_steps=32, batch_size=32, n_epochs=2, learning_rate=1e-3, seed=0,
                device="cpu")  # fmt: skip
    sys.stdin.readline()
    model.learn(LAST, callback=[CheckpointCallback(EVERY, str(folder)), InPieces()])


def _weights_last(path: Path, content: bytes, poll: float) -> None:
    """Write the network's weights after all else, without a rest, for longer than between two looks."""
    network = zipfile.ZipFile(io.BytesIO(content)).getinfo("policy.pth")
    begin = network.header_offset + network.compress_size // 2
    end = begin + network.compress_size // 4
    pieces = 40
    size = -(-(end - begin) // pieces)
    with path.open("wb", buffering=0) as file:
        file.write(content[:begin])
        file.seek(end)
        file.write(content[end:])
        file.seek(begin)
        for piece in range(begin, end, size):
            time.sleep(4 * poll / pieces)
            file.write(content[piece : min(piece + size, end)])


def _with_rests(path: Path, content: bytes, poll: float) -> None:
    """Write with rests that are longer than between two looks."""
    third = len(content) // 3
    with path.open("wb", buffering=0) as file:
        for begin, end in ((0, third), (third, 2 * third), (2 * third, len(content))):
            file.write(content[begin:end])
            time.sleep(2.5 * poll if end < len(content) else 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
