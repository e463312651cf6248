"""Packed token shards: a corpus as flat arrays that numpy alone can map into memory. No torch, no MeCab.

A source `NAME` of a split is three files: `SPLIT-NAME.tokens.npy` (uint16, no special tokens),
`SPLIT-NAME.sentences.npy` and `SPLIT-NAME.documents.npy` (int64, index of each one's first token, and the total at the
end). `index.json` lists them with their checksums, the vocabulary's size, the special tokens' ids, and the ids of the
tokens that continue a word, so that words are found again for whole-word masking.
"""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json, sha256_of, write_json
from mobilebert_ja.settings import comma_separated
from mobilebert_ja.tokenization.encoder import read_vocabulary

INDEX_NAME = "index.json"
PARTS = ("tokens", "sentences", "documents")


def check_vocabulary(size: int) -> None:
    """Raises `UserError` if a token's id does not fit into 16 bits."""
    if size > 1 << 16:
        raise UserError(f"The vocabulary has {size:,} entries; packed shards hold ids below {1 << 16:,}.")


def write_source(folder: Path, split: str, name: str, documents: list[list[list[int]]]) -> dict[str, int]:
    """Write one source. `documents` holds documents of sentences of token ids; returns the counts."""
    tokens = [np.asarray(sentence, dtype=np.uint16) for document in documents for sentence in document]
    lengths = np.array([len(sentence) for sentence in tokens], dtype=np.int64)
    sentences = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    per_document = np.cumsum([0] + [len(document) for document in documents])
    arrays = {
        "tokens": np.concatenate(tokens) if tokens else np.zeros(0, np.uint16),
        "sentences": sentences,
        "documents": sentences[per_document],
    }
    for part, array in arrays.items():
        np.save(folder / f"{split}-{name}.{part}.npy", array)
    return {"documents": len(documents), "sentences": len(tokens), "tokens": int(sentences[-1])}


def write_index(folder: Path, vocabulary: dict[str, int], counts: dict[str, dict[str, Any]]) -> None:
    """Write index.json over the sources in `folder`; `counts` maps "SPLIT-NAME" to what `write_source` returned."""
    files = {file.name: sha256_of(file) for file in sorted(folder.glob("*.npy"))}
    write_json(
        folder / INDEX_NAME,
        {
            "format": 1,
            "vocab_size": len(vocabulary),
            "special_ids": {name: vocabulary[name] for name in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")},
            "continuing_ids": sorted(number for token, number in vocabulary.items() if token.startswith("##")),
            "sources": counts,
            "sha256": files,
        },
    )


@dataclass
class Source:
    """One source of a split, mapped into memory: a piece of the part of the corpus that its name begins with."""

    name: str
    tokens: np.ndarray
    sentences: np.ndarray
    documents: np.ndarray

    @property
    def part(self) -> str:
        """The name of the part: "aozora" of "aozora-00003"."""
        return _part_of(self.name)


def _part_of(name: str) -> str:
    return re.sub(r"-\d{5}$", "", name)


class Shards:
    """The sources of one split ("train" or "heldout") of a shards folder.

    Raises `UserError` if the folder is not one, holds nothing for the split, or a file differs from its checksum.
    """

    def __init__(self, folder: str | Path, split: str):
        self.folder = Path(folder)
        self.index = read_json(self.folder / INDEX_NAME, "pack_corpus.py makes packed shards.")
        self.sources: list[Source] = []
        for key, counts in sorted(self.index["sources"].items()):
            if not key.startswith(f"{split}-") or counts["tokens"] == 0:
                continue
            arrays = {}
            for part in PARTS:
                file = self.folder / f"{key}.{part}.npy"
                if not file.is_file() or sha256_of(file) != self.index["sha256"].get(file.name):
                    raise UserError(f"{file} is missing or damaged (its checksum differs); pack the corpus anew.")
                arrays[part] = np.load(file, mmap_mode="r")
            self.sources.append(Source(key.removeprefix(f"{split}-"), **arrays))
        if not self.sources:
            raise UserError(f"{self.folder} holds no '{split}' text.")

    @property
    def total_tokens(self) -> int:
        return sum(len(source.tokens) for source in self.sources)

    def matching(self, patterns: str) -> list[Source]:
        """The sources whose part one of the patterns matches, as 'wikipedia_*,wikinews'; none given: all.

        Raises `UserError` if no source matches.
        """
        wanted = comma_separated(patterns) or ["*"]
        chosen = [each for each in self.sources if any(fnmatch.fnmatch(each.part, pattern) for pattern in wanted)]
        if not chosen:
            names = ", ".join(sorted({source.part for source in self.sources}))
            raise UserError(f"--sources {patterns}: no source matches; there are {names}.")
        return chosen


def vocabulary_of(shards: Shards, path: Path) -> list[str]:
    """The entries of a vocab.txt in their order. Raises `UserError` unless the shards were packed with as many."""
    vocabulary = list(read_vocabulary(path))
    if len(vocabulary) != shards.index["vocab_size"]:
        raise UserError(
            f"{path} has {len(vocabulary)} entries, the shards were packed with {shards.index['vocab_size']}."
        )
    return vocabulary


def parse_mixture(text: str) -> list[tuple[str, float]]:
    """'aozora=0.3,msdocs_*=0.5' -> [(pattern, weight)]. Raises `UserError` for anything else."""
    pairs = []
    for item in comma_separated(text):
        pattern, _, written = item.partition("=")
        try:
            weight = float(written)
        except ValueError:
            raise UserError(f"--mixture: '{item}' is not PATTERN=WEIGHT, for example aozora=0.3.") from None
        if not (math.isfinite(weight) and weight >= 0):
            raise UserError(f"--mixture: a weight must be a number of at least 0, not '{written}' as in '{item}'.")
        pairs.append((pattern, weight))
    return pairs


def source_weights(shards: Shards, mixture: str) -> list[float]:
    """The weight of each source: that of the first pattern of `mixture` that matches its part, else 1.

    Raises `UserError` for a pattern that matches none of them and no part of the training text: held-out text may lack
    a small one.
    """
    patterns = parse_mixture(mixture)
    training = [
        key.removeprefix("train-")
        for key, counts in shards.index["sources"].items()
        if key.startswith("train-") and counts["tokens"]
    ]
    parts = {source.part for source in shards.sources} | {_part_of(name) for name in training}
    for pattern, _ in patterns:
        if not fnmatch.filter(parts, pattern):
            raise UserError(f"--mixture: no source matches '{pattern}'; there are {', '.join(sorted(parts))}.")
    return [
        next((weight for pattern, weight in patterns if fnmatch.fnmatch(source.part, pattern)), 1.0)
        for source in shards.sources
    ]


class Rows:
    """Training rows as a pure function of their index, so that a resume needs no more than an index.

    Every epoch cuts each source's token stream into windows at a fresh offset and shuffles them all; a source of
    weight 0.3 gives a random 30 % of its windows, one of weight 2 each window twice. A row is
    `[CLS] window [SEP]`, or `[CLS] A [SEP] B [SEP]` with next-sentence prediction, always exactly `length` tokens.

    Args:
        guide: (source, first token, tokens of the window) -> a guide's answers for the row; not with pairs.
        tags: the same for the classes of its words.
    """

    def __init__(
        self,
        shards: Shards,
        length: int,
        seed: int,
        mixture: str = "",
        pairs: bool = False,
        guide: Callable[[Source, int, int], np.ndarray] | None = None,
        tags: Callable[[Source, int, int], np.ndarray] | None = None,
    ):
        if guide is not None and pairs:
            raise UserError("--guide goes with --next_sentence_prediction false: rows of two parts have no answers.")
        if tags is not None and pairs:
            raise UserError("--tags goes with --next_sentence_prediction false: rows of two parts have no tags.")
        self.guide, self.tags = guide, tags
        self.shards, self.length, self.seed, self.pairs = shards, length, seed, pairs
        self.window = length - (3 if pairs else 2)
        special = shards.index["special_ids"]
        self.cls, self.sep = special["[CLS]"], special["[SEP]"]
        self.weights = source_weights(shards, mixture)
        sizes = [max(len(source.tokens) // self.window - 1, 0) for source in shards.sources]
        self.counts = [round(size * weight) for size, weight in zip(sizes, self.weights, strict=True)]
        self.rows_per_epoch = sum(self.counts)
        if self.rows_per_epoch == 0:
            raise UserError(f"{shards.folder} is too small for rows of {length} tokens.")
        self._epoch = -1
        self._plan = np.zeros((0, 2), np.int64)

    def _plan_of(self, epoch: int) -> np.ndarray:
        """[rows_per_epoch, 2]: source and first token of each row of the epoch, shuffled."""
        if epoch != self._epoch:
            rng = np.random.default_rng([self.seed, epoch])
            parts = []
            for number, (source, count) in enumerate(zip(self.shards.sources, self.counts, strict=True)):
                windows = len(source.tokens) // self.window - 1
                rounds = [rng.permutation(windows) for _ in range(-(-count // windows))] if count else []
                starts = np.concatenate(rounds)[:count] * self.window if rounds else np.zeros(0, np.int64)
                starts = starts + rng.integers(self.window)
                parts.append(np.stack([np.full(len(starts), number), starts], axis=1))
            plan = np.concatenate(parts)
            rng.shuffle(plan)
            self._epoch, self._plan = epoch, plan
        return self._plan

    def _window(self, index: int) -> tuple[np.ndarray, Source, int]:
        epoch, position = divmod(index, self.rows_per_epoch)
        source_number, start = self._plan_of(epoch)[position]
        source = self.shards.sources[source_number]
        return np.asarray(source.tokens[start : start + self.window], dtype=np.int64), source, int(start)

    def row(self, index: int) -> dict[str, Any]:
        """`input_ids` and `token_type_ids`, int64 [length]; with pairs `next_sentence_label` (0: B follows A); with a
        guide its answers `guide`, int8 [length, dimensions]; with tags `tags`, uint8 [length]."""
        tokens, source, start = self._window(index)
        if not self.pairs:
            ids = np.concatenate([[self.cls], tokens, [self.sep]])
            row = {"input_ids": ids, "token_type_ids": np.zeros_like(ids)}
            beside = {"guide": self.guide, "tags": self.tags}
            return row | {name: of(source, start, self.window) for name, of in beside.items() if of is not None}
        rng = np.random.default_rng([self.seed, 1, index])
        # A ends at the sentence boundary nearest to the middle, if the middle half has one.
        middle = start + self.window // 2
        nearest = np.searchsorted(source.sentences, middle)
        candidates = source.sentences[max(nearest - 1, 0) : nearest + 1] - start
        inside = [int(cut) for cut in candidates if self.window // 4 <= cut <= self.window - self.window // 4]
        cut = min(inside, key=lambda index: abs(index - self.window // 2)) if inside else self.window // 2
        first, second, label = tokens[:cut], tokens[cut:], 0
        if rng.random() < 0.5:
            epoch = index // self.rows_per_epoch
            other, _, _ = self._window(epoch * self.rows_per_epoch + int(rng.integers(self.rows_per_epoch)))
            second, label = other[cut:], 1
        ids = np.concatenate([[self.cls], first, [self.sep], second, [self.sep]])
        types = np.concatenate([np.zeros(cut + 2, np.int64), np.ones(len(ids) - cut - 2, np.int64)])
        return {"input_ids": ids, "token_type_ids": types, "next_sentence_label": label}

    def batch(self, first: int, size: int) -> dict[str, np.ndarray]:
        """Rows first, first + 1, ..., stacked to int64 [size, length]."""
        rows = [self.row(index) for index in range(first, first + size)]
        return {key: np.stack([row[key] for row in rows]) for key in rows[0]}
