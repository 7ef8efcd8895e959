"""One sample's relevance as a film over training: GIF, WebP or APNG."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, get_args

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from lrpdyn.errors import UsageError
from lrpdyn.figures.canvas import features, layout, maps, saving, style, words
from lrpdyn.figures.canvas.curve_axes import tidy
from lrpdyn.figures.canvas.look import DEFAULT_LOOK, Look, ScaleBy
from lrpdyn.figures.canvas.style import Array
from lrpdyn.figures.request import Request, scales_by
from lrpdyn.figures.run_data import (
    NO_FLAGS,
    NO_OTHERS,
    Flags,
    about_of,
    flags_of,
    maps_of,
    other_samples,
)
from lrpdyn.figures.step_choice import Loaded, load_maps, places_of
from lrpdyn.files.atomic import whole_file
from lrpdyn.files.names import called
from lrpdyn.run.reader import RunFolder

MOST_FRAMES, MOST_BARS = 200, 32
FRAME_MS, LAST_MS = 250, 2000
#: How Pillow names what each suffix holds, and with which options.
CONTAINERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".gif": ("GIF", {"optimize": False, "disposal": 1}),
    ".webp": ("WEBP", {"lossless": True}),
    ".apng": ("PNG", {}),
}
CURSOR = style.FLAGGED
#: Heights in em: of the score's curve, of a feature's bar.
CURVE, EACH = 5.0, 1.3
#: Without a width, films are for screens: about so many inches wide, with text so much larger.
WIDTH, TEXT = 4.0, 1.25


@dataclass(frozen=True)
class Score:
    """What is explained at each step: (S,) scores, and the units they are of."""

    values: Array
    units: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class _Stage:
    """What stays the same in all frames, and where the rest goes, in pixels.

    `observed` and `box` are where the observation and the map or the bars lie (left, top, width,
    height), `text` where the step is
    written, `cursor` the top and bottom of the score's curve, `at` the place of each step in it.
    """

    picture: Image.Image
    observed: tuple[int, int, int, int]
    box: tuple[int, int, int, int]
    text: tuple[int, int]
    cursor: tuple[int, int]
    at: list[int]
    em: float


def draw(runs: Sequence[RunFolder], request: Request, path: Path) -> None:
    """Write the relevance of a sample as a film."""
    (run,) = runs
    by = scales_by(request, "animation", get_args(ScaleBy))
    metrics = run.metrics
    rows = metrics[(metrics["sample"] == request.sample) & np.isin(metrics["step"], run.steps)]
    draw_animation(
        path,
        run.mapped("observations")[request.sample],
        run.steps,
        maps_of(run, request.sample),
        Score(values=np.asarray(rows["score"]), units=rows["target"].tolist()),
        about=about_of(run),
        sample=request.sample,
        wanted=request.steps,
        flags=flags_of(run.outliers, request.sample),
        own_scales=by == "step",
        others=other_samples(run, request, MOST_FRAMES) if by == "all" else {},
        look=request.look,
    )


@saving.own_settings()
def draw_animation(
    path: str | os.PathLike[str],
    observation: Array,
    steps: Sequence[int],
    relevance: Callable[[int], Array],
    score: Score,
    *,
    about: words.About,
    sample: int,
    wanted: Sequence[int] | None = None,
    flags: Flags = NO_FLAGS,
    own_scales: bool = False,
    others: Mapping[int, Loaded] = NO_OTHERS,
    look: Look = DEFAULT_LOOK,
) -> None:
    """Write a frame for each step: relevance, the step, the score and its unit.

    The observation is (C, H, W), or flat (F,), which gets a bar for each feature. `steps` are all
    finished ones, in order; `relevance` loads the map of one, shaped as the observation; `score` is
    of each. `wanted` are the steps to show: by default all, or 200 of more, those that `flags` has,
    and others. Each frame has a scale of its own (`own_scales`), or all share one, with the maps of
    `others`, by sample.

    Raises
    ------
    UsageError
        The suffix is none of .gif, .webp and .apng.
    RunError
        A map is not shaped as the observation, or the file cannot be written.
    """
    target = Path(path)
    if target.suffix.lower() not in CONTAINERS:
        known = " or ".join(CONTAINERS)
        raise UsageError(
            f"animation {target}: expected a name ending in {known}, found {target.suffix or 'none'}"
        )
    chosen = places_of(steps, wanted, MOST_FRAMES, flags.order())
    values = load_maps(steps, chosen, relevance, observation.shape).maps
    what = f"relevance {words.RELEVANCE}"
    if others:
        together = np.concatenate([values, *(one.maps for one in others.values())])
        scaled = maps.Scaled(
            values=values, scale=maps.scale_of(what, together, look, signed=True), limits=[]
        )
    else:
        scaled = maps.scaled(what, values, look, signed=True, own=own_scales)
    values, drawn = scaled.values, np.arange(0)
    shown = f"{len(chosen)} of {len(steps):,} steps"
    if observation.ndim == 1:
        drawn = features.most_changed_features(np.abs(values), MOST_BARS)
        values = values[:, drawn]
        showing = f"{len(drawn)} of {observation.size:,} features, those with the most relevance"
    else:
        showing = style.channel_note(len(observation))
    numbers = ", ".join(map(str, sorted({sample, *others})))
    caption = words.Caption(
        title=f"Relevance of {about.sample(sample)} during training",
        line=about.line(steps),
        notes=[
            *about.notes(steps),
            f"A frame each for {shown}.",
            scaled.scale.sentence,
            *([f"Samples {numbers} share this scale."] if others else []),
            words.sentence(showing),
        ],
    )
    labels = features.feature_names(drawn, observation, about.names)
    stage = _stage(observation, labels, caption, scaled.scale, steps, score, look)
    frames = []
    for place, (index, of_step) in enumerate(zip(chosen, values, strict=True)):
        lines = _lines(steps[index], index, score, flags, about)
        if scaled.limits:
            lines[1] += f", scale ±{scaled.limits[place]}"
        frames.append(_frame(stage, of_step, scaled.scale, stage.at[index], lines))
    _save(frames, target, stage, scaled.scale, caption.text(look.title))


def _lines(step: int, index: int, score: Score, flags: Flags, about: words.About) -> list[str]:
    """Return what is written on a frame."""
    value = score.values[index]
    unit = called(about.names, "units", score.units[index])
    known = f"score {value:.3g}, {unit}" if np.isfinite(value) else "no score"
    flag = flags.transitions.get(step)
    wrong = flags.steps.get(step)
    marks = [f"change to the next step: {words.SEVERITIES[flag]}"] if flag else []
    return [f"{about.unit} {step:,}", known, "; ".join([*marks, *([wrong] if wrong else [])])]


def _stage(
    observation: Array,
    labels: Sequence[str],
    caption: words.Caption,
    scale: maps.Scale,
    steps: Sequence[int],
    score: Score,
    look: Look,
) -> _Stage:
    """Draw what all frames share."""
    images = observation.ndim == 3
    given, em = look.page(WIDTH, WIDTH)
    if look.width is None:
        em *= TEXT
    if images:
        _, high, wide = observation.shape
        cell = int((given - 2.2 * em) / 2)
        height, panel = layout.panel_within(high, wide, cell)
        if look.width is None:
            height, panel = layout.panel_size(high, wide, 252 * look.dpi / 150)
            cell = max(panel, round(15 * em))
            given = 2 * cell + 2.2 * em
        left = round(1.6 * em + cell + (cell - panel) / 2)
    else:
        left = round(layout.widest(labels, em) + 1.2 * em)
        if look.width is None:
            given = round(31 * em)
        height = round(len(labels) * EACH * em)
        panel = round(given - left - 0.8 * em)
    width = given
    heading = layout.wrap(scale.heading, width - 1.2 * em, em)
    below = (4 * layout.LINE + 1.1) * em + height + maps.bar_height(heading, em)
    below += (layout.LINE + 0.4 + CURVE + 2.2) * em
    head = layout.header_of(caption, look, width, em, below / em)
    text_top = (0.9 + head.height) * em
    body = round(text_top + (4 * layout.LINE + 0.3) * em)
    bar_top = body + height + 0.8 * em
    curve_top = round(bar_top + maps.bar_height(heading, em) + (layout.LINE + 0.4) * em)
    figure = layout.new_figure(width, curve_top + (CURVE + 2.2) * em, look.dpi)
    head.write(figure)
    above = body - layout.LINE * em
    observed = (0, 0, 1, 1)
    if images:
        picture = style.displayed_observations(observation[np.newaxis])[0]
        observed = (round(0.6 * em + (cell - panel) / 2), body, panel, height)
        maps.show_map(figure, picture, maps.GREY, *observed)
        middles = (0.6 * em + cell / 2, 1.6 * em + 1.5 * cell)
        for name, middle in zip(("observed", scale.what), middles, strict=True):
            layout.add_text(figure, middle, above, [name], em, align="center")
        maps.show_map(figure, np.zeros((1, 1)), scale, left, body, panel, height)
    else:
        layout.add_text(figure, left, above, [scale.what], em)
        layout.add_names(figure, left - 0.4 * em, body, EACH * em, labels, em)
    maps.add_bar(figure, heading, scale, 0.6 * em, bar_top, width - 1.2 * em, em)
    at = _add_curve(figure, steps, score, curve_top, em)
    return _Stage(
        picture=_rasterised(figure),
        observed=observed,
        box=(left, body, panel, height),
        text=(round(0.6 * em), round(text_top)),
        cursor=(curve_top, curve_top + round(CURVE * em)),
        at=at,
        em=em,
    )


def _add_curve(
    figure: Figure, steps: Sequence[int], score: Score, top: int, em: float
) -> list[int]:
    """Draw the score over the steps; return the place of each step in pixels."""
    width = figure.bbox.width
    layout.add_text(figure, 0.6 * em, top - (layout.LINE + 0.2) * em, ["score"], em)
    axes = layout.add_panel(figure, 4.6 * em, top, width - 6.4 * em, CURVE * em)
    axes.plot(steps, score.values, color=style.LINE_COLOURS[0], linewidth=1.4)
    tidy(axes, layout.points(em, figure.dpi), across=4, down=3)
    axes.autoscale_view()  # else a place is computed before the axes are scaled
    return [round(float(axes.transData.transform((step, 0.0))[0])) for step in steps]


def _rasterised(figure: Figure) -> Image.Image:
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())  # type: ignore[attr-defined]
    return Image.fromarray(pixels[..., :3].copy())


def _frame(
    stage: _Stage, values: Array, scale: maps.Scale, at: int, lines: Sequence[str]
) -> Image.Image:
    """Put a map (H, W), or bars (F,), with its words and the cursor, onto the stage."""
    frame = stage.picture.copy()
    draw = ImageDraw.Draw(frame)
    font = ImageFont.truetype(
        Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", round(stage.em)
    )
    left, top = stage.text
    for line in lines:
        draw.text((left, top), line, fill="black", font=font)
        top += round(layout.LINE * stage.em)
    draw.line([(at, stage.cursor[0]), (at, stage.cursor[1])], fill=CURSOR, width=2)
    left, top, width, height = stage.box
    coloured = _colours(values, scale)
    if values.ndim == 2:
        larger = max(values.shape) > layout.LARGEST_PANEL
        how = Image.Resampling.BOX if larger else Image.Resampling.NEAREST
        frame.paste(Image.fromarray(coloured).resize((width, height), how), (left, top))
        return frame
    middle, half = left + width // 2, width // 2
    draw.line([(middle, top), (middle, top + height)], fill="black")
    lengths = np.clip(np.nan_to_num(values) / scale.limit, -1, 1) * half
    each = height / len(values)
    for row, (length, colour) in enumerate(zip(lengths, coloured, strict=True)):
        ends = sorted((middle, middle + round(float(length))))
        down = top + row * each
        draw.rectangle(
            (ends[0], round(down + 0.15 * each), ends[1], round(down + 0.85 * each)),
            fill=tuple(int(part) for part in colour),
            outline="black",
        )
    return frame


def _colours(values: Array, scale: maps.Scale) -> Array:
    """Return the colours of values, uint8 (..., 3)."""
    colours = style.colour_map(scale.colours)
    relative = np.ma.masked_invalid((values - scale.low) / (scale.limit - scale.low))
    return np.asarray(colours(relative, bytes=True))[..., :3]


def _save(
    frames: Sequence[Image.Image], target: Path, stage: _Stage, scale: maps.Scale, caption: str
) -> None:
    container, options = CONTAINERS[target.suffix.lower()]
    if container == "GIF":
        frames = _reduced(frames, _palette(stage, scale))
    durations = [FRAME_MS] * (len(frames) - 1) + [LAST_MS]
    # In memory first: Pillow does not say why a file cannot be written.
    film = io.BytesIO()
    frames[0].save(
        film, format=container, save_all=True, append_images=frames[1:], duration=durations,
        loop=0, **options, **_metadata(container, caption),
    )  # fmt: skip
    with whole_file(target, "wb") as file:
        file.write(film.getvalue())
    saving.save_caption(target, caption)


def _metadata(container: str, caption: str) -> dict[str, Any]:
    """Return a caption as Pillow writes it into a film."""
    if container == "GIF":
        return {"comment": caption.encode()}
    if container == "PNG":
        chunks = PngInfo()
        chunks.add_itxt("Description", caption)
        return {"pnginfo": chunks}
    description = escape(caption)
    return {"xmp": (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF '
        'xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><r:Description r:about="" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:description><r:Alt><r:li '
        f'xml:lang="x-default">{description}</r:li></r:Alt></dc:description></r:Description></r:RDF>'
        "</x:xmpmeta>"
    ).encode()}  # fmt: skip


def _palette(stage: _Stage, scale: maps.Scale) -> Array:
    """Return one palette for all frames, uint8 (256, 3): those of each would flicker.

    It holds the whole scale, grey for text, the lines' colours, and what the observation needs.
    """
    ramp = _colours(np.linspace(scale.low, scale.limit, 129), scale).tolist()
    grey = [[level] * 3 for level in range(0, 256, 17)]
    lines = [[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in (CURSOR, style.LINE_COLOURS[0])]
    left, top, width, height = stage.observed
    seen = stage.picture.crop((left, top, left + width, top + height)).quantize(100).getpalette()
    colours = [*ramp, *grey, *lines, *np.array((seen or [])[:300]).reshape(-1, 3).tolist()]
    return np.array(colours + [[255] * 3] * (256 - len(colours)), dtype=np.uint8)


def _reduced(frames: Sequence[Image.Image], palette: Array) -> list[Image.Image]:
    """Return frames in the palette, each pixel in its nearest colour: Pillow takes white for grey."""
    nearest = np.full(2**24, -1, dtype=np.int16)
    reduced = []
    for frame in frames:
        red, green, blue = np.moveaxis(np.asarray(frame).astype(np.int32), -1, 0)
        packed = red << 16 | green << 8 | blue
        new = np.unique(packed[nearest[packed] < 0])
        colours = np.stack([new >> 16, new >> 8 & 255, new & 255], axis=-1)
        for begin in range(0, len(new), 4096):
            some = colours[begin : begin + 4096, np.newaxis] - palette.astype(np.int32)
            nearest[new[begin : begin + 4096]] = (some**2).sum(axis=-1).argmin(axis=-1)
        small = Image.fromarray(nearest[packed].astype(np.uint8))
        small.putpalette(palette.tobytes())
        reduced.append(small)
    return reduced
