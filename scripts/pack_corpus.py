"""Turn sentences into packed token shards that numpy alone can read.

    python scripts/pack_corpus.py --config recipes/tiny.yaml
    python scripts/pack_corpus.py --tokenizer cl-tohoku/bert-large-japanese

Reads WORK_DIR/corpus and WORK_DIR/tokenizer, writes WORK_DIR/shards. A run that was killed goes on with the files that
are missing.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

from mobilebert_ja.common.errors import exit_on_user_error
from mobilebert_ja.common.files import list_files, read_json, write_json
from mobilebert_ja.common.parallel import bounded_map
from mobilebert_ja.common.progress import progress_bar
from mobilebert_ja.data.sources import text_documents
from mobilebert_ja.plans import shards_stage
from mobilebert_ja.pretraining.shards import check_vocabulary, write_index, write_source
from mobilebert_ja.settings import PackSettings, parse_settings
from mobilebert_ja.tokenization.encoder import FastEncoder

encoder_of = cache(FastEncoder)  # one per worker process


def pack(tokenizer: str, folder: Path, task: tuple[str, Path]) -> tuple[str, dict[str, Any]]:
    """Encode one file of the corpus into one source of the shards; returns its key and counts."""
    split, file = task
    key = f"{split}-{file.stem}"
    done = folder / f"{key}.counts.json"
    if not done.exists():
        encoder = encoder_of(tokenizer)
        documents = [[ids for ids in map(encoder.ids, document) if ids] for document in text_documents(file)]
        counts = write_source(folder, split, file.stem, [document for document in documents if document])
        write_json(done, counts | {"unknown": sum(ids.count(encoder.unk_id) for each in documents for ids in each)})
    return key, read_json(done)


@exit_on_user_error
def main() -> None:
    settings = parse_settings(PackSettings, __doc__)
    stage = shards_stage(settings)
    if stage.is_done(settings.overwrite):
        return
    corpus, tokenizer = stage.inputs["corpus_dir"], stage.inputs["tokenizer"]
    vocabulary = FastEncoder(tokenizer).vocab
    check_vocabulary(len(vocabulary))
    stage.begin(resume=True, overwrite=settings.overwrite)
    tasks = [(split, file) for split in ("train", "heldout") for file in list_files(corpus / split)]
    with ProcessPoolExecutor(settings.num_workers) as pool:
        packed = bounded_map(pool, partial(pack, str(tokenizer), stage.folder), tasks)
        counts = dict(progress_bar(packed, desc="packing", unit="file", total=len(tasks)))
    for key in counts:
        (stage.folder / f"{key}.counts.json").unlink()
    write_index(stage.folder, vocabulary, counts)
    totals = {
        split: {
            kind: sum(count[kind] for key, count in counts.items() if key.startswith(f"{split}-"))
            for kind in ("documents", "sentences", "tokens", "unknown")
        }
        for split in ("train", "heldout")
    }
    stage.finish({"tokens": {split: kinds["tokens"] for split, kinds in totals.items()}, "totals": totals})
    print(
        f"{settings.output_dir}: {totals['train']['tokens']:,} tokens to train on, "
        f"{totals['heldout']['tokens']:,} held out"
    )


if __name__ == "__main__":
    main()
