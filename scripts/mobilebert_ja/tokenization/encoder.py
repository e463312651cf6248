"""A fast encoder of `BertJapaneseTokenizer`'s kind that knows each token's offsets in the text.

What it is read from is told in folders.py, whose names can be imported from here too.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

from mobilebert_ja.common.text.normalization import OTHER_THAN_PLAIN, nfkc, normalize_with_offsets, without_surrogates
from mobilebert_ja.tokenization.folders import (
    SPECIAL_TOKENS,
    TOKENIZER_CONFIG,
    UNUSED_TOKENS,
    copy_tokenizer,
    dictionary_of,
    load_tokenizer,
    locate_tokenizer,
    method_of,
    read_vocabulary,
    save_tokenizer,
)
from mobilebert_ja.tokenization.frame import Encoding, Frame
from mobilebert_ja.tokenization.mecab import dictionary_folder, words_of, words_with_features

__all__ = [
    "MAX_CHARS_PER_WORD",
    "SPECIAL_TOKENS",
    "TOKENIZER_CONFIG",
    "UNUSED_TOKENS",
    "Encoding",
    "FastEncoder",
    "Word",
    "copy_tokenizer",
    "dictionary_of",
    "load_tokenizer",
    "locate_tokenizer",
    "read_vocabulary",
    "save_tokenizer",
    "words_with_offsets",
]

_REMEMBERED_WORDS = 1_000_000  # a corpus has no end of rare words; past this, remembering starts anew
MAX_CHARS_PER_WORD = 100  # longer words become one [UNK], as in BertJapaneseTokenizer

_SPACE_OTHER_THAN_BLANK = re.compile(r"[^\S ]")


@dataclass(frozen=True)
class Word:
    """A MeCab word: as it stands after NFKC, its features (part of speech first, comma separated), and its offset,
    [start, end) into the text before normalization.
    """

    surface: str
    part_of_speech: str
    offset: tuple[int, int]


def words_with_offsets(text: str) -> list[Word]:
    """MeCab words of a text, not divided by WordPiece, with what MeCab knows of them."""
    normalized, origin = normalize_with_offsets(without_surrogates(text))
    words = words_with_features(normalized)
    surfaces = [surface for surface, _ in words]
    offsets = _offsets(normalized, origin, surfaces, [(len(surface),) for surface in surfaces])
    return [Word(*word, offset) for word, offset in zip(words, offsets, strict=True)]


class _PiecesOfWords(dict[str, tuple[int, ...]]):
    """word -> ids of its pieces; in `lengths`, word -> their lengths in characters. WordPiece runs once per word.

    With `characters` each character is a piece.
    """

    def __init__(self, vocabulary: dict[str, int], characters: bool = False):
        from tokenizers.models import BPE, WordPiece

        super().__init__()
        self._characters = characters
        self._model = (
            BPE(vocabulary, [], unk_token="[UNK]")  # nothing is merged
            if characters
            else WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=MAX_CHARS_PER_WORD)
        )
        self.lengths: dict[str, tuple[int, ...]] = {}

    def __missing__(self, word: str) -> tuple[int, ...]:
        return self._learn(word)[0]

    def _learn(self, word: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Ids and lengths of a word's pieces, remembered from now on."""
        tokens = self._model.tokenize(word)
        ids = tuple(token.id for token in tokens)
        if self._characters:
            lengths: tuple[int, ...] = (1,) * len(tokens)
        elif len(tokens) == 1:  # of [UNK], the length of its name says nothing
            lengths = (len(word),)
        else:
            lengths = tuple(len(token.value) - (2 if index else 0) for index, token in enumerate(tokens))
        if len(self) >= _REMEMBERED_WORDS:
            self.clear()
            self.lengths.clear()
        self.lengths[word] = lengths  # first: another thread that finds the ids finds the lengths too
        self[word] = ids
        return ids, lengths

    def ids_of(self, words: list[str]) -> list[int]:
        return list(chain.from_iterable(map(self.__getitem__, words)))

    def lengths_of(self, words: list[str]) -> list[tuple[int, ...]]:
        """Of words that `ids_of` has just been asked for."""
        try:
            return list(map(self.lengths.__getitem__, words))
        except KeyError:  # the memory was cleared in the middle of them, here or by another thread
            return [self.lengths.get(word) or self._learn(word)[1] for word in words]


class FastEncoder:
    """Same ids as `BertJapaneseTokenizer`, several times faster, with character offsets.

    Of its methods: MeCab's words as WordPiece (this repository's) or as characters, and characters alone.
    One difference is meant: "[MASK]" and the like in a text are ordinary characters here, never special tokens.

    Args:
        source: a folder with vocab.txt, or a loaded tokenizer of transformers (its `vocab` is used).
        dictionary: of MeCab, one of `DICTIONARIES`; none: the source's own.

    Raises `UserError` if the vocabulary is damaged or the dictionary is not installed.
    """

    def __init__(self, source: str | Path | Any, dictionary: str | None = None):
        if isinstance(source, str | Path):
            self.vocab = read_vocabulary(Path(source) / "vocab.txt")
        else:
            self.vocab = dict(source.get_vocab())
        self.dictionary = dictionary or dictionary_of(source)
        dictionary_folder(self.dictionary)  # one that is missing is told before the first text
        method = method_of(source)
        self._by_words = method["do_word_tokenize"]
        self._characters = method["subword_tokenizer_type"] == "character"
        self.unk_id = self.vocab["[UNK]"]
        self.entries = len(self.vocab)
        cls, sep, pad = (self.vocab[token] for token in ("[CLS]", "[SEP]", "[PAD]"))
        self.frame = Frame((cls,), (sep,), (sep,), pad)
        self._pieces = _PiecesOfWords(self.vocab, self._characters)

    def _words(self, text: str) -> list[str]:
        """Words of a text that is NFKC-normalized."""
        return words_of(text, self.dictionary) if self._by_words else list(text)

    def _words_of_any(self, normalized: str) -> list[str]:
        """The same where the text may hold white space, which is a character like any other to those of characters."""
        words = self._words(normalized)
        return words if self._characters else _without_space(words, normalized)

    def ids(self, text: str) -> list[int]:
        """Token ids of `text`, without offsets; what packing a corpus needs."""
        if not OTHER_THAN_PLAIN.search(text):
            return self._pieces.ids_of(self._words(text))
        return self._pieces.ids_of(self._words_of_any(nfkc(without_surrogates(text))))

    def tokens_per_word(self, words: list[str]) -> list[int]:
        """The number of tokens of each of an `Encoding`'s words."""
        return [len(self._pieces[word]) for word in words]

    def encode(self, text: str) -> Encoding:
        """Tokens of `text` with their offsets in it."""
        if OTHER_THAN_PLAIN.search(text):
            normalized, origin = normalize_with_offsets(without_surrogates(text))
            words = self._words_of_any(normalized)
            ids = self._pieces.ids_of(words)
            return Encoding(ids, _offsets(normalized, origin, words, self._pieces.lengths_of(words)), words)
        words = self._words(text)
        ids = self._pieces.ids_of(words)
        ends = list(accumulate(chain.from_iterable(self._pieces.lengths_of(words))))
        return Encoding(ids, list(zip([0, *ends], ends, strict=False)), words)


def _without_space(words: list[str], normalized: str) -> list[str]:
    """Words divided at white space that MeCab keeps (a carriage return, U+2028, ...), as WordPiece does in
    `BertJapaneseTokenizer`; a word of white space alone is dropped."""
    if not _SPACE_OTHER_THAN_BLANK.search(normalized):
        return words
    return [part for word in words for part in word.split()]


def _offsets(
    normalized: str, origin: list[int], words: list[str], lengths_of_words: list[tuple[int, ...]]
) -> list[tuple[int, int]]:
    """[start, end) of each token in the original text. `origin` as `normalize_with_offsets` gives it."""
    offsets = []
    cursor = 0
    for word, lengths in zip(words, lengths_of_words, strict=True):
        found = normalized.find(word, cursor)
        cursor = found if found >= 0 else cursor
        for length in lengths:
            end = min(cursor + length, len(normalized))
            last = origin[end - 1] if end > cursor else origin[cursor]
            # The end in the original is where the stretch after the token's last character begins.
            stop = bisect_right(origin, last, end, len(normalized))
            offsets.append((origin[cursor], max(origin[stop], origin[cursor])))
            cursor = end
    return offsets
