"""Tokenizers of others, of the library `tokenizers` (SentencePiece's Unigram, BPE, WordPiece), with sound offsets."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import Any

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.text.normalization import without_surrogates
from mobilebert_ja.tokenization.frame import Encoding, Frame

_SPACES = ("▁", "Ġ")  # what SentencePiece and byte-level BPE write for a space; also put before a text without one
_PROBE = "日本a1"


class TokenizersEncoder:
    """Same ids as a fast tokenizer of transformers; offsets without the space before a word.

    The library's offsets are mended in three ways: a token does not cover the space before (or behind) its word; a
    space that the tokenizer itself put before a word covers the space that stands there, if any; and a character that
    was composed of several, such as ｶﾞ or か and a mark, is covered whole. Tokens that are bytes of one character all
    have that character's. A special token that a text spells out, and that is a piece like any other to SentencePiece,
    is unknown text.

    Args:
        tokenizer: a `TokenizersBackend` (`PreTrainedTokenizerFast`) of transformers. It is left as it is.

    Raises `UserError` if it puts no special tokens around a text, as those of generating models do.
    """

    def __init__(self, tokenizer: Any):
        from tokenizers import Tokenizer

        backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        backend.no_truncation()
        backend.no_padding()
        backend.encode_special_tokens = True  # a text that spells one out is ordinary text
        self._backend = backend
        self.vocab: dict[str, int] = backend.get_vocab(with_added_tokens=True)
        self.entries = max(self.vocab.values()) + 1
        self.frame = _frame_of(backend, tokenizer.name_or_path, tokenizer.pad_token_id or 0)
        self._unknown = {each: tokenizer.unk_token_id for each in tokenizer.all_special_ids}
        if tokenizer.unk_token_id is None:
            self._unknown = {}
        self._spaces = {self.vocab[each] for each in _SPACES if each in self.vocab}

    def ids(self, text: str) -> list[int]:
        """Token ids of `text`, without offsets."""
        return self._without_special(self._backend.encode(without_surrogates(text), add_special_tokens=False).ids)

    def _without_special(self, ids: list[int]) -> list[int]:
        return [self._unknown.get(each, each) for each in ids]

    def encode(self, text: str) -> Encoding:
        """Tokens of `text` with their offsets in it."""
        found = self._backend.encode(without_surrogates(text), add_special_tokens=False)
        ids, given = found.ids, found.offsets
        limits = [start for start, _ in given[1:]] + [len(text)] * bool(given)
        offsets = [
            _mended(text, start, end, limit, id_ in self._spaces)
            for (start, end), limit, id_ in zip(given, limits, ids, strict=True)
        ]
        return Encoding(self._without_special(ids), offsets)


def _mended(text: str, start: int, end: int, limit: int, is_space: bool) -> tuple[int, int]:
    """The offsets of a token. `limit`: where the next one begins; `is_space`: the token stands for a space alone."""
    bare = text[start:end].strip()
    if not bare:
        return start, end
    if is_space:  # put before the word that begins here
        return len(text[:start].rstrip()), start
    start += text[start:end].index(bare)
    end = start + len(bare)
    while end < limit and _is_mark(text[end]):
        end += 1
    return start, end


@cache
def _is_mark(char: str) -> bool:
    """True for what composes with the character before it: a combining mark, or ﾞ and ﾟ."""
    return unicodedata.combining(unicodedata.normalize("NFKC", char)[0]) > 0


def _frame_of(backend: Any, name: str, pad_id: int) -> Frame:
    """Which special tokens the tokenizer puts around one text and around two."""
    alone, both = backend.encode(_PROBE), backend.encode(_PROBE, _PROBE)
    own = [index for index, special in enumerate(alone.special_tokens_mask) if not special]
    if not own:
        raise UserError(f"The tokenizer {name} has no token for any of the characters {_PROBE}.")
    begin, end = alone.ids[: own[0]], alone.ids[own[-1] + 1 :]
    if not begin and not end:
        raise UserError(f"The tokenizer {name} puts no special tokens around a text; it is no encoder's.")
    first_of_second = len(both.ids) - len(end) - len(own)
    between = both.ids[len(begin) + len(own) : first_of_second]
    if both.ids != [*begin, *alone.ids[own[0] : own[-1] + 1], *between, *alone.ids[own[0] :]]:
        raise UserError(f"The tokenizer {name} puts other special tokens around a pair of texts than around one.")
    return Frame(tuple(begin), tuple(between), tuple(end), pad_id, both.type_ids[first_of_second])
