"""Shards of given sentences, and of random words for what trains and need not learn."""

from pathlib import Path

import numpy as np

from mobilebert_ja.pretraining.shards import write_index, write_source
from mobilebert_ja.tokenization.encoder import SPECIAL_TOKENS, UNUSED_TOKENS, read_vocabulary, save_tokenizer


def write_random_shards(work: Path) -> None:
    """WORK_DIR/shards, and WORK_DIR/tokenizer with a vocabulary of a hundred entries."""
    words = [f"w{index}" for index in range(85)]
    save_tokenizer(SPECIAL_TOKENS + UNUSED_TOKENS + words, work / "tokenizer")
    rng = np.random.default_rng(0)
    (work / "shards").mkdir()
    counts = {}
    for split in ("train", "heldout"):
        documents = [[rng.integers(15, 100, rng.integers(4, 12)).tolist() for _ in range(8)] for _ in range(20)]
        counts[f"{split}-made"] = write_source(work / "shards", split, "made", documents)
    write_index(work / "shards", read_vocabulary(work / "tokenizer" / "vocab.txt"), counts)


def write_sources(folder: Path, vocabulary: dict[str, int], **sources: list[list[list[int]]]) -> Path:
    """Shards of sources by name, each with the same documents to train on and held out. Returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    counts = {
        f"{split}-{name}": write_source(folder, split, name, documents)
        for name, documents in sources.items()
        for split in ("train", "heldout")
    }
    write_index(folder, vocabulary, counts)
    return folder
