"""Options that runs of tests share."""

from __future__ import annotations

from typing import Any

#: Of a run whose maps are looked at, and not what is said about them: the checks take most of its time.
UNCHECKED: dict[str, Any] = {"baseline": "none", "faithfulness": "none", "quiet": True}
