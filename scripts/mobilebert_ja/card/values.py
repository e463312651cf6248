"""A value out of the records, and how values are printed."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable
from typing import Any

MISSING = "未測定"
NONE = "—"  # there is no such value


def find(records: dict[str, Any], path: str) -> Any:
    """The value at "record.key.key", None where something on the way is missing. Record names may hold no dot."""
    value: Any = records
    for key in path.split("."):
        if not isinstance(value, dict) or value.get(key) is None:
            return None
        value = value[key]
    return value


def metrics_of(records: dict[str, Any], name: str) -> dict[str, Any]:
    """The metrics of a record; empty if there is no such record."""
    return records.get(name, {}).get("metrics", {})


def fine_tunings(records: dict[str, Any], task: str) -> list[str]:
    """The records of this model's fine-tuning for a task: the one whose scores the pages show and, made anew with the
    same settings from the same checkpoint (the weights of the first may be gone), `TASK-again...`."""
    if task not in records:
        return []

    first = records[task]
    start = find(first, "inputs.model_name_or_path")

    def is_the_same(record: dict[str, Any]) -> bool:
        # Of settings that only one of them knows, the other is older than they are.
        ours, theirs = first.get("settings", {}), record.get("settings", {})
        shared = (ours.keys() & theirs.keys()) - {"data_dir", "model_name_or_path"}
        same = all(ours[name] == theirs[name] for name in shared)
        return bool(start) and same and record.get("inputs") == first.get("inputs")

    names = sorted(name for name in records if re.fullmatch(rf"{task}-again(-\d+)?", name))
    return [task, *(name for name in names if is_the_same(records[name]))]


def percent(value: float | None, std: float | None = None) -> str:
    """0.864 -> "86.4 %", with the spread if there is one."""
    if value is None:
        return MISSING
    return f"{value * 100:.1f}" + (f" ± {std * 100:.1f}" if std is not None else "") + " %"


def number(value: float | None, digits: int = 0) -> str:
    """12345.6 -> "12,346"."""
    return MISSING if value is None else f"{value:,.{digits}f}"


def megabytes(value: float | None) -> str:
    """Bytes as "41.8 MB" (millions of bytes, as the published card)."""
    return MISSING if value is None else f"{value / 1e6:.1f} MB"


def minutes(value: float | None) -> str:
    """Seconds as minutes; of few, so that parts add up to their sum, with a digit."""
    return MISSING if value is None else f"{value / 60:.{0 if value >= 600 else 1}f} 分"


def myriads(value: float | None) -> str:
    """A large count in the units that Japanese counts in: 9854976 -> "985 万"."""
    if value is None:
        return MISSING
    return f"{value / 1e8:,.1f} 億" if value >= 1e8 else f"{value / 1e4:,.0f} 万"


def median(values: list[float] | None) -> float | None:
    """The median of what was measured; None if nothing was."""
    return statistics.median(values) if values else None


def difference(points: float, interval: Iterable[float], p: float) -> str:
    """Points by which answers to the same texts differ, with their 95 % interval (in points, in any order) and p."""
    low, high = sorted(interval)
    return f"{points:+.1f}({low:+.1f} から {high:+.1f}、p = {p:.2g})"
