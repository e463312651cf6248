"""What a recipe's training costs in hours and money, estimated, as a Markdown table. Nothing is run.

    python scripts/measure.py cost --record_file records/cost.json

Tokens follow from the recipes, operations per token from the structures. The rate of two CPU cores is measured
(records/training_speed.json), and that of an H100 at the student (records/short_pretraining.json, and pretraining.json
of rows of 512: MobileBERT's narrow products are bound by memory and launches, not by arithmetic); at the teacher it is
what --teacher_utilisation assumes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import MobileBertForPreTraining

from mobilebert_ja.common.files import read_json, write_json
from mobilebert_ja.common.records import same_command_line
from mobilebert_ja.model.flops import forward_flops, training_flops_per_token
from mobilebert_ja.model.ib_bert import IBBertForPreTraining
from mobilebert_ja.model.mobilebert import mobilebert_config
from mobilebert_ja.road import SCRIPTS
from mobilebert_ja.settings import (
    CostSettings,
    DistillSettings,
    PretrainSettings,
    from_recipe,
    load_recipe,
    parse_settings,
)

ROOT = SCRIPTS.parent
H100_PEAK = 989.4e12  # dense bf16, data sheet
STAGES = ("pretrain_teacher", "distill", "pretrain_shallow", "pretrain_short", "pretrain_student")
_LONG_ROWS = 512
ASSUMED = (
    "teacher_utilisation",
    "student_utilisation",
    "scaling_of_eight",
    "dollars_per_gpu_hour",
    "dollars_per_cpu_hour",
)


@dataclass
class Work:
    """A stage's tokens, and the operations each of them costs."""

    stage: str
    tokens: float
    flops: float  # per token
    length: int  # tokens per row
    teacher: bool  # most of it in the teacher's wide products
    seconds: float  # clock budget on one H100, 0 if the recipe counts steps


def work_of(recipe_path: str, settings: CostSettings) -> list[Work]:
    """What each training stage of a recipe has to do; a stage with a clock budget does what fits into it."""
    recipe = load_recipe(recipe_path)
    found = []
    for stage in (name for name in STAGES if name in recipe):
        kind = DistillSettings if stage == "distill" else PretrainSettings
        wanted: Any = from_recipe(stage, kind, recipe_path)
        sizes = {"num_hidden_layers": wanted.num_hidden_layers}
        vocabulary = recipe["train_tokenizer"]["vocab_size"]
        with torch.device("meta"):
            student = MobileBertForPreTraining(mobilebert_config(vocabulary, wanted.preset, **sizes))
            teacher = IBBertForPreTraining(mobilebert_config(vocabulary, "ib-bert-large", **sizes))
        length, rate = wanted.max_seq_length, wanted.mlm_probability
        flops = training_flops_per_token(teacher if stage == "pretrain_teacher" else student, length, rate)
        if stage == "distill":  # the teacher runs forward only
            flops += forward_flops(teacher.config, length, IBBertForPreTraining) / length
        steps = wanted.max_steps + getattr(wanted, "transfer_steps", 0)
        tokens = steps * wanted.per_device_train_batch_size * wanted.gradient_accumulation_steps * length
        wide = stage in ("pretrain_teacher", "distill")
        if wanted.max_train_seconds:
            tokens = wanted.max_train_seconds * h100_flops(wide, length, settings) / flops
        found.append(Work(stage, tokens, flops, length, wide, wanted.max_train_seconds))
    return found


def measured_of(record: str) -> dict[str, Any]:
    """The metrics of a published record. Raises `UserError` if it is missing."""
    return read_json(ROOT / "records" / f"{record}.json", "The repository has it.")["metrics"]


def student_utilisation(length: int, settings: CostSettings) -> float:
    """The share of its data sheet that an H100 does in the student's products: as given, or as measured on rows of
    128 and of 512 tokens, of which the latter's attention has it wait more."""
    record = "short_pretraining" if length < _LONG_ROWS else "pretraining"
    return settings.student_utilisation or float(measured_of(record)["flop_utilisation"])


def h100_flops(teacher: bool, length: int, settings: CostSettings) -> float:
    """Operations per second of one H100: assumed at the teacher, at the student see `student_utilisation`."""
    return H100_PEAK * (settings.teacher_utilisation if teacher else student_utilisation(length, settings))


def duration(seconds: float) -> str:
    for size, unit in ((365 * 86400, "years"), (86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.0f} s"


def costs(settings: CostSettings) -> dict[str, Any]:
    """What the table and the card show: seconds and dollars of each recipe and of its stages, and what is assumed."""
    cpu, eight = measured_of("training_speed")["model_gflops_per_second"] * 1e9, 8 * settings.scaling_of_eight
    prices = {
        "one_h100": settings.dollars_per_gpu_hour,
        "eight_h100": 8 * settings.dollars_per_gpu_hour,
        "two_cores": settings.dollars_per_cpu_hour,
    }
    recipes = {}
    for name in ("gpu", "paper"):
        stages: list[dict[str, Any]] = []
        for work in work_of(str(ROOT / "recipes" / f"{name}.yaml"), settings):
            operations = work.tokens * work.flops
            one = operations / h100_flops(work.teacher, work.length, settings)
            seconds = {"one_h100": one, "eight_h100": one / eight, "two_cores": operations / cpu}
            stages.append({"stage": work.stage, "tokens": work.tokens, "flops": work.flops, "seconds": seconds})
        total = {machine: sum(stage["seconds"][machine] for stage in stages) for machine in prices}
        dollars = {machine: total[machine] / 3600 * price for machine, price in prices.items()}
        recipes[name] = {"stages": stages, "seconds": total, "dollars": dollars}
    assumed = {name: getattr(settings, name) for name in ASSUMED}
    assumed["student_utilisation"] = student_utilisation(0, settings)
    assumed["student_utilisation_of_long_rows"] = student_utilisation(_LONG_ROWS, settings)
    return {"recipes": recipes, "assumed": assumed, "flops_of_two_cores": cpu}


def _rounded(value: float) -> str:
    """With the more decimals the smaller it is."""
    return f"{value:,.{2 if value < 10 else 1 if value < 1000 else 0}f}"


def table(found: dict[str, Any]) -> str:
    """The Markdown table over both recipes of what `costs` found, and under it what is assumed."""
    assumed = found["assumed"]
    lines = [
        "| recipe | stage | tokens | GFLOP per token | one H100 | eight H100 | two CPU cores |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, recipe in found["recipes"].items():
        for stage in recipe["stages"]:
            lines.append(
                f"| {name} | {stage['stage']} | {_rounded(stage['tokens'] / 1e9)} G | {stage['flops'] / 1e9:.2f} | "
                f"{' | '.join(map(duration, stage['seconds'].values()))} |"
            )
        money = [
            f"{duration(recipe['seconds'][machine])}, ${_rounded(price)}"
            for machine, price in recipe["dollars"].items()
        ]
        lines.append(f"| {name} | **all** | | | {' | '.join(money)} |")
    return "\n".join(
        [
            *lines,
            "",
            f"Assumed: an H100 does {assumed['teacher_utilisation']:.0%} of its data sheet's 989 TFLOP/s in the "
            f"teacher's products and {assumed['student_utilisation']:.0%} in the student's, on rows of {_LONG_ROWS} "
            f"{assumed['student_utilisation_of_long_rows']:.0%} (these as in `records/short_pretraining.json` and "
            "`records/pretraining.json`), eight of them "
            f"{assumed['scaling_of_eight']:.0%} of eight times that; ${assumed['dollars_per_gpu_hour']:.2f} an hour "
            f"for an H100, ${assumed['dollars_per_cpu_hour']:.2f} for two cores. Measured: "
            f"{found['flops_of_two_cores'] / 1e9:,.0f} GFLOP/s of the "
            "student on two cores (`records/training_speed.json`), taken for the teacher too. Not measured: "
            "the teacher on any GPU, several GPUs.",
        ]
    )


def main() -> None:
    settings = parse_settings(CostSettings, __doc__)  # type: ignore[type-var]  # no stage: it has no folders
    found = costs(settings)
    if settings.record_file:
        write_json(Path(settings.record_file), {"command": same_command_line(), "metrics": found})
    print(table(found))
