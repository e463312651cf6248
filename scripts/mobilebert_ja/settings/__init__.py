"""Every setting of every stage: its name, default and meaning. Flags and recipe keys are the same names."""

from mobilebert_ja.settings.base import StageSettings, setting
from mobilebert_ja.settings.corpus import (
    CorpusScalingSettings,
    CorpusSettings,
    PackSettings,
    TokenizerEvaluationSettings,
    TokenizerSettings,
    WordVectorSettings,
)
from mobilebert_ja.settings.pretraining import (
    AblationSettings,
    CheckpointEvaluationSettings,
    CostSettings,
    DistillSettings,
    ExportSettings,
    MaskedLMSettings,
    PretrainSettings,
    TrainingSettings,
    TrainingSpeedSettings,
)
from mobilebert_ja.settings.recipe import (
    SHARED_KEYS,
    fill_paths,
    from_recipe,
    load_recipe,
    parse_settings,
    reject_unknown,
)
from mobilebert_ja.settings.release import (
    BenchmarkSettings,
    CardSettings,
    CompressionSweepSettings,
    CompressSettings,
    PublishSettings,
    ServiceLoadSettings,
    VariantSettings,
)
from mobilebert_ja.settings.stages import ROAD, RoadStage
from mobilebert_ja.settings.tasks import (
    BaselineSettings,
    DownloadDataSettings,
    FinetuneSettings,
    FinetuneSpeedSettings,
    LearningCurveSettings,
    TaskSettings,
)

__all__ = [
    "ROAD",
    "SHARED_KEYS",
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
]
