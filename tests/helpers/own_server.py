"""Programs of this repository that serve on a port: a free one for them, and the block in which they are up."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PATIENCE = 120  # seconds for a program to open its port, on a machine that has more to do


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def serving(port: int, command: list[str], environment: dict[str, str], folder: Path | None = None) -> Iterator[None]:
    """Run `command` in `folder`; the block begins when its port is open, and the program ends with the block."""
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()
