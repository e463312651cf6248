"""The steps of the corpus pipeline that datatrove does not have: sources, cleaning, Japanese shingles, reports.

A document on its way through the pipeline is datatrove's `Document`: `text` holds paragraphs (sentences once it is
cleaned) with a line feed between them, `metadata["part"]` the input it comes from and `metadata["piece"]` the piece.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from datatrove.data import Document, DocumentsPipeline
from datatrove.io import get_datafolder
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.dedup import MinhashDedupSignature
from datatrove.pipeline.dedup.sentence_dedup import SentenceDedupFilter
from datatrove.utils.word_tokenizers import WordTokenizer

from mobilebert_ja.common.files import write_json
from mobilebert_ja.corpus.cleaning import clean, split_sentences, unwanted
from mobilebert_ja.corpus.rule_report import RuleReport
from mobilebert_ja.data.sources import Part

# datatrove numbers the sentences of a document with 16 bits.
MAX_SENTENCES = 60_000
LENGTH_STEP = 10  # characters a bar of the histogram of sentence lengths


def digest(text: str) -> bytes:
    """64 bits that stand for a sentence or document."""
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()


class NoWords(WordTokenizer):
    """datatrove asks for a word tokenizer; our units are lines and characters, so none is ever used."""

    def word_tokenize(self, text: str) -> list[str]:
        raise NotImplementedError

    sent_tokenize = word_tokenize

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        raise NotImplementedError


class ReadParts(PipelineStep):
    """Raw documents of the parts of this task."""

    type = "📖 - READER"
    name = "raw text"

    def __init__(self, parts: list[Part]):
        super().__init__()
        self.parts = parts

    def run(self, data: DocumentsPipeline = None, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        for part in self.parts[rank::world_size]:
            for number, paragraphs in enumerate(part.documents()):
                yield Document("\n".join(paragraphs), f"{part.name}/{number}", metadata={"part": part.name})


class WritePieces(PipelineStep):
    """Documents into files PART-NNNNN.jsonl.zst of about `chars` characters: the units of work of all later passes."""

    type = "💽 - WRITER"
    name = "pieces"

    def __init__(self, folder: Path, chars: int):
        super().__init__()
        self.folder, self.chars = get_datafolder(str(folder)), chars

    def _pieces(self, documents: Iterator[Document]) -> Iterator[list[Document]]:
        piece: list[Document] = []
        size = 0
        for document in documents:
            piece.append(document)
            size += len(document.text)
            if size >= self.chars:
                yield piece
                piece, size = [], 0
        if piece:
            yield piece

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> None:
        for part, documents in groupby(data, key=lambda document: document.metadata["part"]):
            for number, piece in enumerate(self._pieces(documents)):
                name = f"{part}-{number:05}"
                with self.folder.open(f"{name}.jsonl.zst", "wb", compression="zstd") as stream:
                    for document in piece:
                        row = {"text": document.text, "id": document.id, "part": part, "piece": name}
                        stream.write(orjson.dumps(row) + b"\n")


class CleanDocuments(PipelineStep):
    """Paragraphs into clean sentences; what needs no knowledge of the rest of the corpus.

    Args:
        min_chars, max_chars: sentences of other lengths are dropped (characters).
        excluded: rule -> digests of sentences of evaluation sets, which are dropped.
        reports: folder for this task's `RuleReport` and counts.
    """

    type = "✂️ - CLEANER"
    name = "sentences"

    def __init__(self, min_chars: int, max_chars: int, excluded: dict[str, frozenset[bytes]], reports: Path):
        super().__init__()
        self.min_chars, self.max_chars, self.reports = min_chars, max_chars, reports
        self._excluded = excluded

    def sentences(self, document: Document, report: RuleReport) -> list[str]:
        """The sentences of a raw document that are kept."""

        def changed(rule: str, before: str, after: str) -> None:
            report.add(rule, before, removed=0, became=after)

        kept = []
        for paragraph in document.text.split("\n"):
            for sentence in split_sentences(clean(paragraph, changed)):
                reason = unwanted(sentence, self.min_chars, self.max_chars)
                if reason is None and self._excluded:
                    found = digest(sentence)
                    reason = next((rule for rule, digests in self._excluded.items() if found in digests), None)
                if reason is None:
                    kept.append(sentence)
                else:
                    report.add(reason, sentence, removed=1)
        return kept

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        report = RuleReport()
        read: Counter[str] = Counter()
        for document in data:
            size = {"characters": len(document.text), "bytes": len(document.text.encode("utf-8", "replace"))}
            read.update(documents=1, lines=document.text.count("\n") + 1, **size)
            kept = self.sentences(document, report)
            for number, start in enumerate(range(0, len(kept), MAX_SENTENCES)):
                text = "\n".join(kept[start : start + MAX_SENTENCES])
                yield Document(text, f"{document.id}/{number}", metadata=dict(document.metadata))
        report.save(self.reports / f"clean-{rank:05}.json")
        write_json(self.reports / f"read-{rank:05}.json", read)


class WriteCleaned(PipelineStep):
    """One file per task, also for a task without documents: later passes find their input by its index in the list."""

    type = "💽 - WRITER"
    name = "cleaned"

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = get_datafolder(str(folder))

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        with self.folder.open(f"{rank:05}.jsonl.zst", "wb", compression="zstd") as stream:
            stream.write(b"")  # without any write the file would be no valid zstd stream
            for document in data:
                row = {"text": document.text, "id": document.id, "metadata": document.metadata}
                stream.write(orjson.dumps(row) + b"\n")
                yield document


class CharacterShingles(MinhashDedupSignature):
    """MinHash over every run of `n_grams` characters: Japanese has no spaces to tell words by."""

    name = "🎯 MinHash stage 1, characters"
    _WEIGHTS = np.random.default_rng(20040298).integers(1, 2**63, size=64, dtype=np.uint64) | np.uint64(1)
    _BLOCK = 1024  # shingles at a time: their hashes stay in the processor's cache, whatever the document's length

    def get_shingles(self, text: str) -> np.ndarray:
        """uint64 [distinct shingles, 1]; a text shorter than one shingle is one shingle."""
        points = np.frombuffer("".join(text.split()).encode("utf-32-le", "replace"), dtype="<u4").astype(np.uint64)
        width = min(self.config.n_grams, len(points))
        count = len(points) - width + 1
        hashes = np.zeros(count if width else 0, dtype=np.uint64)
        for index in range(width):
            hashes += points[index : index + count] * self._WEIGHTS[index]
        # Neighbouring code points would give neighbouring hashes; MinHash needs them spread (MurmurHash3's mixer).
        hashes ^= hashes >> np.uint64(33)
        hashes *= np.uint64(0xFF51AFD7ED558CCD)
        hashes ^= hashes >> np.uint64(33)
        return np.unique(hashes).reshape(-1, 1)

    def get_signature(self, shingles: np.ndarray) -> list[list[int]]:
        """`num_buckets` lists of `hashes_per_bucket` hashes: datatrove's, over blocks of shingles."""
        blocks = [
            np.array(super(CharacterShingles, self).get_signature(shingles[start : start + self._BLOCK]))
            for start in range(0, len(shingles), self._BLOCK)
        ]
        return [bucket.tolist() for bucket in np.min(blocks, axis=0)]


class Removed:
    """Takes the documents that a filter of datatrove removes, instead of its exclusion writer."""

    def __init__(self, rule: str, report: RuleReport):
        self.rule, self.report = rule, report

    def __enter__(self) -> Removed:
        return self

    def __exit__(self, *_: Any) -> None:
        return None

    def write(self, document: Document, rank: int = 0) -> None:
        self.report.add(self.rule, document.text, removed=document.text.count("\n") + 1, id=document.id)


class DropRepeatedSentences(SentenceDedupFilter):
    """datatrove's filter, for spans of one sentence: each sentence that stood earlier in the corpus goes."""

    def __init__(self, *args: Any, report: RuleReport, **options: Any):
        super().__init__(*args, language=NoWords(), **options)
        self.report = report

    def remove_dup_sentences(self, doc: Document, du_lines: np.ndarray) -> tuple[str, str]:
        repeated = set(du_lines.tolist())
        kept = []
        for number, sentence in enumerate(doc.text.split("\n")):
            if number in repeated:
                self.report.add("repeated_sentence", sentence, removed=1)
            else:
                kept.append(sentence)
        return "\n".join(kept), doc.text


class WriteCorpus(PipelineStep):
    """Sentences into `train/PIECE.txt` and `heldout/PIECE.txt`, one per line, a blank line between documents.

    Which of the two follows from the document's own text, so it does not depend on what else is in the corpus.
    """

    type = "💽 - WRITER"
    name = "corpus"

    def __init__(self, folder: Path, heldout_every: int, report: RuleReport, reports: Path):
        super().__init__()
        self.folder, self.heldout_every = folder, heldout_every
        self.report, self.reports = report, reports

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> None:
        totals: dict[str, Counter[str]] = {"train": Counter(), "heldout": Counter()}
        parts: dict[str, Counter[str]] = {}
        lengths: Counter[int] = Counter()
        for piece, documents in groupby(data, key=lambda document: document.metadata["piece"]):
            with ExitStack() as stack:
                streams: dict[str, Any] = {}
                for document in documents:
                    heldout = int.from_bytes(digest(document.text), "big") % self.heldout_every == 0
                    split = "heldout" if heldout else "train"
                    if split not in streams:
                        path = self.folder / split / f"{piece}.txt"
                        path.parent.mkdir(exist_ok=True)
                        streams[split] = stack.enter_context(open(path, "w", encoding="utf-8"))
                    streams[split].write(document.text + "\n\n")
                    sentences = document.text.split("\n")
                    size = {"documents": 1, "sentences": len(sentences), "characters": sum(map(len, sentences))}
                    totals[split].update(size)
                    parts.setdefault(document.metadata["part"], Counter()).update(size)
                    lengths.update(len(sentence) // LENGTH_STEP * LENGTH_STEP for sentence in sentences)
        self.report.save(self.reports / f"filter-{rank:05}.json")
        write_json(self.reports / f"written-{rank:05}.json", {"totals": totals, "parts": parts, "lengths": lengths})
