"""Every cause that the outlier report knows: to add one, append a `Cause` to `CAUSES`.

Reports, advice and the tables of the documentation are made from the list. Plain Python: `lrpdyn
outliers` reads the meanings and loads no NumPy for them. Arrays come from `lrpdyn.outliers.criteria`:
S steps, T transitions, N samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from lrpdyn.outliers.criteria import Criteria

#: A score is carried by next to nothing where the denominator at the last layer is this share of it.
UNSTABLE_SUPPORT = 0.01
#: Support below which a negative score under z-plus is called weak.
WEAK_SUPPORT = 0.1
#: A transition this many times as long as the usual one is a gap.
GAP = 1.5
#: A place of the report, the value there, and the evidence.
Pathology = tuple[dict[str, int], float | None, str]


@dataclass(frozen=True, kw_only=True)
class Cause:
    """A reason why relevance changed, or why it is wrong.

    Attributes
    ----------
    name, meaning, advice, criterion
        As reports have it; what it means; what to do next; for the documentation, when it is named.
    where, present
        What has the cause, and which of them do: (S,) for "step", of which the transition into it has
        the cause too; (S, N) for "sample of a step", of which both transitions have it; (T,) for
        "transition"; (T, N) for "cell", one sample in one transition. None: it is no yes or no.
    evidence
        Words on one place that has the cause, or its share of the change there and words. Arguments:
        the criteria and the index of the place in `present`.
    pathologies
        Lists where the cause is wrong whether or not a fence is crossed; None: it never is.
    """

    name: str
    meaning: str
    advice: str
    criterion: str
    where: Literal["step", "sample of a step", "transition", "cell"] = "cell"
    present: Callable[[Criteria], Any] | None = None
    evidence: Callable[..., Any] = lambda known, *place: ""
    pathologies: Callable[[Cause, Criteria], list[Pathology]] | None = None


def meaning_of(name: str) -> str:
    """Return what a cause means, "" for one that this version does not know.

    >>> meaning_of("step_gap")
    'checkpoints are missing in between'
    """
    return next((cause.meaning for cause in CAUSES if cause.name == name), "")


def wherever_present(cause: Cause, known: Criteria) -> list[Pathology]:
    """Return a pathology for each step, or sample of a step by falling |score|, with the cause."""
    assert cause.present is not None
    step, score, found = known.steps.step, known.steps.score, cause.present(known)
    places = list(zip(*(index.tolist() for index in found.nonzero()), strict=True))
    if cause.where == "step":
        return [({"step": int(step[i])}, None, cause.evidence(known, i)) for (i,) in places]
    return [
        ({"step": int(step[i]), "sample": n}, float(score[i, n]), cause.evidence(known, i, n))
        for i, n in sorted(places, key=lambda place: -abs(score[place]))
        if known.steps.finite[i]
    ]


def _dead_layers(cause: Cause, known: Criteria) -> list[Pathology]:
    """Return a pathology for each step and dead layer, those with the most dead units first."""
    steps = known.steps
    found: list[tuple[dict[str, int], float, str]] = []
    for layer, name in enumerate(steps.activity_layers):
        for i in known.dead[:, layer].nonzero()[0]:
            share, usual = float(steps.dead[i, layer]), known.usually_dead[layer]
            text = f"{name}: {100 * share:.3g} % of its units are dead, usually {100 * usual:.3g} %"
            found.append(({"step": int(steps.step[i])}, share, text))
    return [*sorted(found, key=lambda one: (-one[1], one[0]["step"]))]


def _vanished(known: Criteria, step: int, sample: int) -> str:
    steps = known.steps
    size, score = steps.relevance_l1[step, sample], steps.score[step, sample]
    text = f"step {steps.step[step]:,}: sum|R| is {size:.3g}, the score {score:.3g}"
    return text + _by_layer(known, "vanished_relevance", step, sample)


def _unstable(known: Criteria, step: int, sample: int) -> str:
    steps = known.steps
    text, support = f"step {steps.step[step]:,}", steps.support[step, sample]
    if support < UNSTABLE_SUPPORT:
        score = steps.score[step, sample]
        text += f": what speaks for the score of {score:.3g} is {support:.2g} of it"
    return text + _by_layer(known, "unstable_denominator", step, sample)


def _by_layer(known: Criteria, cause: str, step: int, sample: int) -> str:
    found = known.by_layer(cause, step, sample)
    return "" if found is None else f"; {found}"


def _dying(known: Criteria, transition: int) -> str:
    steps, (before, after) = known.steps, known.ends(transition)
    return "; ".join(
        f"{steps.activity_layers[layer]}: {100 * steps.dead[before, layer]:.3g} % -> "
        f"{100 * steps.dead[after, layer]:.3g} % of its units are dead"
        for layer in (known.dead[before] != known.dead[after]).nonzero()[0]
    )


def _jump(known: Criteria, transition: int) -> str:
    steps, (_, after) = known.steps, known.ends(transition)
    jumped, ratio = known.jumps[after].nonzero()[0], known.weight_ratio[after]
    return "; ".join(
        f"{steps.weight_layers[layer]} moved by {100 * steps.weight_change[after, layer]:.3g} %, "
        f"{ratio[layer]:.3g} times the usual"
        for layer in sorted(jumped, key=lambda layer: -ratio[layer])[:3]
    )


def _gap(known: Criteria, transition: int) -> str:
    text = f"{known.lengths[transition]:.3g} times the usual distance"
    left_out = known.changes.left_out[transition]
    return f"{text}; a checkpoint in between was left out" if left_out else text


def _lost(known: Criteria, transition: int, sample: int) -> str:
    seen = {end: float(known.loss[end, sample]) for end in known.ends(transition)}
    percent = " -> ".join(f"{100 * lost:.3g} %" for lost in seen.values())
    text = f"|score - sum R| / |score| is {percent}, usually {100 * known.usual_loss:.3g} %"
    worst = max(seen, key=lambda end: 0.0 if math.isnan(seen[end]) else seen[end])
    return text + _by_layer(known, "conservation_failure", worst, sample)


def _scores(known: Criteria, transition: int, sample: int) -> str:
    before, after = (known.steps.score[end, sample] for end in known.ends(transition))
    return f"score {before:.3g} -> {after:.3g}"


def _negative(known: Criteria, transition: int, sample: int) -> str:
    weakest = min(known.steps.support[end, sample] for end in known.ends(transition))
    text, weak = _scores(known, transition, sample), ", weak" if weakest < WEAK_SUPPORT else ""
    if not math.isfinite(weakest):
        return text
    return f"{text}; what speaks for it is {weakest:.3g} of it at least{weak}"


def _flip(known: Criteria, transition: int, sample: int) -> str | tuple[float, str]:
    ends = known.ends(transition)
    one, two = (int(known.steps.argmax[end, sample]) for end in ends)
    text, share = f"unit {one} -> {two}", known.by_layer("action_flip", ends[1], sample)
    if share is None:
        return text
    if isinstance(share, str):
        return f"{text}; how much of it goes away with the old target: {share}"
    return share, f"{text}; this share of the change goes away when {one} is kept"


#: In the order in which reports list them: what is broken first, what is ordinary training last.
CAUSES = [
    Cause(
        name="not_finite",
        meaning="NaN or infinity",
        advice="Training diverged at or before this checkpoint: look at its loss and learning rate, "
        "and go on from the last finite one.",
        criterion="NaN or infinity in weights (the layers are named), outputs or relevance",
        where="step",
        present=lambda known: ~known.steps.finite,
        evidence=lambda known, step: f"NaN or infinity in {', '.join(known.steps.broken[step])}",
        pathologies=wherever_present,
    ),
    Cause(
        name="vanished_relevance",
        meaning="a layer absorbed all relevance",
        advice="Do not read the maps of these steps: explain another target (--target), or use "
        "a rule that also shows what speaks against (--rule gamma).",
        criterion="sum abs(R) is at most a millionth of abs(score); by layer: the one that absorbed "
        "it, and its rule",
        where="sample of a step",
        present=lambda known: known.vanished,
        evidence=_vanished,
        pathologies=wherever_present,
    ),
    Cause(
        name="unstable_denominator",
        meaning="relevance was divided by almost nothing",
        advice="Do not compare sizes at these steps: explain another target (--target) or use "
        "another rule (--rule gamma).",
        criterion="under z-plus at the last layer: the denominator is below .01 of the score. By "
        "layer: the share of abs(R) that comes through denominators below 1e-3 of the root mean "
        "square of the layer's outputs and below .1 of the relevance they carry; called where it is "
        "above .1 and ten times the usual",
        where="sample of a step",
        present=lambda known: known.unstable,
        evidence=_unstable,
        pathologies=wherever_present,
    ),
    Cause(
        name="duplicate_checkpoint",
        meaning="the weights are those of the checkpoint before",
        advice="Training stood still, or a file was copied: look at how the checkpoint was saved, or "
        "leave it out with --pattern.",
        criterion="all weights on the path to the head are those of the checkpoint before",
        where="step",
        present=lambda known: (
            (known.steps.weight_change == 0).all(axis=1) & bool(known.steps.weight_layers)
        ),
        evidence=lambda known, step: (
            f"all weights are those of step {known.steps.step[step - 1]:,}"
        ),
        pathologies=wherever_present,
    ),
    Cause(
        name="dead_layer",
        meaning="hardly any unit of a layer responds to the observations",
        advice="Look at the checkpoint's learning rate and at the scale of its inputs: the layer "
        "passes hardly anything on.",
        criterion="less than a third of the units that usually live is left, or none; a unit is dead "
        "where the slope of its activation is below .01 for every sample (at every place, for a "
        "channel)",
        where="transition",
        present=lambda known: (known.before(known.dead) != known.after(known.dead)).any(axis=1),
        evidence=_dying,
        pathologies=_dead_layers,
    ),
    Cause(
        name="weight_jump",
        meaning="one layer's weights jumped",
        advice="Look at the training log between the two checkpoints: learning rate, gradient norm, a "
        "restart or a reset layer.",
        criterion="a layer's norm(difference) / norm(before), per length of the transition, is more "
        "than three times the median of the ten steps on either side, and beyond the far fence of "
        "these ratios (five times, where there is no fence)",
        where="transition",
        present=lambda known: known.after(known.jumps).any(axis=1),
        evidence=_jump,
    ),
    Cause(
        name="step_gap",
        meaning="checkpoints are missing in between",
        advice="Compare changes per unit of step (column change_per_unit), or fill the gap with more "
        "checkpoints.",
        criterion="a transition 1.5 times as long as the usual one, or a checkpoint in between that "
        "could not be used",
        where="transition",
        present=lambda known: known.changes.left_out | (known.lengths > GAP),
        evidence=_gap,
    ),
    Cause(
        name="conservation_failure",
        meaning="relevance got lost or was made",
        advice="Look at the layers of the step with large biases; another rule (--rule gamma) absorbs "
        "less.",
        criterion="abs(score - sum R) / abs(score) is above .1, three times the usual and its far "
        "fence; by layer: where most was lost",
        present=lambda known: known.at_either_end(known.not_conserved),
        evidence=_lost,
    ),
    Cause(
        name="negative_score",
        meaning="evidence for the unit is shown although its score is negative",
        advice="Use a rule that also shows what speaks against (--rule gamma), for z-plus does not, or "
        "ask for a unit that is preferred (--target argmax).",
        criterion='under z-plus at the last layer: the score is negative; "weak" where the support is '
        "below .1 of it",
        present=lambda known: (
            known.at_either_end(known.steps.score < 0) & known.facts.gives_only_support
        ),
        evidence=_negative,
    ),
    Cause(
        name="score_crosses_zero",
        meaning="the score is near zero or changes sign",
        advice="Compare normalised maps (--normalize l1), or of discrete actions ask for a score that is "
        "never negative (--contrast mean, --target argmax).",
        criterion="the sign differs, or the score is below .01 of the usual at one end",
        present=lambda known: known.crosses_zero,
        evidence=_scores,
    ),
    Cause(
        name="action_flip",
        meaning="another unit is preferred, and so another question is asked",
        advice="Hold the unit fixed (--target modal) to see what changes beside the question.",
        criterion="the preferred unit changed, where the question follows it; by layer: the share of "
        "the change that goes away when the old unit is kept",
        present=lambda known: known.flips & known.facts.follows_preference,
        evidence=_flip,
    ),
    Cause(
        name="score_growth",
        meaning="the score grew or shrank",
        advice="Normalise each map (--normalize l1) to see what changed beside the size.",
        criterion="the scale share of the change, with both scores beside it; none where the map "
        "turned round although the score kept its sign",
    ),
    Cause(
        name="shape_change",
        meaning="the explanation itself moved",
        advice="Look at the maps of both steps (lrpdyn plot --kind filmstrip --sample N).",
        criterion="the rest",
    ),
    Cause(
        name="unexplained",
        meaning="no known cause was found",
        advice="Look at both checkpoints and their maps; more checkpoints in between, or other "
        "samples (--samples), may tell.",
        criterion="no criterion holds, and growth (half of the change or more, of a score that "
        "changed by a tenth) does not explain it",
    ),
]
