"""Every cause that the outlier report knows: to add one, append a `Cause` to `CAUSES`.

Reports, advice and the tables of the documentation are made from the list. Plain Python: `lrpdyn
outliers` reads the meanings and loads no NumPy for them. Arrays come from `lrpdyn.outliers.criteria`:
S steps, T transitions, N samples.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lrpdyn.files.names import called

if TYPE_CHECKING:
    from lrpdyn.outliers.criteria import Criteria

#: A score is carried by next to nothing where the denominator at the last layer is this share of it.
UNSTABLE_SUPPORT = 0.01
#: Support below which a negative score under z-plus is called weak.
WEAK_SUPPORT = 0.1
#: A transition this many times as long as the usual one is a gap.
GAP = 1.5
#: The causes that a change is split into: their shares are parts of it, those of others say where they are.
SPLIT = ("score_growth", "shape_change")
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
        the cause too, and for "checkpoint", of which both transitions have it; (S, N) for "sample of a
        step", of which both transitions have it; (T,) for
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
    where: Literal["step", "checkpoint", "sample of a step", "transition", "cell"] = "cell"
    present: Callable[[Criteria], Any] | None = None
    evidence: Callable[..., Any] = lambda known, *place: ""
    pathologies: Callable[[Cause, Criteria], list[Pathology]] | None = None


def meaning_of(name: str) -> str:
    """Return what a cause means, "" for one that this version does not know.

    >>> meaning_of("step_gap")
    'checkpoints are missing in between'
    """
    return next((cause.meaning for cause in CAUSES if cause.name == name), "")


def with_share(name: str, share: float | None) -> str:
    """Return what a cause means, and what its share is of.

    >>> with_share("score_growth", 0.83)
    'the score grew or shrank (83 % of the change)'
    >>> with_share("churn", 0.5)
    'another unit is preferred in many samples at once (in samples with 50 % of the change)'
    """
    if share is None:
        return meaning_of(name)
    part = f"{100 * share:.0f} % of the change"
    return f"{meaning_of(name)} ({part if name in SPLIT else f'in samples with {part}'})"


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


def _lost_meaning(known: Criteria, step: int) -> str:
    steps = known.steps
    low, high = steps.faithfulness_band[step]
    earlier = [own for own in steps.faithfulness[:step].tolist() if not math.isnan(own)]
    return (
        f"faithfulness {steps.faithfulness[step]:.2f}, where random orders reach {low:.2f} to {high:.2f}; "
        f"it was {statistics.median(earlier):.2f} before (median of the measured steps)"
    )


def _dying(known: Criteria, transition: int) -> str:
    steps, (before, after) = known.steps, known.ends(transition)
    return "; ".join(
        f"{steps.activity_layers[layer]}: {100 * steps.dead[before, layer]:.3g} % -> "
        f"{100 * steps.dead[after, layer]:.3g} % of its units are dead"
        for layer in (known.dead[before] != known.dead[after]).nonzero()[0]
    )


def _jump(known: Criteria, transition: int) -> str:
    weights, (_, after) = known.weights, known.ends(transition)
    names, ratio = known.steps.weight_layers, weights.ratio[after]
    jumped = sorted(weights.jumped[after].nonzero()[0], key=lambda layer: -ratio[layer])
    words = [
        f"{names[layer]} moved by {_moved(known.steps.weight_change[after, layer])}, "
        f"{ratio[layer]:.3g} times the usual"
        for layer in jumped[:3]
    ]
    words += [f"and {len(jumped) - 3} more layers"] if len(jumped) > 3 else []
    words += [f"{names[layer]} began to move" for layer in weights.began[after].nonzero()[0][:3]]
    return "; ".join(words)


def _moved(share: float) -> str:
    """Return how far weights moved, in words.

    >>> _moved(0.123), _moved(17.7)
    ('12.3 %', '17.7 times their own norm')
    """
    return f"{100 * share:.3g} %" if share < 2 else f"{share:.3g} times their own norm"


def _off_path(known: Criteria, step: int) -> str:
    weights, steps = known.weights, known.steps
    layers = off_layers(known, step)
    into, out = (
        [float(steps.weight_change[end, layer]) for layer in layers] for end in (step, step + 1)
    )
    times = [
        float(r)
        for layer in layers
        for r in (weights.ratio[step, layer], weights.ratio[step + 1, layer])
        if math.isfinite(r)
    ]
    named = _layers_in_words(known, layers)
    text = f"{named} moved by {_range([*into, *out])} into it and out of it again"
    text += f" ({_times(times)} times the usual)" if times else ""
    place = weights.belongs_to(step)
    if place is not None:
        text += f"; its weights are near those of step {steps.step[place]:,}"
    return text


def off_layers(known: Criteria, step: int) -> list[int]:
    """Return the layers that make the detour of a step that is off the path, the clearest first."""
    weights = known.weights
    into, out = weights.ratio[step], weights.ratio[step + 1]
    clear = (weights.detours[step] < 1) & (into > 1.5) & (out > 1.5) & weights.learned
    clear |= weights.layers_off[step]
    found: list[int] = sorted(
        clear.nonzero()[0].tolist(), key=lambda layer: weights.detours[step, layer]
    )
    return found


def _layers_in_words(known: Criteria, layers: list[int]) -> str:
    names, every = known.steps.weight_layers, int(known.weights.learned.sum())
    if len(layers) == every and every > 1:
        return f"all {every} layers"
    if len(layers) > 3:
        return f"{len(layers)} of {every} layers"
    return " and ".join(names[layer] for layer in layers) or "its weights"


def _range(shares: list[float]) -> str:
    """Return the least and the largest of some moves in words.

    >>> _range([1.34, 1.45]), _range([0.5]), _range([0.97, 44])
    ('134-145 %', '50 %', '97 % to 44 times their own norm')
    """
    if max(shares, default=0) >= 2:
        return " to ".join(dict.fromkeys((_moved(min(shares)), _moved(max(shares)))))
    least, most = f"{100 * min(shares, default=0):.3g}", f"{100 * max(shares, default=0):.3g}"
    return f"{least} %" if least == most else f"{least}-{most} %"


def _times(ratios: list[float]) -> str:
    least, most = (
        f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.2g}" for ratio in (min(ratios), max(ratios))
    )
    return least if least == most else f"{least}-{most}"


def _restarted(known: Criteria, step: int) -> str:
    place = known.weights.came_from(step)
    if place is not None:
        return (
            f"the weights are nearer to those of step {known.steps.step[place]:,} than to those of the "
            "step before"
        )
    return "hardly anything of the weights before is left, and they stay so"


def _near_copy(known: Criteria, step: int) -> str:
    weights = known.weights
    return (
        f"its weights differ from those of step {known.steps.step[step - 1]:,} by "
        f"{weights.move[step] / weights.usual_of_all[step]:.2g} of the usual"
    )


def _dormant_layers(cause: Cause, known: Criteria) -> list[Pathology]:
    steps = known.steps
    return [
        ({"step": int(steps.step[i])}, float(steps.dormant[i, layer]),
         f"{steps.activity_layers[layer]}: {100 * steps.dormant[i, layer]:.3g} % of its units are dormant")
        for layer in range(len(steps.activity_layers))
        for i in known.dormant[:, layer].nonzero()[0]
    ]  # fmt: skip


def _dozing(known: Criteria, transition: int) -> str:
    steps, (before, after) = known.steps, known.ends(transition)
    return "; ".join(
        f"{steps.activity_layers[layer]}: {100 * steps.dormant[before, layer]:.3g} % -> "
        f"{100 * steps.dormant[after, layer]:.3g} % of its units are dormant"
        for layer in (known.dormant[before] != known.dormant[after]).nonzero()[0]
    )


def _churn(known: Criteria, transition: int) -> str:
    changed, of = int(known.flips[transition].sum()), known.flips.shape[1]
    return f"another unit is preferred in {changed:,} of {of:,} samples"


def _gap(known: Criteria, transition: int) -> str:
    text = f"{known.length_ratio[transition]:.3g} times as long as those around it"
    left_out = known.changes.left_out[transition]
    return f"{text}; a checkpoint in between was skipped" if left_out else text


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
    names = known.facts.names
    begin, end = called(names, "units", one), called(names, "units", two, word="")
    text, share = f"{begin} -> {end}", known.by_layer("action_flip", ends[1], sample)
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
        name="map_lost_meaning",
        meaning="the maps say no more than a random order of patches, though the score holds",
        advice="Do not read the maps of these steps; look at the checkpoint's file, and whether another rule "
        "does better (--rule gamma).",
        criterion="where faithfulness is measured: that of the rule is within what random orders reach, the "
        "measured steps before, two or more, had more than twice as much as random orders reach there or "
        "here (medians), and the median abs(score) is at least half of what it was at the measured step "
        "before",
        where="step",
        present=lambda known: known.lost_meaning,
        evidence=_lost_meaning,
        pathologies=wherever_present,
    ),
    Cause(
        name="duplicate_checkpoint",
        meaning="the weights are those of the checkpoint before",
        advice="Training stood still, or a file was copied: look at how the checkpoint was saved, or "
        "leave it out with --pattern.",
        criterion="all weights on the path to the head are those of the checkpoint before, and training had "
        "begun",
        where="step",
        present=lambda known: known.duplicates,
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
        criterion="less than a third of the units is left that usually live, or lived in the first "
        "fifth of the run, or none; a unit is dead where the slope of its activation is below .01 for "
        "every sample (at every place, for a channel)",
        where="transition",
        present=lambda known: (known.before(known.dead) != known.after(known.dead)).any(axis=1),
        evidence=_dying,
        pathologies=_dead_layers,
    ),
    Cause(
        name="dormant_units",
        meaning="most units of a layer are almost silent",
        advice="Look at the learning rate and at resets of dormant units (Sokar et al. 2023): the layer has "
        "lost most of what it can learn with.",
        criterion="half of a layer's units or more have a mean absolute activation of at most .025 of the "
        "layer's, and less than half is left of those that usually, or in the first fifth of the run, gave "
        "more",
        where="transition",
        present=lambda known: (known.before(known.dormant) != known.after(known.dormant)).any(
            axis=1
        ),
        evidence=_dozing,
        pathologies=_dormant_layers,
    ),
    Cause(
        name="off_path",
        meaning="the checkpoint is off the path of its neighbours",
        advice="Look at the file: another run's or seed's, saved while training was interrupted, averaged, "
        "or damaged. Leave it out with --pattern, or copy it again.",
        criterion="the checkpoints before and after are nearer to each other (less than .75) than this one "
        "is to one of them, though it moved more than 1.5 times the usual; less than .6 in any case; or so "
        "in one layer that moved twice the usual both times. (Sound training: 1.4 to 2.)",
        where="checkpoint",
        present=lambda known: known.weights.off,
        evidence=_off_path,
    ),
    Cause(
        name="swapped_order",
        meaning="two checkpoints are in the wrong order",
        advice="Look at the names and times of the files, and give the order with --step-from.",
        criterion="each is nearer to the neighbour of the other than to its own (less than .9)",
        where="checkpoint",
        present=lambda known: known.weights.swapped,
        evidence=lambda known, step: (
            f"steps {known.steps.step[step]:,} and {known.steps.step[step + 1]:,} fit the path the other "
            "way round"
        ),
    ),
    Cause(
        name="restart",
        meaning="training began anew, or went on from an earlier checkpoint",
        advice="Explain the parts before and after on their own (--until, --since).",
        criterion="a jump that lasts, to weights with a cosine below .5 to those before (median over "
        "layers), or that are less than half as far from those of an earlier step",
        where="step",
        present=lambda known: known.restarted,
        evidence=_restarted,
    ),
    Cause(
        name="near_copy",
        meaning="the weights are nearly those of the checkpoint before",
        advice="Look at how the checkpoint was saved: training hardly went on in between.",
        criterion="the weights moved by less than a thousandth of the usual, or by less than a tenth of "
        "the moves before and after",
        where="step",
        present=lambda known: known.weights.near_copy,
        evidence=_near_copy,
    ),
    Cause(
        name="statistics_reset",
        meaning="the running statistics of BatchNorm began anew",
        advice="Look at how the checkpoint was saved, or let the statistics settle in training before it is.",
        criterion="means of 0 and variances of 1 everywhere, or fewer counted batches than at the step "
        "before",
        where="step",
        present=lambda known: known.reset,
        evidence=lambda known, step: f"statistics of {', '.join(known.steps.reset[step][:3])}",
    ),
    Cause(
        name="weight_jump",
        meaning="one layer's weights jumped",
        advice="Look at the training log between the two checkpoints: learning rate, gradient norm, a "
        "restart or a reset layer.",
        criterion="after the first fifth of the run, norm(difference) of a layer is beyond the far fence "
        "around its trend and more than three times it (five times, below 20 transitions), or a layer moves "
        "that stood still for three steps",
        where="transition",
        present=lambda known: known.after(known.moved).any(axis=1),
        evidence=_jump,
    ),
    Cause(
        name="step_gap",
        meaning="checkpoints are missing in between",
        advice="Compare changes per unit of step (column change_per_unit), or fill the gap with more "
        "checkpoints.",
        criterion="a transition 1.5 times as long as those around it let expect (their usual growth taken "
        "out: a line through the logarithms of their lengths, and the three before and after), or a "
        "checkpoint in between that could not be used",
        where="transition",
        present=lambda known: known.changes.left_out | (known.length_ratio > GAP),
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
        meaning="the score changes its sign",
        advice="Compare normalised maps (--normalize l1), or of discrete actions ask for a score that is "
        "never negative (--contrast mean, --target argmax).",
        criterion="the sign differs",
        present=lambda known: known.crosses_zero,
        evidence=_scores,
    ),
    Cause(
        name="action_flip",
        meaning="another unit is preferred, and with it another unit is explained",
        advice="Keep the unit fixed (--target modal) to see what else changes.",
        criterion="the preferred unit changed, where the question follows it; by layer: the share of "
        "the change that goes away when the old unit is kept",
        present=lambda known: known.flips & known.facts.follows_preference,
        evidence=_flip,
    ),
    Cause(
        name="churn",
        meaning="another unit is preferred in many samples at once",
        advice="Look at what the network prefers before and after, and at the reward between them.",
        criterion="in a quarter of the samples or more, and three times as often as in the four transitions "
        "before and after, after the first fifth of the run",
        where="transition",
        present=lambda known: known.churned,
        evidence=_churn,
    ),
    Cause(
        name="score_growth",
        meaning="the score grew or shrank",
        advice="Normalise each map (--normalize l1) to see what changed besides the size.",
        criterion="the share of the change that the best factor removes, at most the cosine of both maps "
        "(growth_share), with both scores",
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
        criterion="no criterion holds, and growth is less than half of the change",
    ),
]
