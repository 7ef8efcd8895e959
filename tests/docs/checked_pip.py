"""What stands in for pip where a page is run: it installs nothing, and checks what it is asked for.

Extras must be those of pyproject.toml, and whatever is named must be installed already.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


def check(requirement: str) -> None:
    """Fail where the requirement names an extra that is not there, or a package."""
    name, _, extras = requirement.rstrip("]").partition("[")
    if name not in {".", "lrpdyn"}:
        importlib.metadata.version(name)
    for extra in filter(None, extras.split(",")):
        for package in PROJECT["optional-dependencies"][extra]:
            importlib.metadata.version(re.split(r"[\[<>=~!]", package)[0])


if __name__ == "__main__":
    command, *requirements = sys.argv[1:]
    assert command == "install"
    for requirement in requirements:
        if requirement != "-e":
            check(requirement)
