"""Observations: from files to one checked array as the network takes it."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name != "load_observations":  # documented here before version 0.2
        raise AttributeError(f"module 'lrpdyn.observations' has no attribute '{name}'")
    from lrpdyn.observations.loading import load_observations

    return load_observations
