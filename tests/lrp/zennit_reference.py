"""Zennit 0.5.1 as the reference for whole networks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from zennit import rules
from zennit.canonizers import Canonizer
from zennit.composites import (
    EpsilonAlpha2Beta1,
    EpsilonAlpha2Beta1Flat,
    EpsilonGammaBox,
    EpsilonPlus,
    EpsilonPlusFlat,
    LayerMapComposite,
    layer_map_base,
)
from zennit.core import Composite
from zennit.types import Linear

LOW, HIGH = -3.0, 3.0
#: Next to nothing: lrpdyn's stabiliser goes by the size of a layer's outputs, Zennit's does not.
NOTHING = 1e-30
Canonizers = list[Canonizer]


def _uniform(rule: Callable[[], object]) -> Callable[[Canonizers], Composite]:
    return lambda canonizers: LayerMapComposite(
        [*layer_map_base(NOTHING), (Linear, rule())], canonizers=canonizers
    )


#: What ``--rule`` takes, and Zennit's composite for it.
COMPOSITES: dict[str, Callable[[Canonizers], Composite]] = {
    "epsilon-plus": lambda c: EpsilonPlus(stabilizer=NOTHING, canonizers=c),
    "epsilon-plus-flat": lambda c: EpsilonPlusFlat(stabilizer=NOTHING, canonizers=c),
    "epsilon-alpha2-beta1": lambda c: EpsilonAlpha2Beta1(stabilizer=NOTHING, canonizers=c),
    "epsilon-alpha2-beta1-flat": lambda c: EpsilonAlpha2Beta1Flat(stabilizer=NOTHING, canonizers=c),
    f"epsilon-gamma-box:{LOW:g},{HIGH:g}": lambda c: EpsilonGammaBox(
        LOW, HIGH, stabilizer=NOTHING, canonizers=c
    ),
}
RULES: dict[str, Callable[[Canonizers], Composite]] = {
    "zplus": _uniform(lambda: rules.ZPlus(stabilizer=NOTHING)),
    "epsilon": _uniform(rules.Epsilon),
    "gamma": _uniform(lambda: rules.Gamma(stabilizer=NOTHING)),
    "alpha2beta1": _uniform(lambda: rules.AlphaBeta(2, 1, stabilizer=NOTHING)),
    "alphabeta:3,2": _uniform(lambda: rules.AlphaBeta(3, 2, stabilizer=NOTHING)),
    "wsquare": _uniform(lambda: rules.WSquare(stabilizer=NOTHING)),
    "flat": _uniform(lambda: rules.Flat(stabilizer=NOTHING)),
    "norm": _uniform(lambda: rules.Norm(stabilizer=NOTHING)),
}


def by_zennit(
    network: nn.Module,
    composite: Callable[[Canonizers], Composite],
    x: Tensor,
    unit: Tensor,
    canonizers: Canonizers | None = None,
) -> Tensor:
    """Return Zennit's relevance for one unit of each sample."""
    x = x.clone().requires_grad_()
    made = composite(canonizers or [])
    epsilons = {m: m.eps for m in network.modules() if hasattr(m, "running_var")}
    with made.context(network) as explained:
        if canonizers:
            # Zennit merges a BatchNorm and leaves its eps, which then scales what is merged.
            for norm in epsilons:
                norm.eps = 0.0
        output = explained(x)
        seed = torch.zeros_like(output)
        index = torch.arange(len(x))
        seed[index, unit] = output[index, unit].detach()
        (found,) = torch.autograd.grad(output, x, seed)
    for norm, eps in epsilons.items():
        norm.eps = eps
    return found
