"""The maps of the best and the worst action side by side, under z-plus and under gamma.

    python docs/pong_actions.py ckpts/ obs64.npy actions.png

Every action is asked for by itself, at the last checkpoint: its score is its logit less the mean of all
logits. Maps are shares of the score, since that of the worst action is negative. Prints the cosine of
both maps, its median over the samples; the sample that is drawn has the median under gamma.
"""

import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import lrpdyn

ACTIONS, RULES = range(6), ("zplus", "gamma:0.25")


def ends_of(checkpoints: str, observations: str, rule: str):
    """Return the scores (2, N) and the maps (2, N, C, H, W) of best and worst, and what was observed."""
    scores, maps = [], []
    for action in ACTIONS:
        run = lrpdyn.compute(
            checkpoints, observations, rule=rule, target=action, limit=2, baseline="none",
            out=f"actions/{rule.partition(':')[0]}-{action}", quiet=True,
        )  # fmt: skip
        last = run.metrics["step"] == run.steps[-1]
        scores.append(run.metrics["score"][last])
        maps.append(run.relevance[run.steps[-1]])
    ends = np.argmax(scores, axis=0), np.argmin(scores, axis=0)
    samples = np.arange(len(run.observations))
    own = np.array([np.array(scores)[units, samples] for units in ends])
    return own, np.array([np.array(maps)[units, samples] for units in ends]), run.observations


def alike(best, worst):
    """Return the cosine of each sample's two maps, (N,)."""
    best, worst = (maps.reshape(len(maps), -1) for maps in (best, worst))
    return (best * worst).sum(1) / np.linalg.norm(best, axis=1) / np.linalg.norm(worst, axis=1)


def draw(axes, seen, rule, scores, shares, cosine):
    """Draw one sample under one rule: what was observed (H, W), and both maps (2, H, W)."""
    axes[0].imshow(seen, cmap="gray")
    axes[0].set_ylabel(rule)
    limit = np.abs(shares).max()
    for axis, name, score, share in zip(axes[1:], ("best", "worst"), scores, shares, strict=True):
        axis.imshow(share, cmap="RdBu_r", vmin=-limit, vmax=limit)
        axis.set_title(f"{name} action, score {score:+.2f}", size=9)
    axes[2].set_xlabel(f"cosine to the best {cosine:.2f}", size=9)


if __name__ == "__main__":
    checkpoints, observations, picture = sys.argv[1:]
    found = {}
    for rule in RULES:
        scores, maps, seen = ends_of(checkpoints, observations, rule)
        shares = maps / scores[:, :, None, None, None]
        found[rule] = scores, shares, alike(*shares)
        print(f"{rule}: cosine of best and worst {np.median(found[rule][2]):.2f}")
    cosines = found[RULES[-1]][2]
    sample = np.argsort(cosines)[len(cosines) // 2]
    figure, axes = plt.subplots(len(RULES), 3, figsize=(7.2, 5.6), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.1)
    for row, (rule, (scores, shares, cosine)) in zip(axes, found.items(), strict=True):
        draw(
            row, seen[sample, -1], rule, scores[:, sample], shares[:, sample].sum(1), cosine[sample]
        )
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    figure.savefig(picture, dpi=100)
