"""Training a shrunk model to answer as the one that it was cut from, on the task's own training part and, if there is
any, on text that nobody labelled."""

from __future__ import annotations

import dataclasses
import math
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from mobilebert_ja.common.progress import progress_bar
from mobilebert_ja.finetuning.folder import TaskModel
from mobilebert_ja.finetuning.lessons import mixed_batches
from mobilebert_ja.finetuning.modelling.forms import Reader, training_rows
from mobilebert_ja.finetuning.modelling.rows import IGNORED, Row, collate
from mobilebert_ja.inference.kinds import Kind
from mobilebert_ja.settings import CompressSettings
from mobilebert_ja.tasks import Example, Task
from mobilebert_ja.tokenization.encoders import read_encoder
from mobilebert_ja.training.checkpoints import TrainState
from mobilebert_ja.training.loop import run_training
from mobilebert_ja.training.optimizers import make_adamw

KEPT_BYTES = 2 * 1024**3  # largest file of what the teacher says; what would take more is asked for batch by batch
WEIGHED_ROWS = 512  # on which neurons are weighed, at least, if there are as many


@dataclass(frozen=True)
class Source:
    """What a treatment starts from: a fine-tuned model (`model`, on the CPU), the same ready to answer, its task.

    `unlabelled`: texts that a cut model learns the model's answers to beside those to the training part.
    """

    model: Any
    ready: TaskModel
    task: Task
    seed: int
    unlabelled: Sequence[str] = ()

    def rows(self) -> tuple[list[Row], int]:
        """The task's training part as the model is given it, and the id of padding."""
        encoder = read_encoder(self.ready.folder)
        return training_rows(self.task, Reader(encoder, self.ready.max_seq_length)), encoder.frame.pad_id

    def unlabelled_rows(self) -> list[Row]:
        """The unlabelled texts as the model is given them. Their labels only tell which positions count: any will do,
        because the teacher's answers are learned and no label is."""
        anything = self.task.labels[0] if self.task.kind is Kind.CLASSES else []
        unlabelled = [Example(text, anything) for text in self.unlabelled]
        return dataclasses.replace(self, task=dataclasses.replace(self.task, train=unlabelled)).rows()[0]


def answer_loss(student: torch.Tensor, teacher: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """Mean over the counted positions of KL(teacher's answer || student's), in nats.

    student, teacher: logits [..., labels]; counted: [...], bool.
    """
    divergence = functional.kl_div(
        student.float().log_softmax(-1), teacher.float().log_softmax(-1), reduction="none", log_target=True
    ).sum(-1)
    return (divergence * counted).sum() / counted.sum().clamp(min=1)


def feature_loss(student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean squared difference over real tokens, relative to the teacher's mean square: 1 for a student of zeros.

    student, teacher: [rows, tokens, width]; mask: [rows, tokens].
    """
    weight = mask.unsqueeze(-1).float()
    difference = ((student.float() - teacher.float()).square() * weight).sum()
    return difference / ((teacher.float().square() * weight).sum() + 1e-12)


def labelled_batches(
    rows: Sequence[Row], pad_id: int, batch_size: int, least: int = WEIGHED_ROWS
) -> list[dict[str, torch.Tensor]]:
    """Rows spread over those that are given, `least` to twice as many, in batches of like length with labels."""
    chosen = sorted(rows[:: max(1, len(rows) // least)], key=lambda row: len(row.ids))
    batches = (collate(chosen[start : start + batch_size], pad_id) for start in range(0, len(chosen), batch_size))
    return [{name: torch.from_numpy(array) for name, array in batch.items()} for batch in batches]


def inputs_of(batch: dict[str, Any]) -> dict[str, Any]:
    """What of a batch the model is given."""
    return {name: value for name, value in batch.items() if name not in ("labels", *TAUGHT)}


def sample_batches(rows: Sequence[Row], pad_id: int, batch_size: int) -> list[dict[str, torch.Tensor]]:
    """Inputs of rows spread over the training part, for weighing neurons."""
    return [inputs_of(batch) for batch in labelled_batches(rows, pad_id, batch_size)]


@dataclass(frozen=True)
class TaughtRow:
    """A row, and what the teacher says of it.

    Attributes:
        logits: [labels], of entities [tokens, labels].
        streams: [tokens, ends, width], what it holds at the places that the student's blocks are to match.
    """

    row: Row
    logits: torch.Tensor
    streams: torch.Tensor

    @property
    def ids(self) -> list[int]:
        return self.row.ids


TAUGHT = ("teacher_logits", "teacher_streams")  # of a batch: of a `TaughtRow`, padded


def collate_taught(rows: Sequence[TaughtRow], pad_id: int) -> dict[str, Any]:
    """As `collate` of the rows themselves, with what the teacher says of them in float32; zeros for padding."""
    logits = pad_sequence([each.logits.float() for each in rows], batch_first=True)  # classes have nothing to pad
    streams = pad_sequence([each.streams.float() for each in rows], batch_first=True)
    return {**collate([each.row for each in rows], pad_id), **dict(zip(TAUGHT, (logits, streams), strict=True))}


@dataclass(frozen=True)
class Teacher:
    """The model that a student was cut from. `ends`: of each of its blocks, which of the teacher's streams it matches
    (n is what block n is given, the number of blocks what comes out)."""

    accelerator: Accelerator
    model: Any
    ends: list[int]

    @torch.no_grad()
    def ask(self, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits, and streams [rows, tokens, ends, width]."""
        with self.accelerator.autocast():
            said = self.model(**inputs, output_hidden_states=True)
        return said.logits, torch.stack([said.hidden_states[end] for end in self.ends], 2)

    def ask_once(self, rows: Sequence[Row], pad_id: int, batch_size: int, folder: Path) -> list[TaughtRow] | None:
        """What it says of rows, in their order, its streams in a file without a name that goes with the process.

        It depends on the rows alone, so that an interrupted training goes on with the same. None if the file would be
        larger than `KEPT_BYTES`, or than there is room for in `folder`.
        """
        half = self.accelerator.mixed_precision == "bf16"  # then they are no more precise than that
        width, dtype = int(self.model.config.hidden_size), torch.bfloat16 if half else torch.float32
        per_token = len(self.ends) * width
        streams = _numbers_on_disk(per_token * sum(len(row.ids) for row in rows), dtype, folder)
        if streams is None:
            return None
        taught: list[Any] = [None] * len(rows)
        order = sorted(range(len(rows)), key=lambda index: len(rows[index].ids))
        batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
        begin = 0
        for members in progress_bar(batches, desc="the uncut model's answers", unit="batch", leave=False):
            batch = inputs_of(collate([rows[index] for index in members], pad_id))
            inputs = {name: torch.from_numpy(each).to(self.accelerator.device) for name, each in batch.items()}
            for index, logits, held in zip(members, *(each.cpu() for each in self.ask(inputs)), strict=True):
                tokens = len(rows[index].ids)
                kept = streams[begin : begin + tokens * per_token].view(tokens, len(self.ends), width)
                kept.copy_(held[:tokens])
                begin += kept.numel()
                own = logits[:tokens] if logits.dim() > 1 else logits
                taught[index] = TaughtRow(rows[index], own.clone(), kept)
        return taught


def _numbers_on_disk(size: int, dtype: torch.dtype, folder: Path) -> torch.Tensor | None:
    """So many numbers, mapped from a file in `folder` that is removed already; None if there is no room for it."""
    if size * dtype.itemsize > KEPT_BYTES:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size * dtype.itemsize)  # or a full disk is found out by a crash
        except OSError:
            return None
        return torch.from_file(file.name, shared=True, size=size, dtype=dtype)


def recover(
    accelerator: Accelerator,
    student: Any,
    teacher: Any,
    kept: list[int],
    rows: list[Row],
    pad_id: int,
    settings: CompressSettings,
    folder: Path,
    describe: str,
    unlabelled: Sequence[Row] = (),
) -> TrainState:
    """Train `student` in place to give the teacher's answers, and its blocks to give what the teacher's gave.

    Args:
        unlabelled: rows that it sees `settings.silver_epochs` times in all, in the same batches as `rows`.
        kept: for each block of the student, the index of the teacher's block that it was. It is to give what the
            teacher's stream holds before the next kept block, so that it does the work of those left out too.
        folder: checkpoints live in folder/checkpoints.

    Dropout is left off: there is a teacher to imitate for every row, and imitating it exactly is the aim.
    """
    ends = [*kept[1:], teacher.config.num_hidden_layers]
    asked = Teacher(accelerator, teacher.to(accelerator.device).eval(), ends)
    given_once, given_in_all = len(rows) + len(unlabelled), len(rows) * settings.num_train_epochs
    given_in_all += round(len(unlabelled) * settings.silver_epochs)
    taught, began = None, time.perf_counter()
    if given_once < given_in_all:
        taught = asked.ask_once([*rows, *unlabelled], pad_id, settings.per_device_train_batch_size, folder)
    seconds_of_asking = time.perf_counter() - began

    def loss_function(model: Any, batch: dict[str, Any]) -> tuple[torch.Tensor, dict[str, Any]]:
        inputs = inputs_of(batch)
        logits, streams = (batch[name] for name in TAUGHT) if taught else asked.ask(inputs)
        given = model(**inputs, output_hidden_states=True)
        answers = answer_loss(given.logits, logits, batch["labels"] != IGNORED)
        pairs = zip(given.hidden_states[1:], streams.unbind(2), strict=True)
        losses = [feature_loss(mine, theirs, inputs["attention_mask"]) for mine, theirs in pairs]
        features = torch.stack(losses).mean()
        values = {"answer_loss": answers.detach(), "feature_loss": features.detach()}
        return answers + settings.feature_weight * features, values

    make_batch = collate_taught if taught else collate
    own, others = (taught[: len(rows)], taught[len(rows) :]) if taught else (rows, unlabelled)
    batch, per_epoch = mixed_batches(own, others, settings, lambda chosen: make_batch(chosen, pad_id))
    steps = math.ceil(settings.num_train_epochs * per_epoch / settings.gradient_accumulation_steps)
    state = run_training(
        accelerator,
        student.eval(),
        make_adamw(student, settings),
        batch,
        loss_function,
        settings,
        max_steps=steps,
        warmup_steps=settings.warmup_steps or round(settings.warmup_ratio * steps),
        folder=folder,
        describe=describe,
    )
    state.seconds += seconds_of_asking
    return state


def recovered(
    settings: CompressSettings,
    source: Source,
    small: Any,
    kept: list[int],
    folder: Path,
    accelerator: Any,
    describe: str = "",
) -> dict[str, Any]:
    """Train `small`, of which `kept` are the source's blocks, to answer as the source; what the record says of it."""
    rows, pad_id = source.rows()
    own = dataclasses.replace(settings, seed=source.seed)
    describe = describe or f"{source.task.name}, seed {source.seed}"
    unlabelled = source.unlabelled_rows()
    state = recover(accelerator, small, source.model, kept, rows, pad_id, own, folder, describe, unlabelled)
    small.cpu().eval()
    return {"recovery_seconds": round(state.seconds, 2), "steps": state.step, "history": state.history}
