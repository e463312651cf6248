"""Ask a larger encoder what it thinks of every token of the packed corpus, for training to be guided by.

    python scripts/guide_corpus.py --config recipes/cpu.yaml --guide_model_name_or_path intfloat/multilingual-e5-small

Reads WORK_DIR/shards and WORK_DIR/tokenizer, writes WORK_DIR/guide: a file of 8-bit numbers per source of the shards,
--guide_dimensions of them per token. `pretrain.py --guide guide` learns to say the same of every token, beside the
masked words. The encoder may have any tokenizer that tells where its tokens stand. A run that was killed goes on with
the files that are missing.
"""

from __future__ import annotations

import mobilebert_ja.training.waiting  # noqa: F401

import torch

from mobilebert_ja.common.errors import exit_on_user_error
from mobilebert_ja.plans import guide_stage
from mobilebert_ja.pretraining.shards import Shards, vocabulary_of
from mobilebert_ja.pretraining.vectors.guide import Guide, write_guide
from mobilebert_ja.settings import GuideSettings, parse_settings
from mobilebert_ja.training.accelerator import make_accelerator


@exit_on_user_error
def main() -> None:
    settings = parse_settings(GuideSettings, __doc__)
    stage = guide_stage(settings)
    if stage.is_done(settings.overwrite):
        return
    shards = Shards(stage.inputs["shards_dir"], "train")
    vocabulary = vocabulary_of(shards, stage.inputs["tokenizer"])
    accelerator = make_accelerator()
    guide = Guide(
        str(settings.guide_model_name_or_path),
        settings.guide_layer,
        settings.guide_prefix,
        accelerator.device,
        accelerator.mixed_precision,
    )
    stage.begin(resume=True, overwrite=settings.overwrite)
    counts = write_guide(stage.folder, shards, vocabulary, guide, settings)
    stage.finish(counts | {"precision": accelerator.mixed_precision, "num_threads": torch.get_num_threads()})
    print(
        f"{settings.output_dir}: {counts['tokens']:,} tokens, {counts['dimensions']} numbers each, which leave "
        f"{counts['unexplained']:.1%} of the encoder's variance out"
    )


if __name__ == "__main__":
    main()
