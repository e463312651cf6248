"""Tag every word of the packed corpus with its part of speech and proper-noun class, for training to learn them.

    python scripts/tag_corpus.py --config recipes/cpu.yaml --sources 'wikipedia_*,wikinews'

Reads WORK_DIR/shards and WORK_DIR/tokenizer, writes WORK_DIR/tags: a byte per token of each source of the shards, the
number of the class that MeCab's unidic_lite gives a word for the word's first token, 0 for every other. `pretrain.py
--tags tags` learns to tell them, beside the masked words. A run that was killed goes on with the sources that are
missing.
"""

from __future__ import annotations

from mobilebert_ja.common.errors import exit_on_user_error
from mobilebert_ja.plans import tag_stage
from mobilebert_ja.pretraining.shards import Shards, vocabulary_of
from mobilebert_ja.pretraining.vectors.tags import write_tags
from mobilebert_ja.settings import TagSettings, parse_settings


@exit_on_user_error
def main() -> None:
    settings = parse_settings(TagSettings, __doc__)
    stage = tag_stage(settings)
    if stage.is_done(settings.overwrite):
        return
    shards = Shards(stage.inputs["shards_dir"], "train")
    vocabulary = vocabulary_of(shards, stage.inputs["tokenizer"])
    shards.matching(settings.sources)  # before anything is begun
    stage.begin(resume=True, overwrite=settings.overwrite)
    counts = write_tags(stage.folder, shards, vocabulary, settings)
    stage.finish(counts)
    print(
        f"{settings.output_dir}: {counts['tokens']:,} tokens, {counts['tagged']:,} of {counts['words']:,} words have "
        f"one of {len(counts['classes'])} classes"
    )


if __name__ == "__main__":
    main()
