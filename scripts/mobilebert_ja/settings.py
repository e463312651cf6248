"""Every setting of every stage: its name, default and meaning. Flags and recipe keys are the same names.

A recipe is a YAML file with the shared keys (`work_dir`, `data_dir`, `records_dir`, `seed`) and one section a stage.
Default < recipe < command line. An unknown key anywhere in the recipe is an error that names the nearest valid one.
"""

from __future__ import annotations

import dataclasses
import difflib
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml

from mobilebert_ja.errors import UserError
from mobilebert_ja.files import require_file


def setting(default: Any, help: str) -> Any:
    """A field with a help text."""
    return field(default=default, metadata={"help": help})


@dataclass
class StageSettings:
    """What every stage takes."""

    places: ClassVar[dict[str, str]] = {"records_dir": "records"}  # under work_dir, unless given
    config: str | None = setting(None, "Recipe (YAML); flags win over it.")
    work_dir: str = setting("work", "Folder under which stages find each other's output.")
    data_dir: str | None = setting(None, "Folder with corpus/, livedoor/ and ner/; none: the embedded sample.")
    records_dir: str | None = setting(None, "Folder that collects a copy of every stage's record.")
    seed: int = setting(0, "Seed of everything random.")
    overwrite: bool = setting(False, "Replace existing output.")


@dataclass
class CorpusSettings(StageSettings):
    """build_corpus.py"""

    places: ClassVar[dict[str, str]] = {"output_dir": "corpus"}  # under work_dir, unless given
    source: str = setting("text", "text | cirrussearch | hub")
    input: str | None = setting(None, "Files, folders, globs or URLs, comma separated; none: DATA_DIR/corpus.")
    checksum: str | None = setting(None, "ALGORITHM:HEX that a file downloaded from a URL must have.")
    output_dir: str | None = setting(None, "Folder for the sentences.")
    min_chars: int = setting(10, "Shorter sentences are dropped (characters).")
    max_chars: int = setting(200, "Longer sentences are dropped (characters).")
    heldout_every: int = setting(100, "One document in this many goes to the held-out part.")
    exclude: str | None = setting(None, "Evaluation files whose sentences are removed; none: DATA_DIR/ner/ner.json.")
    near_duplicates: bool = setting(True, "Drop documents nearly the same as another one (MinHash).")
    piece_chars: int = setting(2_000_000, "Characters a task works on.")
    num_workers: int = setting(2, "Tasks at work at a time.")
    executor: str = setting("local", "local | slurm | ray: where the tasks run.")
    executor_options: str | None = setting(None, "Arguments of datatrove's executor, as JSON (in a recipe: keys).")


@dataclass
class CorpusScalingSettings(StageSettings):
    """benchmark_corpus.py"""

    places: ClassVar[dict[str, str]] = {"output_dir": "corpus_scaling"}  # under work_dir, unless given
    timed: str = setting("wikipedia_*", "Files of DATA_DIR/corpus on which the rate is measured (patterns).")
    multiplied: str = setting("*", "Files that are multiplied for the run on more text (patterns, comma separated).")
    copies: int = setting(10, "How many times the text that run reads.")
    workers: str = setting("1,2", "Numbers of workers to compare, the first one being the yardstick.")
    repetitions: int = setting(3, "Rounds of the timing, each with every number of workers.")
    output_dir: str | None = setting(None, "Folder for the measurements.")


@dataclass
class TokenizerSettings(StageSettings):
    """train_tokenizer.py"""

    places: ClassVar[dict[str, str]] = {
        "corpus_dir": "corpus",
        "output_dir": "tokenizer",
    }  # under work_dir, unless given
    corpus_dir: str | None = setting(None, "Output of build_corpus.py.")
    output_dir: str | None = setting(None, "Folder for the tokenizer.")
    tokenizer: str | None = setting(None, "An existing tokenizer (folder or Hub name) to take; none: train one.")
    vocab_size: int = setting(32768, "Entries of the vocabulary, special ones included.")
    limit_alphabet: int = setting(6129, "Distinct characters kept.")
    min_frequency: int = setting(2, "A merge must be seen this often.")
    sample_lines: int = setting(1_000_000, "Lines drawn from the corpus for training.")


@dataclass
class TokenizerEvaluationSettings(StageSettings):
    """evaluate_tokenizer.py"""

    places: ClassVar[dict[str, str]] = {
        "corpus_dir": "corpus",
        "tokenizer": "tokenizer",
        "output_dir": "tokenizer_quality",
    }  # under work_dir, unless given
    corpus_dir: str | None = setting(None, "Output of build_corpus.py.")
    tokenizer: str | None = setting(None, "Tokenizer folder or Hub name.")
    output_dir: str | None = setting(None, "Folder for the measurements.")
    sentences: int = setting(100_000, "Sentences on which the two encoders are compared.")
    timed_sentences: int = setting(1000, "Sentences a round of the timing.")
    repetitions: int = setting(10, "Rounds, the encoders one after another in each.")
    wikipedia: str = setting("wikipedia_*", "Parts of the corpus that are encyclopedia (pattern).")
    novels: str = setting("aozora", "Parts of the corpus that are novels (pattern).")
    sample_lines: int = setting(1_000_000, "Lines for the vocabulary without an alphabet limit.")
    min_frequency: int = setting(2, "A merge of that vocabulary must be seen this often.")


@dataclass
class PackSettings(StageSettings):
    """pack_corpus.py"""

    places: ClassVar[dict[str, str]] = {
        "corpus_dir": "corpus",
        "tokenizer": "tokenizer",
        "output_dir": "shards",
    }  # under work_dir, unless given
    corpus_dir: str | None = setting(None, "Output of build_corpus.py.")
    tokenizer: str | None = setting(None, "Tokenizer folder or Hub name.")
    output_dir: str | None = setting(None, "Folder for the packed shards.")
    num_workers: int = setting(2, "Worker processes.")


@dataclass
class WordVectorSettings(StageSettings):
    """embed_words.py"""

    places: ClassVar[dict[str, str]] = {
        "shards_dir": "shards",
        "tokenizer": "tokenizer",
        "output_dir": "embeddings",
    }  # under work_dir, unless given
    shards_dir: str | None = setting(None, "Output of pack_corpus.py.")
    tokenizer: str | None = setting(None, "Tokenizer that goes with the shards.")
    output_dir: str | None = setting(None, "Folder for the vectors.")
    embedding_size: int = setting(128, "Numbers a vector; the model's embedding width.")
    window: int = setting(5, "Neighbours on either side that count, the one d tokens away as 1/d.")
    mixture: str = setting("", "Weights of sources, for example 'aozora=0.3'; the others have 1.")


@dataclass
class TrainingSettings(StageSettings):
    """What pretraining, distillation and fine-tuning share."""

    per_device_train_batch_size: int = setting(32, "Rows a device and micro-step.")
    gradient_accumulation_steps: int = setting(1, "Micro-steps a step.")
    learning_rate: float = setting(5e-4, "Peak learning rate.")
    warmup_steps: int = setting(0, "Steps of linear warm-up.")
    weight_decay: float = setting(0.01, "Decay of matrices; biases and norms take none.")
    max_grad_norm: float = setting(1.0, "Gradients are clipped to this norm; 0 = not clipped.")
    adam_beta1: float = setting(0.9, "AdamW beta 1.")
    adam_beta2: float = setting(0.98, "AdamW beta 2.")
    adam_epsilon: float = setting(1e-8, "AdamW epsilon.")
    logging_steps: int = setting(20, "Steps between two lines of progress and points of the curve.")
    save_seconds: float = setting(300.0, "Seconds between two checkpoints.")
    resume_from_checkpoint: str = setting("latest", "Where an interrupted run goes on: latest | previous | none.")


@dataclass
class PretrainSettings(TrainingSettings):
    """pretrain.py"""

    places: ClassVar[dict[str, str]] = {"shards_dir": "shards", "tokenizer": "tokenizer"}  # under work_dir
    model: str = setting(
        "student", "teacher | student | shallow (a student with fewer blocks, to be grown) | short (with short rows)"
    )
    shards_dir: str | None = setting(None, "Output of pack_corpus.py.")
    tokenizer: str | None = setting(None, "Tokenizer that goes with the model.")
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
    word_embedding_std: float = setting(0.1, "Spread (root mean square) that word vectors are scaled to.")
    preset: str = setting("mobilebert", "Student's structure: mobilebert | mobilebert-tiny (teacher: ib-bert-large).")
    num_hidden_layers: int | None = setting(None, "Blocks, if not the preset's.")
    hidden_size: int | None = setting(None, "Width between blocks, if not the preset's.")
    intra_bottleneck_size: int | None = setting(None, "Width inside blocks, if not the preset's.")
    intermediate_size: int | None = setting(None, "Feed-forward width, if not the preset's.")
    embedding_size: int | None = setting(None, "Embedding width, if not the preset's.")
    normalization_type: str | None = setting(None, "no_norm | layer_norm, if not the preset's.")
    embedding_gain: float = setting(33.0, "Initial gain of the student's embedding NoNorm; 1 = transformers' own.")
    depth_scaled_outputs: bool = setting(
        False, "Divide what each block of a new student adds by the root of the depth."
    )
    optimizer: str = setting("adamw", "adamw | lamb | muon (Muon for the encoder's matrices, AdamW for the rest)")
    max_seq_length: int = setting(128, "Tokens a row, special ones included.")
    mlm_probability: float = setting(0.15, "Share of tokens to predict.")
    final_mlm_probability: float = setting(0.0, "The share falls or rises to this one; 0 = it stays.")
    mlm_probability_steps: int = setting(0, "Steps over which it does so.")
    mask_replacement: str = setting("bert", "bert (80/10/10) | mask (always [MASK])")
    dropout: bool = setting(True, "Use the structure's dropout while training; false suits short budgets.")
    next_sentence_prediction: bool = setting(True, "Train the NSP head too.")
    mixture: str = setting("", "Weights of sources, for example 'aozora=0.3,msdocs_*=0.5'; the others have 1.")
    lr_scheduler_type: str = setting("linear", "linear (decay to 0) | constant; both after the warm-up")
    max_steps: int = setting(1000, "Optimizer steps.")
    max_train_seconds: float = setting(0.0, "Clock budget in seconds; the schedule follows it. 0 = steps only.")
    report_to: str = setting("", "Trackers that get the curve too: tensorboard, trackio, ... (accelerate's names).")
    eval_rows: int = setting(256, "Held-out rows for the evaluation, always at 15 % masking.")
    save_dtype: str = setting("float32", "float32 | float16 | bfloat16: how the finished model is stored.")
    max_shard_size: str | None = setting(None, "Largest file of the finished model, for example 16MB; none: one file.")


@dataclass
class AblationSettings(StageSettings):
    """ablate.py"""

    places: ClassVar[dict[str, str]] = {"shards_dir": "shards", "tokenizer": "tokenizer"}  # under work_dir
    ablation: str | None = setting(None, "The file with the variants, for example recipes/ablations/masking.yaml.")
    shards_dir: str | None = setting(None, "Output of pack_corpus.py.")
    tokenizer: str | None = setting(None, "Tokenizer that goes with the shards.")
    output_dir: str | None = setting(None, "Folder for the runs; none: WORK_DIR/ablations/NAME.")
    num_workers: int = setting(1, "Runs at a time, each on its share of the cores.")


@dataclass
class TrainingSpeedSettings(PretrainSettings):
    """benchmark_training.py"""

    output_dir: str | None = setting(None, "Folder for the measurements; none: WORK_DIR/training_speed.")
    steps: int = setting(10, "Steps timed in a round; two more go before them.")
    repetitions: int = setting(3, "Rounds, the contenders one after another in each.")
    next_sentence_prediction: bool = setting(False, "The library's collator has none.")


@dataclass
class CostSettings(StageSettings):
    """estimate_cost.py"""

    teacher_utilisation: float = setting(0.4, "Share of an H100's data sheet in the teacher's products.")
    student_utilisation: float = setting(0.14, "Share in the student's: 1.0 M tokens/s at 128 tokens a row.")
    scaling_of_eight: float = setting(0.9, "What eight GPUs do of eight times one.")
    dollars_per_gpu_hour: float = setting(3.0, "Price of an H100 (USD).")
    dollars_per_cpu_hour: float = setting(0.1, "Price of a machine with two cores (USD).")


@dataclass
class DistillSettings(PretrainSettings):
    """distill.py"""

    places: ClassVar[dict[str, str]] = {
        "teacher": "teacher",
        "output_dir": "distilled",
    }  # under work_dir, unless given
    teacher: str | None = setting(None, "Teacher folder.")
    output_dir: str | None = setting(None, "Folder for the distilled student.")
    strategy: str = setting("pkt", "pkt (layer by layer) | jkt (all layers, then predictions) | akt (all together)")
    transfer_steps: int = setting(240, "Steps of layer transfer, over all layers.")
    max_steps: int = setting(100, "Steps of pretraining distillation after the transfer.")
    feature_map_weight: float = setting(100.0, "Weight of the feature-map loss, divided by the number of layers.")
    attention_weight: float = setting(1.0, "Weight of the attention loss, divided by the number of layers.")
    mean_weight: float = setting(5000.0, "Weight of the feature means' loss, divided by the number of layers.")
    variance_weight: float = setting(5.0, "Weight of the feature variances' loss, divided by the number of layers.")
    ground_truth_ratio: float = setting(0.5, "alpha: weight of MLM; 1 - alpha is the weight of the teacher's softmax.")
    lower_layer_rate: float = setting(0.1, "Rate of layers below the one in transfer, relative; 0 = frozen.")


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


@dataclass
class LearningCurveSettings(StageSettings):
    """learning_curve.py"""

    places: ClassVar[dict[str, str]] = {"model_name_or_path": "student"}  # under work_dir, unless given
    task: str = setting("livedoor", "livedoor | ner")
    shares: str = setting("0.05,0.1,0.25,0.5,1", "Shares of the training part, comma separated.")
    model_name_or_path: str | None = setting(None, "Pretrained model: a folder or a Hub name.")
    output_dir: str | None = setting(None, "Folder for the curve; none: WORK_DIR/learning_curve/TASK.")


@dataclass
class FinetuneSpeedSettings(FinetuneSettings):
    """benchmark_finetuning.py"""

    output_dir: str | None = setting(None, "Folder for the measurements; none: WORK_DIR/finetuning_speed/TASK.")
    examples: int = setting(1600, "Examples of the training part in a round, each once.")
    repetitions: int = setting(3, "Rounds, the contenders one after another in each.")


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
    repetitions: int = setting(3, "Passes over the test items, contenders interleaved item by item.")
    num_threads: str = setting(
        "1,all", "Numbers of threads of a model call, each measured by itself; all: every core."
    )
    starts: int = setting(3, "Fresh processes a contender, for load time and memory.")


@dataclass
class CardSettings(StageSettings):
    """render_card.py"""

    places: ClassVar[dict[str, str]] = {"output_dir": "card"}  # under work_dir, unless given
    output_dir: str | None = setting(None, "Folder for README.md; none: WORK_DIR/card, '.' is the repository's root.")
    figures_dir: str | None = setting(None, "Folder for the figures; none: OUTPUT_DIR/figures.")


@dataclass
class ExportSettings(StageSettings):
    """export_checkpoint.py"""

    places: ClassVar[dict[str, str]] = {"model_name_or_path": "student", "output_dir": "release"}  # under work_dir
    model_name_or_path: str | None = setting(None, "The student to release; none: WORK_DIR/student.")
    output_dir: str | None = setting(None, "Where the checkpoint goes; '.' is the repository's root.")


@dataclass
class CheckpointEvaluationSettings(StageSettings):
    """evaluate_checkpoint.py"""

    places: ClassVar[dict[str, str]] = {
        "model_name_or_path": "student",
        "shards_dir": "shards",
        "output_dir": "checkpoint_quality",
    }  # under work_dir, unless given
    model_name_or_path: str | None = setting(None, "Pretrained model: a folder or a Hub name.")
    shards_dir: str | None = setting(None, "Output of pack_corpus.py.")
    output_dir: str | None = setting(None, "Folder for the measurements.")
    max_seq_length: int = setting(128, "Tokens a row of each kind of text.")
    lengths: str = setting("32,128,256,512", "Tokens a row, to be compared on the same mixture (comma separated).")
    mixture: str = setting("", "How much of each kind of text rows of these lengths hold, as in pretrain.py.")
    eval_rows: int = setting(256, "Rows of each kind of text, and of 128 tokens for each length, at most.")


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


SECTIONS: dict[str, type[StageSettings]] = {
    "build_corpus": CorpusSettings,
    "train_tokenizer": TokenizerSettings,
    "evaluate_tokenizer": TokenizerEvaluationSettings,
    "pack_corpus": PackSettings,
    "embed_words": WordVectorSettings,
    "pretrain_teacher": PretrainSettings,
    "distill": DistillSettings,
    "pretrain_shallow": PretrainSettings,
    "pretrain_short": PretrainSettings,
    "pretrain_student": PretrainSettings,
    "export_checkpoint": ExportSettings,
    "evaluate_checkpoint": CheckpointEvaluationSettings,
    "finetune_livedoor": FinetuneSettings,
    "finetune_livedoor_bert": FinetuneSettings,
    "finetune_livedoor_random": FinetuneSettings,
    "finetune_ner": FinetuneSettings,
    "finetune_ner_bert": FinetuneSettings,
    "finetune_ner_random": FinetuneSettings,
    "finetune_classification": FinetuneSettings,
    "finetune_entities": FinetuneSettings,
    "finetune_jsts": FinetuneSettings,
    "finetune_jnli": FinetuneSettings,
    "finetune_jcommonsenseqa": FinetuneSettings,
    "finetune_jsquad": FinetuneSettings,
    "baseline_livedoor": BaselineSettings,
    "baseline_ner": BaselineSettings,
    "compress_livedoor": CompressSettings,
    "compress_livedoor_onnx": CompressSettings,
    "compress_livedoor_fast": CompressSettings,
    "compress_ner": CompressSettings,
    "compress_ner_onnx": CompressSettings,
    "compress_ner_fast": CompressSettings,
    "benchmark_livedoor": BenchmarkSettings,
    "benchmark_ner": BenchmarkSettings,
    "render_card": CardSettings,
}
SHARED_KEYS = ("work_dir", "data_dir", "records_dir", "seed")
T = TypeVar("T", bound=StageSettings)


def reject_unknown(keys: Any, valid: list[str], where: str) -> None:
    """Raise `UserError` for the first key that is not valid; it names the nearest one that is."""
    for key in keys:
        if key not in valid:
            near = difflib.get_close_matches(str(key), valid, n=1, cutoff=0.0)
            raise UserError(f"{where}: unknown key '{key}'. Did you mean '{near[0]}'?")


def load_recipe(path: str | Path) -> dict[str, Any]:
    """Read and check a recipe. Raises `UserError` for bad YAML, an unknown section or an unknown key."""
    path = require_file(path, "Recipes stand in recipes/, for example recipes/tiny.yaml.")
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(recipe, dict):
        raise UserError(f"{path} must hold keys and sections, not a {type(recipe).__name__}.")
    reject_unknown(recipe, [*SHARED_KEYS, *SECTIONS], str(path))
    for name, section in SECTIONS.items():
        values = recipe.get(name)
        if values is None:
            continue
        if not isinstance(values, dict):
            raise UserError(f"{path}: section '{name}' must hold keys, not a {type(values).__name__}.")
        reject_unknown(values, [f.name for f in dataclasses.fields(section)], f"{path}, section '{name}'")
    return recipe


def _checked_value(name: str, value: Any, default: Any, where: str) -> Any:
    """YAML reads 5e-4 as a string and 1 as an integer; bring numbers to the setting's own type."""
    if isinstance(default, bool) or default is None or value is None:
        if isinstance(default, bool) and not isinstance(value, bool):
            raise UserError(f"{where}: {name} must be true or false, not {value!r}.")
        return value
    try:
        return type(default)(value) if isinstance(default, int | float) else str(value)
    except (TypeError, ValueError):
        raise UserError(f"{where}: {name} must be a {type(default).__name__}, not {value!r}.") from None


def from_recipe(section: str, kind: type[T], recipe_path: str | None) -> T:
    """The settings of `section`: the defaults, and over them the recipe's values. Paths are not filled in yet."""
    settings = kind()
    if recipe_path is None:
        return settings
    recipe = load_recipe(recipe_path)
    values = {key: recipe[key] for key in SHARED_KEYS if key in recipe} | (recipe.get(section) or {})
    for name, value in values.items():
        setattr(settings, name, _checked_value(name, value, getattr(kind(), name), recipe_path))
    settings.config = recipe_path
    return settings


def fill_paths(settings: StageSettings) -> None:
    """Give every path that was left open its place under `work_dir`."""
    filled: set[tuple[str, str]] = set()
    for kind in reversed(type(settings).__mro__):  # a subclass's own place wins: it is assigned last
        for name, place in vars(kind).get("places", {}).items():
            if getattr(settings, name) is None or (name, getattr(settings, name)) in filled:
                setattr(settings, name, str(Path(settings.work_dir) / place))
                filled.add((name, getattr(settings, name)))


def parse_settings(kind: type[T], description: str | None, section: str | None = None, **choices: list[str]) -> T:
    """Parse the command line of an entry script.

    Args:
        kind: the settings class.
        description: the script's docstring, shown by --help.
        section: the recipe's section; it may name settings in braces, for example "finetune_{task}".
        choices: settings that take one of a few values, checked here.

    Returns:
        The resolved settings, paths filled in. Raises `UserError` for a value outside `choices`.
    """
    from transformers import HfArgumentParser  # here, so that reading a recipe needs no transformers

    parser = HfArgumentParser(kind, description=description, allow_abbrev=False)  # type: ignore[arg-type]
    argv = sys.argv[1:]
    known, _ = parser.parse_known_args([arg for arg in argv if arg not in ("-h", "--help")])
    if section is not None and known.config is not None:
        name = section.format(**vars(known)) if "{" in section else section
        defaults = dataclasses.asdict(from_recipe(name, kind, known.config))
        parser.set_defaults(**defaults)
    namespace = parser.parse_args(argv)
    settings = kind(**{each.name: getattr(namespace, each.name) for each in dataclasses.fields(kind)})
    for name, allowed in choices.items():
        value = getattr(settings, name)
        if value not in allowed:
            raise UserError(f"--{name} must be one of {', '.join(map(repr, allowed))}, not {value!r}.")
    fill_paths(settings)
    return settings
