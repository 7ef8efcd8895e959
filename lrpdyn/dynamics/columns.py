"""The columns of the tables: each is one entry of `COLUMNS`, and all else follows.

A new measure of maps is a formula (`lrpdyn.dynamics.formulas`) and an entry at the end of the list. The
step table keeps it, both tables write it, tables by step sum it up, and the documentation lists it.
What layers.csv, faithfulness.csv and features.csv have is made where these are written
(`lrpdyn.pipeline.results`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lrpdyn.dynamics import formulas
from lrpdyn.dynamics.formulas import StepMaps
from lrpdyn.dynamics.measures import Array

Of = Literal["step", "transition", "layer", "map", "feature"]
OverSamples = Literal[
    "spread", "most common", "share", "same", "number", "unit name", "sample name"
]

#: How a table by step sums up a column: by columns of the same name with these endings. A column that
#: is the same for all samples stays as it is, and those of their numbers and names go. The name of a unit is
#: in a column that is called as that of its number, with _name behind it.
ENDINGS: dict[OverSamples, tuple[str, ...]] = {
    "spread": ("_median", "_least", "_most"),
    "most common": ("_most_common", "_most_common_share"),
    "share": ("_share",),
    "same": ("",),
    "number": (),
    "unit name": ("_most_common",),
    "sample name": (),
}


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table, of which each row is of a step, of a transition, or of a layer.

    Attributes
    ----------
    name, says
        Its name, and what it holds in one line.
    of
        What the table has a row for; `map` is of a step, a sample and a map, `feature` of a step and a
        feature. A key of several tables, as
        `sample`, has an entry in each.
    dtype
        As NumPy writes it: f8, i8, ? or U, a text.
    over_samples
        A key of `ENDINGS`.
    formula
        Gives the values of some samples from their maps; None for what is known otherwise
        (`lrpdyn.pipeline.results.table_rows`).
    always
        Whether tables of every version begin with it.
    """

    name: str
    of: Of
    says: str
    dtype: Literal["f8", "i8", "?", "U"] = "f8"
    over_samples: OverSamples = "spread"
    formula: Callable[[StepMaps], Array] | None = None
    always: bool = False


COLUMNS: list[Column] = [
    Column(name="step", of="step", dtype="i8", over_samples="same", always=True,
           says="where in training"),
    Column(name="sample", of="step", dtype="i8", over_samples="number", always=True,
           says="the number of the observation, from 0"),
    Column(name="target", of="step", dtype="i8", over_samples="most common", always=True,
           says="the unit that is explained"),
    Column(name="score", of="step", always=True,
           says="the explained output f, less its contrast"),
    Column(name="argmax", of="step", dtype="i8", over_samples="most common", always=True,
           says="the unit that the network prefers"),
    Column(name="relevance_sum", of="step", always=True, formula=formulas.relevance_sum,
           says="sum_p R(p)"),
    Column(name="relevance_l1", of="step", always=True, formula=formulas.relevance_l1,
           says="sum_p abs(R(p))"),
    Column(name="entropy", of="step", always=True, formula=formulas.entropy,
           says="-sum_p q ln q over pixels, q = abs(R(p)) / sum abs(R)"),
    Column(name="distance_from_first", of="step", always=True, formula=formulas.distance_from_first,
           says="sum_p abs(R_i(p) - R_1(p))"),
    Column(name="distance_from_first_l1", of="step", formula=formulas.distance_from_first_l1,
           says="the same of L1-normalised maps"),
    Column(name="from_step_zero", of="step", dtype="?", over_samples="same",
           says="1 where the first step is step 0"),
    Column(name="support", of="step",
           says="sum_j max(0, a_j w_j) / abs(f) at the last layer"),
    Column(name="entropy_random", of="step",
           says="the entropy of freshly initialised networks, the mean over them"),
    Column(name="from_step", of="transition", dtype="i8", over_samples="same", always=True,
           says="the step before the change"),
    Column(name="to_step", of="transition", dtype="i8", over_samples="same", always=True,
           says="the step after the change"),
    Column(name="sample", of="transition", dtype="i8", over_samples="number", always=True,
           says="the number of the observation, from 0"),
    Column(name="change", of="transition", always=True, formula=formulas.change,
           says="sum_p abs(R_{i+1}(p) - R_i(p))"),
    Column(name="score_change", of="transition", always=True,
           says="f_{i+1} - f_i"),
    Column(name="scale_share", of="transition", always=True, formula=formulas.scale_share,
           says="the share of the change along the direction that both maps have in common"),
    Column(name="argmax_changed", of="transition", dtype="?", over_samples="share", always=True,
           says="another unit is preferred"),
    Column(name="step_gap", of="transition", dtype="?", over_samples="same",
           says="a checkpoint in between was skipped"),
    Column(name="shape_share", of="transition",
           says="1 - scale_share"),
    Column(name="prediction_change", of="transition",
           says="sum_k abs(P_{i+1,k} - P_{i,k}), P the prediction"),
    Column(name="cosine", of="transition", formula=formulas.cosine,
           says="cosine of both maps over channel-summed pixels"),
    Column(name="rank_similarity", of="transition", formula=formulas.rank_similarity,
           says="Spearman's rank correlation of the same"),
    Column(name="change_per_unit", of="transition",
           says="change / (step_{i+1} - step_i)"),
    Column(name="scale_factor", of="transition", formula=formulas.scale_factor,
           says="by how much the map grew along the common direction"),
    Column(name="growth_share", of="transition", formula=formulas.growth_share,
           says="the share of the change that the best factor removes, at most the cosine of both maps"),
    Column(name="faithfulness", of="step",
           says="abpc of the map, where it was measured (faithfulness.csv)"),
    Column(name="gini", of="step", formula=formulas.gini,
           says="Gini coefficient of abs(R) over pixels: 0 even, 1 all in one pixel"),
    Column(name="top_kept", of="step", formula=formulas.top_kept,
           says="the share of the tenth of pixels with the largest abs(R) that was among it a step before"),
    Column(name="center_row", of="step", formula=formulas.center_row,
           says="the row of the centre of mass of abs(R), in pixels from 0"),
    Column(name="center_column", of="step", formula=formulas.center_column,
           says="the column of the same"),
    Column(name="cosine_to_last", of="step",
           says="cosine of R and of the last finite step's R, where maps are kept as they are"),
    Column(name="sample_name", of="step", dtype="U", over_samples="sample name",
           says="what the observation is called; empty where it has no name, as all that follow"),
    Column(name="target_name", of="step", dtype="U", over_samples="unit name",
           says="what the explained unit is called"),
    Column(name="argmax_name", of="step", dtype="U", over_samples="unit name",
           says="what the preferred unit is called"),
    Column(name="sample_name", of="transition", dtype="U", over_samples="sample name",
           says="what the observation is called; empty where it has no name"),
    Column(name="step", of="layer", dtype="i8", over_samples="same", always=True,
           says="where in training"),
    Column(name="layer", of="layer", dtype="U", over_samples="same", always=True,
           says="its name in the checkpoint; NAME statistics are the buffers of NAME"),
    Column(name="weight_norm", of="layer", over_samples="same", always=True,
           says="norm(W), weights and bias as one vector"),
    Column(name="weight_change", of="layer", over_samples="same", always=True,
           says="norm(W_i - W_{i-1}) / norm(W_{i-1})"),
    Column(name="dead_share", of="layer", over_samples="same", always=True,
           says="the share of the activation's units that no sample moves"),
    Column(name="dormant_share", of="layer", over_samples="same", always=True,
           says="the share of units whose mean abs(activation) is at most .025 of the layer's"),
    Column(name="effective_rank", of="layer", over_samples="same", always=True,
           says="exp of the entropy of the features' normalised singular values"),
    Column(name="cka_previous", of="layer", over_samples="same", always=True,
           says="linear CKA, debiased, of the features at the step before and at this one"),
    Column(name="cka_last", of="layer", over_samples="same", always=True,
           says="the same of this step and the last"),
    Column(name="step", of="map", dtype="i8", over_samples="same", always=True,
           says="where in training"),
    Column(name="sample", of="map", dtype="i8", over_samples="number", always=True,
           says="the number of the observation, from 0"),
    Column(name="map", of="map", dtype="U", over_samples="same", always=True,
           says="by what patches are ordered: the rule's relevance, or a yardstick"),
    Column(name="morf", of="map", over_samples="same", always=True,
           says="mean of the score over 0..P patches taken away, most relevant first, in its ranges"),
    Column(name="lerf", of="map", over_samples="same", always=True,
           says="the same, least relevant first"),
    Column(name="abpc", of="map", over_samples="same", always=True,
           says="lerf - morf"),
    Column(name="morf_policy", of="map", over_samples="same", always=True,
           says="mean of 1 - JS distance to the prediction for the whole, most relevant first"),
    Column(name="lerf_policy", of="map", over_samples="same", always=True,
           says="the same, least relevant first"),
    Column(name="abpc_policy", of="map", over_samples="same", always=True,
           says="lerf_policy - morf_policy"),
    Column(name="step", of="feature", dtype="i8", over_samples="same", always=True,
           says="where in training"),
    Column(name="feature", of="feature", dtype="i8", over_samples="same", always=True,
           says="its number, from 0"),
    Column(name="name", of="feature", dtype="U", over_samples="same", always=True,
           says="what it is called; empty where it has no name"),
    Column(name="share", of="feature", over_samples="same", always=True,
           says="its share of sum_p abs(R(p)), mean over samples"),
    Column(name="rank", of="feature", dtype="i8", over_samples="same", always=True,
           says="1 for the largest share of the step, of equal ones for the lower number"),
]  # fmt: skip


def columns_of(of: Of) -> list[Column]:
    """Return the columns of a table, in its order.

    >>> [column.name for column in columns_of("transition")][:4]
    ['from_step', 'to_step', 'sample', 'change']
    """
    return [column for column in COLUMNS if column.of == of]


def names_of(of: Of) -> tuple[str, ...]:
    """Return the names of the columns of a table."""
    return tuple(column.name for column in columns_of(of))


def names_of_every_version(of: Of) -> tuple[str, ...]:
    """Return the names of the columns that a table begins with, whatever the version that wrote it."""
    return tuple(column.name for column in columns_of(of) if column.always)


def measured(of: Of) -> dict[str, Callable[[StepMaps], Array]]:
    """Return the formulas of the columns that are measured of maps, by name."""
    return {column.name: column.formula for column in columns_of(of) if column.formula is not None}


def over_samples(name: str) -> OverSamples:
    """Return how a table by step sums up a column; one without an entry, as of a region, by its spread.

    >>> over_samples("argmax"), over_samples("share_ball")
    ('most common', 'spread')
    """
    return next((column.over_samples for column in COLUMNS if column.name == name), "spread")


def dtype_of(name: str) -> str:
    """Return the type of a column of a table, by step or not; one that is not known holds floats.

    >>> dtype_of("argmax"), dtype_of("argmax_most_common"), dtype_of("share_ball")
    ('i8', 'i8', 'f8')
    """
    of_unit = name.removesuffix("_most_common")
    entry = next((column for column in COLUMNS if column.name in (name, of_unit)), None)
    return "f8" if entry is None else entry.dtype
