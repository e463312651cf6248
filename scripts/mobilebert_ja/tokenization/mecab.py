"""Words as MeCab cuts them, with one of the dictionaries that transformers knows by name. No torch."""

from __future__ import annotations

import importlib
import re
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from mobilebert_ja.common.errors import UserError, warn

DICTIONARIES = {"unidic_lite": "unidic-lite", "ipadic": "ipadic", "unidic": "unidic"}  # module: its package
DEFAULT_DICTIONARY = "unidic_lite"  # of this repository, and of transformers for a tokenizer that names none

LONGEST = 100_000  # characters that MeCab is given at a time
_WORD_END = re.compile(r"[。\s]")

# A tagger must not be used by two threads at a time, and what it found is its own until the next text. Held while it
# reads one text, which no other thread of Python interrupts anyway.
_AT_WORK = threading.Lock()


def require_known(dictionary: Any) -> str:
    """Return the name of a dictionary. Raises `UserError` if it is none; it need not be installed."""
    if dictionary not in DICTIONARIES:
        raise UserError(f"The MeCab dictionary (mecab_dic) must be {', '.join(DICTIONARIES)}, not {dictionary!r}.")
    return dictionary


@cache
def dictionary_folder(dictionary: str) -> Path:
    """Where a dictionary stands. Raises `UserError` naming its package if it is not installed."""
    package = DICTIONARIES[require_known(dictionary)]
    try:
        folder = Path(importlib.import_module(dictionary).DICDIR)
    except ImportError:
        raise UserError(f"The MeCab dictionary {dictionary} is not installed: pip install {package}.") from None
    if not folder.is_dir():  # the package unidic comes without it
        raise UserError(f"The MeCab dictionary {dictionary} is not there yet: python -m {dictionary} download.")
    return folder


def require_dictionary_for(reason: str) -> None:
    """Raise `UserError` naming the package if it is for want of a dictionary that transformers gives this reason."""
    for dictionary in DICTIONARIES:
        if f" {dictionary} " in reason:
            dictionary_folder(dictionary)


def dictionary_named_by(config: Mapping[str, Any], tokenizer: str | Path) -> str:
    """The dictionary that a tokenizer's configuration names.

    One that names none is read as transformers reads it, with a warning. `tokenizer` is its name, for that.
    """
    if config.get("word_tokenizer_type", "mecab") != "mecab":
        return DEFAULT_DICTIONARY  # not used
    options = config.get("mecab_kwargs") or {}
    if "mecab_dic" in options:
        return require_known(options["mecab_dic"])
    _warn_once(
        f"the tokenizer {tokenizer} names no MeCab dictionary (mecab_dic); {DEFAULT_DICTIONARY} is assumed, "
        "as transformers does"
    )
    return DEFAULT_DICTIONARY


_warn_once = cache(warn)  # per process: the same tokenizer is loaded in several places


@cache
def tagger(options: str = "", dictionary: str = DEFAULT_DICTIONARY) -> Any:
    """A MeCab tagger, one per process for each output format and dictionary."""
    import fugashi

    folder = dictionary_folder(dictionary)
    return fugashi.GenericTagger(f'-d "{folder}" -r "{folder / "mecabrc"}" {options}')


def pieces_of(normalized: str) -> list[str]:
    """A text as MeCab can be given it: whole, or, of what is longer than `LONGEST`, pieces that add up to it.

    MeCab ends the process ("Segmentation fault") at some 170,000 words, which a text of 400,000 Latin characters has.
    A piece ends behind the last 。 or white space of it, where words end anyway, if there is any.
    """
    pieces, begin = [], 0
    while len(normalized) - begin > LONGEST:
        ends = [found.end() for found in _WORD_END.finditer(normalized, begin + LONGEST // 2, begin + LONGEST)]
        end = ends[-1] if ends else begin + LONGEST
        pieces.append(normalized[begin:end])
        begin = end
    return [*pieces, normalized[begin:]]


def words_of(normalized: str, dictionary: str = DEFAULT_DICTIONARY) -> list[str]:
    """MeCab words of a text that is NFKC-normalized already. MeCab itself drops white space. Threads may share it.

    MeCab's own time grows with the square of a run of one kind of characters (letters, digits, katakana, symbols):
    milliseconds for two thousand of them, seconds for each piece of a longer text, see `pieces_of`.
    """
    return [word for piece in pieces_of(normalized) for word in _words_of_piece(piece, dictionary)]


def words_with_features(normalized: str) -> list[tuple[str, str]]:
    """MeCab words as `words_of` gives them, each with its part of speech, from the widest class to the narrowest,
    comma separated. Threads may share it."""
    words = []
    for piece in pieces_of(normalized):
        with _AT_WORK:
            words += [(node.surface, ",".join(node.feature[:4])) for node in tagger()(piece)]
    return words


def _words_of_piece(normalized: str, dictionary: str) -> list[str]:
    with _AT_WORK:
        if " " not in normalized:
            # One string with a space between words is made a third faster than nodes with a surface each. Where it
            # does not add up to the text, something else that MeCab drops was part of it.
            joined = tagger("-Owakati", dictionary).parse(normalized)
            words: list[str] = joined.split(" ")
            if joined and len(joined) == len(normalized) + len(words) - 1:
                return words
        return [node.surface for node in tagger("", dictionary)(normalized)]
