"""How each kind of task is put to a model: the head, the rows, the loss, and answers from what comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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

from mobilebert_ja.finetuning.modelling.rows import IGNORED, MakeArrays, Row, collate, make_row, window_rows
from mobilebert_ja.inference.decoding import Decoder, spans_of_tags
from mobilebert_ja.inference.kinds import Kind
from mobilebert_ja.inference.windows import stitch
from mobilebert_ja.tasks.base import Task
from mobilebert_ja.tasks.metrics import Span
from mobilebert_ja.tasks.public.ner import bio_tags
from mobilebert_ja.tokenization.frame import TextEncoder

Loss = tuple[torch.Tensor, dict[str, Any]]
LONGEST_ANSWER = 40  # tokens; JSQuAD's are short


@dataclass(frozen=True)
class Reader:
    """What turns inputs into rows. `doc_stride`: tokens that two windows of a long context share."""

    encoder: TextEncoder
    max_seq_length: int
    doc_stride: int = 0


@dataclass(frozen=True)
class Outputs:
    """What a model's outputs stand for. `decoder`: of tags; None: the best tag of each token by itself."""

    labels: Sequence[str]
    decoder: Decoder | None = None


@dataclass(frozen=True)
class Form:
    """How one kind of task is put to a model.

    Attributes:
        auto: class of transformers with the head.
        rows: an example's input -> its rows; more than one only where a long text is read in windows.
        label: puts the example's target on its rows; the mapping gives the index of a label.
        loss: of a model and a batch.
        answer: from an input, its rows and the logits of each.
        collate: rows -> arrays.
        ends: the model has logits for the first and for the last token of an answer instead of one for each label.
        problem_type: transformers' name of it in the configuration.
        has_label_names: the configuration names what the outputs stand for.
    """

    auto: Any
    rows: Callable[[Any, Reader], list[Any]]
    label: Callable[[list[Any], Any, Mapping[str, int]], None]
    loss: Callable[[Any, dict[str, Any]], Loss]
    answer: Callable[[Any, Sequence[Any], Sequence[torch.Tensor], Outputs], Any]
    collate: MakeArrays = collate
    ends: bool = False
    problem_type: str | None = None
    has_label_names: bool = False


def _outputs(model: Any, batch: dict[str, Any]) -> Any:
    return model(**{name: value for name, value in batch.items() if name != "labels"})


def class_loss(model: Any, batch: dict[str, Any]) -> Loss:
    """Mean cross entropy over the batch's labels; 0 if it has none (sentences without a token)."""
    logits, labels = _outputs(model, batch).logits.float(), batch["labels"]
    total = functional.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORED, reduction="sum")
    return total / (labels != IGNORED).sum().clamp(min=1), {}


# Classes: one row per text or pair of texts.


def _one_row(given: str | tuple[str, str], reader: Reader) -> list[Row]:
    return [make_row(given, reader.encoder, reader.max_seq_length)]


def _label_class(rows: list[Any], target: str, index_of: Mapping[str, int]) -> None:
    rows[0].labels = index_of[target]


def _best_class(_given: Any, _rows: Sequence[Any], logits: Sequence[torch.Tensor], meaning: Outputs) -> str:
    return meaning.labels[int(logits[0].argmax(-1))]


# Entities: overlapping windows, and one tag per token.


def _entity_rows(text: str, reader: Reader) -> list[Row]:
    return window_rows(text, reader.encoder, reader.max_seq_length)


def _label_tokens(rows: list[Row], target: Sequence[Span], index_of: Mapping[str, int]) -> None:
    for row in rows:
        row.labels = row.with_specials([index_of[tag] for tag in bio_tags(row.offsets, target)])


def token_scores(rows: Sequence[Row], logits: Sequence[torch.Tensor]) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Scores [tokens, labels] of a whole text from the logits of its windows, and the offsets of its tokens."""
    pieces = [
        each[row.first : row.first + len(row.offsets)].float().cpu().numpy()
        for row, each in zip(rows, logits, strict=True)
    ]
    offsets: list[tuple[int, int]] = []
    for row in rows:
        offsets[row.start :] = row.offsets
    return stitch(pieces, [row.start for row in rows]), offsets


def _best_spans(_text: str, rows: Sequence[Row], logits: Sequence[torch.Tensor], meaning: Outputs) -> list[Span]:
    scores, offsets = token_scores(rows, logits)
    best = scores.argmax(-1).tolist() if meaning.decoder is None else meaning.decoder.best(scores)
    return spans_of_tags(offsets, [meaning.labels[index] for index in best])


# Numbers: one row per pair of texts.


def number_loss(model: Any, batch: dict[str, Any]) -> Loss:
    """Mean squared error of one number per input."""
    return functional.mse_loss(_outputs(model, batch).logits.float()[:, 0], batch["labels"]), {}


def _label_number(rows: list[Row], target: float, _index_of: Mapping[str, int]) -> None:
    rows[0].labels = float(target)


def _number(_given: Any, _rows: Sequence[Row], logits: Sequence[torch.Tensor], _meaning: Outputs) -> float:
    return round(float(logits[0].float()[0]), 6)


# Choices: one row of rows per question.


@dataclass
class ChoiceRow:
    """A question with each of its choices, as rows; `labels` is the right one."""

    rows: list[Row]
    labels: int | None = None

    @property
    def ids(self) -> list[int]:
        """Of the longest: what its index in a batch depends on."""
        return max((row.ids for row in self.rows), key=len)

    @property
    def truncated(self) -> bool:
        return any(row.truncated for row in self.rows)


def choice_rows(given: tuple[str, Sequence[str]], reader: Reader) -> list[ChoiceRow]:
    """One row of a question and its choices."""
    question, choices = given
    return [ChoiceRow([make_row((question, choice), reader.encoder, reader.max_seq_length) for choice in choices])]


def collate_choices(rows: Sequence[ChoiceRow], pad_id: int) -> dict[str, np.ndarray]:
    """As `collate`, with arrays [rows, choices, longest]; labels [rows]."""
    flat = collate([row for each in rows for row in each.rows], pad_id)
    batch = {name: array.reshape(len(rows), -1, array.shape[-1]) for name, array in flat.items()}
    if rows[0].labels is not None:
        batch["labels"] = np.array([row.labels for row in rows], np.int64)
    return batch


# Answers: overlapping windows of a context, each behind the question.


@dataclass
class Window:
    """A question and a stretch of its context. `offsets` are positions in the context, from the token `first` on."""

    ids: list[int]
    types: list[int]
    offsets: list[tuple[int, int]]
    first: int
    labels: tuple[int, int] | None = None
    truncated: bool = False


def windows_of(given: tuple[str, str], reader: Reader) -> list[Window]:
    """[CLS] question [SEP] stretch of the context [SEP]; stretches share `doc_stride` tokens, as far as they can."""
    encoder, frame = reader.encoder, reader.encoder.frame
    asked = encoder.ids(given[0])
    question = asked[: reader.max_seq_length // 2]
    context = encoder.encode(given[1])
    first = len(frame.begin) + len(question) + len(frame.between)
    room = max(1, reader.max_seq_length - first - len(frame.end))
    step = max(1, room - reader.doc_stride)
    windows = []
    for start in range(0, max(1, len(context.ids) - room + step), step):
        ids = context.ids[start : start + room]
        types = frame.types_of_pair(len(question), len(ids))
        offsets = context.offsets[start : start + room]
        truncated = len(question) < len(asked)
        windows.append(Window(frame.pair(question, ids), types, offsets, first, truncated=truncated))
    return windows


def with_answer(window: Window, start: int, end: int) -> Window:
    """The window with the indices of the answer's first and last token; [CLS] for both where it is not whole."""
    inside = [index for index, (a, b) in enumerate(window.offsets) if a < end and b > start]
    whole = inside and window.offsets[inside[0]][0] <= start and window.offsets[inside[-1]][1] >= end
    window.labels = (window.first + inside[0], window.first + inside[-1]) if whole else (0, 0)
    return window


def collate_windows(rows: Sequence[Window], pad_id: int) -> dict[str, np.ndarray]:
    """As `collate`; labels [rows, 2]: first and last token of the answer."""
    batch = collate([Row(row.ids, row.offsets, types=row.types) for row in rows], pad_id)
    if rows[0].labels is not None:
        batch["labels"] = np.array([row.labels for row in rows], np.int64)
    return batch


def answer_loss(model: Any, batch: dict[str, Any]) -> Loss:
    """Cross entropy of the first and the last token of the answer, their mean."""
    outputs = _outputs(model, batch)
    padding = batch["attention_mask"] == 0
    both = [
        functional.cross_entropy(logits.float().masked_fill(padding, -1e4), batch["labels"][:, side])
        for side, logits in enumerate((outputs.start_logits, outputs.end_logits))
    ]
    return (both[0] + both[1]) / 2, {}


def _label_answer(windows: list[Window], target: Sequence[tuple[int, str]], _index_of: Mapping[str, int]) -> None:
    start, answer = target[0]
    for window in windows:
        with_answer(window, start, start + len(answer))


def best_answer(window: Window, start: np.ndarray, end: np.ndarray) -> tuple[float, tuple[int, int]]:
    """Score and offsets in the context of the best answer within a window, from logits [tokens] of both ends."""
    tokens = len(window.offsets)
    here = slice(window.first, window.first + tokens)
    pairs = start[here][:, None] + end[here][None, :]
    allowed = np.triu(np.ones((tokens, tokens), bool)) & ~np.triu(np.ones((tokens, tokens), bool), LONGEST_ANSWER)
    begin, last = np.unravel_index(np.where(allowed, pairs, -np.inf).argmax(), pairs.shape)
    return float(pairs[begin, last]), (window.offsets[begin][0], window.offsets[last][1])


def _best_of_windows(
    given: tuple[str, str], windows: Sequence[Window], logits: Sequence[torch.Tensor], _meaning: Outputs
) -> str:
    """The answer as it stands in the context; of several windows the one whose answer scores highest."""
    best, answer = -np.inf, ""
    for window, both in zip(windows, logits, strict=True):
        if not window.offsets:
            continue
        score, (left, right) = best_answer(window, *both.float().cpu().numpy().T)
        if score > best:
            best, answer = score, given[1][left:right]
    return answer


FORMS = {
    Kind.CLASSES: Form(
        AutoModelForSequenceClassification,
        _one_row,
        _label_class,
        class_loss,
        _best_class,
        problem_type="single_label_classification",
        has_label_names=True,
    ),
    Kind.ENTITIES: Form(
        AutoModelForTokenClassification, _entity_rows, _label_tokens, class_loss, _best_spans, has_label_names=True
    ),
    Kind.NUMBER: Form(
        AutoModelForSequenceClassification,
        _one_row,
        _label_number,
        number_loss,
        _number,
        problem_type="regression",
        has_label_names=True,
    ),
    Kind.CHOICES: Form(
        AutoModelForMultipleChoice, choice_rows, _label_class, class_loss, _best_class, collate=collate_choices
    ),
    Kind.ANSWERS: Form(
        AutoModelForQuestionAnswering,
        windows_of,
        _label_answer,
        answer_loss,
        _best_of_windows,
        collate=collate_windows,
        ends=True,
    ),
}


def training_rows(task: Task, reader: Reader) -> list[Any]:
    """The training part as labelled rows, in its order."""
    form = FORMS[task.kind]
    index_of = {label: index for index, label in enumerate(task.labels)}
    rows = []
    for example in task.train:
        own = form.rows(example.input, reader)
        form.label(own, example.target, index_of)
        rows += own
    return rows
