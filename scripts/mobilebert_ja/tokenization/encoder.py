"""The tokenizer folder, and a fast encoder that knows each token's offsets in the text.

Method of cl-tohoku/bert-japanese v2.0: NFKC, MeCab words (unidic_lite), WordPiece inside words. Tokenizers of others
may use another dictionary of MeCab; it stays theirs wherever they are copied to.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

from mobilebert_ja.common.errors import UserError, first_line
from mobilebert_ja.common.files import read_json, require_file, write_atomically, write_json
from mobilebert_ja.common.normalization import OTHER_THAN_PLAIN, nfkc, normalize_with_offsets
from mobilebert_ja.tokenization.mecab import (
    DEFAULT_DICTIONARY,
    dictionary_folder,
    dictionary_named_by,
    require_dictionary_for,
    tagger,
    without_surrogates,
    words_of,
)

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
UNUSED_TOKENS = [f"<unused{number}>" for number in range(10)]
_REMEMBERED_WORDS = 1_000_000  # a corpus has no end of rare words; past this, remembering starts anew
MAX_CHARS_PER_WORD = 100  # longer words become one [UNK], as in BertJapaneseTokenizer

TOKENIZER_CONFIG: dict[str, Any] = {
    "tokenizer_class": "BertJapaneseTokenizer",
    "word_tokenizer_type": "mecab",
    "subword_tokenizer_type": "wordpiece",
    "mecab_kwargs": {"mecab_dic": DEFAULT_DICTIONARY},
    "do_lower_case": False,
    "do_subword_tokenize": True,
    "do_word_tokenize": True,
    "model_max_length": 512,
    # transformers 5 leaves token_type_ids out unless they are asked for here; pairs would lose their segments.
    "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}


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
    nodes = list(tagger()(normalized))
    surfaces = [node.surface for node in nodes]
    offsets = _offsets(normalized, origin, surfaces, [(len(surface),) for surface in surfaces])
    return [
        Word(node.surface, ",".join(node.feature[:4]), offset) for node, offset in zip(nodes, offsets, strict=True)
    ]


@dataclass
class Encoding:
    """A text as tokens, special ones not included. `offsets` are [start, end) into the text before normalization."""

    ids: list[int]
    offsets: list[tuple[int, int]]
    words: list[str]  # of MeCab, after normalization, without white space


class _PiecesOfWords(dict[str, tuple[int, ...]]):
    """word -> ids of its pieces; in `lengths`, word -> their lengths in characters. WordPiece runs once per word."""

    def __init__(self, vocabulary: dict[str, int]):
        from tokenizers.models import WordPiece

        super().__init__()
        self._wordpiece = WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=MAX_CHARS_PER_WORD)
        self.lengths: dict[str, tuple[int, ...]] = {}

    def __missing__(self, word: str) -> tuple[int, ...]:
        return self._learn(word)[0]

    def _learn(self, word: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Ids and lengths of a word's pieces, remembered from now on."""
        tokens = self._wordpiece.tokenize(word)
        ids = tuple(token.id for token in tokens)
        if len(tokens) == 1:  # of [UNK], the length of its name says nothing
            lengths: tuple[int, ...] = (len(word),)
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
        self.unk_id = self.vocab["[UNK]"]
        self._pieces = _PiecesOfWords(self.vocab)

    def ids(self, text: str) -> list[int]:
        """Token ids of `text`, without offsets; what packing a corpus needs."""
        if not OTHER_THAN_PLAIN.search(text):
            return self._pieces.ids_of(words_of(text, self.dictionary))
        normalized = nfkc(without_surrogates(text))
        return self._pieces.ids_of(_without_space(words_of(normalized, self.dictionary), normalized))

    def encode(self, text: str) -> Encoding:
        """Tokens of `text` with their offsets in it."""
        if OTHER_THAN_PLAIN.search(text):
            normalized, origin = normalize_with_offsets(without_surrogates(text))
            words = _without_space(words_of(normalized, self.dictionary), normalized)
            ids = self._pieces.ids_of(words)
            return Encoding(ids, _offsets(normalized, origin, words, self._pieces.lengths_of(words)), words)
        words = words_of(text, self.dictionary)
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


def read_vocabulary(path: Path) -> dict[str, int]:
    """token -> id from vocab.txt. Raises `UserError` if it is missing, has doubles or lacks a special token."""
    require_file(path, "A tokenizer folder holds vocab.txt; train_tokenizer.py makes one.")
    with path.open(encoding="utf-8") as stream:  # not splitlines(), which ends a line at U+2028 or a form feed too
        tokens = [line.rstrip("\n") for line in stream]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    if len(vocabulary) != len(tokens):
        raise UserError(f"{path} holds a token twice.")
    missing = [token for token in SPECIAL_TOKENS if token not in vocabulary]
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}.")
    return vocabulary


def dictionary_of(source: str | Path | Any) -> str:
    """The MeCab dictionary of a tokenizer: of a folder (without tokenizer_config.json this repository's own), or of a
    loaded one. Raises `UserError` if it is none of `DICTIONARIES`."""
    if isinstance(source, str | Path):
        path = Path(source) / "tokenizer_config.json"
        return dictionary_named_by(read_json(path) if path.is_file() else TOKENIZER_CONFIG, source)
    names = ("word_tokenizer_type", "mecab_kwargs")
    return dictionary_named_by({name: getattr(source, name, None) for name in names}, source.name_or_path)


def locate_tokenizer(name_or_path: str | Path) -> Path:
    """The folder of a tokenizer: one that was trained here, somebody's folder, or a name on the Hub (fetched once).

    Raises `UserError` if there is none, or if it is of another method than MeCab and WordPiece, for which
    `FastEncoder` would give other ids than the tokenizer itself.
    """
    folder = Path(name_or_path)
    if not folder.is_dir():
        from huggingface_hub import snapshot_download  # here, because it takes half a second
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

        try:
            files = ["vocab.txt", "tokenizer_config.json"]
            folder = Path(snapshot_download(str(name_or_path), allow_patterns=files))
        except (OSError, ValueError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
            raise UserError(
                f"No tokenizer at {name_or_path}: it is no folder (train_tokenizer.py makes WORK_DIR/tokenizer), and "
                f"the Hub does not give it ({first_line(error)})"
            ) from None
    require_file(folder / "vocab.txt", "A tokenizer folder holds vocab.txt; train_tokenizer.py makes one.")
    if (folder / "tokenizer_config.json").is_file():
        stored = read_json(folder / "tokenizer_config.json")
        dictionary_of(folder)
        for key in ("word_tokenizer_type", "subword_tokenizer_type", "do_lower_case"):
            value = stored.get(key, TOKENIZER_CONFIG[key])
            if value != TOKENIZER_CONFIG[key]:
                raise UserError(
                    f"The tokenizer {name_or_path} has {key} {value!r}; this road needs {TOKENIZER_CONFIG[key]!r}."
                )
    return folder


def load_tokenizer(name_or_path: str | Path) -> Any:
    """The transformers tokenizer of a folder or Hub name.

    Raises `UserError` if there is none, or if it needs a package (a dictionary of MeCab) that is not installed.
    """
    from transformers import AutoTokenizer

    if Path(name_or_path).is_dir():
        require_file(Path(name_or_path) / "vocab.txt", "The folder holds no tokenizer.")
    try:
        return AutoTokenizer.from_pretrained(str(name_or_path))
    except (ImportError, RuntimeError) as error:
        reason = first_line(error)
        require_dictionary_for(reason)
        raise UserError(f"The tokenizer {name_or_path} cannot be used: {reason}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"No tokenizer at {name_or_path}: {first_line(error)}") from None


def save_tokenizer(vocabulary: list[str], folder: Path, dictionary: str = DEFAULT_DICTIONARY) -> None:
    """Write vocab.txt and a small tokenizer_config.json: all that `AutoTokenizer` needs."""
    with write_atomically(folder / "vocab.txt") as stream:
        stream.write("\n".join(vocabulary) + "\n")
    write_json(folder / "tokenizer_config.json", TOKENIZER_CONFIG | {"mecab_kwargs": {"mecab_dic": dictionary}})


def copy_tokenizer(source: str | Path | Any, folder: Path) -> None:
    """Put the tokenizer of `source` (folder or loaded tokenizer) beside a model, with its dictionary of MeCab."""
    vocabulary = read_vocabulary(Path(source) / "vocab.txt") if isinstance(source, str | Path) else source.get_vocab()
    save_tokenizer(sorted(vocabulary, key=vocabulary.__getitem__), folder, dictionary_of(source))
