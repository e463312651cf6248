"""Settings of pretraining, transfer and the checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from mobilebert_ja.settings.base import StageSettings, setting, setting_of
from mobilebert_ja.settings.corpus import CorpusSettings


@dataclass
class TrainingSettings(StageSettings):
    """What pretraining, distillation and fine-tuning share."""

    per_device_train_batch_size: int = setting(32, "Rows per device and micro-step.", minimum=1)
    gradient_accumulation_steps: int = setting(1, "Micro-steps per step.", minimum=1)
    learning_rate: float = setting(5e-4, "Peak learning rate.", minimum=0)
    warmup_steps: int = setting(0, "Steps of linear warm-up.", minimum=0)
    weight_decay: float = setting(0.01, "Decay of matrices; biases and norms take none.", minimum=0)
    max_grad_norm: float = setting(1.0, "Gradients are clipped to this norm; 0 = not clipped.", minimum=0)
    adam_beta1: float = setting(0.9, "AdamW beta 1.", minimum=0, below=1)
    adam_beta2: float = setting(0.98, "AdamW beta 2.", minimum=0, below=1)
    adam_epsilon: float = setting(1e-8, "AdamW epsilon.", minimum=0)
    dataloader_num_workers: int = setting(
        0, "Processes that make batches; 0: a thread of the training's own, which is enough for a CPU.", minimum=0
    )
    logging_steps: int = setting(20, "Steps between two lines of progress and points of the curve.", minimum=1)
    save_seconds: float = setting(300.0, "Seconds between two checkpoints.", minimum=0)
    resume_from_checkpoint: str = setting(
        "latest", "Where an interrupted run goes on.", choices=("latest", "previous", "none")
    )


@dataclass
class MaskedLMSettings(TrainingSettings):
    """What pretraining and transfer share: the rows, the student's structure, the held-out part."""

    places: ClassVar[dict[str, str]] = {"shards_dir": "shards", "tokenizer": "tokenizer"}  # under work_dir
    shards_dir: str | None = setting(None, "Output of pack_corpus.py.")
    tokenizer: str | None = setting(None, "Tokenizer that goes with the model.")
    output_dir: str | None = setting(None, "Folder for the model.")
    preset: str = setting("mobilebert", "Student's structure: mobilebert | mobilebert-tiny (teacher: ib-bert-large).")
    num_hidden_layers: int | None = setting(None, "Blocks, if not the preset's.", minimum=1)
    hidden_size: int | None = setting(None, "Width between blocks, if not the preset's.", minimum=1)
    intra_bottleneck_size: int | None = setting(None, "Width inside blocks, if not the preset's.", minimum=1)
    intermediate_size: int | None = setting(None, "Feed-forward width, if not the preset's.", minimum=1)
    embedding_size: int | None = setting(None, "Embedding width, if not the preset's.", minimum=1)
    optimizer: str = setting(
        "adamw", "Muon is for the encoder's matrices, with AdamW for the rest.", choices=("adamw", "lamb", "muon")
    )
    max_seq_length: int = setting(128, "Tokens per row, special ones included.", minimum=8)
    mlm_probability: float = setting(0.15, "Share of tokens to predict.", above=0, below=1)
    final_mlm_probability: float = setting(
        0.0, "The share falls or rises to this one; 0 = it stays.", minimum=0, below=1
    )
    mlm_probability_steps: int = setting(0, "Steps over which it does so.", minimum=0)
    mask_replacement: str = setting("bert", "bert: 80/10/10; mask: always [MASK].", choices=("bert", "mask"))
    next_sentence_prediction: bool = setting(True, "Train the NSP head too.")
    mixture: str = setting("", "Weights of sources, for example 'aozora=0.3,msdocs_*=0.5'; the others have 1.")
    max_steps: int = setting(1000, "Optimizer steps.", minimum=1)
    max_train_seconds: float = setting(
        0.0, "Clock budget in seconds; the schedule follows it. 0 = steps only.", minimum=0
    )
    report_to: str = setting("", "Trackers that get the curve too: tensorboard, trackio, ... (accelerate's names).")
    eval_rows: int = setting(256, "Held-out rows for the evaluation, always at 15 % masking.", minimum=1)
    eval_seq_length: int | None = setting(None, "Tokens per held-out row; none: --max_seq_length.", minimum=8)
    save_dtype: str = setting(
        "float32", "How the finished model is stored.", choices=("float32", "float16", "bfloat16")
    )
    max_shard_size: str | None = setting(
        None,
        "Largest file of the finished model, for example 16MB; none: one file.",
        form=(r"\s*\d+(\.\d+)?\s*[KMGT]B\s*", "a number of KB, MB, GB or TB, for example 16MB"),
    )


@dataclass
class PretrainSettings(MaskedLMSettings):
    """pretrain.py"""

    model: str = setting(
        "student",
        "shallow: a student with fewer blocks, to be grown; short: a student's first part, for example on short rows.",
        choices=("teacher", "shallow", "short", "student"),
    )
    output_dir: str | None = setting(None, "Folder for the model; none: WORK_DIR/MODEL.")
    model_name_or_path: str | None = setting(
        None,
        "Weights to start from: a folder, or 'distilled', 'shallow' or 'short' for that folder of WORK_DIR; none: "
        "random. A student grows to --num_hidden_layers, if that is a multiple of its own.",
    )
    word_embeddings: str | None = setting(
        None,
        "Word vectors for a model of random weights: a folder of embed_words.py, or 'embeddings' for WORK_DIR's; "
        "none: random ones.",
    )
    word_embedding_std: float = setting(0.1, "Spread (root mean square) that word vectors are scaled to.", above=0)
    normalization_type: str | None = setting(
        None, "The normalization, if not the preset's.", choices=("no_norm", "layer_norm")
    )
    guide: str | None = setting(
        None,
        "A guide's answers to learn from beside masked words: a folder of guide_corpus.py, or 'guide' for WORK_DIR's.",
    )
    guide_weight: float = setting(
        1.0, "Weight of the guide's loss, which is 1 at the beginning and at best 0.", minimum=0
    )
    guide_row_weight: float | None = setting(
        None,
        "Weight of a second such loss: the first token says the mean of its row's answers; none: it learns none.",
        minimum=0,
    )
    guide_until: float | None = setting(
        None,
        "Share of the training, by steps or clock, after which the guide's losses are dropped; none: never.",
        above=0,
        below=1,
    )
    tags: str | None = setting(
        None, "Parts of speech to learn beside masked words: a folder of tag_corpus.py, or 'tags' for WORK_DIR's."
    )
    tag_weight: float = setting(1.0, "Weight of their loss, the cross entropy of each known word's class.", minimum=0)
    generator: str | None = setting(
        None,
        "A finished MobileBERT of the same vocabulary that replaces some tokens; the model learns which ones, beside "
        "masked words: a folder, or 'shallow' (the student of an earlier part), 'short' or 'distilled' for that "
        "folder of WORK_DIR. It goes with next sentences and without.",
    )
    replaced_token_weight: float = setting(
        10.0, "Weight of that loss, the mean over all tokens neither masked nor special.", minimum=0
    )
    replaced_token_probability: float = setting(
        0.15, "Share of tokens that the generator replaces, beside the masked ones.", above=0, below=1
    )
    hard_masking: float | None = setting(
        None,
        "Hide words by how hard they still are to predict: among twice as many, in proportion to their loss so far to "
        "this power; none: every word is as likely.",
        minimum=0,
    )
    embedding_gain: float = setting(33.0, "Initial gain of the student's embedding NoNorm; 1 = transformers' own.")
    depth_scaled_outputs: bool = setting(
        False, "Divide what each block of a new student adds by the root of the depth."
    )
    dropout: bool = setting(True, "Use the structure's dropout while training; false suits short budgets.")
    lr_scheduler_type: str = setting(
        "linear", "After the warm-up: linear decay to 0, or constant.", choices=("linear", "constant")
    )
    eval_seconds: float = setting(
        0.0,
        "Seconds between two evaluations on these rows while training; they count in --max_train_seconds. 0 = only "
        "before and after.",
        minimum=0,
    )


@dataclass
class DistillSettings(MaskedLMSettings):
    """distill.py"""

    places: ClassVar[dict[str, str]] = {
        "teacher": "teacher",
        "output_dir": "distilled",
    }  # under work_dir, unless given
    teacher: str | None = setting(None, "Teacher folder.")
    output_dir: str | None = setting(None, "Folder for the distilled student.")
    strategy: str = setting(
        "pkt",
        "pkt: layer by layer; jkt: all layers, then predictions; akt: all together.",
        choices=("pkt", "jkt", "akt"),
    )
    transfer_steps: int = setting(240, "Steps of layer transfer, over all layers.", minimum=0)
    max_steps: int = setting(100, "Steps of pretraining distillation after the transfer.", minimum=0)
    max_train_seconds: float = setting(
        0.0,
        "Clock budget of these in seconds; the schedule follows it. The transfer ends with its steps alone. 0 = steps "
        "only.",
        minimum=0,
    )
    feature_map_weight: float = setting(
        100.0, "Weight of the feature-map loss, divided by the number of layers.", minimum=0
    )
    attention_weight: float = setting(1.0, "Weight of the attention loss, divided by the number of layers.", minimum=0)
    mean_weight: float = setting(
        5000.0, "Weight of the feature means' loss, divided by the number of layers.", minimum=0
    )
    variance_weight: float = setting(
        5.0, "Weight of the feature variances' loss, divided by the number of layers.", minimum=0
    )
    ground_truth_ratio: float = setting(
        0.5, "alpha: weight of MLM; 1 - alpha is the weight of the teacher's softmax.", minimum=0, maximum=1
    )
    lower_layer_rate: float = setting(
        0.1, "Rate of layers below the one in transfer, relative; 0 = frozen.", minimum=0
    )


@dataclass
class AdaptSettings(TrainingSettings):
    """adapt.py"""

    places: ClassVar[dict[str, str]] = {"output_dir": "adapted"}  # under work_dir, unless given
    text_file: Sequence[str] | None = setting(
        None,
        "The texts to learn from: plain text (a blank line between documents), .jsonl, .csv or .tsv; .txt and .jsonl "
        "also compressed (.gz, .xz, .bz2, .zst).",
    )
    exclude_file: Sequence[str] | None = setting(
        None,
        "Texts whose sentences are not learned from, a test part for example: in the same formats, a JSON list of "
        'objects with "text", or the livedoor archive for its titles.',
    )
    text_column: str = setting("text", "Column or key with the text, in .csv, .tsv and .jsonl.")
    encoding: str = setting("utf-8", "What these files are in if not UTF-8: cp932 (Excel), utf-16, euc_jp.")
    model_name_or_path: str | None = setting(
        None, "The MobileBERT to go on with: a folder or a Hub name; none: the one in this repository's root."
    )
    output_dir: str | None = setting(None, "Folder for the model.")
    min_chars: int = setting_of(CorpusSettings, "min_chars")
    max_chars: int = setting_of(CorpusSettings, "max_chars")
    near_duplicates: bool = setting_of(CorpusSettings, "near_duplicates")
    heldout_share: float = setting(0.05, "Share of the text that is held out to measure on.", above=0, maximum=0.5)
    num_workers: int = setting(2, "Processes that clean and pack the text.", minimum=1)
    num_train_epochs: float = setting(3.0, "Passes over the text, at most.", above=0)
    max_train_seconds: float = setting(
        3600.0, "Seconds of training, at most; the schedule follows whichever ends first. 0 = passes only.", minimum=0
    )
    optimizer: str = setting_of(PretrainSettings, "optimizer", default="muon")
    learning_rate: float = setting(3e-4, "Peak learning rate; after the warm-up it falls to 0.", minimum=0)
    warmup_steps: int = setting(20, "Steps of linear warm-up; at most a tenth of all.", minimum=0)
    max_grad_norm: float = setting(0.5, "Gradients are clipped to this norm; 0 = not clipped.", minimum=0)
    dropout: bool = setting(False, "Use the structure's dropout while training.")
    max_seq_length: int = setting(128, "Tokens per row, special ones included.", minimum=8)
    mlm_probability: float = setting(0.15, "Share of tokens to predict, in whole words.", above=0, below=1)
    mask_replacement: str = setting_of(PretrainSettings, "mask_replacement", default="mask")
    report_to: str = setting_of(PretrainSettings, "report_to")
    eval_rows: int = setting_of(PretrainSettings, "eval_rows")
    eval_seconds: float = setting_of(PretrainSettings, "eval_seconds")
    save_dtype: str = setting_of(PretrainSettings, "save_dtype")


@dataclass
class ExportSettings(StageSettings):
    """export_checkpoint.py"""

    places: ClassVar[dict[str, str]] = {"model_name_or_path": "student", "output_dir": "release"}  # under work_dir
    model_name_or_path: str | None = setting(None, "The student to release; none: WORK_DIR/student.")
    output_dir: str | None = setting(None, "Where the checkpoint goes; '.' is the repository's root.")
