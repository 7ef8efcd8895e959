"""One network that many checkpoints are loaded into."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from lrpdyn.architectures.registry import Resolved, path_of
from lrpdyn.checkpoints.model import Checkpoint
from lrpdyn.errors import ArchitectureError, ObservationError, UsageError
from lrpdyn.explain.units import LOGITS, Units, units_of, usual_units
from lrpdyn.files.streamed import Samples, pieces
from lrpdyn.files.text import first_line
from lrpdyn.lrp.canonical.canonise import Canonised, canonise_fully
from lrpdyn.lrp.canonical.first_layer import RECURRENT, first_with_weights
from lrpdyn.lrp.composites import Composite
from lrpdyn.lrp.plan import Bounds, Plan, make_plan
from lrpdyn.lrp.registry import Rule
from lrpdyn.lrp.shifted import against
from lrpdyn.observations import spaces
from lrpdyn.observations.fixed_inputs import FixedInputs, is_recurrent
from lrpdyn.observations.layout import Expected


@dataclass(frozen=True, kw_only=True, eq=False)
class OtherWeights:
    """Weights that are not a checkpoint's, such as those of a random network: what they are called."""

    name: str


@dataclass(kw_only=True)
class WeightsNow:
    """Which weights a network has now; None before any were put into it."""

    source: Checkpoint | OtherWeights | None = None


@dataclass(frozen=True, kw_only=True)
class Model:
    """A network, and the canonised path to one of its heads, which shares its weights.

    What needs certain weights takes a `lrpdyn.explain.loaded.LoadedNetwork`.

    Parameters
    ----------
    layers
        The canonised network; None until the observations are known, by whose shape it is traced.
    plan
        The rule of each layer; empty until then, too, and under one of Captum's own rules.
    fixed_inputs
        The values of the other inputs, by sample, of a network with several.
    weights
        Which weights are in the network; models that are made of this one share it.
    units
        What the outputs of the head are.
    reference
        What relevance is measured from, (1, ...), as the network takes observations; None where it is
        zero.
    """

    resolved: Resolved
    network: nn.Module
    path: nn.Module
    composite: Composite
    head: str
    device: torch.device
    batch_size: int
    layers: Canonised | None = None
    plan: Plan = field(default_factory=dict)
    fixed_inputs: FixedInputs = field(default_factory=dict)
    weights: WeightsNow = field(default_factory=WeightsNow)
    units: Units = LOGITS
    reference: NDArray[np.float32] | None = None

    @property
    def canonised(self) -> Canonised:
        """The canonised network."""
        assert self.layers is not None, "canonised before its observations are known"
        return self.layers

    @property
    def explained(self) -> fx.GraphModule:
        """The network that is explained."""
        return self.canonised.explained


def make_model(
    resolved: Resolved, head: str | None, device: str, batch_size: int, composite: Composite
) -> Model:
    """Build the network, whose path to `head` is explained."""
    chosen = torch.device(device)
    network = resolved.build().to(chosen)
    name, path = path_of(network, head)
    return Model(
        resolved=resolved,
        network=network,
        path=path.eval(),
        composite=composite,
        head=name,
        device=chosen,
        batch_size=batch_size,
        units=usual_units(name),
    )


def with_fixed_inputs(model: Model, values_of: FixedInputs, chosen: Sequence[int]) -> Model:
    """Return the model with the other inputs' values of the samples that were chosen."""
    return replace(
        model, fixed_inputs={name: values[list(chosen)] for name, values in values_of.items()}
    )


def with_units(model: Model, count: int, actions: str | None) -> Model:
    """Return the model with what its head's `count` outputs are, which `actions` may say.

    Raises
    ------
    UsageError
        What is said of the outputs does not fit them.
    """
    hints = model.resolved.hints
    return replace(model, units=units_of(model.network, model.head, count, hints, actions))


def with_layers(model: Model, observations: Samples) -> Model:
    """Return the model with its canonised network, traced with the first of the observations.

    Raises
    ------
    ObservationError
        The network does not take observations of this shape.
    ArchitectureError
        An operation of it has no rule, or it depends on the observations which there are; its outputs are
        not (N, units).
    """
    if model.layers is not None:
        return model
    # Of one sample a squeeze would drop the dimension of samples, too.
    _, examples = next(batches(model, observations[:2]))
    _check_fit(model, examples)
    return replace(model, layers=canonise_fully(model.path, model.composite.claims, examples[:1]))


def _check_fit(model: Model, examples: Tensor) -> None:
    name = model.resolved.architecture.name
    try:
        with torch.no_grad():
            outputs = model.path(examples)
    except NotImplementedError:
        return  # which the trace says of its line
    except (RuntimeError, ValueError, AssertionError, IndexError) as error:
        raise ObservationError(
            f"observations of shape {tuple(examples.shape[1:])} do not fit architecture {name}: "
            f"{first_line(error)}"
        ) from error
    if isinstance(outputs, Tensor) and outputs.ndim != 2:
        raise ArchitectureError(
            f"architecture {name}: expected outputs (N, units), found {tuple(outputs.shape)} for "
            f"{tuple(examples.shape)}; give --arch a network that keeps one axis of units (no squeeze)"
        )


def with_plan(model: Model, observations: Samples, bounds: Bounds | None) -> Model:
    """Return the model with its canonised network, if it has none, and the rule of each layer.

    `bounds` are the least and the largest value that observations can have, where that is known.

    Raises
    ------
    UsageError
        A rule does not fit a layer, or observations lie outside of the bounds of a rule; the reference
        does not fit the network or the rule.
    """
    model = with_layers(model, observations)
    if model.composite.exact_rule is not None:
        if model.reference is not None:
            raise UsageError(
                f"--reference: Captum's own rule {model.composite.name} has none; give --rule "
                f"{model.composite.exact_rule}, or --reference none"
            )
        return model
    for assignment in model.composite.assignments:
        if assignment.rule.definition.bounded:
            _check_bounds(assignment.rule, observations)
    _, example = next(batches(model, observations[:1]))
    plan = make_plan(model.explained, model.composite, example, bounds)
    if model.reference is not None:
        plan = against(model.explained, plan, torch.from_numpy(model.reference))
    return replace(model, plan=plan)


def _check_bounds(rule: Rule, observations: Samples) -> None:
    low, high = rule.parameters["low"], rule.parameters["high"]
    if low is None or high is None:
        return
    shape = (-1, 1, 1) if observations.ndim > 3 else (-1, *[1] * (observations.ndim - 2))
    lowest = np.reshape(low, shape) if isinstance(low, tuple) else low
    highest = np.reshape(high, shape) if isinstance(high, tuple) else high
    outside = [
        bool((piece < lowest).any() or (piece > highest).any()) for piece in pieces(observations)
    ]
    if any(outside):
        least = min(float(piece.min()) for piece in pieces(observations))
        most = max(float(piece.max()) for piece in pieces(observations))
        raise UsageError(
            f"rule {rule}: the observations lie in {least:g}.."
            f"{most:g}, as the network takes them; its bounds must hold them"
        )


def expected_observations(model: Model) -> Expected:
    """Return what the first layer with weights takes, and how pixels are scaled."""
    first = first_with_weights(model.path, model.composite.claims)
    if first is None:
        raise ArchitectureError(
            f"architecture {model.resolved.architecture.name}: head {model.head} has no linear layer"
        )
    channels: Any = getattr(first, "in_channels", None)
    features: Any = getattr(first, "in_features", getattr(first, "input_size", None))
    hints = model.resolved.hints
    image = channels is not None
    name, space = _explained_input(hints.get("observation_space"), model.path, image=image)
    preprocessing = model.resolved.architecture.preprocessing
    divisor, limits = preprocessing.divisor, preprocessing.expected
    if space is not None and space["kind"] != "Dict" and divisor is not None:
        normalize = hints.get("normalize_images") is not False
        divisor = spaces.divisor_of(space, normalize_images=normalize)
        limits = spaces.range_of(space, normalize_images=normalize)
    shape = hints.get("observation_shape") if space is None else space.get("shape")
    return Expected(
        channels=channels,
        features=features,
        sequences=isinstance(first, nn.Conv1d),
        divisor=divisor,
        range=limits,
        shape=shape if space is None or space["kind"] == "Box" else None,
        space=space,
        name=name,
        recurrent=is_recurrent(model.path)
        or any(isinstance(module, RECURRENT) for module in model.path.modules()),
    )


def _explained_input(
    space: Mapping[str, Any] | None, path: nn.Module, *, image: bool
) -> tuple[str | None, Mapping[str, Any] | None]:
    """Return the name and the space of the input that is explained, of several; else the space."""
    held = getattr(path, "held", {})
    inputs = (space or {}).get("spaces") or {}
    explained = [name for name in inputs if name not in held]
    if (held or image) and len(explained) == 1:
        return explained[0], inputs[explained[0]]
    return None, space


def batch_slices(model: Model, count: int, begin: int = 0) -> Iterator[slice]:
    """Yield which of `count` samples, from `begin` on, are explained at once: last bits depend on it."""
    for start in range(begin, count, model.batch_size):
        yield slice(start, min(start + model.batch_size, count))


def batches(model: Model, observations: Samples, begin: int = 0) -> Iterator[tuple[slice, Tensor]]:
    """Yield which samples are explained at once, and their observations as the network takes them.

    The network's other inputs are set to the values of these samples. On a GPU the next batch is on
    its way while one is worked on.
    """
    dtype = next(model.network.parameters()).dtype

    def moved(chosen: slice) -> Tensor:
        batch = torch.from_numpy(observations[chosen])
        if model.device.type == "cuda":
            return batch.pin_memory().to(model.device, dtype, non_blocking=True)
        return batch.to(model.device, dtype)

    slices = list(batch_slices(model, len(observations), begin))
    ahead = moved(slices[0]) if slices else None
    for n, chosen in enumerate(slices):
        assert ahead is not None
        x, ahead = ahead, moved(slices[n + 1]) if n + 1 < len(slices) else None
        for name, values in model.fixed_inputs.items():
            part = torch.from_numpy(values[chosen])
            # The canonised network shares the buffer: its content changes, not the buffer.
            getattr(model.path, f"held_{name}").data = part.to(model.device, dtype)
        yield chosen, x
