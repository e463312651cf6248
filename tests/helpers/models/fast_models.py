"""Fine-tuned folders as finetune.py leaves them, with random weights, for compress.py and `measure.py models`."""

import subprocess
import sys
from pathlib import Path

import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    MobileBertForSequenceClassification,
    MobileBertForTokenClassification,
)

from helpers.files.task_data import LABELS, write_livedoor, write_ner, write_tokenizer
from helpers.running.processes import run_entry
from mobilebert_ja.common.records import Stage
from mobilebert_ja.compression.onnx.export import export
from mobilebert_ja.finetuning.folder import load_finetuned
from mobilebert_ja.model.checkpoint import save_model
from mobilebert_ja.model.mobilebert import initialise_student, mobilebert_config
from mobilebert_ja.tasks import data_file, load_task

SIZES = {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 64}


def tiny_model(task: str, labels: list[str], vocab_size: int, seed: int = 0, bert: bool = False, **settings):
    """A classifier whose answers differ from text to text, though nobody trained it.

    Args:
        settings: of a MobileBERT's configuration.
    """
    torch.manual_seed(seed)
    names = {"id2label": dict(enumerate(labels)), "label2id": {label: index for index, label in enumerate(labels)}}
    if bert:
        config = BertConfig(vocab_size=vocab_size, num_attention_heads=2, **SIZES, **names)
        model = (BertForTokenClassification if task == "ner" else BertForSequenceClassification)(config)
    else:
        sizes = {"intra_bottleneck_size": 32, "embedding_size": 32, **SIZES}
        config = mobilebert_config(vocab_size, **sizes, **names, **settings)
        model = (MobileBertForTokenClassification if task == "ner" else MobileBertForSequenceClassification)(config)
        initialise_student(model, 33.0)
    torch.nn.init.normal_(model.classifier.weight)
    return model.eval()


def write_data(folder: Path) -> Path:
    write_livedoor(folder, {"sports-watch": 33, "movie-enter": 24, "smax": 20})
    write_ner(folder, 40)
    return folder


def write_finetuned(
    work: Path, data: Path, task: str, seeds: list[int], bert: bool = False, split_seed: int = 0
) -> Path:
    """WORK_DIR/finetuned/TASK or TASK-bert with a model a seed and a record."""
    name = f"{task}-bert" if bert else task
    settings = {"task": task, "max_seq_length": 24, "split_seed": split_seed, "num_seeds": len(seeds)}
    stage = Stage(name, settings, work / "finetuned" / name, {"data_dir": data_file(task, data)}, work / "records")
    stage.begin()
    loaded = load_task(task, data, split_seed)
    tokenizer = write_tokenizer(work / "tokenizer")
    size = len((tokenizer / "vocab.txt").read_text(encoding="utf-8").splitlines())
    for index, seed in enumerate(seeds):
        model = tiny_model(task, loaded.labels, size, seed, bert)
        save_model(model, tokenizer, stage.folder / f"seed-{seed}" if index else stage.folder)
    runs = [{"seed": seed, "score": 0.25 + seed / 8, "train_seconds": 2.0} for seed in seeds]
    mean = sum(run["score"] for run in runs) / len(runs)
    metrics = {"task": task, "metric": loaded.metric, "runs": runs, "mean": mean, "std": 0.125, "train_seconds": 2.0}
    stage.finish({**metrics, "pretrained": not bert})
    return stage.output_dir


def write_sped_up(work: Path, task: str) -> Path:
    """A folder for onnxruntime, of a tiny model that nobody trained; what it is made from stands in `work` too."""
    tokenizer = write_tokenizer(work / "tokenizer")
    size = len((tokenizer / "vocab.txt").read_text(encoding="utf-8").splitlines())
    save_model(tiny_model(task, LABELS[task], size), tokenizer, work / f"{task}-finetuned")
    model, ready = load_finetuned(work / f"{task}-finetuned", task, 24)
    export(model, ready, work / task, "onnx", {})
    return work / task


def run_script(name: str, work: Path, data: Path, *flags: str) -> subprocess.CompletedProcess:
    """Run an entry script ("measure.py NAME" for a measurement) in a process of its own, as a user does."""
    folders = ("--work_dir", work, "--data_dir", data)
    return run_entry(name, *folders, *flags, cwd=work, OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1")


def run_here(monkeypatch, capsys, script, work, data, *flags):
    """Run an entry point in this process; returns its exit status and what it said."""
    monkeypatch.setattr(sys, "argv", ["script", "--work_dir", str(work), "--data_dir", str(data), *flags])
    try:
        script.main()
        status = 0
    except SystemExit as end:
        status = end.code
    said = capsys.readouterr()
    return status, said.out if status == 0 else said.err
