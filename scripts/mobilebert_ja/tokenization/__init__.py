"""MeCab words, WordPiece tokens with their offsets, tokenizers of others, and training a vocabulary.

May import: common; transformers for its tokenizer, where it is asked for. No torch.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    """`BertJapaneseTokenizerFast`, whose base class needs transformers, which nothing else here imports."""
    if name == "BertJapaneseTokenizerFast":
        from mobilebert_ja.tokenization.bert_japanese_fast import BertJapaneseTokenizerFast

        return BertJapaneseTokenizerFast
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
