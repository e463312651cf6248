"""Settings of fine-tuning and of what it is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mobilebert_ja.settings.base import LARGEST_SEED, StageSettings, setting
from mobilebert_ja.settings.pretraining import TrainingSettings
from mobilebert_ja.settings.silver import SilverSettings

PUBLIC_TASKS = ("livedoor", "ner")
OWN_TASKS = ("classification", "entities")
JGLUE_TASKS = ("jsts", "jnli", "jcommonsenseqa", "jsquad")


@dataclass
class TaskSettings(StageSettings):
    """Which task, and where its data come from."""

    task: str = setting(
        "livedoor", "classification and entities are of your own data.", choices=(*PUBLIC_TASKS, *OWN_TASKS)
    )
    train_file: str | None = setting(
        None, "Your own data: .csv, .tsv, .txt, .jsonl; for entities .jsonl, .conll, .txt."
    )
    test_file: str | None = setting(None, "The same for the test part; none: a share of --train_file is held out.")
    encoding: str = setting("utf-8", "What these files are in if not UTF-8: cp932 (Excel), utf-16, euc_jp.")
    text_column: str = setting("text", "Column or key with the text: --task classification, --unlabelled_file.")
    label_column: str = setting("label", "Column or key with the class, in --task classification.")
    test_share: float = setting(0.2, "Share of --train_file held out without a --test_file.", above=0, below=1)
    split_seed: int = setting(0, "Seed of the split into training and test part.", minimum=0, maximum=LARGEST_SEED)
    train_share: float = setting(
        1.0, "Share of the training part that is used, drawn with --split_seed.", above=0, maximum=1
    )
    validate_on: float | None = setting(
        None,
        "Hold this share of the training part out and score on it, and not on the test part: to choose settings.",
        above=0,
        below=1,
    )


@dataclass
class DownloadDataSettings:
    """download_data.py"""

    data_dir: str = setting("data", "Folder that gets livedoor/ and ner/.")
    url_livedoor: str = setting(
        "https://www.rondhuit.com/download/ldcc-20140209.tar.gz", "The livedoor news corpus; empty: not fetched."
    )
    url_ner: str = setting(
        "https://raw.githubusercontent.com/stockmarkteam/ner-wikipedia-dataset/main/ner.json",
        "The ner-wikipedia-dataset; empty: not fetched.",
    )


@dataclass
class FinetuneSettings(TaskSettings, SilverSettings, TrainingSettings):
    """finetune.py"""

    places: ClassVar[dict[str, str]] = {"model_name_or_path": "student"}  # under work_dir, unless given
    task: str = setting(
        "livedoor",
        "classification and entities are of your own data, those from jsts on are JGLUE's.",
        choices=(*PUBLIC_TASKS, *OWN_TASKS, *JGLUE_TASKS),
    )
    model_name_or_path: str | None = setting(None, "Pretrained model: a folder or a Hub name.")
    tokenizer: str | None = setting(None, "Tokenizer; none: the model's own.")
    ignore_mismatched_labels: bool = setting(
        False, "Of a model that is fine-tuned on other labels already, take all but the head; it starts at random."
    )
    random_weights: str = setting(
        "", "Random weights of this structure instead of a model.", choices=("", "bert", "mobilebert")
    )
    num_hidden_layers: int | None = setting(
        None, "Layers, with --random_weights, if not the structure's own.", minimum=1
    )
    hidden_size: int | None = setting(None, "Width, with --random_weights, if not the structure's own.", minimum=1)
    intermediate_size: int | None = setting(
        None, "Feed-forward width, with --random_weights, if not its own.", minimum=1
    )
    num_attention_heads: int | None = setting(
        None, "Heads, with --random_weights, if not the structure's own.", minimum=1
    )
    output_dir: str | None = setting(
        None, "Folder for the models; none: WORK_DIR/finetuned/TASK[-bert or -random][-silver, with a teacher]."
    )
    num_train_epochs: int = setting(10, "Passes over the training part.", minimum=1)
    learning_rate: float = setting(
        0.0,
        "Peak learning rate; 0: 5e-4 for a MobileBERT (told by a folder's config.json or a Hub name), 1e-4 for any "
        "other encoder.",
        minimum=0,
    )
    per_device_train_batch_size: int = setting(
        0, "Rows per device and micro-step; 0: 32, or 8 of classes learned from fewer than 1,000 rows.", minimum=0
    )
    warmup_ratio: float = setting(0.1, "Share of the steps that warm up.", minimum=0, maximum=1)
    adam_beta2: float = setting(0.999, "AdamW beta 2.", minimum=0, below=1)
    per_device_eval_batch_size: int = setting(64, "Rows per batch in evaluation.", minimum=1)
    max_seq_length: int = setting(
        128,
        "Tokens; longer inputs are truncated and counted in a warning, or for entities read in windows.",
        minimum=3,
    )
    doc_stride: int = setting(64, "jsquad: tokens that two windows of a long context share.", minimum=0)
    decoding: str = setting(
        "crf",
        "Entities: plain: the best tag of each token; constrained: no I- without its B-; crf: learned transitions; "
        "auto: the best of them on a validation part of the training data, at the cost of two more trainings.",
        choices=("plain", "constrained", "crf", "auto"),
    )
    validation_share: float = setting(
        0.1, "Share of the training data that --decoding auto decides on.", above=0, below=1
    )
    crf_gain: float = setting(100.0, "The CRF's transitions learn this many times as fast as the model.", above=0)
    num_seeds: int = setting(3, "Runs, with seeds seed, seed + 1, ...", minimum=1)
    rescore: bool = setting(
        False, "Train nothing: answer and score the test part anew with the models of the finished output folder."
    )


@dataclass
class BaselineSettings(TaskSettings):
    """baseline.py"""

    method: str = setting(
        "", "svm: texts with a class; crf: entities; none: the one for the task.", choices=("", "svm", "crf")
    )
    output_dir: str | None = setting(None, "Folder for the answers; none: WORK_DIR/finetuned/TASK-METHOD.")
    svm_c: float = setting(0.5, "C of the SVM; smaller is simpler.", above=0)
    svm_words: bool = setting(False, "N-grams of MeCab words (1-2) beside those of characters (1-4).")
    crf_l1: float = setting(0.05, "Weight of the CRF's L1 penalty.", minimum=0)
    crf_l2: float = setting(0.05, "Weight of the CRF's L2 penalty.", minimum=0)
    crf_iterations: int = setting(100, "Iterations of L-BFGS, at most.", minimum=1)
