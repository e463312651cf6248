"""Settings of speeding up, measuring, the card and publishing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mobilebert_ja.settings.base import StageSettings, setting
from mobilebert_ja.settings.pretraining import TrainingSettings
from mobilebert_ja.settings.tasks import OWN_TASKS, PUBLIC_TASKS


@dataclass
class CompressSettings(TrainingSettings):
    """compress.py"""

    task: str = setting("livedoor", "The fine-tuned model's task.", choices=(*PUBLIC_TASKS, *OWN_TASKS))
    recipe: str = setting(
        "onnx",
        "onnx: folded, int8; fast: cut, recovered, then onnx; card: pruned, int8, traced.",
        choices=("onnx", "fast", "card"),
    )
    model_name_or_path: str | None = setting(None, "Fine-tuned folder; none: WORK_DIR/finetuned/TASK.")
    output_dir: str | None = setting(None, "Folder for the fast models; none: WORK_DIR/compressed/TASK/RECIPE.")
    prune_amount: float = setting(0.2, "card: share of each matrix set to zero, smallest first.", minimum=0, below=1)
    prune_epochs: int = setting(
        0,
        "card: passes over the training part after pruning, the zeros held, to answer as before; the card had none.",
        minimum=0,
    )
    per_channel: bool | None = setting(
        None,
        "int8 weights have a scale for each output channel; none: where one per matrix would cost a bit (card: no).",
    )
    reduce_range: bool = setting(True, "onnx, fast: weights of 7 bits, whose sums saturate on no x86 processor.")
    keep_layers: int = setting(14, "fast: blocks kept.", minimum=2)
    keep_ffn: float = setting(0.8, "fast: share of each feed-forward's width kept.", above=0, maximum=1)
    num_train_epochs: int = setting(5, "fast: passes over the training part to recover what the cut cost.", minimum=1)
    learning_rate: float = setting(2e-4, "fast: peak learning rate.", minimum=0)
    warmup_ratio: float = setting(0.1, "fast: share of the steps that warm up.", minimum=0, maximum=1)
    adam_beta2: float = setting(0.999, "AdamW beta 2.", minimum=0, below=1)
    feature_weight: float = setting(
        1.0, "fast: weight of the blocks' outputs in the loss, beside the answers' 1.", minimum=0
    )
    num_seeds: int = setting(0, "Fine-tuned runs that are sped up, the first ones; 0 = all.", minimum=0)


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
