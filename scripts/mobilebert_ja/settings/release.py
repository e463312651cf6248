"""Settings of speeding up, measuring, the card and publishing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mobilebert_ja.settings.base import StageSettings, setting
from mobilebert_ja.settings.pretraining import TrainingSettings


@dataclass
class CompressSettings(TrainingSettings):
    """compress.py"""

    task: str = setting("livedoor", "livedoor | ner")
    recipe: str = setting(
        "onnx", "onnx (folded, int8) | fast (cut, recovered, then onnx) | card (pruned, int8, traced)"
    )
    model_name_or_path: str | None = setting(None, "Fine-tuned folder; none: WORK_DIR/finetuned/TASK.")
    output_dir: str | None = setting(None, "Folder for the fast models; none: WORK_DIR/compressed/TASK/RECIPE.")
    prune_amount: float = setting(0.2, "card: share of each matrix set to zero, smallest first.")
    prune_epochs: int = setting(
        0, "card: passes over the training part after pruning, the zeros held, to answer as before; the card had none."
    )
    per_channel: bool | None = setting(
        None,
        "int8 weights have a scale for each output channel; none: where one a matrix would cost a bit (card: no).",
    )
    reduce_range: bool = setting(True, "onnx, fast: weights of 7 bits, which no x86 processor cuts off in adding.")
    keep_layers: int = setting(14, "fast: blocks kept.")
    keep_ffn: float = setting(0.8, "fast: share of each feed-forward's width kept.")
    num_train_epochs: int = setting(5, "fast: passes over the training part to recover what the cut cost.")
    learning_rate: float = setting(2e-4, "fast: peak learning rate.")
    warmup_ratio: float = setting(0.1, "fast: share of the steps that warm up.")
    adam_beta2: float = setting(0.999, "AdamW beta 2.")
    feature_weight: float = setting(1.0, "fast: weight of the blocks' outputs in the loss, beside the answers' 1.")
    num_seeds: int = setting(0, "Fine-tuned runs that are sped up, the first ones; 0 = all.")


@dataclass
class CompressionSweepSettings(StageSettings):
    """sweep_compression.py"""

    task: str = setting("livedoor", "livedoor | ner")
    recipe: str = setting("fast", "fast (several cuts) | card (retrained or not, scales by matrix or by channel)")
    cuts: str = setting(
        "18x0.8,14x0.8,10x0.8,6x0.8", "fast: blocks x share of the feed-forwards' width, comma separated."
    )
    prune_epochs: int = setting(1, "card: passes over the training part of those that are retrained.")
    output_dir: str | None = setting(
        None, "Folder for the measurements; none: WORK_DIR/cuts/TASK, for the card's recipe WORK_DIR/card_recipe/TASK."
    )
    max_items: int = setting(200, "Test items timed; 0 = all.")
    repetitions: int = setting(3, "Passes over them, the models in turns.")
    turn: int = setting(20, "Items that a model answers one by one before the next has its turn.")


@dataclass
class BenchmarkSettings(StageSettings):
    """benchmark.py"""

    task: str = setting("livedoor", "livedoor | ner")
    bert: str | None = setting(None, "Fine-tuned BERT; none: WORK_DIR/finetuned/TASK-bert, or untrained BERT-base.")
    mobilebert: str | None = setting(None, "Fine-tuned MobileBERT; none: WORK_DIR/finetuned/TASK.")
    compressed: str | None = setting(None, "Output of compress.py --recipe card; none: WORK_DIR/compressed/TASK/card.")
    onnx: str | None = setting(None, "Of --recipe onnx; none: WORK_DIR/compressed/TASK/onnx, if it is there.")
    fast: str | None = setting(None, "Of --recipe fast; none: WORK_DIR/compressed/TASK/fast, if it is there.")
    output_dir: str | None = setting(None, "Folder for the measurements; none: WORK_DIR/speed/TASK.")
    max_items: int = setting(0, "Test items timed; 0 = all.")
    repetitions: int = setting(3, "Passes over the test items, the contenders in turns.")
    turn: int = setting(20, "Items that a contender answers one by one before the next has its turn.")
    cold_items: int = setting(
        100, "Items timed once more in turns of one, where each finds the others' weights in the caches; 0 = none."
    )
    num_threads: str = setting(
        "1,all", "Numbers of threads of a model call, each measured by itself; all: every core."
    )
    starts: int = setting(3, "Fresh processes a contender, for load time and memory.")


@dataclass
class VariantSettings(StageSettings):
    """benchmark_variants.py"""

    task: str = setting("livedoor", "livedoor | ner")
    model_name_or_path: str | None = setting(None, "Fine-tuned MobileBERT; none: WORK_DIR/finetuned/TASK.")
    output_dir: str | None = setting(None, "Folder for the measurements; none: WORK_DIR/onnx_variants/TASK.")
    max_items: int = setting(200, "Test items timed; 0 = all.")
    repetitions: int = setting(3, "Passes over them, variants interleaved item by item.")


@dataclass
class ServiceLoadSettings(StageSettings):
    """benchmark_service.py"""

    places: ClassVar[dict[str, str]] = {
        "model_folder": "compressed/livedoor/onnx",
        "output_dir": "service_load",
    }  # under work_dir, unless given
    model_folder: str | None = setting(None, "A sped-up model of livedoor or ner.")
    output_dir: str | None = setting(None, "Folder for the measurements.")
    clients: str = setting("1,2,8", "Clients at a time, to be compared (comma separated).")
    seconds: float = setting(10.0, "Length of a round.")
    repetitions: int = setting(3, "Rounds with each number of clients.")


@dataclass
class CardSettings(StageSettings):
    """render_card.py"""

    places: ClassVar[dict[str, str]] = {"output_dir": "card"}  # under work_dir, unless given
    output_dir: str | None = setting(None, "Folder for README.md; none: WORK_DIR/card, '.' is the repository's root.")
    figures_dir: str | None = setting(None, "Folder for the figures; none: OUTPUT_DIR/figures.")
    report_file: str | None = setting(None, "The report beside the card; none: OUTPUT_DIR/report.md.")


@dataclass
class PublishSettings:
    """publish.py"""

    repo_id: str = setting("ysakuramoto/mobilebert-ja", "Repository on the Hub: NAME/MODEL.")
    model_folder: str | None = setting(
        None, "A fine-tuned or sped-up folder to publish instead of the repository itself; --repo_id names its own."
    )
    base_model: str = setting("ysakuramoto/mobilebert-ja", "What a --model_folder was made from, for its card.")
    upload_dir: str | None = setting(None, "Where the upload is put together; none: a temporary folder.")
    dry_run: bool = setting(False, "Print what would change, upload nothing.")
    create_pr: bool = setting(False, "Open a pull request instead of committing to main.")
    private: bool = setting(False, "A repository that does not exist yet is made private.")
    commit_message: str = setting("", "Message of the commit; none: what is uploaded.")
