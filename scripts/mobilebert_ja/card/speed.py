"""What was timed: the benchmark of the card, everything that was sped up, sweeps, and the service under load."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

from mobilebert_ja.card.names import (
    CLASSICAL,
    CONTENDERS,
    IN_ENGLISH,
    METHODS,
    MODELS,
    PRUNED,
    RECORDS,
    SPED_UP,
    TASKS,
    in_japanese,
)
from mobilebert_ja.card.values import MISSING, NONE, find, median, megabytes, metrics_of, number, percent
from mobilebert_ja.common.records import recorded_fingerprint
from mobilebert_ja.settings import UNCUT, CompressSettings


@dataclass(frozen=True)
class Measured:
    """What is known of one model of the benchmark; None where it was not measured.

    Attributes:
        name: a key of `MODELS`, or of `METHODS` for a classical method.
        seconds: of all items; median of the repetitions.
        bytes: of its files.
        speedup: times as fast as BERT.
        untrained: it was timed with random weights: they change the score, not the time.
        from_scratch: its score is that of a model that was fine-tuned from random weights.
        inapplicable: names of what cannot be measured of it.
    """

    name: str
    score: float | None = None
    std: float | None = None
    train_seconds: float | None = None
    seconds: float | None = None
    median_ms: float | None = None
    p90_ms: float | None = None
    bytes: float | None = None
    speedup: float | None = None
    untrained: bool = False
    from_scratch: bool = False
    inapplicable: frozenset[str] = field(default_factory=frozenset)


def measured(records: dict[str, Any], task: str, name: str) -> Measured:
    """What the records say of one model of `MODELS`."""
    own = metrics_of(records, RECORDS[name].format(task=task)) if name in RECORDS else {}
    timed = find(records, f"speed_{task}.metrics.contenders.{name}") or {}
    untrained = bool(timed) and not timed.get("trained", True)
    inapplicable = set() if name in ("bert", "mobilebert") else {"train_seconds"}
    if untrained and own.get("mean") is None:
        inapplicable = {"score", "train_seconds"}
    return Measured(
        name,
        score=own.get("mean"),
        std=own.get("std"),
        train_seconds=own.get("train_seconds"),
        seconds=median(timed.get("seconds")),
        median_ms=timed.get("median_ms"),
        p90_ms=timed.get("p90_ms"),
        bytes=timed.get("bytes") or own.get("bytes"),
        speedup=1.0 if name == "bert" and timed else find(records, f"speed_{task}.metrics.speedup.{name}.median"),
        untrained=untrained,
        from_scratch=own.get("pretrained") is False,
        inapplicable=frozenset(inapplicable),
    )


def sped_up(records: dict[str, Any], task: str) -> str | None:
    """The form of the sped-up model that a page leads with: the fastest that was scored and timed."""
    timed = metrics_of(records, f"speed_{task}").get("contenders", {})
    return next((name for name in SPED_UP if name in timed and RECORDS[name].format(task=task) in records), None)


def benchmark(records: dict[str, Any], task: str) -> list[Measured]:
    """The rows of the benchmark: the published card's contenders, the fastest form, and the classical method."""
    leading = sped_up(records, task)
    rows = [measured(records, task, name) for name in [*CONTENDERS, *([leading] if leading else [])]]
    for ending in CLASSICAL:
        if metrics := metrics_of(records, f"{task}{ending}"):
            never = frozenset({"seconds", "median_ms", "bytes", "speedup"})  # no network, which is never timed
            rows.append(
                Measured(ending, metrics["mean"], metrics["std"], metrics["train_seconds"], inapplicable=never)
            )
    return rows


@dataclass(frozen=True)
class Language:
    """How a page or a terminal prints a measured model: names, notes, units."""

    titles: dict[str, str]
    missing: str
    seconds: str
    times: str
    from_scratch: str
    timed_before: str
    only_timed: str


JAPANESE = Language(
    {**MODELS, **METHODS, **CONTENDERS},
    missing=MISSING,
    seconds="秒",
    times="倍",
    from_scratch="(事前学習なし)",
    timed_before="(事前学習なし、時間は微調整前に測定)",
    only_timed="(重みは乱数、時間だけ測定)",
)
ENGLISH = Language(
    IN_ENGLISH,
    missing="-",
    seconds="s",
    times="x",
    from_scratch=", not pretrained",
    timed_before=", not pretrained",
    only_timed=", random weights",
)


def note(model: Measured, language: Language) -> str:
    """What has to be said of a model's weights."""
    if model.untrained:
        return language.timed_before if model.from_scratch else language.only_timed
    return language.from_scratch if model.from_scratch else ""


def cells(model: Measured, language: Language) -> list[str]:
    """A row of the benchmark: model, score, training time, time for all items, ms per item, size, ratio."""

    def cell(name: str, form: str, scale: float = 1.0) -> str:
        value = getattr(model, name)
        if name in model.inapplicable:
            return NONE
        return language.missing if value is None else form.format(value * scale)

    spread = "" if model.std is None else f" ± {model.std * 100:.1f}"
    return [
        language.titles[model.name] + note(model, language),
        cell("score", f"{{:.1f}}{spread} %", 100),
        cell("train_seconds", f"{{:,.0f}} {language.seconds}"),
        cell("seconds", f"{{:.2f}} {language.seconds}"),
        cell("median_ms", "{:.2f} ms"),
        cell("bytes", "{:.1f} MB", 1 / 1e6),
        cell("speedup", f"{{:.2f}} {language.times}"),
    ]


def table_rows(records: dict[str, Any], task: str) -> list[list[str]]:
    """The benchmark table of a task."""
    return [cells(model, JAPANESE) for model in benchmark(records, task)]


def plain_table(records: dict[str, Any]) -> str:
    """The benchmark tables of both tasks for a terminal."""
    heads = ["model", "score", "training", "all items", "per item", "size", "times as fast"]
    lines = []
    for task, names in TASKS.items():
        rows = [heads, *(cells(model, ENGLISH) for model in benchmark(records, task))]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        items = find(records, f"speed_{task}.metrics.items")
        lines.append(f"{task} ({names.metric}; {'no' if items is None else number(items)} items timed)")
        lines += ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join(lines)


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
            NONE if facts["bytes"] is None else megabytes(facts["bytes"]),
        ]
        for title, facts in ((CONTENDERS[name], published["contenders"][name]) for name in CONTENDERS)
    ]


def loss_of_score(records: dict[str, Any], task: str, name: str) -> float | None:
    """Mean score of a sped-up model less that of the model it came from, over all seeds and the whole test part."""
    metrics = metrics_of(records, RECORDS[name].format(task=task)) if name in RECORDS else {}
    if "mean_before" not in metrics:
        return None
    return metrics["mean"] - metrics["mean_before"]


def speed_rows(records: dict[str, Any], task: str) -> list[list[str]]:
    """For each model timed: name, mean score and its difference in points from before it was sped up, ms per item with
    its 10th and 90th percentile, times as fast as BERT and as BERT in int8, size, seconds from a fresh process to its
    first answer and the memory it took at most. Empty unless more than the published card's three were timed.
    """
    timed = metrics_of(records, f"speed_{task}")
    contenders, ratios = timed.get("contenders", {}), timed.get("speedup_over", {}).get("bert_onnx", {})
    if "onnx" not in contenders:
        return []
    rows = []
    for name, title in MODELS.items():
        facts = contenders.get(name)
        if facts is None:
            continue
        lost = loss_of_score(records, task, name)
        over_bert = 1.0 if name == "bert" else timed["speedup"][name]["median"]
        over_int8 = 1.0 if name == "bert_onnx" else ratios[name]["median"]
        score = measured(records, task, name).score
        start, peak = facts.get("start_seconds"), facts.get("start_peak_mib")
        rows.append(
            [
                title,
                NONE if score is None else percent(score),
                NONE if lost is None else f"{lost * 100:+.1f}",
                f"{facts['median_ms']:.1f} ({facts['p10_ms']:.1f} から {facts['p90_ms']:.1f}) ms",
                f"{over_bert:.1f} 倍",
                f"{over_int8:.1f} 倍",
                megabytes(facts["bytes"]),
                f"{statistics.median(start):.1f} 秒" if start else NONE,
                f"{statistics.median(peak):.0f} MiB" if peak else NONE,
            ]
        )
    return rows


def threads_rows(records: dict[str, Any], task: str) -> list[list[str]]:
    """ms per item of each model by number of threads, if more than one number was measured; and, if it was measured,
    last the ms per item right after another model's."""
    metrics = metrics_of(records, f"speed_{task}")
    by_threads = metrics.get("by_threads", {})
    if len(by_threads) < 2:
        return []
    rows = []
    for name in (name for name in MODELS if all(name in each["contenders"] for each in by_threads.values())):
        times = [each["contenders"][name]["median_ms"] for each in by_threads.values()]
        if metrics.get("cold_items"):
            times.append(metrics["contenders"][name]["cold_median_ms"])
        rows.append([MODELS[name], *(f"{each:.1f} ms" for each in times)])
    return rows


def threads_heads(records: dict[str, Any], task: str) -> list[str]:
    """The heads of `threads_rows`."""
    metrics = metrics_of(records, f"speed_{task}")
    cold = [f"{metrics['num_threads']}スレッド、ほかのモデルの直後"] if metrics.get("cold_items") else []
    return ["モデル", *(f"{count}スレッド" for count in metrics["by_threads"]), *cold]


def cut_title(name: str) -> str:
    """What a cut is called in the card: "14x0.8" is 14 blocks and 0.8 of each feed-forward's width."""
    if name == UNCUT:
        return "減らさない"
    layers, share = name.split("x")
    return f"{layers}層、FFN {share}"


def default_cut() -> str:
    """What `compress.py --recipe fast` cuts if it is not told otherwise."""
    settings = CompressSettings()
    return cut_title(f"{settings.keep_layers}x{settings.keep_ffn:g}")


def cut_rows(records: dict[str, Any], task: str) -> list[list[str]]:
    """Each cut of `measure.py cuts`: name, score and ms per item of the first seed, size, answers as before."""
    models = metrics_of(records, f"cuts_{task}").get("models", {})
    return [[cut_title(name), *_sweep_cells(facts)] for name, facts in models.items()]


def card_recipe_rows(records: dict[str, Any], task: str) -> list[list[str]]:
    """The same for the card's recipe: retrained after pruning or not, scales by matrix or by output."""
    models = metrics_of(records, f"card_recipe_{task}").get("models", {})
    return [[PRUNED.get(name, name), *_sweep_cells(facts)] for name, facts in models.items()]


def of_another_model(records: dict[str, Any], name: str, task: str) -> bool:
    """Whether the record `name` was measured on another fine-tuned model than the one whose scores the card shows."""
    inputs = records.get(name, {}).get("inputs", {})
    measured = inputs.get("finetuned") or inputs.get("model_name_or_path")
    return bool(measured and task in records and measured != recorded_fingerprint(records[task]))


def _sweep_cells(facts: dict[str, Any]) -> list[str]:
    return [
        percent(facts["score"]),
        f"{facts['median_ms']:.2f} ms",
        megabytes(facts["bytes"]),
        percent(facts["agreement"]),
    ]


def variant_rows(records: dict[str, Any], task: str) -> list[list[str]]:
    """What else was tried with onnxruntime, the fastest first: variant, ms per model call, size, agreement."""
    metrics = metrics_of(records, f"onnx_variants_{task}")
    rows = []
    for name, facts in sorted(metrics.get("variants", {}).items(), key=lambda each: each[1]["median_ms"]):
        words = in_japanese(name)
        rows.append(
            [
                f"**{words}**" if name == metrics["kept"] else words,
                f"{facts['median_ms']:.2f} ms",
                megabytes(facts["bytes"]),
                percent(facts["agreement"]),
            ]
        )
    return rows


def service_rows(records: dict[str, Any]) -> list[list[str]]:
    """The HTTP service under load, for each number of clients: requests per second, median and 99th percentile (ms),
    and how many of all answers were wrong or lost; medians over the rounds.
    """
    rounds: dict[int, list[dict[str, Any]]] = {}
    for each in metrics_of(records, "service_load").get("rounds", []):
        rounds.setdefault(each["clients"], []).append(each)
    return [
        [
            str(clients),
            *(
                f"{statistics.median(each[key] for each in measured):,.{digits}f}{unit}"
                for key, digits, unit in (
                    ("requests_per_second", 0, ""),
                    ("median_ms", 1, " ms"),
                    ("p99_ms", 1, " ms"),
                )
            ),
            f"{sum(each['wrong_or_lost'] for each in measured):,} / {sum(each['requests'] for each in measured):,}",
        ]
        for clients, measured in rounds.items()
    ]
