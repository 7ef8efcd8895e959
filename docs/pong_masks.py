"""Masks of walls, score, paddles and ball on Pong's preprocessed frames (84 x 84, grey).

    python docs/pong_masks.py obs.npy masks.npz
    lrpdyn compute ckpts/ obs.npy --rule gamma --regions masks.npz

The background is 87, the opponent's paddle 148, the own one 147, the walls and the ball 236; the
frames were made smaller by averaging, so that an edge has a value in between. Hence an object is what
is not background, at the place where it can be: the paddles move in columns of their own.
"""

import sys

import numpy as np

BACKGROUND, BRIGHT = 87, 170


def masks(observations: np.ndarray) -> dict[str, np.ndarray]:
    """Return a mask (N, C, H, W) for each object, of uint8 frames (N, C, 84, 84)."""
    row, column = np.indices(observations.shape[-2:])
    drawn = observations != BACKGROUND
    field = (row >= 14) & (row < 77)
    # Only walls and ball are brighter than a paddle: the ball may pass a paddle's columns.
    paddle = drawn & (observations < BRIGHT) & field
    enemy = paddle & (column >= 8) & (column <= 10)
    own = paddle & (column >= 73) & (column <= 75)
    return {
        "score": drawn & (row < 9),
        "walls": drawn & ~field & (row >= 9),
        "enemy": enemy,
        "own": own,
        "ball": drawn & field & ~enemy & ~own,
    }


if __name__ == "__main__":
    source, target = sys.argv[1:]
    np.savez_compressed(target, **masks(np.load(source)))
