"""What the card says of the checkpoint itself: how well it fills masks in each kind of text, and what it cost."""

from __future__ import annotations

from typing import Any

from mobilebert_ja.pretraining.masking import EVALUATION_PROBABILITY

KINDS = {
    "wikipedia": "百科事典",
    "wikinews": "ニュース",
    "ict_whitepaper": "白書",
    "aozora": "小説",
    "msdocs": "技術文書",
    "programming_docs": "技術文書",
    "japan_law": "法令",
}
# Assumed, not measured: a server's power for each core that is at work, its memory and losses included; and what a
# kilowatt-hour of Japan's grid emits (Ministry of the Environment, mean of the suppliers, 2022).
WATTS_A_CORE = 10.0
WATTS_A_GPU = 700.0
GRAMS_A_KILOWATT_HOUR = 438.0


def kind_of(part: str) -> str:
    """A part of the corpus in the reader's words; its own name if it has none."""
    return next((words for start, words in KINDS.items() if part.startswith(start)), part)


def kind_rows(records: dict[str, Any]) -> list[list[str]]:
    """For each kind of held-out text, the easiest first: loss, accuracy, and that of the most frequent token."""
    kinds = records.get("checkpoint_quality", {}).get("metrics", {}).get("kinds", {})
    rows = []
    for part, facts in sorted(kinds.items(), key=lambda each: each[1]["mlm_loss"]):
        name = kind_of(part)
        rows.append(
            [
                name if name == part else f"{name}(`{part}`)",
                f"{facts['mlm_loss']:.2f}",
                f"{facts['mlm_accuracy'] * 100:.1f} %",
                f"{facts['most_frequent_accuracy'] * 100:.1f} %",
            ]
        )
    return rows


def length_rows(records: dict[str, Any]) -> list[list[str]]:
    """For each length of row: tokens, loss, accuracy."""
    lengths = records.get("checkpoint_quality", {}).get("metrics", {}).get("lengths", {})
    return [
        [length, f"{facts['mlm_loss']:.2f}", f"{facts['mlm_accuracy'] * 100:.1f} %"]
        for length, facts in sorted(lengths.items(), key=lambda each: int(each[0]))
    ]


def evaluation_share(records: dict[str, Any]) -> float:
    """The share of held-out text that was masked: what the record says, and if it is of before it did, what it was."""
    after = records.get("pretraining", {}).get("metrics", {}).get("after", {})
    return after.get("mlm_probability", EVALUATION_PROBABILITY)


def training_parts(records: dict[str, Any]) -> list[dict[str, Any]]:
    """The records of the parts of the student's pretraining, in their order; a run may have done without some."""
    return [records[name] for name in ("shallow_pretraining", "short_pretraining", "pretraining") if name in records]


def training_cost(records: dict[str, Any]) -> dict[str, Any] | None:
    """Hours of pretraining, on what, and an estimate of its energy (kWh) and emissions (g of CO2); None if unknown."""
    phases = training_parts(records)
    if not phases or "hardware" not in phases[-1]:
        return None
    hours = energy = 0.0
    devices = set()
    for phase in phases:
        hardware, seconds = phase["hardware"], phase["metrics"]["train_seconds"]
        gpu, processes = hardware.get("accelerator"), phase["metrics"].get("num_processes", 1)
        watts = WATTS_A_GPU * processes if gpu else WATTS_A_CORE * hardware["cores"]
        devices.add(f"{processes} x {gpu}" if gpu else f"{hardware['processor']}, {hardware['cores']} cores")
        hours += seconds / 3600
        energy += watts * seconds / 3.6e6
    return {
        "hours": hours,
        "kilowatt_hours": energy,
        "grams": energy * GRAMS_A_KILOWATT_HOUR,
        "device": "; ".join(sorted(devices)),
    }
