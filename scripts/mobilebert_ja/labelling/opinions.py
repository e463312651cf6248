"""What one teacher thinks of a text, and what several think together, though they cut it into tokens differently."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobilebert_ja.inference.decoding import Span, bio_labels, constrained_decoder, entity_types
from mobilebert_ja.inference.kinds import Kind
from mobilebert_ja.tasks.silver import Silver, SilverClass, SilverSpans

WRITTEN_BELOW = 0.99  # confidence that there is no entity, from which on a stretch is not worth a word in the file
_LEAST = 1e-9


@dataclass(frozen=True)
class TagOpinion:
    """Of a text the tokens of a teacher, as offsets into it, and the probability of each tag, [tokens, labels]."""

    offsets: list[tuple[int, int]]
    probabilities: np.ndarray


def softmax(scores: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


def mean_class(text: str, opinions: Sequence[np.ndarray], _labels: Sequence[str]) -> Silver:
    """The mean of the probabilities [labels]."""
    return SilverClass(text, tuple(map(float, np.mean(opinions, 0))))


def mean_spans(text: str, opinions: Sequence[TagOpinion], labels: Sequence[str]) -> Silver:
    """The likeliest entities by the mean of the teachers' probabilities, each with its confidence.

    A text is cut wherever a token of any teacher begins or ends, so of one teacher the pieces are its tokens. The
    confidence of an entity is that of its weakest piece: that it begins here, goes on there, and ends where it does.

    Args:
        labels: BIO tags with "O" first, as `bio_labels` gives them.
    """
    pieces = _pieces(opinions)
    if not pieces:
        return SilverSpans(text, ())
    shares = np.mean([_on_pieces(opinion, pieces) for opinion in opinions], 0)
    best = constrained_decoder(labels).best(np.log(np.maximum(shares, _LEAST)))
    types = entity_types(labels)
    assert list(labels) == bio_labels(types)  # so that of type t, B is 1 + 2t and I is 2 + 2t
    entities: list[tuple[Span, float]] = []
    outside: list[tuple[tuple[int, int], float]] = []
    index = 0
    while index < len(pieces):
        first, tag = index, best[index]
        index += 1
        if tag == 0:
            _note(outside, pieces, first, float(shares[first, 0]))
            continue
        while index < len(pieces) and best[index] == tag + 1:
            index += 1
        steps = [shares[first, tag], *shares[first + 1 : index, tag + 1]]
        if index < len(pieces):
            steps.append(1 - shares[index, tag + 1])
        span = (pieces[first][0], pieces[index - 1][1], types[(tag - 1) // 2])
        entities.append((span, float(min(steps))))
    return SilverSpans(text, tuple(entities), tuple(outside))


def _note(outside: list[Any], pieces: Sequence[tuple[int, int]], index: int, confidence: float) -> None:
    """Write a piece outside of entities down if it is doubtful, with the one before it if that is too."""
    if confidence >= WRITTEN_BELOW:
        return
    start, end = pieces[index]
    if outside and index and outside[-1][0][1] == pieces[index - 1][1]:
        (start, _), before = outside.pop()
        confidence = min(confidence, before)
    outside.append(((start, end), confidence))


def _pieces(opinions: Sequence[TagOpinion]) -> list[tuple[int, int]]:
    """The stretches between borders of tokens that are covered by a token of some teacher."""
    tokens = {offset for opinion in opinions for offset in opinion.offsets if offset[0] < offset[1]}
    borders = sorted({border for offset in tokens for border in offset})
    covered: set[int] = set()
    for start, end in tokens:
        covered.update(range(start, end))
    return [(a, b) for a, b in itertools.pairwise(borders) if a in covered]


def _on_pieces(opinion: TagOpinion, pieces: Sequence[tuple[int, int]]) -> np.ndarray:
    """A teacher's probabilities [pieces, labels]. Within a token nothing begins; what has no token of his, white space
    for example, belongs to an entity if the next token goes on with one."""
    kept = [index for index, (start, end) in enumerate(opinion.offsets) if start < end]
    rows = np.zeros((len(pieces), opinion.probabilities.shape[1]))
    place = 0
    for number, (start, _) in enumerate(pieces):
        while place < len(kept) and opinion.offsets[kept[place]][1] <= start:
            place += 1
        if place == len(kept):
            rows[number, 0] = 1
            continue
        begins = opinion.offsets[kept[place]][0]
        own = opinion.probabilities[kept[place]]
        if begins == start:
            rows[number] = own
            continue
        rows[number, 2::2] = own[2::2] if begins > start else own[1::2] + own[2::2]
        rows[number, 0] = 1 - rows[number, 2::2].sum()
    return rows


# From the opinions of several teachers to one answer: (text, opinions, labels) -> answer.
TOGETHER: dict[Kind, Callable[[str, Sequence[Any], Sequence[str]], Silver]] = {
    Kind.CLASSES: mean_class,
    Kind.ENTITIES: mean_spans,
}
