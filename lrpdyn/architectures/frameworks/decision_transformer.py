"""Transformers' decision transformer as a function of the states; actions and returns are held fixed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lrpdyn.errors import ArchitectureError

CLASS = "DecisionTransformerModel"
ACTIONS, RETURNS, TIMES = "actions", "returns_to_go", "timesteps"


class Decisions(nn.Module):
    """From states (N, T, features) to the action after the last, before the tanh that may follow.

    Attributes
    ----------
    held, whole, without, recurrent
        As `lrpdyn.observations.fixed_inputs.split_inputs` takes them.
    """

    recurrent = True
    without = f"{ACTIONS} and {RETURNS} zero, {TIMES} from 0 on"

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.first = network.embed_state  # states come to it before anything else
        self.network = network.eval()
        config = network.config
        self.longest = config.max_ep_len
        self.held: dict[str, Any] = {
            ACTIONS: (None, config.act_dim),
            RETURNS: (None, 1),
            TIMES: (None,),
        }
        self.whole = {TIMES: self.longest - 1}
        for name, (_, *more) in self.held.items():
            self.register_buffer(
                f"held_{name}", torch.zeros(1, self.longest, *more), persistent=False
            )
        self.get_buffer(f"held_{TIMES}").copy_(torch.arange(self.longest))

    def forward(self, x: Tensor) -> Tensor:
        """Return the actions (N, dimensions) for states (N, T, features) or (N, features)."""
        states = x if x.ndim > 2 else x.unsqueeze(1)
        samples, steps = states.shape[:2]
        if steps > self.longest:
            raise ArchitectureError(
                f"sequences of {steps} states, and it takes {self.longest} at most (max_ep_len)"
            )
        held = {
            name: getattr(self, f"held_{name}")[:, :steps].expand(samples, steps, *more)
            for name, (_, *more) in self.held.items()
        }
        held[TIMES] = held[TIMES].long()
        _, actions, _ = self.network(states=states, **held, return_dict=False)
        return actions[:, -1]  # type: ignore[no-any-return]
