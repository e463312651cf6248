"""How often each rule of the corpus acted, with examples by which a reader can judge it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import xxhash

from mobilebert_ja.common.files import read_json, write_json

EXAMPLES = 10
SHOWN_CHARS = 300


class RuleReport:
    """Counts by rule, and for each rule the examples whose hashes are smallest.

    The smallest hashes are a uniform sample that does not depend on the order of the text or on how it was shared out
    among workers, so two runs show the same examples, and reports of parts merge exactly.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.removed_sentences: Counter[str] = Counter()
        self.examples: dict[str, dict[int, dict[str, Any]]] = {}

    def add(self, rule: str, text: str, removed: int, **more: str) -> None:
        """`rule` acted on `text` and `removed` so many sentences; `more` is shown with the example."""
        self.counts[rule] += 1
        if removed:
            self.removed_sentences[rule] += removed
        shown = {"text": text[:SHOWN_CHARS], **{key: value[:SHOWN_CHARS] for key, value in more.items()}}
        self._keep(rule, xxhash.xxh64_intdigest(text.encode("utf-8", "replace")), shown)

    def _keep(self, rule: str, key: int, shown: dict[str, Any]) -> None:
        kept = self.examples.setdefault(rule, {})
        if len(kept) < EXAMPLES or key < max(kept):
            kept[key] = shown
            if len(kept) > EXAMPLES:
                del kept[max(kept)]

    def merge(self, other: RuleReport) -> None:
        self.counts.update(other.counts)
        self.removed_sentences.update(other.removed_sentences)
        for rule, kept in other.examples.items():
            for key, shown in kept.items():
                self._keep(rule, key, shown)

    def save(self, path: Path) -> None:
        stored = {"counts": self.counts, "removed_sentences": self.removed_sentences, "examples": self.examples}
        write_json(path, stored)

    @classmethod
    def load(cls, path: Path) -> RuleReport:
        stored = read_json(path)
        report = cls()
        report.counts = Counter(stored["counts"])
        report.removed_sentences = Counter(stored["removed_sentences"])
        report.examples = {
            rule: {int(key): shown for key, shown in kept.items()} for rule, kept in stored["examples"].items()
        }
        return report

    def rules(self) -> list[dict[str, Any]]:
        """One entry a rule, most frequent first, its examples in the order of their hashes."""
        return [
            {
                "rule": rule,
                "count": count,
                "removed_sentences": self.removed_sentences[rule],
                "examples": [shown for _, shown in sorted(self.examples[rule].items())],
            }
            for rule, count in sorted(self.counts.items(), key=lambda each: (-each[1], each[0]))
        ]
