"""MobileBERT's structure as presets (arXiv 2004.02984, Table 1), and an initialisation that learns from scratch."""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import MobileBertConfig, MobileBertForPreTraining

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.paths import WORD_EMBEDDINGS_NAME as WORD_EMBEDDINGS_NAME

_SHARED = {
    "hidden_size": 512,
    "num_hidden_layers": 24,
    "num_attention_heads": 4,
    "embedding_size": 128,
    "trigram_input": True,
    "use_bottleneck": True,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "attention_probs_dropout_prob": 0.1,
    "pad_token_id": 0,
}
PRESETS: dict[str, dict[str, Any]] = {
    "mobilebert": _SHARED
    | {
        "intra_bottleneck_size": 128,
        "intermediate_size": 512,
        "num_feedforward_networks": 4,
        "key_query_shared_bottleneck": True,
        "use_bottleneck_attention": False,
        "hidden_act": "relu",
        "normalization_type": "no_norm",
        "hidden_dropout_prob": 0.0,
        "classifier_activation": False,  # transformers' default is True, Google's files say False
    },
    "mobilebert-tiny": _SHARED
    | {
        "intra_bottleneck_size": 128,
        "intermediate_size": 512,
        "num_feedforward_networks": 2,
        "key_query_shared_bottleneck": False,
        "use_bottleneck_attention": True,
        "hidden_act": "relu",
        "normalization_type": "no_norm",
        "hidden_dropout_prob": 0.0,
        "classifier_activation": False,
    },
    "ib-bert-large": _SHARED
    | {
        "intra_bottleneck_size": 1024,
        "intermediate_size": 4096,
        "num_feedforward_networks": 1,
        "key_query_shared_bottleneck": False,
        "use_bottleneck_attention": False,
        "hidden_act": "gelu_new",  # Google's gelu is the tanh approximation
        "normalization_type": "layer_norm",
        "hidden_dropout_prob": 0.1,
        "classifier_activation": True,
    },
}


def mobilebert_config(vocab_size: int, preset: str = "mobilebert", **overrides: Any) -> MobileBertConfig:
    """The configuration of a preset; an override of None leaves the preset's value.

    Raises `UserError` for an unknown preset or sizes that do not go together.
    """
    if preset not in PRESETS:
        raise UserError(f"--preset must be one of {', '.join(PRESETS)}, not '{preset}'.")
    values = PRESETS[preset] | {key: value for key, value in overrides.items() if value is not None}
    if values["intra_bottleneck_size"] % values["num_attention_heads"]:
        raise UserError(
            f"intra_bottleneck_size {values['intra_bottleneck_size']} is no multiple of "
            f"num_attention_heads {values['num_attention_heads']}."
        )
    if values["embedding_size"] >= values["hidden_size"]:
        raise UserError("embedding_size must be smaller than hidden_size: the MLM head fills up the difference.")
    return MobileBertConfig(vocab_size=vocab_size, **values)


def initialise_student(model: nn.Module, embedding_gain: float, depth_scaled_outputs: bool = False) -> None:
    """Scale the embedding's NoNorm, in place, so that the stream through the blocks starts near unit size.

    transformers initialises every weight with a standard deviation of 0.02. LayerNorm would bring the sum of the
    embeddings to unit scale, NoNorm does not: the stream stays at 0.03, attention receives next to no gradient and
    the loss becomes NaN at useful rates. A gain of about 33 on this norm cures it. With LayerNorm, nothing is done.

    Args:
        depth_scaled_outputs: also divide the matrix by which each block adds to the stream by the root of their
            number, so that what they add together has the size of one.
    """
    from transformers.models.mobilebert.modeling_mobilebert import NoNorm

    norm = model.get_submodule("mobilebert.embeddings.LayerNorm")
    if isinstance(norm, NoNorm):
        with torch.no_grad():
            norm.weight.mul_(embedding_gain)
    if depth_scaled_outputs:
        blocks: Any = model.get_submodule("mobilebert.encoder.layer")
        with torch.no_grad():
            for block in blocks:
                block.output.bottleneck.dense.weight.div_(len(blocks) ** 0.5)


def set_word_embeddings(model: nn.Module, vectors: np.ndarray, spread: float) -> None:
    """Start from word vectors [V, embedding_size], in place. The MLM head shares them.

    A token whose vector is zero (special ones, those never seen) keeps its random one.

    Args:
        spread: root mean square of the numbers afterwards. With transformers' own 0.02 the embeddings of positions
            drown those of words, which pass through a matrix of small random numbers first.

    Raises `UserError` if the sizes differ.
    """
    weight: Any = model.get_submodule("mobilebert.embeddings.word_embeddings").weight
    if vectors.shape != tuple(weight.shape):
        raise UserError(
            f"The word vectors are {' x '.join(map(str, vectors.shape))}, the model's embeddings "
            f"{' x '.join(map(str, weight.shape))}; embed_words.py makes them from the same shards."
        )
    given = torch.from_numpy(np.asarray(vectors, np.float32))
    seen = given.abs().sum(dim=1) > 0
    with torch.no_grad():
        weight[seen] = given[seen] * (spread / given[seen].square().mean().sqrt())


_BLOCK = re.compile(r"mobilebert\.encoder\.layer\.(\d+)\.(.+)")


def _share_of_block(name: str, weight: Tensor, copies: int) -> Tensor:
    """A weight of one of `copies` blocks that together do what one block did: each adds its part of the residual."""
    if name.startswith("output.bottleneck.dense.") or name == "output.bottleneck.LayerNorm.bias":
        return weight / copies
    if name == "output.bottleneck.LayerNorm.weight":
        return 1 + (weight - 1) / copies
    return weight


def grow(model: MobileBertForPreTraining, num_hidden_layers: int) -> MobileBertForPreTraining:
    """A deeper model that starts near the function of a shallow one, which is cheaper to train first.

    Every block becomes several in a row, each of which adds its share of what the block added to the stream between
    blocks. (Read as steps of a differential equation, the steps become shorter.) It is exact to first order for
    NoNorm; with LayerNorm the shares do not add up and the model has to be trained on anyway.

    Raises `UserError` unless the new depth is a multiple of the old one.
    """
    old = model.config.num_hidden_layers
    copies, remainder = divmod(num_hidden_layers, old)
    if remainder or not copies:
        raise UserError(f"A model of {old} blocks grows to a multiple of {old}, not to {num_hidden_layers} blocks.")
    config = copy.deepcopy(model.config)
    config.num_hidden_layers = num_hidden_layers
    weights: dict[str, Tensor] = {}
    for name, weight in model.state_dict().items():
        if found := _BLOCK.fullmatch(name):
            for number in range(int(found[1]) * copies, (int(found[1]) + 1) * copies):
                weights[f"mobilebert.encoder.layer.{number}.{found[2]}"] = _share_of_block(found[2], weight, copies)
        else:
            weights[name] = weight
    grown = MobileBertForPreTraining(config)
    grown.load_state_dict(weights)
    return grown


def parameter_counts(model: nn.Module) -> dict[str, int]:
    """Parameters of the whole model, and of its backbone: embeddings and encoder, without pooler and heads."""
    backbone = model.get_submodule("mobilebert")
    pooler = getattr(backbone, "pooler", None)
    in_pooler = sum(each.numel() for each in pooler.parameters()) if pooler is not None else 0
    return {
        "parameters": sum(each.numel() for each in model.parameters()),
        "backbone_parameters": sum(each.numel() for each in backbone.parameters()) - in_pooler,
    }
