"""No text of any figure is cut off, overlaps another or is too small; nothing else is loaded."""

import itertools
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from lrpdyn.figures import Population, draw_distribution, draw_filmstrip, draw_heatmap, style

LONG = "preferred action at each step (head policy), minus the mean of the logits $x_1$ " * 2
PLAIN: dict[str, Any] = {"rule": "zplus", "question": "preferred action"}
LENGTHY: dict[str, Any] = {"rule": "epsilon-gamma-box:" + "x" * 90, "question": LONG}
STEPS = range(50_000, 1_150_001, 50_000)
CLOSE_STEPS = range(10_000_000, 10_000_300, 7)


def _random(shape: tuple[int, ...], scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(0).normal(0, scale, shape).astype(np.float32)


def _heatmap(shape: tuple[int, ...], words: dict[str, Any], dpi: int) -> None:
    dynamics = np.abs(_random(shape, 1.23456e-7))
    ends = [0, shape[0] - 1]
    observations = _random(shape, 1e-5)
    draw_heatmap("a.png", observations, dynamics, steps=STEPS, samples=ends, dpi=dpi, **words)


def _filmstrip(shape: tuple[int, ...], steps: Any, words: dict[str, Any], **options: Any) -> None:
    observation, relevance = _random(shape, 1e-5), _random(shape, 1.23456e-7)
    draw_filmstrip(
        "a.png", observation, steps, lambda step: relevance * step, sample=12, **options, **words
    )


def _distribution(words: dict[str, Any], dpi: int) -> None:
    random = np.random.default_rng(0)
    cells, pixels = random.lognormal(-2, 1, 352), random.lognormal(-14, 3, 20_000)
    equal = np.full(30, 0.25)
    populations = [
        Population("steps", random.lognormal(0, 0.1, 11), None, None, [(1.0, "50k → 100k")]),
        Population("samples", equal, None, None, [(0.25, f"sample {i}") for i in range(5)]),
        Population("pixels", pixels, 0.1, 0.9, [(p, "row 3, " * 20) for p in np.sort(pixels)[-9:]]),
        Population("cells", cells, 1.5, 2.5, [(c, "50k → 100k, 3") for c in np.sort(cells)[:5]]),
        Population("cells", np.zeros(352), None, None, []),
    ]
    draw_distribution("a.png", populations, dpi=dpi, **words)


# What is drawn, and how wide in inches it is to be printed: None where it fits no page.
CASES: dict[str, tuple[Callable[[], None], float | None]] = {
    "heatmap 84": (lambda: _heatmap((3, 4, 84, 84), PLAIN, 150), 3.5),
    "heatmap 24, long words": (lambda: _heatmap((11, 2, 24, 24), LENGTHY, 150), 3.5),
    "heatmap 224": (lambda: _heatmap((1, 3, 224, 224), PLAIN, 150), 3.5),
    "heatmap coarse": (lambda: _heatmap((2, 1, 84, 84), LENGTHY, 60), 3.5),
    "heatmap fine": (lambda: _heatmap((1, 1, 84, 84), PLAIN, 300), 3.5),
    "heatmap high": (lambda: _heatmap((2, 1, 84, 5), PLAIN, 150), 3.5),
    "heatmap wide": (lambda: _heatmap((11, 1, 3, 84), PLAIN, 150), 3.5),
    "bars 4": (lambda: _heatmap((12, 4), LENGTHY, 150), 3.5),
    "bars 32, one sample": (lambda: _heatmap((1, 32), PLAIN, 150), 3.5),
    "bars 128": (lambda: _heatmap((3, 128), PLAIN, 100), 3.5),
    "strip 84": (lambda: _filmstrip((4, 84, 84), STEPS, PLAIN), 7.2),
    "strip 24, one transition": (lambda: _filmstrip((1, 24, 24), [0, 10], LENGTHY), 7.2),
    "strip, two transitions": (lambda: _filmstrip((1, 24, 24), [0, 9, 20], PLAIN, dpi=99), 7.2),
    "strip, close steps": (lambda: _filmstrip((1, 84, 84), CLOSE_STEPS, PLAIN), None),
    "strip, many": (lambda: _filmstrip((1, 24, 24), CLOSE_STEPS, PLAIN, count=10), None),
    "flat strip 4": (lambda: _filmstrip((4,), STEPS, LENGTHY), 7.2),
    "flat strip 128": (lambda: _filmstrip((128,), STEPS, PLAIN), 7.2),
    "flat strip, many": (lambda: _filmstrip((40,), CLOSE_STEPS, PLAIN, count=10), None),
    "distribution": (lambda: _distribution(PLAIN, 150), 3.5),
    "distribution, long words": (lambda: _distribution(LENGTHY, 90), 3.5),
}


def _texts(figure: Figure) -> list[tuple[str, Any, float]]:
    figure.canvas.draw()
    found = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    return [
        (text.get_text(), text.get_window_extent(), float(text.get_fontsize()))
        for text in found
        if text.get_visible() and text.get_text().strip()
    ]


@pytest.mark.parametrize("case", CASES)
def test_text_is_whole_apart_and_large_enough(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(style, "save_figure", lambda figure, path: figures.append(figure))
    draw, printed = CASES[case]
    draw()
    (figure,) = figures
    width, height = figure.bbox.size
    texts = _texts(figure)
    assert len(texts) > 10
    shrunk = printed / figure.get_figwidth() if printed else 1
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


def test_figures_load_neither_torch_nor_pyplot() -> None:
    program = (
        "import sys, io, numpy, lrpdyn.figures as figures\n"
        "from lrpdyn.figures import style\n"
        "style.save_figure = lambda figure, path: figure.savefig(io.BytesIO())\n"
        "one = numpy.ones((1, 1, 8, 8))\n"
        "figures.draw_heatmap('a.png', one, one, steps=[1], rule='r', question='q')\n"
        "heavy = {'torch', 'scipy', 'click', 'matplotlib.pyplot'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
