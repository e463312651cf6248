"""Masking that follows what is still hard to predict (the idea of arXiv 2510.20475, by whole words).

A batch stays a function of its index alone: it offers twice as many words as will be hidden, and which of them are is
chosen where the model is, by what its own losses have been so far. Those are part of the training module, so that a
checkpoint keeps them, and not of the model that is saved in the end.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mobilebert_ja.pretraining.masking.whole_words import IGNORED, whole_word_mask

_KEPT = 0.9  # of an entry's hardness at each prediction of it: a mean over about its last ten
_EASIEST = 1e-3  # a loss counts as no less, so that even what is known by heart has a chance
_FIXED_POINT = 1 << 20


def candidates(
    input_ids: np.ndarray, index: dict[str, Any], probability: float, replacement: str, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """What `whole_word_mask` gives, all hidden, with twice as many slots [rows, 2 K] (at most as many as tokens).

    Args:
        probability: at most 0.5.

    Returns:
        Its arrays, and "words" [rows, 2 K]: slots of the same number are the tokens of one word.
    """
    length = input_ids.shape[1]
    slots = min(2 * max(1, round(probability * length)), length)
    masked = whole_word_mask(input_ids, index, slots / length, replacement, rng)
    # A word's tokens stand in order beside each other. A token that continues a word and follows one that is hidden in
    # the slot before it, which no special token is, continues that one's word.
    positions, targets = masked["positions"], masked["targets"]
    continues = np.isin(targets, index["continuing_ids"])
    continues[:, 1:] &= positions[:, 1:] == positions[:, :-1] + 1
    continues[:, 0] = False
    return masked | {"words": np.cumsum(~continues, axis=1) - 1}


class HardMasking(nn.Module):
    """How hard each entry of the vocabulary is to predict, and the choice that follows from it.

    Args:
        strength: with 0 every word is as likely; with 1 a word whose loss is twice another's is drawn before that one
            twice as often as after it.
    """

    hardness: Tensor

    def __init__(self, vocab_size: int, strength: float):
        super().__init__()
        self.strength = strength
        # All alike at first, at the loss of a model that knows nothing.
        self.register_buffer("hardness", torch.full((vocab_size,), math.log(vocab_size)))

    @torch.no_grad()
    def choose(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A batch with `candidates` [B, 2 K] -> the same with the chosen words [B, K] hidden and the others shown.

        Words are drawn one after the other, in proportion to their hardness (the mean over their tokens) to the power
        of the strength, until the next one would not fit; if all are alike, K slots are filled with the same words as
        likely as by `whole_word_mask`. Random numbers are torch's.
        """
        positions, targets, words = (batch[name] for name in ("positions", "targets", "words"))
        used = targets != IGNORED
        rows, offered = targets.shape
        slots = (offered + 1) // 2
        places = words + offered * torch.arange(rows, device=words.device).unsqueeze(1)
        sums = _sums(self.hardness[targets.clamp(min=0)] * used, places, rows * offered)
        counts = _sums(used, places, rows * offered)
        hardness = (sums / counts.clamp(min=1)).clamp(min=_EASIEST).float().view(rows, offered)
        # The order of arrival in a race, in which a word's time is exponential with its weight as the rate, is that of
        # weighted draws without replacement.
        times = torch.empty_like(hardness).exponential_() / hardness**self.strength
        arrivals = torch.gather(times, 1, words).masked_fill(~used, math.inf)
        arrivals, order = torch.sort(arrivals, dim=1, stable=True)  # a word's tokens stay beside each other
        first = order[:, :slots]
        whole = arrivals[:, :slots] != arrivals[:, slots : slots + 1]  # the word that the border cuts is left alone
        whole &= arrivals[:, :slots] < math.inf
        chosen = torch.zeros_like(used).scatter(1, first, whole)
        hidden = torch.gather(batch["input_ids"], 1, positions)
        shown = torch.where(used & ~chosen, targets, hidden)
        result = {name: value for name, value in batch.items() if name != "words"}
        return result | {
            "input_ids": batch["input_ids"].scatter(1, positions, shown),
            "positions": torch.gather(positions, 1, first),
            "targets": torch.gather(targets, 1, first).masked_fill(~whole, IGNORED),
        }

    @torch.no_grad()
    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Learn from the predictions [B, K, V] of a micro-batch, those of all processes."""
        losses = functional.cross_entropy(
            logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none"
        )
        used = (targets != IGNORED).flatten()
        # What is ignored has no loss and is not counted, wherever it is put.
        places, size = targets.flatten().clamp(min=0), len(self.hardness)
        both = torch.stack([_sums(losses, places, size), _sums(used, places, size)])
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(both)  # whole numbers: every process gets the same to the bit
        sums, counts = both
        mean = (sums / counts.clamp(min=1)).float()
        self.hardness.lerp_(mean, 1 - _KEPT ** (counts / _FIXED_POINT).float())


def _sums(values: Tensor, places: Tensor, count: int) -> Tensor:
    """Sums [count] of values by their places, in fixed point.

    A GPU adds in any order, which makes no difference to whole numbers, and so none between two runs.
    """
    whole = (values.double() * _FIXED_POINT).round().long()
    return torch.zeros(count, dtype=torch.long, device=values.device).index_add_(0, places.flatten(), whole.flatten())
