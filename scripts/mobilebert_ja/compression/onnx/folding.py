"""MobileBERT as fewer and simpler operations that compute the same: what an exporter writes into its graph.

A NoNorm is an elementwise scale and shift, so it is exact to
- fold its scale and shift into the product before it, where nothing else is added in between (both bottlenecks);
- compose the shared bottleneck with the query and key products, which makes of five products of the block's input
  (bottleneck, shared bottleneck, query, key, value) a single one;
- carry its shift on as a constant, which ends in the bias of the next product;
- leave its scale out of a residual stream and multiply it into the products that read the stream later.

The last is bounded. What is left out differs from channel to channel, and activations are rounded to int8 with one
scale for all channels: a channel that is left `n` times as small as another is rounded `n` times as coarsely. Where
the scales left out would differ by more than SPREAD, they are applied instead, as an elementwise factor on the stream.
(Leaving out all of them, whatever they are, tripled the error of rounding on a MobileBERT of random weights.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilebert_ja.common.errors import UserError

Array = npt.NDArray[Any]

SPREAD = 1.5  # largest over smallest of the scales left out of a stream: at most 0.6 of the 8 bits of a channel

_STRUCTURE = {
    "normalization_type": "no_norm",
    "hidden_act": "relu",
    "trigram_input": True,
    "use_bottleneck": True,
    "key_query_shared_bottleneck": True,
    "use_bottleneck_attention": False,
}


@dataclass(frozen=True)
class Product:
    """x [..., in] -> x @ weight + bias; weight [in, out], bias [out] or none, float32."""

    weight: Array
    bias: Array | None = None


@dataclass(frozen=True)
class FeedForward:
    """x -> x * factor + down(relu(up(x))), of width intra_bottleneck_size; without a factor, x is added as it is."""

    up: Product
    down: Product
    factor: Array | None


@dataclass(frozen=True)
class FoldedBlock:
    """h [..., hidden] -> h * factor + leave(feed forwards(residual + attention_output(attention(q, k, v)))).

    `enter` gives residual, query, key and value, in this order, side by side, each of width intra_bottleneck_size.
    """

    enter: Product
    attention_output: Product
    feed_forwards: list[FeedForward]
    leave: Product
    factor: Array | None


@dataclass(frozen=True)
class FoldedMobileBert:
    """A MobileBERT with a head, for texts of one segment (token_type_ids all 0).

    Attributes:
        words: embedding table [vocabulary, embedding_size].
        trigrams: from the embeddings of the next, this and the previous token, side by side, to the hidden width.
        positions: [positions, hidden], to be added to it.
        pooler: before the head of a sequence classifier with `classifier_activation`; followed by tanh.
        head: from the last block's output (or the pooler's) to the logits; of a model that fills masks the first
            product of its head (its other parts are no products of the stream).
    """

    words: Array
    trigrams: Product
    positions: Array
    blocks: list[FoldedBlock]
    pooler: Product | None
    head: Product
    num_heads: int


def _array(tensor: Any) -> Array:
    return tensor.detach().double().cpu().numpy()


def _linear(module: Any) -> tuple[Array, Array]:
    """Weight as [in, out] and bias of a torch Linear, in float64: composing is done once and shall not round."""
    weight = _array(module.weight).T
    return weight, _array(module.bias) if module.bias is not None else np.zeros(weight.shape[1])


def _norm(module: Any) -> tuple[Array, Array]:
    return _array(module.weight), _array(module.bias)


def _product(weight: Array, bias: Array | None = None) -> Product:
    return Product(
        np.ascontiguousarray(weight, np.float32), None if bias is None else np.ascontiguousarray(bias, np.float32)
    )


def _bottleneck(module: Any) -> tuple[Array, Array]:
    (weight, bias), (scale, shift) = _linear(module.dense), _norm(module.LayerNorm)
    return weight * scale, bias * scale + shift


@dataclass(frozen=True)
class _Stream:
    """How a residual stream of the graph differs from the model's: model's = graph's * scale + shift."""

    scale: Array
    shift: Array

    @classmethod
    def same(cls, width: int) -> _Stream:
        return cls(np.ones(width), np.zeros(width))

    def read_by(self, weight: Array, bias: Array) -> Product:
        """A product of the model's stream as one of the graph's."""
        return _product(self.scale[:, None] * weight, self.shift @ weight + bias)

    def join(
        self, weight: Array, bias: Array, norm: tuple[Array, Array], spread: float
    ) -> tuple[Product, Array | None, _Stream]:
        """stream -> NoNorm(product + stream): the product for the graph, the factor for its stream, the new stream."""
        scale, shift = norm
        shift = (bias + self.shift) * scale + shift
        total = np.abs(self.scale * scale)
        if total.min() > 0 and total.max() <= spread * total.min():
            return _product(weight / self.scale), None, _Stream(self.scale * scale, shift)
        factor = np.ascontiguousarray(self.scale * scale, np.float32)
        return _product(weight * scale), factor, _Stream(np.ones_like(scale), shift)


def _enter(layer: Any, stream: _Stream) -> Product:
    """Residual, query, key and value as one product of the block's input."""
    attention = layer.attention
    residual_weight, residual_bias = _bottleneck(layer.bottleneck.input)
    shared_weight, shared_bias = _bottleneck(layer.bottleneck.attention)
    # The norm behind the attention scales the residual too, and nothing else uses it: that scale and shift go in here.
    scale, shift = _norm(attention.output.LayerNorm)
    _, output_bias = _linear(attention.output.dense)
    parts = [(residual_weight * scale, (residual_bias + output_bias) * scale + shift)]
    for module in (attention.self.query, attention.self.key):
        weight, bias = _linear(module)
        parts.append((shared_weight @ weight, shared_bias @ weight + bias))
    parts.append(_linear(attention.self.value))
    return stream.read_by(
        np.concatenate([weight for weight, _ in parts], 1), np.concatenate([bias for _, bias in parts])
    )


def _block(layer: Any, stream: _Stream, spread: float) -> tuple[FoldedBlock, _Stream]:
    """One block, and how the stream behind it differs from the model's. `stream`: likewise before it."""
    weight, _ = _linear(layer.attention.output.dense)
    scale, _ = _norm(layer.attention.output.LayerNorm)
    inner = _Stream.same(weight.shape[1])
    feed_forwards = []
    pairs = [(each.intermediate, each.output) for each in getattr(layer, "ffn", [])]
    for intermediate, output in [*pairs, (layer.intermediate, layer.output)]:
        up = inner.read_by(*_linear(intermediate.dense))
        down, factor, inner = inner.join(*_linear(output.dense), _norm(output.LayerNorm), spread)
        feed_forwards.append(FeedForward(up, down, factor))
    bottleneck = layer.output.bottleneck
    leave_weight, leave_bias = _linear(bottleneck.dense)
    leave_bias = leave_bias + inner.shift @ leave_weight
    leave, factor, behind = stream.join(
        inner.scale[:, None] * leave_weight, leave_bias, _norm(bottleneck.LayerNorm), spread
    )
    return FoldedBlock(_enter(layer, stream), _product(weight * scale), feed_forwards, leave, factor), behind


def fold(model: Any, spread: float = SPREAD) -> FoldedMobileBert:
    """The parts of a `MobileBertFor{SequenceClassification,TokenClassification,MaskedLM}`, folded; it is not changed.

    Args:
        spread: how much the scales left out of a stream may differ from channel to channel; 1 leaves none out.

    Raises `UserError` if its structure is not that of the MobileBERT of the paper (NoNorm, relu, trigram input, shared
    key and query bottleneck): then the products cannot be folded.
    """
    config, bare = model.config, model.mobilebert
    for name, wanted in _STRUCTURE.items():
        if getattr(config, name) != wanted:
            raise UserError(f"A MobileBERT with {name} {getattr(config, name)!r} cannot be folded, only {wanted!r}.")
    embeddings = bare.embeddings
    scale, shift = _norm(embeddings.LayerNorm)
    trigrams, bias = _linear(embeddings.embedding_transformation)
    segment = _array(embeddings.token_type_embeddings.weight)[0]
    positions = (_array(embeddings.position_embeddings.weight) + segment + bias) * scale + shift
    blocks, stream = [], _Stream.same(trigrams.shape[1])
    for layer in bare.encoder.layer:
        block, stream = _block(layer, stream, spread)
        blocks.append(block)
    fills_masks = hasattr(model, "cls")
    head, pooler = _linear(model.cls.predictions.transform.dense if fills_masks else model.classifier), None
    if bare.pooler is not None and config.classifier_activation and not fills_masks:
        pooler = stream.read_by(*_linear(bare.pooler.dense))
    return FoldedMobileBert(
        words=_array(embeddings.word_embeddings.weight).astype(np.float32),
        trigrams=_product(trigrams * scale),
        positions=positions.astype(np.float32),
        blocks=blocks,
        pooler=pooler,
        head=_product(*head) if pooler else stream.read_by(*head),
        num_heads=config.num_attention_heads,
    )
