"""Scores beyond speed: every method on the same split, where this model errs, and what a difference is worth."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mobilebert_ja.card.names import CONTENDERS, DECODING, IN_ENGLISH, METHODS, OWN, RECORDS, TASKS, spaced
from mobilebert_ja.card.values import NONE, find, metrics_of, percent


def method_rows(records: dict[str, Any], task: str) -> list[list[str]]:
    """Every method with a record, the best first: name, score, 95 % interval of the first seed, macro F1 (where the
    labels are classes), runs, seconds of training."""
    found = []
    for ending, title in METHODS.items():
        metrics = metrics_of(records, f"{task}{ending}")
        if not metrics:
            continue
        runs = metrics["runs"]
        macro = [run["details"]["macro_f1"] for run in runs if "macro_f1" in run["details"]]
        spread = "" if metrics["std"] is None else f" ± {metrics['std'] * 100:.1f}"
        row = [
            f"**{title}**" if title == OWN else title,
            percent(metrics["mean"]) + spread,
            interval_cell(records, task, ending),
            *([percent(statistics.fmean(macro))] if macro else []),
            str(len(runs)),
            f"{metrics['train_seconds']:,.0f} 秒",
        ]
        found.append((metrics["mean"], row))
    return [row for _, row in sorted(found, key=lambda pair: -pair[0])]


def learned_before(records: dict[str, Any]) -> list[str]:
    """The tasks whose learning curve starts from another checkpoint than the model whose score the card shows."""
    start = "inputs.model_name_or_path"
    pairs = {
        names.short: (find(records, f"learning_curve_{task}.{start}"), find(records, f"{task}.{start}"))
        for task, names in TASKS.items()
    }
    return [short for short, (curve, own) in pairs.items() if curve and own and curve != own]


def run_rows(records: dict[str, Any]) -> list[list[str]]:
    """Every single run: task, model, its scores in the order of the seeds."""
    rows = []
    for task, names in TASKS.items():
        for name, title in CONTENDERS.items():
            metrics = metrics_of(records, RECORDS[name].format(task=task))
            runs = [percent(run["score"]) for run in metrics.get("runs", [])]
            if runs:
                note = "(事前学習なし)" if metrics.get("pretrained") is False else ""
                rows.append([names.title, title + note, "、".join(runs)])
    return rows


def details_of(records: dict[str, Any], task: str) -> list[list[str]]:
    """Of this model, for each class or type: precision, recall, F1 (means over the seeds), and how often it occurs."""
    runs = metrics_of(records, task).get("runs", [])
    key = TASKS[task].details
    kinds = sorted({kind for run in runs for kind in run["details"].get(key, {})})
    rows = []
    for kind in kinds:
        each = [run["details"][key].get(kind) for run in runs]
        scores = [facts for facts in each if facts]
        means = [statistics.fmean(facts[name] for facts in scores) for name in ("precision", "recall", "f1")]
        rows.append([kind, *map(percent, means), str(scores[0]["support"])])
    return rows


def without_markers(records: dict[str, Any], task: str) -> float | None:
    """Mean accuracy on titles without what gives their category away; None if it was not measured."""
    runs = metrics_of(records, task).get("runs", [])
    scores = [run["details"]["without_markers"]["accuracy"] for run in runs if "without_markers" in run["details"]]
    return statistics.fmean(scores) if scores else None


def decoding_words(records: dict[str, Any], task: str) -> str:
    """How tags were decoded, and what decided on it; "" if the record says nothing."""
    metrics = metrics_of(records, task)
    decoding = DECODING.get(metrics.get("decoding", ""), "")
    choice = metrics.get("choice")
    if not decoding or not choice:
        return decoding
    scores = "、".join(f"{DECODING[name]} {percent(score)}" for name, score in choice["f1"].items())
    return f"{decoding}(訓練データから取り分けた {choice['validation_size']}文での F値: {scores})"


def distance_to_best_other(records: dict[str, Any], task: str) -> tuple[str, float] | None:
    """The best of the other methods (a key of `METHODS`), and by how much this model's mean score exceeds it."""
    own = metrics_of(records, task)
    others = {
        ending: records[f"{task}{ending}"]["metrics"]["mean"]
        for ending in METHODS
        if ending and f"{task}{ending}" in records
    }
    if not own or not others:
        return None
    best = max(others, key=others.__getitem__)
    return best, own["mean"] - others[best]


@dataclass(frozen=True)
class Verdict:
    """This model less another.

    Attributes:
        ending: which other, a key of `METHODS`.
        points: the difference; where answers were compared one by one, of those, else of the mean scores.
        interval: its 95 % interval in points; None if answers were not compared.
        overlap: whether the intervals of the two scores overlap; None where one of them is not known.
        seed: of the run whose answers were compared; None where all runs have a part in `points`.
    """

    ending: str
    points: float
    interval: tuple[float, float] | None = None
    p: float | None = None
    items: int | None = None
    overlap: bool | None = None
    seed: str | None = None

    @property
    def may_be_chance(self) -> bool:
        return self.interval is not None and self.interval[0] <= 0 <= self.interval[1]


def interval_of(records: dict[str, Any], name: str, metric: str) -> list[float] | None:
    """The 95 % interval of a record's first run."""
    runs = metrics_of(records, name).get("runs", [])
    return runs[0].get("intervals", {}).get(metric) if runs else None


def interval_cell(records: dict[str, Any], task: str, ending: str) -> str:
    """The same of a task's method, in percent."""
    interval = interval_of(records, f"{task}{ending}", TASKS[task].metric)
    return f"{interval[0] * 100:.1f} から {interval[1] * 100:.1f}" if interval else NONE


def author_of(records: dict[str, Any], task: str, answers: str, endings: Iterable[str] = METHODS) -> str | None:
    """Which of the methods (by the ending of its record's name) gave the answers with this fingerprint; None if no
    record knows them."""
    for ending in endings:
        files = records.get(f"{task}{ending}", {}).get("files", {})
        if answers and any(digest.startswith(answers) for digest in files.values()):
            return ending
    return None


def verdict(records: dict[str, Any], task: str) -> Verdict | None:
    """This model beside the other whose answers records/comparison_TASK.json compared with its own, else beside the
    best other; None without one."""
    compared = records.get(f"comparison_{task}", {})
    first, second = (
        author_of(records, task, compared.get("inputs", {}).get(each, "")) for each in ("first", "second")
    )
    if first and second == "":
        metrics = compared["metrics"]
        low, high = metrics["interval"]
        return Verdict(
            first,
            100 * metrics["difference"],
            (100 * low, 100 * high),
            metrics["p"],
            metrics["items"],
            seed=_seed_of(records[task], compared["inputs"]["second"]),
        )
    found = distance_to_best_other(records, task)
    if found is None:
        return None
    ending, difference = found
    own, theirs = (interval_of(records, f"{task}{each}", TASKS[task].metric) for each in ("", ending))
    overlap = own[0] <= theirs[1] and theirs[0] <= own[1] if own and theirs else None
    return Verdict(ending, 100 * difference, overlap=overlap)


def _seed_of(record: dict[str, Any], answers: str) -> str | None:
    """The seed of the run that gave the answers with this fingerprint; None if there was but one run."""
    names = (name for name, digest in record["files"].items() if digest.startswith(answers))
    found = re.search(r"seed-(\d+)", next(names, ""))
    return found[1] if found and len(record["metrics"]["runs"]) > 1 else None


def verdict_in_japanese(records: dict[str, Any], task: str) -> str:
    """The verdict as one sentence; "" if there is nothing to compare with."""
    found = verdict(records, task)
    if found is None:
        return ""
    ahead = found.points >= 0
    distance = f"{spaced(METHODS[found.ending])}{'を' if ahead else 'に'} **{abs(found.points):.1f} ポイント"
    if found.interval is None:
        if found.overlap:
            words = "上回りますが" if ahead else "及びませんが"
            return f"このモデルは{distance}{words}、2つの 95 % 信頼区間は重なっています**。"
        return f"このモデルは{distance}{'上回ります' if ahead else '及びません'}**。"
    low, high = found.interval
    if found.may_be_chance:
        judged = f"{'上回ります' if ahead else '及びません'}が、偶然の範囲です**"
    else:
        judged = f"{'上回り' if ahead else '及ばず'}、偶然の範囲を超える差です**"
    seed = "" if found.seed is None else f"(乱数シード {found.seed})"
    return (
        f"同じ {found.items:,}件への答えを1件ずつ比べると、このモデル{seed}は{distance}{judged}"
        f"(差の 95 % 信頼区間 {low:+.1f} から {high:+.1f}、p = {found.p:.2g})。"
    )


def verdict_in_english(records: dict[str, Any], task: str) -> str:
    """The same as a clause that begins with "it is"."""
    found = verdict(records, task)
    if found is None:
        return ""
    ahead = "ahead of" if found.points >= 0 else "behind"
    distance = f"it is {abs(found.points):.1f} points {ahead} {IN_ENGLISH[found.ending]}"
    if found.interval is None:
        return distance + (", their 95 % intervals overlapping" if found.overlap else "")
    low, high = found.interval
    chance = ", within chance" if found.may_be_chance else ""
    return f"{distance} (95 % interval {low:+.1f} to {high:+.1f}, p = {found.p:.2g}{chance})"
