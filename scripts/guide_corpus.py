"""Ask a larger encoder what it thinks of every token of the packed corpus, for training to be guided by.

    python scripts/guide_corpus.py --config recipes/cpu.yaml --guide_model_name_or_path intfloat/multilingual-e5-small

Reads WORK_DIR/shards and WORK_DIR/tokenizer, writes WORK_DIR/guide: a file of 8-bit numbers per source of the shards,
--guide_dimensions of them per token. `pretrain.py --guide guide` learns to say the same of every token, beside the
masked words. The encoder may have any tokenizer that tells where its tokens stand. A run that was killed goes on with
the files that are missing.
"""

from __future__ import annotations

from pathlib import Path

import torch
from accelerate import Accelerator

from mobilebert_ja.common.errors import UserError, exit_on_user_error
from mobilebert_ja.common.files import require_folder
from mobilebert_ja.common.records import Stage
from mobilebert_ja.pretraining.guide import Guide, write_guide
from mobilebert_ja.pretraining.shards import Shards
from mobilebert_ja.settings import GuideSettings, parse_settings
from mobilebert_ja.tokenization.encoder import locate_tokenizer, read_vocabulary


@exit_on_user_error
def main() -> None:
    settings = parse_settings(GuideSettings, __doc__, "guide_corpus")
    if not settings.guide_model_name_or_path:
        raise UserError(
            "--guide_model_name_or_path names the encoder to ask, for example intfloat/multilingual-e5-small."
        )
    folder = require_folder(Path(str(settings.shards_dir)), "pack_corpus.py makes it.")
    tokenizer = locate_tokenizer(str(settings.tokenizer))
    inputs = {"shards_dir": folder, "tokenizer": tokenizer / "vocab.txt"}
    if Path(settings.guide_model_name_or_path).is_dir():
        inputs["guide_model_name_or_path"] = Path(settings.guide_model_name_or_path)
    stage = Stage("guide", vars(settings), Path(str(settings.output_dir)), inputs, Path(str(settings.records_dir)))
    if stage.is_done(settings.overwrite):
        return
    shards = Shards(folder, "train")
    vocabulary = list(read_vocabulary(tokenizer / "vocab.txt"))
    if len(vocabulary) != shards.index["vocab_size"]:
        raise UserError(
            f"{tokenizer} has {len(vocabulary)} entries, the shards were packed with {shards.index['vocab_size']}."
        )
    accelerator = Accelerator()
    guide = Guide(
        settings.guide_model_name_or_path,
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
