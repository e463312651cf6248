"""A linear-chain CRF over the tags of tokens: the transitions are learned with the model, and kept beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from accelerate.utils import extract_model_from_parallel
from torch import nn
from torch.nn import functional

from mobilebert_ja.finetuning.modelling.rows import IGNORED
from mobilebert_ja.inference.decoding import Decoder, allowed_transitions

_FORBIDDEN = -1e4  # not -inf, of which logsumexp has no gradient


class LinearChainCRF(nn.Module):
    """p(tags | text) ~ exp(start + sum of logits + sum of transitions + end); forbidden transitions have no share.

    Args:
        labels: tags in the order of the logits.
        gain: parameters are kept divided by it. AdamW moves every parameter by about the learning rate per step,
            whatever its gradient, so transitions move `gain` times as fast as the model's weights.
    """

    begins: torch.Tensor
    follows: torch.Tensor

    def __init__(self, labels: Sequence[str], gain: float):
        super().__init__()
        self.labels, self.gain = list(labels), gain
        begins, follows = allowed_transitions(labels)
        self.register_buffer("begins", torch.from_numpy(begins), persistent=False)
        self.register_buffer("follows", torch.from_numpy(follows), persistent=False)
        self.start = nn.Parameter(torch.zeros(len(labels)))
        self.transitions = nn.Parameter(torch.zeros(len(labels), len(labels)))
        self.end = nn.Parameter(torch.zeros(len(labels)))

    def tables(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Start [labels], transitions [from, to] and end [labels], as they are added to the logits."""
        start = (self.start * self.gain).masked_fill(~self.begins, _FORBIDDEN)
        transitions = (self.transitions * self.gain).masked_fill(~self.follows, _FORBIDDEN)
        return start, transitions, self.end * self.gain

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Mean over the tokens of -log p(tags); 0 if there are none.

        Args:
            logits: [rows, tokens, labels], float32.
            labels: [rows, tokens]; the tags of a row stand together, all around them is IGNORED.
        """
        counted = labels != IGNORED
        if not counted.any():
            return logits.sum() * 0.0
        first = int(counted.any(0).int().argmax())  # special tokens before go, so that tags begin at index 0
        logits, labels, counted = logits[:, first:], labels[:, first:], counted[:, first:]
        some = counted[:, 0]
        logits, labels, counted = logits[some], labels[some].clamp(min=0), counted[some]
        start, transitions, end = self.tables()
        own = logits.gather(2, labels[..., None])[..., 0]
        steps = transitions[labels[:, :-1], labels[:, 1:]]
        last = labels.gather(1, counted.sum(1, keepdim=True) - 1)[:, 0]
        wanted = start[labels[:, 0]] + (own * counted).sum(1) + (steps * counted[:, 1:]).sum(1) + end[last]
        return (_log_sum(logits, counted, (start, transitions, end)) - wanted).sum() / counted.sum()

    def partial(self, logits: torch.Tensor, labels: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
        """-log p of all the ways to tag each row [rows] that agree with the tags that are known.

        Where some tokens have no tag, any is as good: they pass on what their neighbours say and add no loss of their
        own (Tsuboi et al. 2008, "Training Conditional Random Fields Using Incomplete Annotations").

        Args:
            logits: [rows, tokens, labels], float32.
            labels: [rows, tokens]; IGNORED where the tag is not known.
            inside: [rows, tokens], true for the tokens of the text, which stand together and begin at the same index.
        """
        first = int(inside.any(0).int().argmax())
        logits, labels, inside = logits[:, first:], labels[:, first:], inside[:, first:]
        tables = self.tables()
        known = functional.one_hot(labels.clamp(min=0), len(self.labels)).bool() | (labels == IGNORED)[..., None]
        agreeing = _log_sum(logits.masked_fill(~known, _FORBIDDEN), inside, tables)
        return torch.where(inside[:, 0], _log_sum(logits, inside, tables) - agreeing, 0.0)

    def decoder(self) -> Decoder:
        """What was learned, for answering."""
        start, transitions, end = (table.detach().double().cpu().numpy() for table in self.tables())
        begins, follows = allowed_transitions(self.labels)
        return Decoder("crf", np.where(begins, start, -np.inf), np.where(follows, transitions, -np.inf), end)


def _log_sum(
    logits: torch.Tensor, counted: torch.Tensor, tables: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    """Logarithm of the sum over all paths [rows], each through as many tokens as are counted of its row."""
    start, transitions, end = tables
    reached = start + logits[:, 0]
    for index in range(1, logits.shape[1]):
        further = torch.logsumexp(reached[:, :, None] + transitions, 1) + logits[:, index]
        reached = torch.where(counted[:, index, None], further, reached)
    return torch.logsumexp(reached + end, 1)


def crf_loss(model: Any, batch: dict[str, Any]) -> tuple[torch.Tensor, dict[str, Any]]:
    """The loss of a model that has a `LinearChainCRF` as its attribute `crf`."""
    logits = model(**{name: value for name, value in batch.items() if name != "labels"}).logits.float()
    crf: LinearChainCRF = extract_model_from_parallel(model).crf
    with torch.autocast(logits.device.type, enabled=False):  # sums of hundreds of terms
        return crf(logits, batch["labels"]), {}
