"""The checkpoint itself: what it was trained on and at what cost, its vocabulary, and how well it fills masks."""

from __future__ import annotations

from typing import Any

from mobilebert_ja.card.names import ORIGINS, REMOVED, TEXT_KINDS, VOCABULARIES
from mobilebert_ja.card.values import NONE, find, metrics_of, myriads, number, percent
from mobilebert_ja.pretraining.masking.whole_words import EVALUATION_PROBABILITY

KINDS = {
    "wikipedia": "百科事典",
    "wikinews": "ニュース",
    "ict_whitepaper": "白書",
    "aozora": "小説",
    "msdocs": "技術文書",
    "programming_docs": "技術文書",
    "japan_law": "法令",
}
# What sources have in common: kind of text and where it is from, the sources by the start of their names, licence.
GROUPS = (
    ("百科事典(Wikipedia 日本語版)", ("wikipedia",), "CC BY-SA 3.0、CC BY-SA 4.0"),
    ("ニュース(ウィキニュース)", ("wikinews",), "CC BY 2.5"),
    ("官公庁の文書(情報通信白書、法令)", ("ict_whitepaper", "japan_law"), "白書は CC BY 4.0、法令は著作権の対象外"),
    ("技術文書(Microsoft など)", ("msdocs", "programming_docs"), "CC BY 3.0、CC BY 4.0"),
    ("小説(青空文庫)", ("aozora",), "著作権の保護期間が満了"),
)
# Assumed, not measured: a server's power for each core that is at work, its memory and losses included; and what a
# kilowatt-hour of Japan's grid emits (Ministry of the Environment, mean of the suppliers, 2022).
WATTS_PER_CORE = 10.0
WATTS_PER_GPU = 700.0
GRAMS_PER_KILOWATT_HOUR = 438.0


def kind_of(part: str) -> str:
    """A part of the corpus in the reader's words; its own name if it has none."""
    return next((words for start, words in KINDS.items() if part.startswith(start)), part)


def kind_rows(records: dict[str, Any]) -> list[list[str]]:
    """For each kind of held-out text, the easiest first: loss, accuracy, and that of the most frequent token."""
    kinds = metrics_of(records, "checkpoint_quality").get("kinds", {})
    rows = []
    for part, facts in sorted(kinds.items(), key=lambda each: each[1]["mlm_loss"]):
        name = kind_of(part)
        rows.append(
            [
                name if name == part else f"{name}(`{part}`)",
                f"{facts['mlm_loss']:.2f}",
                percent(facts["mlm_accuracy"]),
                percent(facts["most_frequent_accuracy"]),
            ]
        )
    return rows


def length_rows(records: dict[str, Any]) -> list[list[str]]:
    """For each length of row: tokens, loss, accuracy."""
    lengths = metrics_of(records, "checkpoint_quality").get("lengths", {})
    return [
        [length, f"{facts['mlm_loss']:.2f}", percent(facts["mlm_accuracy"])]
        for length, facts in sorted(lengths.items(), key=lambda each: int(each[0]))
    ]


def evaluation_share(records: dict[str, Any]) -> float:
    """The share of held-out text that was masked: what the record says, and if it is of before it did, what it was."""
    after = metrics_of(records, "pretraining").get("after", {})
    return after.get("mlm_probability", EVALUATION_PROBABILITY)


def training_parts(records: dict[str, Any]) -> list[dict[str, Any]]:
    """The records of the parts of the student's pretraining, in their order; a run may have done without some."""
    return [records[name] for name in ("shallow_pretraining", "short_pretraining", "pretraining") if name in records]


def training_cost(records: dict[str, Any]) -> dict[str, Any] | None:
    """Seconds of pretraining, on what, and an estimate of energy (kWh) and emissions (g of CO2); None if unknown."""
    phases = training_parts(records)
    if not phases or "hardware" not in phases[-1]:
        return None
    total = energy = 0.0
    devices = set()
    for phase in phases:
        hardware, seconds = phase["hardware"], phase["metrics"]["train_seconds"]
        gpu, processes = hardware.get("accelerator"), phase["metrics"].get("num_processes", 1)
        watts = WATTS_PER_GPU * processes if gpu else WATTS_PER_CORE * hardware["cores"]
        devices.add(f"{processes} x {gpu}" if gpu else f"{hardware['processor']}, {hardware['cores']} cores")
        total += seconds
        energy += watts * seconds / 3.6e6
    return {
        "seconds": total,
        "kilowatt_hours": energy,
        "grams": energy * GRAMS_PER_KILOWATT_HOUR,
        "device": "; ".join(sorted(devices)),
    }


def group_rows(records: dict[str, Any]) -> list[list[str]]:
    """The corpus by groups of sources: kind of text and where it is from, documents, characters, licence."""
    sources = dict(metrics_of(records, "corpus").get("sources", {}))
    groups = []
    for kind, starts, licence in GROUPS:
        group = [sources.pop(name) for name in list(sources) if name.startswith(starts)]
        groups.append((kind, group, licence))
    groups += [(f"`{name}`", [facts], NONE) for name, facts in sorted(sources.items())]  # of whoever walks the road
    return [
        [
            kind,
            number(sum(facts.get("documents") or 0 for facts in group)),
            myriads(sum(facts.get("characters") or 0 for facts in group)),
            licence,
        ]
        for kind, group, licence in groups
        if group
    ]


def source_rows(records: dict[str, Any]) -> list[list[str]]:
    """The corpus: source, where it is from, documents, sentences, characters, licence."""
    sources = metrics_of(records, "corpus").get("sources", {})
    rows = []
    for name, facts in sorted(sources.items()):
        origin, licence = next((ORIGINS[each] for each in ORIGINS if name.startswith(each)), (NONE, NONE))
        counts = (number(facts.get(key)) for key in ("documents", "sentences", "characters"))
        rows.append([name, origin, *counts, licence])
    return rows


def removed_rows(records: dict[str, Any]) -> list[list[str]]:
    """What the corpus lost: reason, sentences; the most first."""
    removed = metrics_of(records, "corpus").get("removed_sentences", {})
    return [
        [REMOVED.get(rule, f"`{rule}`"), number(count)] for rule, count in sorted(removed.items(), key=lambda i: -i[1])
    ]


def vocabulary_rows(records: dict[str, Any]) -> list[list[str]]:
    """Kind of text, vocabulary, unknown tokens, tokens per word and per character."""
    quality = metrics_of(records, "tokenizer_quality").get("quality", {})
    return [
        [
            TEXT_KINDS[kind],
            title,
            f"{number(facts['unknown_rate'] * 100, 3)} %",
            number(facts["tokens_per_word"], 3),
            number(facts["tokens_per_character"], 3),
        ]
        for kind in TEXT_KINDS
        for name, title in VOCABULARIES.items()
        if (facts := quality.get(name, {}).get(kind))
    ]


def is_practice(records: dict[str, Any]) -> bool:
    """True if the corpus was the embedded sample."""
    settings = find(records, "corpus.settings") or {}
    return "corpus" in records and settings.get("data_dir") is None and settings.get("input") is None
