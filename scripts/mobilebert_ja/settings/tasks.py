"""Settings of fine-tuning and of what it is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mobilebert_ja.settings.base import StageSettings, setting
from mobilebert_ja.settings.pretraining import TrainingSettings


@dataclass
class TaskSettings(StageSettings):
    """Which task, and where its data come from."""

    task: str = setting(
        "livedoor",
        "livedoor | ner | classification | entities (the last two: your own data); finetune.py also jsts | jnli | "
        "jcommonsenseqa | jsquad (JGLUE)",
    )
    train_file: str | None = setting(None, "Your own data: .csv, .tsv, .jsonl; for entities .jsonl, .conll, .txt.")
    test_file: str | None = setting(None, "The same for the test part; none: a share of --train_file is held out.")
    text_column: str = setting("text", "Column or key with the text, in --task classification.")
    label_column: str = setting("label", "Column or key with the class, in --task classification.")
    test_share: float = setting(0.2, "Share of --train_file held out without a --test_file.")
    split_seed: int = setting(0, "Seed of the split into training and test part.")
    train_share: float = setting(1.0, "Share of the training part that is used, drawn with --split_seed.")


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
class FinetuneSettings(TaskSettings, TrainingSettings):
    """finetune.py"""

    places: ClassVar[dict[str, str]] = {"model_name_or_path": "student"}  # under work_dir, unless given
    model_name_or_path: str | None = setting(None, "Pretrained model: a folder or a Hub name.")
    tokenizer: str | None = setting(None, "Tokenizer; none: the model's own.")
    random_weights: str = setting("", "mobilebert | bert: random weights of this structure instead of a model.")
    num_hidden_layers: int | None = setting(None, "Layers, with --random_weights, if not the structure's own.")
    hidden_size: int | None = setting(None, "Width, with --random_weights, if not the structure's own.")
    intermediate_size: int | None = setting(None, "Feed-forward width, with --random_weights, if not its own.")
    num_attention_heads: int | None = setting(None, "Heads, with --random_weights, if not the structure's own.")
    output_dir: str | None = setting(None, "Folder for the models; none: WORK_DIR/finetuned/TASK[-bert or -random].")
    num_train_epochs: int = setting(10, "Passes over the training part.")
    learning_rate: float = setting(1e-4, "Peak learning rate.")
    warmup_ratio: float = setting(0.1, "Share of the steps that warm up.")
    adam_beta2: float = setting(0.999, "AdamW beta 2.")
    token_masking: float = setting(
        0.0, "Share of an input's tokens hidden behind [MASK] in training, against learning a small part by heart."
    )
    per_device_eval_batch_size: int = setting(64, "Rows a batch in evaluation.")
    max_seq_length: int = setting(
        128, "Longer inputs are cut and counted in a warning, or for entities read in windows."
    )
    doc_stride: int = setting(64, "jsquad: tokens that two windows of a long context share.")
    decoding: str = setting(
        "crf",
        "Entities: plain (the best tag of each token) | constrained (no I- without its B-) | crf (learned "
        "transitions) | auto (the best of them on a validation part of the training data; two more trainings)",
    )
    validation_share: float = setting(0.1, "Share of the training data that --decoding auto decides on.")
    crf_gain: float = setting(100.0, "The CRF's transitions learn this many times as fast as the model.")
    num_seeds: int = setting(3, "Runs, with seeds seed, seed + 1, ...")
    rescore: bool = setting(
        False, "Train nothing: answer and score the test part anew with the models of the finished output folder."
    )


@dataclass
class BaselineSettings(TaskSettings):
    """baseline.py"""

    method: str = setting("", "svm (texts with a class) | crf (entities); none: the one for the task.")
    output_dir: str | None = setting(None, "Folder for the answers; none: WORK_DIR/finetuned/TASK-METHOD.")
    svm_c: float = setting(0.5, "C of the SVM; smaller is simpler.")
    svm_words: bool = setting(False, "N-grams of MeCab words (1-2) beside those of characters (1-4).")
    crf_l1: float = setting(0.05, "Weight of the CRF's L1 penalty.")
    crf_l2: float = setting(0.05, "Weight of the CRF's L2 penalty.")
    crf_iterations: int = setting(100, "Iterations of L-BFGS, at most.")
