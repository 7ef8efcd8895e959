"""What `--baseline` says: how many freshly initialised networks a run is compared with."""

from __future__ import annotations

from lrpdyn.errors import UsageError
from lrpdyn.files.nearby import did_you_mean

DEFAULT = "random:2"


def parse_baseline(text: str) -> int:
    """Read ``none``, ``random`` or ``random:K``; return the number of random networks.

    Raises
    ------
    UsageError
        It is none of these.
    """
    if text == "none":
        return 0
    name, _, count = text.partition(":")
    if name != "random" or (count and not count.isdecimal()) or count == "0":
        raise UsageError(
            f"--baseline {text}: expected none, random or random:K, such as random:2"
            + did_you_mean(name, ("none", "random"))
        )
    return int(count or DEFAULT.partition(":")[2])
