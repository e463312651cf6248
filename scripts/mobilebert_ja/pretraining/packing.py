"""From a folder of sentences to packed shards: the files of a corpus encoded side by side."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import list_files, read_json, write_json
from mobilebert_ja.common.progress import progress_bar
from mobilebert_ja.data.sources import text_documents
from mobilebert_ja.pretraining.shards import INDEX_NAME, check_vocabulary, write_index, write_source
from mobilebert_ja.tokenization.encoder import FastEncoder, read_vocabulary

SPLITS = ("train", "heldout")
encoder_of = cache(FastEncoder)  # one per worker process
Item = TypeVar("Item")
Result = TypeVar("Result")


def bounded_map(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], pending: int = 8
) -> Iterator[Result]:
    """Results in the order of `items`, at most `pending` of them under way: items are read only as fast as results are
    taken, so that memory stays bounded.
    """
    futures: deque[Future[Result]] = deque()
    for item in items:
        futures.append(pool.submit(function, item))
        if len(futures) >= pending:
            yield futures.popleft().result()
    while futures:
        yield futures.popleft().result()


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


def pack_corpus(corpus: Path, tokenizer: Path, folder: Path, workers: int) -> dict[str, dict[str, int]]:
    """Encode corpus/{train,heldout}/*.txt into the shards of `folder`, in which an interrupted run is continued.

    Returns:
        split -> {"documents", "sentences", "tokens", "unknown"}. Raises `UserError` if the vocabulary is too large, or
        if two files of a split have one name.
    """
    vocabulary = read_vocabulary(tokenizer / "vocab.txt")
    check_vocabulary(len(vocabulary))
    tasks = [(split, file) for split in SPLITS for file in list_files(corpus / split)]
    files: dict[tuple[str, str], Path] = {}
    for split, file in tasks:
        other = files.setdefault((split, file.stem), file)
        if other != file:
            raise UserError(f"{other} and {file} would both be the source {file.stem}; sources need distinct names.")
    with ProcessPoolExecutor(workers) as pool:
        packed = bounded_map(pool, partial(pack, str(tokenizer), folder), tasks)
        counts = dict(progress_bar(packed, desc="packing", unit="file", total=len(tasks)))
    for key in counts:
        (folder / f"{key}.counts.json").unlink()
    write_index(folder, vocabulary, counts)
    return totals(folder)


def totals(folder: Path) -> dict[str, dict[str, int]]:
    """What `pack_corpus` counted in a folder of shards."""
    counts = read_json(folder / INDEX_NAME)["sources"]
    return {
        split: {
            kind: sum(count[kind] for key, count in counts.items() if key.startswith(f"{split}-"))
            for kind in ("documents", "sentences", "tokens", "unknown")
        }
        for split in SPLITS
    }
