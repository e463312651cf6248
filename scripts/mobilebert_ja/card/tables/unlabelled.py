"""What text that nobody labelled, and a larger encoder, brought beside the model that learned the labels alone."""

from __future__ import annotations

import re
import statistics
from dataclasses import dataclass
from typing import Any

from mobilebert_ja.card.names import (
    ADAPTED,
    CLASSICAL,
    IN_ENGLISH,
    LARGER,
    METHODS,
    ONCE_MORE,
    OWN,
    RECORDS,
    SILVER,
    SPED_UP,
    TASKS,
    TEXTS_WITHOUT_LABELS,
    WITH_MORE,
)
from mobilebert_ja.card.tables.scores import author_of, interval_cell
from mobilebert_ja.card.teachers import asked_large, silver_endings, teachers_in_words, teachers_of
from mobilebert_ja.card.values import NONE, difference, find, fine_tunings, metrics_of, number, percent
from mobilebert_ja.settings import comma_separated

HEADS = ["各回の結果", "95 % 信頼区間", "差", "学習した答え", "パラメーター数", "学習時間"]
# Ways of scripts/README.md's table: which of them a record with silver answers belongs to depends on who was asked.
SMALL_TEACHERS, LARGE_TEACHERS = "small teachers", "large teachers"


def way_rows(records: dict[str, Any], task: str) -> list[list[str]]:
    """The plain model and every way with more than its labels: name, mean score, and what `HEADS` says. Empty without
    a record of such a way."""
    silver = silver_endings(records, task)
    ways = [ADAPTED, *silver, LARGER]
    endings = [ending for ending in ("", *_again(records, task), *ways) if metrics_of(records, f"{task}{ending}")]
    if not set(endings) & set(ways):
        return []
    rows = []
    for ending in endings:
        metrics = metrics_of(records, f"{task}{ending}")
        learned, parameters = metrics.get("silver", {}).get("learned"), metrics.get("parameters")
        rows.append(
            [
                way_title(records, task, ending),
                percent(metrics["mean"], metrics["std"]),
                "、".join(percent(run["score"]) for run in metrics["runs"]),
                interval_cell(records, task, ending),
                difference_cell(records, task, ending),
                NONE if learned is None else f"{learned:,}件",
                NONE if parameters is None else f"{parameters:,}",
                f"{metrics['train_seconds']:,.0f} 秒",
            ]
        )
    return rows


def _again(records: dict[str, Any], task: str) -> list[str]:
    """The endings of this model's fine-tunings made anew."""
    return [name.removeprefix(task) for name in fine_tunings(records, task)[1:]]


def way_title(records: dict[str, Any], task: str, ending: str) -> str:
    """What the pages call a way; silver models beside the one that they lead with are named after their teachers."""
    if ending in silver_endings(records, task) and ending not in WITH_MORE:
        return f"{OWN}(教師: {teachers_in_words(records, task, ending)})"
    if ending in _again(records, task):
        return f"{OWN}({ONCE_MORE})"
    return WITH_MORE.get(ending, f"**{OWN}**")


@dataclass(frozen=True)
class Comparison:
    """A record of `measure.py compare` between a plain model's answers and those of a way with more.

    Attributes:
        plain: the ending of the plain model's record: "", or of one made anew.
        sign: 1 if the record's difference is that of the way over the plain model, -1 if it is the other way round.
    """

    plain: str
    metrics: dict[str, Any]
    sign: int


def comparison_of(records: dict[str, Any], task: str, ending: str) -> Comparison | None:
    """The comparison of a way's answers with the plain model's, first with those of the model whose scores the pages
    show; None without one."""
    for plain in ("", *_again(records, task)):
        pair = (plain, ending)
        for name, record in records.items():
            if not name.startswith("comparison_"):
                continue
            authors = [author_of(records, task, record["inputs"][each], pair) for each in ("first", "second")]
            if sorted(map(str, authors)) == sorted(pair):
                return Comparison(plain, record["metrics"], 1 if authors[1] == ending else -1)
    return None


def difference_cell(records: dict[str, Any], task: str, ending: str) -> str:
    """Points by which a way exceeds the plain model: with interval and p where a record of `measure.py compare` has
    their answers, else of the mean scores."""
    if not ending or task not in records:
        return NONE
    found = comparison_of(records, task, ending)
    if found is None:
        return f"{100 * (metrics_of(records, f'{task}{ending}')['mean'] - metrics_of(records, task)['mean']):+.1f}"
    interval = (100 * found.sign * each for each in found.metrics["interval"])
    words = difference(100 * found.sign * found.metrics["difference"], interval, found.metrics["p"])
    return f"「{ONCE_MORE}」との差は {words}" if found.plain else words


def once_more_in_words(records: dict[str, Any], task: str) -> str:
    """Why a fine-tuning made anew stands in the table, and on what processors the two were made; "" without one."""
    names = fine_tunings(records, task)
    if len(names) < 2:
        return ""
    first, *others = (find(records, f"{name}.hardware.processor") for name in names)
    elsewhere = "、".join(dict.fromkeys(each for each in others if first and each and each != first))
    places = f"(はじめのものは {first}、こちらは {elsewhere})" if elsewhere else ""
    return (
        f"「{ONCE_MORE}」は、同じチェックポイントから同じ設定と乱数シードで微調整し直したもの{places}です。"
        "乱数シードは同じなので、± とは別に、丸めの違いなどから生じる差を表します。"
    )


def texts_in_words(record: dict[str, Any]) -> str:
    """What the texts without labels of a record are, as a sentence in Japanese; "" where nobody has said it."""
    known = TEXTS_WITHOUT_LABELS.get(record.get("inputs", {}).get("unlabelled_file", ""))
    return f"ラベルのないテキストは、{known}です。" if known else ""


def cut_with_texts_in_words(records: dict[str, Any], task: str) -> str:
    """What a task's model with fewer blocks learned beside the labels, in Japanese; "" where that was nothing."""
    record = records.get(RECORDS["fast"].format(task=task), {})
    learned = record.get("metrics", {}).get("unlabelled", {}).get("learned")
    if not learned:
        return ""
    return (
        f"{TASKS[task].short}の「{SPED_UP['fast']}」は、"
        f"ラベルのない {number(learned)}件への、層を減らす前のモデルの答えも学習しました"
        f"(`--treatment fast --unlabelled_file`)。{texts_in_words(record)}"
    )


def curve_teachers_in_words(records: dict[str, Any], task: str) -> str:
    """The teachers of a task's learning curve in Japanese; an encoder is called by its name if the record of the
    larger one began with the same."""
    curve = records[f"learning_curve_{task}"]
    larger = records.get(f"{task}{LARGER}", {}).get("inputs", {}).get("model_name_or_path")
    words, encoders = [], 0
    for name in comma_separated(curve["settings"]["teacher"]):
        if f"-{name}" in CLASSICAL:
            words.append(METHODS[f"-{name}"])
            continue
        encoders += 1
        mark = curve.get("inputs", {}).get(f"teacher_{encoders}")
        words.append(WITH_MORE[LARGER] if mark and mark == larger else f"`{name}`")
    return "、".join(words)


def brought(records: dict[str, Any], way: str) -> str:
    """What a way of scripts/README.md's table brought on each task, in English; "" where there is no record.

    Args:
        way: "" for labels alone, `ADAPTED`, `SMALL_TEACHERS` or `LARGE_TEACHERS`.
    """
    told = (f"{names.english} {cell}" for task, names in TASKS.items() if (cell := _brought(records, task, way)))
    return "; ".join(told)


def _brought(records: dict[str, Any], task: str, way: str) -> str:
    plain = metrics_of(records, task)
    if not plain:
        return ""
    if not way:
        others = [ending for ending in CLASSICAL if f"{task}{ending}" in records]
        beside = "".join(
            f" ({IN_ENGLISH[each]}: {percent(records[task + each]['metrics']['mean'])})" for each in others
        )
        return percent(plain["mean"], plain["std"]) + beside + _with_few_rows(records, task)
    large = way == LARGE_TEACHERS
    silver = [ending for ending in silver_endings(records, task) if asked_large(records, task, ending) is large]
    ending = next(iter([ADAPTED] if way == ADAPTED else silver), "")
    metrics = metrics_of(records, f"{task}{ending}") if ending else {}
    if not metrics:
        return ""
    words = f"{percent(plain['mean'])} → {percent(metrics['mean'], metrics['std'])}"
    found = comparison_of(records, task, ending) if len(metrics.get("runs", [])) == 1 else None
    if found:  # one seed says little beside the mean of several
        scores = (found.metrics["scores"][each] for each in ("first", "second")[:: found.sign])
        words = f"{' → '.join(map(percent, scores))} of the same seed, p = {found.metrics['p']:.2g}"
    if way == ADAPTED:
        return words
    asked = teachers_of(records, task, ending)
    *others, last = (f"of {teacher.in_english}" for teacher in asked)
    words += f" (answers {', '.join(others)}{' and ' if others else ''}{last}"
    if not large:
        return words + ")"
    larger = metrics_of(records, f"{task}{LARGER}") if any(teacher.name == LARGER for teacher in asked) else {}
    words += f"; {IN_ENGLISH[LARGER]} has {percent(larger['mean'])})" if larger else ")"
    least = records[f"{task}{ending}"].get("settings", {}).get("min_confidence")
    words += f" with `--min_confidence {least}`" if least and TASKS[task].details == "per_class" else ""
    curves = learning_curves(records, task)
    if "silver" in curves:
        fewest = (percent(curves[name][min(curves[name])]) for name in ("model", "silver"))
        words += f"; {_as_few_rows(records, task)} {' → '.join(fewest)}"
    return words


def _with_few_rows(records: dict[str, Any], task: str) -> str:
    """The smallest point of a task's learning curve, of this model and of the classical one; "" without a curve."""
    curves = learning_curves(records, task)
    if not curves:
        return ""
    model, classical = (percent(curves[name][min(curves[name])]) for name in ("model", "baseline"))
    return f", {_as_few_rows(records, task)} {model} ({classical})"


def _as_few_rows(records: dict[str, Any], task: str) -> str:
    """How many rows that point learned from, and how."""
    passes = curve_training(records, task)
    trained = f", {number(passes[0])} passes in batches of {passes[1]}," if passes else ""
    return f"with {number(min(learning_curves(records, task)['model']))} rows{trained}"


def curve_training(records: dict[str, Any], task: str) -> tuple[float, int] | None:
    """Passes over the labels and rows per batch of every point of a curve: what the recipe says that it was measured
    with, which an older record does not hold, but that of the whole training part, measured with the same one, does;
    None where neither tells."""
    curve, whole = records[f"learning_curve_{task}"], records.get(task, {})
    section = curve.get("settings", {}).get("recipe", {}).get(f"finetune_{task}", {})
    recipes = [re.findall(r"--config (\S+)", each.get("command", "")) for each in (curve, whole)]
    if not section and recipes[0] and recipes[0] == recipes[1]:
        section = whole.get("settings", {})
    names = ("num_train_epochs", "per_device_train_batch_size")
    return (section[names[0]], section[names[1]]) if all(section.get(name) for name in names) else None


def learning_curves(records: dict[str, Any], task: str) -> dict[str, dict[int, float]]:
    """Mean score by number of labelled items, of the smallest first, for each curve: "model", "baseline", and "silver"
    where teachers were asked. Where the curve ends before the whole training part, the task's own records end it.
    Empty without a curve."""
    metrics = metrics_of(records, f"learning_curve_{task}")
    if not metrics:
        return {}
    endings = {"model": "", "baseline": f"-{metrics['baseline']}", "silver": SILVER}
    curves: dict[str, dict[int, float]] = {name: {} for name in endings if name in metrics["points"][0]}
    for name, curve in curves.items():
        for point in metrics["points"]:
            curve[point[name]["train_size"]] = statistics.fmean(point[name]["scores"])
        whole = metrics_of(records, f"{task}{endings[name]}")
        if whole.get("train_size", 0) > max(curve):
            curve[whole["train_size"]] = whole["mean"]
    return curves


def learning_rows(records: dict[str, Any]) -> list[list[str]]:
    """Every point of the learning curves: task, labelled items, scores of the model, of the model that teachers taught
    too, and of the classical model."""
    rows = []
    for task, names in TASKS.items():
        curves = learning_curves(records, task)
        sizes = sorted({size for curve in curves.values() for size in curve})
        for size in sizes:
            scores = (curves.get(name, {}).get(size) for name in ("model", "silver", "baseline"))
            cells = (NONE if score is None else percent(score) for score in scores)
            rows.append([names.title, f"{number(size)}件", *cells])
    return rows


def worth_all_labels(records: dict[str, Any], task: str) -> tuple[int, int] | None:
    """The fewest labelled items that were tried with which a model taught by teachers too is as good as the plain one
    with all, and how many all are; None where it never is."""
    curves = learning_curves(records, task)
    if "silver" not in curves:
        return None
    everything = max(curves["model"])
    reached = (size for size, score in curves["silver"].items() if score >= curves["model"][everything])
    enough = [size for size in reached if size < everything]
    return (min(enough), everything) if enough else None
