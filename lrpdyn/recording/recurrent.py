"""The hidden states of sb3-contrib's recurrent policies in play."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

#: The hidden and the cell state of an LSTM, each (layers, 1, hidden).
_States = tuple[NDArray[np.float32], ...]


class Recurrent:
    """A recurrent policy, of which one `head` is recorded.

    A state of play is that of the actor's LSTM, and that of the critic's where values come from one of
    their own; None where an episode begins.
    """

    def __init__(self, policy: Any, head: str) -> None:
        self._policy = policy
        self._own = head == "value" and policy.lstm_critic is not None
        self._used = head == "policy" or self._own or policy.shared_lstm

    def act(
        self, predict: Any, observation: Any, batch: Any, state: Any, deterministic: bool
    ) -> tuple[Any, tuple[_States, _States]]:
        """Return the action that `predict` gives, and the next state; `batch` is the observation (1, ...)."""
        actor, critic = state or (self._zeros(), self._zeros())
        action, following = predict(observation, state=actor, deterministic=deterministic)
        if self._own:
            critic = self._next_of_critic(batch, critic)
        return action, (following, critic)

    def arguments(self, state: Any) -> tuple[Any, ...]:
        """Return what the policy takes next to observations: states, and that no episode begins."""
        states = (state or (self._zeros(), self._zeros()))[self._own]
        device = self._policy.device
        return tuple(torch.from_numpy(one).to(device) for one in states), torch.zeros(
            1, device=device
        )

    def named(self, state: Any) -> dict[str, NDArray[np.float32]]:
        """Return the states (1, layers, hidden) that the outputs depend on, as observations call them."""
        if not self._used:
            return {}
        states = (state or (self._zeros(), self._zeros()))[self._own]
        name = "critic_lstm" if self._own else "lstm"
        return {
            f"{name}_{kind}": np.swapaxes(one, 0, 1) for kind, one in zip("hc", states, strict=True)
        }

    def _zeros(self) -> _States:
        zeros = np.zeros(self._policy.lstm_hidden_state_shape, dtype=np.float32)
        return zeros, zeros

    def _next_of_critic(self, batch: Any, state: _States) -> _States:
        tensors, _ = self._policy.obs_to_tensor(batch)
        with (
            torch.no_grad(),
            evaluated(self._policy),
            recorded_outputs(self._policy.lstm_critic) as found,
        ):
            self._policy.predict_values(tensors, *self.arguments((None, state)))
        _, (hidden, cell) = found[-1]
        return hidden.cpu().numpy(), cell.cpu().numpy()


@contextmanager
def recorded_outputs(layer: nn.Module) -> Iterator[list[Any]]:
    """Give a list that gets what a layer returns meanwhile."""
    found: list[Any] = []
    handle = layer.register_forward_hook(lambda module, args, output: found.append(output))
    try:
        yield found
    finally:
        handle.remove()


@contextmanager
def evaluated(function: Any) -> Iterator[None]:
    """Have a module in evaluation mode meanwhile."""
    training = isinstance(function, nn.Module) and function.training
    try:
        if training:
            function.eval()
        yield
    finally:
        if training:
            function.train()
