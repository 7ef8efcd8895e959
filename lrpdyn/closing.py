"""What ``compute`` says at the end, so that nobody reads more into a map than it holds."""

from __future__ import annotations

import numpy as np

from lrpdyn.outliers.render import KINDS, summary
from lrpdyn.run import Run

_UNITS = {"policy": "action", "q": "action", "logits": "class"}


def closing_lines(run: Run) -> list[str]:
    """Return the lines on a finished run: question, sign, dynamics, outliers."""
    return [
        f"question  {_question(run)}",
        f"sign      {_sign(run)}",
        f"dynamics  {_dynamics(run)}",
        *(f"outliers  {summary(run.outliers, kind)}" for kind in KINDS),
    ]


def _question(run: Run) -> str:
    transitions = run.transitions
    manifest = run.manifest
    unit = _UNITS.get(manifest["head"], "unit")
    asked = {
        "argmax": f"{unit} preferred at each step",
        "modal": f"{unit} preferred on average over all steps",
        "final": f"{unit} preferred at the last step",
    }.get(manifest["target"]["policy"], f"{unit} {manifest['target']['policy']}")
    against = {
        "none": "",
        "mean": ", minus the mean of the outputs",
        "runner-up": ", minus the next best",
    }[manifest["contrast"]]
    if manifest["head"] == "value":
        asked, against = "the state's value", ""
    flips = int(np.count_nonzero(transitions["argmax_changed"]))
    return (
        f"{asked}{against}; the preference changes in {flips:,} of {len(transitions):,} transitions"
    )


def _sign(run: Run) -> str:
    checks = run.manifest["checks"]
    maps, negative, gone = checks["maps"], checks["negative_scores"], checks["vanished"]
    line = f"negative scores {negative:,} of {maps:,}; vanished {gone:,}"
    if run.manifest["rule"]["name"] == "zplus" and negative:
        line += "; z-plus gives a negative score to the evidence for the unit, none to what is against it"
    if gone:
        line += "; a vanished map shows nothing though its score is not zero"
    return line


def _dynamics(run: Run) -> str:
    dynamics, mean = run.dynamics.ravel(), run.mean_relevance.ravel()
    total = float(dynamics.sum(dtype=np.float64))
    length = float(np.linalg.norm(dynamics)) * float(np.linalg.norm(mean))
    if total == 0 or length == 0:
        return "zero everywhere: the relevance did not change"
    alike = float(np.dot(dynamics, mean)) / length
    net = 100 * float(run.net_change.sum(dtype=np.float64)) / total
    return f"{alike:.3f} alike to mean |R|; {net:.0f} % of the path is net change"
