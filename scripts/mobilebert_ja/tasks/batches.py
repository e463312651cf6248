"""Examples as token rows, and batches of rows of like length, each a pure function of its number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobilebert_ja.tasks.base import Example, Task
from mobilebert_ja.tasks.ner import bio_tags, spans_of_tags
from mobilebert_ja.tokenizer import FastEncoder

IGNORED = -100  # target of special tokens and padding, as in torch's cross entropy
BATCHES_A_CHUNK = 50  # rows are sorted by length within this many batches, so that order stays random at large


@dataclass
class Row:
    """One input of the model, special tokens included, unpadded.

    `offsets` are those of the tokens between [CLS] and [SEP]. `labels` is one class (livedoor), one tag a position
    (ner), or None where nothing is to be learned.
    """

    ids: list[int]
    offsets: list[tuple[int, int]]
    labels: int | list[int] | None = None
    cut: bool = False


def make_row(text: str, encoder: FastEncoder, max_seq_length: int) -> Row:
    """[CLS] text [SEP], cut at `max_seq_length` tokens."""
    encoding = encoder.encode(text)
    room = max_seq_length - 2
    ids = [encoder.vocab["[CLS]"], *encoding.ids[:room], encoder.vocab["[SEP]"]]
    return Row(ids, encoding.offsets[:room], cut=len(encoding.ids) > room)


def training_rows(task: Task, encoder: FastEncoder, max_seq_length: int) -> list[Row]:
    """The training part as rows with their labels, in its order."""
    number_of = {label: number for number, label in enumerate(task.labels)}
    rows = []
    for example in task.train:
        row = make_row(example.text, encoder, max_seq_length)
        if task.metric == "accuracy":
            row.labels = number_of[example.target]
        else:
            tags = bio_tags(row.offsets, example.target)
            row.labels = [IGNORED, *(number_of[tag] for tag in tags), IGNORED]
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
    """Rows as int64 arrays [rows, longest]: input_ids, attention_mask, token_type_ids (all 0: one segment) and, if the
    rows have them, labels ([rows] for classes). No padding beyond the longest row."""
    shape = (len(rows), max(len(row.ids) for row in rows))
    ids, mask = np.full(shape, pad_id, np.int64), np.zeros(shape, np.int64)
    for place, row in enumerate(rows):
        ids[place, : len(row.ids)] = row.ids
        mask[place, : len(row.ids)] = 1
    batch = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros(shape, np.int64)}
    if isinstance(rows[0].labels, int):
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


def batch_function(rows: list[Row], batch_size: int, seed: int, pad_id: int) -> Callable[[int], dict[str, Any]]:
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
        return collate([rows[member] for member in plan[place]], pad_id)

    return batch
