"""RecurrentPPO of sb3-contrib: an LSTM between the features and the perceptrons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from lrpdyn.architectures.frameworks.sb3 import (
    EXTRACTORS,
    ActorCritic,
    Extractor,
    convolved_of,
    images_and_flat,
    layer_arguments,
)
from lrpdyn.architectures.model import Arguments
from lrpdyn.architectures.recurrence import RecurrentPath, recurrent, recurrent_sizes
from lrpdyn.checkpoints.model import Shapes


class RecurrentActorCritic(ActorCritic):
    """RecurrentActorCriticPolicy: ``lstm_actor``, and for values the same, ``lstm_critic`` or ``critic``.

    Parameters
    ----------
    lstm
        Arguments of `lrpdyn.architectures.recurrence.recurrent`, of each LSTM.
    critic
        What values come from: ``lstm_critic``, ``critic`` (a Linear layer instead), or the actor's LSTM.
    extractors, channels, convolved
        As of `lrpdyn.architectures.frameworks.sb3.ActorCritic`, as are further arguments.
    """

    def __init__(
        self,
        lstm: Arguments,
        critic: str = "lstm_critic",
        extractors: tuple[str, ...] = (),
        channels: int = 0,
        convolved: int = 0,
        **layers: Any,
    ) -> None:
        super().__init__(**layers)
        for name in extractors:
            self.add_module(name, Extractor(channels, convolved, lstm["inputs"]))
        self.lstm_actor = recurrent(**lstm)
        if critic == "lstm_critic":
            self.lstm_critic = recurrent(**lstm)
        elif critic == "critic":
            self.critic = nn.Linear(lstm["inputs"], lstm["hidden"])

    def initialise(self) -> None:
        """Begin as sb3-contrib does: what is not in ActorCriticPolicy begins as torch has it."""
        super().initialise()
        if hasattr(self, "critic"):
            self.critic.reset_parameters()

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observations to the outputs of `head`."""
        extractor = self.extractor(head)
        first = [nn.Flatten()] if extractor is None else [extractor.cnn, extractor.linear]
        last = self.after_features(head)
        if head == "value" and hasattr(self, "critic"):
            return nn.Sequential(*first, self.critic, *last)
        own = head == "value" and hasattr(self, "lstm_critic")
        return RecurrentPath(
            nn.Sequential(*first), self.lstm_critic if own else self.lstm_actor,
            nn.Sequential(*last), axes=2 if extractor is None else 4,
            name="critic_lstm" if own else "lstm",
        )  # fmt: skip


def _recognise(shapes: Shapes, hints: Mapping[str, Any], *, images: bool) -> Arguments | None:
    lstm = recurrent_sizes(shapes, "lstm_actor")
    convolved = convolved_of(shapes, "features_extractor", images=images)
    if lstm is None or convolved is None:
        return None
    extractors = [name for name in EXTRACTORS if f"{name}.linear.0.weight" in shapes]
    kinds = {"lstm_critic": "lstm_critic.weight_ih_l0", "critic": "critic.weight"}
    return {
        "lstm": lstm,
        "critic": next((kind for kind, key in kinds.items() if key in shapes), "lstm_actor"),
        **layer_arguments(shapes, hints),
        **({"extractors": extractors} if images else {}),
        **convolved,
    }


ARCHITECTURES = images_and_flat(
    "sb3-recurrent", RecurrentActorCritic, _recognise, "sb3_contrib.common.recurrent.policies"
)
