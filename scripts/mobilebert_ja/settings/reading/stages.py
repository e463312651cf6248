"""The stages of the road in their order: the one list that recipes, entry scripts and the walk know them from.

It stands among the settings, because the sections of a recipe are its entries; `road.py` walks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mobilebert_ja.settings.base import StageSettings
from mobilebert_ja.settings.corpus import (
    CorpusSettings,
    GuideSettings,
    PackSettings,
    TagSettings,
    TokenizerSettings,
    WordVectorSettings,
)
from mobilebert_ja.settings.measuring import (
    BenchmarkSettings,
    CheckpointEvaluationSettings,
    TokenizerEvaluationSettings,
)
from mobilebert_ja.settings.pretraining import AdaptSettings, DistillSettings, ExportSettings, PretrainSettings
from mobilebert_ja.settings.release import CardSettings, CompressSettings
from mobilebert_ja.settings.tasks import JGLUE_TASKS, OWN_TASKS, PUBLIC_TASKS, BaselineSettings, FinetuneSettings


@dataclass(frozen=True)
class RoadStage:
    """One command of the road. It is walked if the recipe has its section, or if it is not `optional`.

    Attributes:
        section: its name, and that of its section in a recipe.
        flags: what tells it from the other stages of the same script.
        launch: started by `accelerate launch`, because it trains.
        settings: the class of its settings.
        record: name of its record, "" if it leaves none; of timings the name on a processor with VNNI (see
            `common.processor.by_processor`).
        arguments: positional ones: the name of what measure.py measures.
    """

    section: str
    script: str
    flags: dict[str, str] = field(default_factory=dict)
    launch: bool = False
    optional: bool = False
    settings: type[StageSettings] = StageSettings
    record: str = ""
    arguments: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """The script, and for measure.py what it measures: "measure.py tokenizer"."""
        return " ".join([self.script, *self.arguments])


def _pretraining(model: str, record: str, optional: bool = True) -> RoadStage:
    flags = {"model": model}
    return RoadStage(f"pretrain_{model}", "pretrain.py", flags, True, optional, PretrainSettings, record)


def _finetuning(task: str, ending: str = "", weights: str = "", optional: bool = True) -> RoadStage:
    flags = {"task": task} | ({"random_weights": weights} if weights else {})
    section, record = f"finetune_{task}{ending}", task + ending.replace("_", "-")
    return RoadStage(section, "finetune.py", flags, True, optional, FinetuneSettings, record)


def _compression(task: str, treatment: str, launch: bool = False) -> RoadStage:
    return RoadStage(
        f"compress_{task}_{treatment}",
        "compress.py",
        {"task": task, "treatment": treatment},
        launch,
        launch,
        CompressSettings,
        f"compressed_{task}_{treatment}",
    )


ROAD = (
    RoadStage("build_corpus", "build_corpus.py", settings=CorpusSettings, record="corpus"),
    RoadStage("train_tokenizer", "train_tokenizer.py", settings=TokenizerSettings, record="tokenizer"),
    RoadStage(
        "evaluate_tokenizer",
        "measure.py",
        optional=True,
        settings=TokenizerEvaluationSettings,
        record="tokenizer_quality",
        arguments=("tokenizer",),
    ),
    RoadStage("pack_corpus", "pack_corpus.py", settings=PackSettings, record="shards"),
    RoadStage("embed_words", "embed_words.py", optional=True, settings=WordVectorSettings, record="word_vectors"),
    RoadStage("guide_corpus", "guide_corpus.py", optional=True, settings=GuideSettings, record="guide"),
    RoadStage("tag_corpus", "tag_corpus.py", optional=True, settings=TagSettings, record="tags"),
    _pretraining("teacher", "teacher"),
    RoadStage("distill", "distill.py", launch=True, optional=True, settings=DistillSettings, record="distilled"),
    _pretraining("shallow", "shallow_pretraining"),
    _pretraining("short", "short_pretraining"),
    _pretraining("student", "pretraining", optional=False),
    RoadStage("export_checkpoint", "export_checkpoint.py", settings=ExportSettings, record="checkpoint"),
    RoadStage(
        "evaluate_checkpoint",
        "measure.py",
        optional=True,
        settings=CheckpointEvaluationSettings,
        record="checkpoint_quality",
        arguments=("checkpoint",),
    ),
    RoadStage("adapt", "adapt.py", launch=True, optional=True, settings=AdaptSettings, record="adapted"),
    *(
        stage
        for task in PUBLIC_TASKS
        for stage in (
            _finetuning(task, optional=False),
            _finetuning(task, "_random", "mobilebert"),
            _finetuning(task, "_bert", "bert"),
        )
    ),
    *(_finetuning(task) for task in (*OWN_TASKS, *JGLUE_TASKS)),
    RoadStage("baseline_livedoor", "baseline.py", {"task": "livedoor"}, False, True, BaselineSettings, "livedoor-svm"),
    RoadStage("baseline_ner", "baseline.py", {"task": "ner"}, False, True, BaselineSettings, "ner-crf"),
    *(
        stage
        for task in PUBLIC_TASKS
        for stage in (_compression(task, "card"), _compression(task, "onnx"), _compression(task, "fast", launch=True))
    ),
    *(
        RoadStage(
            f"benchmark_{task}",
            "measure.py",
            {"task": task},
            settings=BenchmarkSettings,
            record=f"speed_{task}",
            arguments=("models",),
        )
        for task in PUBLIC_TASKS
    ),
    RoadStage("render_card", "render_card.py", settings=CardSettings),
)

# Names that sections had before, still read in recipes.
FORMER_SECTIONS = {f"compress_{task}": f"compress_{task}_card" for task in PUBLIC_TASKS}


def section_of(kind: type[Any], values: Mapping[str, Any]) -> str | None:
    """The section that a script with settings of this class reads; "" if no stage of the road has these values.

    None if the class belongs to no stage: its script reads no recipe.
    """
    stages = [stage for stage in ROAD if stage.settings is kind]
    told_by = {name for stage in stages for name in stage.flags}
    given = {name: values[name] for name in told_by}
    for stage in stages:
        if given == {name: stage.flags.get(name, getattr(kind, name)) for name in told_by}:
            return stage.section
    return "" if stages else None
