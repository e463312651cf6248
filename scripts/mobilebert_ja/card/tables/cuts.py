"""What was cut: the sweeps, and how many blocks the data allowed."""

from __future__ import annotations

from typing import Any

from mobilebert_ja.card.names import BLOCK_CHOICES, PRUNED, RECORDS, TASKS
from mobilebert_ja.card.values import NONE, find, megabytes, metrics_of, number, percent
from mobilebert_ja.settings import UNCUT


def cut_title(name: str) -> str:
    """What a cut is called in the card: "14x0.8" is 14 blocks and 0.8 of each feed-forward's width."""
    if name == UNCUT:
        return "減らさない"
    layers, share = name.split("x")
    return f"{layers}層、FFN {share}"


def cut_rows(records: dict[str, Any], task: str) -> list[list[str]]:
    """Each cut of `measure.py cuts`: name, score and ms per item of the first seed, size, answers as before."""
    models = metrics_of(records, f"cuts_{task}").get("models", {})
    return [[cut_title(name), *_sweep_cells(facts)] for name, facts in models.items()]


def card_treatment_rows(records: dict[str, Any], task: str) -> list[list[str]]:
    """The same for the card's treatment: retrained after pruning or not, scales by matrix or by output."""
    models = metrics_of(records, f"card_treatment_{task}").get("models", {})
    return [[PRUNED.get(name, name), *_sweep_cells(facts)] for name, facts in models.items()]


def _sweep_cells(facts: dict[str, Any]) -> list[str]:
    return [
        percent(facts["score"]),
        f"{facts['median_ms']:.2f} ms",
        megabytes(facts["bytes"]),
        percent(facts["agreement"]),
    ]


def way_heads(task: str) -> list[str]:
    """The heads of `way_rows`."""
    return ["学んだもの", "残した層", "選び方", "乱数シード", TASKS[task].metric_title, "減らす前", "差"]


def way_rows(records: dict[str, Any], task: str) -> list[list[str]]:
    """The ways in which a task's model was cut, the card's first (in bold), then the others by the names of their
    records, which begin with the card's: what was learned afterwards, which blocks stayed, and the score before and
    after (mean over the seeds). Empty unless there are several."""
    shown = RECORDS["fast"].format(task=task)
    names = sorted(name for name in records if name.startswith(shown) and "mean" in metrics_of(records, name))
    if len(names) < 2:
        return []
    rows = []
    for name in names:
        facts = metrics_of(records, name)
        learned = facts.get("unlabelled", {}).get("learned")
        texts = f"訓練データ、ラベルのない {number(learned)}件" if learned else "訓練データだけ"
        choice = facts.get("choice")
        chosen = [each for each in choice["depths"] if each["layers"] == choice["chosen"]] if choice else []
        rows.append(
            [
                f"**{texts}**" if name == shown else texts,
                str(len(facts["runs"][0]["kept_blocks"])),
                BLOCK_CHOICES[chosen[0]["choice"] if chosen else "evenly spread"],
                str(len(facts["runs"])),
                percent(facts["mean"], facts["std"]),
                percent(facts["mean_before"]),
                f"{(facts['mean'] - facts['mean_before']) * 100:+.1f}",
            ]
        )
    return rows


def depth_heads(task: str) -> list[str]:
    """The heads of `depth_rows`."""
    return ["残した層", "選び方", TASKS[task].metric_title, "差(95 % 信頼区間)"]


def depth_rows(records: dict[str, Any], task: str) -> list[list[str]]:
    """What `compress.py --keep_layers auto` chose from: the uncut model, then each number of blocks, the chosen one in
    bold; scores of held-out training texts. Empty if nothing was searched."""
    choice = find(records, f"{RECORDS['fast'].format(task=task)}.metrics.choice")
    if not choice:
        return []
    rows = [[str(len(choice["cost_of_leaving_out"])), NONE, percent(choice["uncut"]["score"]), NONE]]
    for each in reversed(choice["depths"]):
        points, low, high = (f"{value * 100:+.1f}" for value in (each["difference"], *each["interval"]))
        layers = f"**{each['layers']}**" if each["layers"] == choice["chosen"] else str(each["layers"])
        how = BLOCK_CHOICES[each["choice"]]
        rows.append([layers, how, percent(each["score"]), f"{points}({low} から {high})"])
    return rows
