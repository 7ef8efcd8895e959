"""The distribution of changes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from lrpdyn.api import Run
from lrpdyn.errors import UsageError
from lrpdyn.figures.canvas.layout import text_width
from lrpdyn.figures.canvas.look import Look
from lrpdyn.figures.canvas.words import About
from lrpdyn.figures.drawings import distribution
from lrpdyn.figures.drawings.distribution import (
    LABEL_LINES,
    Population,
    draw_distribution,
    label,
    labels_of,
    populations_of,
    strongest_labels,
)

WORDS: dict[str, Any] = {"about": About(rule="zplus", question="best action")}


def _population(**changes: Any) -> Population:
    values = np.random.default_rng(0).lognormal(-2, 1, 300)
    given: dict[str, Any] = {"values": values, "mild": 1.0, "far": 2.0, "labels": []}
    return Population(name="cells", **{**given, **changes})


def _panel(saved: list[Figure], population: Population) -> Any:
    draw_distribution("a.png", [population], **WORDS)
    (axes,) = (axes for axes in saved[-1].axes if axes.axison)
    return axes


def test_picture_is_readable_and_the_same_twice(tmp_path: Path) -> None:
    populations = [
        _population(labels=[(3.0, "step 50k → 100k"), (2.5, "other")]),
        _population(values=np.ones(5), mild=None, far=None),
        _population(values=np.zeros(50), mild=None, far=None),
        _population(values=np.zeros(0), mild=None, far=None),
    ]
    for name in ("a.png", "b.png"):
        draw_distribution(tmp_path / name, populations, **WORDS)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as picture:
        picture.load()
        assert picture.width == 788
        assert 700 < picture.height < 3000


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"values": np.arange(11.0) + 1, "mild": None, "far": None}, "n = 11: too few for a fence"),
        (
            {"values": np.r_[np.zeros(10), np.ones(10)], "mild": None, "far": None},
            "n = 20, 50 % zeros: too few for a fence",
        ),
        ({"values": np.ones(40), "mild": None, "far": None}, "n = 40; no fence"),
        (
            {"values": np.ones(40), "mild": None, "far": None, "note": "2 extreme"},
            "n = 40; 2 extreme",
        ),
        (
            {"values": np.r_[np.ones(37), 5, 6, np.nan], "mild": 2.0, "far": 5.5},
            "n = 40, 1 not finite; unusual from 2, extreme from 5.5; 1 extreme",
        ),
    ],
)
def test_panel_says_what_there_is(changes: dict[str, Any], words: str) -> None:
    assert distribution.describe(_population(**changes)) == words


def test_log_axis_holds_values_and_fences_but_no_absurd_fence() -> None:
    positive = np.array([1.0, 10.0])
    low, high = distribution.axis_limits(positive, (20.0, None))
    assert low < 1
    assert 20 < high < 25
    assert distribution.axis_limits(positive, (1e9, 0.0))[1] < 12


def test_every_value_falls_into_a_bin() -> None:
    for size in (1, 20, 50_000):
        positive = np.random.default_rng(size).lognormal(0, 3, size)
        edges = distribution.bin_edges(positive)
        assert np.histogram(positive, edges)[0].sum() == size
        assert (np.diff(edges) > 0).all()
    assert len(distribution.bin_edges(np.arange(1.0, 401))) == 21


def test_five_strongest_labels_are_kept() -> None:
    labels = [(float(value), str(value)) for value in (3, 1, 7, 0, 5, 2, 4)] + [(np.nan, "x")]
    kept = strongest_labels(labels)
    assert [name for _, name in kept] == ["7", "5", "4", "3", "2"]


def test_a_long_label_takes_two_lines_and_no_more() -> None:
    short, long = labels_of([(3.0, "step 5"), (2.0, "sample 2: " + "because " * 30)], 300, 10)
    assert short.lines == ["3  step 5"]
    assert len(long.lines) == 2
    assert long.lines[1].endswith("…")


def test_histogram_counts_the_positive_values(saved: list[Figure]) -> None:
    population = _population()
    axes = _panel(saved, population)
    assert axes.get_xscale() == "log"
    drawn = axes.patches[0].get_data()
    counts = np.histogram(population.values, drawn.edges)[0]
    assert counts.sum() == 300
    np.testing.assert_allclose(drawn.values, counts / counts.max())
    assert axes.get_yticklabels()[1].get_text() == str(counts.max())


def test_values_beyond_the_far_fence_are_coloured_and_in_the_rug(saved: list[Figure]) -> None:
    values = np.r_[np.linspace(0.1, 1, 50), 2.5, 4.0]
    axes = _panel(saved, _population(values=values, mild=1.5, far=2.0))
    colours = [to_hex(patch.get_facecolor()) for patch in axes.patches]
    assert colours == [distribution.INSIDE, *distribution.BEYOND.values()]
    assert [(patch.get_data().values > 0).sum() for patch in axes.patches[1:]] == [2, 2]
    _, rug = axes.collections
    assert [segment[0][0] for segment in rug.get_segments()] == [2.5, 4.0]
    fences = [line.get_xdata()[0] for line in axes.lines]
    assert fences == [1.5, 2.0]


def test_few_values_are_drawn_one_by_one(saved: list[Figure]) -> None:
    values = np.array([0.0, 1.0, 2.0, 9.0])
    axes = _panel(saved, _population(values=values, mild=None, far=None))
    assert axes.lines[0].get_xdata().tolist() == [1.0, 2.0, 9.0]
    assert not axes.patches


def test_legend_stands_only_where_there_is_a_fence(saved: list[Figure]) -> None:
    draw_distribution("a.png", [_population(mild=None, far=None)], **WORDS)
    draw_distribution("a.png", [_population(far=None)], **WORDS)
    draw_distribution("a.png", [_population()], **WORDS)
    names = [_key(figure) for figure in saved]
    assert names[:2] == [{}, {"usual": distribution.INSIDE, "unusual": distribution.BEYOND["mild"],
                              "unusual from here": "black"}]  # fmt: skip
    assert [*names[2]] == ["usual", "unusual", "extreme", "unusual from here", "extreme from here"]


def _key(figure: Figure) -> dict[str, str]:
    """Return the colours of the legend's entries."""
    legends = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    found = {}
    for legend in legends:
        for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
            colour = (
                handle.get_color()
                if hasattr(handle, "get_color")
                else to_hex(handle.get_facecolor())
            )
            found[text.get_text()] = colour
    return found


def test_the_colours_are_those_that_the_legend_names(saved: list[Figure]) -> None:
    values = np.r_[np.linspace(0.1, 1, 50), 1.7, 2.5]
    axes = _panel(
        saved, _population(values=values, mild=1.5, far=2.0, labels=[(2.5, "a"), (1.7, "b")])
    )
    key = _key(saved[-1])
    for patch, name in zip(axes.patches, ("usual", "unusual", "extreme"), strict=True):
        assert to_hex(patch.get_facecolor()) == key[name]
    leaders = [line.get_color() for line in axes.lines if line.get_transform() == axes.transAxes]
    assert leaders == [key["extreme"], key["unusual"]]


def test_outliers_by_fences_of_their_own_have_their_colours(saved: list[Figure]) -> None:
    beyond = {"mild": np.array([0.5]), "far": np.array([0.7, 0.9])}
    values = np.r_[np.linspace(0.1, 1, 50), 0.5, 0.7, 0.9]
    axes = _panel(saved, _population(values=values, mild=None, far=None, beyond=beyond, note="n"))
    rugs = [[s[0][0] for s in rug.get_segments()] for rug in axes.collections]
    assert rugs == [[0.5], [0.7, 0.9]]
    assert [*_key(saved[-1])] == ["usual", "unusual", "extreme"]
    texts = [text.get_text() for text in saved[-1].texts]
    assert "n = 53, 2 extreme, 1 unusual" in texts


@pytest.mark.parametrize(
    "values",
    [
        np.full(30, np.nan),
        np.full(30, 1e-44),
        np.full(30, 2.0),
        np.r_[np.full(20, 1e-44), np.full(20, 1e38)],
        np.array([0.5]),
        np.full(30, np.inf),
    ],
)
def test_odd_values_neither_fail_nor_warn(tmp_path: Path, values: np.ndarray) -> None:
    for fences in ((None, None), (1.0, 2.0), (0.0, np.inf)):
        population = _population(values=values, mild=fences[0], far=fences[1])
        draw_distribution(tmp_path / "a.png", [population], look=Look(dpi=60), **WORDS)
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_no_population_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least one population"):
        draw_distribution(tmp_path / "a.png", [], **WORDS)


def test_the_five_largest_finite_values_are_labelled() -> None:
    named = [(float(value), f"n{value}") for value in range(-1, 8)] + [(np.inf, "inf")]
    assert [name for _, name in strongest_labels(named)] == ["n7", "n6", "n5", "n4", "n3"]


def test_a_long_label_is_cut_and_says_so() -> None:
    (label,) = labels_of([(2.0, "word " * 40)], width=120.0, em=10.0)
    assert len(label.lines) == LABEL_LINES
    assert label.lines[-1].endswith("…")
    assert all(text_width(line, 10.0) <= 120.0 for line in label.lines)


def test_the_populations_are_those_of_the_report(of_images: Run) -> None:
    for population in populations_of(of_images):
        total = of_images.outliers["totals"][population.name]
        assert population.values.size == total["values"]
        assert (population.mild, population.far) == (total["fence_mild"], total["fence_far"])
    where = {"from_step": 700_000, "to_step": 800_000, "sample": 2}
    causes = [{"cause": "step_gap", "share": None}, {"cause": "score_growth", "share": 0.2},
              {"cause": "action_flip", "share": 0.7}]  # fmt: skip
    assert label({"where": where, "causes": causes}) == "700k → 800k, sample 2: action_flip"
    assert label({"where": {"sample": 2, "row": 3, "column": 4}, "causes": []}) == (
        "sample 2, row 3, column 4"
    )
