"""Tokenizer folders: vocab.txt and tokenizer_config.json as `BertJapaneseTokenizer` reads them, and those of others.

Method of cl-tohoku/bert-japanese v2.0: NFKC, MeCab words (unidic_lite), WordPiece inside words. Tokenizers of others
may use another dictionary of MeCab; it stays theirs wherever they are copied to.
"""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

from mobilebert_ja.common.errors import UserError, first_line
from mobilebert_ja.common.files import read_json, require_file, write_atomically, write_json
from mobilebert_ja.tokenization.mecab import DEFAULT_DICTIONARY, dictionary_named_by, require_dictionary_for

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
UNUSED_TOKENS = [f"<unused{number}>" for number in range(10)]

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
_METHOD = ("do_word_tokenize", "subword_tokenizer_type")
_KNOWN_METHODS = {("mecab", "wordpiece"), ("mecab", "character"), ("", "character")}
# What tokenizers of other families are read from; this repository's is read from vocab.txt.
_OTHER_VOCABULARIES = {"tokenizer.json", "spiece.model", "spm.model", "sentencepiece.bpe.model", "tokenizer.model"}
_OTHER_VOCABULARIES |= {"vocab.json"}


def _refuse_mark(path: Path) -> None:
    """Raise `UserError` for a vocab.txt as some editors save it; transformers would read another first token."""
    with path.open("rb") as stream:
        if stream.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8:
            raise UserError(f"{path} begins with a byte order mark; save it as UTF-8 without one.")


def read_vocabulary(path: Path) -> dict[str, int]:
    """token -> id from vocab.txt. Raises `UserError` if it is missing or not UTF-8, begins with a byte order mark, has
    doubles or lacks a special token."""
    require_file(path, "A tokenizer folder holds vocab.txt; train_tokenizer.py makes one.")
    _refuse_mark(path)
    try:
        with path.open(encoding="utf-8") as stream:  # not splitlines(), which ends a line at U+2028 or a form feed too
            tokens = [line.rstrip("\n") for line in stream]
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8; save it so, without a byte order mark.") from None
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


def method_of(source: str | Path | Any) -> dict[str, Any]:
    """How a `BertJapaneseTokenizer`, a folder or a loaded one, cuts a text, by the names of its tokenizer_config.json.
    What a folder does not say is as in this repository."""
    if isinstance(source, str | Path):
        path = Path(source) / "tokenizer_config.json"
        return {name: TOKENIZER_CONFIG[name] for name in _METHOD} | {
            name: value for name, value in (read_json(path) if path.is_file() else {}).items() if name in _METHOD
        }
    return {name: getattr(source, name, TOKENIZER_CONFIG[name]) for name in _METHOD}


def require_known_method(tokenizer: Any) -> None:
    """Raise `UserError` if a loaded `BertJapaneseTokenizer` cuts a text in a way that `FastEncoder` does not know."""
    method = method_of(tokenizer)
    words = tokenizer.word_tokenizer_type if method["do_word_tokenize"] else ""
    subwords = method["subword_tokenizer_type"] if tokenizer.do_subword_tokenize else ""
    if tokenizer.do_lower_case or (words, subwords) not in _KNOWN_METHODS:
        parts = [words or "no words", subwords or "no subwords", *["lower case"] * bool(tokenizer.do_lower_case)]
        raise UserError(
            f"The tokenizer {tokenizer.name_or_path} has {', '.join(parts)}; of the BertJapaneseTokenizers those with "
            "mecab and wordpiece, mecab and character, and character alone can be used."
        )


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

    folder = Path(name_or_path)
    if folder.is_dir() and not any(path.name in _OTHER_VOCABULARIES for path in folder.iterdir()):
        _refuse_mark(require_file(folder / "vocab.txt", "The folder holds no tokenizer."))
    try:
        return AutoTokenizer.from_pretrained(str(name_or_path), trust_remote_code=False)
    except (ImportError, RuntimeError) as error:
        reason = first_line(error)
        require_dictionary_for(reason)
        raise UserError(f"The tokenizer {name_or_path} cannot be used: {reason}") from None
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"No tokenizer at {name_or_path}: {first_line(error)}") from None


def save_tokenizer(
    vocabulary: list[str], folder: Path, dictionary: str = DEFAULT_DICTIONARY, method: dict[str, Any] | None = None
) -> None:
    """Write vocab.txt and a small tokenizer_config.json: all that `AutoTokenizer` needs. `method`: see `method_of`."""
    with write_atomically(folder / "vocab.txt") as stream:
        stream.write("\n".join(vocabulary) + "\n")
    own = {"mecab_kwargs": {"mecab_dic": dictionary}, **(method or {})}
    write_json(folder / "tokenizer_config.json", TOKENIZER_CONFIG | own)


def copy_tokenizer(source: str | Path | Any, folder: Path) -> None:
    """Put the tokenizer of `source` (folder or loaded tokenizer) beside a model, with its dictionary of MeCab.

    A loaded one of the library `tokenizers` is written as it is (tokenizer.json).
    """
    if isinstance(source, str | Path):
        vocabulary = read_vocabulary(Path(source) / "vocab.txt")
    elif getattr(source, "backend_tokenizer", None) is not None:
        source.save_pretrained(folder)
        return
    else:
        vocabulary = source.get_vocab()
    method = method_of(source)
    save_tokenizer(sorted(vocabulary, key=vocabulary.__getitem__), folder, dictionary_of(source), method)
