"""Columns of both tables as series over the steps of a run.

The only place that knows whether tables have a row for each sample or are by step: others request
values here, and do not branch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.errors import RunError
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.tables import Table, medians_in

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: The columns of both tables, and the beginnings of those of regions, that are compared with a curve.
_OF_TRANSITIONS = ("change", "change_per_unit", "prediction_change")
_OF_STEPS = ("entropy", "distance_from_first_l1")
_OF_REGIONS = ("share_per_random_", "effect_")
#: The percentiles of samples that a band lies between.
_BAND = (5, 95)


def table_series(run: RunFolder, samples: Sequence[int] | None = None) -> TableSeries:
    """Return the series of a run over some samples, or over all.

    Raises
    ------
    RunError
        Some samples are requested, and the tables are by step.
    """
    if samples is not None:
        need_samples(run, f"--sample {','.join(map(str, samples))}")
    return TableSeries(run, samples)


def series_of_sample(run: RunFolder, sample: int) -> TableSeries:
    """Return the series of one sample; medians over all, called so, where the tables are by step."""
    return TableSeries(run, None if run.by_step else [sample])


def need_samples(run: RunFolder, what: str) -> None:
    """Refuse what needs tables with a row for each sample.

    Raises
    ------
    RunError
        They have a row for each step.
    """
    if run.by_step:
        raise RunError(
            f"{what}: needs a row for each sample, and the tables of {run.path} have one for each "
            "step; the command that made the run, with --tables samples, writes them so"
        )


class TableSeries:
    """Columns of both tables over the S steps and T transitions of a run, and the words for them.

    Where the tables are by step there are medians over all samples in place of other values, and None
    where these tell nothing.
    """

    def __init__(self, run: RunFolder, samples: Sequence[int] | None) -> None:
        self._run, self._samples = run, samples

    @cached_property
    def steps(self) -> Integers:
        """The steps of metrics.csv, (S,)."""
        return np.unique(self._metrics["step"])

    @property
    def typical(self) -> str:
        """The words that follow the title of a median; none of one sample."""
        return "" if self._is_one else ", median over samples"

    @property
    def average(self) -> str:
        """The words that follow the title of a mean; none of one sample."""
        return self.typical if self._run.by_step or self._is_one else ", mean over samples"

    @property
    def shaded(self) -> str:
        """The words that follow the title of what has a band; none of one sample."""
        if self._is_one:
            return ""
        return f"; shaded: {'least to most' if self._run.by_step else '5 to 95 % of samples'}"

    def column(self, name: str) -> str:
        """Return the column that the values of `name` are from: its medians, or itself."""
        return f"{name}_median" if self._run.by_step else name

    def region_columns(self, begin: str | tuple[str, ...]) -> list[str]:
        """Return the columns of regions that begin so."""
        names = self._run.metrics.dtype.names or ()
        known = medians_in(names) if self._run.by_step else names
        return [name for name in known if name.startswith(begin)]

    def curves(self) -> dict[str, Floats]:
        """Return change, entropy, shares and effects of regions, and the like, (S,) each.

        Of a transition the median, at the step that it leads to; of a step the mean.
        """
        table, of_steps = self._transitions, (*_OF_STEPS, *self.region_columns(_OF_REGIONS))
        ends = np.searchsorted(self.steps, table["to_step"])
        curves = {name: self._over(np.median, table, name, ends) for name in _OF_TRANSITIONS}
        return {**curves, **{name: self.mean(name) for name in of_steps}}

    def named_curves(self) -> dict[str, Floats]:
        """Return the `curves`; a median in place of a mean is called so."""
        return {
            name if name in _OF_TRANSITIONS else self.column(name): values
            for name, values in self.curves().items()
        }

    def median(self, name: str) -> Floats:
        """Return the median over samples of a column of metrics.csv, (S,)."""
        return self._over(np.median, self._metrics, name, self._places)

    def mean(self, name: str) -> Floats:
        """Return the mean over samples of a column of metrics.csv, (S,)."""
        return self._over(np.mean, self._metrics, name, self._places)

    def band(self, name: str) -> tuple[Floats, Floats] | None:
        """Return two values (S,) that most samples lie between; None of one sample."""
        if self._is_one:
            return None
        if self._run.by_step:
            return self._metrics[f"{name}_least"], self._metrics[f"{name}_most"]
        low, high = (
            self._over(partial(np.percentile, q=q), self._metrics, name, self._places)
            for q in _BAND
        )
        return low, high

    def preferred_unit(self) -> tuple[Floats, Floats | None]:
        """Return the preferred unit of one sample, or the most common one and its share, (S,)."""
        name, share = "argmax", None
        if self._run.by_step:
            name, share = "argmax_most_common", self._metrics["argmax_most_common_share"]
        units = np.full(len(self.steps), np.nan)
        units[self._places] = np.where(self._metrics[name] < 0, np.nan, self._metrics[name])
        return units, share

    def shares_of_units(self) -> dict[int, Floats] | None:
        """Return the share of samples that prefer each unit, (S,), the most preferred unit first.

        None of one sample.
        """
        if self._is_one or self._run.by_step:
            return None
        preferred, count = self._metrics["argmax"], len(self.steps)
        units, counts = np.unique(preferred[preferred >= 0], return_counts=True)
        samples = np.bincount(self._places, minlength=count)
        return {
            unit: np.bincount(self._places[preferred == unit], minlength=count) / samples
            for unit in units[np.argsort(-counts, kind="stable")].tolist()
        }

    def relevance_to_score(self) -> tuple[Floats, Floats] | None:
        """Return the medians of sum(R) / score and of sum|R| / |score|, (S,)."""
        if self._run.by_step:
            return None
        table = self._metrics
        score = np.where(table["score"] == 0, np.nan, table["score"])
        total, size = table["relevance_sum"] / score, table["relevance_l1"] / np.abs(score)
        places, count = self._places, len(self.steps)
        total, size = (over_samples(np.median, of, places, count) for of in (total, size))
        return total, size

    def explained_units(self, samples: Sequence[int]) -> Integers:
        """Return the unit that is explained at each finite step, for some samples; -1 if unknown."""
        if not self._run.by_step:
            return self.of_steps("target", samples).astype(np.int64)
        fixed = self._run.manifest["target"].get("values")
        units = [-1 if fixed is None else fixed[sample] for sample in samples]
        return np.tile(np.array(units, dtype=np.int64), (len(self._run.steps), 1))

    def of_steps(self, name: str, samples: Sequence[int]) -> Floats:
        """Return a column of metrics.csv at each finite step, for some samples; NaN without a row."""
        return self._of_samples(self._run.metrics, "step", name, samples)

    def of_transitions(self, name: str, samples: Sequence[int]) -> Floats:
        """Return a column of transitions.csv at the steps that they lead to, as `of_steps` does."""
        return self._of_samples(self._run.transitions, "to_step", name, samples)

    def changes(self) -> Floats | None:
        """Return the changes of all samples, (T, N)."""
        return None if self._run.by_step else self.shaped(self._run.transitions["change"])

    def median_changes(self) -> Floats:
        """Return the median over all samples of the change of each transition, (T,)."""
        changes = self.changes()
        if changes is None:
            return np.asarray(self._run.transitions["change_median"])
        return np.median(changes, axis=1) if changes.size else changes.ravel()

    def ends(self) -> tuple[Integers, Integers]:
        """Return the steps that each transition leads from and to, (T,) each."""
        table, every = self._run.transitions, 1
        if not self._run.by_step:
            every = len(self._run.mapped("observations"))
        return np.asarray(table["from_step"][::every]), np.asarray(table["to_step"][::every])

    def pairs(self) -> list[tuple[int, int]]:
        """Return the two steps of each of T transitions."""
        return list(zip(*(steps.tolist() for steps in self.ends()), strict=True))

    def preference_changes(self) -> tuple[int, int]:
        """Return how often the preferred unit of a sample changed, and of how many times."""
        table, samples = self._run.transitions, self._run.shape[0]
        if self._run.by_step:
            # A share of samples is a whole number of them.
            changed = np.rint(table["argmax_changed_share"] * samples).sum()
            return int(changed), len(table) * samples
        return int(np.count_nonzero(table["argmax_changed"])), len(table)

    def churn(self) -> Floats:
        """Return the share of samples whose preferred unit changed into each step, (S,)."""
        table, count = self._transitions, len(self.steps)
        ends = np.searchsorted(self.steps, table["to_step"])
        if not self._run.by_step:
            return over_samples(np.mean, table["argmax_changed"].astype(np.float64), ends, count)
        found = np.full(count, np.nan)
        found[ends] = table["argmax_changed_share"]
        return found

    def shaped(self, column: Any) -> NDArray[Any]:
        """Return a column of a table of all samples, (rows, N), or (rows,) where it is by step."""
        shape = (-1,) if self._run.by_step else (-1, len(self._run.mapped("observations")))
        return np.asarray(column).reshape(shape)

    @property
    def replaced_rows(self) -> int:
        """How many rows of samples the medians of metrics.csv stand for; 0 where it has them."""
        return self._run.shape[0] * len(self._run.metrics) if self._run.by_step else 0

    @cached_property
    def _metrics(self) -> Table:
        return self._chosen(self._run.metrics)

    @cached_property
    def _transitions(self) -> Table:
        return self._chosen(self._run.transitions)

    def _chosen(self, table: Table) -> Table:
        if self._samples is None:
            return table
        chosen: Table = table[np.isin(table["sample"], list(self._samples))]
        return chosen

    @cached_property
    def _places(self) -> Integers:
        """The place in `steps` of each row of metrics.csv."""
        places: Integers = np.searchsorted(self.steps, self._metrics["step"])
        return places

    @cached_property
    def _is_one(self) -> bool:
        return not self._run.by_step and len(np.unique(self._metrics["sample"])) == 1

    def _over(
        self, of: Callable[[Floats], Any], table: Table, name: str, places: Integers
    ) -> Floats:
        """Return a value over the samples of each step; the median where the table is by step."""
        if not self._run.by_step:
            return over_samples(of, table[name], places, len(self.steps))
        found = np.full(len(self.steps), np.nan)
        found[places] = table[f"{name}_median"]
        return found

    def _of_samples(self, table: Table, key: str, name: str, samples: Sequence[int]) -> Floats:
        steps = np.array(self._run.steps, dtype=np.int64)
        found = np.full((len(steps), len(samples)), np.nan)
        place = np.searchsorted(steps, table[key])
        there = place < len(steps)
        there[there] = steps[place[there]] == table[key][there]
        for i, sample in enumerate(samples):
            rows = there if self._run.by_step else there & (table["sample"] == sample)
            found[place[rows], i] = table[self.column(name)][rows]
        return found


def over_samples(
    of: Callable[[Floats], Any], values: Floats, places: Integers, count: int
) -> Floats:
    """Return the median, or the mean, of the finite values at each place."""
    order = np.argsort(places, kind="stable")
    groups = np.split(np.asarray(values)[order], np.searchsorted(places[order], range(1, count)))
    finite = [group[np.isfinite(group)] for group in groups]
    return np.array([of(group) if len(group) else np.nan for group in finite])
