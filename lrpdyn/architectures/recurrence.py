"""Recurrent layers between features and outputs: over a sequence, from a hidden state that is fixed."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn

from lrpdyn.architectures.model import Arguments
from lrpdyn.checkpoints.model import Shapes

#: The number of matrices in ``weight_ih`` of each kind.
_GATES = {"lstm": 4, "gru": 3}


def recurrent(kind: str, inputs: int, hidden: int, layers: int, bias: bool = True) -> nn.RNNBase:
    """Return an ``nn.LSTM`` or ``nn.GRU``, whose first axis is time."""
    made = {"lstm": nn.LSTM, "gru": nn.GRU}[kind]
    return made(inputs, hidden, num_layers=layers, bias=bias)  # type: ignore[no-any-return]


def recurrent_sizes(shapes: Shapes, name: str) -> Arguments | None:
    """Return the arguments of `recurrent` for the layers called `name`, None where there are none.

    LSTM and GRU differ in the number of their matrices. An Elman network, which has one, has a
    function that weights do not tell.

    Examples
    --------
    >>> recurrent_sizes({"lstm.weight_ih_l0": (32, 4), "lstm.weight_hh_l0": (32, 8)}, "lstm")
    {'kind': 'lstm', 'inputs': 4, 'hidden': 8, 'layers': 1, 'bias': False}
    """
    first, second = (shapes.get(f"{name}.weight_{part}_l0") for part in ("ih", "hh"))
    if first is None or second is None:
        return None
    kinds = [kind for kind, gates in _GATES.items() if gates * second[1] == first[0] == second[0]]
    if not kinds:
        return None
    pattern = re.compile(re.escape(name) + r"\.weight_ih_l\d+")
    return {
        "kind": kinds[0],
        "inputs": first[1],
        "hidden": second[1],
        "layers": sum(pattern.fullmatch(key) is not None for key in shapes),
        "bias": f"{name}.bias_ih_l0" in shapes,
    }


class RecurrentPath(nn.Module):
    """The network as a function of the observations: the output after the last of a sequence.

    The hidden state that a sequence begins with is fixed: a buffer ``held_NAME_h`` (1, layers, hidden),
    and of an LSTM ``held_NAME_c``, zero at first. Observations (N, ...) are sequences of one.

    Parameters
    ----------
    before
        From observations (N, ...) to features (N, inputs).
    layers
        As of `recurrent`.
    after
        From hidden states (N, hidden) to the outputs.
    axes
        How many axes observations (N, ...) have that are no sequences.
    name
        Of the hidden state, as the arrays of observations call it.

    Attributes
    ----------
    held
        The shape (layers, hidden) of each state, by name.
    recurrent
        Marks the networks that take sequences, and whose fixed inputs are hidden states.
    """

    recurrent = True

    def __init__(
        self, before: nn.Module, layers: nn.RNNBase, after: nn.Module, *, axes: int, name: str
    ) -> None:
        super().__init__()
        self.before, self.layers, self.after = before, layers, after
        self._axes = axes
        kinds = "hc" if isinstance(layers, nn.LSTM) else "h"
        shape = (layers.num_layers, layers.hidden_size)
        self.held: dict[str, Any] = {f"{name}_{kind}": shape for kind in kinds}
        for state in self.held:
            self.register_buffer(f"held_{state}", torch.zeros(1, *shape), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs (N, units) for observations (N, ...) or (N, T, ...)."""
        samples = x.shape[0]
        if x.ndim > self._axes:
            features = self.before(x.flatten(0, 1)).view(samples, x.shape[1], -1).transpose(0, 1)
        else:
            features = self.before(x).unsqueeze(0)
        states = [
            getattr(self, f"held_{name}").expand(samples, -1, -1).transpose(0, 1).contiguous()
            for name in self.held
        ]
        found, _ = self.layers(features, tuple(states) if len(states) > 1 else states[0])
        return self.after(found[-1])  # type: ignore[no-any-return]
