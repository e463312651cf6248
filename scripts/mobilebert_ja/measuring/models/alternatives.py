"""Encoders that one could pick instead: what their published shapes cost, with random weights.

What a model call costs depends on the structure and the length of the text, not on the weights' values. All of them
are given this model's tokens: their own tokenizers cannot be had without their files. Their int8 models are made by
onnxruntime's own tools (its graph optimizer and dynamic quantization) from torch's export.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.optimizer import optimize_model
from torch import Tensor, nn
from transformers import BertConfig, DistilBertConfig, ModernBertConfig, PretrainedConfig

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.compression.onnx.export import write_export
from mobilebert_ja.compression.torchscript import example_inputs
from mobilebert_ja.finetuning.folder import TaskModel
from mobilebert_ja.measuring.models.contenders import INT8, Contender, eager, exported, untrained
from mobilebert_ja.settings import comma_separated

# The shapes as their config.json on the Hub has them: sbintuitions/modernbert-ja-30m,
# line-corporation/line-distilbert-base-japanese, intfloat/multilingual-e5-small.
ALTERNATIVES: dict[str, Callable[[], PretrainedConfig]] = {
    "modernbert-ja-30m": lambda: ModernBertConfig(
        vocab_size=102400,
        hidden_size=256,
        num_hidden_layers=10,
        num_attention_heads=4,
        intermediate_size=1024,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
        cls_token_id=0,
        sep_token_id=0,
    ),
    "line-distilbert": lambda: DistilBertConfig(vocab_size=32768, dim=768, hidden_dim=3072, n_layers=6, n_heads=12),
    "multilingual-e5-small": lambda: BertConfig(
        vocab_size=250037, hidden_size=384, num_hidden_layers=12, num_attention_heads=12, intermediate_size=1536
    ),
}


def named_alternatives(given: str | None) -> tuple[str, ...]:
    """The names in a list such as "modernbert-ja-30m,line-distilbert", or all. Raises `UserError` for another name."""
    if given is None:
        return ()
    if given.strip() == "all":
        return tuple(ALTERNATIVES)
    names = tuple(dict.fromkeys(comma_separated(given)))
    for name in names:
        if name not in ALTERNATIVES:
            raise UserError(f"--alternatives: '{name}' is none of {', '.join(ALTERNATIVES)}; all names all of them.")
    return names


def add_alternatives(
    contenders: dict[str, Contender], names: tuple[str, ...], folder: Path, seed: int
) -> dict[str, Contender]:
    """The contenders with each alternative, as transformers runs it and in int8; made in `folder`."""
    like = contenders["mobilebert"].model
    assert like is not None  # the fine-tuned MobileBERT runs with torch
    added: dict[str, Contender] = {}
    for name in names:
        model, ready = untrained(ALTERNATIVES[name](), like, seed, folder / name)
        _export_int8(model, ready, folder / f"{name}{INT8}")
        added[name] = eager(name, ready, None, trained=False)
        added[name + INT8] = exported(folder / f"{name}{INT8}", name, None, trained=False)
    return {**contenders, **added}


class _Traceable(nn.Module):
    """A model as a function of what the runtime gives it."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.model(input_ids=input_ids, attention_mask=attention_mask).logits


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Of the tracer about shapes, of the optimizer and the quantizer about types: the logits are compared instead."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def _export_int8(model: Any, ready: TaskModel, folder: Path) -> None:
    """Write a folder that the runtime answers from, as `onnx.export.export` does for our own structures."""
    heads, width = model.config.num_attention_heads, model.config.hidden_size
    ids, mask, _ = example_inputs(2, 16, model.config.vocab_size, seed=0)
    names = {"input_ids": {0: "rows", 1: "tokens"}, "attention_mask": {0: "rows", 1: "tokens"}}
    with tempfile.TemporaryDirectory() as scratch, _without_warnings():
        plain, fused, int8 = (str(Path(scratch) / f"{each}.onnx") for each in ("plain", "fused", "int8"))
        torch.onnx.export(
            _Traceable(model),
            (ids, mask),
            plain,
            input_names=list(names),
            output_names=["logits"],
            dynamic_axes=names,
            dynamo=False,
            opset_version=17,
        )
        optimize_model(plain, "bert", num_heads=heads, hidden_size=width).save_model_to_file(fused)
        kind = {"DefaultTensorType": onnx.TensorProto.FLOAT}  # of what the fused nodes give, which it cannot infer
        # Seven bits, as our own: eight saturate on a processor without VNNI.
        quantize_dynamic(fused, int8, weight_type=QuantType.QInt8, reduce_range=True, extra_options=kind)
        write_export(onnx.load(fused), Path(int8).read_bytes, model, ready, folder, "onnx", {"reduce_range": True})
