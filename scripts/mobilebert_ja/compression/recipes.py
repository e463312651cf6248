"""The recipes of compress.py: each makes one folder from one fine-tuned model, and says what it did."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.compression.export import as_task_answer, export
from mobilebert_ja.compression.recovery import recover, sample_batches
from mobilebert_ja.compression.shrink import kept_blocks, kept_width, neuron_weights, shrink
from mobilebert_ja.compression.torchscript import compress, load_compressed, matrices, save_compressed
from mobilebert_ja.finetuning.folder import TaskModel, describe, require_fitting
from mobilebert_ja.finetuning.forms import Reader, training_rows
from mobilebert_ja.finetuning.predictor import LogitsOf
from mobilebert_ja.finetuning.rows import Row
from mobilebert_ja.runtime import load
from mobilebert_ja.settings import CompressSettings
from mobilebert_ja.tasks import Task
from mobilebert_ja.tokenization.encoder import FastEncoder
from mobilebert_ja.training.accelerator import make_accelerator

RECIPES = ("onnx", "fast", "card")
# What the card's snippet asks; the answers go into the record, from which the card prints them.
EXAMPLES = {"livedoor": "新型スマートフォンの予約受付を開始", "ner": "田中太郎は京都市に住む。"}


@dataclass(frozen=True)
class Source:
    """What a recipe starts from: a fine-tuned model (`model`, on the CPU), the same ready to answer, its task."""

    model: Any
    ready: TaskModel
    task: Task
    seed: int


def make(settings: CompressSettings, source: Source, folder: Path, accelerator: Accelerator | None) -> dict[str, Any]:
    """Follow `settings.recipe`; returns what the record says of it. `accelerator`: of `training_accelerator`."""
    if settings.recipe == "card":
        return make_card(settings, source, folder, accelerator)
    if settings.recipe == "onnx":
        return make_onnx(settings, source, folder)
    assert accelerator is not None
    return make_fast(settings, source, folder, accelerator)


def make_card(
    settings: CompressSettings, source: Source, folder: Path, accelerator: Accelerator | None
) -> dict[str, Any]:
    """Prune, retrain if there is an accelerator for it, quantize, trace; returns what the record says of it."""
    require_fitting(source.model.config, source.ready)
    how = {"prune_amount": settings.prune_amount, "per_channel": settings.per_channel}
    trained: dict[str, Any] = {}

    def retrain(pruned: Any) -> None:
        every = list(range(source.model.config.num_hidden_layers))
        own = dataclasses.replace(settings, num_train_epochs=settings.prune_epochs)
        trained.update(_recovered(own, source, pruned, every, folder, accelerator))

    traced, sparsity = compress(
        source.model, settings.prune_amount, bool(settings.per_channel), retrain if accelerator is not None else None
    )
    return {
        "bytes": save_compressed(traced, source.ready, folder, how),
        "sparsity": sparsity,
        "matrices": len(matrices(source.model)),
        "matrix_weights": sum(module.weight.numel() for module in matrices(source.model).values()),
        **trained,
    }


def _training_rows(source: Source) -> tuple[list[Row], int]:
    """The task's training part as the model is given it, and the id of padding."""
    encoder = FastEncoder(source.ready.folder)
    return training_rows(source.task, Reader(encoder, source.ready.max_seq_length)), encoder.vocab["[PAD]"]


def _recovered(
    settings: CompressSettings, source: Source, small: Any, kept: list[int], folder: Path, accelerator: Any
) -> dict[str, Any]:
    """Train `small`, of which `kept` are the source's blocks, to answer as the source; what the record says of it."""
    rows, pad_id = _training_rows(source)
    own = dataclasses.replace(settings, seed=source.seed)
    describe = f"{source.task.name}, seed {source.seed}"
    state = recover(accelerator, small, source.model, kept, rows, pad_id, own, folder, describe)
    small.cpu().eval()
    return {"recovery_seconds": round(state.seconds, 2), "steps": state.step, "history": state.history}


def make_onnx(settings: CompressSettings, source: Source, folder: Path) -> dict[str, Any]:
    """Fold, export, quantize; returns what the record says of it."""
    how: dict[str, Any] = {"per_channel": settings.per_channel, "reduce_range": settings.reduce_range}
    made = export(source.model, source.ready, folder, settings.recipe, how, **how)
    return made | answered_example(folder, source.task.name)


def answered_example(folder: Path, task: str) -> dict[str, Any]:
    """{"example": the saved model's answer to the card's text}, for the tasks that the card speaks of."""
    if task not in EXAMPLES:
        return {}
    answer = load(folder).predict_one(EXAMPLES[task])
    return {"example": {"text": EXAMPLES[task], **dataclasses.asdict(answer)}}


def check_cut(settings: CompressSettings, model_config: Any) -> None:
    """Raise `UserError` for a cut that cannot be made, before anything is computed."""
    kept_blocks(model_config.num_hidden_layers, settings.keep_layers)
    kept_width(model_config.intermediate_size, settings.keep_ffn)


def training_accelerator(settings: CompressSettings) -> Accelerator | None:
    """What the recipe trains with; None if it does not train."""
    if settings.recipe != "fast" and not (settings.recipe == "card" and settings.prune_epochs):
        return None
    accelerator = make_accelerator(settings.gradient_accumulation_steps)
    if accelerator.num_processes > 1:
        raise UserError(
            "Training in compress.py runs in one process: accelerate launch --num_processes 1 scripts/compress.py ..."
        )
    return accelerator


def make_fast(settings: CompressSettings, source: Source, folder: Path, accelerator: Accelerator) -> dict[str, Any]:
    """Cut, recover, then as `make_onnx`; returns what the record says of it."""
    ready, task = source.ready, source.task
    check_cut(settings, source.model.config)
    batches = sample_batches(*_training_rows(source), settings.per_device_train_batch_size)
    small, kept = shrink(source.model, settings.keep_layers, settings.keep_ffn, neuron_weights(source.model, batches))
    trained = _recovered(settings, source, small, kept, folder, accelerator)
    parameters = sum(each.numel() for each in small.parameters())
    cut = dataclasses.replace(ready, model=LogitsOf(small), description=describe(small), parameters=parameters)
    answers = cut.predictor().predict([example.text for example in task.test], settings.per_device_train_batch_size)
    rounding: dict[str, Any] = {"per_channel": settings.per_channel, "reduce_range": settings.reduce_range}
    how = {**rounding, "keep_layers": len(kept), "keep_ffn": settings.keep_ffn}
    return {
        **export(small, cut, folder, settings.recipe, how, **rounding),
        **answered_example(folder, task.name),
        "score_float32": task.score(answers)[task.metric],
        "kept_blocks": kept,
        "intermediate_size": small.config.intermediate_size,
        "parameters": parameters,
        **trained,
    }


def predictor_of(folder: Path, recipe: str) -> Callable[[str], Any]:
    """The saved model as a function from a text to the task's form of answer."""
    if recipe == "card":
        return load_compressed(folder).predictor().predict_one
    answerer = load(folder)
    return lambda text: as_task_answer(answerer.predict_one(text))
