"""What holds for every test: its core and threads, and that a test which starts a process says that it is slow."""

import _posixsubprocess
import os
import sys

import hypothesis
import pytest

# Programs that answer at once: they make no test slow. (`uname` and `ldconfig` are asked by Python's own library,
# `fc-list` by matplotlib.)
QUICK_PROGRAMS = {"git", "uname", "ldconfig", "fc-list"}
# What Python announces before it starts a process; a program is named by the first argument, a fork has none.
STARTS = {"subprocess.Popen", "os.posix_spawn", "os.system", "os.fork", "os.forkpty"}

_running: list[pytest.Item] = []

# What is tried on every commit, and what `make fuzz` tries; HYPOTHESIS_PROFILE or --hypothesis-profile names the one.
hypothesis.settings.register_profile("suite", max_examples=300, deadline=None)
hypothesis.settings.register_profile("nightly", max_examples=100_000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


def pytest_configure(config):
    """One thread a process, a core a worker: threads that share a core, or a tiny model, wait for each other.

    Processes that tests start inherit both.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ.setdefault("ACCELERATE_MIXED_PRECISION", "no")  # results are to be the same on any processor
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker.startswith("gw"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})
    if config.option.markexpr == "not slow":
        sys.addaudithook(_refuse_processes)
        _announce_spawned_processes()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    _running.append(item)
    try:
        return (yield)
    finally:
        _running.pop()


def _refuse_processes(event: str, arguments: tuple) -> None:
    """Hold `make check` to its minute: what it runs starts no process."""
    if event in STARTS and _running and not _running[-1].get_closest_marker("slow"):
        program = os.fsdecode(arguments[0]) if arguments else "a copy of this process"
        if os.path.basename(program) not in QUICK_PROGRAMS:
            raise AssertionError(f"{_running[-1].nodeid} starts {program}: mark it with pytest.mark.slow")


def _announce_spawned_processes() -> None:
    """multiprocessing's spawn and forkserver go past every event of Python's, through this function alone."""
    start = _posixsubprocess.fork_exec

    def announcing(command, *others):
        # The tracker of resources comes with a lock that progress bars share, and answers to nobody.
        if not any(b"resource_tracker" in os.fsencode(part) for part in command):
            _refuse_processes("os.posix_spawn", (command[0],))
        return start(command, *others)

    _posixsubprocess.fork_exec = announcing
