"""From records to what the card shows: every number of the card is read from a record here, none is typed by hand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mobilebert_ja.card import checkpoint as card_checkpoint
from mobilebert_ja.card import comparison as card_comparison
from mobilebert_ja.card import names as card_words
from mobilebert_ja.card import scores as card_scores
from mobilebert_ja.card import speed as card_speed
from mobilebert_ja.card import summary as card_summary
from mobilebert_ja.card.ablations import ablation_tables
from mobilebert_ja.card.metadata import metadata
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json

ROOT = Path(__file__).resolve().parents[3]
# What others have measured; the same for every run, so it always comes from the repository.
REFERENCES = ("published_card",)
MISSING = "未測定"
TASKS = {
    "livedoor": {"title": "ニュース記事の題名の分類(livedoor、9分類)", "metric": "accuracy", "metric_ja": "正解率"},
    "ner": {"title": "固有表現抽出(Wikipedia、8種類)", "metric": "f1", "metric_ja": "F値(完全一致)"},
}
CONTENDERS = {"bert": "BERT", "mobilebert": "MobileBERT", "compressed": "MobileBERT(高速化)"}
RECORD_OF = {"bert": "{task}-bert", "mobilebert": "{task}", **card_speed.RECORDS}


def load_records(folder: Path) -> dict[str, dict[str, Any]]:
    """Every record of a folder by its name, and the references. Raises `UserError` if there is no record at all."""
    records = {path.stem: read_json(path) for path in sorted(folder.glob("*.json")) if path.stem not in REFERENCES}
    if not records:
        raise UserError(f"{folder} holds no records; the stages of the road write them.")
    for name in REFERENCES:
        records[name] = read_json(ROOT / "records" / f"{name}.json")
    return records


def find(records: dict[str, Any], path: str) -> Any:
    """The value at "record.key.key", None where something on the way is missing. Record names may hold no dot."""
    value: Any = records
    for key in path.split("."):
        if not isinstance(value, dict) or value.get(key) is None:
            return None
        value = value[key]
    return value


def percent(value: float | None, std: float | None = None) -> str:
    """0.864 -> "86.4 %", with the spread if there is one."""
    if value is None:
        return MISSING
    return f"{value * 100:.1f}" + (f" ± {std * 100:.1f}" if std is not None else "") + " %"


def number(value: float | None, digits: int = 0) -> str:
    """12345.6 -> "12,346"."""
    return MISSING if value is None else f"{value:,.{digits}f}"


def megabytes(value: float | None) -> str:
    """Bytes as "41.8 MB" (millions of bytes, as the published card)."""
    return MISSING if value is None else f"{value / 1e6:.1f} MB"


def minutes(value: float | None) -> str:
    """Seconds as minutes."""
    return MISSING if value is None else f"{value / 60:.0f} 分"


def myriads(value: float | None) -> str:
    """A large count in the units that Japanese counts in: 9854976 -> "985 万"."""
    if value is None:
        return MISSING
    return f"{value / 1e8:,.1f} 億" if value >= 1e8 else f"{value / 1e4:,.0f} 万"


def median(values: list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def contender(records: dict[str, Any], task: str, name: str) -> dict[str, Any]:
    """Score, times and size of one contender of `card_speed.MODELS` as numbers, None where not measured."""
    own = (find(records, f"{RECORD_OF[name].format(task=task)}.metrics") or {}) if name in RECORD_OF else {}
    timed = find(records, f"speed_{task}.metrics.contenders.{name}") or {}
    speedup = 1.0 if name == "bert" and timed else find(records, f"speed_{task}.metrics.speedup.{name}.median")
    from_scratch = own.get("pretrained") is False
    return {
        "score": own.get("mean"),
        "std": own.get("std"),
        "runs": [run["score"] for run in own.get("runs", [])],
        "train_seconds": own.get("train_seconds"),
        "seconds": median(timed["seconds"]) if timed else None,
        "median_ms": timed.get("median_ms"),
        "p90_ms": timed.get("p90_ms"),
        "bytes": timed.get("bytes") or own.get("bytes"),
        "speedup": speedup,
        "untrained": bool(timed) and not timed.get("trained", True),
        "from_scratch": from_scratch,
        "note": "(事前学習なし)" if from_scratch else "",
        "note_in_english": ", not pretrained" if from_scratch else "",
    }


def table_rows(records: dict[str, Any], task: str) -> list[list[str]]:
    """The benchmark table of a task: model, score, training time, time for all items, ms an item, size, ratio."""
    rows = []
    for name, title in CONTENDERS.items():
        facts = contender(records, task, name)
        only_timed = facts["untrained"] and facts["score"] is None
        score = "—" if only_timed else percent(facts["score"], facts["std"])
        trains = name != "compressed" and not only_timed
        train = (MISSING if facts["train_seconds"] is None else f"{facts['train_seconds']:.0f} 秒") if trains else "—"
        note = facts["note"]
        if facts["untrained"]:  # fine-tuned elsewhere or not at all: the weights change the score, not the time
            note = "(事前学習なし、時間は微調整前に測定)" if facts["from_scratch"] else "(重みは乱数、時間だけ測定)"
        rows.append(
            [
                title + note,
                score,
                train,
                MISSING if facts["seconds"] is None else f"{facts['seconds']:.2f} 秒",
                MISSING if facts["median_ms"] is None else f"{facts['median_ms']:.2f} ms",
                megabytes(facts["bytes"]),
                MISSING if facts["speedup"] is None else f"{facts['speedup']:.2f} 倍",
            ]
        )
    return rows


def run_rows(records: dict[str, Any]) -> list[list[str]]:
    """Every single run: task, model, its scores in the order of the seeds."""
    rows = []
    for task, facts in TASKS.items():
        for name, title in CONTENDERS.items():
            own = contender(records, task, name)
            if own["runs"]:
                rows.append([facts["title"], title + own["note"], "、".join(percent(score) for score in own["runs"])])
    return rows


def published_rows(records: dict[str, Any], task: str) -> list[list[str]]:
    """The published card's table of a task, as it stands there."""
    published = records["published_card"]["tasks"][task]
    base = published["contenders"]["bert"]["seconds"]
    return [
        [
            title,
            percent(facts["score"]),
            f"{facts['seconds']:.1f} 秒",
            f"{base / facts['seconds']:.2f} 倍",
            "—" if facts["bytes"] is None else megabytes(facts["bytes"]),
        ]
        for title, facts in ((CONTENDERS[name], published["contenders"][name]) for name in CONTENDERS)
    ]


def source_rows(records: dict[str, Any]) -> list[list[str]]:
    """The corpus: source, documents, sentences, characters."""
    sources = find(records, "corpus.metrics.sources") or {}
    return [
        [name, *(number(facts.get(key)) for key in ("documents", "sentences", "characters"))]
        for name, facts in sorted(sources.items())
    ]


REMOVED = {
    "too_short": "短すぎる文",
    "too_long": "長すぎる文",
    "formula": "数式",
    "repeated_sentence": "2度目以降の同じ文",
    "duplicate_document": "2度目以降の同じ文書の文",
    "near_duplicate_document": "ほかとほぼ同じ文書の文(MinHash)",
    "evaluation_sentence": "評価データにある文",
    "evaluation_title": "評価データにある見出し",
}
TEXT_KINDS = {"encyclopedia": "百科事典", "titles": "ニュースの題名", "novels": "小説"}
VOCABULARIES = {"limited": "このモデル", "unlimited": "文字種の制限なし"}


def removed_rows(records: dict[str, Any]) -> list[list[str]]:
    """What the corpus lost: reason, sentences; the most first."""
    removed = find(records, "corpus.metrics.removed_sentences") or {}
    return [
        [REMOVED.get(rule, f"`{rule}`"), number(count)] for rule, count in sorted(removed.items(), key=lambda i: -i[1])
    ]


def vocabulary_rows(records: dict[str, Any]) -> list[list[str]]:
    """Kind of text, vocabulary, unknown tokens, tokens a word and a character."""
    quality = find(records, "tokenizer_quality.metrics.quality") or {}
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


def render_card(records: dict[str, Any], figures: dict[str, str]) -> str:
    """The card as Markdown. `figures` maps a figure's name to its address relative to the card."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    template = environment.get_template("card.md")
    return template.render(
        metadata=metadata(records),
        practice=is_practice(records),
        figures=figures,
        tasks=TASKS,
        find=lambda path: find(records, path),
        percent=percent,
        number=number,
        megabytes=megabytes,
        minutes=minutes,
        myriads=myriads,
        table_rows=lambda task: table_rows(records, task),
        run_rows=run_rows(records),
        published_rows=lambda task: published_rows(records, task),
        source_rows=source_rows(records),
        removed_rows=removed_rows(records),
        vocabulary_rows=vocabulary_rows(records),
        ablation_tables=ablation_tables(records),
        scores=card_scores,
        checkpoint=card_checkpoint,
        speed=card_speed,
        summary=card_summary,
        comparison=card_comparison,
        words=card_words,
        records=records,
        contender=lambda task, name: contender(records, task, name),
        missing=MISSING,
    )


def plain_table(records: dict[str, Any]) -> str:
    """The benchmark tables of both tasks for a terminal."""
    heads = ["model", "score", "training", "all items", "an item", "size", "times as fast"]
    blocks = []
    for task, facts in TASKS.items():
        rows = [
            [cell.replace("未測定", "-").replace("秒", "s").replace("倍", "x") for cell in row[1:]]
            for row in table_rows(records, task)
        ]
        names = {"bert": "BERT", "mobilebert": "MobileBERT", "compressed": "MobileBERT sped up"}
        shown = [name + contender(records, task, key)["note_in_english"] for key, name in names.items()]
        lines = [heads, *([name, *row] for name, row in zip(shown, rows, strict=True))]
        widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
        items = find(records, f"speed_{task}.metrics.items")
        blocks.append(f"{task} ({facts['metric']}; {number(items)} items timed)".replace(MISSING, "no"))
        blocks += [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        ]
    return "\n".join(blocks)


def relative_address(path: Path, start: Path) -> str:
    """Address of a file as a link in a card that stands in `start`."""
    return os.path.relpath(path, start).replace(os.sep, "/")
