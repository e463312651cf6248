"""What a larger encoder knows of single words: each entry of the vocabulary given to it as a text of its own.

A rare word is met too seldom in a short pretraining to be learned from its neighbours. An encoder that has read a
thousand times as much knows what it means, and its middle layers say so without a sentence around it (mean of the
entry's own tokens, as in "Probing Pretrained Language Models for Lexical Semantics", EMNLP 2020).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.progress import progress_bar
from mobilebert_ja.model.loading import NOT_LOADED, why_not_loaded
from mobilebert_ja.tokenization.encoder import SPECIAL_TOKENS, UNUSED_TOKENS

_BATCH = 512


def load_encoder(name_or_path: str) -> tuple[Any, Any]:
    """Tokenizer and model of any encoder. Raises `UserError` if there is none, or if it cannot give offsets."""
    from transformers import AutoModel, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name_or_path)
        model = AutoModel.from_pretrained(name_or_path, dtype=torch.float32)
    except NOT_LOADED as error:
        raise UserError(f"No encoder at {name_or_path}: {why_not_loaded(name_or_path, error)}") from None
    if not getattr(tokenizer, "is_fast", False):
        raise UserError(
            f"The tokenizer of {name_or_path} does not tell where its tokens stand (it is no fast tokenizer); take an "
            "encoder that has one, for example intfloat/multilingual-e5-small."
        )
    return tokenizer, model.eval()


@torch.inference_mode()
def encoder_word_vectors(name_or_path: str | Path, vocabulary: list[str], layer: int, prefix: str = "") -> np.ndarray:
    """A vector for each entry of a vocabulary, as an encoder's hidden layer has it.

    Args:
        name_or_path: any encoder with a fast tokenizer, a folder or a Hub name.
        vocabulary: entries; the ## of one that continues a word is left away, special and unused ones are not asked.
        layer: the hidden layer, 0 for the embeddings; the middle ones know most of meaning.
        prefix: what the encoder wants before a text, for example "query: "; its own tokens are not averaged.

    Returns:
        float32 [V, H]; zero for entries that were not asked or of which the encoder has no token.

    Raises:
        UserError: there is no such encoder, it has fewer layers, or its tokenizer is not a fast one.
    """
    tokenizer, model = load_encoder(str(name_or_path))
    layers = int(model.config.num_hidden_layers)
    if not 0 <= layer <= layers:
        raise UserError(f"--encoder_layer must lie between 0 and the encoder's {layers} layers, not {layer}.")
    left_out = {*SPECIAL_TOKENS, *UNUSED_TOKENS}
    texts = [entry.removeprefix("##") for entry in vocabulary]
    asked = [n for n, entry in enumerate(vocabulary) if entry not in left_out and texts[n]]
    asked.sort(key=lambda n: (len(texts[n]), n))  # texts of one length need next to no padding
    vectors = np.zeros((len(vocabulary), int(model.config.hidden_size)), np.float32)
    for first in progress_bar(range(0, len(asked), _BATCH), desc="asking the encoder", unit="batch"):
        numbers = asked[first : first + _BATCH]
        batch = tokenizer(
            [prefix + texts[n] for n in numbers],
            padding=True,
            truncation=True,
            return_tensors="pt",
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
        )
        offsets, special = batch.pop("offset_mapping"), batch.pop("special_tokens_mask")
        states = model(**batch, output_hidden_states=True).hidden_states[layer]
        # A token that holds the prefix's last space and the entry's first character is the entry's.
        own = (offsets[..., 1] > len(prefix)) & (special == 0) & batch["attention_mask"].bool()
        weights = own.unsqueeze(-1).to(states.dtype)
        means = (states * weights).sum(1) / weights.sum(1).clamp(min=1)
        vectors[numbers] = means.numpy()
    return vectors


def joined(counted: np.ndarray, asked: np.ndarray, dimensions: int) -> np.ndarray:
    """Two kinds of vectors as one: each centred and scaled to the same total variance, set side by side, and reduced
    to their principal components.

    Args:
        counted, asked: float32 [V, A] and [V, B]; a row of zeros knows nothing and counts as the mean.
        dimensions: numbers per vector afterwards, at most A + B.

    Returns:
        float32 [V, dimensions]; zero where neither knows the entry.

    Raises `UserError` if there are fewer numbers or entries than dimensions.
    """
    if dimensions > min(counted.shape[1] + asked.shape[1], len(counted)):
        raise UserError(f"--embedding_size {dimensions} is more than both kinds of vectors can fill.")
    parts, known = [], np.zeros(len(counted), bool)
    for vectors in (counted, asked):
        has = vectors.any(axis=1)
        known |= has
        centred = np.zeros(vectors.shape, np.float64)
        centred[has] = vectors[has] - vectors[has].mean(axis=0, dtype=np.float64)
        parts.append(centred / max(np.sqrt((centred[has] ** 2).sum(axis=1).mean()), 1e-12))
    both = np.concatenate(parts, axis=1)
    _, directions = np.linalg.eigh(both[known].T @ both[known])  # ascending
    components = directions[:, ::-1][:, :dimensions]
    components = components * np.sign(components[np.abs(components).argmax(axis=0), np.arange(dimensions)])
    vectors = (both @ components).astype(np.float32)
    vectors[~known] = 0
    return vectors
