"""Turn sentences into packed token shards that numpy alone can read.

    python scripts/pack_corpus.py --config recipes/tiny.yaml

Reads WORK_DIR/corpus and WORK_DIR/tokenizer, writes WORK_DIR/shards.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path

from mobilebert_ja.corpus import text_documents
from mobilebert_ja.errors import exit_on_user_error
from mobilebert_ja.files import list_files, require_folder
from mobilebert_ja.parallel import bounded_map
from mobilebert_ja.progress import progress_bar
from mobilebert_ja.records import Stage
from mobilebert_ja.settings import PackSettings, parse_settings
from mobilebert_ja.shards import write_index, write_source
from mobilebert_ja.tokenizer import FastEncoder

encoder_of = cache(FastEncoder)  # one a worker process


def in_chunks(documents: Iterator[list[str]], lines: int = 5000) -> Iterator[list[list[str]]]:
    """Documents in groups of about `lines` lines, so that one large file keeps every worker busy."""
    chunk: list[list[str]] = []
    size = 0
    for document in documents:
        chunk.append(document)
        size += len(document)
        if size >= lines:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def encode(tokenizer: str, documents: list[list[str]]) -> list[list[list[int]]]:
    encoder = encoder_of(tokenizer)
    return [[ids for ids in map(encoder.ids, document) if ids] for document in documents]


@exit_on_user_error
def main() -> None:
    settings = parse_settings(PackSettings, __doc__, "pack_corpus")
    corpus, tokenizer = Path(str(settings.corpus_dir)), Path(str(settings.tokenizer))
    require_folder(corpus / "train", "build_corpus.py makes it.")
    require_folder(tokenizer, "train_tokenizer.py makes it.")
    stage = Stage(
        "shards", vars(settings), Path(str(settings.output_dir)),
        {"corpus_dir": corpus, "tokenizer": tokenizer}, Path(str(settings.records_dir)),
    )  # fmt: skip
    if stage.is_done(settings.overwrite):
        return
    stage.begin()
    vocabulary = FastEncoder(tokenizer).vocab
    counts = {}
    files = [(split, file) for split in ("train", "heldout") for file in list_files(corpus / split)]
    with ProcessPoolExecutor(settings.num_workers) as pool:
        for split, file in progress_bar(files, desc="packing", unit="file"):
            chunks = bounded_map(pool, partial(encode, str(tokenizer)), in_chunks(text_documents(file)))
            documents = [document for chunk in chunks for document in chunk if document]
            counts[f"{split}-{file.stem}"] = write_source(stage.folder, split, file.stem, documents)
    write_index(stage.folder, vocabulary, counts)
    totals = {
        split: sum(count["tokens"] for key, count in counts.items() if key.startswith(f"{split}-"))
        for split in ("train", "heldout")
    }
    stage.finish({"tokens": totals, "sources": counts})
    print(f"{settings.output_dir}: {totals['train']:,} tokens to train on, {totals['heldout']:,} held out")


if __name__ == "__main__":
    main()
