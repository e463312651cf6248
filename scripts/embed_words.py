"""Word vectors for a model to start from, from what stands near what in the packed corpus.

    python scripts/embed_words.py --config recipes/cpu.yaml

Reads WORK_DIR/shards and WORK_DIR/tokenizer, writes WORK_DIR/embeddings/word_embeddings.npy, float32 [vocabulary,
--embedding_size]. `pretrain.py --word_embeddings embeddings` starts from them. Counting sees the whole corpus in
seconds, where masked words would have to be read for hours before a rare one has been learned. With
`--encoder_name_or_path` a larger encoder is asked what each entry means, and both kinds of vectors are put together.
"""

from __future__ import annotations

import mobilebert_ja.training.waiting  # noqa: F401

import numpy as np

from mobilebert_ja.common.errors import exit_on_user_error
from mobilebert_ja.common.paths import WORD_EMBEDDINGS_NAME
from mobilebert_ja.plans import word_vector_stage
from mobilebert_ja.pretraining.shards import Shards, vocabulary_of
from mobilebert_ja.pretraining.vectors.encoder import encoder_word_vectors, joined
from mobilebert_ja.pretraining.vectors.pmi import cooccurrence_counts, nearest, word_vectors
from mobilebert_ja.settings import WordVectorSettings, parse_settings

SHOWN_WORDS = 12  # words whose neighbours the record holds, so that a reader can judge the vectors
SHOWN_NEIGHBOURS = 5


@exit_on_user_error
def main() -> None:
    settings = parse_settings(WordVectorSettings, __doc__)
    stage = word_vector_stage(settings)
    if stage.is_done(settings.overwrite):
        return
    shards = Shards(stage.inputs["shards_dir"], "train")
    vocabulary = vocabulary_of(shards, stage.inputs["tokenizer"])
    stage.begin()
    counts, frequencies = cooccurrence_counts(shards, settings.window, settings.mixture)
    vectors = word_vectors(counts, settings.embedding_size, settings.seed)
    if settings.encoder_name_or_path:
        asked = encoder_word_vectors(
            settings.encoder_name_or_path, vocabulary, settings.encoder_layer, settings.encoder_prefix
        )
        vectors = joined(vectors, asked, settings.embedding_size)
    np.save(stage.folder / WORD_EMBEDDINGS_NAME, vectors)
    # Whole words of more than one character, at even distances among the thousand most frequent.
    words = [
        n for n in np.argsort(-frequencies, kind="stable") if len(vocabulary[n]) > 1 and vocabulary[n][0] not in "#["
    ]
    chosen = words[:1000][:: max(1, min(len(words), 1000) // SHOWN_WORDS)][:SHOWN_WORDS]
    neighbours = {
        vocabulary[number]: [vocabulary[other] for other in nearest(vectors, number, SHOWN_NEIGHBOURS)]
        for number in chosen
    }
    stage.finish(
        {
            "tokens": shards.total_tokens,
            "pairs": int(counts.nnz),
            "tokens_with_vector": int((vectors != 0).any(axis=1).sum()),
            "vocab_size": len(vocabulary),
            "nearest": neighbours,
        }
    )
    for word, near in neighbours.items():
        print(f"{word}: {' '.join(near)}")
    print(f"{settings.output_dir}: vectors of {settings.embedding_size} from {shards.total_tokens:,} tokens")


if __name__ == "__main__":
    main()
