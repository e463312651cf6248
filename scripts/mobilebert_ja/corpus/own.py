"""A corpus of a user's own documents: cleaned as any, with a part held out whatever the texts' number and size.

`CorpusBuild` holds out whole documents, each by its own digest: of few documents, none or all. Here stretches of
sentences are held out, those of the smallest digests, until they make up the share.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import list_files, read_json, write_atomically, write_json
from mobilebert_ja.corpus.build import CorpusBuild
from mobilebert_ja.corpus.steps import digest
from mobilebert_ja.data.sources import Part, text_documents

NAME = "own"
METRICS_NAME = "metrics.json"
_NONE_HELD_OUT = 1 << 64  # one document in this many
_LONGEST_STRETCH = 10_000  # characters; mostly a whole document


def build_own_corpus(
    documents: Iterable[list[str]],
    excluded: dict[str, frozenset[bytes]],
    folder: Path,
    heldout_share: float,
    least_heldout: int,
    **cleaning: Any,
) -> dict[str, Any]:
    """Make folder/{train,heldout}/*.txt and folder/removed.json, as build_corpus.py does; an interrupted run goes on.

    Args:
        documents: read once, unless an earlier run has done so.
        heldout_share: part of the characters, 0 < share <= 0.5.
        least_heldout: characters that are held out in any case, if the text has more than twice as many.
        cleaning: min_chars, max_chars, near_duplicates and workers of `CorpusBuild`.

    Returns:
        The metrics of `CorpusBuild`. Raises `UserError` if no sentence is left.
    """
    if (folder / METRICS_NAME).is_file():
        return read_json(folder / METRICS_NAME)
    texts, cleaned = folder / f"{NAME}.jsonl", folder / "cleaned"
    if not texts.is_file():
        with write_atomically(texts) as stream:
            stream.writelines(json.dumps({"text": "\n".join(document)}) + "\n" for document in documents)
    cleaned.mkdir(exist_ok=True)
    part = Part(NAME, "text", str(texts))
    metrics = CorpusBuild([part], excluded, cleaned, heldout_every=_NONE_HELD_OUT, **cleaning).run()
    characters = metrics["train"].get("characters", 0)
    if not characters:
        shown = ", ".join(f"{count} {rule}" for rule, count in metrics["removed_sentences"].items())
        raise UserError(
            f"No sentence of {cleaning['min_chars']} to {cleaning['max_chars']} characters is left of the text "
            f"(removed: {shown or 'none'})."
        )
    wanted = max(round(heldout_share * characters), min(least_heldout, characters // 2))
    metrics |= _hold_out(cleaned, folder, wanted, min(_LONGEST_STRETCH, wanted))
    write_json(folder / METRICS_NAME, metrics)
    return read_json(folder / METRICS_NAME)  # the same as where it stands there already


def _stretches(document: list[str], longest: int) -> Iterator[list[str]]:
    """A document of sentences as runs of about `longest` characters at most."""
    stretch: list[str] = []
    size = 0
    for sentence in document:
        if stretch and size + len(sentence) > longest:
            yield stretch
            stretch, size = [], 0
        stretch.append(sentence)
        size += len(sentence)
    if stretch:
        yield stretch


def _hold_out(cleaned: Path, folder: Path, wanted: int, longest: int) -> dict[str, dict[str, int]]:
    """Divide cleaned/train/*.txt into folder/train/ and folder/heldout/; returns the counts of both.

    Args:
        wanted: characters to hold out, at least.
        longest: characters of a stretch that is kept whole.
    """
    files = list_files(cleaned / "train")

    def stretches(file: Path) -> Iterator[tuple[bytes, list[str]]]:
        for document in text_documents(file):
            for stretch in _stretches(document, longest):
                yield digest("\n".join(stretch)), stretch

    sizes = {key: sum(map(len, stretch)) for file in files for key, stretch in stretches(file)}
    held: set[bytes] = set()
    for key in sorted(sizes):
        if wanted <= 0:
            break
        held.add(key)
        wanted -= sizes[key]
    counts = {split: {"documents": 0, "sentences": 0, "characters": 0} for split in ("train", "heldout")}
    with ExitStack() as stack:
        heldout = stack.enter_context(write_atomically(folder / "heldout" / f"{NAME}.txt"))
        for file in files:
            with write_atomically(folder / "train" / file.name) as train:
                for key, stretch in stretches(file):
                    split, stream = ("heldout", heldout) if key in held else ("train", train)
                    stream.write("\n".join(stretch) + "\n\n")
                    counts[split]["documents"] += 1
                    counts[split]["sentences"] += len(stretch)
                    counts[split]["characters"] += sizes[key]
    return counts
