"""Whole-word masking, made anew for every batch. numpy only."""

from __future__ import annotations

from typing import Any

import numpy as np

IGNORED = -100  # target of an unused slot, the index that cross_entropy skips
EVALUATION_PROBABILITY = 0.15  # held-out text is always masked alike, so that runs can be compared


def whole_word_mask(
    input_ids: np.ndarray, index: dict[str, Any], probability: float, replacement: str, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Choose whole words until `probability` of the positions is used up, and hide them.

    Words are drawn in random order until the next one would exceed K = round(probability x length) tokens, so that the
    number of slots is the same for every row and the MLM head runs on a dense [rows, K] block.

    Args:
        input_ids: int64 [rows, length], special tokens included.
        index: the shards' index.json: "special_ids", "continuing_ids" (tokens starting with ##) and "vocab_size".
        replacement: "bert" (80 % [MASK], 10 % a random token, 10 % kept) or "mask" (always [MASK]).

    Returns:
        "input_ids" [rows, length] with the words hidden, "positions" [rows, K] of the hidden tokens, and "targets"
        [rows, K], their ids before, `IGNORED` in slots that no whole word fitted into.
    """
    rows, length = input_ids.shape
    slots = max(1, round(probability * length))
    special = np.isin(input_ids, list(index["special_ids"].values()))
    continues = np.isin(input_ids, index["continuing_ids"])
    # A window may start in the middle of a word; the rest of that word then counts as a word.
    continues[:, 1:] &= ~special[:, :-1]
    word = np.cumsum(~continues, axis=1) - 1
    word = np.maximum(word, 0)
    keys = np.take_along_axis(rng.random((rows, length)), word, axis=1)
    keys[special] = 2.0
    order = np.argsort(keys, axis=1, kind="stable")
    ordered = np.take_along_axis(keys, order, axis=1)
    positions = order[:, :slots]
    whole = np.ones((rows, slots), dtype=bool)
    if slots < length:
        whole = ordered[:, :slots] != ordered[:, slots : slots + 1]  # the word that the border cuts is left alone
    whole &= ordered[:, :slots] < 2.0
    targets = np.where(whole, np.take_along_axis(input_ids, positions, axis=1), IGNORED)
    hidden = np.full((rows, slots), index["special_ids"]["[MASK]"], dtype=input_ids.dtype)
    if replacement == "bert":
        choice = rng.random((rows, slots))
        first_ordinary = max(index["special_ids"].values()) + 1
        random_ids = rng.integers(first_ordinary, index["vocab_size"], (rows, slots))
        hidden = np.where(choice < 0.8, hidden, np.where(choice < 0.9, random_ids, targets))
    masked = input_ids.copy()
    kept = np.take_along_axis(masked, positions, axis=1)
    np.put_along_axis(masked, positions, np.where(whole, hidden, kept), axis=1)
    return {"input_ids": masked, "positions": positions, "targets": targets}
