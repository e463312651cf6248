"""Programs of this repository that serve on a port: a free one for them, and the block in which they are up."""

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from helpers.running.processes import wait_until


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def is_open(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


@contextlib.contextmanager
def serving(port: int, command: list[str], environment: dict[str, str], folder: Path | None = None) -> Iterator[None]:
    """Run `command` in `folder`; the block begins when its port is open, and the program ends with the block."""
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: is_open(port), process)
        yield
    finally:
        process.terminate()
        process.wait()
