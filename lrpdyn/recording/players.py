"""How a policy acts, what its network is given, and what that gives: by framework."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lrpdyn.errors import RecordingError, UsageError
from lrpdyn.recording.recurrent import Recurrent, evaluated, recorded_outputs

#: A function from observations, float32 tensors (1, ...), to outputs (1, K).
Outputs = Callable[[Any], Any]


@dataclass(frozen=True, kw_only=True)
class Player:
    """A policy in an environment.

    Its functions take an observation as the environment has it, and the hidden state of a recurrent
    policy, None where an episode begins and for other policies.

    Parameters
    ----------
    act
        Returns the action as the environment has it, and the next state.
    outputs
        Returns the outputs (1, K).
    given
        Returns what the network is given, (1, ...), or that by input.
    about
        Plain data on the framework and the policy.
    """

    act: Callable[[Any, Any], tuple[Any, Any]]
    outputs: Callable[[Any, Any], NDArray[np.float64]]
    given: Callable[[Any, Any], Any]
    about: Mapping[str, Any]


def player_of(
    policy: Any,
    *,
    action_space: Any,
    batched: bool,
    deterministic: bool,
    head: str | None,
    outputs: Outputs | None,
) -> Player:
    """Return how a policy is played.

    Parameters
    ----------
    policy
        A model or policy of Stable-Baselines3 or sb3-contrib, whatever else has ``predict``, a
        module, or a function.
    action_space
        Of the environment, of gymnasium.
    batched
        Whether the environment takes and gives batches of one.
    deterministic
        Whether it acts as it prefers; it draws otherwise.
    head
        Which outputs: ``policy`` or ``value``, ``q``.
    outputs
        The outputs, where `policy` alone does not tell how it has them.

    Raises
    ------
    UsageError
        How the policy has its outputs is not known.
    """

    def batch(observation: Any) -> Any:
        return observation if batched else each(observation, lambda array: np.asarray(array)[None])

    predict = getattr(policy, "predict", None)
    if outputs is None and (network := _stable_baselines(policy)) is not None:
        name, layer = _head_of(network, head)
        package = type(network).__module__.partition(".")[0]
        about = {"framework": package.replace("_", "-"), "head": name, **_version_of(package)}
        recurrent = Recurrent(network, name) if hasattr(network, "lstm_actor") else None
        return Player(
            act=_predicted(predict, deterministic) if recurrent is None else
            lambda seen, state: recurrent.act(predict, seen, batch(seen), state, deterministic),
            outputs=lambda seen, state: _outputs(network, name, layer, batch(seen), recurrent, state),
            given=lambda seen, state: _given(network, batch(seen), recurrent, state),
            about={**about, "policy": type(network).__name__, "step": _step_of(policy)},
        )  # fmt: skip
    function = outputs or (policy if _is_function(policy) and predict is None else None)
    if function is None:
        raise UsageError(
            f"how a {type(policy).__name__} has its outputs is not known: give outputs=FUNCTION, from "
            "observations (1, ...), a float32 tensor, to outputs (1, K), such as a module of its own"
        )

    def called(observation: Any, state: Any) -> NDArray[np.float64]:
        return _called(function, batch(observation))

    def act(observation: Any, state: Any) -> tuple[Any, None]:
        chosen = _action(called(observation, state)[0], action_space, deterministic)
        return np.asarray(chosen)[None] if batched else chosen, None

    return Player(
        act=act if predict is None else _predicted(predict, deterministic),
        outputs=called,
        given=lambda observation, state: batch(observation),
        about={"framework": None, "head": head, "policy": type(policy).__name__},
    )


def each(observation: Any, change: Callable[[Any], Any]) -> Any:
    """Return an observation changed; one of several inputs, each of them."""
    if isinstance(observation, Mapping):
        return {name: change(array) for name, array in observation.items()}
    return change(observation)


def _predicted(predict: Any, deterministic: bool) -> Callable[[Any, Any], tuple[Any, None]]:
    named = inspect.signature(predict).parameters
    options = {"deterministic": deterministic} if "deterministic" in named else {}

    def act(observation: Any, state: Any) -> tuple[Any, None]:
        found = predict(observation, **options)
        return found[0] if isinstance(found, tuple) else found, None

    return act


def _is_function(policy: Any) -> bool:
    """Tell whether it can be called; a module may have no forward, as CleanRL's agents."""
    if isinstance(policy, nn.Module):
        return type(policy).forward is not nn.Module.forward
    return callable(policy)


def _called(function: Outputs, batch: Any) -> NDArray[np.float64]:
    device = None
    if isinstance(function, nn.Module):
        device = next((parameter.device for parameter in function.parameters()), None)
    tensors = each(
        batch, lambda array: torch.as_tensor(np.asarray(array), dtype=torch.float32).to(device)
    )
    with torch.no_grad(), evaluated(function):
        found = function(tensors)
    values = found.detach().cpu().numpy() if isinstance(found, Tensor) else found
    shape: Sequence[int] = getattr(values, "shape", ())
    if len(shape) != 2 or shape[0] != 1 or np.asarray(values).dtype.kind not in "uif":
        raise RecordingError(
            f"expected outputs (1, K), found {type(found).__name__} of shape {tuple(shape)}; give "
            "outputs=FUNCTION that returns those of one head"
        )
    return np.asarray(values, dtype=np.float64)


def _action(values: NDArray[np.float64], space: Any, deterministic: bool) -> Any:
    """Return the action that outputs (K,) stand for in a space of gymnasium."""
    kind = type(space).__name__
    if kind == "Box" and deterministic:
        return np.clip(values.reshape(space.shape), space.low, space.high).astype(space.dtype)
    if kind == "MultiBinary" and deterministic:
        return (values > 0).astype(space.dtype)
    counts = {"Discrete": getattr(space, "n", 0), "MultiDiscrete": getattr(space, "nvec", 0)}
    sizes = np.atleast_1d(counts.get(kind, 0))
    if sizes.sum() != len(values):
        raise UsageError(
            f"how {len(values)} outputs choose an action of {space}, deterministic={deterministic}, is not "
            "known: give a policy with predict, and outputs=FUNCTION"
        )
    groups = np.split(values, np.cumsum(sizes)[:-1])
    chosen = np.array([_chosen(torch.from_numpy(group), deterministic) for group in groups])
    return int(chosen[0] + space.start) if kind == "Discrete" else chosen + space.start


def _chosen(logits: Tensor, deterministic: bool) -> int:
    if deterministic:
        return int(logits.argmax())
    return int(torch.multinomial(torch.softmax(logits, dim=0), 1))


def _stable_baselines(policy: Any) -> Any:
    """Return the network of a model or policy of Stable-Baselines3 or sb3-contrib, else None."""
    if "stable_baselines3" not in sys.modules:
        return None
    from stable_baselines3.common.policies import BasePolicy

    network = getattr(policy, "policy", policy)
    return network if isinstance(network, BasePolicy) else None


def _version_of(package: str) -> dict[str, str]:
    version = getattr(sys.modules.get(package), "__version__", None)
    return {} if version is None else {"framework_version": str(version)}


def _step_of(policy: Any) -> int | None:
    steps = getattr(policy, "num_timesteps", None)
    return int(steps) if isinstance(steps, int) else None


def _head_of(policy: Any, head: str | None) -> tuple[str, nn.Module]:
    """Return the name of the head, and the policy's own layer that gives its outputs."""
    actor = getattr(policy, "actor", None)
    layers = {
        "policy": getattr(policy, "action_net", _means(getattr(actor, "mu", None))),
        "value": getattr(policy, "value_net", None),
        "q": getattr(policy, "quantile_net", getattr(policy, "q_net", None)),
    }
    heads = {name: layer for name, layer in layers.items() if isinstance(layer, nn.Module)}
    if not heads:
        raise RecordingError(
            f"the outputs of a {type(policy).__name__} are not known: it cannot be recorded"
        )
    name = next(iter(heads)) if head is None else head
    if name not in heads:
        raise UsageError(
            f"--head {name}: the heads of a {type(policy).__name__} are {', '.join(heads)}"
        )
    return name, heads[name]


def _outputs(
    policy: Any,
    head: str,
    layer: nn.Module,
    observations: Any,
    recurrent: Recurrent | None,
    state: Any,
) -> NDArray[np.float64]:
    """Return the outputs (1, K) for observations (1, ...), by the policy's own layers."""
    tensors, _ = policy.obs_to_tensor(observations)
    given = () if recurrent is None else recurrent.arguments(state)
    with torch.no_grad(), evaluated(policy), recorded_outputs(layer) as found:
        if head == "value":
            policy.predict_values(tensors, *given)
        else:
            policy._predict(tensors, *given, deterministic=True)
    outputs = found[-1].mean(dim=1) if found[-1].ndim == 3 else found[-1]  # over quantiles
    return outputs.double().cpu().numpy()  # type: ignore[no-any-return]


def _means(layers: Any) -> nn.Module | None:
    """Return the last Linear layer, before what squashes or clips the means that it gives."""
    found = layers.modules() if isinstance(layers, nn.Module) else ()
    return next((m for m in reversed([*found]) if isinstance(m, nn.Linear)), None)


def _given(policy: Any, observations: Any, recurrent: Recurrent | None, state: Any) -> Any:
    """Return what the network is given: the observations, and the hidden states of a recurrent one."""
    seen = _given_observations(policy, observations)
    states = {} if recurrent is None else recurrent.named(state)
    if not states:
        return seen
    return {**(seen if isinstance(seen, dict) else {"observation": seen}), **states}


def _given_observations(policy: Any, observations: Any) -> Any:
    """Return what `lrpdyn.compute` reads without options: pixels of a NatureCNN, numbers otherwise.

    Pixels are divided by 255 by whoever knows the network; what else the framework does to an
    observation, such as making a number one-hot, is done.
    """
    from stable_baselines3.common.preprocessing import preprocess_obs
    from stable_baselines3.common.torch_layers import CombinedExtractor, NatureCNN

    tensors, _ = policy.obs_to_tensor(observations)
    numbers = preprocess_obs(tensors, policy.observation_space, policy.normalize_images)
    if not isinstance(tensors, dict):
        pixels = any(isinstance(module, NatureCNN) for module in policy.modules())
        return (tensors if pixels else numbers).cpu().numpy()
    combined = [module for module in policy.modules() if isinstance(module, CombinedExtractor)]
    extractors = combined[0].extractors if combined else {}
    return {
        name: (tensor if name in extractors and isinstance(extractors[name], NatureCNN) else numbers[name])
        .cpu()
        .numpy()
        for name, tensor in tensors.items()
    }  # fmt: skip
