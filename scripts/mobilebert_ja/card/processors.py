"""The two kinds of processor that int8 was timed on, with VNNI and without: which record is of which, and in words.

Records of one kind stand under their plain names. Where a measurement was made on both, the one without VNNI stands
beside the other, with `AVX2` behind its name.
"""

from __future__ import annotations

from typing import Any

from mobilebert_ja.card.names import RECORDS, TASKS
from mobilebert_ja.card.values import fine_tunings, metrics_of, percent
from mobilebert_ja.common.processor import AVX2, has_vnni
from mobilebert_ja.common.records import recorded_fingerprint

_SAME_SIZE = 0.02  # files of one structure differ by less; one block makes more


def told_apart(records: dict[str, Any]) -> dict[str, Any]:
    """The records by the names that they have here, from those of their files."""
    kept = dict(records)
    for name in [each for each in records if each.endswith(AVX2)]:
        plain = name.removesuffix(AVX2)
        # Before there were two kinds, both had the plain name.
        if plain not in kept or without_vnni(kept, plain):
            kept[plain] = kept.pop(name)
    return kept


def without_vnni(records: dict[str, Any], name: str) -> bool:
    """Whether all that is known of this measurement is of a processor without VNNI."""
    return has_vnni(records.get(name, {}).get("hardware", {})) is False


def on_both(records: dict[str, Any], name: str) -> bool:
    """Whether a measurement was made on both kinds of processor. Beside one of which nobody knows the kind, an ARM
    processor's for example, the other is not shown."""
    return name + AVX2 in records and has_vnni(records[name].get("hardware", {})) is True


def by_kind(records: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The records as they are; and once more with that of a processor without VNNI under the plain name, if this
    measurement was made on both kinds."""
    return [records, records | {name: records[name + AVX2]}] if on_both(records, name) else [records]


def machines(records: dict[str, Any]) -> str:
    """What the speeds were measured on, with what of its instructions matters to int8; by task if they differ."""
    names = {task: f"speed_{task}" for task in TASKS}
    kinds = [
        _by_task({task: name for task, name in names.items() if name in records}, records),
        _by_task({task: name + AVX2 for task, name in names.items() if on_both(records, name)}, records),
    ]
    return "、VNNI のない計算機は ".join(each for each in kinds if each)


def _by_task(names: dict[str, str], records: dict[str, Any]) -> str:
    """The machines of records, given by task."""
    words = {task: machine(records[name]["hardware"]) for task, name in names.items() if "hardware" in records[name]}
    if len(set(words.values())) <= 1:
        return next(iter(words.values()), "")
    return "、".join(f"{TASKS[task].short}は {each}" for task, each in words.items())


def about_ratios(records: dict[str, Any]) -> str:
    """What the columns of ratios are, if a task's table has two."""
    if not any(on_both(records, f"speed_{task}") for task in TASKS):
        return ""
    return (
        "「速さ」は全件の合計時間の BERT との比で、列が2つある表では、"
        "int8 の行列積を速くする命令(VNNI)のある計算機とない計算機で、"
        "それぞれ1台ですべてのモデルを測りました。その表の時間は VNNI のある計算機の値です。"
    )


def machine(hardware: dict[str, Any]) -> str:
    """A processor, cores, memory, and whether it has VNNI, if that is known."""
    return f"{hardware['processor']}({hardware['cores']}コア、メモリー {hardware['memory_gib']} GiB{vnni(hardware)})"


def vnni(hardware: dict[str, Any]) -> str:
    """Whether a processor has VNNI, to be put behind its name; "" if nobody knows."""
    known = has_vnni(hardware)
    return "" if known is None else f"、VNNI {'あり' if known else 'なし'}"


def elsewhere(records: dict[str, Any], name: str, task: str) -> str:
    """The machine of the record `name`, if the speeds of its task were measured on another and no heading names it;
    else ""."""
    ours, theirs = (records.get(each, {}).get("hardware") for each in (name, f"speed_{task}"))
    named = on_both(records, name) or without_vnni(records, name)
    return machine(ours) if ours and theirs and not named and machine(ours) != machine(theirs) else ""


def whose_model(records: dict[str, Any], name: str, task: str) -> str:
    """What has to be said where the record `name` was measured on another fine-tuned model than the one whose scores
    the card shows; else ""."""
    inputs = records.get(name, {}).get("inputs", {})
    measured = inputs.get("finetuned") or inputs.get("model_name_or_path")
    if not measured or task not in records:
        return ""
    for tuned in fine_tunings(records, task):
        if measured == recorded_fingerprint(records[tuned]):
            if tuned == task:
                return ""
            metrics = records[tuned]["metrics"]
            return (
                "これは、同じチェックポイントから同じ設定でもう一度微調整したモデル"
                f"({percent(metrics['mean'], metrics['std'])})の、最初の乱数シードのもので測った値です。"
            )
    return "**これは、以前のチェックポイントから微調整したモデルで測った値です。**"


def other_models(records: dict[str, Any], name: str) -> str:
    """What has to be said where the models that were timed are not those whose scores the pages show; "" if they are.

    Args:
        name: of the record of the timings.
    """
    metrics, inputs = metrics_of(records, name), records.get(name, {}).get("inputs", {})
    task = str(metrics.get("task"))
    labels = {"model_name_or_path": "mobilebert", "model_folder": str(metrics.get("treatment"))}
    others = []
    for label, made in inputs.items():
        model = labels.get(label, label)
        shown = RECORDS[model].format(task=task) if model in RECORDS else ""
        if shown in records and made != recorded_fingerprint(records[shown]):
            others.append((model, made, records[shown]["metrics"].get("bytes")))
    if not others:
        return ""
    if all(_of_that_size(records, task, *each) for each in others):
        return "時間を測ったのは、精度を示したモデルと同じ構造で、重みだけが違うモデルです(時間は重みによりません)。"
    return "時間を測ったのは、精度を示したモデルとは別のモデルです。"


def told_of_models(records: dict[str, Any], task: str) -> str:
    """`other_models` of the speeds of a task, on either kind of processor."""
    name = f"speed_{task}"
    first, *others = (other_models(seen, name) for seen in by_kind(records, name))
    return first + "".join(f"VNNI のない計算機で{each}" for each in others if each)


def _of_that_size(records: dict[str, Any], task: str, model: str, made: str, wanted: float | None) -> bool:
    """Whether this very model was timed beside the others and its files are as large as `wanted` (bytes)."""
    for ending in ("", AVX2):
        timed = records.get(f"speed_{task}{ending}", {})
        size = timed.get("metrics", {}).get("contenders", {}).get(model, {}).get("bytes")
        if timed.get("inputs", {}).get(model) == made and size and wanted:
            return bool(abs(size / wanted - 1) < _SAME_SIZE)
    return False
