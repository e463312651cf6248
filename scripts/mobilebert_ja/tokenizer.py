"""Training the vocabulary, the tokenizer folder, and a fast encoder that knows where each token stands in the text.

Method of cl-tohoku/bert-japanese v2.0: NFKC, MeCab words (unidic_lite), WordPiece inside words.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mobilebert_ja.errors import UserError
from mobilebert_ja.files import read_json, require_file, write_atomically, write_json

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
UNUSED_TOKENS = [f"<unused{number}>" for number in range(10)]
MAX_CHARS_PER_WORD = 100  # longer words become one [UNK], as in BertJapaneseTokenizer

TOKENIZER_CONFIG: dict[str, Any] = {
    "tokenizer_class": "BertJapaneseTokenizer",
    "word_tokenizer_type": "mecab",
    "subword_tokenizer_type": "wordpiece",
    "mecab_kwargs": {"mecab_dic": "unidic_lite"},
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


@cache
def mecab() -> Any:
    """The MeCab tagger over unidic_lite, one a process."""
    import fugashi
    import unidic_lite

    folder = unidic_lite.DICDIR
    return fugashi.GenericTagger(f'-d "{folder}" -r "{Path(folder) / "mecabrc"}"')


def words_of(normalized: str) -> list[str]:
    """MeCab words of a text that is NFKC-normalized already. MeCab itself drops white space."""
    return [word.surface for word in mecab()(normalized)]


def normalize_with_offsets(text: str) -> tuple[str, list[int]]:
    """NFKC, and for every character of the result the index in `text` of the stretch that it came from.

    The list has one entry more than the result has characters: the length of `text`. A stretch is the shortest run of
    characters that normalizes independently of its neighbours, so か + combining mark counts as one.
    """
    normalized = unicodedata.normalize("NFKC", text)
    if normalized == text:
        return normalized, list(range(len(text) + 1))
    pieces: list[str] = []
    starts: list[int] = []
    begin = 0
    while begin < len(text):
        end = begin + 1
        piece = unicodedata.normalize("NFKC", text[begin:end])
        while end < len(text):
            alone = unicodedata.normalize("NFKC", text[end])
            together = unicodedata.normalize("NFKC", text[begin : end + 1])
            if together == piece + alone and not unicodedata.combining(alone[:1] or "a"):
                break
            piece, end = together, end + 1
        pieces.append(piece)
        starts.extend([begin] * len(piece))
        begin = end
    return "".join(pieces), [*starts, len(text)]


@dataclass
class Encoding:
    """A text as tokens, special ones not included. `offsets` are [start, end) into the text before normalization."""

    ids: list[int]
    offsets: list[tuple[int, int]]
    word_starts: list[bool]


class FastEncoder:
    """Same ids as `BertJapaneseTokenizer`, several times faster, with character offsets.

    One difference is meant: "[MASK]" and the like in a text are ordinary characters here, never special tokens.

    Args:
        folder: a folder with vocab.txt, or a loaded tokenizer of transformers (its `vocab` is used).
    """

    def __init__(self, folder: str | Path | Any):
        from tokenizers.models import WordPiece

        if isinstance(folder, str | Path):
            self.vocab = read_vocabulary(Path(folder) / "vocab.txt")
        else:
            self.vocab = dict(folder.get_vocab())
        self.unk_id = self.vocab["[UNK]"]
        self._wordpiece = WordPiece(self.vocab, unk_token="[UNK]", max_input_chars_per_word=MAX_CHARS_PER_WORD)
        self._words: dict[str, list[tuple[int, int]]] = {}

    def _pieces(self, word: str) -> list[tuple[int, int]]:
        """(id, number of characters) of each piece of one word."""
        known = self._words.get(word)
        if known is not None:
            return known
        tokens = self._wordpiece.tokenize(word)
        if len(tokens) == 1:
            pieces = [(tokens[0].id, len(word))]
        else:
            pieces = [(token.id, len(token.value) - (2 if number else 0)) for number, token in enumerate(tokens)]
        if len(self._words) < 1_000_000:  # bounded: a corpus has no end of rare words
            self._words[word] = pieces
        return pieces

    def ids(self, text: str) -> list[int]:
        """Token ids of `text`, without offsets; what packing a corpus needs."""
        normalized = unicodedata.normalize("NFKC", _without_surrogates(text))
        return [piece for word in words_of(normalized) for piece, _ in self._pieces(word)]

    def encode(self, text: str) -> Encoding:
        """Tokens of `text` with their places in it."""
        normalized, origin = normalize_with_offsets(_without_surrogates(text))
        encoding = Encoding([], [], [])
        cursor = 0
        for word in words_of(normalized):
            found = normalized.find(word, cursor)
            cursor = found if found >= 0 else cursor
            for number, (piece, length) in enumerate(self._pieces(word)):
                end = min(cursor + length, len(normalized))
                last = origin[end - 1] if end > cursor else origin[cursor]
                # The end in the original is where the stretch after the token's last character begins.
                stop = end
                while stop < len(normalized) and origin[stop] == last:
                    stop += 1
                encoding.ids.append(piece)
                encoding.offsets.append((origin[cursor], max(origin[stop], origin[cursor])))
                encoding.word_starts.append(number == 0)
                cursor = end
        return encoding


def _without_surrogates(text: str) -> str:
    """Lone surrogates cannot be handed to MeCab as UTF-8; each becomes U+FFFD, so that offsets stay."""
    if text.isascii():
        return text
    return "".join("\ufffd" if 0xD800 <= ord(char) <= 0xDFFF else char for char in text)


def read_vocabulary(path: Path) -> dict[str, int]:
    """token -> id from vocab.txt. Raises `UserError` if it is missing, has doubles or lacks a special token."""
    require_file(path, "A tokenizer folder holds vocab.txt; train_tokenizer.py makes one.")
    tokens = path.read_text(encoding="utf-8").splitlines()
    vocabulary = {token: number for number, token in enumerate(tokens)}
    if len(vocabulary) != len(tokens):
        raise UserError(f"{path} holds a token twice.")
    missing = [token for token in SPECIAL_TOKENS if token not in vocabulary]
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}.")
    return vocabulary


def locate_tokenizer(name_or_path: str | Path) -> Path:
    """The folder of a tokenizer: one that was trained here, somebody's folder, or a name on the Hub (fetched once).

    Raises `UserError` if there is none, or if it is of another method than MeCab, unidic_lite and WordPiece, for which
    `FastEncoder` would give other ids than the tokenizer itself.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    folder = Path(name_or_path)
    if not folder.is_dir():
        try:
            files = ["vocab.txt", "tokenizer_config.json"]
            folder = Path(snapshot_download(str(name_or_path), allow_patterns=files))
        except (OSError, ValueError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
            raise UserError(
                f"No tokenizer at {name_or_path}: it is no folder (train_tokenizer.py makes WORK_DIR/tokenizer), and "
                f"the Hub does not give it ({(str(error).splitlines() or [''])[0]})"
            ) from None
    require_file(folder / "vocab.txt", "A tokenizer folder holds vocab.txt; train_tokenizer.py makes one.")
    if (folder / "tokenizer_config.json").is_file():
        stored = read_json(folder / "tokenizer_config.json")
        for key in ("word_tokenizer_type", "subword_tokenizer_type", "mecab_kwargs", "do_lower_case"):
            value = stored.get(key, TOKENIZER_CONFIG[key])
            if key == "mecab_kwargs":
                value = {"mecab_dic": (value or {}).get("mecab_dic")}
            if value != TOKENIZER_CONFIG[key]:
                raise UserError(
                    f"The tokenizer {name_or_path} has {key} {value!r}; this road needs {TOKENIZER_CONFIG[key]!r}."
                )
    return folder


def load_tokenizer(name_or_path: str | Path) -> Any:
    """The transformers tokenizer of a folder or Hub name. Raises `UserError` if there is none."""
    from transformers import AutoTokenizer

    if Path(name_or_path).is_dir():
        require_file(Path(name_or_path) / "vocab.txt", "The folder holds no tokenizer.")
    try:
        return AutoTokenizer.from_pretrained(str(name_or_path))
    except (OSError, ValueError) as error:
        raise UserError(f"No tokenizer at {name_or_path}: {str(error).splitlines()[0]}") from None


def save_tokenizer(vocabulary: list[str], folder: Path) -> None:
    """Write vocab.txt and a small tokenizer_config.json: all that `AutoTokenizer` needs."""
    with write_atomically(folder / "vocab.txt") as stream:
        stream.write("\n".join(vocabulary) + "\n")
    write_json(folder / "tokenizer_config.json", TOKENIZER_CONFIG)


def copy_tokenizer(source: str | Path | Any, folder: Path) -> None:
    """Put the tokenizer of `source` (folder or loaded tokenizer) beside a model."""
    vocabulary = read_vocabulary(Path(source) / "vocab.txt") if isinstance(source, str | Path) else source.get_vocab()
    save_tokenizer(sorted(vocabulary, key=vocabulary.__getitem__), folder)
