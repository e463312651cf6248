"""Programs run to their end, in this process or in one of their own; waited for; and what they say of a mistake.

Nothing here waits for a fixed time: a slow machine takes longer. What hangs is ended by pytest's `timeout`.
"""

import contextlib
import importlib
import io
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest import mock

import pytest

from helpers.paths import SCRIPTS
from mobilebert_ja import road

# Put before a program: it cannot import torch or transformers, as where they are not installed.
WITHOUT_TORCH = """
import importlib.abc, sys
class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers", "onnx", "accelerate", "evaluate", "safetensors"):
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Blocked())
"""


def run(command: list, cwd: Path | None = None, **extra) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and keep what it says; its parts may be anything that has a `str`."""
    return subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, **extra)


def run_entry(name: str, *arguments: object, cwd: Path | None = None, **environment: str):
    """Run scripts/NAME as a user does; NAME may end in arguments, as in "measure.py models"."""
    script, *more = name.split()
    return run([sys.executable, SCRIPTS / script, *more, *arguments], cwd, env=os.environ | environment)


def call_entry(script: ModuleType, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Call an entry script's main() in this process, which has the libraries imported already."""
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        patch.setattr(sys, "argv", [script.__file__, *map(str, arguments)])
        patch.chdir(cwd or Path.cwd())
        status = 0
        try:
            script.main()
        except SystemExit as end:
            status = end.code
    return subprocess.CompletedProcess(sys.argv, status, out.getvalue(), err.getvalue())


def run_stages_here(patch: pytest.MonkeyPatch, *, first_in_a_process: bool = False) -> None:
    """Have the road call the stages' main() in this process; the road's own tests see that it starts processes.

    Args:
        first_in_a_process: run each script once as the road does, launcher and all, and only then here.
    """
    started: set[str] = set()

    def run_stage(command: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        place = next(index for index, part in enumerate(command) if Path(part).parent == SCRIPTS)
        script = Path(command[place]).stem
        if first_in_a_process and script not in started:
            started.add(script)
            done = run(command, env=env)
            sys.stdout.write(done.stdout)
            sys.stderr.write(done.stderr)
            return done
        status = 0
        with mock.patch.object(sys, "argv", command[place:]):
            try:
                importlib.import_module(script).main()
            except SystemExit as end:
                status = int(end.code or 0)
        return subprocess.CompletedProcess(command, status)

    patch.setattr(road, "subprocess", SimpleNamespace(run=run_stage))


def run_code(program: str, *arguments: object, cwd: Path | None = None, **environment: str):
    """Run Python code that may import the package."""
    return run([sys.executable, "-c", program, *arguments], cwd, env=with_package(**environment))


def with_package(**environment: str) -> dict[str, str]:
    """The environment of a process that may import the package."""
    return os.environ | {"PYTHONPATH": str(SCRIPTS)} | environment


def wait_until(condition: Callable[[], bool], process: subprocess.Popen) -> None:
    """Wait until `condition` holds, which `process` is to bring about; fails if it ends without."""
    while not condition():
        assert process.poll() is None or condition(), f"ended with {process.returncode} before it came to that"
        time.sleep(0.01)


@contextlib.contextmanager
def run_at_work_in(folder: Path) -> Iterator[None]:
    """A process that works in a folder of logs, as a run with tasks does, for as long as the block lasts."""
    hold = (
        "import pathlib, sys; from mobilebert_ja.corpus.executors import no_other_run\n"
        "with no_other_run(pathlib.Path(sys.argv[1])): print('held', flush=True), input()"
    )
    command, pipe = [sys.executable, "-c", hold, str(folder)], subprocess.PIPE
    with subprocess.Popen(command, env=with_package(), stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout.readline() == "held\n"
        yield
        other.communicate("\n")


def one_sentence(done: subprocess.CompletedProcess[str]) -> str:
    """The sentence with which a run ended at a user's mistake."""
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    return line
