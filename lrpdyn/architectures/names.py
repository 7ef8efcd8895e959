"""The names that ``--arch`` takes, known without torch: for completion, and for a name mistyped."""

from __future__ import annotations

from importlib.metadata import entry_points

from lrpdyn.errors import UsageError
from lrpdyn.files.nearby import did_you_mean

#: The entry-point group of architectures of other packages.
GROUP = "lrpdyn.architectures"
#: Of `lrpdyn.architectures.registry.ARCHITECTURES` and `FAMILIES`, which a test compares them with.
NAMES = (
    "sb3-cnn", "sb3-mlp", "sb3-dqn-cnn", "sb3-dqn-mlp", "sb3-qrdqn-cnn", "sb3-qrdqn-mlp",
    "sb3-multi-input", "sb3-dqn-multi-input", "sb3-recurrent-cnn", "sb3-recurrent-mlp",
    "sb3-sac-cnn", "sb3-sac-mlp", "sb3-td3-cnn", "sb3-td3-mlp", "sb3-crossq-cnn",
    "sb3-crossq-mlp", "cleanrl-ppo-pettingzoo-atari", "cleanrl-ppo-atari",
    "cleanrl-ppo-atari-lstm", "cleanrl-dqn-atari", "cleanrl-sac-atari", "cleanrl-pqn-atari",
    "cleanrl-ppo", "cleanrl-ppo-continuous", "cleanrl-td3", "cleanrl-sac", "cleanrl-dqn",
    "cleanrl-c51", "cleanrl-pqn", "cleanrl-c51-atari", "cleanrl-rainbow-atari",
    "cleanrl-ppo-procgen", "cleanrl-ppg-procgen", "cleanrl-qdagger-impala",
    "cleanrl-ppo-trxl", "cleanrl-ppo-trxl-images", "sample-factory", "tianshou-dqn",
    "tianshou-c51", "tianshou-qrdqn", "tianshou-rainbow", "tianshou-ppo",
    "tianshou-ppo-unscaled", "tianshou-net", "tianshou-actor", "tianshou-actor-means",
    "tianshou-recurrent", "pfrl-dqn-atari", "pfrl-dueling-dqn-atari", "pfrl-rainbow-atari",
    "pfrl-ppo-atari", "torchrl-atari-dqn", "torchrl-dueling-cnn", "torchrl-dueling-mlp",
    "torchrl-ddpg-cnn", "torchrl-ddpg-mlp", "torchrl-gaussian", "torchrl-recurrent",
    "rllib-ppo", "rllib-dqn", "cifar-cnn", "catch", "mlp",
)  # fmt: skip
PREFIXES = ("hf:", "torchvision:", "timm:")


def check_name(name: str) -> None:
    """Raise UsageError where ``--arch`` cannot take a name, as far as that is known without torch."""
    if name not in NAMES and ":" not in name and not entry_points(group=GROUP):
        raise unknown_architecture(name, NAMES)


def unknown_architecture(name: str, known: tuple[str, ...]) -> UsageError:
    """Return the error for a name that no architecture has."""
    if name.endswith(".py"):
        return UsageError(
            f"--arch {name}: expected FILE.py:CALLABLE, with the name of what makes the network: "
            f"--arch {name}:NAME"
        )
    return UsageError(
        f"no architecture is called '{name}'{did_you_mean(name, known)}; expected one that lrpdyn "
        f"architectures lists, {', '.join(f'{prefix}NAME' for prefix in PREFIXES)}, or your own as "
        "MODULE:CALLABLE or FILE.py:CALLABLE"
    )
