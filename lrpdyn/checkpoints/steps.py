"""Which number in a file, or in its name, says where in training it was saved."""

from __future__ import annotations

import re

from lrpdyn.checkpoints.model import Header, StepCandidate

_LABELLED = (
    (re.compile(r"(?:global_?|env_?|time_?)?(?:steps?|iter(?:ation)?s?|frames?)[=_-]?(\d+)", re.I), "steps"),
    (re.compile(r"^(\d+)_(?:checkpoint|except|finish)$"), "steps"),  # PFRL
    (re.compile(r"(\d+)[_-]?(?:env_?|time_?)?(?:steps?|iter(?:ation)?s?|frames?)(?![a-z])", re.I), "steps"),
)  # fmt: skip
_EPOCH = re.compile(r"(?:epochs?|ep)[=_-]?(\d+)|(\d+)[_-]?epochs?(?![a-z])", re.I)
#: Names of the model hub: 100k, 1mm, 2.5M.
_ROUND = re.compile(r"(?<![a-z\d.])(\d+(?:\.\d+)?)(k|mm|m|b)(?![a-z\d])", re.I)
_FACTORS = {"k": 10**3, "m": 10**6, "mm": 10**6, "b": 10**9}
#: What looks like a step and is none: versions, metrics, decimals, dates and hashes.
_NOISE = re.compile(
    r"-v\d+|[a-z_]+=-?\d+\.\d+|\d+\.\d+(?!\d*[kmb]\b)|\d{4}-\d\d-\d\d(?:[T_-]\d\d[-_:]?\d\d[-_:]?\d\d)?"
    r"|(?=[0-9a-f]*[a-f])(?=[0-9a-f]*\d)\b[0-9a-f]{7,}\b",
    re.I,
)

#: In order of preference; a series takes all its steps from one of these.
SOURCES = ("file", "label", "file epoch", "epoch", "number")


def step_candidates(stem: str, header: Header) -> dict[str, StepCandidate]:
    """Return the numbers that may be the step, by their source (`SOURCES`)."""
    found: dict[str, StepCandidate] = {}
    if header.step:
        found["file"] = header.step
    if header.epoch:
        found["file epoch"] = header.epoch
    cleaned = _NOISE.sub(" ", stem)
    for pattern, unit in _LABELLED:
        labelled = pattern.search(cleaned)
        if labelled:
            found["label"] = StepCandidate(value=int(labelled[1]), unit=unit, source="name")
            break
    rounded = _ROUND.search(stem)
    if rounded and "label" not in found:
        value = round(float(rounded[1]) * _FACTORS[rounded[2].lower()])
        found["label"] = StepCandidate(value=value, unit="steps", source="name")
    epoch = _EPOCH.search(cleaned)
    if epoch:
        value = int(epoch[1] or epoch[2])
        found["epoch"] = StepCandidate(value=value, unit="epochs", source="name")
    numbers = re.findall(r"\d+", cleaned)
    if numbers:
        found["number"] = StepCandidate(
            value=int(numbers[-1]), unit=header.counter, source="name (last number)"
        )
    return {source: number for source, number in found.items() if number.value < 1 << 62}


def template(name: str) -> str:
    """Return `name` without metrics and with ``#`` for numbers: files of one series share it."""
    plain = _NOISE.sub("~", re.sub(r"-v\d+(?=\.|$)", "", name))
    return re.sub(r"\d+", "#", plain)
