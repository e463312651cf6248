"""Who is asked what, and where the answers are kept, told from the settings alone. No torch: plans.py asks too."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json, require_file, sha256_of
from mobilebert_ja.common.folders import own_record
from mobilebert_ja.common.records import RECORD_NAME, Stage, fingerprint
from mobilebert_ja.common.text.encodings import encoding_of_name
from mobilebert_ja.finetuning.classical import METHODS
from mobilebert_ja.finetuning.origin import model_input
from mobilebert_ja.settings import (
    BaselineSettings,
    CompressSettings,
    FinetuneSettings,
    LearningCurveSettings,
    comma_separated,
)
from mobilebert_ja.tasks import TASK_KINDS, TASKS, own_data_settings_left_out

ANSWERS_NAME = "answers.jsonl"
# What a classical teacher is trained on depends on these; a model is what its folder holds.
_SPLIT = ("split_seed", "train_share", "validate_on", "text_column", "label_column", "test_share", "encoding")


def classical_settings(teacher: str) -> BaselineSettings | None:
    """How a classical teacher is trained: by its name with the defaults, a folder of baseline.py as its record says.

    None for any other teacher.
    """
    if teacher in METHODS:
        return BaselineSettings(method=teacher)
    path = Path(teacher) / RECORD_NAME
    made = read_json(path).get("settings", {}) if path.is_file() else {}
    if made.get("method") not in METHODS:
        return None
    known = {name: value for name, value in made.items() if name in vars(BaselineSettings())}
    return BaselineSettings(**known)


def check_teachers(settings: FinetuneSettings, output: Path) -> None:
    """Raise `UserError` for teachers and files that do not go together, or not with the task."""
    if settings.task not in TASKS:
        raise UserError(
            "--teacher and --teacher_file are for texts with a class and for entities (--task "
            f"{', '.join(TASKS)}), not for --task {settings.task}."
        )
    encoding_of_name(settings.encoding)
    if bool(settings.teacher) != bool(settings.unlabelled_file):
        raise UserError(
            "--teacher answers the text in --unlabelled_file: give both, or answers that are there in --teacher_file."
        )
    for teacher in comma_separated(settings.teacher):
        classical = classical_settings(teacher)
        if classical and METHODS[classical.method] is not TASK_KINDS[settings.task]:
            kind = TASK_KINDS[settings.task]
            suitable = next(name for name, of_kind in METHODS.items() if of_kind is kind)
            raise UserError(
                f"--teacher {teacher} gives no {kind} as --task {settings.task} asks for; {suitable} does."
            )
        place = Path(teacher).resolve()
        if output.resolve() in (place, *place.parents):
            raise UserError(f"{output} is the teacher's own folder; --output_dir names another one for the student.")


def unlabelled_inputs(settings: FinetuneSettings | CompressSettings | LearningCurveSettings) -> dict[str, Path]:
    """The files of --unlabelled_file by the names that a record has for them. Raises `UserError` for a missing one."""
    return _numbered("unlabelled_file", [require_file(each) for each in comma_separated(settings.unlabelled_file)])


def silver_inputs(settings: FinetuneSettings, files: dict[str, Path]) -> dict[str, Path]:
    """By the settings that name them, what is read beside the task's own `files`; answers that somebody has corrected
    since they were given are an input too."""
    inputs = _numbered("teacher_file", [require_file(each) for each in comma_separated(settings.teacher_file)])
    if not settings.teacher:
        return inputs
    stage = labelling_stage(settings, files)
    inputs |= {name: path for name, path in stage.inputs.items() if name not in files}
    answers, record = stage.output_dir / ANSWERS_NAME, own_record(stage.output_dir)
    if record and answers.is_file() and sha256_of(answers) != record["files"].get(ANSWERS_NAME):
        inputs["answers"] = answers
    return inputs


def _numbered(name: str, paths: list[Path]) -> dict[str, Path]:
    return {name if number == 0 else f"{name}_{number + 1}": path for number, path in enumerate(paths)}


def labelling_stage(settings: FinetuneSettings, files: dict[str, Path]) -> Stage:
    """The stage that asks the teachers. Its folder is called after whom it asks what: everything is asked once.

    Args:
        files: those of the task.
    """
    teachers = comma_separated(settings.teacher)
    folders = [Path(each) for each in teachers if Path(each).is_dir()]
    inputs = _numbered("teacher", [model_input(folder) for folder in folders])
    inputs |= unlabelled_inputs(settings)
    asked: dict[str, Any] = {"task": settings.task, "encoding": encoding_of_name(settings.encoding)}
    asked["teachers"] = [each for each in teachers if not Path(each).is_dir()]
    if settings.text_column != FinetuneSettings().text_column:  # answers from before it was read here stay valid
        asked["text_column"] = settings.text_column
    if any(classical_settings(each) for each in teachers):
        inputs |= files
        split = own_data_settings_left_out(vars(settings))
        asked |= {name: split[name] for name in _SPLIT if name in split}
    marks = {name: fingerprint(path) for name, path in inputs.items()}
    digest = hashlib.sha256(json.dumps([asked, marks], sort_keys=True).encode()).hexdigest()[:8]
    folder = Path(settings.work_dir) / "silver" / f"{settings.task}-{digest}"
    return Stage(f"silver_{settings.task}", asked, folder, inputs)
