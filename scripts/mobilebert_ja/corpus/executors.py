"""Running a datatrove pipeline in tasks: on this machine, on Slurm or on Ray; progress in one line.

A task that has ended is marked by datatrove in its logging folder and is not run again, so a run that was killed goes
on with the tasks that are missing.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import importlib.util
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import multiprocess
from datatrove.executor.base import PipelineExecutor
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.executor.ray import RayPipelineExecutor
from datatrove.executor.slurm import SlurmPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.utils.logging import logger

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import write_json
from mobilebert_ja.common.folders import take
from mobilebert_ja.common.progress import progress_bar

SCRIPTS = Path(__file__).resolve().parents[2]
POLL_SECONDS = 0.2
POLL_SECONDS_QUEUE = 5.0
_SILENCE = open(os.devnull, "w")  # noqa: SIM115 - loguru keeps writing to it after a task


class Measured(PipelineExecutor):
    """Writes what each task cost beside its log."""

    def _run_for_rank(self, rank: int, *args: Any, **options: Any) -> Any:
        # A pass that merges signatures keeps one file per task open.
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        started = time.time()
        stats = super()._run_for_rank(rank, *args, **options)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        cost = {"seconds": round(time.time() - started, 3), "peak_memory_mib": round(peak, 1)}
        write_json(Path(self.logging_dir.path) / "costs" / f"{rank:05}.json", cost)
        return stats


class LocalExecutor(Measured, LocalPipelineExecutor):
    """datatrove's, without its log on the screen; a task holds a lock on `running.lock`, see `no_other_run`."""

    def _run_for_rank(self, *args: Any, **options: Any) -> Any:
        lock_file = Path(self.logging_dir.path).parent / "running.lock"
        with open(lock_file, "ab") as lock, contextlib.redirect_stderr(_SILENCE):
            fcntl.flock(lock, fcntl.LOCK_SH)
            return super()._run_for_rank(*args, **options)


class SlurmExecutor(Measured, SlurmPipelineExecutor):
    """datatrove's; jobs find this repository's modules and this interpreter's programs, unless told otherwise."""

    def __init__(self, *args: Any, **options: Any):
        paths = f"export PATH={Path(sys.executable).parent}:$PATH PYTHONPATH={SCRIPTS}"
        super().__init__(*args, **{"env_command": paths, **options})

    def is_queued(self) -> bool:
        """Whether a job that was submitted waits or runs. Raises `UserError` if squeue cannot tell."""
        command = ["squeue", "--noheader", "--format=%i", f"--jobs={self.job_id}"]
        asked = subprocess.run(command, capture_output=True, text=True)
        if asked.returncode and "Invalid job id" not in asked.stderr:
            raise UserError(f"squeue failed: {' '.join(asked.stderr.split())}")
        return bool(asked.stdout.strip())


class RayExecutor(Measured, RayPipelineExecutor):
    """datatrove's."""


EXECUTORS: dict[str, type[PipelineExecutor]] = {"local": LocalExecutor, "slurm": SlurmExecutor, "ray": RayExecutor}


def make_executor(
    kind: str, options: str | dict[str, Any] | None, steps: list[PipelineStep], tasks: int, workers: int, logs: Path
) -> PipelineExecutor:
    """An executor of datatrove over `steps`.

    Args:
        kind: one of `EXECUTORS`.
        options: further arguments of datatrove's SlurmPipelineExecutor or RayPipelineExecutor, as a dictionary or
            JSON, for example {"time": "02:00:00", "partition": "cpu"}.
        tasks: how many tasks share the input.
        workers: how many of them run at a time.
        logs: folder for logs, statistics and marks of ended tasks.

    Raises `UserError` for options that are not a dictionary or that the executor does not take.
    """
    shared: dict[str, Any] = {"tasks": tasks, "workers": min(workers, tasks), "logging_dir": str(logs)}
    if kind == "slurm":
        shared["job_name"] = logs.name
    try:
        given = json.loads(options) if isinstance(options, str) else dict(options or {})
        if not isinstance(given, dict):
            raise TypeError("it must be a JSON object")
        executor = EXECUTORS[kind](steps, **{**shared, **given})
    except (TypeError, ValueError) as error:
        raise UserError(f"--executor_options does not fit the {kind} executor: {error}") from None
    if kind == "slurm" and not shutil.which("sbatch"):
        raise UserError("--executor slurm needs Slurm's command sbatch on this machine.")
    if kind == "ray" and not importlib.util.find_spec("ray"):
        raise UserError("--executor ray needs the package ray: pip install ray")
    return executor


class RunNotEnded(UserError):
    """A run that something else than its input keeps from ending: what it has done stays, to go on from."""


@contextlib.contextmanager
def no_other_run(folder: Path) -> Iterator[None]:
    """Hold `folder` for this run; wait for tasks that a killed run has left behind, for they write to the same files.

    Raises `RunNotEnded` if another run works in `folder`.
    """
    with open(folder / "run.lock", "ab") as own, open(folder / "running.lock", "ab") as tasks:
        if not take(own):
            raise RunNotEnded(f"Another run is working in {folder}; wait for it to end.")
        try:
            fcntl.flock(tasks, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for the last tasks of the run that was killed", file=sys.stderr)
            fcntl.flock(tasks, fcntl.LOCK_EX)
        fcntl.flock(tasks, fcntl.LOCK_UN)
        yield


@contextlib.contextmanager
def no_run_within(folder: Path) -> Iterator[None]:
    """The same of every folder in `folder` that a run has worked in: for what may remove it with all that is in it.

    Raises `RunNotEnded` if another run works in one of them.
    """
    with contextlib.ExitStack() as held:
        for lock in sorted(folder.glob("*/run.lock")):
            held.enter_context(no_other_run(lock.parent))
        yield


@functools.cache
def _end_forked_processes_with_this_one() -> None:
    """datatrove's local executor forks a process for its queues, which would outlive this one if it is killed."""
    if sys.platform == "linux":
        libc, set_death_signal = ctypes.CDLL(None), 1  # PR_SET_PDEATHSIG of prctl(2)
        os.register_at_fork(after_in_child=lambda: libc.prctl(set_death_signal, signal.SIGTERM))


def _count_ended(folder: Path) -> int:
    try:
        return len(os.listdir(folder / "completions"))
    except FileNotFoundError:
        return 0


def run_phase(name: str, executor: Callable[[Path], PipelineExecutor], folder: Path, tasks: int) -> dict[str, Any]:
    """Run every task of one pass that has not ended yet, with a bar that counts them.

    Args:
        name: of the pass; its logs stand in `folder`/`name`.
        executor: makes the executor that logs to the folder it is given.
        tasks: how many there are.

    Returns:
        What the pass cost: tasks, seconds of them together, the largest memory of one of them in MiB (local runs).
    """
    logs = folder / name
    logs.mkdir(parents=True, exist_ok=True)
    if _count_ended(logs) < tasks:
        logger.remove()
        _end_forked_processes_with_this_one()
        ended = threading.Event()
        bar = progress_bar(desc=name, total=tasks, initial=_count_ended(logs), unit="task")

        def watch() -> None:
            while not ended.wait(POLL_SECONDS):
                bar.update(_count_ended(logs) - bar.n)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            multiprocess.set_forkserver_preload(["mobilebert_ja.corpus.steps"])
            runner = executor(logs)
            runner.run()
            while isinstance(runner, SlurmExecutor) and _count_ended(logs) < tasks and runner.is_queued():
                time.sleep(POLL_SECONDS_QUEUE)
        finally:
            ended.set()
            watcher.join()
            bar.update(_count_ended(logs) - bar.n)
            bar.close()
        if _count_ended(logs) < tasks:
            raise RunNotEnded(f"{tasks - _count_ended(logs)} of {tasks} tasks failed; their logs stand in {logs}.")
    costs = [json.loads(file.read_text()) for file in sorted((logs / "costs").glob("*.json"))]
    return {
        "pass": name,
        "tasks": tasks,
        "task_seconds": round(sum(cost["seconds"] for cost in costs), 2),
        "peak_memory_mib": max((cost["peak_memory_mib"] for cost in costs), default=None),
    }
