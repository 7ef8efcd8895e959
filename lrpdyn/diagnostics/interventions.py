"""Which layers made a change of the maps: their weights are put back to those of the step before.

The part of a layer is the share of the change that goes away without its new weights: alone, and as
its Shapley value, in which the shares of all layers add up to what goes away with all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lrpdyn.checkpoints.model import Checkpoint
from lrpdyn.diagnostics.weight_change import Weights, layers_with_weights
from lrpdyn.dynamics.measures import normalise, rows
from lrpdyn.errors import UsageError
from lrpdyn.explain.explanation import Question, chosen_samples, explain
from lrpdyn.explain.loaded import LoadedNetwork, load_if_there, other_tensors
from lrpdyn.explain.model import Model
from lrpdyn.files.streamed import Samples
from lrpdyn.observations.checked_samples import evenly_spaced
from lrpdyn.outliers.facts import Floats
from lrpdyn.outliers.report import Outliers
from lrpdyn.system.memory import give_back

#: What goes away where the new weights of some layers are taken away; 0 of none.
Value = Callable[[frozenset[str]], float]

#: Transitions that are flagged and looked into, at most.
MOST_TRANSITIONS = 10
#: Samples that are explained with layers put back, at most.
MOST_SAMPLES = 16
#: Of a deep network and few steps fewer are, but at least so many.
FEWEST_SAMPLES = 4
#: Layers up to which every set of them is put back.
EXACT = 5
#: Orders of more layers that are drawn: fewer say too little, more add nothing.
FEWEST_ORDERS, MOST_ORDERS = 8, 64
#: Shares of a change: of a layer that made it alone, of the least that one layer must have, of the least
#: that is worth a word.
_ALONE, _HALF, _WORTH = 0.8, 0.5, 0.1


@dataclass(frozen=True, kw_only=True)
class Transition:
    """Two steps of a series, and why it is of interest what made the change between them."""

    before: int
    after: int
    why: str


def chosen_transitions(outliers: Outliers) -> list[Transition]:
    """Return the transitions of which it is to be known who made them, at most ten."""
    return [
        Transition(before=before, after=after, why=why)
        for before, after, why in outliers.in_question()[:MOST_TRANSITIONS]
    ]


def layers_of(model: Model) -> dict[str, tuple[Tensor, ...]]:
    """Return the tensors of each layer on the path; weights that two share are those of the first."""
    found: dict[str, tuple[Tensor, ...]] = {}
    seen: set[int] = set()
    for name, own in layers_with_weights(model.network, model.path, whole_numbers=True).items():
        tensors = tuple(tensor for tensor in own if tensor.data_ptr() not in seen)
        seen.update(tensor.data_ptr() for tensor in tensors)
        if tensors:
            found[name] = tensors
    return found


def _first(layers: int) -> int:
    """Return how many explanations it takes to put each layer back alone, and all."""
    return layers + (layers > 1)


def shared_out(transitions: int, layers: int, most: int, both: int = 0) -> list[int]:
    """Return how many of `most` explanations each transition may take, in order.

    First each layer is put back alone, and all, for as many transitions as that suffices for; what is
    left is for the Shapley values, in the same order. `both` are further ones that each transition
    takes for its two steps.
    """
    first = _first(layers)
    whole = 2**layers - 1 if layers <= EXACT else first + MOST_ORDERS * (layers - 2)
    reached = min(transitions, most // (first + both))
    left, found = most - reached * (first + both), []
    for _ in range(reached):
        more = min(whole - first, left)
        left -= more
        found.append(first + more)
    return found + [0] * (transitions - reached)


def samples_by_default(layers: int, steps: int, samples: int) -> int:
    """Return how many samples are explained with layers put back.

    Fewer where the layers of one transition would take more than a quarter of the explaining.
    """
    quarter = steps * samples // 4
    few, many = min(samples, FEWEST_SAMPLES), min(samples, MOST_SAMPLES)
    return max(few, min(many, quarter // (_first(layers) + 2)))


def shared_out_by_default(transitions: int, layers: int, steps: int, samples: int) -> list[int]:
    """Return `shared_out` of a quarter of what explaining took, with both steps of each transition.

    The first transition has what it takes to put each layer back, if that is less than the explaining.
    """
    each = samples_by_default(layers, steps, samples)
    quarter, least = steps * samples // (4 * each), _first(layers) + 2
    most = max(quarter, least) if least * each <= steps * samples else quarter
    return shared_out(transitions, layers, most, both=2)


@dataclass(frozen=True, kw_only=True)
class Interventions:
    """Puts the weights of layers back, and explains the same samples with the question of the run.

    Where the question follows the preference, the changed network's own preference decides: with all
    layers put back it is the step before. `checkpoints` are by step.
    """

    model: Model
    observations: Samples
    question: Question
    normalisation: str
    checkpoints: Mapping[int, Checkpoint]
    trust: bool

    def works(
        self, transitions: Sequence[Transition], steps: int, most: int | None
    ) -> list[Callable[[], dict[str, Any]]]:
        """Return what has to be done, in any order: each gives an entry of the report.

        Parameters
        ----------
        steps
            How many were explained.
        most
            Explanations of changed networks, at most; `shared_out_by_default` where it is None.
        """
        layers, count = len(layers_of(self.model)), len(transitions)
        number = min(len(self.observations), MOST_SAMPLES)
        if most is None:
            number = samples_by_default(layers, steps, len(self.observations))
            shared = shared_out_by_default(count, layers, steps, len(self.observations))
        else:
            shared = shared_out(count, layers, most)
        samples = evenly_spaced(len(self.observations), number)
        works: list[Callable[[], dict[str, Any]]] = []
        for n, allowed in enumerate(shared):
            if allowed:
                works.append(partial(self.measure, transitions[n], allowed, samples))
            else:
                words = f"not measured: --interventions {(n + 1) * _first(layers)} reaches it"
                works.append(partial(_entry, transitions[n], samples, words=words))
        return works

    def measure(
        self, transition: Transition, allowed: int, samples: Sequence[int]
    ) -> dict[str, Any]:
        """Return an entry of the report, made with so many explanations of changed networks at most.

        At the end the network has the weights of the step after.
        """
        new = layers_of(self.model)
        loaded = self._load(transition.before)
        if loaded is None:
            return _gone(transition, samples, transition.before)
        one = self._maps(loaded, samples)
        old = {name: tuple(tensor.clone() for tensor in own) for name, own in new.items()}
        loaded = self._load(transition.after)
        if loaded is None:
            return _gone(transition, samples, transition.after)
        whole, moved = _distance(one, self._maps(loaded, samples)), _moved(old, new)
        if not whole or not moved:
            words = "not measured: maps are not finite" if whole is None else "nothing changed"
            return _entry(transition, samples, words=words, change=whole)
        known = {frozenset[str](): 0.0}

        def value(back: frozenset[str]) -> float:
            if back not in known:
                pairs = [pair for name in back for pair in zip(new[name], old[name], strict=True)]
                with other_tensors(loaded, pairs, "layers of two steps") as mixed:
                    left = _distance(one, self._maps(mixed, samples))
                known[back] = math.nan if left is None else 1 - left / whole
            return known[back]

        names, left = list(moved), allowed - _first(len(moved))
        alone = {name: value(frozenset([name])) for name in names}
        together, orders, shapley = value(frozenset(names)), None, None
        if len(names) <= EXACT:
            if left >= 2 ** len(names) - 1 - _first(len(names)):
                shapley = shapley_values(names, value)
        elif left >= FEWEST_ORDERS * (len(names) - 2):
            orders = min(MOST_ORDERS, left // (len(names) - 2))
            shapley = sampled_values(names, value, orders)
        found = [
            {
                "layer": name,
                "alone": _finite(alone[name]),
                "shapley": None if shapley is None else _finite(shapley[name]),
                "moved": _finite(moved[name]),
            }
            for name in names
        ]
        give_back()
        return _entry(
            transition, samples, change=whole, explanations=len(known) - 1,
            orders=orders, layers=sorted(found, key=_part, reverse=True), together=_finite(together),
        )  # fmt: skip

    def _load(self, step: int) -> LoadedNetwork | None:
        return load_if_there(self.model, self.checkpoints[step], trust=self.trust)

    def _maps(self, loaded: LoadedNetwork, samples: Sequence[int]) -> Floats | None:
        """Return the normalised maps of the samples as rows; None where there are none."""
        found = explain(*chosen_samples(loaded, self.observations, self.question, samples))
        try:
            return rows(normalise(found.relevance, self.normalisation)) if found.finite else None
        except UsageError:  # relevance of both signs, by whose sum nothing can be divided
            return None


def _gone(transition: Transition, samples: Sequence[int], step: int) -> dict[str, Any]:
    return _entry(
        transition, samples, words=f"not measured: the checkpoint of step {step:,} is gone"
    )


def _entry(
    transition: Transition,
    samples: Sequence[int],
    *,
    change: float | None = None,
    explanations: int = 0,
    orders: int | None = None,
    layers: Sequence[dict[str, Any]] = (),
    together: float | None = None,
    words: str = "",
) -> dict[str, Any]:
    known = [entry["alone"] for entry in layers if entry["alone"] is not None]
    return {
        "from_step": transition.before,
        "to_step": transition.after,
        "why": transition.why,
        "samples": list(samples),
        "change": change,
        "explanations": explanations,
        "orders": orders,
        "layers": list(layers),
        "together": together,
        "no_single_layer": max(known) < _HALF if known else False,
        "words": words or in_words(layers, together),
    }


def _distance(one: Floats | None, two: Floats | None) -> float | None:
    """Return the median over samples of how far two maps are apart; None where one is not there."""
    if one is None or two is None:
        return None
    return float(np.median(np.abs(two - one).sum(axis=1)))


def _moved(old: Weights, new: Weights) -> dict[str, float]:
    """Return ||new - old|| / ||old|| of each layer that differs."""
    found = {}
    for name, own in new.items():
        if not all(torch.equal(was, now) for was, now in zip(old[name], own, strict=True)):
            numbers = [
                (was.cpu().double(), now.cpu().double())
                for was, now in zip(old[name], own, strict=True)
                if was.is_floating_point()
            ]
            length = _length(was for was, _ in numbers)
            away = _length(now - was for was, now in numbers)
            found[name] = away / length if length > 0 else math.inf
    return found


def _length(tensors: Iterable[Tensor]) -> float:
    return math.hypot(*(float(torch.linalg.vector_norm(tensor)) for tensor in tensors))


def shapley_values(players: Sequence[str], value: Value) -> dict[str, float]:
    """Return the Shapley value of each player: its mean gain over all orders in which they come.

    >>> shapley_values("ab", lambda those: {"": 0.0, "a": 0.5, "b": 0.1, "ab": 1.0}["".join(sorted(those))])
    {'a': 0.7, 'b': 0.3}
    """
    count = len(players)
    found = {}
    for player in players:
        others = [other for other in players if other != player]
        gains = [
            (value(frozenset([*those, player])) - value(frozenset(those)))
            / (count * math.comb(count - 1, size))
            for size in range(count)
            for those in combinations(others, size)
        ]
        found[player] = math.fsum(gains)
    return found


def sampled_values(players: Sequence[str], value: Value, orders: int) -> dict[str, float]:
    """Return the mean gain of each player over so many orders, always the same ones."""
    random, sums = np.random.default_rng(0), dict.fromkeys(players, 0.0)
    for _ in range(orders):
        there: list[str] = []
        for n in random.permutation(len(players)).tolist():
            gain = value(frozenset([*there, players[n]])) - value(frozenset(there))
            there.append(players[n])
            sums[players[n]] += gain / orders
    return sums


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _part(entry: Mapping[str, Any]) -> float:
    """Return the part of a layer by which layers are ordered."""
    known = (entry["shapley"], entry["alone"], -math.inf)
    return next(float(part) for part in known if part is not None)


def in_words(layers: Sequence[Mapping[str, Any]], together: float | None) -> str:
    """Return who made a change, in words; `layers` have the one with the largest part first.

    >>> in_words([{"layer": "conv2", "alone": 0.841, "shapley": None}], 1.0)
    'conv2 alone makes 84 % of the change'
    """
    alone = {entry["layer"]: entry["alone"] for entry in layers if entry["alone"] is not None}
    if not alone or together is None:
        return "not measured: maps are not finite where layers are put back"
    lead, best = layers[0]["layer"], max(alone.values())
    shares = [
        f"{entry['layer']} ({_percent(entry['shapley'])})"
        for entry in layers[:3]
        if entry["shapley"] is not None and entry["shapley"] >= _WORTH
    ]
    others = [name for name, share in alone.items() if share >= _HALF and name != lead]
    if best < _HALF:
        most = f"at most {_percent(best)}" if best >= 0.005 else "nothing"
        text = (
            f"no single layer: putting back any one of the {len(layers)} layers takes away {most}; "
            f"all together take away {_all(together)} of it"
        )
        text += f"; shares: {', '.join(shares)}" if shares else ""
    elif alone.get(lead, 0.0) >= _ALONE:
        text = f"{lead} alone makes {_all(alone[lead])} of the change"
        for name in others[:1]:
            text += f"; putting back {name} in its place takes away {_percent(alone[name])}"
    elif shares:
        kind = "mostly" if layers[0]["shapley"] >= _HALF else "shared by"
        text = f"{kind} {' with '.join(shares[:2])}"
    else:
        text = f"putting back {lead} alone takes away {_percent(best)} of the change"
    worse = min(alone, key=lambda name: alone[name])
    if alone[worse] < -_WORTH:
        text += f"; putting back {worse} alone makes it {_percent(-alone[worse])} larger"
    return text


def _all(share: float) -> str:
    return "all" if abs(share - 1) < 0.005 else _percent(share)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
