"""The opening table of what matters, and what each recipe costs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mobilebert_ja.card.names import METHODS, RECORDS, SPED_UP, TASKS
from mobilebert_ja.card.processors import without_vnni
from mobilebert_ja.card.tables.checkpoint import training_parts
from mobilebert_ja.card.tables.scores import distance_to_best_other
from mobilebert_ja.card.tables.speed import sped_up, speedup_avx2
from mobilebert_ja.card.values import NONE, find, megabytes, metrics_of, number, percent
from mobilebert_ja.settings.reading.recipe import load_recipe

# What each makes, and where its cost is told of: a budget of time is one of a GPU alone.
RECIPES: dict[str, tuple[str, tuple[str, ...]]] = {
    "tiny": ("見本の文章で、全工程を小さく動かす", ()),
    "cpu": ("実際の文章で、2コアの CPU で学習する", ()),
    "gpu": ("同じ構造を、GPU 1基で学習する", ("one_h100",)),
    "paper": ("元のモデルと同じ量を、教師モデルから学習する", ("one_h100", "eight_h100")),
}
RECIPES_FOLDER = Path(__file__).resolve().parents[4] / "recipes"
MACHINES = {"one_h100": "H100 1基で", "eight_h100": "8基で"}
TRAINING = r"teacher|distilled|(shallow_|short_)?pretraining"
ROAD = rf"corpus|tokenizer(_quality)?|shards|word_vectors|{TRAINING}|checkpoint_quality|compressed_\w+"
ROAD += rf"|speed_({'|'.join(TASKS)})|({'|'.join(TASKS)})({'|'.join(METHODS)})"


def summary_rows(records: dict[str, Any]) -> list[list[str]]:
    """What, this model's value, and what to hold it against; a row for each that was measured."""
    rows = []
    for task, names in TASKS.items():
        own = metrics_of(records, task).get("mean")
        if own is None:
            continue
        form = sped_up(records, task)
        value = percent(own)
        if form:
            value += f"({SPED_UP[form]} では {percent(metrics_of(records, RECORDS[form].format(task=task))['mean'])})"
        other = distance_to_best_other(records, task)
        best = f"{METHODS[other[0]]} {percent(own - other[1])}" if other else NONE
        rows.append([f"{names.short}の{names.metric_title}", value, best])
    pretraining = metrics_of(records, "pretraining")
    if "after" in pretraining:
        start = training_parts(records)[0]["metrics"]["before"]["mlm_accuracy"]
        value = pretraining["after"]["mlm_accuracy"]
        rows.append(["穴埋めの正解率(学習に使っていない文章)", percent(value), f"学習前 {percent(start)}"])
    sizes = []
    for task, names in TASKS.items():
        form = sped_up(records, task)
        if not form:
            continue
        metrics = metrics_of(records, f"speed_{task}")
        facts, bert = metrics["contenders"][form], metrics["contenders"]["bert"]
        times, slower = metrics["speedup"][form]["median"], speedup_avx2(records, task, form)
        machine = (
            f"CPU {metrics['num_threads']}スレッド{'、VNNI なし' if without_vnni(records, f'speed_{task}') else ''}"
        )
        rows.append(
            [
                f"{names.item}1件の時間({SPED_UP[form]}、{machine}、中央値)",
                f"{facts['median_ms']:.1f} ms",
                f"高速化していない BERT {bert['median_ms']:.1f} ms。"
                + f"{number(metrics['items'])}件の合計では {times:.1f} 倍の速さ"
                + (f"(int8 の命令 VNNI のない CPU では {slower:.1f} 倍)" if slower else "")
                + (f"、int8 の ONNX にした BERT の {over:.1f} 倍" if (over := _over_int8(metrics, form)) else ""),
            ]
        )
        sizes.append((facts["bytes"], bert["bytes"], SPED_UP[form]))
    if sizes:
        own, bert, words = max(sizes)
        larger = "、課題のうち大きい方" if len(sizes) > 1 else ""
        rows.append([f"ファイル({words}{larger})", megabytes(own), f"高速化していない BERT {megabytes(bert)}"])
    return rows


def _over_int8(metrics: dict[str, Any], form: str) -> float | None:
    """How many times as fast as BERT in int8 (ONNX) a model is; None where that was not timed."""
    ratio: float | None = find(metrics, f"speedup_over.bert_onnx.{form}.median")
    return ratio


def speed_in_english(records: dict[str, Any]) -> str:
    """How many times as fast as BERT the sped-up models are, where a processor without VNNI was measured; else ""."""
    told: list[str] = []
    forms = [sped_up(records, task) for task in TASKS]
    for (task, names), form in zip(TASKS.items(), forms, strict=True):
        if form is None:
            continue
        times = metrics_of(records, f"speed_{task}")["speedup"][form]["median"]
        slower = speedup_avx2(records, task, form)
        alone = without_vnni(records, f"speed_{task}")
        if alone or slower:
            words = "times" if told else "times as fast as BERT-base in PyTorch"
            told.append(f"{times:.1f} {words} on {names.english}{' without VNNI' if alone else ''}")
        if slower and not alone:
            told[-1] += f", {slower:.1f} without VNNI"
        if told and (over := _over_int8(metrics_of(records, f"speed_{task}"), form)):
            told[-1] += f", {over:.1f} over BERT-base in int8 ONNX"
    made_by = {form for form in forms if form}
    treatment = f"`--treatment {made_by.pop()}`: " if len(made_by) == 1 else ""
    return f" ({treatment}{'; '.join(told)})" if told else ""


def walked_recipe(records: dict[str, Any]) -> str | None:
    """The recipe that the model of these records was pretrained with."""
    command = records.get("pretraining", {}).get("command", "")
    return next((name for name in RECIPES if f"recipes/{name}.yaml" in command), None)


def given_seconds(recipe: str) -> float | None:
    """What a recipe gives its pretraining by the clock; None unless every part of it ends by that."""
    sections = load_recipe(RECIPES_FOLDER / f"{recipe}.yaml").items()
    limits = [settings.get("max_train_seconds") for name, settings in sections if name.startswith("pretrain_")]
    return sum(limits) if limits and all(limits) else None


def seconds_of(records: dict[str, Any], recipe: str, stages: str, whole: bool = True) -> float:
    """What the stages of a recipe took, by their records; one that was interrupted took its training time at least.
    Without `whole` the training alone."""
    return sum(
        max(
            (record.get("wall_seconds") if whole else None) or 0.0,
            record.get("metrics", {}).get("train_seconds") or 0.0,
        )
        for name, record in records.items()
        if re.fullmatch(stages, name) and f"recipes/{recipe}.yaml" in record.get("command", "")
    )


def duration(seconds: float) -> str:
    """In the largest unit of which there are two."""
    for size, unit in ((365 * 86400, "年"), (86400, "日"), (3600, "時間")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.{0 if seconds >= 10 * size else 1}f} {unit}"
    return f"{seconds / 60:,.0f} 分"


def recipe_rows(records: dict[str, Any]) -> list[list[str]]:
    """For each recipe: file, what it makes, time, cost. Measured for the one that was walked, estimated for those that
    `measure.py cost` knows, and for the CPU's what it gives its pretraining."""
    cost = metrics_of(records, "cost")
    walked = walked_recipe(records)
    rows = []
    for name, (words, machines) in RECIPES.items():
        time, money = "2コアで数分" if name == "tiny" else NONE, NONE
        estimated = cost.get("recipes", {}).get(name)
        if name == walked and "hardware" in records["pretraining"]:
            hardware = records["pretraining"]["hardware"]
            gpu = hardware.get("accelerator")
            seconds = seconds_of(records, name, TRAINING if gpu else ROAD, whole=not gpu)
            machine, part = (f"{gpu} ", "学習のみ") if gpu else (f"{hardware['cores']}コア", "全工程")
            time = f"{machine}で {duration(seconds)}(実測、{part})"
            price = cost.get("assumed", {}).get("dollars_per_gpu_hour" if gpu else "dollars_per_cpu_hour")
            money = NONE if price is None else f"${seconds / 3600 * price:,.2f}"
        elif estimated and machines:
            times = [f"{MACHINES[key]} {duration(estimated['seconds'][key])}" for key in machines]
            time = f"{'、'.join(times)}(見積もり、学習のみ)"
            money = "、".join(f"${estimated['dollars'][key]:,.0f}" for key in machines)
        elif name == "cpu" and (given := given_seconds(name)):
            price = cost.get("assumed", {}).get("dollars_per_cpu_hour")
            time = f"2コアで {duration(given)}(レシピの上限、事前学習のみ)"
            money = NONE if price is None else f"${given / 3600 * price:,.2f}"
        rows.append([f"`recipes/{name}.yaml`", words, time, money])
    return rows


def finetuning_seconds(records: dict[str, Any]) -> float | None:
    """What the published card's epochs over the titles take at the measured rate; None without the measurement."""
    rates = metrics_of(records, "finetuning_speed_livedoor").get("examples_per_second", {}).get("this_loop")
    size, epochs = metrics_of(records, "livedoor").get("train_size"), records["published_card"].get("num_train_epochs")
    if not rates or not size or not epochs:
        return None
    return size * epochs * len(rates) / sum(rates)
