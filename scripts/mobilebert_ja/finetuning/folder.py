"""Fine-tuned folders as they are read again: what their record says, and each seed's model, ready to answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig
from transformers.utils import logging as transformers_logging

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json, require_file, require_folder, sha256_of
from mobilebert_ja.common.records import RECORD_NAME, fingerprint
from mobilebert_ja.finetuning.modelling.architecture import attention_of, longest_input
from mobilebert_ja.finetuning.modelling.forms import FORMS
from mobilebert_ja.finetuning.predictor import LogitsFunction, LogitsOf, Predictor
from mobilebert_ja.inference.decoding import Decoder, read_decoder
from mobilebert_ja.inference.kinds import KINDS, Kind
from mobilebert_ja.model.loading import NOT_LOADED, why_not_loaded
from mobilebert_ja.settings import FinetuneSettings
from mobilebert_ja.tasks import TASK_KINDS, Task
from mobilebert_ja.tasks.metrics import METRICS
from mobilebert_ja.tokenization.encoders import read_encoder, tokenizer_file


@dataclass(frozen=True)
class TaskModel:
    """A model of a task, ready to answer.

    Attributes:
        labels: what its outputs stand for, in order.
        folder: where it came from; its tokenizer stands there too.
        task: its name, for messages and records.
        kind: of the task.
        max_seq_length: longer inputs are truncated, or read in windows (tokens).
        bytes: size of the weights file.
        decoder: of entities, how a sequence of tags is chosen; None: the best tag of each token by itself.
        positions: the longest input that the model's position table allows (tokens); None: not known.
    """

    model: LogitsFunction
    labels: list[str]
    folder: Path
    task: str
    kind: Kind
    max_seq_length: int
    description: str
    parameters: int
    bytes: int
    decoder: Decoder | None = None
    positions: int | None = None

    def predictor(self) -> Predictor:
        """A predictor with an encoder of its own."""
        encoder = read_encoder(self.folder)
        return Predictor(self.model, encoder, self.kind, self.labels, self.max_seq_length, self.decoder)


@dataclass(frozen=True)
class FinishedRuns:
    """What the record of a fine-tuned or sped-up folder says; a folder without one has the defaults and no score."""

    folder: Path
    metrics: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)

    @property
    def seeds(self) -> list[int]:
        """The seeds in their order; the first one's model stands in the folder itself, the others in seed-N/."""
        return [run["seed"] for run in self.metrics["runs"]] if self.metrics else [0]

    def folder_of(self, index: int) -> Path:
        """The folder of the run of `seeds[index]`."""
        return self.folder if index == 0 else self.folder / f"seed-{self.seeds[index]}"

    @property
    def max_seq_length(self) -> int:
        return int(self.settings.get("max_seq_length", FinetuneSettings().max_seq_length))

    @property
    def split_seed(self) -> int:
        return int(self.settings.get("split_seed", FinetuneSettings().split_seed))

    def made_with(self, **changes: Any) -> FinetuneSettings:
        """The settings of finetune.py that made it, with `changes`. A setting that came later has its default."""
        known = {each.name for each in dataclasses.fields(FinetuneSettings)}
        return FinetuneSettings(**{name: value for name, value in self.settings.items() if name in known} | changes)


def record_of(folder: Path) -> dict[str, Any]:
    """The record of finetune.py that a model belongs to: beside it, or above the folder of a further seed; empty if
    there is none."""
    for place in (folder, folder.parent):
        if (place / RECORD_NAME).is_file():
            record = read_json(place / RECORD_NAME)
            if isinstance(record, dict) and isinstance(record.get("settings"), dict):
                return record
    return {}


def read_runs(folder: Path, task: str, data: Path, maker: str) -> FinishedRuns:
    """Read a folder's record and check that its scores, if any, are of this task and these data.

    Args:
        data: the file that the task is read from.
        maker: the command that makes such folders, for the messages.

    Raises `UserError` if the folder is missing, or was made for another task or from other data: then the test part
    would not be the one that its model never saw; or if its vocabulary is no longer the one that it was made with.
    """
    require_folder(folder, f"{maker} --task {task} makes it.")
    if not (folder / RECORD_NAME).is_file():
        return FinishedRuns(folder)
    record = read_json(folder / RECORD_NAME)
    try:
        runs = FinishedRuns(folder, record["metrics"], record["settings"], record["inputs"])
        made_for, seeds = runs.settings["task"], runs.seeds
    except (KeyError, TypeError):
        raise UserError(f"{folder / RECORD_NAME} is no record of {maker}; {maker} --task {task} makes one.") from None
    if made_for != task:
        raise UserError(f"{folder} was made for {made_for}, not for {task}; {maker} --task {task} makes one.")
    if runs.inputs.get("data_dir", runs.inputs.get("train_file")) != fingerprint(data):
        raise UserError(f"{folder} was made from other data than {data}; {maker} --task {task} --overwrite mends it.")
    for index in range(len(seeds)):
        require_folder(runs.folder_of(index), f"{maker} --task {task} --overwrite makes it anew.")
        vocabulary = tokenizer_file(runs.folder_of(index))
        known = record.get("files", {}).get(str(vocabulary.relative_to(folder)))
        if known and vocabulary.is_file() and sha256_of(vocabulary) != known:
            raise UserError(
                f"{vocabulary} is not the vocabulary that the model was made with; "
                f"{maker} --task {task} --overwrite mends it."
            )
    return runs


def stored_answers(runs: FinishedRuns, index: int, task: Task) -> list[Any] | None:
    """The answers for the test part that finetune.py kept for the run of `seeds[index]`; None if it kept none.

    They were made in batches, in accelerate's precision; the same model answers the same one by one but for rounding.
    """
    path = runs.folder / f"predictions-seed-{runs.seeds[index]}.json"
    if not path.is_file():
        return None
    stored = read_json(path)["test"]
    if [item["text"] for item in stored] != [example.text for example in task.test]:
        return None
    return [METRICS[task.metric].read(item["prediction"]) for item in stored]


def require_labels(labels: Iterable[str], task: Task, folder: Path) -> None:
    """Raise `UserError` unless a model's labels are those of the task (in any order)."""
    if set(labels) != set(task.labels):
        different = sorted(set(labels) ^ set(task.labels))
        raise UserError(f"{folder} has other labels than the task {task.name}: {', '.join(map(str, different[:5]))}.")


def describe(model: Any) -> str:
    """The structure in one phrase, for example "MobileBertForTokenClassification, 24 layers of width 512"."""
    return f"{type(model).__name__}, {model.config.num_hidden_layers} layers of width {model.config.hidden_size}"


def weights_bytes(folder: Path) -> int:
    """Bytes of the weights in a `save_pretrained` folder. Raises `UserError` if there are none."""
    for pattern in ("*.safetensors", "pytorch_model*.bin"):
        files = list(folder.glob(pattern))
        if files:
            return sum(file.stat().st_size for file in files)
    raise UserError(f"{folder} holds no weights (model.safetensors or pytorch_model.bin).")


def require_own_structure(folder: Path) -> None:
    """Raise `UserError` for a fine-tuned folder of another structure than the treatments of compress.py are made for.

    Looks at its files alone. A folder that is damaged otherwise is left to who loads it.
    """
    config = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    structure = config.get("model_type", "bert")
    if structure in ("mobilebert", "bert") and tokenizer_file(folder).name == "vocab.txt":
        return
    tokenizer = "BertJapaneseTokenizer" if tokenizer_file(folder).name == "vocab.txt" else "tokenizer.json"
    raise UserError(
        f"{folder} is a {structure} with {tokenizer}; only a MobileBERT or BERT with a BertJapaneseTokenizer can be "
        "sped up."
    )


def require_speedable(source: TaskModel) -> None:
    """Raise `UserError` unless a model of this kind of task can be sped up."""
    if not KINDS[source.kind].stored_as:
        raise UserError(f"A model of {source.task} cannot be sped up, only one of classes or of entities.")


def require_fitting(config: Any, source: TaskModel) -> None:
    """Raise `UserError` unless the tokenizer and the longest text fit the model, or it would fail at some text."""
    entries, longest = read_encoder(source.folder).entries, longest_input(config)
    if entries > config.vocab_size:
        raise UserError(
            f"The vocabulary does not fit: {tokenizer_file(source.folder)} has {entries} entries, the model embeds "
            f"{config.vocab_size}."
        )
    if longest is not None and source.max_seq_length > longest:
        raise UserError(f"max_seq_length {source.max_seq_length} is more than the model's {longest} positions.")


def load_finetuned(folder: Path, task: str, max_seq_length: int, kind: Kind | None = None) -> tuple[Any, TaskModel]:
    """The transformers model of a fine-tuned folder, in float32 with sdpa attention, and the same ready to answer.

    Args:
        task: its name.
        kind: of the task; None: that of the task of this name.

    Raises `UserError` if the folder holds no whole model for this kind of task.
    """
    hint = f"finetune.py --task {task} makes one."
    require_file(folder / "config.json", hint)
    kind = TASK_KINDS[task] if kind is None else kind
    form = FORMS[kind]
    size = weights_bytes(folder)
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # missing weights are told below, in one sentence
    transformers_logging.disable_progress_bar()
    try:
        config: Any = AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
        attention = attention_of(form.auto, config)
        model, report = form.auto.from_pretrained(
            str(folder), config=config, dtype=torch.float32, attn_implementation=attention, output_loading_info=True
        )
    except NOT_LOADED as error:
        raise UserError(f"{folder} holds no model that can be loaded: {why_not_loaded(folder, error)}") from None
    finally:
        transformers_logging.set_verbosity(level)
    absent = sorted(report["missing_keys"])
    if absent:
        raise UserError(f"{folder} is not a model fine-tuned for {task}: it lacks {absent[0]}. {hint}")
    labels = [model.config.id2label[index] for index in range(model.config.num_labels)]
    parameters = sum(each.numel() for each in model.parameters())
    decoder = read_decoder(folder, labels) if KINDS[kind].per_token else None
    ready = TaskModel(
        LogitsOf(model, form.ends),
        labels,
        folder,
        task,
        kind,
        max_seq_length,
        describe(model),
        parameters,
        size,
        decoder,
        longest_input(model.config),
    )
    return model.eval(), ready
