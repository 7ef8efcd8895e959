"""What the causes mean and what to do next: one sentence each. Plain text: it is read at once."""

from __future__ import annotations

#: In the order in which they are told: what is broken first, what is ordinary training last.
CAUSES = (
    "not_finite",
    "vanished_relevance",
    "unstable_denominator",
    "duplicate_checkpoint",
    "dead_layer",
    "weight_jump",
    "step_gap",
    "conservation_failure",
    "negative_score",
    "score_crosses_zero",
    "action_flip",
    "score_growth",
    "shape_change",
    "unexplained",
)

MEANING = {
    "not_finite": "NaN or infinity",
    "vanished_relevance": "a layer absorbed all relevance",
    "unstable_denominator": "relevance was divided by almost nothing",
    "duplicate_checkpoint": "the weights are those of the checkpoint before",
    "dead_layer": "hardly any unit of a layer responds to the observations",
    "weight_jump": "one layer's weights jumped",
    "step_gap": "checkpoints are missing in between",
    "conservation_failure": "relevance got lost or was made",
    "negative_score": "evidence for the unit is shown although its score is negative",
    "score_crosses_zero": "the score is near zero or changes sign",
    "action_flip": "another unit is preferred, and so another question is asked",
    "score_growth": "the score grew or shrank",
    "shape_change": "the explanation itself moved",
    "unexplained": "no known cause was found",
}

ADVICE = {
    "not_finite": "Training diverged at or before this checkpoint: look at its loss and learning rate, "
    "and go on from the last finite one.",
    "vanished_relevance": "Do not read the maps of these steps: explain another target (--target "
    "argmax), or use a rule that also shows what speaks against (--rule gamma).",
    "unstable_denominator": "Do not compare sizes at these steps: explain another target (--target "
    "argmax) or use another rule (--rule gamma).",
    "duplicate_checkpoint": "Training stood still, or a file was copied: look at how the checkpoint "
    "was saved, or leave it out with --pattern.",
    "dead_layer": "Look at the checkpoint's learning rate and at the scale of its inputs: the layer "
    "passes hardly anything on.",
    "weight_jump": "Look at the training log between the two checkpoints: learning rate, gradient "
    "norm, a restart or a reset layer.",
    "step_gap": "Compare changes per unit of step (column change_per_unit), or fill the gap with more "
    "checkpoints.",
    "conservation_failure": "Look at the layers of the step with large biases; another rule (--rule "
    "gamma) absorbs less.",
    "negative_score": "Ask for a unit that is preferred (--target argmax): z-plus shows nothing of "
    "what speaks against.",
    "score_crosses_zero": "Ask for a score with a meaning of zero (--contrast mean, --target argmax), "
    "or compare normalised maps (--normalize l1).",
    "action_flip": "Hold the unit fixed (--target modal) to see what changes beside the question.",
    "score_growth": "Normalise each map (--normalize l1) to see what changed beside the size.",
    "shape_change": "Look at the maps of both steps (lrpdyn plot --kind filmstrip --sample N).",
    "unexplained": "Look at both checkpoints and their maps; more checkpoints in between, or other "
    "samples (--samples), may tell.",
}
