"""Which blocks stay when a model is cut: several choices, and what each is worth before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from mobilebert_ja.common.progress import progress_bar
from mobilebert_ja.compression.cutting.recovery import answer_loss, inputs_of
from mobilebert_ja.compression.cutting.shrink import kept_blocks
from mobilebert_ja.finetuning.modelling.rows import IGNORED

Batches = Sequence[dict[str, torch.Tensor]]  # as `recovery.labelled_batches` makes them


@torch.inference_mode()
def costs_of_leaving_out(model: Any, batches: Batches) -> list[float]:
    """For each block the loss of the model that lacks it alone, untrained, in nats.

    The loss is the mean `answer_loss` over texts or tokens, against the whole model; see `finite`. Up to the block
    that is left out both are the same: a batch goes through the whole model once, then from each block's place on.
    """
    layers = model.mobilebert.encoder.layer
    totals, count = torch.zeros(len(layers), dtype=torch.float64), 0
    for batch in progress_bar(batches, desc="leaving out each block", unit="batch", leave=False):
        inputs, counted = inputs_of(batch), batch["labels"] != IGNORED
        whole = model(**inputs, output_hidden_states=True)
        for block, layer in enumerate(layers):
            norm = layer.output.bottleneck.LayerNorm  # it scales and shifts the stream, as in `shrink`
            with _entered_at(model, block + 1, whole.hidden_states[block] * norm.weight + norm.bias):
                logits = model(**inputs).logits
            totals[block] += answer_loss(logits, whole.logits, counted) * counted.sum()
        count += int(counted.sum())
    return [finite(total / max(1, count)) for total in totals]


@contextmanager
def _entered_at(model: Any, block: int, stream: torch.Tensor) -> Iterator[None]:
    """Make the model's own forward pass skip the blocks before `block`, which is given `stream` [rows, tokens, width]
    instead of what they would have made. Masks and head are the model's own."""
    encoder = model.mobilebert.encoder
    layers = encoder.layer
    encoder.layer = nn.ModuleList(layers[block:])
    handle = encoder.register_forward_pre_hook(lambda _module, given: (stream, *given[1:]))
    try:
        yield
    finally:
        handle.remove()
        encoder.layer = layers


def finite(loss: torch.Tensor) -> float:
    """A loss as a number; one that is not finite is the largest there is."""
    largest = torch.finfo(torch.float32).max
    return float(torch.nan_to_num(loss, nan=largest, posinf=largest))


def block_choices(costs: Sequence[float], keep: int) -> dict[str, list[int]]:
    """Ways to keep `keep` of as many blocks as there are costs: name -> their indices, in order."""
    blocks = len(costs)
    first = (keep + 1) // 2
    dearest = sorted(range(blocks), key=lambda block: (-costs[block], block))[:keep]
    return {
        "evenly spread": kept_blocks(blocks, keep),
        "first and last": [*range(first), *range(blocks - (keep - first), blocks)],
        "costliest to leave out": sorted(dearest),
    }
