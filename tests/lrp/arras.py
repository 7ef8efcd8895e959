"""LRP of an LSTM and a GRU by the formulas of Arras et al. 2017 and 2019, in NumPy, with epsilon 0.

"Explaining recurrent neural network predictions in sentiment analysis", eq. 2 to 4: a linear map
shares by z_ij / z_j, in which biases take their part; in a product the gate gets nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Array = np.ndarray
#: W_ih (G H, D), W_hh (G H, H), b_ih and b_hh (G H,) of one layer and direction.
Weights = tuple[Array, Array, Array, Array]


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _linear(x: Array, weight: Array, z: Array, relevance: Array) -> Array:
    """Share the relevance of z (H,), which x (D,) is a part of through weight (H, D)."""
    return (x * weight * (relevance / z)[:, None]).sum(0)


def _part(part: Array, z: Array, relevance: Array) -> Array:
    return part / z * relevance


def lstm(x: Array, weights: Weights) -> tuple[Array, Callable[[Array], Array]]:
    """Return the outputs (T, H), and what brings their relevance (T, H) back to x (T, D)."""
    w, u, b, v = weights
    size, steps = u.shape[1], []
    h = c = np.zeros(size)
    for row in x:
        before_h, before_c, z = h, c, w @ row + u @ h + b + v
        i, f, g, o = (z[k * size : (k + 1) * size] for k in range(4))
        kept, added = _sigmoid(f) * c, _sigmoid(i) * np.tanh(g)
        c = kept + added
        h = _sigmoid(o) * np.tanh(c)
        steps.append((row, before_h, before_c, g, kept, added, c, h))
    rows = slice(2 * size, 3 * size)

    def back(relevance: Array) -> Array:
        of_x, of_h, of_c = np.zeros_like(x), np.zeros(size), np.zeros(size)
        for t, (row, before, _, g, kept, added, cell, _) in reversed(list(enumerate(steps))):
            of_cell = of_c + of_h + relevance[t]
            of_g, of_c = _part(added, cell, of_cell), _part(kept, cell, of_cell)
            of_x[t] = _linear(row, w[rows], g, of_g)
            of_h = _linear(before, u[rows], g, of_g)
        return of_x

    return np.array([step[-1] for step in steps]), back


def gru(x: Array, weights: Weights) -> tuple[Array, Callable[[Array], Array]]:
    """Return the outputs (T, H), and what brings their relevance (T, H) back to x (T, D)."""
    w, u, b, v = weights
    size, steps = u.shape[1], []
    h, rows = np.zeros(size), slice(2 * size, 3 * size)
    for row in x:
        before, of_row, of_state = h, w @ row + b, u @ h + v
        r, z = (_sigmoid((of_row + of_state)[k * size : (k + 1) * size]) for k in (0, 1))
        state = r * of_state[rows]
        n = of_row[rows] + state
        h = (1 - z) * np.tanh(n) + z * before
        steps.append((row, before, of_state[rows], state, n, (1 - z) * np.tanh(n), z * before, h))

    def back(relevance: Array) -> Array:
        of_x, of_h = np.zeros_like(x), np.zeros(size)
        for t, (row, before, linear, state, n, new, kept, out) in reversed(list(enumerate(steps))):
            of_out = of_h + relevance[t]
            of_n = _part(new, out, of_out)
            of_x[t] = _linear(row, w[rows], n, of_n)
            of_state = _part(state, n, of_n)
            of_h = _part(kept, out, of_out) + _linear(before, u[rows], linear, of_state)
        return of_x

    return np.array([step[-1] for step in steps]), back
