"""The card's opening table of what matters, and what each recipe costs."""

from __future__ import annotations

import re
from typing import Any

from mobilebert_ja.card.checkpoint import training_parts
from mobilebert_ja.card.scores import distance_to_best_other
from mobilebert_ja.card.speed import RECORDS

# What each makes, and where its cost is told of: a budget of time is one of a GPU alone.
RECIPES: dict[str, tuple[str, tuple[str, ...]]] = {
    "tiny": ("見本の文章で、全工程を小さく動かす", ()),
    "cpu": ("実際の文章で、2コアの CPU で学習する", ()),
    "gpu30": ("同じ構造を、GPU 1基で学習する", ("one_h100",)),
    "paper": ("元のモデルと同じ量を、教師モデルから学習する", ("one_h100", "eight_h100")),
}
PLACES = {"one_h100": "H100 1基で", "eight_h100": "8基で"}
NAMES = {"livedoor": "題名の分類(livedoor)の正解率", "ner": "固有表現抽出(Wikipedia)の F値"}
ITEMS = {"livedoor": "題名", "ner": "文"}
SPED_UP = {"fast": "層を減らして int8", "onnx": "int8"}  # the best first
TRAINING = r"teacher|distilled|(shallow_|short_)?pretraining"
ROAD = rf"corpus|tokenizer(_quality)?|shards|word_vectors|{TRAINING}|checkpoint_quality|(livedoor|ner)(-\w+)?"
ROAD += r"|compressed_\w+|speed_\w+"


def _metrics(records: dict[str, Any], name: str) -> dict[str, Any]:
    return records.get(name, {}).get("metrics", {})


def sped_up(records: dict[str, Any], task: str) -> str | None:
    """The form of the sped-up model that the card leads with: the fastest that was scored and timed."""
    timed = _metrics(records, f"speed_{task}").get("contenders", {})
    return next((name for name in SPED_UP if name in timed and RECORDS[name].format(task=task) in records), None)


def summary_rows(records: dict[str, Any]) -> list[list[str]]:
    """What, this model's value, and what to hold it against; a row for each that was measured."""
    rows = []
    for task, title in NAMES.items():
        own = _metrics(records, task).get("mean")
        if own is None:
            continue
        form = sped_up(records, task)
        value = f"{own * 100:.1f} %"
        if form:
            value += f"(高速化後 {_metrics(records, RECORDS[form].format(task=task))['mean'] * 100:.1f} %)"
        other = distance_to_best_other(records, task)
        best = f"{other[0]} {(own - other[1]) * 100:.1f} %" if other else "-"
        rows.append([title, value, best])
    pretraining = _metrics(records, "pretraining")
    if "after" in pretraining:
        start = training_parts(records)[0]["metrics"]["before"]["mlm_accuracy"]
        value = pretraining["after"]["mlm_accuracy"]
        rows.append(["穴埋めの正解率(学習に使っていない文章)", f"{value * 100:.1f} %", f"学習前 {start * 100:.1f} %"])
    sizes = []
    for task, item in ITEMS.items():
        form = sped_up(records, task)
        if not form:
            continue
        metrics = _metrics(records, f"speed_{task}")
        facts, bert = metrics["contenders"][form], metrics["contenders"]["bert"]
        times = metrics["speedup"][form]["median"]
        rows.append(
            [
                f"{item}1件の時間({SPED_UP[form]}、CPU {metrics['num_threads']}スレッド)",
                f"{facts['median_ms']:.1f} ms",
                f"BERT {bert['median_ms']:.1f} ms の {times:.1f} 倍の速さ",
            ]
        )
        sizes.append((facts["bytes"], bert["bytes"]))
    if sizes:
        own, bert = max(sizes)
        rows.append(["高速化したモデルのファイル", f"{own / 1e6:.1f} MB", f"BERT {bert / 1e6:.1f} MB"])
    return rows


def walked_recipe(records: dict[str, Any]) -> str | None:
    """The recipe that the model of these records was pretrained with."""
    command = records.get("pretraining", {}).get("command", "")
    return next((name for name in RECIPES if f"recipes/{name}.yaml" in command), None)


def seconds_of(records: dict[str, Any], recipe: str, stages: str) -> float:
    """What the stages of a recipe took, by their records; one that was interrupted took its training time at least."""
    return sum(
        max(record.get("wall_seconds") or 0.0, record.get("metrics", {}).get("train_seconds") or 0.0)
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
    `measure.py cost` knows."""
    cost = _metrics(records, "cost")
    walked = walked_recipe(records)
    rows = []
    for name, (words, places) in RECIPES.items():
        time, money = "2コアで数分" if name == "tiny" else "-", "-"
        estimated = cost.get("recipes", {}).get(name)
        if name == walked and "hardware" in records["pretraining"]:
            hardware = records["pretraining"]["hardware"]
            gpu = hardware.get("accelerator")
            seconds = seconds_of(records, name, TRAINING if gpu else ROAD)
            place, part = (f"{gpu} ", "学習のみ") if gpu else (f"{hardware['cores']}コア", "全工程")
            time = f"{place}で {duration(seconds)}(実測、{part})"
            price = cost.get("assumed", {}).get("dollars_per_gpu_hour" if gpu else "dollars_per_cpu_hour")
            money = "-" if price is None else f"${seconds / 3600 * price:,.2f}"
        elif estimated and places:
            times = [f"{PLACES[key]} {duration(estimated['seconds'][key])}" for key in places]
            time = f"{'、'.join(times)}(見積もり、学習のみ)"
            money = "、".join(f"${estimated['dollars'][key]:,.0f}" for key in places)
        rows.append([f"`recipes/{name}.yaml`", words, time, money])
    return rows


def finetuning_seconds(records: dict[str, Any]) -> float | None:
    """What the published card's epochs over the titles take at the measured rate; None without the measurement."""
    rates = _metrics(records, "finetuning_speed_livedoor").get("examples_per_second", {}).get("this_loop")
    size, epochs = _metrics(records, "livedoor").get("train_size"), records["published_card"].get("num_train_epochs")
    if not rates or not size or not epochs:
        return None
    return size * epochs * len(rates) / sum(rates)
