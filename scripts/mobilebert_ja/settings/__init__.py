"""Every setting of every stage: its name, default and meaning. Flags and recipe keys are the same names.

May import: common. No torch, no transformers.
"""

from mobilebert_ja.settings.base import StageSettings, setting, whole_numbers
from mobilebert_ja.settings.corpus import (
    CorpusSettings,
    GuideSettings,
    PackSettings,
    TokenizerSettings,
    WordVectorSettings,
)
from mobilebert_ja.settings.measuring import (
    UNCUT,
    AblationSettings,
    BenchmarkSettings,
    CheckpointEvaluationSettings,
    CompressionSweepSettings,
    CorpusScalingSettings,
    CostSettings,
    FinetuneSpeedSettings,
    LearningCurveSettings,
    ServiceLoadSettings,
    TokenizerEvaluationSettings,
    TrainingSpeedSettings,
    VariantSettings,
)
from mobilebert_ja.settings.pretraining import (
    DistillSettings,
    ExportSettings,
    MaskedLMSettings,
    PretrainSettings,
    TrainingSettings,
)
from mobilebert_ja.settings.recipe import (
    SHARED_KEYS,
    fill_paths,
    from_recipe,
    load_recipe,
    parse_settings,
    reject_unknown,
)
from mobilebert_ja.settings.release import CardSettings, CompressSettings, PublishSettings
from mobilebert_ja.settings.stages import ROAD, RoadStage
from mobilebert_ja.settings.tasks import BaselineSettings, DownloadDataSettings, FinetuneSettings, TaskSettings

__all__ = [
    "ROAD",
    "SHARED_KEYS",
    "UNCUT",
    "AblationSettings",
    "BaselineSettings",
    "BenchmarkSettings",
    "CardSettings",
    "CheckpointEvaluationSettings",
    "CompressSettings",
    "CompressionSweepSettings",
    "CorpusScalingSettings",
    "CorpusSettings",
    "CostSettings",
    "DistillSettings",
    "DownloadDataSettings",
    "ExportSettings",
    "FinetuneSettings",
    "FinetuneSpeedSettings",
    "GuideSettings",
    "LearningCurveSettings",
    "MaskedLMSettings",
    "PackSettings",
    "PretrainSettings",
    "PublishSettings",
    "RoadStage",
    "ServiceLoadSettings",
    "StageSettings",
    "TaskSettings",
    "TokenizerEvaluationSettings",
    "TokenizerSettings",
    "TrainingSettings",
    "TrainingSpeedSettings",
    "VariantSettings",
    "WordVectorSettings",
    "fill_paths",
    "from_recipe",
    "load_recipe",
    "parse_settings",
    "reject_unknown",
    "setting",
    "whole_numbers",
]
