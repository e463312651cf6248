"""Speeding a fine-tuned model up as the published card does: prune, quantize, trace; and loading such models.

Every nn.Linear but the classifier head goes through it: the projection behind the embeddings, attention, bottlenecks
and feed-forward layers. The head has a few thousand weights, decides the answer and stays as it was trained, in
float32; so do the embedding tables, which are looked up and never multiplied.
"""

from __future__ import annotations

import copy
import logging
import platform
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils import prune as torch_prune

from mobilebert_ja.common.errors import UserError, first_line
from mobilebert_ja.common.files import write_atomically
from mobilebert_ja.finetuning.folder import TaskModel
from mobilebert_ja.finetuning.predictor import LogitsOf
from mobilebert_ja.inference.folder import (
    FACTS_NAME,
    TORCHSCRIPT,
    decoder_of,
    model_path,
    read_facts,
    require_unchanged,
    write_facts,
)
from mobilebert_ja.inference.kinds import KINDS, kind_of_facts
from mobilebert_ja.tokenization.encoder import copy_tokenizer

HEAD = "classifier"
TRACE_SHAPE = (2, 16)  # rows, tokens of the example that is traced
CHECKED_ROWS = (1, 2, 4)
CHECKED_LENGTHS = (3, 7, 24, 60)
TRACE_TOLERANCE = 1e-3  # relative to the largest logit; on one machine the two agree to the last bit

# TorchScript and torch.ao are deprecated without a successor that is as fast on a CPU; they are pinned and tested.
# Tracing reads every property of a model, also deprecated ones, and what it says about branches is checked below.
_EXPECTED_WARNINGS = (
    r"torch\.ao\.quantization is deprecated",
    r"torch\.quantize_per_tensor, torch\.quantize_per_channel and other",
    r"`torch\.jit\.\w+` is deprecated",
    r"Converting a tensor to a Python boolean might cause the trace to be incorrect",
    r"`is_gradient_checkpointing` is deprecated",
)


@contextmanager
def expected_warnings_hidden() -> Iterator[None]:
    """Hide the warnings that this method is known to cause, each by its wording, and no others."""

    def is_news(record: logging.LogRecord) -> bool:
        return "loss_type=None" not in record.getMessage()

    logger = logging.getLogger("transformers.modeling_utils")
    logger.addFilter(is_news)
    try:
        with warnings.catch_warnings():
            for message in _EXPECTED_WARNINGS:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        logger.removeFilter(is_news)


def select_engine() -> str:
    """Choose the int8 kernels that suit this processor, for quantizing and for loading; returns their name."""
    wanted = ("x86", "fbgemm") if platform.machine().lower() in ("x86_64", "amd64") else ("qnnpack", "onednn")
    for engine in wanted:
        if engine in torch.backends.quantized.supported_engines:
            torch.backends.quantized.engine = engine  # type: ignore[assignment]
            return engine
    raise UserError(f"This build of torch has none of the int8 kernels {' and '.join(wanted)}.")


def matrices(model: nn.Module) -> dict[str, nn.Linear]:
    """The Linear modules that are pruned and quantized, by name: all but the head."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.split(".")[0] != HEAD
    }


def prune(model: nn.Module, amount: float) -> float:
    """Set the smallest weights of every matrix to zero, in place.

    Args:
        amount: share of each matrix, 0 <= amount < 1; the number of weights is rounded.

    Returns:
        The share of zeros over all these matrices. Source: `torch.nn.utils.prune.l1_unstructured`.
    """
    if not 0 <= amount < 1:
        raise ValueError(f"amount must be at least 0 and below 1, not {amount}")
    zeros = total = 0
    for module in matrices(model).values():
        torch_prune.l1_unstructured(module, "weight", amount)
        torch_prune.remove(module, "weight")  # keep the zeros, drop the mask
        zeros += int((module.weight == 0).sum())
        total += module.weight.numel()
    return zeros / total


def hold_zeros(model: nn.Module) -> list[Any]:
    """From now on, weights of the matrices that are zero get no gradient, so that AdamW leaves them at zero (its
    decay is a factor). Returns the hooks; `remove()` of each ends it."""

    def masked(weight: torch.Tensor) -> Any:
        kept = weight.detach() != 0
        return weight.register_hook(lambda gradient: gradient * kept)

    return [masked(module.weight) for module in matrices(model).values()]


def quantize(model: nn.Module, per_channel: bool = False) -> nn.Module:
    """A copy of `model` with int8 matrices; activations are quantized while it runs.

    Args:
        per_channel: a scale for each row of a matrix instead of one for the matrix; closer to float32.
    """
    select_engine()
    ao = torch.ao.quantization
    qconfig = ao.per_channel_dynamic_qconfig if per_channel else ao.default_dynamic_qconfig
    with expected_warnings_hidden():
        return ao.quantize_dynamic(model.eval(), {nn.Linear: qconfig, HEAD: None}, dtype=torch.qint8)


def example_inputs(rows: int, length: int, vocab_size: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """input_ids, attention_mask, token_type_ids, each [rows, length] int64; every row but the first is padded."""
    ids = torch.randint(0, vocab_size, (rows, length), generator=torch.Generator().manual_seed(seed))
    mask = torch.ones_like(ids)
    for row in range(1, rows):
        mask[row, max(2, length - 3 * row) :] = 0
    return ids, mask, torch.zeros_like(ids)


def trace(model: nn.Module, vocab_size: int) -> torch.jit.ScriptModule:
    """Record the model as a graph without Python: (input_ids, attention_mask, token_type_ids) -> logits.

    The graph takes any number of rows and tokens, which is tried: at several shapes it must give what `model` gives,
    else `UserError` is raised.
    """
    module = LogitsOf(model).eval()  # freezing wants the outermost module in evaluation mode too
    with torch.no_grad(), expected_warnings_hidden():
        example = example_inputs(*TRACE_SHAPE, vocab_size)
        traced = torch.jit.freeze(torch.jit.trace(module, example, check_trace=False))
    longest = getattr(getattr(model, "config", None), "max_position_embeddings", max(CHECKED_LENGTHS))
    for rows in CHECKED_ROWS:
        for length in sorted({min(length, longest) for length in CHECKED_LENGTHS}):
            _require_same_logits(module, traced, example_inputs(rows, length, vocab_size, seed=1))
    return traced


def _require_same_logits(module: nn.Module, traced: torch.jit.ScriptModule, inputs: tuple[torch.Tensor, ...]) -> None:
    shape = " x ".join(map(str, inputs[0].shape))
    with torch.inference_mode():
        wanted = module(*inputs)
        if not torch.isfinite(wanted).all():
            raise UserError("The model's logits are not finite; its weights are damaged or its training diverged.")
        try:
            given = traced(*inputs)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise UserError(f"The traced model fails at {shape} tokens: {reason}") from None
    if given.shape != wanted.shape or (given - wanted).abs().max() > TRACE_TOLERANCE * wanted.abs().max():
        raise UserError(
            f"The traced model does not agree with the model at {shape} tokens; these versions of torch and "
            "transformers cannot trace it (requirements.txt names versions that can)."
        )


def compress(
    model: nn.Module, amount: float, per_channel: bool = False, retrain: Callable[[nn.Module], Any] | None = None
) -> tuple[torch.jit.ScriptModule, float]:
    """Prune, quantize and trace a copy of `model`. Returns the graph and the share of zeros in its matrices.

    Args:
        retrain: is given the pruned copy and trains it in place, on the CPU in the end; its zeros are held meanwhile.
    """
    model = copy.deepcopy(model).eval()
    sparsity = prune(model, amount)
    if retrain is not None:
        hooks = hold_zeros(model)
        retrain(model)
        for hook in hooks:
            hook.remove()
    config: Any = model.config
    return trace(quantize(model, per_channel), config.vocab_size), sparsity


def save_compressed(traced: torch.jit.ScriptModule, source: TaskModel, folder: Path, settings: dict[str, Any]) -> int:
    """Write model.pt, the facts that loading needs, and the tokenizer. Returns the bytes of model.pt."""
    with expected_warnings_hidden(), write_atomically(model_path(folder, TORCHSCRIPT), "wb") as stream:
        torch.jit.save(traced, stream)
    copy_tokenizer(source.folder, folder)
    facts = {
        "treatment": "card",
        "task": source.task,
        "kind": KINDS[source.kind].stored_as,
        "labels": source.labels,
        "decoding": source.decoder and source.decoder.as_json(source.labels),
        "max_seq_length": source.max_seq_length,
        "positions": source.positions,
        "description": source.description,
        "parameters": source.parameters,
        "settings": settings,
        "torch": torch.__version__,
    }
    return write_facts(folder, TORCHSCRIPT, facts)


def load_compressed(folder: str | Path) -> TaskModel:
    """The model of a folder that `save_compressed` wrote; runs on a CPU.

    Raises `UserError` if something is missing, if model.pt is not the file that compressed.json speaks of, or if this
    version of torch cannot read it.
    """
    folder = Path(folder)
    facts = read_facts(folder, TORCHSCRIPT)
    if "torch" not in facts:
        raise UserError(f"{folder / FACTS_NAME} lacks torch; compress.py --overwrite makes it anew.")
    path = model_path(folder, TORCHSCRIPT)
    require_unchanged(path, facts)
    select_engine()  # the int8 matrices are packed for these kernels while loading
    try:
        with expected_warnings_hidden():
            # Loading says on stderr, past all filters but once a process, that int8 tensors are deprecated. Here is
            # the once, where a filter catches it.
            torch.quantize_per_tensor(torch.zeros(1), 1.0, 0, torch.qint8)
            model = torch.jit.load(str(path), map_location="cpu").eval()
    except RuntimeError as error:
        reason = first_line(error)
        raise UserError(
            f"{path} was made with torch {facts['torch']} and torch {torch.__version__} cannot read it: {reason}"
        ) from None
    return TaskModel(
        model,
        list(facts["labels"]),
        folder,
        facts["task"],
        kind_of_facts(facts),
        int(facts["max_seq_length"]),
        facts["description"],
        int(facts["parameters"]),
        path.stat().st_size,
        decoder_of(facts, folder),
    )
