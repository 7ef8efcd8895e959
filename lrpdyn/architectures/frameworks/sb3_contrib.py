"""QR-DQN of sb3-contrib: quantiles of the return, whose mean is the Q value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from lrpdyn.architectures.frameworks.sb3 import (
    ValueNetwork,
    images_and_flat,
    recognise_value_network,
)
from lrpdyn.architectures.model import Arguments
from lrpdyn.architectures.outputs import QuantileMean
from lrpdyn.checkpoints.model import Shapes
from lrpdyn.errors import ArchitectureError

#: What QRDQNPolicy takes where nothing is said.
_N_QUANTILES = 200


class QRDQN(nn.Module):
    """QRDQNPolicy: ``quantile_net`` and its target network.

    Parameters
    ----------
    layers
        Sizes of the perceptron, inputs first; the last is quantiles * actions.
    activation
        Of the perceptron.
    channels, convolved
        Of a NatureCNN before it; 0 for flat observations.
    n_quantiles
        The number of quantiles; sb3-contrib's own default where the sizes allow it.

    Raises
    ------
    ArchitectureError
        The outputs cannot be that many quantiles of two actions or more.
    """

    heads = ("q",)

    def __init__(
        self,
        layers: list[int],
        activation: str | None = "relu",
        channels: int = 0,
        convolved: int = 0,
        n_quantiles: int | None = None,
    ) -> None:
        super().__init__()
        quantiles = _N_QUANTILES if n_quantiles is None else n_quantiles
        actions = layers[-1] // max(quantiles, 1)
        if actions * quantiles != layers[-1] or (actions < 2 and n_quantiles is None):
            raise ArchitectureError(
                f"QR-DQN: {layers[-1]} outputs are not {quantiles} quantiles of each action; say how "
                "many there are, --arch-arg n_quantiles=N"
            )
        self._shape = (quantiles, actions)
        self.quantile_net = ValueNetwork("quantile_net", layers, activation, channels, convolved)
        self.quantile_net_target = ValueNetwork(
            "quantile_net", layers, activation, channels, convolved
        )

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the Q values, means over the quantiles."""
        return nn.Sequential(*self.quantile_net.path("quantile_net"), QuantileMean(self._shape, 1))


def _recognise(shapes: Shapes, hints: Mapping[str, Any], *, images: bool) -> Arguments | None:
    found = recognise_value_network(shapes, hints, network="quantile_net", images=images)
    if found is None:
        return None
    if "n_quantiles" in hints:
        return {**found, "n_quantiles": hints["n_quantiles"]}
    actions = hints.get("n_actions")
    return {**found, "n_quantiles": found["layers"][-1] // actions} if actions else found


ARCHITECTURES = images_and_flat("sb3-qrdqn", QRDQN, _recognise, "sb3_contrib.qrdqn.policies")
