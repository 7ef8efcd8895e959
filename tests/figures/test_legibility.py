"""No text of any figure is cut off, overlaps another or is too small; nothing else is loaded."""

import itertools
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from lrpdyn.figures.canvas import layout, saving
from lrpdyn.figures.canvas.look import COLUMN, PAGE, PAGE_HEIGHT, Look
from lrpdyn.figures.canvas.words import DIFFERENCE, SUM, About, Caption
from lrpdyn.figures.drawings import animation
from lrpdyn.figures.drawings.animation import Score, draw_animation
from lrpdyn.figures.drawings.channels import draw_channels
from lrpdyn.figures.drawings.distribution import Population, draw_distribution
from lrpdyn.figures.drawings.features import draw_features
from lrpdyn.figures.drawings.filmstrip import draw_filmstrip
from lrpdyn.figures.drawings.heatmap import Moved, draw_heatmap
from lrpdyn.figures.drawings.raster import Mark, draw_raster
from lrpdyn.figures.drawings.runs import Band, Curves, Maps, Plane, draw_runs
from lrpdyn.figures.drawings.side_by_side import Side, draw_side_by_side
from lrpdyn.figures.drawings.trajectory import Marks, Panel, draw_trajectory
from lrpdyn.figures.run_data import Flags
from lrpdyn.run.feature_curves import FeatureCurves

LONG = "preferred action at each step (head policy), minus the mean of the logits $x_1$ " * 2
PLAIN = About(rule="zplus", question="preferred action")
NAMES = {
    "samples": {f"{sample}": f"train/{'long_' * 20}{sample}.JPEG" for sample in range(0, 9, 2)},
    "features": {f"{feature}": f"{'joint velocity ' * 9}{feature}" for feature in range(0, 99, 3)},
}
LENGTHY = About(
    rule="epsilon-gamma-box:" + "x" * 90, question=LONG, unit="environment steps", names=NAMES
)
STEPS = range(50_000, 1_150_001, 50_000)
CLOSE_STEPS = range(10_000_000, 10_000_300, 7)


def _random(shape: tuple[int, ...], scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(0).normal(0, scale, shape).astype(np.float32)


class Looks:
    """The look of the case that is drawn: with its dpi, and the width that a test chooses."""

    width: float | None = None
    font_size = 8.0


def _look(dpi: int) -> Look:
    return Look(dpi=dpi, width=Looks.width, font_size=Looks.font_size)


def _heatmap(
    shape: tuple[int, ...],
    about: About,
    dpi: int,
    *,
    also: bool = False,
    every: bool = False,
) -> None:
    dynamics = np.abs(_random(shape, 1.23456e-7))
    relative = dynamics.sum(axis=1) if len(shape) == 4 else dynamics
    relative = relative / relative.max()
    relative.ravel()[0] = 1_000
    moved = Moved(dynamics=dynamics, net_change=dynamics / 3, relative=relative)
    ends = [0, shape[0] - 1]
    observations = _random(shape, 1e-5)
    draw_heatmap(
        "a.png",
        observations,
        moved,
        steps=STEPS,
        samples=None if every else ends,
        look=_look(dpi),
        about=about,
        relative=also,
    )


def _filmstrip(shape: tuple[int, ...], steps: Any, about: About, dpi: int = 150) -> None:
    observation, relevance = _random(shape, 1e-5), _random(shape, 1.23456e-7)
    draw_filmstrip(
        "a.png", observation, steps, lambda step: relevance * step, sample=12, about=about,
        look=_look(dpi), flags=Flags({steps[0]: "far"}, {steps[-1]: "vanished"}),
    )  # fmt: skip


def _distribution(about: About, dpi: int) -> None:
    random = np.random.default_rng(0)
    cells, pixels = random.lognormal(-2, 1, 352), random.lognormal(-14, 3, 20_000)
    equal = np.full(30, 0.25)
    populations = [
        Population(
            name="steps",
            values=random.lognormal(0, 0.1, 11),
            mild=None,
            far=None,
            labels=[(1.0, "50k → 100k")],
        ),
        Population(
            name="samples",
            values=equal,
            mild=None,
            far=None,
            labels=[(0.25, f"sample {i}") for i in range(5)],
        ),
        Population(
            name="pixels",
            values=pixels,
            mild=0.1,
            far=0.9,
            labels=[(p, "row 3, " * 20) for p in np.sort(pixels)[-9:]],
        ),
        Population(
            name="cells",
            values=cells,
            mild=1.5,
            far=2.5,
            labels=[(c, "50k → 100k, 3") for c in np.sort(cells)[:5]],
        ),
        Population(name="cells", values=np.zeros(352), mild=None, far=None, labels=[]),
    ]
    draw_distribution("a.png", populations, about=about, look=_look(dpi))


def _trajectory(about: About, dpi: int, times: int = 1) -> None:
    steps = np.array(STEPS)
    lines = {f"region number {place}": _random((len(steps),)) for place in range(9)}
    panels = [
        Panel(
            name="curve",
            title="training curve: " + "progress.csv:rollout/ep_rew_mean " * 4,
            steps=steps,
            lines={"": -steps},
        ),
        Panel(name="regions", title="share of regions", steps=steps, lines=lines),
        Panel(
            name="change",
            title=f"change of relevance into the step, {SUM} {DIFFERENCE}",
            steps=steps,
            lines={"relevance": 1e-9 * steps},
        ),
    ]
    marks = Marks(note="it drifts steadily: a straight line describes it better")
    draw_trajectory(
        "a.png", panels * times, about=about, samples="all", marks=marks, look=_look(dpi)
    )


def _raster(transitions: int, samples: int, steps: Any, about: About, dpi: int) -> None:
    change = np.abs(_random((transitions, samples), 1e-7))
    ends = [(steps[place], steps[place + 1]) for place in range(transitions)]
    marks = [
        Mark(column=0, row=0, kind="far"),
        Mark(column=1, row=0, kind="mild"),
        Mark(column=1, row=0, kind="pathology"),
    ]
    draw_raster("a.png", change, ends, range(samples), marks, about=about, look=_look(dpi),
                borders=[steps[1]])  # fmt: skip


def _channels(shape: tuple[int, ...], shown: Any, about: About, dpi: int) -> None:
    values = np.abs(_random(shape, 1.23456e-7))
    values.ravel()[0] = 1
    draw_channels("a.png", values, values, values / 3, lambda step: values, steps=CLOSE_STEPS,
                  shown=shown, sample=12, about=about, look=_look(dpi))  # fmt: skip


def _sides(shape: tuple[int, ...], runs: int, dpi: int) -> None:
    dynamics = np.abs(_random(shape, 1.23456e-7))
    ends = np.array(STEPS)
    sides = [
        Side(
            label="epsilon-gamma-box:" + "x" * 30,
            name=f"run-{place}, rule gamma:0.25; {LONG}",
            dynamics=dynamics,
            ends=ends,
            change=ends * 1e-3,
            flagged=[0],
        )
        for place in range(runs)
    ]
    alike = "cosine of dynamics, median over samples: A-B 0.93" + ", A-C 0.11" * (runs - 2)
    draw_side_by_side(
        "a.png", dynamics, sides, samples=range(len(dynamics)), alike=alike, look=_look(dpi),
        names=NAMES,
    )  # fmt: skip


def _runs(shape: tuple[int, ...], points: int, groups: int, runs: int, dpi: int) -> None:
    names = [f"group {place} {'x' * 30}" for place in range(groups)]
    of_runs = [names[place % groups] for place in range(runs)]
    steps = np.array(STEPS)
    titles = (
        "change into the step over the run's median",
        "faithfulness",
        "score, median over samples",
    )
    panels = [
        Curves(
            title=title,
            bands=[
                Band(group=one, at=steps, middle=1e-9 * steps, low=0 * steps, high=2e-9 * steps)
                for one in names
            ],
        )
        for title in titles
    ]
    letters = [chr(65 + place) for place in range(runs)]
    of_basins = [None, *(place % 9 for place in range(1, runs))]  # one of each mark
    plane = Plane(
        points=_random((runs, 2)), names=letters, groups=of_runs, basins=of_basins, kept=0.456
    )
    shown = Maps(
        observation=_random(shape, 1e-5),
        values=_random((min(runs, 8), points, *shape[-2:]), 1.23456e-7),
        names=[f"group {letter}" for letter in letters[:8]],
        points=[f"{place * 100}.5k" for place in range(points)],
        features=NAMES,
    )
    line = [f"maps of 8 of {runs} runs", *(f"{one}: A-C" for one in names)]
    caption = Caption(title=f"{runs} runs by rule, sample 12", line=line, notes=[LONG])
    draw_runs(
        "a.png", shown, panels, plane, caption=caption, unit="environment steps", look=_look(dpi)
    )


def _features(shown: int, count: int, steps: Any, about: About, dpi: int) -> None:
    shares = np.random.default_rng(0).dirichlet(np.full(count, 0.3), len(steps))[:, :shown]
    curves = FeatureCurves(steps=np.array(steps), features=tuple(range(180, 180 + shown)), count=count,
                           shares=shares, rest=1 - shares.sum(axis=1))  # fmt: skip
    names = {"features": {"180": "a name of a feature " * 4, "181": "pole angle"}}
    draw_features(Path("a.png"), curves, about=replace(about, names=names), look=_look(dpi))


# What is drawn, and how wide in inches it is to be printed.
CASES: dict[str, tuple[Callable[[], None], float]] = {
    "heatmap 84": (lambda: _heatmap((3, 4, 84, 84), PLAIN, 150, also=True), COLUMN),
    "heatmap 24, long words": (lambda: _heatmap((11, 2, 24, 24), LENGTHY, 150), COLUMN),
    "heatmap 224": (lambda: _heatmap((1, 3, 224, 224), PLAIN, 150), COLUMN),
    "heatmap of 16": (lambda: _heatmap((16, 1, 84, 84), LENGTHY, 150, every=True), COLUMN),
    "heatmap coarse": (lambda: _heatmap((2, 1, 84, 84), LENGTHY, 60), COLUMN),
    "heatmap fine": (lambda: _heatmap((1, 1, 84, 84), PLAIN, 300), COLUMN),
    "heatmap high": (lambda: _heatmap((2, 1, 84, 5), PLAIN, 150), COLUMN),
    "heatmap wide": (lambda: _heatmap((11, 1, 3, 84), PLAIN, 150), COLUMN),
    "bars 4": (lambda: _heatmap((12, 4), LENGTHY, 150, also=True), COLUMN),
    "bars 12, of 16 samples": (lambda: _heatmap((16, 12), PLAIN, 150, every=True), PAGE),
    "bars 4, of 16 samples": (lambda: _heatmap((16, 4), LENGTHY, 150, every=True), PAGE),
    "bars 32, one sample": (lambda: _heatmap((1, 32), PLAIN, 150), COLUMN),
    "bars 32, long words": (lambda: _heatmap((2, 32), LENGTHY, 150, also=True), COLUMN),
    "bars 128": (lambda: _heatmap((3, 128), PLAIN, 100), COLUMN),
    "strip 84": (lambda: _filmstrip((4, 84, 84), STEPS, PLAIN), PAGE),
    "strip 24, one transition": (lambda: _filmstrip((1, 24, 24), [0, 10], LENGTHY), PAGE),
    "strip, two transitions": (lambda: _filmstrip((1, 24, 24), [0, 9, 20], PLAIN, 99), PAGE),
    "strip, close steps": (lambda: _filmstrip((1, 84, 84), CLOSE_STEPS, PLAIN), PAGE),
    "flat strip 4": (lambda: _filmstrip((4,), STEPS, LENGTHY), PAGE),
    "flat strip 128": (lambda: _filmstrip((128,), STEPS, LENGTHY), PAGE),
    "flat strip, close steps": (lambda: _filmstrip((40,), CLOSE_STEPS, PLAIN), PAGE),
    "distribution": (lambda: _distribution(PLAIN, 150), COLUMN),
    "distribution, long words": (lambda: _distribution(LENGTHY, 90), COLUMN),
    "trajectory": (lambda: _trajectory(PLAIN, 150), PAGE),
    "trajectory, many": (lambda: _trajectory(PLAIN, 150, 3), PAGE),
    "trajectory, long words": (lambda: _trajectory(LENGTHY, 90), PAGE),
    "raster": (lambda: _raster(22, 4, STEPS, PLAIN, 150), PAGE),
    "raster, close steps": (lambda: _raster(40, 100, CLOSE_STEPS, LENGTHY, 90), PAGE),
    "channels": (lambda: _channels((4, 84, 84), CLOSE_STEPS[:1], PLAIN, 150), COLUMN),
    "channels, many": (lambda: _channels((3, 24, 24), CLOSE_STEPS[:6], LENGTHY, 100), PAGE),
    "features 4": (lambda: _features(4, 4, STEPS, PLAIN, 150), PAGE),
    "features 200": (lambda: _features(20, 200, CLOSE_STEPS, LENGTHY, 150), PAGE),
    "two runs": (lambda: _sides((2, 4, 84, 84), 2, 150), COLUMN),
    "six runs": (lambda: _sides((1, 1, 24, 24), 6, 100), PAGE),
    "many runs": (lambda: _runs((4, 84, 84), 7, 3, 26, 150), PAGE),
    "many groups": (lambda: _runs((1, 24, 24), 4, 12, 12, 100), COLUMN),
    "many runs, flat": (lambda: _runs((40,), 4, 2, 3, 150), COLUMN),
    "six runs, flat": (lambda: _sides((2, 40), 6, 150), COLUMN),
}


def _texts(figure: Figure) -> list[tuple[str, Any, float]]:
    """Return the words, place and size of what is drawn: ticks beyond the ends of an axis are not."""
    figure.canvas.draw()
    hidden = set()
    for axes in figure.axes:
        for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            for tick in axis.get_major_ticks():
                beyond = not min(low, high) <= tick.get_loc() <= max(low, high)
                if beyond or not axes.axison:
                    hidden |= {tick.label1, tick.label2}
    found = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    return [
        (text.get_text(), text.get_window_extent(), float(text.get_fontsize()))
        for text in found
        if text.get_visible() and text.get_text().strip() and text not in hidden
    ]


def _drawn(case: str, monkeypatch: pytest.MonkeyPatch) -> Figure:
    figures: list[Figure] = []
    monkeypatch.setattr(
        saving, "save_figure", lambda figure, path, caption, look: figures.append(figure)
    )
    CASES[case][0]()
    (figure,) = figures
    return figure


@pytest.mark.parametrize("case", CASES)
def test_text_is_whole_apart_and_large_enough(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = _drawn(case, monkeypatch)
    assert len(_texts(figure)) > 10
    _check_texts(figure, CASES[case][1] / figure.get_figwidth())


@pytest.mark.parametrize("width", [COLUMN, PAGE])
@pytest.mark.parametrize("case", CASES)
def test_a_figure_is_as_wide_as_asked_and_its_header_is_small(
    case: str, width: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Looks, "width", width)
    figure = _drawn(case, monkeypatch)
    assert figure.get_figwidth() == pytest.approx(width, abs=0.02)
    _check_texts(figure, 1.0)
    header = [text for text in figure.texts if text.get_gid() == layout.HEADER]
    assert 1 <= len(header) <= 2
    assert header[0].get_fontweight() == "bold"
    boxes = [text.get_window_extent() for text in header]
    height = max(box.y1 for box in boxes) - min(box.y0 for box in boxes)
    assert height < 0.1 * figure.bbox.height


def test_what_is_many_has_room_on_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    for case, width in (
        ("heatmap of 16", PAGE),
        ("trajectory, many", PAGE),
        ("bars 4, of 16 samples", None),
    ):
        monkeypatch.setattr(Looks, "width", width)
        assert _drawn(case, monkeypatch).get_figheight() <= PAGE_HEIGHT + 0.1


def test_a_larger_font_is_that_of_every_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Looks, "width", PAGE)
    monkeypatch.setattr(Looks, "font_size", 11.0)
    for case in ("heatmap 84", "strip 84", "distribution", "trajectory", "raster", "two runs"):
        figure = _drawn(case, monkeypatch)
        assert [size for _, _, size in _texts(figure)] == pytest.approx(
            [11.0] * len(_texts(figure))
        )
        _check_texts(figure, 1.0)


def _check_texts(figure: Figure, shrunk: float) -> None:
    width, height = figure.bbox.size
    texts = _texts(figure)
    for words, box, size in texts:
        assert box.x0 >= 0, words
        assert box.y0 >= 0, words
        assert box.x1 <= width, words
        assert box.y1 <= height, words
        assert size * min(shrunk, 1) > 7.95, words
    for (words, box, _), (others, other, _) in itertools.combinations(texts, 2):
        across = min(box.x1, other.x1) - max(box.x0, other.x0)
        down = min(box.y1, other.y1) - max(box.y0, other.y0)
        # Boxes hold room above and below the letters, which lines of text may share.
        assert min(across, down - 0.25 * min(box.height, other.height)) <= 0, (words, others)


@pytest.mark.parametrize("shape", [(4, 84, 84), (1, 8, 8), (6,), (100,)])
def test_text_of_a_film_is_whole_and_apart(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    figures: list[Figure] = []
    drawn = animation._rasterised
    monkeypatch.setattr(
        animation, "_rasterised", lambda figure: figures.append(figure) or drawn(figure)
    )
    values = _random(shape, 1.23456e-7)
    draw_animation(
        tmp_path / "a.gif", values, [0, 10], lambda step: values, Score(np.array([-1e-9, 1e-7]), [0, 12]),
        about=PLAIN, sample=12,
    )  # fmt: skip
    (figure,) = figures
    _check_texts(figure, 1.0)


def test_figures_load_neither_torch_nor_pyplot() -> None:
    program = (
        "import sys, io, numpy\n"
        "from lrpdyn.figures import kinds, notebook, terminal\n"
        "from lrpdyn.figures.canvas import saving, words\n"
        "from lrpdyn.figures.drawings import heatmap\n"
        "saving.save_figure = lambda figure, path, caption, look: figure.savefig(io.BytesIO())\n"
        "one = numpy.ones((1, 1, 8, 8))\n"
        "change = heatmap.Moved(dynamics=one, net_change=one, relative=one[0])\n"
        "about = words.About(rule='r', question='q')\n"
        "heatmap.draw_heatmap('a.png', one, change, steps=[1], about=about)\n"
        "heavy = {'torch', 'scipy', 'click', 'matplotlib.pyplot'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
