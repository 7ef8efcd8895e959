"""A run in a notebook: its dynamics figure and the three strongest outliers, as HTML."""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from lrpdyn.errors import LrpdynError
from lrpdyn.files.names import Names
from lrpdyn.outliers.render import KINDS, SEVERITIES, in_words, place
from lrpdyn.run.reader import RunFolder

SHOWN = 3
#: Bytes of the picture, and characters of a text that is a stranger's: a display has less than 100 kB.
_MOST_BYTES, _MOST_TEXT = 64_000, 500
#: Pixels across that a display has room for.
_WIDEST = 960
#: Causes that are named of an outlier.
MOST_CAUSES = 2


def strongest(report: Mapping[str, Any], count: int) -> list[tuple[str, dict[str, Any]]]:
    """Return the kind and entry of the strongest outliers: far before mild, then by its fence.

    Where nothing lies beyond a fence, and where there is none, the largest changes are given.
    """
    entries = [(kind, entry) for kind in KINDS for entry in report[kind]]

    def strength(found: tuple[str, dict[str, Any]]) -> tuple[int, float]:
        entry = found[1]
        fence, value, rank = entry["fence_far"], entry["value"], SEVERITIES.index(entry["severity"])
        return rank, value / fence if fence and value is not None else 0.0

    return sorted(entries, key=strength, reverse=True)[:count]


def as_html(run: RunFolder) -> str:
    """Return what a notebook shows of a run: nothing but text and one picture, all of it escaped."""
    title = f"{_shortened(str(run.path))}: rule {_shortened(run.manifest['rule']['name'])}, "
    title += f"{len(run.steps):,} checkpoints, {len(run.mapped('observations')):,} samples"
    names = run.outliers.get("names", {})
    rows = "".join(_row(kind, entry, names) for kind, entry in strongest(run.outliers, SHOWN))
    wrong = run.outliers["totals"]["pathologies"]["values"]
    return (
        f"<div><p><strong>{escape(title)}</strong><br>{escape(_shortened(run.question))}</p>"
        f'<img alt="Dynamics of the samples over training" style="max-width: min(60em, 100%)" '
        f'src="{_url(_picture(run))}">'
        f"<table><thead><tr><th>kind</th><th>where</th><th>value</th><th>severity</th><th>why</th></tr>"
        f"</thead><tbody>{rows}</tbody></table><p>{wrong:,} pathologies; all: lrpdyn outliers "
        f"{escape(_shortened(str(run.path)))}</p></div>"
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]} ..."


def _row(kind: str, entry: Mapping[str, Any], names: Names) -> str:
    value = "" if entry["value"] is None else f"{entry['value']:.4g}"
    why = "; ".join(in_words(cause) for cause in entry["causes"][:MOST_CAUSES])
    severity = entry["severity"] if entry["severity"] != "none" else "none, only ranked"
    cells = (kind, place(entry["where"], names), value, severity, why)
    return "<tr>" + "".join(f"<td>{escape(_shortened(cell))}</td>" for cell in cells) + "</tr>"


def _url(picture: bytes) -> str:
    """Return a PNG as an address; as a WebP, as small as it takes, where it has too many bytes."""
    kind = "png"
    if len(picture) > _MOST_BYTES:
        with Image.open(io.BytesIO(picture)) as opened:
            whole = opened.convert("RGB")
        kind, scale = "webp", min(1.0, _WIDEST / whole.width)
        while len(picture) > _MOST_BYTES:
            size = (max(1, round(scale * whole.width)), max(1, round(scale * whole.height)))
            buffer = io.BytesIO()
            whole.resize(size, Image.Resampling.LANCZOS).save(buffer, "WEBP", quality=80)
            picture, scale = buffer.getvalue(), 0.8 * scale
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def _picture(run: RunFolder) -> bytes:
    """Return the figure that `compute` drew, or draw it where it is gone."""
    try:
        return (run.path / "figures" / "dynamics.png").read_bytes()
    except OSError:
        pass
    from lrpdyn.figures.kinds import draw
    from lrpdyn.figures.request import Request

    try:
        with tempfile.TemporaryDirectory() as folder:
            (path,) = draw([run], "dynamics", Request(out=Path(folder)))
            return path.read_bytes()
    except OSError as error:
        raise LrpdynError(f"{run.path}: cannot draw its figure: {error.strerror}") from error
