"""A network that is being trained: its weights as they are now, and a copy of it to explain."""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lrpdyn.architectures.model import Architecture, always, never, nothing
from lrpdyn.architectures.registry import Resolved
from lrpdyn.checkpoints.model import Header
from lrpdyn.checkpoints.readers import read_header
from lrpdyn.errors import ArchitectureError
from lrpdyn.files.text import first_line

_WRAPPERS = {"DataParallel", "DistributedDataParallel", "FullyShardedDataParallel"}


@dataclass(frozen=True, kw_only=True)
class LiveNetwork:
    """A network that is being trained.

    Attributes
    ----------
    module
        Has the weights.
    header
        Their shapes, and what is known of the network besides.
    resolved
        A copy of the network; None where its architecture is found as that of a checkpoint is.
    """

    module: nn.Module
    header: Header
    resolved: Resolved | None

    def weights(self) -> Mapping[str, Tensor]:
        """Return the weights as they are now, not copied."""
        return weights_of(self.module)


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a module's state, by key."""
    return {k: v for k, v in module.state_dict().items() if isinstance(v, Tensor)}


def live_network(given: Any, folder: Path, *, named: bool) -> LiveNetwork:
    """Return the network of a module, or of an algorithm of Stable-Baselines3.

    Parameters
    ----------
    folder
        Where a file may lie for a moment.
    named
        Whether the user names the architecture.

    Raises
    ------
    ArchitectureError
        It is neither, or cannot be copied.
    """
    algorithms = sys.modules.get("stable_baselines3.common.base_class")
    if algorithms is not None and isinstance(given, algorithms.BaseAlgorithm):
        policy: nn.Module = given.policy
        return LiveNetwork(module=policy, header=_header_of(given, folder), resolved=None)
    if not isinstance(given, nn.Module):
        raise ArchitectureError(
            f"Watch: expected a torch.nn.Module or an algorithm of Stable-Baselines3, found a "
            f"{type(given).__name__}"
        )
    if any(kind.__module__.startswith("stable_baselines3.") for kind in type(given).__mro__):
        raise ArchitectureError(
            f"Watch: {type(given).__name__} is a policy of Stable-Baselines3; give the algorithm (model, not "
            "model.policy)"
        )
    module = _unwrapped(given)
    shapes = {key: tuple(tensor.shape) for key, tensor in weights_of(module).items()}
    config: Any = getattr(module, "config", None)
    hints = {"config": config.to_dict()} if hasattr(config, "to_dict") else {}
    resolved = None if named or hints else Resolved(architecture=_copied(module), arguments={})
    return LiveNetwork(module=module, header=Header(shapes, hints=hints), resolved=resolved)


def _unwrapped(module: nn.Module) -> nn.Module:
    """Return the network that `torch.compile` and data parallelism wrap."""
    while type(module).__name__ in _WRAPPERS or hasattr(module, "_orig_mod"):
        inner: Any = getattr(module, "_orig_mod", None) or module.module
        module = inner
    return module


def _copied(module: nn.Module) -> Architecture:
    """Return the architecture of a module: copies of it, whose layers are initialised anew."""
    try:
        with torch.no_grad():
            template = copy.deepcopy(module).cpu().eval()
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ArchitectureError(
            f"Watch: {type(module).__name__} cannot be copied ({first_line(error)}); give the network inside "
            "it, or a function that makes it with arch="
        ) from error
    template.requires_grad_(True)
    kept = _never_reset(template)

    def made() -> nn.Module:
        network = copy.deepcopy(template)
        for layer in network.modules():
            reset = getattr(layer, "reset_parameters", None)
            if callable(reset):
                reset()
        return network

    return Architecture(
        name=f"live:{type(module).__module__}.{type(module).__qualname__}",
        factory=made,
        recognise=never,
        source="lrpdyn.Watch",
        assumes=always(f"untrained networks keep {kept} as it was when Watch began") if kept else nothing,
    )  # fmt: skip


def _never_reset(network: nn.Module) -> str:
    """Return the names of parameters that no layer initialises anew."""
    found = [
        f"{name}.{key}".lstrip(".")
        for name, layer in network.named_modules()
        if not callable(getattr(layer, "reset_parameters", None))
        for key, _ in layer.named_parameters(recurse=False)
    ]
    return ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")


def _header_of(algorithm: Any, folder: Path) -> Header:
    """Return the header of the checkpoint that an algorithm would save now."""
    path = folder / "header.zip"
    try:
        folder.mkdir(exist_ok=True)
        algorithm.save(path)
        return read_header(path, "sb3-zip")
    finally:
        path.unlink(missing_ok=True)
