"""From text to answer with any model of a task: the fast encoder, one forward pass, the answer in the user's words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from mobilebert_ja.progress import progress_bar
from mobilebert_ja.tasks.batches import Row, collate, make_row
from mobilebert_ja.tasks.ner import spans_of_tags
from mobilebert_ja.tokenizer import FastEncoder

# (input_ids, attention_mask, token_type_ids), each [rows, tokens] int64 -> logits [rows, labels], or for ner
# [rows, tokens, labels]. A traced module is one as it is, a model of transformers by way of `LogitsOf`.
LogitsFunction = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


class LogitsOf(nn.Module):
    """A model of transformers as a function to its logits, on the device that it stands on; can be traced."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model.eval()

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
    ) -> torch.Tensor:
        device = next(self.model.parameters()).device
        return self.model(
            input_ids=input_ids.to(device),
            attention_mask=attention_mask.to(device),
            token_type_ids=token_type_ids.to(device),
            return_dict=False,
        )[0]


class Predictor:
    """Answers for texts.

    Args:
        model: see `LogitsFunction`.
        encoder: of the tokenizer that the model was trained with.
        task_name: "livedoor" (an answer is a class name) or "ner" (a list of spans in characters of the text).
        labels: what the outputs stand for, in order.
        max_seq_length: longer inputs are cut (tokens, special ones included).
    """

    def __init__(
        self, model: LogitsFunction, encoder: FastEncoder, task_name: str, labels: Sequence[str], max_seq_length: int
    ):
        self.model, self.encoder, self.task_name = model, encoder, task_name
        self.labels, self.max_seq_length = list(labels), max_seq_length

    def row(self, text: str) -> Row:
        return make_row(text, self.encoder, self.max_seq_length)

    def logits(self, rows: Sequence[Row]) -> torch.Tensor:
        """Logits of a batch, padded to its longest row; a single row is not padded."""
        batch = collate(rows, self.encoder.vocab["[PAD]"])
        with torch.inference_mode():
            return self.model(
                torch.from_numpy(batch["input_ids"]),
                torch.from_numpy(batch["attention_mask"]),
                torch.from_numpy(batch["token_type_ids"]),
            )

    def _answer(self, row: Row, best: Any) -> Any:
        if self.task_name != "ner":
            return self.labels[best]
        tags = [self.labels[number] for number in best[1 : len(row.ids) - 1]]
        return spans_of_tags(row.offsets, tags)

    def predict_one(self, text: str) -> Any:
        """The class of `text`, or its spans (start, end, type)."""
        row = self.row(text)
        return self._answer(row, self.logits([row])[0].argmax(-1).tolist())

    def predict(self, texts: Sequence[str], batch_size: int, describe: str = "") -> list[Any]:
        """Answers in the order of `texts`; rows of like length share a batch. With `describe`, shows its progress."""
        rows = [self.row(text) for text in texts]
        order = sorted(range(len(rows)), key=lambda place: len(rows[place].ids))
        answers: list[Any] = [None] * len(rows)
        starts = range(0, len(order), batch_size)
        for start in progress_bar(starts, desc=describe, unit="batch", disable=not describe):
            members = order[start : start + batch_size]
            best = self.logits([rows[place] for place in members]).argmax(-1).tolist()
            for place, each in zip(members, best, strict=True):
                answers[place] = self._answer(rows[place], each)
        return answers
