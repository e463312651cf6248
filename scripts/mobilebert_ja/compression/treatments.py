"""The treatments of compress.py: each makes one folder from one fine-tuned model, and says what it did."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.compression.cutting.recovery import Source, recovered, sample_batches
from mobilebert_ja.compression.cutting.shrink import kept_blocks, kept_width, neuron_weights, require_cuttable, shrink
from mobilebert_ja.compression.onnx.export import as_task_answer, export
from mobilebert_ja.compression.torchscript import compress, load_compressed, matrices, save_compressed
from mobilebert_ja.finetuning.folder import describe, require_fitting
from mobilebert_ja.finetuning.predictor import LogitsOf
from mobilebert_ja.runtime import load
from mobilebert_ja.settings import CompressSettings
from mobilebert_ja.training.accelerator import make_accelerator

# What the card's snippet asks; the answers go into the record, from which the card prints them.
EXAMPLES = {"livedoor": "新型スマートフォンの予約受付を開始", "ner": "田中太郎は京都市に住む。"}


def make(
    settings: CompressSettings,
    source: Source,
    folder: Path,
    accelerator: Accelerator | None,
    blocks: list[int] | None = None,
) -> dict[str, Any]:
    """Give the model its `settings.treatment`; returns what the record says of it.

    Args:
        accelerator: of `training_accelerator`.
        blocks: those that are kept, for `--keep_layers auto`; None: as many as `settings.keep_layers`, evenly spread.
    """
    return TREATMENTS[settings.treatment](settings, source, folder, accelerator, blocks)


def _make_card(
    settings: CompressSettings, source: Source, folder: Path, accelerator: Accelerator | None, *_blocks: Any
) -> dict[str, Any]:
    """Prune, retrain if there is an accelerator for it, quantize, trace."""
    require_fitting(source.model.config, source.ready)
    how = {"prune_amount": settings.prune_amount, "per_channel": settings.per_channel}
    trained: dict[str, Any] = {}

    def retrain(pruned: Any) -> None:
        every = list(range(source.model.config.num_hidden_layers))
        own = dataclasses.replace(settings, num_train_epochs=settings.prune_epochs)
        trained.update(recovered(own, source, pruned, every, folder, accelerator))

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


def _make_onnx(settings: CompressSettings, source: Source, folder: Path, *_training: Any) -> dict[str, Any]:
    """Fold, export, quantize."""
    how: dict[str, Any] = {"per_channel": settings.per_channel, "reduce_range": settings.reduce_range}
    made = export(source.model, source.ready, folder, settings.treatment, how, **how)
    return made | answered_example(folder, source.task.name)


def answered_example(folder: Path, task: str) -> dict[str, Any]:
    """{"example": the saved model's answer to the card's text}, for the tasks that the card speaks of."""
    if task not in EXAMPLES:
        return {}
    answer = load(folder).predict_one(EXAMPLES[task])
    return {"example": {"text": EXAMPLES[task], **dataclasses.asdict(answer)}}


def check_cut(settings: CompressSettings, model_config: Any) -> None:
    """Raise `UserError` for a cut that cannot be made, before anything is computed."""
    if settings.number_of_layers is not None:
        kept_blocks(model_config.num_hidden_layers, settings.number_of_layers)
    kept_width(model_config.intermediate_size, settings.keep_ffn)


def training_accelerator(settings: CompressSettings) -> Accelerator | None:
    """What the treatment trains with; None if it does not train."""
    if settings.treatment != "fast" and not (settings.treatment == "card" and settings.prune_epochs):
        return None
    accelerator = make_accelerator(settings.gradient_accumulation_steps)
    if accelerator.num_processes > 1:
        raise UserError(
            "Training in compress.py runs in one process: accelerate launch --num_processes 1 scripts/compress.py ..."
        )
    return accelerator


def _make_fast(
    settings: CompressSettings, source: Source, folder: Path, accelerator: Accelerator, blocks: list[int] | None
) -> dict[str, Any]:
    """Cut, recover, then as `_make_onnx`."""
    ready, task = source.ready, source.task
    require_cuttable(source.model)
    check_cut(settings, source.model.config)
    batches = sample_batches(*source.rows(), settings.per_device_train_batch_size)
    kept = blocks or kept_blocks(source.model.config.num_hidden_layers, int(settings.keep_layers))
    small = shrink(source.model, kept, settings.keep_ffn, neuron_weights(source.model, batches))
    trained = recovered(settings, source, small, kept, folder, accelerator)
    parameters = sum(each.numel() for each in small.parameters())
    cut = dataclasses.replace(ready, model=LogitsOf(small), description=describe(small), parameters=parameters)
    answers = cut.predictor().predict([example.text for example in task.test], settings.per_device_train_batch_size)
    rounding: dict[str, Any] = {"per_channel": settings.per_channel, "reduce_range": settings.reduce_range}
    how = {**rounding, "keep_layers": len(kept), "keep_ffn": settings.keep_ffn}
    how |= {} if blocks is None else {"kept_blocks": blocks}  # which their number alone does not tell
    return {
        **export(small, cut, folder, settings.treatment, how, **rounding),
        **answered_example(folder, task.name),
        "score_float32": task.score(answers)[task.metric],
        "kept_blocks": kept,
        "intermediate_size": small.config.intermediate_size,
        "parameters": parameters,
        **trained,
    }


TREATMENTS: dict[str, Callable[..., dict[str, Any]]] = {"onnx": _make_onnx, "fast": _make_fast, "card": _make_card}


def predictor_of(folder: Path, treatment: str) -> Callable[[str], Any]:
    """The saved model as a function from a text to the task's form of answer."""
    if treatment == "card":
        return load_compressed(folder).predictor().predict_one
    answerer = load(folder)
    return lambda text: as_task_answer(answerer.predict_one(text))
