"""Training the vocabulary: WordPiece inside MeCab words, as cl-tohoku/bert-japanese v2.0 (train_tokenizer.py)."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_lines
from mobilebert_ja.common.text.normalization import nfkc
from mobilebert_ja.tokenization.encoder import SPECIAL_TOKENS, UNUSED_TOKENS
from mobilebert_ja.tokenization.mecab import words_of

CHUNK_LINES = 20_000


def sample_lines(files: list[Path], size: int, seed: int) -> list[str]:
    """A uniform sample of non-empty lines, in their order; all of them if there are no more than `size`."""
    total = sum(1 for file in files for line in read_lines(file) if line)
    if total == 0:
        raise UserError(f"The corpus {files[0].parent if files else ''} is empty: no line of text in it.")
    chosen = set(random.Random(seed).sample(range(total), size)) if size < total else None
    lines = (line for file in files for line in read_lines(file) if line)
    return [line for number, line in enumerate(lines) if chosen is None or number in chosen]


def count_all_words(lines: list[str], workers: int = 2) -> Counter[str]:
    """`count_words` over worker processes."""
    chunks = [lines[start : start + CHUNK_LINES] for start in range(0, len(lines), CHUNK_LINES)]
    words: Counter[str] = Counter()
    with ProcessPoolExecutor(workers) as pool:
        for counts in pool.map(count_words, chunks):
            words.update(counts)
    return words


def count_words(lines: Iterable[str]) -> Counter[str]:
    """How often each MeCab word stands in `lines`, after NFKC."""
    counts: Counter[str] = Counter()
    for line in lines:
        counts.update(words_of(nfkc(line)))
    return counts


def train_vocabulary(words: Counter[str], vocab_size: int, limit_alphabet: int, min_frequency: int) -> list[str]:
    """Train WordPiece on counted words; the same counts always give the same vocabulary.

    The library breaks ties between equally frequent characters in the order of a hash map. So the alphabet is chosen
    here (by count, then code point), and handed over, with its continuing forms, in a fixed order.

    Returns:
        Tokens in the order of their ids: specials, unused, alphabet, continuing alphabet, learned pieces.
    """
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from tokenizers.trainers import WordPieceTrainer

    if not words:
        raise UserError("The corpus holds no words to train a tokenizer on.")
    characters: Counter[str] = Counter()
    for word, count in words.items():
        for char in word:
            characters[char] += count
    ranked = sorted(characters, key=lambda char: (-characters[char], char))
    alphabet = sorted(ranked[:limit_alphabet])
    kept = set(alphabet)
    continuing = sorted({f"##{char}" for word in words for char in word[1:] if char in kept})
    fixed = SPECIAL_TOKENS + UNUSED_TOKENS + alphabet + continuing
    if len(fixed) > vocab_size:
        raise UserError(
            f"--vocab_size {vocab_size} is too small: special tokens and the alphabet of {len(alphabet)} characters "
            f"take {len(fixed)}. Raise it or lower --limit_alphabet."
        )
    tokenizer = Tokenizer(WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = WhitespaceSplit()  # type: ignore[assignment]
    trainer = WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        limit_alphabet=len(alphabet),
        initial_alphabet=alphabet,
        special_tokens=fixed,
        continuing_subword_prefix="##",
        show_progress=False,
    )
    tokenizer.train_from_iterator(_repeated(words), trainer)
    vocabulary = tokenizer.get_vocab()
    return sorted(vocabulary, key=vocabulary.__getitem__)


def _repeated(words: Counter[str]) -> Iterator[str]:
    """Each word as often as it was counted, in sorted order, in lines of bounded length."""
    for word in sorted(words):
        remaining = words[word]
        while remaining > 0:
            yield " ".join([word] * min(remaining, 1000))
            remaining -= 1000
