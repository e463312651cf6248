"""Answers of a sped-up model without torch: onnxruntime, fugashi, unidic-lite, tokenizers and numpy are all it needs.

    >>> from mobilebert_ja.runtime import load
    >>> load("work/compressed/livedoor").predict(["新型スマートフォンが発売"])[0].label
    'smax'

An `Answerer` may be used by several threads at a time. Pickled, as for a worker process, it is the path of its folder,
which is loaded anew where it is unpickled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mobilebert_ja.common.errors import UserError, first_line
from mobilebert_ja.common.text.normalization import without_surrogates
from mobilebert_ja.inference.decoding import spans_of_tags
from mobilebert_ja.inference.folder import (
    ANEW,
    FACTS_NAME,
    ONNX,
    decoder_of,
    model_path,
    read_facts,
    require_unchanged,
    with_default_treatment,
)
from mobilebert_ja.inference.kinds import KINDS, STORED_KINDS, Kind, kind_of_facts
from mobilebert_ja.inference.windows import stitch, window_starts
from mobilebert_ja.tokenization.encoder import FastEncoder

_INSTALL = "pip install onnxruntime fugashi unidic-lite tokenizers numpy"


@dataclass(frozen=True)
class ClassAnswer:
    """A class. `cut`: the text was longer than the model reads and was truncated."""

    label: str
    probability: float
    probabilities: dict[str, float]
    cut: bool


@dataclass(frozen=True)
class Entity:
    """A name: `text` is the characters [start, end) of the text that was asked about."""

    start: int
    end: int
    type: str
    text: str


@dataclass(frozen=True)
class EntityAnswer:
    """The names in a text, in order; of a text of any length, which is read in overlapping windows."""

    entities: list[Entity]


@dataclass(frozen=True)
class _Input:
    """A text as the model's input: rows of ids with [CLS] and [SEP], one or, of a long text whose entities are wanted,
    several windows; the first token of each; and where the tokens stand in the text."""

    text: str
    rows: list[list[int]]
    starts: list[int]
    offsets: list[tuple[int, int]]
    truncated: bool


def _session(path: Path, facts: dict[str, Any], num_threads: int) -> Any:
    """An onnxruntime session of the file that `facts` speak of."""
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(f"onnxruntime cannot be imported ({error}); {_INSTALL}") from None
    require_unchanged(path, facts)
    if without_surrogates(str(path)) != str(path):
        raise UserError(f"{path}: onnxruntime reads no file whose path is not UTF-8; rename its folder.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = num_threads, 1
    options.log_severity_level = 3
    # Threads that wait for the next call by spinning would take their time from whatever else runs meanwhile.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        # From the path: handed over as bytes, the file would be in memory twice while it is read.
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no base of their own
        reason = first_line(error)
        raise UserError(
            f"onnxruntime {onnxruntime.__version__} cannot run {path}, made with "
            f"{facts.get('versions', {}).get('onnxruntime', 'an unknown version')}: {reason}"
        ) from None


class Answerer:
    """A loaded model; `load` makes it.

    Attributes:
        kind: what its answers are: of `Kind.CLASSES` `ClassAnswer`, of `Kind.ENTITIES` `EntityAnswer`.
        labels: what the model's outputs stand for, in order.
        max_seq_length: longer texts are truncated, or for entities read in windows (tokens, special ones included).
        facts: what the folder's compressed.json says.
    """

    def __init__(self, folder: Path, facts: dict[str, Any], num_threads: int):
        self.folder, self.facts, self._num_threads = folder, facts, num_threads
        self.labels, self.max_seq_length = list(facts["labels"]), int(facts["max_seq_length"])
        self.kind = kind_of_facts(facts)
        self._per_token = KINDS[self.kind].per_token
        self._decoder = decoder_of(facts, folder)
        self._encoder = FastEncoder(folder)
        self._session = _session(model_path(folder, ONNX), facts, num_threads)
        self._require_matching_outputs()
        self._special = [self._encoder.vocab[token] for token in ("[CLS]", "[SEP]", "[PAD]")]

    def __reduce__(self) -> tuple[Any, ...]:
        return load, (self.folder.absolute(), self._num_threads)

    def _require_matching_outputs(self) -> None:
        """Raise `UserError` unless the model gives a number for each label, of each token if its kind asks for it."""
        shape = self._session.get_outputs()[0].shape
        where = self.folder / FACTS_NAME
        per_token = len(shape) == 3
        if per_token != self._per_token:
            wanted = next(name for name, kind in STORED_KINDS.items() if KINDS[kind].per_token == per_token)
            raise UserError(f"{where}: kind must be {wanted}, as the model beside it is; {ANEW}")
        if shape[-1] != len(self.labels):
            raise UserError(f"{where}: {len(self.labels)} labels, but the model beside it tells {shape[-1]}; {ANEW}")

    def _input(self, text: str) -> _Input:
        # MeCab takes a null character for the end of the text; white space it passes over.
        encoding = self._encoder.encode(text.replace("\0", " "))
        room, (cls, sep, _) = self.max_seq_length - 2, self._special
        starts = window_starts(len(encoding.ids), room) if self._per_token else [0]
        rows = [[cls, *encoding.ids[start : start + room], sep] for start in starts]
        truncated = not self._per_token and len(encoding.ids) > room
        return _Input(text, rows, starts, encoding.offsets, truncated)

    def _logits(self, rows: Sequence[list[int]]) -> np.ndarray:
        """[rows, labels] or [rows, tokens, labels], float32; rows are padded to the longest of them."""
        if len(rows) == 1:
            ids = np.array(rows, np.int64)
            mask = np.ones_like(ids)
        else:
            ids = np.full((len(rows), max(map(len, rows))), self._special[2], np.int64)
            mask = np.zeros_like(ids)
            for index, row in enumerate(rows):
                ids[index, : len(row)], mask[index, : len(row)] = row, 1
        return self._session.run(["logits"], {"input_ids": ids, "attention_mask": mask})[0]

    def _answer(self, given: _Input, logits: Sequence[np.ndarray]) -> ClassAnswer | EntityAnswer:
        return _ANSWERS[self.kind](self, given, logits)

    def _class_answer(self, given: _Input, logits: Sequence[np.ndarray]) -> ClassAnswer:
        shares = np.exp(logits[0].astype(np.float64) - logits[0].max())
        shares /= shares.sum()
        best = int(shares.argmax())
        probabilities = dict(zip(self.labels, shares.tolist(), strict=True))
        return ClassAnswer(self.labels[best], float(shares[best]), probabilities, given.truncated)

    def _entity_answer(self, given: _Input, logits: Sequence[np.ndarray]) -> EntityAnswer:
        pieces = [each[1 : len(row) - 1] for row, each in zip(given.rows, logits, strict=True)]
        scores = stitch(pieces, given.starts)
        best = scores.argmax(-1) if self._decoder is None else self._decoder.best(scores)
        spans = spans_of_tags(given.offsets, [self.labels[index] for index in best])
        return EntityAnswer([Entity(start, end, of_type, given.text[start:end]) for start, end, of_type in spans])

    def tokens(self, text: str) -> int:
        """Number of tokens the model is given for a text, special ones included."""
        return sum(map(len, self._input(text).rows))

    def predict_one(self, text: str) -> ClassAnswer | EntityAnswer:
        """The answer for one text, of any length and content."""
        given = self._input(text)
        return self._answer(given, [self._logits([row])[0] for row in given.rows])

    def predict(self, texts: Sequence[str], batch_size: int = 1) -> list[Any]:
        """Answers in the order of `texts`.

        Args:
            batch_size: texts per model call. Texts of like length share a batch, which saves time on a machine with
                many cores. Activations are rounded over all that shares a call, so that an answer may depend a little
                on the others; with 1 it does not.
        """
        if isinstance(texts, str):
            raise TypeError("predict() takes a list of texts; predict_one() takes a single one")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        inputs = [self._input(text) for text in texts]
        rows = [row for given in inputs for row in given.rows]
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        logits: list[Any] = [None] * len(rows)
        for start in range(0, len(order), batch_size):
            members = order[start : start + batch_size]
            for index, each in zip(members, self._logits([rows[index] for index in members]), strict=True):
                logits[index] = each
        remaining = iter(logits)
        return [self._answer(given, [next(remaining) for _ in given.rows]) for given in inputs]


_ANSWERS: dict[Kind, Callable[[Answerer, _Input, Sequence[np.ndarray]], ClassAnswer | EntityAnswer]] = {
    Kind.CLASSES: Answerer._class_answer,
    Kind.ENTITIES: Answerer._entity_answer,
}


def load(folder: str | Path, num_threads: int = 1) -> Answerer:
    """The model of a folder that `compress.py --treatment onnx` (or fast) made.

    Args:
        folder: such a folder, or the one above it, compressed/TASK: then that of the treatment onnx, the default.
        num_threads: threads of a model call. One leaves the other cores to whatever else runs and costs little: the
            products of one sentence are small, and more threads are a little faster at best.

    Raises `UserError` if the folder is no such folder, something is missing or damaged, the vocabulary is not the
    model's, or this version of onnxruntime cannot run it.
    """
    if num_threads < 1:
        raise UserError(f"num_threads must be at least 1, not {num_threads}.")
    folder = with_default_treatment(folder)
    return Answerer(folder, read_facts(folder, ONNX), num_threads)
