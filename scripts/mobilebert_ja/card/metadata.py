"""The YAML of the card's head: what the Hub shows, searches and compares."""

from __future__ import annotations

from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from mobilebert_ja.card.names import IN_ENGLISH, RECORDS, TASKS
from mobilebert_ja.card.tables.checkpoint import training_cost
from mobilebert_ja.card.tables.speed import sped_up
from mobilebert_ja.card.values import metrics_of

MASK = "[MASK]"
# Sources of the corpus that have a name on the Hub, by the start of theirs.
SOURCES = {"wikipedia_jaquad": "SkelterLabsInc/JaQuAD"}


def metadata(records: dict[str, Any]) -> str:
    """The head, with a few scores as model-index."""
    results = eval_results(records)
    return ModelCardData(
        language="ja",
        license="cc-by-sa-3.0",
        library_name="transformers",
        pipeline_tag="fill-mask",
        mask_token=MASK,
        tags=["mobilebert", "bert", "fill-mask", "japanese", "distillation", "cpu"],
        datasets=datasets(records),
        metrics=sorted({each.metric_type for each in results}) or None,
        widget=widget(records),
        co2_eq_emissions=emissions(records),
        model_name="mobilebert-ja" if results else None,
        eval_results=results or None,
    ).to_yaml(line_break="\n")


def datasets(records: dict[str, Any]) -> list[str]:
    """Hub names of what the model was trained on, as far as there are any, and of what it was measured with."""
    sources = metrics_of(records, "corpus").get("sources", {})
    named = [name for start, name in SOURCES.items() if any(source.startswith(start) for source in sources)]
    return ["wikipedia", *named, *(names.dataset for task, names in TASKS.items() if task in records)]


def eval_results(records: dict[str, Any]) -> list[EvalResult]:
    """Of each task, the score in percent, plain and in the form that the card leads with. The report has them all."""
    results = []

    def add(dataset: dict[str, Any], metric: str, value: float | None, words: str = "") -> None:
        if value is not None:
            name = f"{metric}, {words}" if words else metric
            results.append(
                EvalResult(**dataset, metric_type=metric, metric_name=name, metric_value=round(100 * value, 2))
            )

    for task, names in TASKS.items():
        dataset = {"task_type": names.task_type, "dataset_type": names.dataset, "dataset_name": names.dataset_title}
        add(dataset, names.metric, metrics_of(records, task).get("mean"))
        if form := sped_up(records, task):
            mean = metrics_of(records, RECORDS[form].format(task=task)).get("mean")
            add(dataset, names.metric, mean, IN_ENGLISH[form].removeprefix("MobileBERT, "))
    return results


def widget(records: dict[str, Any]) -> list[dict[str, Any]]:
    """The head's examples, with what the checkpoint answered."""
    examples = metrics_of(records, "checkpoint").get("fill_mask") or [{"text": f"東京は日本{MASK}首都である。"}]
    return [
        {"text": example["text"], "example_title": example["text"].replace(MASK, "＿＿")}
        | {
            "output": [
                {"label": answer["token"], "score": round(answer["score"], 3)}
                for answer in example.get("predictions", [])[:2]
            ]
        }
        for example in examples[:2]
    ]


def emissions(records: dict[str, Any]) -> dict[str, Any] | None:
    """The head's co2_eq_emissions (g); None without a record of pretraining."""
    cost = training_cost(records)
    if cost is None:
        return None
    return {
        "emissions": round(cost["grams"], 1),
        "source": "estimated from the training time; the power was not measured",
        "training_type": "pre-training",
        "geographical_location": "unknown; the mean of Japan's grid is assumed",
        "hardware_used": cost["device"],
    }
