"""What was timed: the benchmark of the card, everything that was sped up, sweeps, and the service under load."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

from mobilebert_ja.card.names import (
    ALTERNATIVES,
    CLASSICAL,
    CONTENDERS,
    IN_ENGLISH,
    METHODS,
    MODELS,
    NODE_GROUPS,
    OWN,
    RECORDS,
    RIVAL,
    SILVER,
    SPED_UP,
    STEP_GROUPS,
    TASKS,
    WITH_MORE,
    in_japanese,
)
from mobilebert_ja.card.processors import on_both, without_vnni
from mobilebert_ja.card.values import MISSING, NONE, find, median, megabytes, metrics_of, number, percent
from mobilebert_ja.common.processor import AVX2


@dataclass(frozen=True)
class Measured:
    """What is known of one model of the benchmark; None where it was not measured.

    Attributes:
        name: a key of `MODELS`, of `METHODS` for a classical method, or `SILVER`.
        seconds: of all items; median of the repetitions.
        bytes: of its files.
        speedup: times as fast as BERT; `speedup_avx2` where a processor without VNNI was measured beside one with it.
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
    speedup_avx2: float | None = None
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
        speedup=_speedup(metrics_of(records, f"speed_{task}"), name),
        speedup_avx2=speedup_avx2(records, task, name),
        untrained=untrained,
        from_scratch=own.get("pretrained") is False,
        inapplicable=frozenset(inapplicable),
    )


def _speedup(timed: dict[str, Any], name: str) -> float | None:
    """Times as fast as BERT by the metrics of one measurement; None if the model is not in it."""
    return 1.0 if name == "bert" and name in timed.get("contenders", {}) else find(timed, f"speedup.{name}.median")


def speedup_avx2(records: dict[str, Any], task: str, name: str) -> float | None:
    """Times as fast as BERT on the processor without VNNI, if the same structure was timed on both kinds."""
    if not on_both(records, f"speed_{task}"):
        return None
    both = [metrics_of(records, f"speed_{task}{ending}") for ending in ("", AVX2)]
    first, other = ([find(each, f"contenders.{name}.{key}") for key in ("model", "parameters")] for each in both)
    return _speedup(both[1], name) if first == other else None


def sped_up(records: dict[str, Any], task: str) -> str | None:
    """The form of the sped-up model that a page leads with: the fastest that was scored and timed."""
    timed = metrics_of(records, f"speed_{task}").get("contenders", {})
    return next((name for name in SPED_UP if name in timed and RECORDS[name].format(task=task) in records), None)


def benchmark(records: dict[str, Any], task: str) -> list[Measured]:
    """The rows of the benchmark: the published card's contenders, the fastest form, the model that learned from
    unlabelled text too, and the classical method."""
    leading = sped_up(records, task)
    rows = [measured(records, task, name) for name in [*CONTENDERS, *([leading] if leading else [])]]
    # Of the same structure as one above, or no network.
    never = frozenset({"seconds", "median_ms", "bytes", "speedup", "speedup_avx2"})
    for ending in (SILVER, *CLASSICAL):
        if metrics := metrics_of(records, f"{task}{ending}"):
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
    {**MODELS, **METHODS, **CONTENDERS, SILVER: WITH_MORE[SILVER].replace(OWN, CONTENDERS["mobilebert"])},
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


def cells(model: Measured, language: Language, both: bool = False) -> list[str]:
    """A row of the benchmark: model, score, training time, time for all items, ms per item, size, ratio; with `both`
    the ratio without VNNI too."""

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
        *(cell(name, f"{{:.2f}} {language.times}") for name in ("speedup", *(["speedup_avx2"] if both else []))),
    ]


def table_heads(records: dict[str, Any], task: str) -> list[str]:
    """The heads of `table_rows`. The kind of processor is named unless all is of one with VNNI."""
    name, ratios = f"speed_{task}", ["速さ"]
    if on_both(records, name):
        ratios = ["速さ(VNNI あり)", "速さ(VNNI なし)"]
    elif without_vnni(records, name):
        ratios = ["速さ(VNNI なし)"]
    items = metrics_of(records, name).get("items")
    whole = "推論時間" if items is None else f"推論時間({number(items)}件)"
    return ["モデル", TASKS[task].metric_title, "学習時間", whole, "1件", "ファイル", *ratios]


def table_rows(records: dict[str, Any], task: str) -> list[list[str]]:
    """The benchmark table of a task."""
    return [cells(model, JAPANESE, on_both(records, f"speed_{task}")) for model in benchmark(records, task)]


def plain_table(records: dict[str, Any]) -> str:
    """The benchmark tables of both tasks for a terminal."""
    heads = ["model", "score", "training", "all items", "per item", "size", "times as fast"]
    lines = []
    for task, names in TASKS.items():
        both = on_both(records, f"speed_{task}")
        shown = [*heads, *(["without VNNI"] if both else [])]
        rows = [shown, *(cells(model, ENGLISH, both) for model in benchmark(records, task))]
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


def speed_heads(records: dict[str, Any], task: str) -> list[str]:
    """The heads of `speed_rows`."""
    rival = ["ModernBERT(int8)比"] if _over(records, task, RIVAL) else []
    times = ["1件", "範囲", "BERT 比", "BERT(int8)比", *rival]
    return ["モデル", TASKS[task].metric_title, "差", *times, "ファイル", "起動", "メモリー"]


def _over(records: dict[str, Any], task: str, baseline: str) -> dict[str, Any]:
    """How many times as fast as a baseline each model is; empty if that was not timed."""
    over = metrics_of(records, f"speed_{task}").get("speedup_over", {}).get(baseline, {})
    return over and {**over, baseline: {"median": 1.0}}


def speed_rows(records: dict[str, Any], task: str) -> list[list[str]]:
    """For each model timed: name, mean score and its difference in points from before it was sped up, ms per item,
    their 10th and 90th percentile, times as fast as BERT, as BERT in int8 and as the rival in int8 if that was timed,
    size, seconds from a fresh process to its first answer and the memory it took at most. Empty unless more than the
    published card's three were timed.
    """
    timed = metrics_of(records, f"speed_{task}")
    contenders = timed.get("contenders", {})
    if "onnx" not in contenders:
        return []
    ratios = [{"bert": {"median": 1.0}, **timed["speedup"]}]
    ratios += [over for over in (_over(records, task, each) for each in ("bert_onnx", RIVAL)) if over]
    rows = []
    for name, title in (MODELS | ALTERNATIVES).items():
        facts = contenders.get(name)
        if facts is None:
            continue
        lost = loss_of_score(records, task, name)
        score = measured(records, task, name).score
        start, peak = facts.get("start_seconds"), facts.get("start_peak_mib")
        rows.append(
            [
                title,
                NONE if score is None else percent(score),
                NONE if lost is None else f"{lost * 100:+.1f}",
                f"{facts['median_ms']:.1f} ms",
                f"{facts['p10_ms']:.1f}〜{facts['p90_ms']:.1f} ms",
                *(f"{over[name]['median']:.1f} 倍" for over in ratios),
                megabytes(facts["bytes"]),
                f"{statistics.median(start):.1f} 秒" if start else NONE,
                f"{statistics.median(peak):.0f} MiB" if peak else NONE,
            ]
        )
    return rows


def alternatives_timed(records: dict[str, Any], task: str) -> bool:
    """Whether the table has models of random weights that one could pick instead."""
    return any(name in metrics_of(records, f"speed_{task}").get("contenders", {}) for name in ALTERNATIVES)


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


def _shares(groups: dict[str, float], titles: dict[str, str], digits: int) -> list[list[str]]:
    """What, milliseconds, share of them all; in the record's order, the longest first."""
    whole = sum(groups.values())
    return [[titles[name], f"{spent:.{digits}f} ms", percent(spent / whole)] for name, spent in groups.items()]


def profile_rows(records: dict[str, Any]) -> list[list[str]]:
    """Where the time of a model call goes: what, ms per call, share of the call."""
    return _shares(metrics_of(records, "profile").get("groups", {}), NODE_GROUPS, 2)


def step_rows(records: dict[str, Any]) -> list[list[str]]:
    """Where the time of a step of pretraining goes: what, ms per step, share of the step."""
    return _shares(metrics_of(records, "training_speed").get("step_ms_by_group", {}), STEP_GROUPS, 0)
