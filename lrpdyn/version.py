"""The version of lrpdyn; nothing else, so that every room can import it."""

from __future__ import annotations

__version__ = "0.1.0"
