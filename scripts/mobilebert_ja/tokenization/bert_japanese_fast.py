"""A `BertJapaneseTokenizer` that knows offsets and words, for transformers' own pipelines and example scripts.

They ask a fast tokenizer for `return_offsets_mapping`, `word_ids()`, `sequence_ids()` and windows with a stride, which
a Python tokenizer refuses. Ids and offsets are `FastEncoder`'s; truncation, windows, pairs, padding and the methods of
a batch are those of the library `tokenizers`, which is given the tokens as words that are cut already.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Encoding as LibraryEncoding
from tokenizers import Tokenizer, models, processors
from transformers import BertJapaneseTokenizer
from transformers.tokenization_utils_tokenizers import TokenizersBackend

from mobilebert_ja.tokenization.encoder import FastEncoder
from mobilebert_ja.tokenization.folders import require_known_method

_LETTER = re.compile("[A-Za-zＡ-Ｚａ-ｚ]")
Offset = tuple[int, int]


@dataclass(frozen=True)
class _Tokens:
    """The tokens of one text of an input, their offsets in it (or in its word) and the words that they belong to."""

    tokens: list[str]
    offsets: list[Offset]
    words: list[int]


class OffsetsEncoding:
    """What `tokenizers.Encoding` tells of an input, by characters and words of the text as it was given.

    Args:
        found: what the library made of the tokens.
        sources: of the text, or of both.
    """

    def __init__(self, found: LibraryEncoding, sources: Sequence[_Tokens]):
        self._found = found
        self.offsets: list[Offset] = []
        self.word_ids: list[int | None] = []
        # What is a word to the library is a token here.
        for text, token in zip(found.sequence_ids, found.word_ids, strict=True):
            if text is None or token is None:
                self.offsets.append((0, 0))
                self.word_ids.append(None)
            else:
                self.offsets.append(sources[text].offsets[token])
                self.word_ids.append(sources[text].words[token])
        self.words = self.word_ids
        self.overflowing = [OffsetsEncoding(each, sources) for each in found.overflowing]

    def __getattr__(self, name: str) -> Any:  # ids, tokens, type_ids, sequence_ids, masks
        if name.startswith("__") or "_found" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self._found, name)

    def __len__(self) -> int:
        return len(self.offsets)

    def _where(self, sequence: int) -> list[int]:
        return [index for index, each in enumerate(self._found.sequence_ids) if each == sequence]

    def token_to_chars(self, token: int) -> Offset | None:
        """[start, end) of a token."""
        return None if self._found.sequence_ids[token] is None else self.offsets[token]

    def token_to_word(self, token: int) -> int | None:
        """The word of a token."""
        return self.word_ids[token]

    def char_to_token(self, char: int, sequence_index: int = 0) -> int | None:
        """The first token that covers a character."""
        here = self._where(sequence_index)
        return next((index for index in here if self.offsets[index][0] <= char < self.offsets[index][1]), None)

    def char_to_word(self, char: int, sequence_index: int = 0) -> int | None:
        """The word that covers a character."""
        token = self.char_to_token(char, sequence_index)
        return None if token is None else self.word_ids[token]

    def word_to_tokens(self, word: int, sequence_index: int = 0) -> Offset | None:
        """[first, last + 1) of a word's tokens."""
        here = [index for index in self._where(sequence_index) if self.word_ids[index] == word]
        return (here[0], here[-1] + 1) if here else None

    def word_to_chars(self, word: int, sequence_index: int = 0) -> Offset | None:
        """[start, end) of a word."""
        found = self.word_to_tokens(word, sequence_index)
        return (self.offsets[found[0]][0], self.offsets[found[1] - 1][1]) if found else None


class _Backend:
    """As much of a `tokenizers.Tokenizer` as `TokenizersBackend` asks of its own, around one that frames and cuts.

    Its settings (truncation, padding) are the library's; `model` is what pipelines ask for the sign of a word's
    continuation.
    """

    def __init__(self, owner: BertJapaneseTokenizerFast):
        self._owner = owner
        self.encode_special_tokens = False
        library = Tokenizer(models.WordLevel(owner.get_vocab(), unk_token=owner.unk_token))
        cls, sep = owner.cls_token, owner.sep_token
        library.post_processor = processors.TemplateProcessing(
            single=f"{cls} $A {sep}",
            pair=f"{cls} $A {sep} $B:1 {sep}:1",
            special_tokens=[(cls, owner.cls_token_id), (sep, owner.sep_token_id)],
        )
        self._library = library
        self.model = models.WordPiece(owner.get_vocab(), unk_token=owner.unk_token)

    def __getattr__(self, name: str) -> Any:  # truncation, padding, enable_..., no_..., post_processor
        if name.startswith("__") or "_library" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self._library, name)

    def encode_batch(
        self, inputs: Sequence[Any], add_special_tokens: bool = True, is_pretokenized: bool = False
    ) -> list[OffsetsEncoding]:
        """Inputs: texts, or texts given as words, or pairs (tuples) of them. Two words in a tuple are one text."""
        made = []
        for given in inputs:
            two_words = is_pretokenized and any(isinstance(part, str) for part in given)
            pair = isinstance(given, tuple) and len(given) == 2 and not two_words
            texts = given if pair else (given,)
            cut = self._owner.cut_words if is_pretokenized else self._owner.cut_text
            sources = [cut(each) for each in texts]
            parts = [each.tokens for each in sources]
            made.append((parts[0] if len(parts) == 1 else tuple(parts), sources))
        cut_inputs = [each for each, _ in made]
        found = self._library.encode_batch(cut_inputs, is_pretokenized=True, add_special_tokens=add_special_tokens)
        return [OffsetsEncoding(each, sources) for each, (_, sources) in zip(found, made, strict=True)]


class BertJapaneseTokenizerFast(BertJapaneseTokenizer):
    """A drop-in for `BertJapaneseTokenizer`: the same ids, and what else a fast tokenizer gives.

    `return_offsets_mapping`, `word_ids()`, `sequence_ids()`, `char_to_token()` and windows with `stride` count in
    characters of the text as it was given, before NFKC, and in MeCab's words or, with `is_split_into_words`, in the
    given ones. `decode` puts no space between Japanese words, so that the text of an entity reads as it stood there.
    What is saved is an ordinary `BertJapaneseTokenizer`: transformers takes "Fast" off the name of such a class.

    Raises `UserError` for a tokenizer whose words are not MeCab's.
    """

    can_save_slow_tokenizer = True

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._forget()

    def _forget(self) -> None:
        """What is made of the vocabulary is made anew when it is asked for."""
        self._made_encoder: FastEncoder | None = None
        self._made_backend: _Backend | None = None

    @property
    def is_fast(self) -> bool:
        """True: whoever asks wants to know whether there are offsets and words, and there are."""
        return True

    @property
    def _encoder(self) -> FastEncoder:
        if self._made_encoder is None:
            require_known_method(self)
            self._made_encoder = FastEncoder(self)
        return self._made_encoder

    @property
    def _tokenizer(self) -> _Backend:
        if self._made_backend is None:
            self._made_backend = _Backend(self)
        return self._made_backend

    # What these ask of `self` is above; the ids are those of `cut_text`.
    _encode_plus: Any = TokenizersBackend._encode_plus
    _convert_encoding = TokenizersBackend._convert_encoding
    set_truncation_and_padding = TokenizersBackend.set_truncation_and_padding

    def _add_tokens(self, *args: Any, **kwargs: Any) -> int:
        self._forget()
        return super()._add_tokens(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_made_encoder": None, "_made_backend": None}

    def cut_text(self, text: str) -> _Tokens:
        """The tokens of a text. Special and added tokens that it spells out are tokens, as in the base class."""
        tokens: list[str] = []
        offsets: list[Offset] = []
        words: list[int] = []
        start = 0
        whole = self._tokenizer.encode_special_tokens
        for part in [text] if whole else self.tokens_trie.split(text):
            if not whole and part in self._added_tokens_encoder:
                tokens.append(part)
                offsets.append((start, start + len(part)))
                words.append(words[-1] + 1 if words else 0)
            elif part:
                encoding = self._encoder.encode(part)
                tokens += self.convert_ids_to_tokens(encoding.ids)
                offsets += [(start + a, start + b) for a, b in encoding.offsets]
                words += _word_numbers(self._encoder.tokens_per_word(encoding.words), words[-1] + 1 if words else 0)
            start += len(part)
        return _Tokens(tokens, offsets, words)

    def cut_words(self, given: Sequence[str]) -> _Tokens:
        """The tokens of a text that is given as words; offsets count within each."""
        parts = [self.cut_text(word) for word in given]
        return _Tokens(
            [token for part in parts for token in part.tokens],
            [offset for part in parts for offset in part.offsets],
            [index for index, part in enumerate(parts) for _ in part.tokens],
        )

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Tokens joined; with a space between two words only if letters of the Latin alphabet meet there."""
        text = ""
        for token in tokens:
            piece = token.removeprefix("##")
            meet = text and piece and _LETTER.match(text[-1]) and _LETTER.match(piece[0])
            text += f" {piece}" if meet and piece == token else piece
        return text


def _word_numbers(sizes: Sequence[int], first: int) -> list[int]:
    """The number of its word for each token, from the number of tokens of each word."""
    return [first + number for number, size in enumerate(sizes) for _ in range(size)]
