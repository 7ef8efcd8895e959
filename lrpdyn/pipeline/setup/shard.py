"""Which stretch of a series is explained apart from the others."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lrpdyn.errors import UsageError


@dataclass(frozen=True)
class Shard:
    """Stretch `number`, from 1 on, of `of`."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def places(self, count: int) -> range:
        """Return the places of this shard in a series of `count` checkpoints.

        Raises
        ------
        UsageError
            There are more shards than checkpoints.
        """
        if self.of > count:
            raise UsageError(f"--shard {self}: {count} checkpoints make {count} shards at most")
        return range((self.number - 1) * count // self.of, self.number * count // self.of)


def parse_shard(text: str) -> Shard:
    """Return the shard that ``K/N`` names.

    >>> parse_shard("2/3").places(10)
    range(3, 6)

    Raises
    ------
    UsageError
        It is none, or K is not 1 to N.
    """
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise UsageError(f"--shard {text}: expected K/N, such as 3/7, with K from 1 to N")
    return Shard(number=int(found[1]), of=int(found[2]))
