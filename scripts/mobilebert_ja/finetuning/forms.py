"""How each kind of task is put to a model: the head, the rows, the loss, and answers from what comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import (
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from mobilebert_ja.common.progress import progress_bar
from mobilebert_ja.finetuning.rows import IGNORED, Row, collate, make_row, training_rows
from mobilebert_ja.tasks.base import Example, Task
from mobilebert_ja.tokenization.encoder import FastEncoder

Loss = tuple[torch.Tensor, dict[str, Any]]
LONGEST_ANSWER = 40  # tokens; JSQuAD's are short


def _outputs(model: Any, batch: dict[str, Any]) -> Any:
    return model(**{name: value for name, value in batch.items() if name != "labels"})


def class_loss(model: Any, batch: dict[str, Any]) -> Loss:
    """Mean cross entropy over the batch's labels; 0 if it has none (sentences without a token)."""
    logits, labels = _outputs(model, batch).logits.float(), batch["labels"]
    total = functional.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORED, reduction="sum")
    return total / (labels != IGNORED).sum().clamp(min=1), {}


def number_loss(model: Any, batch: dict[str, Any]) -> Loss:
    """Mean squared error of one number an input."""
    return functional.mse_loss(_outputs(model, batch).logits.float()[:, 0], batch["labels"]), {}


def answer_loss(model: Any, batch: dict[str, Any]) -> Loss:
    """Cross entropy of the first and the last token of the answer, their mean."""
    outputs = _outputs(model, batch)
    padding = batch["attention_mask"] == 0
    both = [
        functional.cross_entropy(logits.float().masked_fill(padding, -1e4), batch["labels"][:, side])
        for side, logits in enumerate((outputs.start_logits, outputs.end_logits))
    ]
    return (both[0] + both[1]) / 2, {}


@dataclass
class ChoiceRow:
    """A question with each of its choices, as rows; `labels` is the right one."""

    rows: list[Row]
    labels: int | None = None

    @property
    def ids(self) -> list[int]:
        """Of the longest: what its place in a batch depends on."""
        return max((row.ids for row in self.rows), key=len)


def choice_row(example: Example, encoder: FastEncoder, max_seq_length: int) -> ChoiceRow:
    return ChoiceRow([make_row((example.text, choice), encoder, max_seq_length) for choice in example.second])


def collate_choices(rows: Sequence[ChoiceRow], pad_id: int) -> dict[str, np.ndarray]:
    """As `collate`, with arrays [rows, choices, longest]; labels [rows]."""
    flat = collate([row for each in rows for row in each.rows], pad_id)
    batch = {name: array.reshape(len(rows), -1, array.shape[-1]) for name, array in flat.items()}
    if rows[0].labels is not None:
        batch["labels"] = np.array([row.labels for row in rows], np.int64)
    return batch


@dataclass
class Window:
    """A question and a stretch of its context. `offsets` are places in the context, from the token `first` on."""

    ids: list[int]
    types: list[int]
    offsets: list[tuple[int, int]]
    first: int
    question: int  # number of its question
    labels: tuple[int, int] | None = None
    cut: bool = False


def windows_of(example: Example, number: int, encoder: FastEncoder, max_seq_length: int, stride: int) -> list[Window]:
    """[CLS] question [SEP] stretch of the context [SEP]; stretches overlap by `stride` tokens, as far as they can."""
    cls, sep = encoder.vocab["[CLS]"], encoder.vocab["[SEP]"]
    asked = encoder.ids(example.text)
    question = asked[: max_seq_length // 2]
    context = encoder.encode(example.second)
    first = len(question) + 2
    room = max(1, max_seq_length - first - 1)
    step = max(1, room - stride)
    windows = []
    for start in range(0, max(1, len(context.ids) - room + step), step):
        ids = context.ids[start : start + room]
        types = [0] * first + [1] * (len(ids) + 1)
        offsets = context.offsets[start : start + room]
        windows.append(
            Window([cls, *question, sep, *ids, sep], types, offsets, first, number, cut=len(question) < len(asked))
        )
    return windows


def with_answer(window: Window, start: int, end: int) -> Window:
    """The window with the places of the answer's first and last token; [CLS] for both where it is not whole."""
    inside = [place for place, (a, b) in enumerate(window.offsets) if a < end and b > start]
    whole = inside and window.offsets[inside[0]][0] <= start and window.offsets[inside[-1]][1] >= end
    window.labels = (window.first + inside[0], window.first + inside[-1]) if whole else (0, 0)
    return window


def collate_windows(rows: Sequence[Window], pad_id: int) -> dict[str, np.ndarray]:
    """As `collate`; labels [rows, 2]: first and last token of the answer."""
    batch = collate([Row(row.ids, row.offsets, types=row.types) for row in rows], pad_id)
    if rows[0].labels is not None:
        batch["labels"] = np.array([row.labels for row in rows], np.int64)
    return batch


def best_answer(window: Window, start: np.ndarray, end: np.ndarray) -> tuple[float, tuple[int, int]]:
    """Score and place in the context of the best answer within a window, from logits [tokens] of both ends."""
    tokens = len(window.offsets)
    here = slice(window.first, window.first + tokens)
    pairs = start[here][:, None] + end[here][None, :]
    allowed = np.triu(np.ones((tokens, tokens), bool)) & ~np.triu(np.ones((tokens, tokens), bool), LONGEST_ANSWER)
    begin, last = np.unravel_index(np.where(allowed, pairs, -np.inf).argmax(), pairs.shape)
    return float(pairs[begin, last]), (window.offsets[begin][0], window.offsets[last][1])


@dataclass(frozen=True)
class Form:
    """One kind of task.

    Attributes:
        auto: class of transformers with the head.
        rows: (task, encoder, max_seq_length, stride) -> rows of the training part, with labels.
        collate: rows -> arrays.
        loss: of a model and a batch.
    """

    auto: Any
    rows: Callable[[Task, FastEncoder, int, int], list[Any]]
    collate: Callable[[Sequence[Any], int], dict[str, np.ndarray]]
    loss: Callable[[Any, dict[str, Any]], Loss]


def _plain_rows(task: Task, encoder: FastEncoder, max_seq_length: int, _stride: int) -> list[Any]:
    return list(training_rows(task, encoder, max_seq_length))


def _choice_rows(task: Task, encoder: FastEncoder, max_seq_length: int, _stride: int) -> list[Any]:
    rows = [choice_row(example, encoder, max_seq_length) for example in task.train]
    for row, example in zip(rows, task.train, strict=True):
        row.labels = task.labels.index(example.target)
    return rows


def _window_rows(task: Task, encoder: FastEncoder, max_seq_length: int, stride: int) -> list[Any]:
    rows = []
    for number, example in enumerate(task.train):
        start, answer = example.target[0]
        windows = windows_of(example, number, encoder, max_seq_length, stride)
        rows += [with_answer(window, start, start + len(answer)) for window in windows]
    return rows


FORMS = {
    "classes": Form(AutoModelForSequenceClassification, _plain_rows, collate, class_loss),
    "entities": Form(AutoModelForTokenClassification, _plain_rows, collate, class_loss),
    "number": Form(AutoModelForSequenceClassification, _plain_rows, collate, number_loss),
    "choices": Form(AutoModelForMultipleChoice, _choice_rows, collate_choices, class_loss),
    "answers": Form(AutoModelForQuestionAnswering, _window_rows, collate_windows, answer_loss),
}


def answer_examples(
    task: Task,
    model: Any,
    encoder: FastEncoder,
    examples: Sequence[Example],
    max_seq_length: int,
    stride: int,
    batch_size: int,
    describe: str = "",
) -> list[Any]:
    """A model's answers to examples of kind "number" (a number each), "choices" (the name of one) or "answers" (as it
    stands in the context; of several windows the one whose answer scores highest)."""
    rows: list[Any]
    if task.kind == "number":
        rows = [make_row(example.input, encoder, max_seq_length) for example in examples]
    elif task.kind == "choices":
        rows = [choice_row(example, encoder, max_seq_length) for example in examples]
    else:
        rows = [
            window
            for number, example in enumerate(examples)
            for window in windows_of(example, number, encoder, max_seq_length, stride)
        ]
    form, device = FORMS[task.kind], next(model.parameters()).device
    order = sorted(range(len(rows)), key=lambda place: len(rows[place].ids))
    answers: list[Any] = [None] * len(examples)
    best = [-np.inf] * len(examples)
    model.eval()
    for begin in progress_bar(range(0, len(order), batch_size), desc=describe, unit="batch", disable=not describe):
        members = order[begin : begin + batch_size]
        arrays = form.collate([rows[place] for place in members], encoder.vocab["[PAD]"])
        with torch.inference_mode():
            outputs = model(**{name: torch.from_numpy(array).to(device) for name, array in arrays.items()})
        if task.kind == "number":
            for place, value in zip(members, outputs.logits.float()[:, 0].tolist(), strict=True):
                answers[place] = round(value, 6)
        elif task.kind == "choices":
            for place, choice in zip(members, outputs.logits.argmax(-1).tolist(), strict=True):
                answers[place] = task.labels[choice]
        else:
            ends = outputs.start_logits.float().cpu().numpy(), outputs.end_logits.float().cpu().numpy()
            for place, start, end in zip(members, *ends, strict=True):
                window: Window = rows[place]
                if not window.offsets:
                    continue
                score, (left, right) = best_answer(window, start, end)
                if score > best[window.question]:
                    best[window.question] = score
                    answers[window.question] = examples[window.question].second[left:right]
    if task.kind == "answers":
        answers = ["" if answer is None else answer for answer in answers]
    return answers
