"""From parts of raw text to clean, distinct sentences in documents: passes of datatrove over pieces of the text.

Every pass is a pipeline run in tasks, one per piece, so memory does not grow with the text, tasks run wherever an
executor puts them, and a run that was killed goes on where it stopped. What a pass writes depends on its input alone.

    pieces      raw documents into pieces of a few million characters
    clean       paragraphs into sentences; a signature of each document
    documents   which documents stand twice
    shingles    MinHash signatures of the documents that are left; `buckets` and `clusters` find near-duplicates
    sentences   a signature of each sentence of the documents that are left; `repeats` finds those that stand twice
    write       the sentences that are left, in train/ and heldout/
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.executor.base import PipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.dedup import (
    ExactDedupConfig,
    ExactDedupFilter,
    ExactDedupSignature,
    ExactFindDedups,
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    SentDedupConfig,
    SentenceDedupSignature,
    SentenceFindDedups,
)
from datatrove.pipeline.readers import JsonlReader
from datatrove.utils.text import TextNormConfig

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json, write_json
from mobilebert_ja.corpus.cleaning import clean, split_sentences
from mobilebert_ja.corpus.executors import make_executor, no_other_run, run_phase
from mobilebert_ja.corpus.rule_report import RuleReport
from mobilebert_ja.corpus.steps import (
    CharacterShingles,
    CleanDocuments,
    DropRepeatedSentences,
    NoWords,
    ReadParts,
    Removed,
    WriteCleaned,
    WriteCorpus,
    WritePieces,
    digest,
)
from mobilebert_ja.data.livedoor_archive import read_articles
from mobilebert_ja.data.sources import Part

SENTENCE_FINDERS = 8  # tasks that share the sentences' signatures among them
WORK_FOLDERS = ("passes", "pieces", "cleaned", "duplicates", "reports")


def excluded_texts(paths: Iterable[Path]) -> dict[str, frozenset[bytes]]:
    """Rule -> digests of the sentences of evaluation files that it keeps out of the corpus.

    A file is a JSON list of objects with "text" ("evaluation_sentence"), or the archive of the livedoor corpus, whose
    titles are meant ("evaluation_title"). Both are cleaned and split as the corpus is.
    """
    found: dict[str, set[bytes]] = {}
    for path in paths:
        if not {".tgz", ".tar"}.isdisjoint(map(str.lower, path.suffixes)):
            rule, texts = "evaluation_title", [title for _, title in read_articles(path)]
        else:
            rule, texts = "evaluation_sentence", []
            items = read_json(path, "It names sentences to keep out of pretraining (--exclude).")
            if not isinstance(items, list) or not all(
                isinstance(item, dict) and isinstance(item.get("text"), str) for item in items
            ):
                raise UserError(f'{path}: expected a list of objects with a text "text".')
            texts += [item["text"] for item in items]
        found.setdefault(rule, set()).update(sentence_digests(texts))
    return {rule: frozenset(digests) for rule, digests in sorted(found.items())}


def sentence_digests(texts: Iterable[str]) -> set[bytes]:
    """Digests of the sentences of texts, cleaned and split as the corpus is."""
    return {digest(sentence) for text in texts for sentence in split_sentences(clean(text))}


def _text_of(document: Document) -> str:
    return document.text


@dataclass
class CorpusBuild:
    """One corpus being built in `folder`.

    Args:
        parts: what to read.
        excluded: rule -> digests of the sentences that must not be in it; see `excluded_texts`.
        folder: where train/, heldout/ and removed.json go; the passes' own files stand beside them until the end.
        min_chars, max_chars: length of a sentence that is kept (characters).
        heldout_every: one document in this many is held out.
        near_duplicates: whether documents that MinHash finds alike are dropped.
        piece_chars: characters per piece, that is per task.
        executor, executor_options, workers: where the tasks run; see `executors.make_executor`.
    """

    parts: list[Part]
    excluded: dict[str, frozenset[bytes]]
    folder: Path
    min_chars: int = 10
    max_chars: int = 200
    heldout_every: int = 100
    near_duplicates: bool = True
    piece_chars: int = 2_000_000
    executor: str = "local"
    executor_options: str | dict[str, Any] | None = None
    workers: int = 2

    def __post_init__(self) -> None:
        work = self.folder.resolve()  # datatrove's tasks may run elsewhere
        self.passes, self.pieces, self.cleaned, self.duplicates, self.reports = (work / name for name in WORK_FOLDERS)
        self.costs: list[dict[str, Any]] = []
        self.exact = ExactDedupConfig(content_getter=_text_of)
        # 5 characters per shingle; documents alike in about 0.72 of their shingles or more are taken for one.
        self.alike = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
        as_it_stands = TextNormConfig(False, False, False, False, False, False, False)
        self.same = SentDedupConfig(
            n_sentences=1, split_sentences=False, min_doc_words=0, min_num_sentences=0, norm_config=as_it_stands
        )

    def _run(self, name: str, steps: list[PipelineStep], tasks: int) -> None:
        def executor(logs: Path) -> PipelineExecutor:
            return make_executor(self.executor, self.executor_options, steps, tasks, self.workers, logs)

        self.costs.append(run_phase(name, executor, self.passes, tasks))

    def _read(self, folder: Path) -> JsonlReader:
        return JsonlReader(str(folder), compression="zstd", glob_pattern="*.jsonl.zst", add_file_path=False)

    def _distinct_documents(self, report: RuleReport) -> list[PipelineStep]:
        """Cleaned documents, without those found to stand twice."""
        found = str(self.duplicates / "documents")
        return [self._read(self.cleaned), ExactDedupFilter(found, self.exact, Removed("duplicate_document", report))]

    def _unlike_documents(self, report: RuleReport) -> list[PipelineStep]:
        """Those, without near-duplicates."""
        steps = self._distinct_documents(report)
        if self.near_duplicates:
            found = str(self.duplicates / "clusters")
            steps.append(MinhashDedupFilter(found, Removed("near_duplicate_document", report)))
        return steps

    def run(self) -> dict[str, Any]:
        """Run the passes that have not ended yet; returns the record's metrics."""
        for folder in (self.passes, self.pieces, self.cleaned, self.reports):
            folder.mkdir(parents=True, exist_ok=True)
        with no_other_run(self.passes):
            self._run_passes()
        metrics = self._metrics()
        for name in WORK_FOLDERS:
            shutil.rmtree(self.folder / name)
        return metrics

    def _run_passes(self) -> None:
        signatures = {
            name: str(self.duplicates / f"{name}_signatures") for name in ("document", "shingle", "sentence")
        }
        unused = RuleReport()  # what the filters remove is reported once, by the last pass
        self._run("pieces", [ReadParts(self.parts), WritePieces(self.pieces, self.piece_chars)], len(self.parts))
        tasks = len(list(self.pieces.glob("*.jsonl.zst")))
        if not tasks:
            return
        cleaner = CleanDocuments(self.min_chars, self.max_chars, self.excluded, self.reports)
        self._run(
            "clean",
            [
                self._read(self.pieces),
                cleaner,
                WriteCleaned(self.cleaned),
                ExactDedupSignature(signatures["document"], self.exact),
            ],
            tasks,
        )
        found = str(self.duplicates / "documents")
        self._run("documents", [ExactFindDedups(signatures["document"], found, self.exact)], 1)
        if self.near_duplicates:
            shingles = CharacterShingles(signatures["shingle"], self.alike, language=NoWords())
            self._run("shingles", [*self._distinct_documents(unused), shingles], tasks)
            pairs = str(self.duplicates / "pairs")
            buckets = MinhashDedupBuckets(signatures["shingle"], pairs, config=self.alike)
            self._run("buckets", [buckets], self.alike.num_buckets)
            clusters = MinhashDedupCluster(pairs, str(self.duplicates / "clusters"), self.alike)
            self._run("clusters", [clusters], 1)
        sentences = SentenceDedupSignature(signatures["sentence"], SENTENCE_FINDERS, self.same, language=NoWords())
        self._run("sentences", [*self._unlike_documents(unused), sentences], tasks)
        repeats = str(self.duplicates / "sentences")
        finder = SentenceFindDedups(signatures["sentence"], repeats, config=self.same)
        self._run("repeats", [finder], SENTENCE_FINDERS)
        report = RuleReport()
        self._run(
            "write",
            [
                *self._unlike_documents(report),
                DropRepeatedSentences(repeats, self.same, report=report),
                WriteCorpus(self.folder.resolve(), self.heldout_every, report, self.reports),
            ],
            tasks,
        )

    def _metrics(self) -> dict[str, Any]:
        """Add up what the tasks counted, and write removed.json, the examples by which the rules can be judged."""
        read: Counter[str] = Counter()
        totals: dict[str, Counter[str]] = {"train": Counter(), "heldout": Counter()}
        sources = {part.name: Counter(documents=0, sentences=0, characters=0) for part in self.parts}
        lengths: Counter[int] = Counter()
        report = RuleReport()
        for file in sorted(self.reports.glob("*.json")):
            if file.name.startswith("read-"):
                read.update(read_json(file))
            elif file.name.startswith("written-"):
                written = read_json(file)
                for split, counts in written["totals"].items():
                    totals[split].update(counts)
                for name, counts in written["parts"].items():
                    sources[name].update(counts)
                lengths.update({int(length): count for length, count in written["lengths"].items()})
            else:
                report.merge(RuleReport.load(file))
        write_json(self.folder / "removed.json", report.rules())
        seconds = sum(cost["task_seconds"] for cost in self.costs)  # of one core; 0 on a cluster, which counts its own
        return {
            "read": read,
            "looked_for": {rule: len(digests) for rule, digests in self.excluded.items()},
            **totals,
            "rules": dict(report.counts.most_common()),
            "removed_sentences": dict(report.removed_sentences.most_common()),
            "sources": sources,
            "sentence_lengths": dict(sorted(lengths.items())),
            "megabytes_per_second_a_core": round(read["bytes"] / 1e6 / seconds, 3) if seconds else None,
            "passes": self.costs,
        }
