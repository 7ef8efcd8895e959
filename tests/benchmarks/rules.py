"""Exact z-plus beside Zennit's and beside Captum's own rule: NatureCNN, one thread.

    python tests/benchmarks/rules.py [--batch 32] [--repeats 20]

Everything is measured in turns in one run, and the medians are compared.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from captum.attr import LRP
from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, PropagationRule
from torch import Tensor, nn
from zennit.composites import LayerMapComposite
from zennit.rules import Pass, ZPlus
from zennit.types import Activation, Convolution, Linear

from lrpdyn.lrp.attribution import relevance
from lrpdyn.lrp.canonical.canonise import canonise
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.lrp.plan import make_plan


class Flatten(nn.Module):
    """Captum has no rule for nn.Flatten; this one is left alone."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


class Untouched(PropagationRule):
    def _manipulate_weights(self, module: nn.Module, inputs: object, outputs: object) -> None:
        pass

    def forward_hook(self, module: nn.Module, inputs: object, outputs: Tensor) -> Tensor:
        return outputs


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(4, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(),
        nn.Conv2d(64, 64, 3, 1), nn.ReLU(), Flatten(), nn.Linear(3136, 512), nn.ReLU(),
        nn.Linear(512, 6),
    ).eval()  # fmt: skip


def by_zennit(net: nn.Module, x: Tensor, unit: Tensor) -> Tensor:
    composite = LayerMapComposite([(Activation, Pass()), ((Convolution, Linear), ZPlus())])
    x = x.clone().requires_grad_()
    with composite.context(net) as explained:
        output = explained(x)
        seed = torch.zeros_like(output)
        index = torch.arange(len(x))
        seed[index, unit] = output[index, unit].detach()
        (found,) = torch.autograd.grad(output, x, seed)
    return found


def by_captum(net: nn.Module, x: Tensor, unit: Tensor) -> Tensor:
    for module in net:  # type: ignore[attr-defined]
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.rule = Alpha1_Beta0_Rule()
        elif isinstance(module, Flatten):
            module.rule = Untouched()
    found: Tensor = LRP(net).attribute(x.clone().requires_grad_(), target=unit)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    net = network()
    x = torch.rand(options.batch, 4, 84, 84)
    unit = net(x).argmax(1)
    canonised = canonise(net)
    plan = make_plan(canonised, parse_composite("zplus"))
    rows = torch.eye(6)[unit]
    ways: dict[str, Callable[[], Tensor]] = {
        "lrpdyn zplus": lambda: relevance(canonised, plan, x, rows),
        "Zennit ZPlus": lambda: by_zennit(net, x, unit),
        "Captum Alpha1_Beta0_Rule": lambda: by_captum(net, x, unit),
    }
    exact = ways["Zennit ZPlus"]()
    error = (ways["lrpdyn zplus"]() - exact).abs().max() / exact.abs().max()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.repeats):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    own = medians["lrpdyn zplus"]
    print(f"NatureCNN, batch {options.batch}, one thread, median of {options.repeats}")
    for name, value in medians.items():
        print(f"{name:<26} {1000 * value:8.1f} ms   lrpdyn takes {own / value:.2f} of it")
    print(f"largest difference from Zennit over the largest relevance: {error:.1e}")


if __name__ == "__main__":
    main()
