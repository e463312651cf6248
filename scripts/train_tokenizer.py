"""Train the vocabulary on the corpus: WordPiece over MeCab words, as cl-tohoku/bert-japanese v2.0.

    python scripts/train_tokenizer.py --config recipes/tiny.yaml
    python scripts/train_tokenizer.py --tokenizer cl-tohoku/bert-large-japanese   # take an existing one instead

Reads WORK_DIR/corpus, writes WORK_DIR/tokenizer: vocab.txt and tokenizer_config.json. Same corpus, same bytes.
"""

from __future__ import annotations

from mobilebert_ja.common.errors import exit_on_user_error
from mobilebert_ja.common.files import list_files
from mobilebert_ja.plans import tokenizer_stage
from mobilebert_ja.settings import TokenizerSettings, parse_settings
from mobilebert_ja.tokenization.encoder import FastEncoder, copy_tokenizer, save_tokenizer
from mobilebert_ja.tokenization.vocabulary import count_all_words, sample_lines, train_vocabulary


@exit_on_user_error
def main() -> None:
    settings = parse_settings(TokenizerSettings, __doc__)
    stage = tokenizer_stage(settings)
    if stage.is_done(settings.overwrite):
        return
    stage.begin()
    lines = sample_lines(list_files(stage.inputs["corpus_dir"] / "train"), settings.sample_lines, settings.seed)
    metrics: dict[str, float] = {"sample_lines": len(lines)}
    if settings.tokenizer:
        copy_tokenizer(stage.inputs["tokenizer"].parent, stage.folder)
    else:
        words = count_all_words(lines)
        print(f"{len(lines):,} lines, {words.total():,} words, {len(words):,} different ones")
        vocabulary = train_vocabulary(words, settings.vocab_size, settings.limit_alphabet, settings.min_frequency)
        save_tokenizer(vocabulary, stage.folder)
        metrics |= {"words": words.total(), "distinct_words": len(words)}
    encoder = FastEncoder(stage.folder)
    probe = [encoder.encode(line) for line in lines[:: max(1, len(lines) // 10_000)]]
    tokens = [token for encoding in probe for token in encoding.ids]
    metrics |= {
        "vocab_size": len(encoder.vocab),
        "unknown_rate": tokens.count(encoder.unk_id) / max(len(tokens), 1),
        "tokens_per_word": len(tokens) / max(sum(len(encoding.words) for encoding in probe), 1),
    }
    stage.finish(metrics)
    print(f"{settings.output_dir}: {len(encoder.vocab):,} entries, {metrics['unknown_rate']:.3%} unknown")


if __name__ == "__main__":
    main()
