"""Progress bars: on a terminal, in a notebook, and nowhere else."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any

#: What shows a bar over steps and yields them.
Bar = Callable[[Iterable[Any]], Iterable[Any]]


def progress_bar(entries: Iterable[Any] | None = None, *, quiet: bool, **settings: Any) -> Any:
    """Return a bar of tqdm over `entries`, which is taken away once it is full.

    `settings` are tqdm's. In a notebook it is a widget, or text where ipywidgets is not installed.
    """
    notebook = not quiet and in_notebook()
    if notebook:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # tqdm asks for ipywidgets, without which it writes text
            from tqdm.auto import tqdm
    else:
        # tqdm.auto takes longer to import, and is the same outside of notebooks.
        from tqdm import tqdm
    # By itself tqdm is silent where it does not write to a terminal.
    disable = True if quiet else False if notebook else None
    return tqdm(entries, disable=disable, leave=False, **settings)


def in_notebook() -> bool:
    """Return whether this is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and "IPKernelApp" in shell.config
