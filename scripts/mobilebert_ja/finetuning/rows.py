"""Examples as token rows, and batches of rows of like length, each a pure function of its number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobilebert_ja.inference.windows import window_starts
from mobilebert_ja.tasks.base import Example, Task
from mobilebert_ja.tasks.ner import bio_tags, spans_of_tags
from mobilebert_ja.tokenization.encoder import FastEncoder

IGNORED = -100  # target of special tokens and padding, as in torch's cross entropy
BATCHES_A_CHUNK = 50  # rows are sorted by length within this many batches, so that order stays random at large


MakeArrays = Callable[[Sequence[Any], int], dict[str, np.ndarray]]  # (rows, pad_id) -> arrays


@dataclass
class Row:
    """One input of the model, special tokens included, unpadded.

    `offsets` are those of the tokens between [CLS] and [SEP]; a pair has none. `labels` is one class, one tag a
    position (ner), a number (jsts), or None where nothing is to be learned. `types` are the segments of a pair.
    """

    ids: list[int]
    offsets: list[tuple[int, int]]
    labels: int | float | list[int] | None = None
    cut: bool = False
    types: list[int] | None = None


def make_row(given: str | tuple[str, str], encoder: FastEncoder, max_seq_length: int) -> Row:
    """[CLS] text [SEP], or [CLS] text [SEP] second [SEP], cut at `max_seq_length` tokens.

    Of a pair the longer one is cut first, from its end.
    """
    cls, sep = encoder.vocab["[CLS]"], encoder.vocab["[SEP]"]
    if isinstance(given, str):
        encoding = encoder.encode(given)
        room = max_seq_length - 2
        return Row([cls, *encoding.ids[:room], sep], encoding.offsets[:room], cut=len(encoding.ids) > room)
    first, second = (encoder.ids(text) for text in given)
    room = max(0, max_seq_length - 3)
    whole = len(first) + len(second)
    first = first[: max(room - len(second), room - room // 2)]
    second = second[: room - len(first)]
    types = [0] * (len(first) + 2) + [1] * (len(second) + 1)
    return Row([cls, *first, sep, *second, sep], [], cut=whole > room, types=types)


def window_rows(text: str, encoder: FastEncoder, max_seq_length: int) -> tuple[list[Row], list[int]]:
    """A text as rows, several overlapping ones if it is longer than `max_seq_length`, and the first token of each."""
    encoding = encoder.encode(text)
    cls, sep = encoder.vocab["[CLS]"], encoder.vocab["[SEP]"]
    room = max_seq_length - 2
    starts = window_starts(len(encoding.ids), room)
    ends = [start + room for start in starts]
    return [
        Row([cls, *encoding.ids[start:end], sep], encoding.offsets[start:end])
        for start, end in zip(starts, ends, strict=True)
    ], starts


def training_rows(task: Task, encoder: FastEncoder, max_seq_length: int) -> list[Row]:
    """The training part as rows with their labels, in its order; for entities a long text gives several rows."""
    number_of = {label: number for number, label in enumerate(task.labels)}
    rows = []
    for example in task.train:
        if task.kind == "entities":
            for row in window_rows(example.text, encoder, max_seq_length)[0]:
                tags = bio_tags(row.offsets, example.target)
                row.labels = [IGNORED, *(number_of[tag] for tag in tags), IGNORED]
                rows.append(row)
            continue
        row = make_row(example.input, encoder, max_seq_length)
        row.labels = number_of[example.target] if task.kind == "classes" else float(example.target)
        rows.append(row)
    return rows


def spans_lost_in_tags(examples: Sequence[Example], encoder: FastEncoder) -> int:
    """Spans that do not come back from the tags of their text's tokens, because they begin or end within one."""
    lost = 0
    for example in examples:
        offsets = encoder.encode(example.text).offsets
        lost += len(set(example.target) - set(spans_of_tags(offsets, bio_tags(offsets, example.target))))
    return lost


def collate(rows: Sequence[Row], pad_id: int) -> dict[str, np.ndarray]:
    """Rows as int64 arrays [rows, longest]: input_ids, attention_mask, token_type_ids (0, and 1 for a second segment)
    and, if the rows have them, labels ([rows] for classes and, as float32, for numbers). No padding beyond the
    longest row."""
    shape = (len(rows), max(len(row.ids) for row in rows))
    ids, mask = np.full(shape, pad_id, np.int64), np.zeros(shape, np.int64)
    for place, row in enumerate(rows):
        ids[place, : len(row.ids)] = row.ids
        mask[place, : len(row.ids)] = 1
    types = np.zeros(shape, np.int64)
    for place, row in enumerate(rows):
        if row.types is not None:
            types[place, : len(row.types)] = row.types
    batch: dict[str, np.ndarray] = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
    if isinstance(rows[0].labels, float):
        batch["labels"] = np.array([row.labels for row in rows], np.float32)
    elif isinstance(rows[0].labels, int):
        batch["labels"] = np.array([row.labels for row in rows], np.int64)
    elif rows[0].labels is not None:
        batch["labels"] = np.full(shape, IGNORED, np.int64)
        for place, row in enumerate(rows):
            assert isinstance(row.labels, list)  # rows of one task
            batch["labels"][place, : len(row.ids)] = row.labels
    return batch


def batches_an_epoch(rows: int, batch_size: int) -> int:
    """Batches that hold every row once; the smallest may be short."""
    return -(-rows // batch_size)


def epoch_plan(lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Which rows each batch of an epoch holds: every row in exactly one batch, rows of like length together.

    Shuffle; within chunks of BATCHES_A_CHUNK batches sort by length (the shuffle breaks ties); shuffle the batches.
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(lengths))
    chunk = batch_size * BATCHES_A_CHUNK
    batches: list[list[int]] = []
    for start in range(0, len(order), chunk):
        members = sorted(order[start : start + chunk].tolist(), key=lengths.__getitem__)
        batches += [members[place : place + batch_size] for place in range(0, len(members), batch_size)]
    return [batches[place] for place in generator.permutation(len(batches))]


def batch_function(
    rows: Sequence[Any], batch_size: int, seed: int, pad_id: int, make_arrays: MakeArrays = collate
) -> Callable[[int], dict[str, Any]]:
    """Micro-batch number -> arrays, as `run_training` wants it. Depends on the number and `seed` alone."""
    lengths = [len(row.ids) for row in rows]
    an_epoch = batches_an_epoch(len(rows), batch_size)
    latest: tuple[int, list[list[int]]] = (-1, [])  # numbers come in order, so one plan at a time is enough

    def batch(number: int) -> dict[str, np.ndarray]:
        nonlocal latest
        epoch, place = divmod(number, an_epoch)
        plan_of, plan = latest
        if plan_of != epoch:
            plan = epoch_plan(lengths, batch_size, seed, epoch)
            latest = (epoch, plan)
        return make_arrays([rows[member] for member in plan[place]], pad_id)

    return batch
