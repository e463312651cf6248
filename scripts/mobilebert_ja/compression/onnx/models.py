"""MobileBERT and BERT classifiers, and MobileBERT filling masks, as ONNX graphs.

Both get the same care: queries, keys and values in one product, attention as one node, and, if a sequence classifier
looks at the first token alone, the last block computed for that token alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.compression.onnx.folding import FoldedBlock, FoldedMobileBert, Product, fold
from mobilebert_ja.compression.onnx.graph import CONTRIB, Graph

_ALL = 2**31 - 1


def to_onnx(
    model: Any,
    products: str = "float32",
    per_channel: bool | None = None,
    reduce_range: bool = False,
    graph: Graph | None = None,
    first_only: bool = True,
) -> onnx.ModelProto:
    """A {MobileBert,Bert}For{Sequence,Token}Classification or MobileBertForMaskedLM of transformers as an ONNX model.

    It is for texts of one segment (token_type_ids all 0).

    Args:
        products: "float32", the same to rounding; or "int8": weights and embeddings in 8 bits, activations rounded to
            8 bits while it runs, the head in float32.
        per_channel, reduce_range: see `Graph`.
        graph: written to instead of a `Graph` of these settings.
        first_only: of a sequence classifier's last block only the first token is computed, which alone it looks at.

    Raises `UserError` for any other kind of model.
    """
    kinds = {"MobileBertForSequenceClassification": False, "MobileBertForTokenClassification": True}
    kinds |= {"BertForSequenceClassification": False, "BertForTokenClassification": True}
    kinds |= {"MobileBertForMaskedLM": True}
    name = type(model).__name__
    if name not in kinds:
        raise UserError(f"A {name} cannot be exported, only {', '.join(kinds)}.")
    graph = graph or Graph(products, per_channel, reduce_range)
    per_token = kinds[name]
    write = write_mobilebert if name.startswith("Mobile") else write_bert
    outputs = model.config.vocab_size if name.endswith("MaskedLM") else model.config.num_labels
    return graph.model(write(graph, model, per_token, first_only), per_token, outputs)


def _mask(graph: Graph) -> str:
    return graph.node("Cast", "attention_mask", to=TensorProto.INT32)


def _positions(graph: Graph, table: np.ndarray) -> str:
    """The first rows of a position table, as many as there are tokens: [tokens, hidden]."""
    tokens = graph.node("Shape", "input_ids", start=1, end=2)
    zero = graph.constant([0], np.int64)
    return graph.node("Slice", graph.constant(table), zero, tokens, zero)


def _first_token(graph: Graph, hidden: str) -> str:
    return graph.slice(hidden, 0, 1, 1)


def _without_tokens(graph: Graph, hidden: str) -> str:
    """[rows, 1, width] -> [rows, width]"""
    return graph.node("Squeeze", hidden, graph.constant([1], np.int64))


def _halves(product: Product, width: int) -> tuple[Product, Product]:
    """A product cut in two by its outputs."""
    assert product.bias is not None
    return (
        Product(product.weight[:, :width], product.bias[:width]),
        Product(product.weight[:, width:], product.bias[width:]),
    )


def write_mobilebert(graph: Graph, model: Any, per_token: bool, first_only: bool = True) -> str:
    """Add a MobileBERT to the graph; returns the logits' name. `first_only`: see `to_onnx`."""
    folded = fold(model)
    mask = _mask(graph)
    hidden = graph.node(
        "Add", graph.product(_trigrams(graph, folded), folded.trigrams), _positions(graph, folded.positions)
    )
    for number, block in enumerate(folded.blocks):
        last = number == len(folded.blocks) - 1
        hidden = _write_block(graph, block, hidden, mask, folded.num_heads, first_only and last and not per_token)
    if not per_token:
        hidden = _without_tokens(graph, hidden if first_only else _first_token(graph, hidden))
    if folded.pooler is not None:
        hidden = graph.node("Tanh", graph.float_product(hidden, folded.pooler))
    logits = graph.float_product(hidden, folded.head)
    return _words_from(graph, model.cls.predictions, logits) if hasattr(model, "cls") else logits


def _words_from(graph: Graph, head: Any, transformed: str) -> str:
    """What follows the first product of the head that fills masks: its norm, and a logit for each word."""
    normed = _layer_norm(graph, head.transform.LayerNorm, graph.node("Relu", transformed))
    words = np.concatenate([head.decoder.weight.detach().numpy().T, head.dense.weight.detach().numpy()])
    return graph.product(normed, Product(words, head.decoder.bias.detach().numpy()))


def _trigrams(graph: Graph, folded: FoldedMobileBert) -> str:
    """Embeddings of the next, this and the previous token side by side; zeros beyond the text's ends."""
    words = graph.rows_of(folded.words, "input_ids")
    padded = graph.node("Pad", words, graph.constant([0, 1, 0, 0, 1, 0], np.int64))
    following = graph.slice(padded, 2, _ALL, 1)
    previous = graph.slice(padded, 0, -2, 1)
    return graph.node("Concat", following, words, previous, axis=-1)


def _write_block(graph: Graph, block: FoldedBlock, hidden: str, mask: str, num_heads: int, first_only: bool) -> str:
    """One block; with `first_only`, its result for the first token alone: [rows, 1, hidden]."""
    width = block.attention_output.weight.shape[0]
    if first_only:
        for_itself, for_others = _halves(block.enter, 2 * width)
        key, value = graph.split(graph.product(hidden, for_others), [width] * 2)
        hidden = _first_token(graph, hidden)
        residual, query = graph.split(graph.product(hidden, for_itself), [width] * 2)
    else:
        residual, query, key, value = graph.split(graph.product(hidden, block.enter), [width] * 4)
    context = graph.attention(query, key, value, mask, num_heads)
    inner = graph.node("Add", residual, graph.product(context, block.attention_output))
    for each in block.feed_forwards:
        raised = graph.node("Relu", graph.product(inner, each.up))
        inner = _joined(graph, inner, each.factor, graph.product(raised, each.down))
    return _joined(graph, hidden, block.factor, graph.product(inner, block.leave))


def _joined(graph: Graph, stream: str, factor: np.ndarray | None, product: str) -> str:
    """stream * factor + product"""
    if factor is not None:
        stream = graph.node("Mul", stream, graph.constant(factor))
    return graph.node("Add", stream, product)


def _layer_norm(graph: Graph, module: Any, hidden: str) -> str:
    scale, shift = (graph.constant(each.detach().numpy()) for each in (module.weight, module.bias))
    return graph.node("LayerNormalization", hidden, scale, shift, axis=-1, epsilon=module.eps)


def _add_and_norm(graph: Graph, module: Any, hidden: str, residual: str) -> str:
    scale, shift = (graph.constant(each.detach().numpy()) for each in (module.weight, module.bias))
    return graph.node("SkipLayerNormalization", hidden, residual, scale, shift, domain=CONTRIB, epsilon=module.eps)


def _plain(*modules: Any) -> Product:
    """torch Linears over the same input as one product, outputs side by side."""
    weights = [module.weight.detach().numpy().T for module in modules]
    return Product(np.concatenate(weights, 1), np.concatenate([module.bias.detach().numpy() for module in modules]))


def write_bert(graph: Graph, model: Any, per_token: bool, first_only: bool = True) -> str:
    """Add a BERT to the graph; returns the logits' name. `first_only`: see `to_onnx`."""
    config = model.config
    if config.hidden_act != "gelu" or getattr(config, "is_decoder", False):
        raise UserError(f"A BERT with hidden_act {config.hidden_act!r} cannot be exported, only 'gelu'.")
    mask = _mask(graph)
    embeddings = model.bert.embeddings
    segment = embeddings.token_type_embeddings.weight[0]
    positions = (embeddings.position_embeddings.weight + segment).detach().numpy()
    words = graph.rows_of(embeddings.word_embeddings.weight.detach().numpy(), "input_ids")
    hidden = _layer_norm(graph, embeddings.LayerNorm, graph.node("Add", words, _positions(graph, positions)))
    for number, layer in enumerate(model.bert.encoder.layer):
        own, output = layer.attention.self, layer.attention.output
        width = config.hidden_size
        if first_only and not per_token and number == len(model.bert.encoder.layer) - 1:
            key, value = graph.split(graph.product(hidden, _plain(own.key, own.value)), [width] * 2)
            hidden = _first_token(graph, hidden)
            query = graph.product(hidden, _plain(own.query))
        else:
            product = graph.product(hidden, _plain(own.query, own.key, own.value))
            query, key, value = graph.split(product, [width] * 3)
        context = graph.attention(query, key, value, mask, config.num_attention_heads)
        hidden = _add_and_norm(graph, output.LayerNorm, graph.product(context, _plain(output.dense)), hidden)
        raised = graph.node("Gelu", graph.product(hidden, _plain(layer.intermediate.dense)), domain=CONTRIB)
        lowered = graph.product(raised, _plain(layer.output.dense))
        hidden = _add_and_norm(graph, layer.output.LayerNorm, lowered, hidden)
    if not per_token:
        first = hidden if first_only else _first_token(graph, hidden)
        pooled = graph.float_product(_without_tokens(graph, first), _plain(model.bert.pooler.dense))
        hidden = graph.node("Tanh", pooled)
    return graph.float_product(hidden, _plain(model.classifier))
