"""From text to answer with any model of a task: the fast encoder, one forward pass, the answer in the user's words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from mobilebert_ja.common.progress import progress_bar
from mobilebert_ja.finetuning.rows import Row, collate, make_row, window_rows
from mobilebert_ja.inference.decoding import Decoder
from mobilebert_ja.inference.windows import stitch
from mobilebert_ja.tasks.ner import spans_of_tags
from mobilebert_ja.tokenization.encoder import FastEncoder

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
        max_seq_length: longer inputs are cut, or for ner read in windows (tokens, special ones included).
        decoder: for ner, how a sequence of tags is chosen; None: the best tag of each token by itself.
    """

    def __init__(
        self,
        model: LogitsFunction,
        encoder: FastEncoder,
        task_name: str,
        labels: Sequence[str],
        max_seq_length: int,
        decoder: Decoder | None = None,
    ):
        self.model, self.encoder, self.task_name = model, encoder, task_name
        self.labels, self.max_seq_length, self.decoder = list(labels), max_seq_length, decoder

    def rows(self, text: str | tuple[str, str]) -> tuple[list[Row], list[int]]:
        """A text as rows, and the first token of each: one row, but for a long text whose entities are wanted."""
        if self.task_name == "ner" and isinstance(text, str):
            return window_rows(text, self.encoder, self.max_seq_length)
        return [make_row(text, self.encoder, self.max_seq_length)], [0]

    def logits(self, rows: Sequence[Row]) -> torch.Tensor:
        """Logits of a batch, padded to its longest row; a single row is not padded."""
        batch = collate(rows, self.encoder.vocab["[PAD]"])
        with torch.inference_mode():
            return self.model(
                torch.from_numpy(batch["input_ids"]),
                torch.from_numpy(batch["attention_mask"]),
                torch.from_numpy(batch["token_type_ids"]),
            )

    def _answer(self, rows: Sequence[Row], starts: Sequence[int], logits: Sequence[torch.Tensor]) -> Any:
        """What the logits of a text's rows, [labels] or [tokens, labels] each, say of it."""
        if self.task_name != "ner":
            return self.labels[int(logits[0].argmax(-1))]
        pieces = [each[1 : len(row.ids) - 1].float().cpu().numpy() for row, each in zip(rows, logits, strict=True)]
        scores = stitch(pieces, starts)
        best = scores.argmax(-1).tolist() if self.decoder is None else self.decoder.best(scores)
        offsets: list[tuple[int, int]] = []
        for row, start in zip(rows, starts, strict=True):
            offsets[start:] = row.offsets
        return spans_of_tags(offsets, [self.labels[number] for number in best])

    def predict_one(self, text: str | tuple[str, str]) -> Any:
        """The class of `text` (or of a pair of texts), or its spans (start, end, type)."""
        rows, starts = self.rows(text)
        return self._answer(rows, starts, [self.logits([row])[0] for row in rows])

    def predict(self, texts: Sequence[Any], batch_size: int, describe: str = "") -> list[Any]:
        """Answers in the order of `texts`; rows of like length share a batch. With `describe`, shows its progress."""
        made = [self.rows(text) for text in texts]
        rows = [row for of_text, _ in made for row in of_text]
        order = sorted(range(len(rows)), key=lambda place: len(rows[place].ids))
        logits: list[Any] = [None] * len(rows)
        batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
        for members in progress_bar(batches, desc=describe, unit="batch", disable=not describe):
            for place, each in zip(members, self.logits([rows[place] for place in members]), strict=True):
                logits[place] = each
        remaining = iter(logits)
        return [self._answer(of_text, starts, [next(remaining) for _ in of_text]) for of_text, starts in made]
