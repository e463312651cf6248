"""Many texts: the HTTP service under load, and predict.py on a file."""

from __future__ import annotations

import statistics
from typing import Any

from mobilebert_ja.card.values import NONE, metrics_of, percent


def service_rows(records: dict[str, Any]) -> list[list[str]]:
    """The HTTP service under load, for each number of clients: requests per second, median and 99th percentile (ms),
    and how many of all answers were wrong or lost; medians over the rounds.
    """
    rounds: dict[int, list[dict[str, Any]]] = {}
    for each in metrics_of(records, "service_load").get("rounds", []):
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


def mixture_rows(records: dict[str, Any]) -> list[list[str]]:
    """The service beside clients that send hostile and broken requests, a row per round: how many of these clients,
    ordinary requests, their median and 99th percentile (ms), how many of them were wrong or lost, and what came back
    to the others, by status."""
    rows = []
    for each in metrics_of(records, "service_mixture").get("rounds", []):
        others = each.get("hostile", {})
        statuses = "、".join(f"{status} が {count:,}件" for status, count in others.get("statuses", {}).items())
        failed = f"、誤り・失敗 {others['wrong_or_lost']:,}件" if others else ""
        rows.append(
            [
                f"{each.get('hostile_clients', 0)}",
                f"{each['requests']:,}",
                f"{each['median_ms']:.1f} ms",
                f"{each['p99_ms']:.1f} ms",
                f"{each['wrong_or_lost']:,}",
                statuses + failed if others else NONE,
            ]
        )
    return rows


def bulk_rows(records: dict[str, Any]) -> list[list[str]]:
    """predict.py on a file of many texts: processes, texts per model call, texts per second (median over the runs),
    times as fast as the first way, share of the answers that are the first way's."""
    return [
        [
            str(each["num_workers"]),
            str(each["batch_size"]),
            f"{statistics.median(each['texts_per_second']):,.0f}",
            f"{each['times_as_fast']:.2f} 倍",
            percent(each["agreement"]),
        ]
        for each in metrics_of(records, "bulk").get("ways", [])
    ]
