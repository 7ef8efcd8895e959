"""Clusters of a few things by their distances, and whether there is more than one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Distances = NDArray[np.float64]
Similarity = NDArray[np.float64]
Labels = NDArray[np.int64]


def average_linkage(distances: Distances, least: int = 1) -> dict[int, Labels]:
    """Return the labels (R,) of every number of clusters from R down to `least` (Sokal and Michener 1958)."""
    count = len(distances)
    between, weights = distances.astype(np.float64), np.ones(count)
    np.fill_diagonal(between, np.inf)
    labels = np.arange(count)
    found = {count: labels.copy()}
    for clusters in range(count - 1, least - 1, -1):
        one, other = sorted(divmod(int(between.argmin()), count))
        joined = weights[one] * between[one] + weights[other] * between[other]
        between[one] = between[:, one] = joined / (weights[one] + weights[other])
        between[other] = between[:, other] = between[one, one] = np.inf
        weights[one] += weights[other]
        labels[labels == other] = one
        found[clusters] = np.unique(labels, return_inverse=True)[1]
    return found


def silhouette(distances: Distances, labels: Labels) -> float:
    """Return the mean silhouette (Rousseeuw 1987); that of a cluster of one is 0."""
    member = np.eye(labels.max() + 1)[labels]
    of_cluster = member.sum(axis=0)
    sums = distances @ member
    own = np.arange(len(labels)), labels
    others = np.maximum(of_cluster[labels] - 1, 1)
    within = sums[own] / others
    means = sums / of_cluster
    means[own] = np.inf
    nearest = means.min(axis=1)
    larger = np.maximum(within, nearest)
    values = np.where(larger > 0, nearest - within, 0) / np.where(larger > 0, larger, 1)
    return float(np.where(of_cluster[labels] > 1, values, 0).mean())


def best_clusters(distances: Distances, most: int = 8) -> tuple[Labels, float]:
    """Return the labels of 2 to `most` clusters whose silhouette is largest, and it."""
    tree = average_linkage(distances, 2)
    most = min(most, len(distances) - 1)
    scored = [(silhouette(distances, tree[number]), -number) for number in range(2, most + 1)]
    score, number = max(scored)
    return tree[-number], score


def groups_of(similarity: Similarity) -> tuple[Labels, float, float]:
    """Return the labels of `best_clusters`, their silhouette, and how far two groups are apart.

    Things that are clusters by themselves are labelled -1 and taken out, one after the other, as long as
    four remain. How far is the share of variance (0 to 1) that the first two clusters explain, along the
    line through their means; a thing is no part of the means that it is projected on.
    """
    there = np.arange(len(similarity))
    while True:
        inner = similarity[np.ix_(there, there)]
        labels, score = best_clusters(1 - inner)
        alone = np.bincount(labels)[labels] == 1
        if not alone.any() or len(there) - alone.sum() < 4:
            break
        there = there[~alone]
    found = np.full(len(similarity), -1)
    found[there] = np.where(
        alone, -1, np.unique(np.where(alone, -1, labels), return_inverse=True)[1]
    )
    found[there] -= alone.any() & ~alone  # counted from 0 without those alone
    return found, score, _explained(inner, average_linkage(1 - inner, 2)[2])


def _explained(similarity: Similarity, labels: Labels) -> float:
    """Return the share of variance that two clusters explain, each thing placed by the others."""
    if np.bincount(labels).min() < 2:
        return 0.0
    places = placed(similarity, labels)
    of_one, of_other = places[labels == 0], places[labels == 1]
    if of_one.mean() >= of_other.mean() or places.var() == 0:
        return 0.0
    within = len(of_one) * of_one.var() + len(of_other) * of_other.var()
    return float(1 - within / (len(places) * places.var()))


def placed(similarity: Similarity, labels: Labels) -> NDArray[np.float64]:
    """Return where things lie between the means of clusters 0 and 1, (R,): 0 is halfway.

    The thing itself is left out of both means, so that it counts as new.
    """
    member = np.eye(2)[labels]
    left = member[None] - np.eye(len(labels))[:, :, None] * member  # (thing, others, cluster)
    means = left / left.sum(axis=1, keepdims=True)
    line = means[:, :, 1] - means[:, :, 0]
    middle = (means[:, :, 1] + means[:, :, 0]) / 2
    along = np.einsum("ij,ij->i", similarity - middle @ similarity, line)
    length = np.einsum("ij,jk,ik->i", line, similarity, line).clip(0)
    return np.asarray(along / np.sqrt(np.where(length > 0, length, 1)))


def chance_of_one_group(similarity: Similarity, draws: int = 199) -> float:
    """Return how often a single group looks as far apart (`groups_of`) as these R things do.

    A single group is Gaussian and has as much spread in each direction as they have, as in SigClust
    (Liu et al. 2008). `similarity` (R, R) are inner products of vectors of length 1.
    """
    count = len(similarity)
    centre = np.eye(count) - 1 / count
    spread = np.linalg.eigvalsh(centre @ similarity @ centre).clip(0) / (count - 1)
    dice, found = np.random.default_rng(0), groups_of(similarity)[2]
    reached = 0
    for _ in range(draws):
        drawn = dice.normal(size=(count, count)) * np.sqrt(spread)
        products = drawn @ drawn.T
        squares = np.diag(products)
        apart = (squares[:, None] + squares - 2 * products) / 2
        reached += groups_of(1 - apart)[2] >= found
    return (reached + 1) / (draws + 1)
