"""How a trained network's relevance changes over its checkpoints.

The public names are imported when they are first used: ``import lrpdyn`` loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lrpdyn.version import __version__

if TYPE_CHECKING:
    from lrpdyn.api import Run, open_run
    from lrpdyn.architectures.registry import register_architecture
    from lrpdyn.comparison.compare import compare
    from lrpdyn.lrp.registry import register_rule
    from lrpdyn.pipeline.compute import compute
    from lrpdyn.pipeline.live import Watch
    from lrpdyn.pipeline.merge import merge
    from lrpdyn.recording.record import record

__all__ = ["Run", "Watch", "__version__", "compare", "compute", "merge", "open_run", "record",
           "register_architecture", "register_rule"]  # fmt: skip

_HOMES = {
    "Run": "lrpdyn.api",
    "Watch": "lrpdyn.pipeline.live",
    "compare": "lrpdyn.comparison.compare",
    "compute": "lrpdyn.pipeline.compute",
    "merge": "lrpdyn.pipeline.merge",
    "open_run": "lrpdyn.api",
    "record": "lrpdyn.recording.record",
    "register_architecture": "lrpdyn.architectures.registry",
    "register_rule": "lrpdyn.lrp.registry",
}


def __getattr__(name: str) -> Any:
    if name == "exports":
        return importlib.import_module("lrpdyn.exports")
    if name not in _HOMES:
        raise AttributeError(f"module 'lrpdyn' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "exports"])
