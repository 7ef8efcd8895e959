"""The populations of a distribution are those of the outlier report."""

from __future__ import annotations

from lrpdyn.api import Run
from lrpdyn.figures.populations import label, populations_of


def test_the_populations_are_those_of_the_report(of_images: Run) -> None:
    for population in populations_of(of_images):
        total = of_images.outliers["totals"][population.name]
        assert population.values.size == total["values"]
        assert (population.mild, population.far) == (total["fence_mild"], total["fence_far"])
    where = {"from_step": 700_000, "to_step": 800_000, "sample": 2}
    causes = [{"cause": "action_flip"}, {"cause": "step_gap"}]
    assert label({"where": where, "causes": causes}) == "700k → 800k, sample 2: action_flip"
    assert label({"where": {"sample": 2, "row": 3, "column": 4}, "causes": []}) == (
        "sample 2, row 3, column 4"
    )
