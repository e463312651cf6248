"""The tasks that a model is fine-tuned and judged on: two public ones, a user's own of two kinds, and JGLUE's.

Reading and scoring need no torch. May import: training, model and below; not pretraining.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import require_file
from mobilebert_ja.common.text.encodings import UTF8, encoding_of_name
from mobilebert_ja.data.livedoor_archive import LIVEDOOR_FILE
from mobilebert_ja.inference.kinds import Kind
from mobilebert_ja.settings.tasks import PUBLIC_TASKS
from mobilebert_ja.tasks.base import Example, Task
from mobilebert_ja.tasks.own.task import OWN_TASKS, SETTING_NAMES, OwnData
from mobilebert_ja.tasks.parts import held_out_of_training, tell_of_parts
from mobilebert_ja.tasks.public.jglue import JGLUE, jglue_files, load_jglue
from mobilebert_ja.tasks.public.livedoor import load_livedoor
from mobilebert_ja.tasks.public.ner import NER_FILE, load_ner

TASKS = (*PUBLIC_TASKS, *OWN_TASKS)
PART_SETTINGS = ("train_share", "validate_on")  # what of a task's parts is used, beside how they are split
# Of every task by name, for what must be known before it is read.
TASK_KINDS = {
    "livedoor": Kind.CLASSES,
    "ner": Kind.ENTITIES,
    **OWN_TASKS,
    "jsts": Kind.NUMBER,
    "jnli": Kind.CLASSES,
    "jcommonsenseqa": Kind.CHOICES,
    "jsquad": Kind.ANSWERS,
}
# Of the public ones: the file below the data folder, and what reads and splits it.
_PUBLIC: dict[str, tuple[Path | str, Callable[[Path, int], Task]]] = {
    "livedoor": (LIVEDOOR_FILE, load_livedoor),
    "ner": (NER_FILE, load_ner),
}

__all__ = [
    "JGLUE",
    "OWN_TASKS",
    "PART_SETTINGS",
    "PUBLIC_TASKS",
    "TASKS",
    "TASK_KINDS",
    "Example",
    "Kind",
    "Task",
    "TaskSource",
    "data_file",
    "load_task",
    "own_data_settings_left_out",
    "task_source",
]


def data_file(task: str, data_dir: Path) -> Path:
    """The one file below `data_dir` that a public task is read from."""
    if task not in PUBLIC_TASKS:
        raise UserError(f"--task must be one of {', '.join(PUBLIC_TASKS)} here, not '{task}'.")
    return Path(data_dir) / _PUBLIC[task][0]


def load_task(task: str, data_dir: Path, split_seed: int) -> Task:
    """Read a public task and split it; the same seed gives the same split on every machine.

    Raises `UserError` naming the file if it is missing or not what it should be.
    """
    path = data_file(task, data_dir)
    return _PUBLIC[task][1](path, split_seed)


@dataclass(frozen=True)
class TaskSource:
    """Where a task is read from, before it is read.

    Attributes:
        files: by the setting that names them; their fingerprints go into the record.
        load: split seed -> the task. Says what its parts lack and have in common; raises `UserError` for bad input.
    """

    files: dict[str, Path]
    load: Callable[[int], Task]

    @property
    def main_file(self) -> Path:
        """The file with the training part."""
        return next(iter(self.files.values()))


def task_source(settings: Mapping[str, Any], data_dir: Callable[[], Path]) -> TaskSource:
    """Where the task of a stage's settings (or of those in its record) is read from.

    Args:
        data_dir: gives the folder with the public data; asked only if it is needed.

    Raises `UserError` if a file is missing or does not go with the task.
    """
    whole = _whole_source(settings, data_dir)
    share = settings.get("train_share", 1.0)  # records made before there was one have none

    def load(split_seed: int) -> Task:
        task = whole.load(split_seed).with_train_share(share, split_seed)
        if settings.get("validate_on"):
            task = _to_choose_by(task, settings["validate_on"], split_seed)
        tell_of_parts(task, bool(settings.get("test_file")) and not settings.get("validate_on"))
        return task

    return TaskSource(whole.files, load)


def _to_choose_by(task: Task, share: float, split_seed: int) -> Task:
    held_out = held_out_of_training(task, share, split_seed)
    if not held_out.train or not held_out.test:
        raise UserError(
            f"--validate_on {share} of {len(task.train)} training examples leaves one of the two parts empty; more "
            "examples, or another share, are needed."
        )
    return held_out


def _whole_source(settings: Mapping[str, Any], data_dir: Callable[[], Path]) -> TaskSource:
    name = settings["task"]
    if name in OWN_TASKS:
        own = OwnData.of_settings(settings)
        return TaskSource(own.files, own.load)
    if settings.get("train_file") or settings.get("test_file"):
        raise UserError(f"--task {name} has data of its own; --train_file goes with --task {' or '.join(OWN_TASKS)}.")
    if name in JGLUE:  # not part of the embedded sample
        given = settings.get("data_dir")
        files = jglue_files(name, Path(given) if given else None)
        return TaskSource(files, lambda _split_seed: load_jglue(name, files))
    path = require_file(data_file(name, data_dir()))
    return TaskSource({"data_dir": path}, lambda split_seed: load_task(name, path.parents[1], split_seed))


def own_data_settings_left_out(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as a record keeps them: those of own data say nothing about a public task, nor an encoding of UTF-8.

    Raises `UserError` for an encoding that is none.
    """
    if settings["task"] not in OWN_TASKS:
        return {name: value for name, value in settings.items() if name not in SETTING_NAMES}
    encoding = encoding_of_name(settings.get("encoding", UTF8))
    kept = {name: value for name, value in settings.items() if name != "encoding"}
    return kept if encoding == UTF8 else {**kept, "encoding": encoding}
