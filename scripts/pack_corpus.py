"""Turn sentences into packed token shards that numpy alone can read.

    python scripts/pack_corpus.py --config recipes/tiny.yaml
    python scripts/pack_corpus.py --tokenizer cl-tohoku/bert-large-japanese

Reads WORK_DIR/corpus and WORK_DIR/tokenizer, writes WORK_DIR/shards. A run that was killed goes on with the files that
are missing.
"""

from __future__ import annotations

from mobilebert_ja.common.errors import exit_on_user_error
from mobilebert_ja.plans import shards_stage
from mobilebert_ja.pretraining.packing import pack_corpus
from mobilebert_ja.pretraining.shards import check_vocabulary
from mobilebert_ja.settings import PackSettings, parse_settings
from mobilebert_ja.tokenization.encoder import FastEncoder


@exit_on_user_error
def main() -> None:
    settings = parse_settings(PackSettings, __doc__)
    stage = shards_stage(settings)
    if stage.is_done(settings.overwrite):
        return
    corpus, tokenizer = stage.inputs["corpus_dir"], stage.inputs["tokenizer"]
    check_vocabulary(len(FastEncoder(tokenizer).vocab))
    stage.begin(resume=True, overwrite=settings.overwrite)
    totals = pack_corpus(corpus, tokenizer, stage.folder, settings.num_workers)
    stage.finish({"tokens": {split: kinds["tokens"] for split, kinds in totals.items()}, "totals": totals})
    print(
        f"{settings.output_dir}: {totals['train']['tokens']:,} tokens to train on, "
        f"{totals['heldout']['tokens']:,} held out"
    )


if __name__ == "__main__":
    main()
