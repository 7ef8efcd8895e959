"""Cheap facts that are kept of every step next to its maps, gathered while its weights are loaded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from lrpdyn.checkpoints.digests import USUAL
from lrpdyn.checkpoints.model import Checkpoint
from lrpdyn.diagnostics.activity import Activity, activity_of
from lrpdyn.diagnostics.occlusion import region_effects
from lrpdyn.diagnostics.weight_change import WeightHistory
from lrpdyn.explain.loaded import LoadedNetwork
from lrpdyn.explain.model import Model
from lrpdyn.files.streamed import Samples
from lrpdyn.lrp.canonical.layers import Weighted
from lrpdyn.lrp.plan import layers_of
from lrpdyn.observations.regions import Painting


def layer_names(model: Model) -> dict[str, str]:
    """Return the name in the checkpoint of each canonised layer that has weights."""
    owners = {
        id(module.weight): name
        for name, module in model.network.named_modules()
        if isinstance(getattr(module, "weight", None), nn.Parameter)
    }
    found = {}
    for name, layer in layers_of(model.explained).items():
        sources = layer.sources() if isinstance(layer, Weighted) else ()
        owned = (owners[id(tensor)] for tensor in sources if id(tensor) in owners)
        found[name] = next(owned, name)
    return found


class StepEvidence:
    """Gathers, at each step, what is kept next to its maps: plain data for its line of the journal."""

    def __init__(
        self,
        model: Model,
        observations: Samples,
        painting: Painting | None,
        *,
        trust: bool,
        algorithm: str = USUAL,
    ) -> None:
        self._observations, self._painting = observations, painting
        self._history = WeightHistory(model, trust=trust, algorithm=algorithm)
        self._names = layer_names(model)
        self._activity = Activity(model.explained, len(observations))
        self._before: Sequence[Checkpoint] = ()
        #: Explain all observations within: their forward passes then need not be made again.
        self.watching = self._activity.watching
        #: Call this once a batch is explained, with how many samples it has.
        self.add_batch = self._activity.add
        #: Call this where a batch could not be explained and is given again in smaller ones.
        self.forget_batch = self._activity.forget_batch

    def key(self, before: Sequence[Checkpoint]) -> list[Any]:
        """Return what the evidence of a step depends on besides the question of the run.

        The steps of the two checkpoints before it, the nearest first, and what is painted over.
        """
        painted = None if self._painting is None else self._painting.key
        one, two = (*(checkpoint.step for checkpoint in before), None, None)[:2]
        return [one, two, painted]

    def set_before(self, before: Sequence[Checkpoint]) -> None:
        """Call this before the weights of the step are loaded, with the two checkpoints before it."""
        self._before = before
        self._history.set_before(before)
        self._activity.forget()

    def gather(self, loaded: LoadedNetwork) -> dict[str, Any]:
        """Return the evidence of a step.

        ``dead`` and ``units`` by layer (`Activity`), ``weights_not_finite``, ``weights``
        (`WeightHistory.advance`), and where regions are given their ``effects``, a list for each region.
        """
        weights, broken = self._history.advance(loaded)
        found: dict[str, Any] = {"dead": {}, "units": {}, "weights_not_finite": broken}
        if not broken:
            activity = self._activity
            if not activity.is_complete:
                activity = activity_of(loaded, self._observations)
            found["dead"] = self._named(activity.dead())
            found["units"] = self._named(activity.facts())
            self._activity.forget()  # features take as much memory as a batch
        found["weights"] = weights
        if self._painting is not None and not broken:
            effects = region_effects(loaded, self._observations, self._painting)
            found["effects"] = [
                [float(e) if math.isfinite(e) else None for e in of_region] for of_region in effects
            ]
        return {"key": self.key(self._before), **found}

    def _named(self, of_layers: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is known of canonised layers by the names of the checkpoint."""
        return {self._names[layer]: value for layer, value in of_layers.items()}
