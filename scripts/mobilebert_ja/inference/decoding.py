"""From the scores of tags to spans of characters: the best sequence of tags, and the spans that it marks.

Needs numpy alone, so that answers can be given without torch. The best sequence has no I- without its B-, and heeds
learned transitions, if any are kept. A model's folder holds its decoding in decoding.json; a folder without one takes
the best tag of each token by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json, write_json

DECODING_NAME = "decoding.json"
DECODINGS = ("plain", "constrained", "crf")
OUTSIDE = "O"  # the tag of what belongs to no entity; any other tag is B- or I- and the type, which may be any text
Span = tuple[int, int, str]  # start, end, type: characters text[start:end]


def bio_labels(types: Sequence[str]) -> list[str]:
    """ "O", then B- and I- of each type."""
    return [OUTSIDE, *(f"{prefix}-{each}" for each in types for prefix in "BI")]


def entity_types(labels: Sequence[str]) -> list[str]:
    """The types that BIO tags speak of, each once, in the order of the tags; a type may itself look like a tag."""
    return list(dict.fromkeys(label.partition("-")[2] for label in labels if label != OUTSIDE))


def spans_of_tags(offsets: Sequence[tuple[int, int]], tags: Sequence[str]) -> list[Span]:
    """Character spans of tagged tokens, in order.

    An I- that continues nothing of its own type begins a span, as in conlleval. Spans never overlap: if several tokens
    come from one character (three from ㈱), none begins within a character that the one before has. Tokens of no width
    (there are none of them in sound text) carry no span.
    """
    spans: list[Span] = []
    open_type = ""  # of the span that is open
    for (start, end), tag in zip(offsets, tags, strict=True):
        prefix, _, own_type = tag.partition("-")
        if prefix == "I" and own_type == open_type:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]), open_type)
        elif prefix in ("B", "I") and spans and start < spans[-1][1]:
            own_type = spans[-1][2]
        elif prefix in ("B", "I"):
            spans.append((start, end, own_type))
        open_type = own_type
    return [span for span in spans if span[0] < span[1]]


def allowed_transitions(labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Which tag may begin a sentence [labels], and which may follow which [from, to]: I-X only after B-X or I-X."""
    begins = np.array([not label.startswith("I-") for label in labels])
    follows = np.array(
        [[not after.startswith("I-") or before[1:] == after[1:] for after in labels] for before in labels]
    )
    return begins, follows


@dataclass(frozen=True)
class Decoder:
    """The best sequence of tags by Viterbi's algorithm.

    Attributes:
        method: "constrained" or "crf", for the record.
        start: [labels] added to the scores of the first token; -inf where a tag may not stand.
        transitions: [labels, labels] added for a tag (row) followed by another (column).
        end: [labels] added to the scores of the last token.
    """

    method: str
    start: np.ndarray
    transitions: np.ndarray
    end: np.ndarray

    def best(self, scores: np.ndarray) -> list[int]:
        """Indices of the tags for scores [tokens, labels], normalized or not: that shifts every path alike."""
        if not len(scores):
            return []
        reached = self.start + scores[0]
        back = np.zeros(scores.shape, np.int64)
        for index in range(1, len(scores)):
            candidates = reached[:, None] + self.transitions
            back[index] = candidates.argmax(0)
            reached = candidates.max(0) + scores[index]
        tags = [int((reached + self.end).argmax())]
        for index in range(len(scores) - 1, 0, -1):
            tags.append(int(back[index, tags[-1]]))
        return tags[::-1]

    def marginals(self, scores: np.ndarray) -> np.ndarray:
        """Probability of each tag of each token, [tokens, labels], by the forward-backward algorithm.

        Args:
            scores: [tokens, labels], the logits that the transitions were learned with.
        """
        if not len(scores):
            return np.zeros(scores.shape)
        with np.errstate(divide="ignore"):  # log(0) of what may not be
            forward = [self.start + scores[0]]
            for own in scores[1:]:
                forward.append(np.logaddexp.reduce(forward[-1][:, None] + self.transitions, 0) + own)
            backward = [self.end]
            for own in scores[:0:-1]:
                backward.append(np.logaddexp.reduce(self.transitions + (own + backward[-1]), 1))
        paths = np.array(forward) + np.array(backward[::-1])
        shares = np.exp(paths - paths.max(1, keepdims=True))
        return shares / shares.sum(1, keepdims=True)

    def as_json(self, labels: Sequence[str]) -> dict[str, Any]:
        """What `decoder_from_json` reads; what may not be stands there as null."""
        return {
            "method": self.method,
            "labels": list(labels),
            "start": _as_list(self.start),
            "transitions": [_as_list(row) for row in self.transitions],
            "end": _as_list(self.end),
        }

    def save(self, folder: Path, labels: Sequence[str]) -> None:
        """Write decoding.json to a model's folder."""
        write_json(folder / DECODING_NAME, self.as_json(labels))


def _as_list(values: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def _as_array(values: Any) -> np.ndarray:
    return np.array(
        [_as_array(each) if isinstance(each, list) else -np.inf if each is None else each for each in values],
        np.float64,
    )


def constrained_decoder(labels: Sequence[str]) -> Decoder:
    """Every path that is well-formed IOB2 is as good as the scores of its tags; others are out of the question."""
    begins, follows = allowed_transitions(labels)
    return Decoder(
        "constrained", np.where(begins, 0.0, -np.inf), np.where(follows, 0.0, -np.inf), np.zeros(len(labels))
    )


def decoder_from_json(stored: Any, labels: Sequence[str], where: Path) -> Decoder:
    """The decoder that stands in a file. Raises `UserError` naming `where` if it is none, or not of `labels`."""
    try:
        of = stored["labels"]
        decoder = Decoder(stored["method"], *(_as_array(stored[name]) for name in ("start", "transitions", "end")))
    except (KeyError, TypeError, ValueError):
        raise UserError(f"The decoding in {where} is damaged; --overwrite makes the folder anew.") from None
    size = len(labels)
    shapes = decoder.start.shape, decoder.transitions.shape, decoder.end.shape
    if list(of) != list(labels) or shapes != ((size,), (size, size), (size,)):
        raise UserError(f"The decoding in {where} is of other labels than the model beside it.")
    return decoder


def read_decoder(folder: Path, labels: Sequence[str]) -> Decoder | None:
    """The decoder of a fine-tuned folder; None without decoding.json. Raises `UserError` if it does not fit."""
    path = folder / DECODING_NAME
    return decoder_from_json(read_json(path), labels, path) if path.is_file() else None
