"""The encoder of any tokenizer: this repository's own kind, or one of the library `tokenizers`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.tokenization.encoder import FastEncoder
from mobilebert_ja.tokenization.folders import load_tokenizer, require_known_method
from mobilebert_ja.tokenization.frame import TextEncoder
from mobilebert_ja.tokenization.tokenizers_encoder import TokenizersEncoder

SERIALIZED = "tokenizer.json"  # of the library `tokenizers`; a folder that holds one is read by it


def is_bert_japanese(tokenizer: Any) -> bool:
    """Whether a loaded tokenizer is a `BertJapaneseTokenizer`; told without importing transformers."""
    return any(each.__name__ == "BertJapaneseTokenizer" for each in type(tokenizer).__mro__)


def make_encoder(tokenizer: Any) -> TextEncoder:
    """The encoder of a loaded tokenizer of transformers.

    Raises `UserError` if it cannot say where its tokens stand in a text: it is neither a `BertJapaneseTokenizer` of
    MeCab's words nor a fast one.
    """
    if is_bert_japanese(tokenizer):
        require_known_method(tokenizer)
        return FastEncoder(tokenizer)
    if getattr(tokenizer, "is_fast", False):
        return TokenizersEncoder(tokenizer)
    raise UserError(
        f"The tokenizer {tokenizer.name_or_path} ({type(tokenizer).__name__}) does not tell where its tokens stand in "
        "a text: it is neither a BertJapaneseTokenizer nor a fast one (tokenizer.json)."
    )


def read_encoder(folder: Path) -> TextEncoder:
    """The encoder of the tokenizer in a model's folder. Raises `UserError` if there is none, or as `make_encoder`."""
    as_ours = (folder / "vocab.txt").is_file() and not (folder / SERIALIZED).is_file()
    return FastEncoder(folder) if as_ours else make_encoder(load_tokenizer(folder))


def tokenizer_file(folder: Path) -> Path:
    """The file of a folder that says most of its tokenizer: what is fingerprinted, and compared."""
    return folder / SERIALIZED if (folder / SERIALIZED).is_file() else folder / "vocab.txt"
