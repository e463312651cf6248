"""The packed corpus as text again: for whoever is asked about it and reads no tokens of ours. No torch, no MeCab."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mobilebert_ja.pretraining.shards import Source
from mobilebert_ja.tokenization.encoder import SPECIAL_TOKENS, UNUSED_TOKENS


@dataclass
class Stretch:
    """Consecutive sentences of one document.

    Attributes:
        first: index of its first token in the source.
        text: the tokens' text, joined.
        spans: [tokens, 2], the characters [start, end) of each token in `text`; empty for a token without text.
    """

    first: int
    text: str
    spans: np.ndarray


def _pieces(vocabulary: list[str]) -> list[str]:
    """The text of each entry of a vocabulary; "" for special and unused ones."""
    without_text = {*SPECIAL_TOKENS, *UNUSED_TOKENS}
    return ["" if entry in without_text else entry.removeprefix("##") for entry in vocabulary]


class Stretches:
    """The tokens of some sources in stretches of whole sentences of one document, each of at most `max_tokens` tokens
    if its sentences allow it; a longer sentence is split. A sequence whose texts are made when they are asked for.

    Args:
        max_tokens: None for each sentence by itself, whole, as it was when it was packed.

    Attributes:
        places: [stretches, 3], the number of its source, its first token there and the one behind its last.
    """

    def __init__(self, sources: list[Source], vocabulary: list[str], max_tokens: int | None):
        self.sources = sources
        self._pieces = _pieces(vocabulary)
        self._continues = [entry.startswith("##") for entry in vocabulary]
        places = [(number, *each) for number, source in enumerate(sources) for each in _places(source, max_tokens)]
        self.places = np.array(places, np.int64).reshape(-1, 3)

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[Stretch]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Stretch:
        number, begin, end = self.places[index].tolist()
        return _stretch(self.sources[number].tokens, begin, end, self._pieces, self._continues)


def _places(source: Source, max_tokens: int | None) -> Iterator[tuple[int, int]]:
    """First token and the one behind the last of each stretch of a source."""
    borders = np.union1d(source.sentences, source.documents).tolist()
    if max_tokens is None:
        yield from itertools.pairwise(borders)
        return
    documents = set(source.documents.tolist())
    begin = 0
    for sentence_end, following in zip(borders[1:], [*borders[2:], None], strict=True):
        while sentence_end - begin > max_tokens:
            yield begin, begin + max_tokens
            begin += max_tokens
        if sentence_end in documents or following is None or following - begin > max_tokens:
            if sentence_end > begin:
                yield begin, sentence_end
            begin = sentence_end


def _needs_space(previous: str, piece: str) -> bool:
    """Words of Latin letters lost the space between them when they were packed."""
    before, after = previous[-1:], piece[:1]
    return before.isascii() and before.isalnum() and after.isascii() and after.isalnum()


def _stretch(tokens: np.ndarray, begin: int, end: int, pieces: list[str], continues: list[bool]) -> Stretch:
    text: list[str] = []
    spans = np.zeros((end - begin, 2), np.int64)
    length = 0
    previous = ""
    for index, token in enumerate(tokens[begin:end].tolist()):
        piece = pieces[token]
        if _needs_space(previous, piece) and not continues[token]:
            text.append(" ")
            length += 1
        spans[index] = length, length + len(piece)
        text.append(piece)
        length += len(piece)
        previous = piece or previous
    return Stretch(begin, "".join(text), spans)
