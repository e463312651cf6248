"""A fine-tuned MobileBERT with fewer blocks and narrower feed-forwards, its weights taken over."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable
from typing import Any

import torch
from torch import nn

from mobilebert_ja.common.errors import UserError

WIDTH_STEP = 16  # int8 products work on this many columns at a time
NeuronWeights = dict[nn.Linear, torch.Tensor]  # see `neuron_weights`


def kept_blocks(blocks: int, keep: int) -> list[int]:
    """Indices of the blocks that are kept: the first, the last, and between them evenly spread ones.

    Raises `UserError` unless 2 <= keep <= blocks.
    """
    if not 2 <= keep <= blocks:
        raise UserError(f"--keep_layers must be from 2 to the model's {blocks}, not {keep}.")
    return [round(index * (blocks - 1) / (keep - 1)) for index in range(keep)]


def kept_width(width: int, share: float) -> int:
    """`share` of a width, to the nearest multiple of WIDTH_STEP. Raises `UserError` unless 0 < share <= 1."""
    if not 0 < share <= 1:
        raise UserError(f"--keep_ffn must be above 0 and at most 1, not {share}.")
    return min(width, max(WIDTH_STEP, round(width * share / WIDTH_STEP) * WIDTH_STEP))


def _feed_forwards(layer: Any) -> list[tuple[Any, Any]]:
    """(module up, module down) of each feed-forward of a block."""
    pairs = [(each.intermediate.dense, each.output.dense) for each in layer.ffn]
    return [*pairs, (layer.intermediate.dense, layer.output.dense)]


@torch.inference_mode()
def neuron_weights(model: Any, batches: Iterable[dict[str, torch.Tensor]]) -> NeuronWeights:
    """How much each neuron of each feed-forward adds to its output: mean activation times the norm of its weights.

    Args:
        batches: input_ids, attention_mask, token_type_ids; padding does not count.

    Returns:
        module up -> [width], for every feed-forward of the model.
    """
    pairs = [pair for layer in model.mobilebert.encoder.layer for pair in _feed_forwards(layer)]
    sums = {up: torch.zeros(up.out_features) for up, _ in pairs}
    mask = torch.ones(1, 1)

    def add(module: nn.Linear, _: Any, output: torch.Tensor) -> None:
        sums[module] += (output.relu() * mask.unsqueeze(-1)).sum((0, 1))

    handles = [up.register_forward_hook(add) for up, _ in pairs]
    try:
        for batch in batches:
            mask = batch["attention_mask"].float()
            model(**batch)
    finally:
        for handle in handles:
            handle.remove()
    return {up: sums[up] * down.weight.norm(dim=0) for up, down in pairs}


def _narrow(up: nn.Linear, down: nn.Linear, keep: torch.Tensor) -> None:
    for module in (up, down):
        module.weight = nn.Parameter((module.weight[keep] if module is up else module.weight[:, keep]).clone())
    up.bias = nn.Parameter(up.bias[keep].clone())
    up.out_features = down.in_features = len(keep)


def require_cuttable(model: Any) -> None:
    """Raise `UserError` for another structure than MobileBERT's, whose blocks cannot be left out."""
    config = model.config
    if not hasattr(model, "mobilebert") or config.normalization_type != "no_norm" or not config.use_bottleneck:
        raise UserError(f"A {type(model).__name__} cannot be cut, only a MobileBERT with NoNorm and bottlenecks.")


def shrink(model: Any, kept: Collection[int], keep_ffn: float, weights: NeuronWeights) -> Any:
    """A smaller copy of a MobileBERT classifier.

    Args:
        kept: indices of the blocks that stay, in their order.
        keep_ffn: share of each feed-forward's width that stays: its heaviest neurons by `weights`.
        weights: see `neuron_weights`.

    A block that is left out still scales and shifts what it would have added to: its last norm goes into the norm
    before it. Raises `UserError` for another structure than MobileBERT's.
    """
    require_cuttable(model)
    width = kept_width(model.config.intermediate_size, keep_ffn)
    heaviest = [
        [weights[up].topk(width).indices.sort().values for up, _ in _feed_forwards(layer)]
        for layer in model.mobilebert.encoder.layer
    ]
    small = copy.deepcopy(model)
    bare = small.mobilebert
    blocks: list[Any] = []
    norm = bare.embeddings.LayerNorm
    with torch.no_grad():
        for number, layer in enumerate(bare.encoder.layer):
            own = layer.output.bottleneck.LayerNorm
            if number not in kept:
                norm.weight *= own.weight
                norm.bias.copy_(norm.bias * own.weight + own.bias)
                continue
            for (up, down), keep in zip(_feed_forwards(layer), heaviest[number], strict=True):
                _narrow(up, down, keep)
            blocks.append(layer)
            norm = own
    bare.encoder.layer = nn.ModuleList(blocks)
    small.config.num_hidden_layers, small.config.intermediate_size = len(blocks), width
    return small
