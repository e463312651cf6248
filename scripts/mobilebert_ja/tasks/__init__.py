"""The two tasks that a model is fine-tuned and judged on. Reading and scoring need no torch."""

from __future__ import annotations

from pathlib import Path

from mobilebert_ja.errors import UserError
from mobilebert_ja.tasks.base import Example, Task
from mobilebert_ja.tasks.livedoor import LIVEDOOR_FILE, load_livedoor
from mobilebert_ja.tasks.ner import NER_FILE, load_ner

TASKS = ("livedoor", "ner")

__all__ = ["TASKS", "Example", "Task", "data_file", "load_task"]


def data_file(task: str, data_dir: Path) -> Path:
    """The one file below `data_dir` that a task is read from."""
    if task not in TASKS:
        raise UserError(f"--task must be one of {', '.join(TASKS)}, not '{task}'.")
    return Path(data_dir) / (LIVEDOOR_FILE if task == "livedoor" else NER_FILE)


def load_task(task: str, data_dir: Path, split_seed: int) -> Task:
    """Read a task and split it; the same seed gives the same split on every machine.

    Raises `UserError` naming the file if it is missing or not what it should be.
    """
    path = data_file(task, data_dir)
    return load_livedoor(path, split_seed) if task == "livedoor" else load_ner(path, split_seed)
