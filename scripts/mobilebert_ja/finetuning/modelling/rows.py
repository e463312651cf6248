"""Examples as token rows, and batches of rows of like length, each a pure function of its number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobilebert_ja.inference.decoding import spans_of_tags
from mobilebert_ja.inference.windows import window_starts
from mobilebert_ja.tasks.base import Example
from mobilebert_ja.tasks.public.ner import bio_tags
from mobilebert_ja.tokenization.frame import TextEncoder

IGNORED = -100  # target of special tokens and padding, as in torch's cross entropy
BATCHES_PER_CHUNK = 50  # rows are sorted by length within this many batches, so that order stays random at large


MakeArrays = Callable[[Sequence[Any], int], dict[str, np.ndarray]]  # (rows, pad_id) -> arrays


@dataclass
class Row:
    """One input of the model, special tokens included, unpadded.

    Attributes:
        offsets: of the text's own tokens, without the special ones around them; a pair has none.
        labels: one class, one tag per token (special tokens have `IGNORED`), a number, or None where nothing is to be
            learned.
        truncated: the model is not given all of the text.
        types: segments of a pair.
        start: index in the whole text's tokens of the first one here; not 0 in the windows of a long text.
        first: index of the text's first token in `ids`.
    """

    ids: list[int]
    offsets: list[tuple[int, int]]
    labels: int | float | list[int] | None = None
    truncated: bool = False
    types: list[int] | None = None
    start: int = 0
    first: int = 1

    def with_specials(self, tags: list[int]) -> list[int]:
        """A tag for each of the text's tokens -> one for each of `ids`, `IGNORED` for the special ones."""
        behind = len(self.ids) - self.first - len(tags)
        return [IGNORED] * self.first + tags + [IGNORED] * behind


def make_row(given: str | tuple[str, str], encoder: TextEncoder, max_seq_length: int) -> Row:
    """[CLS] text [SEP], or [CLS] text [SEP] second [SEP], truncated at `max_seq_length` tokens.

    Of a pair the longer one is truncated first, at its end.
    """
    frame = encoder.frame
    if isinstance(given, str):
        encoding = encoder.encode(given)
        room = max(0, max_seq_length - frame.size)
        ids, truncated = frame.single(encoding.ids[:room]), len(encoding.ids) > room
        return Row(ids, encoding.offsets[:room], truncated=truncated, first=len(frame.begin))
    first, second = (encoder.ids(text) for text in given)
    room = max(0, max_seq_length - frame.size_of_pair)
    whole = len(first) + len(second)
    first = first[: max(room - len(second), room - room // 2)]
    second = second[: room - len(first)]
    types = frame.types_of_pair(len(first), len(second))
    return Row(frame.pair(first, second), [], truncated=whole > room, types=types)


def window_rows(text: str, encoder: TextEncoder, max_seq_length: int) -> list[Row]:
    """A text as rows, several overlapping ones if it is longer than `max_seq_length` tokens."""
    encoding, frame = encoder.encode(text), encoder.frame
    room = max(1, max_seq_length - frame.size)
    rows = []
    for start in window_starts(len(encoding.ids), room):
        ids, offsets = encoding.ids[start : start + room], encoding.offsets[start : start + room]
        rows.append(Row(frame.single(ids), offsets, start=start, first=len(frame.begin)))
    return rows


def spans_lost_in_tags(examples: Sequence[Example], encoder: TextEncoder) -> int:
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
    for index, row in enumerate(rows):
        ids[index, : len(row.ids)] = row.ids
        mask[index, : len(row.ids)] = 1
    types = np.zeros(shape, np.int64)
    for index, row in enumerate(rows):
        if row.types is not None:
            types[index, : len(row.types)] = row.types
    batch: dict[str, np.ndarray] = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
    if isinstance(rows[0].labels, float):
        batch["labels"] = np.array([row.labels for row in rows], np.float32)
    elif isinstance(rows[0].labels, int):
        batch["labels"] = np.array([row.labels for row in rows], np.int64)
    elif rows[0].labels is not None:
        batch["labels"] = np.full(shape, IGNORED, np.int64)
        for index, row in enumerate(rows):
            assert isinstance(row.labels, list)  # rows of one task
            batch["labels"][index, : len(row.ids)] = row.labels
    return batch


def without_segments(make_arrays: MakeArrays) -> MakeArrays:
    """The same for a model that takes no token types."""

    def made(rows: Sequence[Any], pad_id: int) -> dict[str, np.ndarray]:
        return {name: array for name, array in make_arrays(rows, pad_id).items() if name != "token_type_ids"}

    return made


def batches_per_epoch(rows: int, batch_size: int) -> int:
    """Batches that hold every row once; the smallest may be short."""
    return -(-rows // batch_size)


def epoch_plan(lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Which rows each batch of an epoch holds: every row in exactly one batch, rows of like length together.

    Shuffle; within chunks of BATCHES_PER_CHUNK batches sort by length (the shuffle breaks ties); shuffle the batches.
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(lengths))
    chunk = batch_size * BATCHES_PER_CHUNK
    batches: list[list[int]] = []
    for start in range(0, len(order), chunk):
        members = sorted(order[start : start + chunk].tolist(), key=lengths.__getitem__)
        batches += [members[begin : begin + batch_size] for begin in range(0, len(members), batch_size)]
    return [batches[index] for index in generator.permutation(len(batches))]


def batch_function(
    rows: Sequence[Any], batch_size: int, seed: int, pad_id: int, make_arrays: MakeArrays = collate
) -> Callable[[int], dict[str, Any]]:
    """Micro-batch number -> arrays, as `run_training` wants it. Depends on the number and `seed` alone."""
    lengths = [len(row.ids) for row in rows]
    per_epoch = batches_per_epoch(len(rows), batch_size)
    latest: tuple[int, list[list[int]]] = (-1, [])  # numbers come in order, so one plan at a time is enough

    def batch(number: int) -> dict[str, np.ndarray]:
        nonlocal latest
        epoch, index = divmod(number, per_epoch)
        plan_of, plan = latest
        if plan_of != epoch:
            plan = epoch_plan(lengths, batch_size, seed, epoch)
            latest = (epoch, plan)
        return make_arrays([rows[member] for member in plan[index]], pad_id)

    return batch
