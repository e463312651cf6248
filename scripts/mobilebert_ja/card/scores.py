"""The card's tables of scores beyond speed: every model on the same split, and where its own errors are."""

from __future__ import annotations

import statistics
from typing import Any

METRICS = {"livedoor": "accuracy", "ner": "f1"}
OWN = "このモデル"
MODELS = {
    "": OWN,
    "-random": "MobileBERT(事前学習なし)",
    "-bert": "BERT(事前学習なし)",
    "-svm": "TF-IDF と線形 SVM",
    "-crf": "線形連鎖 CRF",
}


def _percent(value: float) -> str:
    return f"{value * 100:.1f} %"


def model_rows(records: dict[str, Any], task: str) -> list[list[str]]:
    """Every model with a record, the best first: name, score, 95 % interval of the first seed, macro F1 (classes
    only), runs, seconds of training."""
    found = []
    for ending, title in MODELS.items():
        metrics = records.get(f"{task}{ending}", {}).get("metrics")
        if not metrics:
            continue
        runs = metrics["runs"]
        score = _percent(metrics["mean"])
        if metrics["std"] is not None:
            score += f" ± {metrics['std'] * 100:.1f}"
        interval = runs[0].get("intervals", {}).get(METRICS[task])
        row = [
            f"**{title}**" if title == OWN else title,
            score,
            f"{interval[0] * 100:.1f} から {interval[1] * 100:.1f}" if interval else "-",
            _percent(statistics.fmean(run["details"]["macro_f1"] for run in runs)) if task == "livedoor" else "",
            str(len(runs)),
            f"{metrics['train_seconds']:,.0f} 秒",
        ]
        found.append((metrics["mean"], [cell for cell in row if cell]))
    return [row for _, row in sorted(found, key=lambda pair: -pair[0])]


def details_of(records: dict[str, Any], task: str) -> list[list[str]]:
    """Of this model, for each class or type: precision, recall, F1 (means over the seeds), and how often it occurs."""
    runs = records.get(task, {}).get("metrics", {}).get("runs", [])
    key = "per_class" if task == "livedoor" else "per_type"
    kinds = sorted({kind for run in runs for kind in run["details"].get(key, {})})
    rows = []
    for kind in kinds:
        each = [run["details"][key].get(kind) for run in runs]
        scores = [facts for facts in each if facts]
        means = [statistics.fmean(facts[name] for facts in scores) for name in ("precision", "recall", "f1")]
        rows.append([kind, *map(_percent, means), str(scores[0]["support"])])
    return rows


def without_markers(records: dict[str, Any]) -> float | None:
    """Mean accuracy on titles without what gives their category away; None if it was not measured."""
    runs = records.get("livedoor", {}).get("metrics", {}).get("runs", [])
    scores = [run["details"]["without_markers"]["accuracy"] for run in runs if "without_markers" in run["details"]]
    return statistics.fmean(scores) if scores else None


def decoding_words(records: dict[str, Any]) -> str:
    """How tags were decoded, and what decided on it; "" if the record says nothing."""
    metrics = records.get("ner", {}).get("metrics", {})
    names = {"plain": "トークンごとに最良のタグ", "constrained": "並びの正しいタグ", "crf": "CRF"}
    decoding = names.get(metrics.get("decoding", ""), "")
    choice = metrics.get("choice")
    if not decoding or not choice:
        return decoding
    scores = "、".join(f"{names[name]} {_percent(score)}" for name, score in choice["f1"].items())
    return f"{decoding}(訓練データから取り分けた {choice['validation_size']}文での F値: {scores})"


def distance_to_best_other(records: dict[str, Any], task: str) -> tuple[str, float] | None:
    """The best of the other models, and by how much this model's mean score exceeds it."""
    own = records.get(task, {}).get("metrics")
    others = {
        title: records[f"{task}{ending}"]["metrics"]["mean"]
        for ending, title in MODELS.items()
        if ending and f"{task}{ending}" in records
    }
    if not own or not others:
        return None
    best = max(others, key=others.__getitem__)
    return best, own["mean"] - others[best]
