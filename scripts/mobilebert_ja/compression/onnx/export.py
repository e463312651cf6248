"""From a fine-tuned model to a folder that onnxruntime answers from: folded, written as a graph, rounded to int8."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import write_atomically
from mobilebert_ja.compression.onnx.models import to_onnx
from mobilebert_ja.compression.torchscript import example_inputs
from mobilebert_ja.finetuning.folder import TaskModel, require_fitting, require_speedable
from mobilebert_ja.finetuning.predictor import LogitsOf
from mobilebert_ja.inference.folder import ONNX, model_path, write_facts
from mobilebert_ja.inference.kinds import KINDS
from mobilebert_ja.runtime import ClassAnswer, EntityAnswer
from mobilebert_ja.tokenization.encoder import copy_tokenizer

TOLERANCE = 1e-4  # between the model and its folded form in float32, relative to the largest logit if that is above 1
CHECKED_SHAPES = ((1, 1), (1, 3), (3, 24), (2, 128))  # rows, tokens
_PACKAGES = ("torch", "transformers", "onnx", "onnxruntime")


def logits_of(graph: Any, inputs: tuple[torch.Tensor, ...]) -> np.ndarray:
    """What a graph gives for (input_ids, attention_mask, ...)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"input_ids": inputs[0].numpy(), "attention_mask": inputs[1].numpy()})[0]


def require_same_logits(model: Any, graph: Any) -> float:
    """The largest difference between a model's logits and those of its graph in float32, at several shapes.

    Raises `UserError` if it is more than rounding, or if the model's logits are not finite.
    """
    config, largest = model.config, 0.0
    shapes = [(rows, length) for rows, length in CHECKED_SHAPES if length <= config.max_position_embeddings]
    for rows, length in shapes:
        ids, mask, types = example_inputs(rows, length, config.vocab_size, seed=length)
        with torch.inference_mode():
            wanted = LogitsOf(model)(ids, mask, types).numpy()
        if not np.isfinite(wanted).all():
            raise UserError("The model's logits are not finite; its weights are damaged or its training diverged.")
        difference = float(np.abs(logits_of(graph, (ids, mask)) - wanted).max())
        largest = max(largest, difference)
        if difference > TOLERANCE * max(1.0, float(np.abs(wanted).max())):
            raise UserError(
                f"The exported model differs from the model by {difference:.1e} at {rows} x {length} tokens; these "
                "versions of transformers and onnxruntime do not go together (requirements.txt names some that do)."
            )
    return largest


def export(
    model: Any,
    source: TaskModel,
    folder: Path,
    treatment: str,
    settings: dict[str, Any],
    per_channel: bool | None = None,
    reduce_range: bool = True,
) -> dict[str, Any]:
    """Write model.onnx, compressed.json and the tokenizer to `folder`; the model must be on the CPU.

    Args:
        source: what the model was loaded with: its labels, task and tokenizer.
        treatment: "onnx" or "fast", for compressed.json.
        settings: how it was made, for compressed.json.
        per_channel, reduce_range: see `graph.Graph`.

    Returns:
        {"bytes": size of model.onnx, "folding_error": largest difference of the logits in float32}.

    Raises `UserError` for a model of another structure, one whose logits are not finite, or a tokenizer or length that
    does not fit it.
    """
    model = model.eval()
    require_speedable(source)

    def int8() -> bytes:
        return to_onnx(model, "int8", per_channel, reduce_range).SerializeToString()

    return write_export(to_onnx(model), int8, model, source, folder, treatment, settings)


def write_export(
    exact: Any,
    int8: Callable[[], bytes],
    model: Any,
    source: TaskModel,
    folder: Path,
    treatment: str,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Write the folder of a model that was exported already.

    Args:
        exact: its graph in float32, compared with the model.
        int8: makes the file that onnxruntime is to run, once `exact` is known to be right.

    The others, what it returns and raises: see `export`.
    """
    require_fitting(model.config, source)
    largest = require_same_logits(model, exact)
    with write_atomically(model_path(folder, ONNX), "wb") as stream:
        stream.write(int8())
    copy_tokenizer(source.folder, folder)
    facts = {
        "treatment": treatment,
        "task": source.task,
        "kind": KINDS[source.kind].stored_as,
        "labels": source.labels,
        "decoding": source.decoder and source.decoder.as_json(source.labels),
        "max_seq_length": source.max_seq_length,
        "positions": model.config.max_position_embeddings,
        "description": source.description,
        "parameters": source.parameters,
        "settings": settings,
        "versions": {package: metadata.version(package) for package in _PACKAGES},
    }
    return {"bytes": write_facts(folder, ONNX, facts), "folding_error": largest}


def as_task_answer(answer: ClassAnswer | EntityAnswer) -> Any:
    """An answer as tasks score it: a class name, or spans (start, end, type)."""
    if isinstance(answer, ClassAnswer):
        return answer.label
    return [(entity.start, entity.end, entity.type) for entity in answer.entities]
