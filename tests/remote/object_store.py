"""A real S3-compatible server on loopback, and a counter of the bytes that leave it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

KEY, SECRET = "key-of-the-tests", "secret-of-the-tests"


@dataclass
class Counter:
    """A relay in front of a server, on loopback; `sent` are the bytes that the server answered."""

    server: int
    sent: int = 0
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def serve(self) -> None:
        """Relay connections until the listener is closed."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.server))
                for source, target, counts in ((client, server, False), (server, client, True)):
                    threading.Thread(
                        target=self._relay, args=(source, target, counts), daemon=True
                    ).start()

    def _relay(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(1 << 16):
                if counts:
                    with self._lock:
                        self.sent += len(chunk)
                target.sendall(chunk)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
                end.close()


@dataclass(frozen=True)
class ObjectStore:
    """A running server: `direct` reaches it uncounted, `environment` makes a program use the counter."""

    direct: str
    counter: Counter
    process: subprocess.Popen[bytes]

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.counter.port}",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            # Nothing of the machine's own may be used.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def client(self) -> Any:
        """Return a file system of its own that is not counted."""
        from s3fs import S3FileSystem

        return S3FileSystem(
            key=KEY, secret=SECRET, endpoint_url=self.direct, skip_instance_cache=True
        )  # fmt: skip

    def upload(self, folder: Path, address: str) -> None:
        """Copy the files of a folder to ``bucket/folder``."""
        client = self.client()
        with contextlib.suppress(FileExistsError):
            client.mkdir(address.partition("/")[0])
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                client.pipe_file(f"{address}/{file.relative_to(folder)}", file.read_bytes())

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Let the server refuse keys that it does not know, as these are, for a while."""
        self._actions_without_keys("0")
        try:
            yield
        finally:
            self._actions_without_keys("inf")

    def _actions_without_keys(self, count: str) -> None:
        address = f"{self.direct}/moto-api/reset-auth"
        urlopen(Request(address, count.encode(), {"Content-Type": "text/plain"})).close()


@contextlib.contextmanager
def object_store() -> Iterator[ObjectStore]:
    """Run moto's server, and a counter in front of it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    counter = Counter(port)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            time.sleep(0.1)
        threading.Thread(target=counter.serve, daemon=True).start()
        yield ObjectStore(f"http://127.0.0.1:{port}", counter, process)
    finally:
        process.kill()
        process.wait()
        counter.listener.close()
