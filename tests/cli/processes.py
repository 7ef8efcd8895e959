"""Commands in whole processes, as a user runs them."""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

#: Loads what most commands load, which takes seconds, and becomes a process for each command.
_SERVER = """
import json, os, runpy, sys
from lrpdyn.cli.imports import loading
with loading():
    import lrpdyn.pipeline.compute
for line in sys.stdin:
    given = json.loads(line)
    process = os.fork()
    if process == 0:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
else:
    os._exit(0)
os.chdir(given["cwd"])
os.environ.clear()
os.environ.update(given["environment"])
for number, path in enumerate([os.devnull, given["out"], given["err"]]):
    os.dup2(os.open(path, os.O_RDWR), number)
sys.argv[1:] = given["arguments"]
runpy.run_module("lrpdyn", run_name="__main__", alter_sys=True)
"""


@functools.cache
def _server() -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", _SERVER]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(server.__exit__, None, None, None)  # it ends with its input
    return server


def lrpdyn(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run ``python -W error -m lrpdyn`` in a process of its own, in which torch is loaded already."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    given = [str(argument) for argument in arguments]
    with tempfile.NamedTemporaryFile("r+") as out, tempfile.NamedTemporaryFile("r+") as err:
        order = {"arguments": given, "cwd": str(cwd), "environment": dict(os.environ),
                 "out": out.name, "err": err.name}  # fmt: skip
        print(json.dumps(order), file=server.stdin, flush=True)
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess(given, code, out.read(), err.read())


def has_ended(group: int) -> bool:
    """Tell whether no process of a group is left, within five seconds."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def all_of(terminal: int) -> bytes:
    """Return what is written to a terminal until its other end is closed."""
    text = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # the other end is closed
            return text
        if not part:
            return text
        text += part
