"""The YAML of the card's head: what the Hub shows, searches and compares."""

from __future__ import annotations

import statistics
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from mobilebert_ja.card.checkpoint import training_cost
from mobilebert_ja.card.scores import METRICS, without_markers
from mobilebert_ja.card.speed import RECORDS

MASK = "[MASK]"
# Sources of the corpus that have a name on the Hub, by the start of theirs; and the data that the scores are of.
SOURCES = {"wikipedia_jaquad": "SkelterLabsInc/JaQuAD"}
EVALUATION = {"livedoor": "llm-book/livedoor-news-corpus", "ner": "stockmark/ner-wikipedia-dataset"}
DATASETS = {"livedoor": "livedoor news corpus (titles)", "ner": "Wikipedia NER (ja)"}
HELD_OUT: dict[str, Any] = {
    "task_type": "fill-mask",
    "dataset_type": "held-out",
    "dataset_name": "held-out part of the pretraining corpus",
}
TASK_TYPES = {"livedoor": "text-classification", "ner": "token-classification"}
FORMS = {"compressed": "pruned + int8 + traced", "onnx": "int8, ONNX", "fast": "fewer blocks, int8, ONNX"}


def _metrics(records: dict[str, Any], name: str) -> dict[str, Any]:
    return records.get(name, {}).get("metrics", {})


def metadata(records: dict[str, Any]) -> str:
    """The head, with every measured score as model-index."""
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
    sources = _metrics(records, "corpus").get("sources", {})
    named = [name for start, name in SOURCES.items() if any(source.startswith(start) for source in sources)]
    return ["wikipedia", *named, *(name for task, name in EVALUATION.items() if task in records)]


def eval_results(records: dict[str, Any]) -> list[EvalResult]:
    """Every published score: titles and names, plain and sped up, and masks filled in held-out text. In percent."""
    results = []

    def add(place: dict[str, Any], metric: str, value: float | None, words: str = "") -> None:
        if value is not None:
            name = f"{metric}, {words}" if words else metric
            results.append(
                EvalResult(**place, metric_type=metric, metric_name=name, metric_value=round(100 * value, 2))
            )

    for task, metric in METRICS.items():
        place: dict[str, Any] = {"task_type": TASK_TYPES[task], "dataset_type": EVALUATION[task]}
        place["dataset_name"] = DATASETS[task]
        own = _metrics(records, task)
        add(place, metric, own.get("mean"))
        macro = [details["macro_f1"] for run in own.get("runs", []) if "macro_f1" in (details := run["details"])]
        add(place, "f1", statistics.fmean(macro) if macro else None, "macro")
        if task == "livedoor":
            add(place, metric, without_markers(records), "without markers of the class")
        for form, words in FORMS.items():
            add(place, metric, _metrics(records, RECORDS[form].format(task=task)).get("mean"), words)
    filled = _metrics(records, "pretraining").get("after", {})
    add(HELD_OUT, "accuracy", filled.get("mlm_accuracy"), "of masked tokens")
    return results


def widget(records: dict[str, Any]) -> list[dict[str, Any]]:
    """The head's examples, with what the checkpoint answered."""
    examples = _metrics(records, "checkpoint").get("fill_mask") or [{"text": f"東京は日本{MASK}首都である。"}]
    return [
        {"text": example["text"], "example_title": example["text"].replace(MASK, "＿＿")}
        | {
            "output": [
                {"label": answer["token"], "score": round(answer["score"], 3)}
                for answer in example.get("predictions", [])[:3]
            ]
        }
        for example in examples[:3]
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
