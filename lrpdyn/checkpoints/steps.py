"""Which number in a file, or in its name, says where in training it was saved."""

from __future__ import annotations

import re

from lrpdyn.checkpoints.model import Header, StepCandidate

_LABELLED = (
    (re.compile(r"(?:global_?|env_?|time_?)?(?:steps?|iter(?:ation)?s?|frames?)[=_-]?(\d+)", re.I), "steps"),
    (re.compile(r"(\d+)[_-]?(?:env_?|time_?)?(?:steps?|iter(?:ation)?s?|frames?)(?![a-z])", re.I), "steps"),
)  # fmt: skip
_EPOCH = re.compile(r"(?:epochs?|ep)[=_-]?(\d+)|(\d+)[_-]?epochs?(?![a-z])", re.I)
#: What looks like a step and is none: versions, metrics, decimals, dates and hashes.
_NOISE = re.compile(
    r"-v\d+|[a-z_]+=-?\d+\.\d+|\d+\.\d+|\d{4}-\d\d-\d\d(?:[T_-]\d\d[-_:]?\d\d[-_:]?\d\d)?"
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
            found["label"] = StepCandidate(int(labelled[1]), unit, "name")
            break
    epoch = _EPOCH.search(cleaned)
    if epoch:
        found["epoch"] = StepCandidate(int(epoch[1] or epoch[2]), "epochs", "name")
    numbers = re.findall(r"\d+", cleaned)
    if numbers:
        found["number"] = StepCandidate(int(numbers[-1]), "steps", "name (last number)")
    return found


def template(name: str) -> str:
    """Return `name` with every number replaced by ``#``: files of one series share it."""
    return re.sub(r"\d+", "#", name)
