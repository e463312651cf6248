"""Settings of what `measure.py` measures."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from mobilebert_ja.settings.base import StageSettings, setting, setting_of
from mobilebert_ja.settings.pretraining import PretrainSettings, TrainingSettings
from mobilebert_ja.settings.tasks import PUBLIC_TASKS, FinetuneSettings

UNCUT = "uncut"  # in the records of `measure.py cuts`, whose cuts are named such as "14x0.8"
T = TypeVar("T", bound=StageSettings)


def shared_with(kind: type[T], settings: StageSettings, **others: Any) -> T:
    """Settings of another stage, with the values of those that `settings` has too."""
    names = {each.name for each in dataclasses.fields(kind)}
    return kind(**{name: value for name, value in vars(settings).items() if name in names} | others)


@dataclass
class BenchmarkSettings(StageSettings):
    """measure.py models"""

    task: str = setting("livedoor", "The public task.", choices=PUBLIC_TASKS)
    bert: str | None = setting(None, "Fine-tuned BERT; none: WORK_DIR/finetuned/TASK-bert, or untrained BERT-base.")
    mobilebert: str | None = setting(None, "Fine-tuned MobileBERT; none: WORK_DIR/finetuned/TASK.")
    card: str | None = setting(None, "Output of compress.py --treatment card; none: WORK_DIR/compressed/TASK/card.")
    onnx: str | None = setting(None, "Of --treatment onnx; none: WORK_DIR/compressed/TASK/onnx, if it is there.")
    fast: str | None = setting(None, "Of --treatment fast; none: WORK_DIR/compressed/TASK/fast, if it is there.")
    alternatives: str | None = setting(
        None,
        "Encoders that one could pick instead, timed in their shapes with random weights: of modernbert-ja-30m, "
        "line-distilbert and multilingual-e5-small (comma separated), or all.",
    )
    output_dir: str | None = setting(None, "Folder for the measurements; none: WORK_DIR/speed/TASK[-avx2].")
    max_items: int = setting(0, "Test items timed; 0 = all.", minimum=0)
    repetitions: int = setting(3, "Passes over the test items, the contenders in turns.", minimum=1)
    turn: int = setting(20, "Items that a contender answers one by one before the next has its turn.", minimum=1)
    cold_items: int = setting(
        100,
        "Items timed once more in turns of one, where each finds the others' weights in the caches; 0 = none.",
        minimum=0,
    )
    num_threads: str = setting(
        "1,all", "Numbers of threads of a model call, each measured by itself; all: every core."
    )
    starts: int = setting(3, "Fresh processes per contender, for load time and memory.", minimum=0)


@dataclass
class VariantSettings(StageSettings):
    """measure.py variants"""

    task: str = setting("livedoor", "The public task.", choices=PUBLIC_TASKS)
    model_name_or_path: str | None = setting(None, "Fine-tuned MobileBERT; none: WORK_DIR/finetuned/TASK.")
    output_dir: str | None = setting(None, "Folder for the measurements; none: WORK_DIR/onnx_variants/TASK[-avx2].")
    max_items: int = setting(200, "Test items timed; 0 = all.", minimum=0)
    repetitions: int = setting(3, "Passes over them, variants interleaved item by item.", minimum=1)


@dataclass
class ProfileSettings(StageSettings):
    """measure.py profile"""

    places: ClassVar[dict[str, str]] = {"model_folder": "compressed/livedoor/onnx"}  # under work_dir, unless given
    model_folder: str | None = setting(None, "A sped-up model of livedoor or ner.")
    output_dir: str | None = setting(None, "Folder for the measurements; none: WORK_DIR/profile[-avx2].")
    max_items: int = setting(100, "Test items, one call each; 0 = all.", minimum=0)


@dataclass
class ServiceLoadSettings(StageSettings):
    """measure.py service"""

    places: ClassVar[dict[str, str]] = {"model_folder": "compressed/livedoor/onnx"}  # under work_dir, unless given
    model_folder: str | None = setting(None, "A sped-up model of livedoor or ner.")
    output_dir: str | None = setting(
        None,
        "Folder for the measurements; none: WORK_DIR/service_load[-avx2], with hostile clients "
        "WORK_DIR/service_mixture[-avx2].",
    )
    clients: str = setting("1,2,8", "Clients at a time, to be compared (comma separated).")
    hostile_clients: int | None = setting(
        None,
        "Measure each number of clients beside so many that send the longest allowed, costly, too long and broken "
        "requests, too, in turns.",
        minimum=1,
    )
    seconds: float = setting(10.0, "Length of a round.", above=0)
    repetitions: int = setting(3, "Rounds with each number of clients.", minimum=1)


@dataclass
class BulkSettings(StageSettings):
    """measure.py bulk"""

    places: ClassVar[dict[str, str]] = {"model_folder": "compressed/livedoor/onnx"}  # under work_dir, unless given
    model_folder: str | None = setting(None, "A sped-up model of livedoor or ner.")
    output_dir: str | None = setting(None, "Folder for the measurements; none: WORK_DIR/bulk[-avx2].")
    texts: int = setting(5000, "Texts per run.", minimum=1)
    processes: str = setting("1,2", "Values of predict.py's --num_workers, to be compared (comma separated).")
    batch_sizes: str = setting("1,8", "Values of predict.py's --batch_size, to be compared (comma separated).")
    repetitions: int = setting(3, "Runs of each, in turns.", minimum=1)


@dataclass
class TrainingSpeedSettings(StageSettings):
    """measure.py training; of pretrain.py's settings those that both contenders heed, under the same names."""

    places: ClassVar[dict[str, str]] = {
        "shards_dir": "shards",
        "tokenizer": "tokenizer",
        "output_dir": "training_speed",
    }  # under work_dir, unless given
    output_dir: str | None = setting(None, "Folder for the measurements.")
    steps: int = setting(10, "Steps timed per round; two more go before them.", minimum=1)
    repetitions: int = setting(3, "Rounds, the contenders one after another in each.", minimum=1)
    shards_dir: str | None = setting_of(PretrainSettings, "shards_dir")
    tokenizer: str | None = setting_of(PretrainSettings, "tokenizer")
    preset: str = setting_of(PretrainSettings, "preset")
    num_hidden_layers: int | None = setting_of(PretrainSettings, "num_hidden_layers")
    hidden_size: int | None = setting_of(PretrainSettings, "hidden_size")
    intra_bottleneck_size: int | None = setting_of(PretrainSettings, "intra_bottleneck_size")
    intermediate_size: int | None = setting_of(PretrainSettings, "intermediate_size")
    embedding_size: int | None = setting_of(PretrainSettings, "embedding_size")
    embedding_gain: float = setting_of(PretrainSettings, "embedding_gain")
    dropout: bool = setting_of(PretrainSettings, "dropout")
    mixture: str = setting_of(PretrainSettings, "mixture")
    max_seq_length: int = setting_of(PretrainSettings, "max_seq_length")
    mlm_probability: float = setting_of(PretrainSettings, "mlm_probability")
    per_device_train_batch_size: int = setting_of(PretrainSettings, "per_device_train_batch_size")
    learning_rate: float = setting_of(PretrainSettings, "learning_rate")
    weight_decay: float = setting_of(PretrainSettings, "weight_decay")
    max_grad_norm: float = setting_of(PretrainSettings, "max_grad_norm")

    def training(self) -> PretrainSettings:
        """What the loop under measurement is given. The library's collator makes no pairs of sentences."""
        return shared_with(PretrainSettings, self, next_sentence_prediction=False)


@dataclass
class FinetuneSpeedSettings(StageSettings):
    """measure.py finetuning; of finetune.py's settings those that all contenders heed, under the same names."""

    places: ClassVar[dict[str, str]] = {"model_name_or_path": "student"}  # under work_dir, unless given
    task: str = setting("livedoor", "The public task.", choices=PUBLIC_TASKS)
    output_dir: str | None = setting(None, "Folder for the measurements; none: WORK_DIR/finetuning_speed/TASK.")
    examples: int = setting(1600, "Examples of the training part per round, each once.", minimum=1)
    repetitions: int = setting(3, "Rounds, the contenders one after another in each.", minimum=1)
    split_seed: int = setting_of(FinetuneSettings, "split_seed")
    model_name_or_path: str | None = setting_of(FinetuneSettings, "model_name_or_path")
    tokenizer: str | None = setting_of(FinetuneSettings, "tokenizer")
    max_seq_length: int = setting_of(FinetuneSettings, "max_seq_length")
    per_device_train_batch_size: int = setting_of(TrainingSettings, "per_device_train_batch_size")
    learning_rate: float = setting_of(FinetuneSettings, "learning_rate", default=1e-4)
    weight_decay: float = setting_of(FinetuneSettings, "weight_decay")
    max_grad_norm: float = setting_of(FinetuneSettings, "max_grad_norm")

    def training(self) -> FinetuneSettings:
        """What the loop under measurement is given: one pass over the examples."""
        return shared_with(FinetuneSettings, self, num_train_epochs=1)


@dataclass
class CorpusScalingSettings(StageSettings):
    """measure.py corpus"""

    places: ClassVar[dict[str, str]] = {"output_dir": "corpus_scaling"}  # under work_dir, unless given
    timed: str = setting("wikipedia_*", "Files of DATA_DIR/corpus on which the rate is measured (patterns).")
    multiplied: str = setting("*", "Files that are multiplied for the run on more text (patterns, comma separated).")
    copies: int = setting(10, "How many times the text that run reads.", minimum=1)
    workers: str = setting("1,2", "Numbers of workers to compare, the first one being the yardstick.")
    repetitions: int = setting(3, "Rounds of the timing, each with every number of workers.", minimum=1)
    output_dir: str | None = setting(None, "Folder for the measurements.")


@dataclass
class CostSettings:
    """measure.py cost"""

    record_file: str | None = setting(None, "Where the card finds the estimate; none: it is only printed.")
    teacher_utilisation: float = setting(0.4, "Share of an H100's data sheet in the teacher's products.", above=0)
    student_utilisation: float | None = setting(
        None, "Share in the student's; none: as measured (records/short_pretraining.json, pretraining.json).", above=0
    )
    scaling_of_eight: float = setting(0.9, "What eight GPUs do of eight times one.", above=0)
    dollars_per_gpu_hour: float = setting(3.0, "Price of an H100 (USD per hour).", minimum=0)
    dollars_per_cpu_hour: float = setting(0.1, "Price of a machine with two cores (USD per hour).", minimum=0)


@dataclass
class AblationSettings(StageSettings):
    """measure.py ablation"""

    places: ClassVar[dict[str, str]] = {"shards_dir": "shards", "tokenizer": "tokenizer"}  # under work_dir
    ablation: str | None = setting(None, "The file with the variants, for example recipes/ablations/masking.yaml.")
    shards_dir: str | None = setting(None, "Output of pack_corpus.py.")
    tokenizer: str | None = setting(None, "Tokenizer that goes with the shards.")
    output_dir: str | None = setting(None, "Folder for the runs; none: WORK_DIR/ablations/NAME.")
    num_workers: int = setting(1, "Runs at a time, each on its share of the cores.", minimum=1)
    only: str = setting(
        "", "Run only variants whose names begin like this, without a record: several processes may share the work."
    )


@dataclass
class TrialSettings(StageSettings):
    """measure.py trials"""

    trials: str | None = setting(None, "The file with the variants, in YAML.")
    output_dir: str | None = setting(None, "Folder for the record; none: WORK_DIR/trials/NAME.")


@dataclass
class CompressionSweepSettings(StageSettings):
    """measure.py cuts"""

    task: str = setting("livedoor", "The public task.", choices=PUBLIC_TASKS)
    treatment: str = setting(
        "fast", "fast: several cuts; card: retrained or not, scales by matrix or by channel.", choices=("fast", "card")
    )
    cuts: str = setting(
        "18x0.8,14x0.8,10x0.8,6x0.8", "fast: blocks x share of the feed-forwards' width, comma separated."
    )
    prune_epochs: int = setting(1, "card: passes over the training part of those that are retrained.", minimum=1)
    output_dir: str | None = setting(
        None,
        "Folder for the measurements; none: WORK_DIR/cuts/TASK, with --treatment card WORK_DIR/card_treatment/TASK.",
    )
    max_items: int = setting(200, "Test items timed; 0 = all.", minimum=0)
    repetitions: int = setting(3, "Passes over them, the models in turns.", minimum=1)
    turn: int = setting(20, "Items that a model answers one by one before the next has its turn.", minimum=1)


@dataclass
class LearningCurveSettings(StageSettings):
    """measure.py learning_curve"""

    places: ClassVar[dict[str, str]] = {"model_name_or_path": "student"}  # under work_dir, unless given
    task: str = setting("livedoor", "The public task.", choices=PUBLIC_TASKS)
    shares: str = setting("0.05,0.1,0.25,0.5,1", "Shares of the training part, comma separated.")
    model_name_or_path: str | None = setting(None, "Pretrained model: a folder or a Hub name.")
    teacher: str | None = setting(
        None,
        "Who answers --unlabelled_file for a third curve: svm or crf, and pretrained models (folders or Hub names), "
        "which learn the same share first; several, comma separated, are averaged.",
    )
    teacher_learning_rate: float | None = setting(
        None, "Learning rate of teachers that are fine-tuned; none: as finetune.py has it.", above=0
    )
    unlabelled_file: str | None = setting(None, "Text that nobody labelled, as finetune.py reads it.")
    output_dir: str | None = setting(None, "Folder for the curve; none: WORK_DIR/learning_curve/TASK.")


@dataclass
class TokenizerEvaluationSettings(StageSettings):
    """measure.py tokenizer"""

    places: ClassVar[dict[str, str]] = {
        "corpus_dir": "corpus",
        "tokenizer": "tokenizer",
        "output_dir": "tokenizer_quality",
    }  # under work_dir, unless given
    corpus_dir: str | None = setting(None, "Output of build_corpus.py.")
    tokenizer: str | None = setting(None, "Tokenizer folder or Hub name.")
    output_dir: str | None = setting(None, "Folder for the measurements.")
    sentences: int = setting(100_000, "Sentences on which the two encoders are compared.", minimum=1)
    timed_sentences: int = setting(1000, "Sentences per round of the timing.", minimum=1)
    repetitions: int = setting(10, "Rounds, the encoders one after another in each.", minimum=1)
    wikipedia: str = setting("wikipedia_*", "Parts of the corpus that are encyclopedia (pattern).")
    novels: str = setting("aozora", "Parts of the corpus that are novels (pattern).")
    sample_lines: int = setting(1_000_000, "Lines for the vocabulary without an alphabet limit.", minimum=1)
    min_frequency: int = setting(2, "A merge of that vocabulary must be seen this often.", minimum=1)


@dataclass
class CheckpointEvaluationSettings(StageSettings):
    """measure.py checkpoint"""

    places: ClassVar[dict[str, str]] = {
        "model_name_or_path": "student",
        "shards_dir": "shards",
        "output_dir": "checkpoint_quality",
    }  # under work_dir, unless given
    model_name_or_path: str | None = setting(None, "Pretrained model: a folder or a Hub name.")
    shards_dir: str | None = setting(None, "Output of pack_corpus.py.")
    output_dir: str | None = setting(None, "Folder for the measurements.")
    max_seq_length: int = setting(128, "Tokens per row of each kind of text.", minimum=8)
    lengths: str = setting("32,128,256,512", "Tokens per row, to be compared on the same mixture (comma separated).")
    mixture: str = setting("", "How much of each kind of text rows of these lengths hold, as in pretrain.py.")
    eval_rows: int = setting(256, "Rows of each kind of text, and of 128 tokens for each length, at most.", minimum=1)
