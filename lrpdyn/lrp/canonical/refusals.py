"""Errors on an operation that has no rule: its node, its line, and the way out."""

from __future__ import annotations

import inspect
import os
import traceback

import torch
from torch import fx

from lrpdyn.errors import ArchitectureError

#: Where a traced node keeps the line that it came from.
LINE = "lrpdyn line"
_TORCH = os.path.dirname(torch.__file__)
_HERE = os.path.dirname(__file__)
_WAY_OUT = (
    "explain another head or target, give --arch a network without it, or give the module a rule "
    "of your own with lrpdyn.register_rule and a rules file (--rule FILE.toml)"
)


def refused(network: str, node: fx.Node, what: str, why: str) -> ArchitectureError:
    """Return the error on a node of `network` that stands for `what`."""
    return ArchitectureError(
        f"{network}: '{node.name}' ({what}){node.meta.get(LINE, '')} cannot be explained: {why}; {_WAY_OUT}"
    )


def line_of(error: BaseException) -> str:
    """Return where in the user's own code an exception came from, such as ``at "net.py", line 3``."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith((_TORCH, _HERE, "<"))]
    return f' at "{own[-1].filename}", line {own[-1].lineno}' if own else ""


def calling_line() -> str:
    """Return the line of the user's code that is being traced, empty where it is torch's own."""
    frame = inspect.currentframe()
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_HERE) and frame.f_code.co_name == "canonise_fully":
            return ""
        if not file.startswith((_TORCH, _HERE, "<")):
            return f' at "{file}", line {frame.f_lineno}'
        frame = frame.f_back
    return ""
