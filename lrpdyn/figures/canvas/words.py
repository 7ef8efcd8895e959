"""What figures say in words: captions, symbols, and the names of steps, samples and ticks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from lrpdyn.files.names import Names, called

#: Symbols as matplotlib sets them, and as plain text has them.
RELEVANCE, DIFFERENCE, NET = r"$R_i$", r"$|R_i-R_{i+1}|$", r"$|R_N-R_1|$"
SIZE, SUM, FIRST = r"$|R|$", r"$\Sigma$", r"$|R_i-R_1|$"
SYMBOLS = {
    RELEVANCE: "R_i",
    DIFFERENCE: "|R_i − R_{i+1}|",
    NET: "|R_N − R_1|",
    FIRST: "|R_i − R_1|",
    SIZE: "|R|",
    SUM: "sum of",
}
SYMBOL = re.compile("|".join(re.escape(symbol) for symbol in SYMBOLS))

#: What lies beyond the mild and the far fence is called.
SEVERITIES = {"mild": "unusual", "far": "extreme"}

_SIZES = {"B": 10**9, "M": 10**6, "k": 10**3}
#: Labels of steps that are longer than this are written as distances from the first step.
LONGEST_LABEL = 6


def plain(text: str) -> str:
    """Return text with its symbols as a file or a terminal can hold them.

    >>> plain(f"change, {DIFFERENCE}")
    'change, |R_i − R_{i+1}|'
    """
    return SYMBOL.sub(lambda found: SYMBOLS[found[0]], text)


def sentence(text: str) -> str:
    """Return text that begins with a capital and ends with a full stop.

    >>> sentence("steps 0 to 10")
    'Steps 0 to 10.'
    """
    return f"{text[:1].upper()}{text[1:]}."


@dataclass(frozen=True, kw_only=True)
class Caption:
    """What is said of a figure: above it, in the file next to it and in its metadata.

    `line` are the parts of the line below the title, the most important first; `notes` all else, a
    paragraph each.
    """

    title: str
    line: Sequence[str] = ()
    notes: Sequence[str] = ()

    def text(self, title: str | None = None) -> str:
        """Return the whole caption in plain text; with another title where one is given."""
        paragraphs = [title or self.title, "; ".join(self.line), *self.notes]
        return "\n".join(plain(paragraph) for paragraph in paragraphs if paragraph) + "\n"


@dataclass(frozen=True, kw_only=True)
class About:
    """What every figure of a run says.

    The LRP `rule`, the `question` that was asked, what steps count (`unit`), and what relevance,
    differences and changes are measured in (`value_unit`). `axes` says how sequences are drawn, `names` what
    units, features, channels and samples are called.
    """

    rule: str
    question: str
    unit: str = "steps"
    value_unit: str = "units of the score"
    axes: str = ""
    names: Names = field(default_factory=dict)

    def sample(self, number: int) -> str:
        """Return what a sample is called."""
        return called(self.names, "samples", number)

    def line(self, steps: Sequence[int]) -> list[str]:
        """Return the parts of the line below the title of a figure over these steps."""
        return [f"rule {self.rule}", f"{count_of(steps)}, {short_span_of(steps, self.unit)}"]

    def notes(self, steps: Sequence[int]) -> list[str]:
        """Return the notes of a figure over these steps."""
        said = [f"Rule {self.rule}. Question: {self.question}.", f"{sentence(span_of(steps, self.unit))}",
                f"Values are in {self.value_unit}."]  # fmt: skip
        return [*said, sentence(self.axes)] if self.axes else said


@dataclass(frozen=True)
class StepLabels:
    """Short labels of steps, and a note where they do not say all; empty where they do."""

    texts: list[str]
    note: str


def step_labels(steps: Sequence[int]) -> list[str]:
    """Short labels, "12k" or "1.2M", with as many digits as keep different steps apart."""
    for digits in range(3, 20):
        labels = [_short_step(step, digits) for step in steps]
        if len(set(labels)) == len(set(steps)):
            return labels
    return [f"{step:,}" for step in steps]


def _short_step(step: int, digits: int) -> str:
    if step < 10_000:
        return f"{step:,}"
    rounded = round(step, digits - len(str(step)))
    unit, size = next((unit, size) for unit, size in _SIZES.items() if rounded >= size)
    whole, rest = divmod(rounded, size)
    decimals = f"{rest:0{len(str(size)) - 1}d}".rstrip("0")
    return f"{whole:,}.{decimals}{unit}" if decimals else f"{whole:,}{unit}"


def parse_step(text: str) -> int:
    """Read a step as a person or a figure writes it: 100000, 100_000, 100k or 1.1M.

    Raises
    ------
    ValueError
        It is no whole, positive number.
    """
    number, size = text.strip(), 1
    if number[-1:] in _SIZES:
        number, size = number[:-1], _SIZES[number[-1]]
    whole, _, decimals = number.replace("_", "").partition(".")
    if not (whole + decimals).isdecimal() or (decimals and 10 ** len(decimals) > size):
        raise ValueError(text)
    return int(whole or "0") * size + (
        int(decimals) * size // 10 ** len(decimals) if decimals else 0
    )


def narrow_labels(steps: Sequence[int], unit: str) -> StepLabels:
    """Label steps where there is little room: "+7" from the first step, where all are long."""
    labels = step_labels(steps)
    if max(len(label) for label in labels) <= LONGEST_LABEL:
        return StepLabels(texts=labels, note="")
    first = min(steps)
    since = [f"+{label}" for label in step_labels([step - first for step in steps])]
    return StepLabels(texts=since, note=f"labels count {unit} from {first:,}")


def log_ticks(low: float, high: float) -> list[float]:
    """Return at most six round numbers between low and high for a log axis, or both ends."""
    exponents = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    for digits, enough in (((1,), 3), ((1, 2, 5), 2), (range(1, 10), 2)):
        # Parsed, not multiplied: 5 * 10**-3 is not the number that reads .005.
        ticks = [float(f"{digit}e{exponent}") for exponent in exponents for digit in digits]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) >= enough:
            return inside[:: -(-len(inside) // 6)]
    return [low, high]


def count_of(steps: Sequence[int]) -> str:
    """Say how many checkpoints there are."""
    return f"{len(steps):,} checkpoints" if len(steps) > 1 else "1 checkpoint"


def span_of(steps: Sequence[int], unit: str) -> str:
    """Say the first and the last step."""
    return f"{unit} {steps[0]:,} to {steps[-1]:,}" if len(steps) > 1 else f"{unit} {steps[0]:,}"


def short_span_of(steps: Sequence[int], unit: str) -> str:
    """Say the first and the last step in short."""
    return f"{unit} {' to '.join(dict.fromkeys(step_labels([steps[0], steps[-1]])))}"


def count_note(shown: int, count: int) -> str:
    """Say how many of the samples are shown."""
    if shown < count:
        return f"{shown} of {count:,} samples"
    return f"all {count} samples" if count > 1 else "1 sample"
