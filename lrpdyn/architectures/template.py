"""A network of your own for lrpdyn: fill in the layers as your training script has them, then

    lrpdyn compute CHECKPOINTS OBSERVATIONS --arch my_net.py:MyNet --arch-arg actions=6

Names of layers must be those of the checkpoint's keys (lrpdyn inspect shows the first of them); a
prefix that all keys share, as ``model.``, is taken off by itself. Attention, gates, LSTM and GRU can be
used as they are; what is done to each operation, or which one has no rule, says

    lrpdyn inspect --layers CHECKPOINTS OBSERVATIONS --arch my_net.py:MyNet --arch-arg actions=6
"""

from __future__ import annotations

from torch import Tensor, nn


class MyNet(nn.Module):
    """Arguments come from ``--arch-arg NAME=VALUE``."""

    #: The outputs that --head can name, the first is the default. A network with a single output
    #: needs neither this nor `path`.
    heads = ("policy", "value")
    #: What the policy's outputs are: logits of one discrete action; "3,2": of an action of 3 and one of
    #: 2 choices; "binary": one logit each; "box": means of continuous actions.
    action_space = "discrete"

    def __init__(self, channels: int = 4, actions: int = 6) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, 32, kernel_size=8, stride=4),
            nn.ReLU(),
            nn.Conv2d(32, 64, kernel_size=4, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * 9 * 9, 256),  # 9 x 9 is what is left of 84 x 84 pixels
            nn.ReLU(),
        )
        self.policy = nn.Linear(256, actions)
        self.value = nn.Linear(256, 1)

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the outputs (N, units) of `head`.

        Whatever the training did to pixels outside of the network is said by --scale, --mean and
        --std; what its forward did belongs here.
        """
        return nn.Sequential(self.features, self.policy if head == "policy" else self.value)

    def forward(self, x: Tensor) -> Tensor:
        """Used where there is no `path`: return the outputs (N, units) of a network's only head."""
        return self.path("policy")(x)  # type: ignore[no-any-return]
