"""Training a shrunk model to answer as the one that it was cut from, on the task's own training part."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch.nn import functional

from mobilebert_ja.finetuning.rows import IGNORED, Row, batch_function, batches_per_epoch, collate
from mobilebert_ja.settings import CompressSettings
from mobilebert_ja.training.checkpoints import TrainState
from mobilebert_ja.training.loop import run_training
from mobilebert_ja.training.optimizers import make_adamw

WEIGHED_ROWS = 512  # on which neurons are weighed


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


def sample_batches(rows: list[Row], pad_id: int, batch_size: int) -> list[dict[str, torch.Tensor]]:
    """Inputs of rows spread over the training part, for weighing neurons."""
    chosen = rows[:: max(1, len(rows) // WEIGHED_ROWS)]
    batches = (collate(chosen[start : start + batch_size], pad_id) for start in range(0, len(chosen), batch_size))
    return [{name: torch.from_numpy(array) for name, array in batch.items() if name != "labels"} for batch in batches]


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
) -> TrainState:
    """Train `student` in place to give the teacher's answers, and its blocks to give what the teacher's gave.

    Args:
        kept: for each block of the student, the index of the teacher's block that it was. It is to give what the
            teacher's stream holds before the next kept block, so that it does the work of those left out too.
        folder: checkpoints live in folder/checkpoints.

    Dropout is left off: there is a teacher to imitate for every row, and imitating it exactly is the aim.
    """
    teacher = teacher.to(accelerator.device).eval()
    ends = [*kept[1:], teacher.config.num_hidden_layers]

    def loss_function(model: Any, batch: dict[str, Any]) -> tuple[torch.Tensor, dict[str, Any]]:
        labels = batch["labels"]
        inputs = {name: value for name, value in batch.items() if name != "labels"}
        with torch.no_grad(), accelerator.autocast():
            wanted = teacher(**inputs, output_hidden_states=True)
        given = model(**inputs, output_hidden_states=True)
        answers = answer_loss(given.logits, wanted.logits, labels != IGNORED)
        # hidden_states[n] is what block n is given, the last one what comes out.
        pairs = zip(given.hidden_states[1:], (wanted.hidden_states[end] for end in ends), strict=True)
        losses = [feature_loss(mine, theirs, inputs["attention_mask"]) for mine, theirs in pairs]
        features = torch.stack(losses).mean()
        values = {"answer_loss": answers.detach(), "feature_loss": features.detach()}
        return answers + settings.feature_weight * features, values

    batch = batch_function(rows, settings.per_device_train_batch_size, settings.seed, pad_id)
    per_epoch = batches_per_epoch(len(rows), settings.per_device_train_batch_size)
    steps = math.ceil(settings.num_train_epochs * per_epoch / settings.gradient_accumulation_steps)
    return run_training(
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
