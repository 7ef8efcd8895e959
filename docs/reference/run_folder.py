"""Fill pages with what the program says of itself, its files and causes; a hook of MkDocs."""

from __future__ import annotations

import inspect
from functools import cached_property
from pathlib import Path
from typing import Any

from lrpdyn import errors
from lrpdyn.api import Run
from lrpdyn.dynamics.columns import Of, columns_of, names_of
from lrpdyn.outliers.causes import CAUSES
from lrpdyn.outliers.render import COLUMNS, KINDS
from lrpdyn.pipeline.results.table_rows import OF_REGION
from lrpdyn.run.journal import JOURNAL
from lrpdyn.run.layout import FEATURES, FOUND_REGIONS, MAPS, PIXEL_MAPS, RESULTS, relevance_path
from lrpdyn.run.manifest import MANIFEST, SCHEMA
from lrpdyn.run.tables import columns_by_step

_WHOLE = "(N, C, H, W) or (N, F)"
#: Of each file that is no map: what it holds.
_FILES = {
    MANIFEST: "what was asked and what has been done",
    JOURNAL: "a checksummed line for each step, from which a run goes on",
    "observations.npy": f"the observations as the network saw them, {_WHOLE} float32",
    "metrics.csv": "a row for each step and sample",
    "transitions.csv": "a row for each pair of successive steps and sample",
    "layers.csv": "a row for each step and layer",
    "faithfulness.csv": "a row for each measured step, sample and map",
    "features.csv": "of flat observations, a row for each step and feature",
    "outliers.json": "the outlier report",
    "outliers.csv": f"the same, a row for each entry: `{','.join(COLUMNS)}`",
    "figures/dynamics.png": "the heatmap of Dynamics",
    "figures/dynamics.txt": "its caption",
    "regions.npz": "with `--regions auto`, the masks of the objects that were found",
    "figures/regions.png": "with `--regions auto`, these objects in a few observations",
}


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Return a page with its placeholders, ``<!-- files -->`` and the like, filled."""
    filled = {"outliers.md": _causes, "reference/run-folder.md": _of_run_folder}
    for name, text in filled.get(page.file.src_uri, dict)().items():
        placeholder = f"<!-- {name} -->"
        if placeholder not in markdown:
            raise ValueError(f"{page.file.src_uri}: no place for {name}")
        markdown = markdown.replace(placeholder, text)
    return markdown


def _causes() -> dict[str, str]:
    rows = [
        f"| `{cause.name}` | {_cell(cause.criterion)} | {'yes ' if cause.pathologies else ''}|"
        for cause in CAUSES
    ]
    head = ["| cause | criterion | pathology |", "| --- | --- | --- |"]
    return {"causes": "\n".join([*head, *rows])}


def _of_run_folder() -> dict[str, str]:
    meanings = sorted((cause.name, cause.meaning) for cause in CAUSES)
    return {
        "schema": str(SCHEMA),
        "files": _table(("file", "holds"), _files()),
        "metrics": _described("step")
        + "\n\n"
        + _columns(tuple(f"{kind}_NAME" for kind in OF_REGION)),
        "transitions": _described("transition"),
        "layers": _described("layer"),
        "faithfulness": _described("map"),
        "features": _described("feature"),
        "metrics by step": _columns(columns_by_step(names_of("step"))),
        "transitions by step": _columns(columns_by_step(names_of("transition"))),
        "kinds": _table(("cause", "what it means"), meanings)
        + f"\n\nKinds: {', '.join(KINDS)}, and pathologies.",
        "errors": _table(("code", "error"), _errors()),
    }


def _files() -> list[tuple[str, str]]:
    said = {}
    for name in MAPS:
        attribute = inspect.getattr_static(Run, name)
        assert isinstance(attribute, cached_property)
        sentence = (inspect.getdoc(attribute) or "").splitlines()[0].rstrip(".")
        shape = "" if name in PIXEL_MAPS else f" {_WHOLE}"  # those tell it themselves
        said[f"{name}.npy"] = f"{sentence};{shape} float32"
    maps = relevance_path(Path(), 50_000)
    said[str(maps)] = (
        "raw relevance of that step, the step in 12 digits; as `--keep` and `--dtype` say"
    )
    unknown = [
        name for name in (*RESULTS, FEATURES, *FOUND_REGIONS) if name not in {**_FILES, **said}
    ]
    if unknown:
        raise ValueError(f"what {', '.join(unknown)} holds is not said in {__file__}")
    return sorted({**_FILES, **said}.items())


def _errors() -> list[tuple[str, str]]:
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind)]
    return [
        (str(kind.exit_code), f"{kind.__name__}: {(inspect.getdoc(kind) or '').splitlines()[0]}")
        for kind in kinds
    ]


def _described(of: Of) -> str:
    return _table(("column", "holds"), [(column.name, column.says) for column in columns_of(of)])


def _columns(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| `{name}` | {_cell(text)} |" for name, text in rows)])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
