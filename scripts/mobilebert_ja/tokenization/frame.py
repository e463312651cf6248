"""What whoever makes a model's rows must know of a tokenizer, whichever it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass
class Encoding:
    """A text as tokens, special ones not included. `offsets` are [start, end) into the text before normalization."""

    ids: list[int]
    offsets: list[tuple[int, int]]
    words: list[str] = field(default_factory=list)  # of MeCab, after normalization, without white space


@dataclass(frozen=True)
class Frame:
    """The special tokens around what a model reads, as ids: begin, text, end; or begin, text, between, second, end.

    Attributes:
        pad_id: of padding.
        second_segment: token type of the second text and of what follows it; all else has 0.
    """

    begin: tuple[int, ...]
    between: tuple[int, ...]
    end: tuple[int, ...]
    pad_id: int
    second_segment: int = 1

    @property
    def size(self) -> int:
        """Special tokens around one text."""
        return len(self.begin) + len(self.end)

    @property
    def size_of_pair(self) -> int:
        """Special tokens around and between two texts."""
        return self.size + len(self.between)

    def single(self, ids: Sequence[int]) -> list[int]:
        """A text as the model is given it."""
        return [*self.begin, *ids, *self.end]

    def pair(self, first: Sequence[int], second: Sequence[int]) -> list[int]:
        """Two texts as the model is given them."""
        return [*self.begin, *first, *self.between, *second, *self.end]

    def types_of_pair(self, first: int, second: int) -> list[int]:
        """Token types of a pair of so many tokens each."""
        before, after = len(self.begin) + first + len(self.between), second + len(self.end)
        return [0] * before + [self.second_segment] * after


class TextEncoder(Protocol):
    """From a text to tokens that know where they stand in it. `encoders.make_encoder` makes one of any tokenizer.

    Attributes:
        entries: ids lie below this number.
        frame: the special tokens around the tokens of a text.
    """

    entries: int
    frame: Frame

    def ids(self, text: str) -> list[int]:
        """Token ids of `text`, special ones not included."""

    def encode(self, text: str) -> Encoding:
        """Tokens of `text` with their offsets in it. What a text spells out, such as "[SEP]", is ordinary text."""
