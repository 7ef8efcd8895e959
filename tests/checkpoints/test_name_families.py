"""Folders of generated names whose true order is known: right, or asked about, and never wrong."""

from __future__ import annotations

import os
import random
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from lrpdyn.checkpoints.discovery import discover
from lrpdyn.errors import CheckpointError

_STEPS = ("step", "steps", "iter", "iteration", "it", "update", "frames", "timesteps", "epoch",
          "episode", "ep", "global_step", "env_steps", "globalStep")  # fmt: skip
_OTHERS = ("reward", "rew", "acc", "loss", "score", "val", "return", "ret", "seed", "lr",
           "val_loss", "mean_reward", "f1", "val-acc")  # fmt: skip


def labelled(generator: random.Random, word: str, values: list[str]) -> list[str]:
    join = generator.choice(("_", "=", "-", ""))
    if values[0].startswith("-") or any(value.startswith("-") for value in values):
        join = generator.choice(("_", "="))
    return [f"{word}{join}{value}" for value in values]


def steps(generator: random.Random, count: int) -> list[str]:
    """Return a rising number for each file, as people write it, often with its word."""
    first, gap = generator.choice((0, 1, 100)), generator.choice((1, 10, 1000, 2048))
    even = generator.random() < 0.5
    values = [first]
    while len(values) < count:
        values.append(values[-1] + gap * (1 if even else generator.randint(1, 9)))
    form = generator.choice(("plain", "plain", "padded", "k", "power"))
    if form == "k":
        texts = [f"{value}k" if value else "0" for value in values]
    elif form == "power":
        texts = [f"{place + 1}e{generator.choice((5,))}" for place in range(count)]
    else:
        texts = [f"{value:0{9 if form == 'padded' else 0}d}" for value in values]
    kind = generator.choice(("word", "word", "bare", "behind"))
    if kind == "bare":
        return texts
    if kind == "behind":
        word = generator.choice(("steps", "iters", "frames", "timesteps"))
        return [f"{text}_{word}" for text in texts]
    return labelled(generator, generator.choice(_STEPS), texts)


def results(generator: random.Random, count: int) -> list[str]:
    """Return a number of no order for each file, mostly with its word."""
    if generator.random() < 0.4:
        values = [f"{generator.uniform(-3, 3):.{generator.randint(1, 4)}f}" for _ in range(count)]
    else:
        low = generator.choice((-21, 0, 50))
        values = [str(generator.randint(low, low + 60)) for _ in range(count)]
    if all("." not in value and "-" not in value for value in values) and generator.random() < 0.3:
        return values
    return labelled(generator, generator.choice(_OTHERS), values)


def dates(generator: random.Random, count: int) -> list[str]:
    """Return a rising time for each file."""
    form = generator.choice(
        ("%Y%m%d_%H%M%S", "%Y-%m-%dT%H-%M-%S", "%Y%m%d%H%M%S", "%Y-%m-%d_%H%M%S", "unix")
    )
    at, texts = 1.7e9 + generator.randint(0, 10**7), []
    for _ in range(count):
        moment = datetime.fromtimestamp(at, UTC)
        texts.append(str(int(at)) if form == "unix" else moment.strftime(form))
        at += generator.randint(60, 40_000)
    return texts


def epochs(generator: random.Random, count: int) -> list[str]:
    """Return epochs with iterations that begin again in each, or go on."""
    pairs, epoch, iteration = [], generator.choice((0, 1)), 0
    again, length = generator.random() < 0.6, generator.choice((100, 937))
    for _ in range(count):
        if generator.random() < 0.5:
            epoch += generator.randint(1, 3)
            iteration = 0 if again else iteration
        iteration += generator.randint(1, length)
        pairs.append((epoch, iteration))
    words = generator.choice(
        (("epoch", "iter"), ("epoch", "step"), ("ep", "it"), ("epoch", "batch"))
    )
    join = generator.choice("_=-")
    return [f"{words[0]}{join}{a}_{words[1]}{join}{b}" for a, b in pairs]


def family(seed: int) -> list[str]:
    """Return names of one series in their true order."""
    generator = random.Random(seed)
    count = generator.randint(2, 9)
    main = generator.choice((steps, steps, steps, dates, epochs))
    fields = [main(generator, count)]
    for _ in range(generator.choice((0, 1, 1, 2))):
        fields.append(results(generator, count))
    if main is steps and generator.random() < 0.25:
        fields.append(dates(generator, count))
    generator.shuffle(fields)
    start = generator.choice(("model", "ck", "net2", "agent", ""))
    join = generator.choice("_-") if not any("-" in v[:1] for f in fields for v in f) else "_"
    texts = [join.join(filter(None, (start, *parts))) for parts in zip(*fields, strict=True)]
    return [f"{text}.pt" for text in texts]


def write(folder: Path, names: list[str], seed: int) -> None:
    """Write the files, with the times of a training, of copies, or of no meaning."""
    generator = random.Random(seed + 10**6)
    order = list(names)
    kind = generator.choice(("training", "by name", "shuffled", "at once"))
    if kind == "by name":
        order.sort()
    elif kind == "shuffled":
        generator.shuffle(order)
    for place, name in enumerate(order):
        torch.save({"w": torch.full((2,), float(names.index(name)))}, folder / name)
        when = 1.6e9 + (0 if kind == "at once" else 60 * place)
        os.utime(folder / name, (when, when))


def outcome(folder: Path, seed: int) -> str:
    names = family(seed)
    if len(set(names)) < len(names):
        return "none"
    write(folder, names, seed)
    try:
        found = [checkpoint.path.name for checkpoint in discover(folder).checkpoints]
    except CheckpointError:
        return "asked"
    return "right" if found == names else "wrong"


@pytest.mark.parametrize("part", range(4))
def test_no_family_of_names_is_misordered(part: int, tmp_path: Path) -> None:
    outcomes: Counter[str] = Counter()
    for seed in range(part * 60, part * 60 + 60):
        folder = tmp_path / str(seed)
        folder.mkdir()
        found = outcome(folder, seed)
        assert found != "wrong", family(seed)
        outcomes[found] += 1
    assert outcomes["right"] > 30, outcomes
