"""A command that is asked to end takes with it what it has started."""

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from helpers.paths import ROOT, SCRIPTS

pytestmark = pytest.mark.slow  # each starts processes

# A launcher in between, as accelerate's is: it does not hand SIGTERM on. What it starts takes a while to end.
STARTS_A_TRAINING = """
import subprocess, sys
training = '''
import signal, sys, time
def save(*_):
    time.sleep(0.5)
    open(sys.argv[1], "w").write("saved")
    sys.exit(130)
signal.signal(signal.SIGTERM, save)
print("ready", flush=True)
time.sleep(10**6)
'''
launcher = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"
subprocess.run([sys.executable, "-c", launcher, training, sys.argv[2]])
"""
# Its patience is without an end: one that waits for a process which ignores what it is asked hangs.
STARTS_WORKERS = """
import sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from mobilebert_ja.common import errors
errors._PATIENCE = None
with ProcessPoolExecutor(2, get_context(sys.argv[2])) as pool:
    list(pool.map(abs, range(4)))  # both have come up
    print("ready", flush=True)
    pool.submit(time.sleep, 10**6).result()
"""
COMMAND = """
import runpy, sys
sys.path.insert(0, sys.argv.pop(1))
from mobilebert_ja.common.errors import exit_on_user_error
if __name__ == "__main__":
    exit_on_user_error(lambda: runpy.run_path(sys.argv[1]))()
"""


def command_that(body: str, folder: Path, *arguments: object) -> list[str]:
    """The command line of an entry point with this body."""
    command, inner = folder / "command.py", folder / "body.py"
    command.write_text(COMMAND)
    inner.write_text(body)
    return [str(part) for part in (sys.executable, command, SCRIPTS, inner, *arguments)]


def asked_to_end(command: list[str], until_ready) -> tuple[int, str, list[psutil.Process]]:
    """The status and the messages of a command that gets SIGTERM, and which processes that it had outlive it."""
    started = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            until_ready(process)
            started = psutil.Process(process.pid).children(recursive=True)
            assert started
            # The tracker of resources ends right after its command.
            tracker = [each for each in started if "resource_tracker" in " ".join(each.cmdline())]
            process.send_signal(signal.SIGTERM)
            process.wait()  # what has its pipes may live on, and is looked for before they are read
            left = [each for each in started if each not in tracker and is_running(each)]
            _, messages = process.communicate()
        finally:  # where pytest has ended a test that hung
            for each in (process, *started):
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
    return process.returncode, messages, left


def is_running(process: psutil.Process) -> bool:
    """Whether it is there and has not ended: an orphan stays in the list until somebody asks for its status."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def first_line(process: subprocess.Popen) -> None:
    assert process.stdout.readline() == "ready\n"


def test_a_training_behind_a_launcher_has_saved_before_its_command_ends(tmp_path):
    saved = tmp_path / "checkpoint"
    status, messages, left = asked_to_end(command_that(STARTS_A_TRAINING, tmp_path, saved), first_line)
    assert (status, left, saved.read_text()) == (130, [], "saved")
    assert messages == "interrupted; run the same command again to go on\n"


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_no_worker_process_is_left(tmp_path, start):
    status, messages, left = asked_to_end(command_that(STARTS_WORKERS, tmp_path, start), first_line)
    assert (status, left) == (130, []) and "Traceback" not in messages


def test_the_road_ends_with_the_stage_that_it_is_at(tmp_path):
    def until_a_stage_runs(process):
        while not (running := psutil.Process(process.pid).children()):
            assert process.poll() is None
            time.sleep(0.05)
        assert "build_corpus.py" in " ".join(running[0].cmdline())

    command = [sys.executable, "scripts/reproduce.py", "--config", "recipes/tiny.yaml", "--work_dir", str(tmp_path)]
    status, messages, left = asked_to_end(command, until_a_stage_runs)
    assert (status, left) == (130, []) and messages.endswith("interrupted; run the same command again to go on\n")
