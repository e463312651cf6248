"""The card's table of everything that was sped up, BERT given the same treatment included."""

from __future__ import annotations

import statistics
from typing import Any

from mobilebert_ja.card.names import in_japanese
from mobilebert_ja.common.records import recorded_fingerprint
from mobilebert_ja.settings import UNCUT, CompressSettings

MODELS = {
    "bert": "BERT(transformers)",
    "bert_card": "BERT(枝刈り、int8、jit)",
    "bert_onnx": "BERT(int8、ONNX)",
    "mobilebert": "MobileBERT(transformers)",
    "compressed": "MobileBERT(枝刈り、int8、jit)",
    "onnx": "MobileBERT(int8、ONNX)",
    "fast": "MobileBERT(層を減らして int8、ONNX)",
}
RECORDS = {"compressed": "compressed_{task}", "onnx": "compressed_{task}_onnx", "fast": "compressed_{task}_fast"}


def _metrics(records: dict[str, Any], name: str) -> dict[str, Any]:
    return records.get(name, {}).get("metrics", {})


def loss_of_score(records: dict[str, Any], task: str, name: str) -> float | None:
    """Mean score of a sped-up model less that of the model it came from, over all seeds and the whole test part."""
    metrics = _metrics(records, RECORDS[name].format(task=task)) if name in RECORDS else {}
    if "mean_before" not in metrics:
        return None
    return metrics["mean"] - metrics["mean_before"]


def speed_rows(records: dict[str, Any], task: str) -> list[list[str]]:
    """For each model timed: name, difference of the score in points, ms an item with its 10th and 90th percentile,
    times as fast as BERT and as BERT in int8, size, seconds from a fresh process to its first answer and the memory it
    took at most. Empty unless more than the published card's three were timed."""
    timed = _metrics(records, f"speed_{task}")
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
        start, peak = facts.get("start_seconds"), facts.get("start_peak_mib")
        rows.append(
            [
                title,
                "-" if lost is None else f"{lost * 100:+.1f}",
                f"{facts['median_ms']:.1f} ({facts['p10_ms']:.1f} から {facts['p90_ms']:.1f}) ms",
                f"{over_bert:.1f} 倍",
                f"{over_int8:.1f} 倍",
                f"{facts['bytes'] / 1e6:.1f} MB",
                f"{statistics.median(start):.1f} 秒" if start else "-",
                f"{statistics.median(peak):.0f} MiB" if peak else "-",
            ]
        )
    return rows


def threads_rows(records: dict[str, Any], task: str) -> list[list[str]]:
    """ms an item of each model by number of threads, if more than one number was measured; and, if it was measured,
    last the ms of an item right after another model's."""
    metrics = _metrics(records, f"speed_{task}")
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


CARD_VARIANTS = {
    "pruned-per_tensor": "枝刈りのみ、行列ごとの尺度(カードの方法)",
    "pruned-per_channel": "枝刈りのみ、出力ごとの尺度",
    "retrained-per_tensor": "枝刈りの後に再学習、行列ごとの尺度",
    "retrained-per_channel": "枝刈りの後に再学習、出力ごとの尺度",
}


def cut_rows(records: dict[str, Any], task: str) -> list[list[str]]:
    """Each cut of `measure.py cuts`: name, score and ms an item of the first seed, size, answers as before."""
    models = _metrics(records, f"cuts_{task}").get("models", {})
    return [[cut_title(name), *_sweep_cells(facts)] for name, facts in models.items()]


def card_recipe_rows(records: dict[str, Any], task: str) -> list[list[str]]:
    """The same for the card's recipe: retrained after pruning or not, scales by matrix or by output."""
    models = _metrics(records, f"card_recipe_{task}").get("models", {})
    return [[CARD_VARIANTS[name], *_sweep_cells(facts)] for name, facts in models.items()]


def of_another_model(records: dict[str, Any], name: str, task: str) -> bool:
    """Whether the record `name` was measured on another fine-tuned model than the one whose scores the card shows."""
    inputs = records.get(name, {}).get("inputs", {})
    measured = inputs.get("finetuned") or inputs.get("model_name_or_path")
    return bool(measured and task in records and measured != recorded_fingerprint(records[task]))


def _sweep_cells(facts: dict[str, Any]) -> list[str]:
    return [
        f"{facts['score'] * 100:.1f} %",
        f"{facts['median_ms']:.2f} ms",
        f"{facts['bytes'] / 1e6:.1f} MB",
        f"{facts['agreement'] * 100:.1f} %",
    ]


def variant_rows(records: dict[str, Any], task: str) -> list[list[str]]:
    """What else was tried with onnxruntime, the fastest first: variant, ms a model call, size, agreement."""
    metrics = _metrics(records, f"onnx_variants_{task}")
    rows = []
    for name, facts in sorted(metrics.get("variants", {}).items(), key=lambda each: each[1]["median_ms"]):
        words = in_japanese(name)
        rows.append(
            [
                f"**{words}**" if name == metrics["kept"] else words,
                f"{facts['median_ms']:.2f} ms",
                f"{facts['bytes'] / 1e6:.1f} MB",
                f"{facts['agreement'] * 100:.1f} %",
            ]
        )
    return rows


def service_rows(records: dict[str, Any]) -> list[list[str]]:
    """The HTTP service under load, for each number of clients: requests a second, median and 99th percentile (ms), and
    how many of all answers were wrong or lost; medians over the rounds."""
    rounds: dict[int, list[dict[str, Any]]] = {}
    for each in _metrics(records, "service_load").get("rounds", []):
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
