"""Compare rules for the far fence on values whose outliers are known.

Run by hand: ``python tests/benchmarks/fences.py [--repeats N]`` (N scales the work; 1 takes less
than a minute). Rules that need the medcouple are left out where statsmodels is not installed.

False flags are the share, in per cent, of clean values beyond the far fence. Found is the share of
planted values beyond it, where 1, 5 and 10 % of the values (at least one) were replaced by five
times the clean .999 quantile: the least over the five distributions. Populations with fewer than 20
positive values have no fence and are left out (60 % zeros, most of n = 44).

Recorded are reconstructions of a real run: 352 changes, of which 24 are broken and lie beyond
Q3 + 3 IQR, and no other does; the medcouple is .30 to .34; the largest value is 2.4 where the
adjusted boxplot has its far fence at 4.28. Bulks of several shapes are drawn until all of this
holds.
"""

import argparse
import importlib.util
import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from lrpdyn.outliers.fences.fences import FEWEST_VALUES, fences

Values = NDArray[np.float64]
Rule = Callable[[Values], float | None]
HAS_MEDCOUPLE = importlib.util.find_spec("statsmodels") is not None


def tukey(values: Values, width: float) -> float:
    lower, upper = np.quantile(values, (0.25, 0.75))
    return float(upper + width * (upper - lower))


def log_tukey(values: Values, width: float) -> float:
    return math.exp(tukey(np.log(values), width))


def root_tukey(values: Values, power: float, width: float) -> float:
    return float(tukey(values**power, width) ** (1 / power))


def within_tukey(values: Values) -> Values:
    return values[values <= tukey(values, 3)]


def lowest(values: Values, share: float) -> Values:
    return np.sort(values)[: round(share * values.size)]


def medcouple(values: Values) -> float:
    """Medcouple of at most 1,001 evenly spaced order statistics: it needs n * n memory."""
    from statsmodels.stats.stattools import medcouple as exact

    if values.size > 1001:
        ranks = np.linspace(0, values.size - 1, 1001).round().astype(int)
        values = np.sort(values)[ranks]
    return float(exact(values))


def adjusted(values: Values, skewed: Values, width: float = 3) -> float:
    """Adjusted boxplot, its medcouple that of ``skewed``."""
    skewness = medcouple(skewed)
    return tukey(values, width * math.exp((3 if skewness >= 0 else 4) * skewness))


def power_fence(values: Values, outer: float, score: float) -> float:
    """Height at a normal score, after the power that makes three quantiles symmetric."""
    low, middle, high = np.quantile(values, (outer, 0.5, 1 - outer))
    below, above = math.log(low / middle), math.log(high / middle)
    smallest, largest = 1e-9, 1.0
    for _ in range(50):
        power = (smallest + largest) / 2
        if math.expm1(power * below) + math.expm1(power * above) > 0:
            largest = power
        else:
            smallest = power
    steps = (score / NormalDist().inv_cdf(1 - outer) - 1) / 2
    raised = math.expm1(power * above)
    raised += steps * (raised - math.expm1(power * below))
    return float(middle * math.exp(min(700.0, math.log1p(raised) / power)))


def quartile_power(values: Values, width: float) -> float:
    """Tukey's fence after a power that makes the quartiles symmetric about the median."""
    return power_fence(values, 0.25, NormalDist().inv_cdf(0.75) * (1 + 2 * width))


def rules() -> dict[str, Rule]:
    """Candidates by name: positive values in, far fence out."""
    plain: dict[str, Rule] = {
        "Tukey 3": lambda x: tukey(x, 3),
        "Tukey 3 on log": lambda x: log_tukey(x, 3),
        "Tukey 1.5 on log": lambda x: log_tukey(x, 1.5),
        "Tukey 2.1 on cube root": lambda x: root_tukey(x, 1 / 3, 2.1),
        "power (quartiles), 1.5": lambda x: quartile_power(x, 1.5),
        "power (quartiles), 2": lambda x: quartile_power(x, 2),
        "larger: Tukey 3, power 1.25": lambda x: max(tukey(x, 3), quartile_power(x, 1.25)),
        "screen, power (5 %), z 2.6": lambda x: power_fence(within_tukey(x), 0.05, 2.6),
        "screen, power (5 %), z 3.1": lambda x: power_fence(within_tukey(x), 0.05, 3.1),
    }
    skewed: dict[str, Rule] = {
        "adjusted 3": lambda x: adjusted(x, x),
        "adjusted 3, MC of lowest 90 %": lambda x: adjusted(x, lowest(x, 0.9)),
        "adjusted 3, all of lowest 90 %": lambda x: adjusted(lowest(x, 0.9), lowest(x, 0.9)),
        "adjusted 3, all of screened": lambda x: adjusted(within_tukey(x), within_tukey(x)),
        "smaller: adjusted 3, log 1.5": lambda x: min(adjusted(x, x), log_tukey(x, 1.5)),
    }
    return plain | (skewed if HAS_MEDCOUPLE else {}) | {"power-tail": lambda x: fences(x).far}


CLEAN: dict[str, tuple[Callable[[np.random.Generator, int], Values], float]] = {
    "half-normal": (lambda rng, n: np.abs(rng.standard_normal(n)), 3.2905),
    "exponential": (lambda rng, n: rng.standard_exponential(n), 6.9078),
    "lognormal": (lambda rng, n: rng.lognormal(size=n), 21.982),
    "|t3|": (lambda rng, n: np.abs(rng.standard_t(3, n)), 12.924),
    "60 % zeros": (
        lambda rng, n: np.where(rng.random(n) < 0.6, 0.0, rng.standard_exponential(n)),
        5.9915,
    ),
}
"""By name: how values are drawn, and their .999 quantile."""


def flagged(rule: Rule, values: Values, picked: NDArray[np.bool_]) -> float | None:
    """Share of the picked values beyond the fence; None without a fence."""
    positive = values[values > 0]
    fence = rule(positive) if positive.size >= FEWEST_VALUES else None
    return None if fence is None else float((values[picked] > fence).mean())


def measure(rule: Rule, count: int, repeats: int) -> tuple[list[float], list[float]]:
    """False flags for each distribution, and the least found for 1, 5 and 10 % planted."""
    shares = (0.0, 0.01, 0.05, 0.1)
    table = np.full((len(CLEAN), len(shares)), np.nan)
    for row, (draw, extreme) in enumerate(CLEAN.values()):
        results: list[list[float]] = [[] for _ in shares]
        for repeat in range(repeats):
            rng = np.random.default_rng([repeat, count, row])
            clean, order = draw(rng, count), rng.permutation(count)
            for share, seen in zip(shares, results, strict=True):
                picked = np.full(count, share == 0)
                values = clean.copy()
                if share:
                    picked[order[: max(1, round(share * count))]] = True
                    values[picked] = 5 * extreme
                result = flagged(rule, values, picked)
                seen.extend([] if result is None else [result])
        table[row] = [100 * np.mean(seen) if seen else np.nan for seen in results]
    return table[:, 0].tolist(), np.nanmin(table[:, 1:], axis=0).tolist()


def bulk(rng: np.random.Generator, shape: int) -> Values:
    """328 changes of a sound run; in the last shape each transition has a size of its own."""
    size = 328
    if shape == 0:
        return rng.weibull(rng.uniform(0.9, 2), size)
    if shape == 1:
        return rng.gamma(rng.uniform(0.8, 4), size=size)
    if shape == 2:
        return rng.lognormal(sigma=rng.uniform(0.3, 0.9), size=size)
    if shape == 3:
        return rng.uniform(0, 1) + rng.standard_exponential(size)
    if shape == 4:
        return rng.uniform(0, 1) + np.abs(rng.standard_normal(size))
    step = rng.lognormal(sigma=rng.uniform(0.3, 0.8), size=(22, 1))
    return (step * rng.lognormal(sigma=rng.uniform(0.1, 0.5), size=(22, 16))).ravel()[:size]


def recorded_runs(wanted: int) -> list[Values]:
    """Populations like the recorded one, the 24 broken values last."""
    rng, runs = np.random.default_rng(0), list[Values]()
    while len(runs) < wanted:
        sound = bulk(rng, len(runs) % 6)
        top = np.median(sound) * rng.uniform(3, 9)
        values = np.append(sound, rng.uniform(top * rng.uniform(0.8, 0.97), top, 24))
        beyond = values > tukey(values, 3)
        if beyond[:328].any() or not beyond[328:].all():
            continue
        blind = tukey(values, 3 * math.exp(3 * 0.32)) / values.max()
        if abs(blind - 4.28 / 2.4) < 0.06 and 0.30 < medcouple(values) < 0.34:
            runs.append(values)
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=float, default=1.0)
    scale = parser.parse_args().repeats
    candidates = rules()
    for count, base in ((44, 60), (352, 12), (1000, 8), (28224, 1)):
        repeats = max(1, round(base * scale))
        print(f"\nn = {count}, {repeats} repeats: false flags (%); least found (%) at 1, 5, 10 %")
        print(f"{'':32}" + "".join(f"{name:>13}" for name in CLEAN) + "     1 %   5 %  10 %")
        for name, rule in candidates.items():
            false, found = measure(rule, count, repeats)
            row = "".join(f"{value:13.2f}" for value in false)
            print(f"{name:32}{row}  " + "".join(f"{value:6.0f}" for value in found), flush=True)
    if not HAS_MEDCOUPLE:
        return
    runs = recorded_runs(round(60 * scale))
    print(f"\nrecorded run, {len(runs)} reconstructions: broken values found, sound flagged (%)")
    for name, rule in candidates.items():
        beyond = np.array([values > (rule(values) or math.inf) for values in runs])
        print(f"{name:32}{100 * beyond[:, 328:].mean():8.1f}{100 * beyond[:, :328].mean():8.2f}")


if __name__ == "__main__":
    main()
