"""What a user is told where an operation has no rule: which node, on which line, and the way out."""

from __future__ import annotations

import os
import traceback

import torch
from torch import fx

from lrpdyn.errors import ArchitectureError

_TORCH = os.path.dirname(torch.__file__)
_HERE = os.path.dirname(__file__)
_WAY_OUT = (
    "explain another head or target, give --arch a network without it, or give the module a rule "
    "of your own with lrpdyn.register_rule and a rules file (--rule FILE.toml)"
)


def refused(network: str, node: fx.Node, what: str, why: str) -> ArchitectureError:
    """Return the error on a node of `network` that stands for `what`."""
    return ArchitectureError(
        f"{network}: '{node.name}' ({what}){_source_line(node)} cannot be explained: {why}; {_WAY_OUT}"
    )


def line_of(error: BaseException) -> str:
    """Return where in the user's own code an exception came from, such as ``at "net.py", line 3``."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith((_TORCH, _HERE, "<"))]
    return f' at "{own[-1].filename}", line {own[-1].lineno}' if own else ""


def _source_line(node: fx.Node) -> str:
    lines = [line.strip() for line in (node.stack_trace or "").splitlines()]
    # The tracer's own frames lie above and below the user's.
    places = [line for line in lines if line.startswith("File ") and _TORCH not in line]
    return f" at {places[-1].removeprefix('File ').partition(', in ')[0]}" if places else ""
