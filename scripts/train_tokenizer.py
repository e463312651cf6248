"""Train the vocabulary on the corpus: WordPiece over MeCab words, as cl-tohoku/bert-japanese v2.0.

    python scripts/train_tokenizer.py --config recipes/tiny.yaml

Reads WORK_DIR/corpus, writes WORK_DIR/tokenizer: vocab.txt and tokenizer_config.json. Same corpus, same bytes.
"""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from mobilebert_ja.errors import UserError, exit_on_user_error
from mobilebert_ja.files import list_files, read_lines, require_folder
from mobilebert_ja.records import Stage
from mobilebert_ja.settings import TokenizerSettings, parse_settings
from mobilebert_ja.tokenizer import FastEncoder, count_words, save_tokenizer, train_vocabulary


def sample_lines(files: list[Path], size: int, seed: int) -> list[str]:
    """A uniform sample of non-empty lines, in their order; all of them if there are no more than `size`."""
    total = sum(1 for file in files for line in read_lines(file) if line)
    if total == 0:
        raise UserError(f"The corpus {files[0].parent if files else ''} is empty: no line of text in it.")
    chosen = set(random.Random(seed).sample(range(total), size)) if size < total else None
    lines = (line for file in files for line in read_lines(file) if line)
    return [line for number, line in enumerate(lines) if chosen is None or number in chosen]


@exit_on_user_error
def main() -> None:
    settings = parse_settings(TokenizerSettings, __doc__, "train_tokenizer")
    corpus = require_folder(Path(str(settings.corpus_dir)) / "train", "build_corpus.py makes it.")
    stage = Stage(
        "tokenizer", vars(settings), Path(str(settings.output_dir)),
        {"corpus_dir": Path(str(settings.corpus_dir))}, Path(str(settings.records_dir)),
    )  # fmt: skip
    if stage.is_done(settings.overwrite):
        return
    stage.begin()
    lines = sample_lines(list_files(corpus), settings.sample_lines, settings.seed)
    chunks = [lines[start : start + 20_000] for start in range(0, len(lines), 20_000)]
    words: Counter[str] = Counter()
    with ProcessPoolExecutor(2) as pool:
        for counts in pool.map(count_words, chunks):
            words.update(counts)
    print(f"{len(lines):,} lines, {words.total():,} words, {len(words):,} different ones")
    vocabulary = train_vocabulary(words, settings.vocab_size, settings.limit_alphabet, settings.min_frequency)
    save_tokenizer(vocabulary, stage.folder)
    encoder = FastEncoder(stage.folder)
    probe = [encoder.encode(line) for line in lines[:: max(1, len(lines) // 10_000)]]
    tokens = [token for encoding in probe for token in encoding.ids]
    metrics = {
        "vocab_size": len(vocabulary),
        "sample_lines": len(lines),
        "words": words.total(),
        "distinct_words": len(words),
        "unknown_rate": tokens.count(encoder.unk_id) / max(len(tokens), 1),
        "tokens_per_word": len(tokens) / max(sum(sum(encoding.word_starts) for encoding in probe), 1),
    }
    stage.finish(metrics)
    print(f"{settings.output_dir}: {len(vocabulary):,} entries, {metrics['unknown_rate']:.3%} unknown")


if __name__ == "__main__":
    main()
