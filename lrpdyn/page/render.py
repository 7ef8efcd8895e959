"""A page as HTML: everything that it needs is in it, and nothing of the run is taken for markup."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from typing import Any

import numpy as np
from bokeh.resources import Resources
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from numpy.typing import NDArray

from lrpdyn.figures.canvas import style
from lrpdyn.figures.canvas.look import COLOURS, SIGNED_COLOURS
from lrpdyn.files.names import called
from lrpdyn.page.figures import curve_items, history_items
from lrpdyn.page.page import Page
from lrpdyn.page.pictures import View
from lrpdyn.page.several import Several

#: The page's own script, in the order in which its parts build on each other.
SCRIPTS = (
    "maps.js",
    "picture.js",
    "curves.js",
    "saving.js",
    "cards.js",
    "dialogs.js",
    "samples.js",
    "address.js",
    "player.js",
    "main.js",
)
#: The script of the page of several runs.
SEVERAL = ("maps.js", "picture.js", "several.js")
#: An option with the word after it, which may be its value, in text for a person.
_OPTION = re.compile(r"--[a-z][a-z-]*(?: [\w:]+)?")


def as_html(page: Page, *, alone: bool = True) -> str:
    """Return the page as one HTML document; not `alone` it is a frame of another, as in a notebook.

    Text is escaped by the template, data by its JSON filter, and a content policy runs only the
    scripts that are known by their hash, and lets nothing be fetched.
    """
    environment = _environment()
    scripts = [
        _script(_library()),
        _script(f"({player_script()})(document.body, {str(alone).lower()});\n"),
    ]
    return environment.get_template("page.html").render(
        page=page,
        called=called,
        data=_data(page),
        curves=curve_items(page),
        history=history_items(page),
        widest=max(8, len(f"⚑ {page.steps[-1]:,}"), len(_where(page))),
        styles=Markup(_short_source("page.css")),  # our own file: the run has no part in it
        scripts=[Markup(text) for text in scripts],
        hashes=[_hash(text) for text in scripts],
    )


def player_script() -> str:
    """Return the page's own script: a function of the element that holds the page's body.

    Its second argument says whether that is a whole page, which has an address and colours of its own;
    else what an address would say goes to the document around it, and comes from there.
    """
    return _function(SCRIPTS)


def _function(scripts: Sequence[str]) -> str:
    own = "\n".join(_short_source(name) for name in scripts)
    return f'(root, isPage) => {{\n"use strict";\n{own}}}'


def several_as_html(page: Several) -> str:
    """Return the page of several runs as one HTML document, as safe as `as_html`."""
    script = _script(f"({_function(SEVERAL)})(document.body, true);\n")
    data = {
        "stepUnit": page.runs[0].unit,
        "samples": page.samples,
        "observations": asdict(page.observations),
        "views": {},
        "colours": {"sequential": _ramp(COLOURS), "signed": _ramp(SIGNED_COLOURS)},
        "runs": [{**vars(run), "view": _view(run.view)} for run in page.runs],
    }
    return (
        _environment()
        .get_template("several.html")
        .render(
            page=page,
            data=data,
            styles=Markup(_short_source("page.css")),  # our own file: no run has a part in it
            script=Markup(script),
            hashes=[_hash(script)],
        )
    )


def _where(page: Page) -> str:
    """Return the longest text that says where among its steps the page is."""
    return f"{page.step_unit}, {len(page.kept.steps)} of {len(page.kept.steps)}"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("lrpdyn.page"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    # Bokeh's data define a model where it is first met: their order counts.
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False, "allow_nan": False}
    environment.filters["whole_options"] = _with_whole_options
    return environment


def _with_whole_options(text: str) -> Markup:
    """Return the text, escaped, whose options and their values are not broken at a line's end."""
    return Markup(
        _OPTION.sub(r'<span class="whole">\g<0></span>', str(escape(text)))
    )  # escaped before


def source_of(name: str) -> str:
    """Return one of the page's files as it is."""
    environment = _environment()
    assert environment.loader is not None
    text, _, _ = environment.loader.get_source(environment, name)
    return text


def _short_source(name: str) -> str:
    """Return a script or style without its comments and indents, which would be a fifth of it."""
    lines = (line.strip() for line in source_of(name).splitlines())
    return "".join(f"{line}\n" for line in lines if line and not line.startswith("//"))


@cache
def _library() -> str:
    """Return Bokeh's own script, without its widgets and tables."""
    library, *_log_level = Resources(mode="inline", components=["bokeh"]).js_raw
    return library


def _script(text: str) -> str:
    """Return a script as it may stand in a document, which reads line ends as one character."""
    return text.replace("\r\n", "\n").replace("</script", "<\\/script")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _data(page: Page) -> dict[str, Any]:
    """Return what the script reads."""
    return {
        "name": page.name,
        "stepUnit": page.step_unit,
        "outputUnit": page.output_unit,
        "unitNames": dict(page.names.get("units", {})),
        "featureNames": dict(page.names.get("features", {})),
        "steps": page.steps,
        "kept": page.kept.steps,
        "samples": page.samples,
        "flagged": sorted(page.flagged.anywhere),
        "flaggedSteps": sorted(page.flagged.steps),
        "flaggedCells": sorted(page.flagged.cells),
        "phases": [phase.first for phase in page.findings.phases],
        "observations": asdict(page.observations),
        "regions": [asdict(region) for region in page.regions],
        "views": {name: _view(view) for name, view in page.views.items()},
        "colours": {"sequential": _ramp(COLOURS), "signed": _ramp(SIGNED_COLOURS)},
        "units": [[None if u < 0 else u for u in row] for row in page.units.tolist()],
        "series": [
            {"name": one.name, "title": one.title, "values": _plain(one.values)}
            for one in page.series
        ],
    }


def _view(view: View) -> dict[str, Any]:
    return {
        **vars(view),
        "maps": [
            [None if one is None else [_short(one.largest), one.text] for one in row]
            for row in view.maps
        ],
    }


def _ramp(name: str) -> str:
    """Return 256 colours as hexadecimal digits, six for each."""
    colours = np.round(255 * style.colour_map(name)(np.arange(256))[:, :3]).astype(np.uint8)
    return colours.tobytes().hex()


def _plain(values: NDArray[np.float64]) -> list[list[float | None]]:
    return [[_short(v) if np.isfinite(v) else None for v in row] for row in values.tolist()]


def _short(value: float) -> float:
    return float(f"{value:.6g}")
