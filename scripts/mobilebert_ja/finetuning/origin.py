"""What a fine-tuned folder was made from, as its record says.

Apart from folder.py, which loads models: plans.py asks this before any process is started, and torch takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json
from mobilebert_ja.common.records import RECORD_NAME, fingerprint
from mobilebert_ja.tasks import OWN_TASKS, PART_SETTINGS, TaskSource, task_source


def model_input(folder: Path) -> Path:
    """What of a model folder is fingerprinted: a stage's folder whole, of another (a clone's root) the weights."""
    names = [RECORD_NAME, "model.safetensors", "pytorch_model.bin"]
    found = next((name for name in names if (folder / name).is_file()), RECORD_NAME)
    return folder if found == RECORD_NAME else folder / found


def task_source_of(folder: Path, task: str, data_dir: Callable[[], Path]) -> TaskSource:
    """Where the task of a fine-tuned folder is read from: the user's own files that its record names, or public data.

    Raises `UserError` if the record names no files though the task is a user's own, or if they changed since.
    """
    if task not in OWN_TASKS:
        known = read_json(folder / RECORD_NAME) if (folder / RECORD_NAME).is_file() else {}
        settings = {name: value for name, value in known.get("settings", {}).items() if name in PART_SETTINGS}
        return task_source({"task": task, **settings}, data_dir)
    maker = f"finetune.py --task {task}"
    record = read_json(folder / RECORD_NAME, f"{maker} --train_file FILE makes one, and says there what it read.")
    if record.get("settings", {}).get("task") != task:
        raise UserError(f"{folder} was not made by {maker}.")
    source = task_source(record["settings"], data_dir)
    for name, path in source.files.items():
        if record["inputs"].get(name) != fingerprint(path):
            raise UserError(f"{folder} was made from another {path} than is there now; {maker} --overwrite mends it.")
    return source
