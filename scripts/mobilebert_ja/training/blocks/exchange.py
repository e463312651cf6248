"""What of a model is computed in another way while it is trained on a CPU, and only then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.models.mobilebert.modeling_mobilebert import MobileBertLayer

from mobilebert_ja.training.blocks.block import can_run, run_block


@contextmanager
def blocks_for_training(model: nn.Module, device: torch.device) -> Iterator[None]:
    """On a CPU, MobileBERT's blocks with fewer passes over their activations (see `run_block`), and the attention of
    other models as single products instead of torch's fused kernel, whose backward pass is slow there for heads as
    narrow as MobileBERT's. Afterwards the model is as it was."""
    if device.type != "cpu":
        yield
        return
    # transformers has a public way to set the implementation, and none to ask for it.
    fused = [
        part
        for part in model.modules()
        if isinstance(part, PreTrainedModel) and part.config._attn_implementation == "sdpa"
    ]
    blocks = [part for part in model.modules() if isinstance(part, MobileBertLayer) and can_run(part)]
    for part in fused:
        part.set_attn_implementation("eager")
    for block in blocks:
        block.forward = MethodType(_forward, block)  # type: ignore[method-assign]  # a copy has its own
    try:
        yield
    finally:
        for block in blocks:
            del block.forward
        for part in fused:
            part.set_attn_implementation("sdpa")


def _forward(block: Any, hidden_states: Tensor, attention_mask: Tensor | None = None, **kwargs: Any) -> Tensor:
    """A block's forward(): its own in an evaluation, and where a hook looks into it."""
    watched = any(part._forward_hooks for part in block.modules() if part is not block)
    if watched or not torch.is_grad_enabled():
        return type(block).forward(block, hidden_states, attention_mask, **kwargs)
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
    with torch.autocast("cpu", enabled=False):
        return run_block(block, hidden_states, attention_mask, dtype)
