"""The card of a fine-tuned or sped-up model, from its own folder and record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json
from mobilebert_ja.common.former_names import read_record
from mobilebert_ja.common.records import RECORD_NAME
from mobilebert_ja.inference.decoding import entity_types
from mobilebert_ja.inference.folder import FACTS_NAME, ONNX, read_facts
from mobilebert_ja.inference.kinds import KINDS, Kind, kind_of_config, kind_of_facts
from mobilebert_ja.settings.release import ROOT_REPOSITORY
from mobilebert_ja.settings.tasks import JGLUE_TASKS

SHOWN_SETTINGS = (
    "num_train_epochs",
    "learning_rate",
    "per_device_train_batch_size",
    "treatment",
    "keep_layers",
    "keep_ffn",
)
TITLES = {
    Kind.CLASSES: "文の分類",
    Kind.ENTITIES: "固有表現抽出",
    Kind.NUMBER: "2文の類似度の推定",
    Kind.CHOICES: "選択肢からの選択",
    Kind.ANSWERS: "文章からの答えの抜き出し",
}
METRICS = {"accuracy": "正解率", "f1": "F値(完全一致)", "spearman": "スピアマンの順位相関", "answer_f1": "F値(文字)"}
NAMED = (Kind.CLASSES, Kind.ENTITIES)  # whose outputs have names, and which answer a single text
EXAMPLE = "新型スマートフォンが東京で発売された。"


def _facts_of(source: Path) -> dict[str, Any]:
    """Labels, length and kind of a folder, whichever of the two it is."""
    if (source / FACTS_NAME).is_file():
        facts = read_facts(source, ONNX)
        return {
            "labels": facts["labels"],
            "max_seq_length": facts["max_seq_length"],
            "fast": True,
            "mobilebert": str(facts["description"]).startswith("MobileBert"),
            "kind": kind_of_facts(facts),
        }
    config = read_json(source / "config.json", "finetune.py and compress.py make such folders.")
    if "id2label" not in config:
        raise UserError(f"{source} is not fine-tuned: its config.json names no labels.")
    return {
        "labels": list(config["id2label"].values()),
        "max_seq_length": config.get("max_position_embeddings"),
        "fast": False,
        "mobilebert": config.get("model_type") == "mobilebert",
        "kind": kind_of_config(config),
    }


def _base_of(source: Path, mobilebert: bool, record: dict[str, Any], given: str | None) -> str:
    """The model that a folder was made from: `given`, or this repository's.

    Raises `UserError` if nobody names it and it is not that one: the folder is no MobileBERT, or its record names
    another model of the Hub.
    """
    named = record.get("settings", {}).get("model_name_or_path")
    of_the_hub = named and "model_name_or_path" not in record.get("inputs", {})  # of a folder, its checksum is there
    elsewhere = bool(of_the_hub) and named != ROOT_REPOSITORY
    if given and (mobilebert or given != ROOT_REPOSITORY):
        return given
    if not mobilebert or elsewhere:
        hint = f" ({named}, by its record)" if elsewhere else ""
        raise UserError(
            f"{source} was not made from {ROOT_REPOSITORY}; --base_model names the model on the Hub that it was made "
            f"from{hint}."
        )
    return ROOT_REPOSITORY


def _shown_settings(record: dict[str, Any]) -> dict[str, Any]:
    """The settings that the card tells, as they were in the end. Of the treatments only fast cuts and trains."""
    metrics, settings = record.get("metrics", {}), record.get("settings", {})
    if "kept_blocks" in metrics:  # --keep_layers may have been auto
        settings = settings | {"keep_layers": len(metrics["kept_blocks"])}
    if "batch_size" in metrics:  # which may have been left to the number of rows
        settings = settings | {"per_device_train_batch_size": metrics["batch_size"]}
    shown = SHOWN_SETTINGS if settings.get("treatment") in (None, "fast") else ("treatment",)
    return {name: settings[name] for name in shown if settings.get(name) is not None}


def render_derived_card(source: Path, repo_id: str, base_model: str | None = None) -> str:
    """README.md for a model's own repository, with the model that it was made from and the scores of its record, if
    any: those of a test part are results on the Hub, too, those by which settings are chosen are not.

    Args:
        base_model: what it was made from; None: this repository's model.

    Raises `UserError` if the folder is neither a fine-tuned nor a sped-up model, or was made from another model than
    this repository's, which `base_model` does not name.
    """
    facts = _facts_of(source)
    found = read_record(source / RECORD_NAME) if (source / RECORD_NAME).is_file() else {}
    record = found if isinstance(found, dict) else {}
    metrics, settings = record.get("metrics", {}), record.get("settings", {})
    base_model = _base_of(source, facts["mobilebert"], record, base_model)
    validated = bool(settings.get("validate_on") or metrics.get("validate_on"))
    kind: Kind = facts["kind"]
    pair = kind is Kind.CLASSES and metrics.get("task") in JGLUE_TASKS
    pipeline_tag = KINDS[kind].pipeline_tag
    runs = metrics.get("runs", [])
    results = (
        [
            EvalResult(
                task_type=pipeline_tag,
                dataset_type=metrics["task"],
                dataset_name=metrics["task"],
                metric_type=metrics["metric"],
                metric_value=round(100 * runs[0]["score"], 2),
            )
        ]
        if runs and not validated
        else None
    )
    of_the_root = base_model == ROOT_REPOSITORY
    data = ModelCardData(
        language="ja",
        license="cc-by-sa-3.0" if of_the_root else None,
        library_name=None if facts["fast"] else "transformers",
        pipeline_tag=pipeline_tag,
        base_model=base_model,
        tags=[*(["mobilebert"] if facts["mobilebert"] else []), "japanese", "cpu"],
        base_model_relation="quantized" if facts["fast"] else "finetune",
        model_name=repo_id.split("/")[-1] if results else None,
        eval_results=results,
    )
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    return environment.get_template("derived_card.md").render(
        metadata=data.to_yaml(line_break="\n"),
        repo_id=repo_id,
        base_model=base_model,
        root_repository=ROOT_REPOSITORY,
        of_the_root=of_the_root,
        pipeline_tag=pipeline_tag,
        title="文の組の分類" if pair else TITLES[kind],
        head=None if kind in NAMED and not pair else f"AutoModel{KINDS[kind].head}",
        named=kind in NAMED,
        fast=facts["fast"],
        example=EXAMPLE,
        labels=sorted(entity_types(facts["labels"])) if kind is Kind.ENTITIES else facts["labels"],
        max_seq_length=settings.get("max_seq_length") or facts["max_seq_length"],
        metric=METRICS.get(metrics.get("metric", ""), ""),
        part="検証" if validated else "テスト",
        test_size=metrics.get("test_size"),
        rows=[[run["seed"], f"{run['score'] * 100:.1f} %"] for run in runs],
        settings=_shown_settings(record),
    )
