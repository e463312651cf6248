"""Tables of what was compared before settings were chosen, from records/ablation_*.json and records/trials_*.json."""

from __future__ import annotations

import re
from typing import Any

from mobilebert_ja.card.names import ABLATIONS, TRIAL_NOTES, TRIALS, in_japanese
from mobilebert_ja.card.values import NONE, difference, metrics_of, number, percent

_LOSS, _ACCURACY, _TOKENS = "損失", "正解率", "トークン"
_ENTITIES = "固有表現の F1(訓練データの一部で)"


def variant_of(run: str) -> str:
    """The variant's name without the seed that is part of a run's name."""
    return re.sub(r", seed \d+$", "", run)


def seconds_of(runs: list[dict[str, Any]]) -> float | None:
    """The time that every run was given; None unless it was the same for all, and the clock what ended them."""
    limits = {each.get("settings", {}).get("max_train_seconds") or None for each in runs}
    return limits.pop() if len(limits) == 1 else None


def shared_settings(runs: list[dict[str, Any]]) -> str:
    """The sizes that all runs have in common, in words, and on how much they were trained."""
    words = {"num_hidden_layers": "{}層", "per_device_train_batch_size": "バッチ {}", "max_seq_length": "系列長 {}"}
    shown = []
    for key, form in words.items():
        values = {each.get("settings", {}).get(key) for each in runs}
        if len(values) == 1 and (value := values.pop()) is not None:
            shown.append(form.format(value))
    if seconds := seconds_of(runs):
        return "、".join([*shown, f"同じ時間({seconds:,.0f} 秒)"])
    tokens = max((each.get("tokens_seen", 0) for each in runs), default=0)
    return "、".join([*shown, f"{tokens:,}トークン"])


def result_cells(seeds: list[dict[str, Any]], columns: list[str]) -> list[str]:
    """The columns of a variant's row, of several seeds side by side; a run that diverged has its step in the first."""
    forms = {
        _LOSS: lambda run: f"{run['mlm_loss']:.3f}",
        _ACCURACY: lambda run: percent(run["mlm_accuracy"]),
        _TOKENS: lambda run: f"{run['tokens_seen']:,}",
        _ENTITIES: lambda run: percent(run["entities_f1"]),
    }
    cells = [
        [forms[column](each) for column in columns]
        if each["finished"]
        else [f"発散({each['diverged_at_step']}ステップ)", *[NONE] * (len(columns) - 1)]
        for each in seeds
    ]
    return [" / ".join(column) for column in zip(*cells, strict=True)]


def ablation_tables(records: dict[str, Any]) -> list[dict[str, Any]]:
    """For each ablation with a record: its title, what all runs share, the columns, and a row for each variant.

    Where runs had the same time instead of the same text, the tokens that they saw are a result, too. A run whose loss
    stopped being finite shows the step at which that was seen.
    """
    tables = []
    for name, title in ABLATIONS.items():
        runs: dict[str, Any] = metrics_of(records, f"ablation_{name}").get("runs", {})
        rows: dict[str, list[dict[str, Any]]] = {}
        for run, facts in runs.items():
            rows.setdefault(variant_of(run), []).append(facts)
        if not rows:
            continue
        every = list(runs.values())
        columns = [_LOSS, _ACCURACY]
        columns += [_TOKENS] if seconds_of(every) is not None else []
        columns += [_ENTITIES] if all("entities_f1" in each for each in every) else []
        tables.append(
            {
                "title": title,
                "shared": shared_settings(every),
                "columns": ["設定", *columns],
                "rows": [[in_japanese(variant), *result_cells(seeds, columns)] for variant, seeds in rows.items()],
            }
        )
    return tables


TRIAL_COLUMNS = ["設定", "各回の結果", "最初の行との差", "学習した答え", "学習時間"]


def trial_tables(records: dict[str, Any]) -> list[dict[str, Any]]:
    """For each comparison of fine-tuning settings with a record: its title and note, the number of labelled texts
    and of those that were scored, how all were trained, and a row for each variant with what `TRIAL_COLUMNS` says."""
    tables = []
    for name, title in TRIALS.items():
        variants: dict[str, Any] = metrics_of(records, f"trials_{name}").get("variants", {})
        if not variants:
            continue
        sizes = next(iter(variants.values()))
        tables.append(
            {
                "title": title,
                "note": TRIAL_NOTES.get(name, ""),
                "train_size": sizes["train_size"],
                "test_size": sizes["test_size"],
                "shared": _shared_in_words(records[f"trials_{name}"].get("settings", {}).get("common", {})),
                "rows": [[in_japanese(variant), *_trial_cells(facts)] for variant, facts in variants.items()],
            }
        )
    return tables


def _shared_in_words(common: dict[str, Any]) -> str:
    """How all variants are trained that do not say otherwise."""
    forms = {
        "learning_rate": "学習率 {}",
        "num_train_epochs": "{}エポック",
        "per_device_train_batch_size": "バッチ {}",
    }
    return "、".join(form.format(common[name]) for name, form in forms.items() if name in common)


def _trial_cells(facts: dict[str, Any]) -> list[str]:
    learned = facts.get("silver", {}).get("learned")
    return [
        "、".join(map(percent, facts["scores"].values())),
        _over_first(facts.get("over_first")),
        NONE if learned is None else f"{number(learned)}件",
        f"{number(facts['train_seconds'])} 秒",
    ]


def _over_first(found: dict[str, Any] | None) -> str:
    """Points over the first variant; of one seed with what the choice of scored texts leaves open."""
    if found is None:
        return NONE
    points = 100 * found["mean"]
    if len(found["seeds"]) > 1:
        return f"{points:+.1f}"
    (only,) = found["seeds"].values()
    return difference(points, (100 * each for each in only["interval"]), only["p"])
