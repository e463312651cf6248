"""Settings of speeding up, measuring, the card and publishing."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.settings.base import StageSettings, setting, setting_of, whole_numbers
from mobilebert_ja.settings.pretraining import TrainingSettings
from mobilebert_ja.settings.silver import SilverSettings
from mobilebert_ja.settings.tasks import OWN_TASKS, PUBLIC_TASKS, TaskSettings

ROOT_REPOSITORY = "ysakuramoto/mobilebert-ja"  # this one on the Hub
AUTO = "auto"  # of --keep_layers: as many blocks as the data want


@dataclass
class CompressSettings(TrainingSettings):
    """compress.py"""

    task: str = setting("livedoor", "The fine-tuned model's task.", choices=(*PUBLIC_TASKS, *OWN_TASKS))
    treatment: str = setting(
        "onnx",
        "onnx: folded, int8; fast: cut, recovered, then onnx; card: pruned, int8, traced.",
        choices=("onnx", "fast", "card"),
    )
    model_name_or_path: str | None = setting(None, "Fine-tuned folder; none: WORK_DIR/finetuned/TASK.")
    output_dir: str | None = setting(None, "Folder for the fast models; none: WORK_DIR/compressed/TASK/TREATMENT.")
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
    keep_layers: str = setting(
        AUTO, "fast: blocks kept; auto: as few as cost no more than --margin on a held-out part of the training data."
    )
    keep_ffn: float = setting(0.8, "fast: share of each feed-forward's width kept.", above=0, maximum=1)
    depths: str = setting(
        "4,6,8,12", "--keep_layers auto: numbers of blocks, comma separated; tried from the fewest on."
    )
    margin: float = setting(
        0.5, "--keep_layers auto: points of the score that the cut may cost on the held-out part.", minimum=0
    )
    validation_share: float = setting(
        0.2, "--keep_layers auto: share of the training data that is held out to decide on.", above=0, below=1
    )
    search_epochs: int = setting(
        2, "--keep_layers auto: passes over the rest of it for each number of blocks that is tried.", minimum=1
    )
    num_train_epochs: int = setting(5, "fast: passes over the training part to recover what the cut cost.", minimum=1)
    learning_rate: float = setting(2e-4, "fast: peak learning rate.", minimum=0)
    warmup_ratio: float = setting(0.1, "fast: share of the steps that warm up.", minimum=0, maximum=1)
    adam_beta2: float = setting(0.999, "AdamW beta 2.", minimum=0, below=1)
    feature_weight: float = setting(
        1.0, "fast: weight of the blocks' outputs in the loss, beside the answers' 1.", minimum=0
    )
    num_seeds: int = setting(0, "Fine-tuned runs that are sped up, the first ones; 0 = all.", minimum=0)
    # fast: text that nobody labelled, of which the cut model learns what the uncut one says.
    unlabelled_file: str | None = setting_of(SilverSettings, "unlabelled_file")
    text_column: str = setting_of(TaskSettings, "text_column")
    encoding: str = setting_of(TaskSettings, "encoding")
    silver_epochs: float = setting_of(SilverSettings, "silver_epochs")

    def for_epochs(self, epochs: int) -> CompressSettings:
        """The same for a training of so many epochs; each has as much of the unlabelled text as it would have had."""
        share = epochs / self.num_train_epochs
        return dataclasses.replace(self, num_train_epochs=epochs, silver_epochs=self.silver_epochs * share)

    @property
    def number_of_layers(self) -> int | None:
        """Blocks kept; None: as many as a search finds. Raises `UserError` for what is neither."""
        if self.keep_layers == AUTO:
            return None
        if not self.keep_layers.isdecimal():
            raise UserError(f"--keep_layers takes a whole number or '{AUTO}', not '{self.keep_layers}'.")
        return whole_numbers("keep_layers", self.keep_layers, minimum=2)[0]


@dataclass
class CardSettings(StageSettings):
    """render_card.py"""

    places: ClassVar[dict[str, str]] = {"output_dir": "card"}  # under work_dir, unless given
    output_dir: str | None = setting(None, "Folder for README.md; none: WORK_DIR/card, '.' is the repository's root.")
    figures_dir: str | None = setting(None, "Folder for the figures; none: OUTPUT_DIR/figures.")
    report_file: str | None = setting(None, "The report beside the card; none: OUTPUT_DIR/report.md.")
    guide_file: str | None = setting(
        None, "scripts/README.md, or a copy of it, that gets the scores into its table; none: no such file."
    )


@dataclass
class PublishSettings:
    """publish.py"""

    repo_id: str = setting(ROOT_REPOSITORY, "Repository on the Hub: NAME/MODEL.")
    model_folder: str | None = setting(
        None, "A fine-tuned or sped-up folder to publish instead of the repository itself; --repo_id names its own."
    )
    base_model: str | None = setting(
        None, f"What a --model_folder was made from, for its card; none: {ROOT_REPOSITORY}, of a MobileBERT."
    )
    upload_dir: str | None = setting(None, "Where the upload is put together; none: a temporary folder.")
    dry_run: bool = setting(False, "Print what would change, upload nothing.")
    create_pr: bool = setting(False, "Open a pull request instead of committing to main.")
    private: bool = setting(False, "A repository that does not exist yet is made private.")
    commit_message: str = setting("", "Message of the commit; none: what is uploaded.")
