"""A block of MobileBERT as a CPU trains it, from the parameters of transformers' module."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.mobilebert.modeling_mobilebert import MobileBertLayer, NoNorm

from mobilebert_ja.training.blocks.products import FeedForward, ResidualProduct


def can_run(layer: MobileBertLayer) -> bool:
    """Whether `run_block` knows a block's structure: MobileBERT's own (arXiv 2004.02984, Table 1), which its -TINY and
    the teacher have not."""
    norms: list[Any] = [part.LayerNorm for part in layer.modules() if hasattr(part, "LayerNorm")]
    ups: list[Any] = [part.intermediate for part in layer.modules() if hasattr(part, "intermediate")]
    bottleneck: Any = getattr(layer, "bottleneck", None)
    return (
        bottleneck is not None
        and all(parameter.dtype == torch.float32 for parameter in layer.parameters())
        and bottleneck.key_query_shared_bottleneck
        and not bottleneck.use_bottleneck_attention
        and all(isinstance(norm, NoNorm) for norm in norms)
        and all(isinstance(up.intermediate_act_fn, nn.ReLU) for up in ups)
        and layer.output.bottleneck.dropout.p == 0
    )


def run_block(layer: Any, hidden: Tensor, mask: Tensor | None, dtype: torch.dtype) -> Tensor:
    """What the block itself gives, [B, L, H] in float32, with what is inside the block in `dtype`.

    The stream between blocks stays in float32, as by autocast: what blocks add to it is small, and in bf16 the
    gradient of 24 untrained blocks was 60 % further from float32's than autocast's is.

    Args:
        layer: a `MobileBertLayer` that `can_run`.
        hidden: float32 [B, L, H].
        mask: added to the attention scores; broadcasts to [B, heads, L, L].
    """
    shape, attention = hidden.shape, layer.attention
    stream = hidden.reshape(-1, shape[-1])
    residual, shared, value = _entry(layer.bottleneck, attention.self.value, stream.to(dtype))
    mixed = _attention(attention.self, shared, value, shape[0], mask)
    found = _residual_product(attention.output, mixed, residual)
    for part in [*getattr(layer, "ffn", ()), layer]:
        up, down = part.intermediate.dense, part.output
        found = FeedForward.apply(
            found, up.weight, up.bias, down.dense.weight, down.dense.bias, down.LayerNorm.weight, down.LayerNorm.bias
        )
    return _residual_product(layer.output.bottleneck, found, stream).view(shape)


def _residual_product(part: Any, inputs: Tensor, residual: Tensor) -> Tensor:
    """NoNorm of a product and a residual, from a module that has both."""
    dense, norm = part.dense, part.LayerNorm
    return ResidualProduct.apply(inputs, residual, dense.weight, dense.bias, norm.weight, norm.bias)


def _entry(bottleneck: Any, value: nn.Linear, stream: Tensor) -> list[Tensor]:
    """What reads the stream [N, H], in one product: both bottlenecks, whose NoNorm is multiplied into their matrices,
    and the attention's values. Three of [N, I]."""
    parts = [bottleneck.input, bottleneck.attention]
    weights = [part.dense.weight * part.LayerNorm.weight[:, None] for part in parts]
    biases = [torch.addcmul(part.LayerNorm.bias, part.dense.bias, part.LayerNorm.weight) for part in parts]
    weight, bias = torch.cat([*weights, value.weight]), torch.cat([*biases, value.bias])
    together = functional.linear(stream, weight.to(stream.dtype), bias.to(stream.dtype))
    return list(together.split([*(len(each) for each in weights), len(value.weight)], dim=-1))


def _attention(attention: Any, shared: Tensor, value: Tensor, rows: int, mask: Tensor | None) -> Tensor:
    """Attention of all heads, [N, I]; its queries and keys, which read the same, come from one product."""
    heads, size = attention.num_attention_heads, attention.attention_head_size
    weight = torch.cat([attention.query.weight, attention.key.weight]).to(shared.dtype)
    bias = torch.cat([attention.query.bias, attention.key.bias]).to(shared.dtype)
    both = functional.linear(shared, weight, bias).view(rows, -1, 2, heads, size)
    length = both.shape[1]
    query, key = both.permute(2, 0, 3, 1, 4).reshape(2, rows * heads, length, size).unbind()
    value = value.reshape(rows, length, heads, size).transpose(1, 2).reshape(rows * heads, length, size)
    if mask is None:
        added, beta = query.new_empty(1, 1, 1), 0
    else:
        # The least float32 would be an infinity in bf16, and a row of nothing else no number.
        mask = mask.clamp(min=torch.finfo(query.dtype).min).to(query.dtype)
        added, beta = mask.expand(rows, heads, -1, length).reshape(rows * heads, -1, length), 1
    scores = torch.baddbmm(added, query, key.transpose(1, 2), beta=beta, alpha=attention.scaling)
    shares = functional.dropout(scores.softmax(-1), attention.dropout.p, attention.training)
    return torch.bmm(shares, value).view(rows, heads, length, size).transpose(1, 2).reshape(rows * length, -1)
