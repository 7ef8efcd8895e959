"""What several kinds of figures show of a run: its words, a sample's maps, and what is flagged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lrpdyn.dynamics.measures import normalise
from lrpdyn.figures.canvas.style import Array
from lrpdyn.figures.canvas.words import About
from lrpdyn.figures.request import Request
from lrpdyn.figures.step_choice import Loaded, load_maps, places_of
from lrpdyn.outliers.render import SEVERITIES
from lrpdyn.run.reader import RunFolder, axes_of

PATHOLOGY = "pathology"
#: How sequences are drawn, by the axes of an observation.
SEQUENCES = {
    ("time", "feature"): "a row for each time step, a column for each feature",
    ("channel", "time"): "a row for each channel, a column for each time step",
    ("time", "channel", "row", "column"): "the time steps side by side, the first at the left",
}


@dataclass(frozen=True)
class Flags:
    """Flagged transitions and steps, strongest first.

    `transitions` have a severity, mild or far, by the step that a transition begins at; `steps`
    what is wrong by its own criterion: the name of its first cause, by step.
    """

    transitions: Mapping[int, str] = field(default_factory=dict)
    steps: Mapping[int, str] = field(default_factory=dict)

    def order(self) -> list[int]:
        """Return all flagged steps, those beyond a fence first."""
        return list(dict.fromkeys([*self.transitions, *self.steps]))


NO_FLAGS = Flags()
NO_OTHERS: Mapping[int, Loaded] = {}


def flags_of(report: Mapping[str, Any], sample: int | None) -> Flags:
    """Return what an outlier report flags for one sample, or for the steps of all samples.

    Steps that stand out over all samples are flagged for each of them.
    """
    entries = list(report["steps"])
    if sample is not None:
        entries += [entry for entry in report["cells"] if entry["where"]["sample"] == sample]
    severities: dict[int, str] = {}
    for entry in sorted(entries, key=lambda entry: -SEVERITIES.index(entry["severity"])):
        if entry["severity"] != "none":
            severities.setdefault(entry["where"]["from_step"], entry["severity"])
    wrong: dict[int, str] = {}
    for entry in report["pathologies"]:
        where = entry["where"]
        if sample is None or where.get("sample", sample) == sample:
            wrong.setdefault(where["step"], entry["causes"][0]["cause"])
    return Flags(transitions=severities, steps=wrong)


def about_of(run: RunFolder) -> About:
    """Return what every figure of a run says."""
    normalised = run.manifest["normalize"]
    unit = "units of the score" if normalised == "none" else f"relevance normalised by {normalised}"
    return About(
        rule=run.manifest["rule"]["name"],
        question=run.question,
        unit=run.manifest["unit"],
        value_unit=unit,
        names=run.manifest.get("names", {}),
        axes=SEQUENCES.get(axes_of(run.manifest), ""),
    )


def maps_of(run: RunFolder, sample: int) -> Callable[[int], Array]:
    """Return what loads the relevance of one sample at a step, normalised as the differences are.

    What it returns raises RunError where the run has kept no relevance.
    """
    maps, how = run.relevance, run.manifest["normalize"]
    return lambda step: normalise(maps[step][sample : sample + 1], how)[0]


def other_samples(run: RunFolder, request: Request, most: int) -> dict[int, Loaded]:
    """Return the maps of the other samples that are drawn at once, at the steps that theirs show."""
    found = {}
    for sample in request.together or ():
        if sample != request.sample:
            flagged = flags_of(run.outliers, sample).order()
            chosen = places_of(run.steps, request.steps, most, flagged)
            shape = run.mapped("observations").shape[1:]
            found[sample] = load_maps(run.steps, chosen, maps_of(run, sample), shape)
    return found
