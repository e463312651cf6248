"""Teachers at work: fine-tuned models of any size, and the classical models, all asked in the same way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from mobilebert_ja.common.errors import UserError, first_line, warn
from mobilebert_ja.common.files import read_json, require_file
from mobilebert_ja.common.records import RECORD_NAME, fingerprint
from mobilebert_ja.finetuning.folder import FinishedRuns, load_finetuned, record_of, require_fitting, require_labels
from mobilebert_ja.finetuning.modelling.forms import token_scores
from mobilebert_ja.inference.decoding import Decoder
from mobilebert_ja.inference.kinds import Kind, kind_of_config
from mobilebert_ja.labelling.classical_teacher import CLASSICAL_TEACHERS
from mobilebert_ja.labelling.opinions import TagOpinion, softmax
from mobilebert_ja.labelling.origin import classical_settings
from mobilebert_ja.settings import FinetuneSettings, comma_separated
from mobilebert_ja.tasks import OWN_TASKS, TASK_KINDS, Task

# Settings on which the split of a user's own file depends: it is drawn class by class, and keeps equal texts together.
_OWN_SPLIT = {Kind.CLASSES: ("test_share", "text_column", "label_column"), Kind.ENTITIES: ("test_share",)}
_HUB_FILES = ["*.json", "*.txt", "*.safetensors", "pytorch_model*.bin", "*.model"]


class Teacher(Protocol):
    """Whoever can be asked.

    Attributes:
        truncated: how many of the texts so far were longer than it reads.
    """

    truncated: int

    def opinions(self, texts: Sequence[str]) -> list[Any]:
        """Of each text an opinion on the task's labels, of the form that `opinions.TOGETHER` takes for its kind."""
        ...


@dataclass
class ClassicalTeacher:
    """A classical model, trained already; it reads texts of any length."""

    opinions: Callable[[Sequence[str]], list[Any]]
    truncated: int = 0


class ModelTeacher:
    """A fine-tuned model.

    Raises `UserError` if the folder holds no model for the task's kind and labels.
    """

    def __init__(self, folder: Path, task: Task, max_seq_length: int, batch_size: int, device: torch.device):
        config = read_json(require_file(folder / "config.json", "--teacher names the folder of a fine-tuned model."))
        kind = kind_of_config(config)
        if kind is not task.kind:
            raise UserError(f"The teacher {folder} gives {kind}; the task {task.name} asks for {task.kind}.")
        model, ready = load_finetuned(folder, task.name, max_seq_length, task.kind)
        require_labels(ready.labels, task, folder)
        require_fitting(model.config, ready)
        model.to(device)
        self._predictor, self._decoder, self._batch_size = ready.predictor(), ready.decoder, batch_size
        self._read = _OPINIONS[task.kind]
        self._columns = [ready.labels.index(label) for label in task.labels]
        self.truncated = 0

    def opinions(self, texts: Sequence[str]) -> list[Any]:
        read = self._predictor.read(texts, self._batch_size)
        self.truncated += sum(any(row.truncated for row in rows) for rows, _ in read)
        return [self._read(rows, logits, self._decoder, self._columns) for rows, logits in read]


def _class_opinion(_rows: Any, logits: Any, _decoder: Decoder | None, columns: Sequence[int]) -> np.ndarray:
    return softmax(logits[0].float().cpu().numpy().astype(np.float64))[columns]


def _tag_opinion(rows: Any, logits: Any, decoder: Decoder | None, columns: Sequence[int]) -> TagOpinion:
    scores, offsets = token_scores(rows, logits)
    scores = scores.astype(np.float64)
    return TagOpinion(offsets, (softmax(scores) if decoder is None else decoder.marginals(scores))[:, columns])


_OPINIONS = {Kind.CLASSES: _class_opinion, Kind.ENTITIES: _tag_opinion}


def open_teachers(
    settings: FinetuneSettings, task: Task, files: dict[str, Path], device: torch.device
) -> list[Teacher]:
    """Everybody whom `settings.teacher` names, ready to be asked; a folder with several seeds is as many teachers.

    Args:
        files: those that the task was read from.

    Raises `UserError` for a teacher that is none, or of other labels, of another task or of another split.
    """
    names = comma_separated(settings.teacher)
    classical = {name: found for name in names if (found := classical_settings(name))}
    # First, so that a mistake in their names costs no minutes of training the classical ones.
    models = {name: _models(name, settings, task, files, device) for name in names if name not in classical}
    teachers: list[Teacher] = []
    for name in names:
        if name in classical:
            method = CLASSICAL_TEACHERS[classical[name].method]
            teachers.append(ClassicalTeacher(method(task, classical[name])))
        else:
            teachers += models[name]
    return teachers


def _models(
    name: str, settings: FinetuneSettings, task: Task, files: dict[str, Path], device: torch.device
) -> list[ModelTeacher]:
    """The fine-tuned model of a folder or of the Hub, or one of each seed."""
    folder = Path(name) if Path(name).exists() else _fetched(name)
    record = record_of(folder)
    _require_unseen_test_part(folder, record, settings, files)
    whole = (folder / RECORD_NAME).is_file() and "runs" in record.get("metrics", {})
    runs = FinishedRuns(folder, record["metrics"] if whole else {}, record.get("settings", {}), {})
    size = settings.per_device_eval_batch_size
    return [
        ModelTeacher(runs.folder_of(index), task, runs.max_seq_length, size, device)
        for index in range(len(runs.seeds))
    ]


def require_unseen_test_part(settings: FinetuneSettings, files: dict[str, Path]) -> None:
    """Raise `UserError` if a teacher whose answers are there already is of another task or of another split.

    The answers are the same for any split, but whose they are may have seen the test part of this one. A model of the
    Hub is not fetched for it: if it is no longer at hand, it is passed over.
    """
    for name in comma_separated(settings.teacher):
        if classical_settings(name):
            continue
        if Path(name).exists():
            folder = Path(name)
        else:
            try:
                folder = _fetched(name, at_hand=True)
            except UserError:
                continue
        _require_unseen_test_part(folder, record_of(folder), settings, files)


def _require_unseen_test_part(
    folder: Path, record: dict[str, Any], settings: FinetuneSettings, files: dict[str, Path]
) -> None:
    if "task" in record.get("settings", {}):  # else nobody knows what it has learned
        require_same_parts(folder, record, settings, files)


def _fetched(name: str, at_hand: bool = False) -> Path:
    """The folder of a model of the Hub. `at_hand`: if it was fetched before."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=_HUB_FILES, local_files_only=at_hand))
    except (OSError, ValueError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        raise UserError(
            f"No teacher at {name}: it is no folder, neither svm nor crf, and the Hub does not give it "
            f"({first_line(error)})"
        ) from None


def require_same_parts(
    folder: Path, record: dict[str, Any], settings: FinetuneSettings, files: dict[str, Path]
) -> None:
    """Raise `UserError` unless a teacher was trained for this task and never saw what the student is scored on."""
    made_for = record["settings"].get("task")
    if made_for != settings.task:
        raise UserError(f"The teacher {folder} was made for {made_for}, not for {settings.task}.")
    difference = _difference_of_parts(record, settings, files)
    if difference:
        raise UserError(f"The teacher {folder} may have learned what this student is scored on: {difference}.")


def tell_of_start(settings: FinetuneSettings, files: dict[str, Path]) -> None:
    """Say on standard error if the model to start from was fine-tuned for this task on another split."""
    record = record_of(Path(str(settings.model_name_or_path)))
    if record.get("settings", {}).get("task") == settings.task:
        difference = _difference_of_parts(record, settings, files)
        if difference:
            warn(f"{settings.model_name_or_path} may have learned what this run is scored on: {difference}")


def _difference_of_parts(record: dict[str, Any], settings: FinetuneSettings, files: dict[str, Path]) -> str:
    """In what a fine-tuned model of the same task had other parts, so that it may have seen the test part of this one;
    "" if it has not."""
    if settings.test_file and not settings.validate_on:  # a file of its own is the same test part for any other
        names, read = [], ["test_file"]
    else:
        names, read = ["split_seed"], [*files]
        if settings.validate_on:  # a share of what is used; without it, the test part is no other
            names += ["validate_on", "train_share"]
        if settings.task in OWN_TASKS:
            names += _OWN_SPLIT[TASK_KINDS[settings.task]]
            read = ["train_file", "test_file"]  # who was given a test file has learned the whole training file
    made, usual, given = record["settings"], vars(FinetuneSettings()), vars(settings)
    known = record.get("inputs", {})
    compared = {name: (made.get(name, usual[name]), given[name]) for name in names}
    compared |= {name: (known.get(name), fingerprint(files[name]) if name in files else None) for name in read}
    different = ((name, *both) for name, both in compared.items() if both[0] != both[1])
    return next((f"{name} was {theirs!r} there, and is {ours!r} here" for name, theirs, ours in different), "")
