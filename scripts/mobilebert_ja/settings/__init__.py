"""Every setting of every stage: its name, default and meaning. Flags and recipe keys are the same names.

May import: common. No torch, no transformers.
"""

from mobilebert_ja.settings.base import StageSettings, comma_separated, setting, whole_numbers
from mobilebert_ja.settings.corpus import (
    CorpusSettings,
    GuideSettings,
    PackSettings,
    TagSettings,
    TokenizerSettings,
    WordVectorSettings,
)
from mobilebert_ja.settings.measuring import (
    UNCUT,
    AblationSettings,
    BenchmarkSettings,
    BulkSettings,
    CheckpointEvaluationSettings,
    CompressionSweepSettings,
    CorpusScalingSettings,
    CostSettings,
    FinetuneSpeedSettings,
    LearningCurveSettings,
    ProfileSettings,
    ServiceLoadSettings,
    TokenizerEvaluationSettings,
    TrainingSpeedSettings,
    TrialSettings,
    VariantSettings,
)
from mobilebert_ja.settings.pretraining import (
    AdaptSettings,
    DistillSettings,
    ExportSettings,
    MaskedLMSettings,
    PretrainSettings,
    TrainingSettings,
)
from mobilebert_ja.settings.reading.recipe import (
    SHARED_KEYS,
    fill_paths,
    from_recipe,
    load_recipe,
    parse_settings,
    recipe_in_play,
    reject_unknown,
)
from mobilebert_ja.settings.reading.stages import ROAD, RoadStage
from mobilebert_ja.settings.release import CardSettings, CompressSettings, PublishSettings
from mobilebert_ja.settings.silver import SilverSettings
from mobilebert_ja.settings.tasks import BaselineSettings, DownloadDataSettings, FinetuneSettings, TaskSettings

__all__ = [
    "ROAD",
    "SHARED_KEYS",
    "UNCUT",
    "AblationSettings",
    "AdaptSettings",
    "BaselineSettings",
    "BenchmarkSettings",
    "BulkSettings",
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
    "ProfileSettings",
    "PublishSettings",
    "RoadStage",
    "ServiceLoadSettings",
    "SilverSettings",
    "StageSettings",
    "TagSettings",
    "TaskSettings",
    "TokenizerEvaluationSettings",
    "TokenizerSettings",
    "TrainingSettings",
    "TrainingSpeedSettings",
    "TrialSettings",
    "VariantSettings",
    "WordVectorSettings",
    "comma_separated",
    "fill_paths",
    "from_recipe",
    "load_recipe",
    "parse_settings",
    "recipe_in_play",
    "reject_unknown",
    "setting",
    "whole_numbers",
]
