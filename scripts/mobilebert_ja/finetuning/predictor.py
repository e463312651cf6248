"""From text to answer with any model of a task: its encoder, one forward pass, the answer in the user's words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from mobilebert_ja.common.progress import progress_bar
from mobilebert_ja.finetuning.modelling.architecture import tells_segments
from mobilebert_ja.finetuning.modelling.forms import FORMS, Outputs, Reader
from mobilebert_ja.inference.decoding import Decoder
from mobilebert_ja.inference.kinds import Kind
from mobilebert_ja.tokenization.frame import TextEncoder

# (input_ids, attention_mask, token_type_ids), each [rows, tokens] int64 -> logits: of classes [rows, labels], of
# entities [rows, tokens, labels]. A traced module is one as it is, a model of transformers by way of `LogitsOf`.
LogitsFunction = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
Read = tuple[list[Any], list[torch.Tensor]]  # an input's rows, and the logits of each, padding included


class LogitsOf(nn.Module):
    """A model of transformers as a function to its logits, on the device that it stands on; can be traced.

    Args:
        ends: the model has two, for the first and the last token of an answer: [rows, tokens, 2].
    """

    def __init__(self, model: nn.Module, ends: bool = False):
        super().__init__()
        self.model, self.ends, self.segments = model.eval(), ends, tells_segments(model)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
    ) -> torch.Tensor:
        device = next(self.model.parameters()).device
        segments = {"token_type_ids": token_type_ids.to(device)} if self.segments else {}
        outputs = self.model(
            input_ids=input_ids.to(device), attention_mask=attention_mask.to(device), **segments, return_dict=False
        )
        return torch.stack(outputs[:2], -1) if self.ends else outputs[0]


class Predictor:
    """Answers for inputs: texts, or texts and what belongs to them (see `Example.input`).

    Args:
        model: see `LogitsFunction`.
        encoder: of the tokenizer that the model was trained with.
        kind: of the task; an answer is a class name, a list of spans in characters of the text, a number, the name of
            a choice, or a stretch of the context.
        labels: what the outputs stand for, in order.
        max_seq_length: longer inputs are truncated, or read in windows (tokens, special ones included).
        decoder: of entities, how a sequence of tags is chosen; None: the best tag of each token by itself.
        doc_stride: tokens that two windows of a long context share.
    """

    def __init__(
        self,
        model: LogitsFunction,
        encoder: TextEncoder,
        kind: Kind,
        labels: Sequence[str],
        max_seq_length: int,
        decoder: Decoder | None = None,
        doc_stride: int = 0,
    ):
        self.model, self.encoder, self.labels = model, encoder, list(labels)
        self._form = FORMS[kind]
        self._reader, self._meaning = Reader(encoder, max_seq_length, doc_stride), Outputs(self.labels, decoder)

    def rows(self, given: Any) -> list[Any]:
        """An input as rows: one, but for long texts that are read in windows."""
        return self._form.rows(given, self._reader)

    def logits(self, rows: Sequence[Any]) -> torch.Tensor:
        """Logits of a batch, padded to its longest row; a single row is not padded."""
        batch = self._form.collate(rows, self.encoder.frame.pad_id)
        with torch.inference_mode():
            return self.model(
                torch.from_numpy(batch["input_ids"]),
                torch.from_numpy(batch["attention_mask"]),
                torch.from_numpy(batch["token_type_ids"]),
            )

    def predict_one(self, given: Any) -> Any:
        """The answer for one input."""
        rows = self.rows(given)
        return self._form.answer(given, rows, [self.logits([row])[0] for row in rows], self._meaning)

    def predict(self, inputs: Sequence[Any], batch_size: int, describe: str = "") -> list[Any]:
        """Answers in the order of `inputs`; rows of like length share a batch. With `describe`, shows its progress."""
        return self.answers(inputs, self.read(inputs, batch_size, describe))

    def answers(self, inputs: Sequence[Any], read: Sequence[Read]) -> list[Any]:
        """The answers that stand in what was read of the inputs."""
        return [
            self._form.answer(given, rows, logits, self._meaning)
            for given, (rows, logits) in zip(inputs, read, strict=True)
        ]

    def read(self, inputs: Sequence[Any], batch_size: int, describe: str = "") -> list[Read]:
        """Of each input its rows and the logits of each, padding included; otherwise as `predict`."""
        made = [self.rows(given) for given in inputs]
        rows = [row for of_input in made for row in of_input]
        order = sorted(range(len(rows)), key=lambda index: len(rows[index].ids))
        logits: list[Any] = [None] * len(rows)
        batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
        for members in progress_bar(batches, desc=describe, unit="batch", disable=not describe):
            for index, each in zip(members, self.logits([rows[index] for index in members]), strict=True):
                logits[index] = each
        remaining = iter(logits)
        return [(of_input, [next(remaining) for _ in of_input]) for of_input in made]
