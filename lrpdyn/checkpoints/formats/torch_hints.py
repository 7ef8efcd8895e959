"""What a file of torch.save says of its network besides the weights, by its outline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lrpdyn.checkpoints.formats.sb3_data import activation_text, hints_of_policy
from lrpdyn.checkpoints.pickles.pickled import Opaque

#: What scripts of timm, torchvision and PyTorch's examples call the network that they trained.
_NETWORKS = ("arch", "model", "model_name")
#: Of CleanRL's Transformer-XL.
_MEMORY = "trxl_memory_length"
_ACTIVATIONS = ("activation", "activation_fn", "act", "nonlinearity")


def hints_of(root: Any) -> dict[str, Any]:
    """Return hints of the network, as `lrpdyn.checkpoints.model.Header` has them.

    ``network`` is the name that the training script had for it. Lightning keeps a module's
    arguments, in which the activation counts if there is only one; Stable-Baselines3's
    ``policy.save`` keeps those of the policy.
    """
    if not isinstance(root, Mapping):
        return {}
    arguments, options = (_mapping(root.get(name)) for name in ("hyper_parameters", "args"))
    names = (place.get(key) for place in (root, options, arguments) for key in _NETWORKS)
    network = next((name for name in names if isinstance(name, str)), None)
    hints: dict[str, Any] = {} if network is None else {"network": network}
    activations = [arguments[key] for key in _ACTIVATIONS if key in arguments]
    if len(activations) == 1 and isinstance(activations[0], str | Opaque):
        hints["activation"] = activation_text(activations[0])
    length = options.get(_MEMORY)
    if isinstance(length, int):
        hints[_MEMORY] = length
    policy = _mapping(root.get("data"))
    return hints | (hints_of_policy(policy) if "activation_fn" in policy else {})


def _mapping(found: Any) -> Mapping[Any, Any]:
    """Return a mapping, or the attributes of a ``Namespace``."""
    inside = found.state if isinstance(found, Opaque) else found
    return inside if isinstance(inside, Mapping) else {}
