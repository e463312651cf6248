"""The card's tables of what was compared before settings were chosen, from records/ablation_*.json."""

from __future__ import annotations

import re
from typing import Any

TITLES = {
    "embeddings": "単語ベクトルから始める",
    "initialisation": "初期値と学習率",
    "optimizer": "最適化の方法",
    "masking": "隠し方と次文予測",
    "transfer": "教師モデルからの転移(小さなモデルと、内蔵の練習用の文章)",
}


def variant_of(run: str) -> str:
    """The variant's name without the seed that is part of a run's name."""
    return re.sub(r", seed \d+$", "", run)


def shared_settings(runs: list[dict[str, Any]]) -> str:
    """The sizes that all runs have in common, in words."""
    words = {"num_hidden_layers": "{}層", "per_device_train_batch_size": "バッチ {}", "max_seq_length": "系列長 {}"}
    shown = []
    for key, form in words.items():
        values = {each.get("settings", {}).get(key) for each in runs}
        if len(values) == 1 and (value := values.pop()) is not None:
            shown.append(form.format(value))
    tokens = max((each.get("tokens_seen", 0) for each in runs), default=0)
    return "、".join([*shown, f"{tokens:,}トークン"])


def ablation_tables(records: dict[str, Any]) -> list[dict[str, Any]]:
    """For each ablation with a record: its title, what all runs share, and for each variant its name and results.

    The values of several seeds stand side by side. A run whose loss stopped being finite shows the step at which that
    was seen.
    """
    tables = []
    for name, title in TITLES.items():
        runs: dict[str, Any] = records.get(f"ablation_{name}", {}).get("metrics", {}).get("runs", {})
        rows: dict[str, list[dict[str, Any]]] = {}
        for run, facts in runs.items():
            rows.setdefault(variant_of(run), []).append(facts)
        if not rows:
            continue
        tables.append(
            {
                "title": title,
                "shared": shared_settings(list(runs.values())),
                "rows": [
                    [
                        variant,
                        " / ".join(
                            f"{each['mlm_loss']:.3f}"
                            if each["finished"]
                            else f"発散({each['diverged_at_step']}ステップ)"
                            for each in seeds
                        ),
                        " / ".join(
                            f"{each['mlm_accuracy'] * 100:.1f} %" if each["finished"] else "-" for each in seeds
                        ),
                    ]
                    for variant, seeds in rows.items()
                ],
            }
        )
    return tables
