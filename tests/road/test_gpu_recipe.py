"""recipes/gpu.yaml as it stands, rehearsed on a CPU: on a machine with packed shards, word vectors, an encoder and
little else a guide is asked, the first part is killed and goes on, the second follows, and the rest of the road takes
what they leave. Only sizes are given on the command line."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors.torch import load_file
from transformers import AutoModel, MobileBertForPreTraining

import export_checkpoint
import pretrain
from helpers.models.encoders import make_encoder
from helpers.paths import ROOT, SCRIPTS
from helpers.running.processes import call_entry, run, wait_until
from mobilebert_ja.common.files import sha256_of
from mobilebert_ja.common.processor import multiplies_in_bf16
from mobilebert_ja.model.checkpoint import load_pretrained
from mobilebert_ja.model.mobilebert import WORD_EMBEDDINGS_NAME, mobilebert_config
from mobilebert_ja.pretraining.shards import Shards, write_index, write_source
from mobilebert_ja.pretraining.vectors.pmi import cooccurrence_counts, word_vectors
from mobilebert_ja.settings import PretrainSettings, from_recipe
from mobilebert_ja.tokenization.encoder import SPECIAL_TOKENS, UNUSED_TOKENS, read_vocabulary, save_tokenizer

RECIPE = ROOT / "recipes" / "gpu.yaml"
PARTS = ("wikipedia_made", "aozora", "japan_law", "msdocs_made")  # those that the recipe's mixture names
LACKING = (
    "fugashi unidic_lite datasets datatrove evaluate orjson xxhash backports.zstd pytorch_optimizer matplotlib jinja2 "
    "sklearn scipy pycrfsuite onnx onnxruntime"
)
STEPS, LIMIT = 60, 400_000
SIZES = {
    "num_hidden_layers": 2,
    "hidden_size": 128,
    "intra_bottleneck_size": 64,
    "intermediate_size": 64,
    "embedding_size": 32,
    "per_device_train_batch_size": 4,
    "max_seq_length": 32,
    "eval_rows": 8,
    "max_steps": STEPS,
    "dataloader_num_workers": 2,
    "logging_steps": 20,
    "max_shard_size": f"{LIMIT // 1000}KB",
}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def machine(tmp_path_factory) -> Path:
    """A folder with work/{shards,tokenizer,embeddings}, an encoder and nothing else."""
    folder = tmp_path_factory.mktemp("gpu")
    work = folder / "work"
    save_tokenizer(SPECIAL_TOKENS + UNUSED_TOKENS + [f"w{number}" for number in range(1985)], work / "tokenizer")
    rng = np.random.default_rng(0)
    (work / "shards").mkdir()
    counts = {}
    for split, documents in (("train", 40), ("heldout", 10)):
        for part in PARTS:
            made = [[rng.integers(15, 2000, rng.integers(4, 20)).tolist() for _ in range(8)] for _ in range(documents)]
            counts[f"{split}-{part}-00000"] = write_source(work / "shards", split, f"{part}-00000", made)
    write_index(work / "shards", read_vocabulary(work / "tokenizer" / "vocab.txt"), counts)
    (work / "embeddings").mkdir()
    counted, _ = cooccurrence_counts(Shards(work / "shards", "train"), 5)
    np.save(work / "embeddings" / WORD_EMBEDDINGS_NAME, word_vectors(counted, SIZES["embedding_size"], 0))
    make_encoder(folder / "encoder")
    return folder


def test_cut_off_and_gone_on_it_leaves_small_files_that_the_road_takes(machine, tmp_path):
    sizes = [part for name, value in SIZES.items() for part in (f"--{name}", value)]
    places = ["--config", RECIPE, "--work_dir", "work"]
    # The file for one GPU as it stands, but for the compiler behind the compiled blocks, which may be missing here,
    # and for bf16 where the processor would emulate it, at a tenth of the speed.
    precision = "no" if multiplies_in_bf16() is False else "bf16"
    launch = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--config_file",
        ROOT / "recipes" / "accelerate" / "one_gpu.yaml",
        "--dynamo_backend",
        "aot_eager",
        "--mixed_precision",
        precision,
    ]
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({LACKING.split()!r}))\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""}

    def command(script: str, *flags) -> list[str]:
        return [str(part) for part in (*launch, SCRIPTS / script, *places, *flags)]

    small = ("--guide_layer", 1, "--guide_dimensions", 4, "--dataloader_num_workers", 2)
    done = run(command("guide_corpus.py", "--guide_model_name_or_path", "encoder", *small), machine, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    guided = {path.name for path in (machine / "work" / "guide").glob("*-*.npy")}
    assert guided == {"wikipedia_made-00000.npy"}  # of the parts that there are, the only one that the recipe names

    often = ("--save_seconds", 0.2, "--eval_seconds", 0.2)
    first = subprocess.Popen(
        command("pretrain.py", "--model", "short", *sizes, *often),
        cwd=machine,
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    partial = machine / "work" / "short.partial"
    wait_until((partial / "checkpoints" / "latest.json").exists, first)
    os.killpg(first.pid, signal.SIGKILL)  # accelerate's launcher and the training that it started
    first.wait()
    assert partial.exists() and not (machine / "work" / "short").exists(), "it ended before it could be killed"

    done = run(command("pretrain.py", "--model", "short", *sizes, *often), machine, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "goes on from step" in done.stdout and f"step {STEPS}/{STEPS} (100%)" in done.stdout
    assert "held-out at step" in done.stdout
    record = json.loads((machine / "work" / "short" / "record.json").read_text())
    metrics, settings = record["metrics"], record["settings"]
    assert metrics["steps"] == STEPS and metrics["precision"] == precision and metrics["history"][-1]["step"] == STEPS
    assert [point["step"] for point in metrics["history"]] == sorted({point["step"] for point in metrics["history"]})
    assert all(point["tokens"] == point["step"] * 4 * 32 for point in metrics["heldout_history"])
    assert all("guide_loss" in point for point in metrics["history"])
    assert settings["word_embeddings"] == "embeddings" and settings["optimizer"] == "muon"  # the recipe's

    stage = ("--model", "student", *sizes, "--max_seq_length", 64)
    done = run(command("pretrain.py", *stage), machine, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    student = machine / "work" / "student"
    settings = json.loads((student / "record.json").read_text())["settings"]
    assert settings["model_name_or_path"] == "short" and settings["lr_scheduler_type"] == "linear"
    files = sorted(student.glob("*.safetensors"))
    assert len(files) > 2 and all(file.stat().st_size <= LIMIT + 20_000 for file in files)  # and a header
    assert {each.dtype for file in files for each in load_file(file).values()} == {torch.float16}
    assert load_pretrained(student).dtype == AutoModel.from_pretrained(student).dtype == torch.float32

    # Back on a machine that has everything, the walk passes over the training and goes on with what it made.
    again = call_entry(pretrain, *places, *stage, "--data_dir", machine, cwd=machine)
    assert again.returncode == 0 and "nothing to do" in again.stdout, again.stderr[-2000:]
    done = call_entry(export_checkpoint, *places, "--data_dir", machine, cwd=machine)
    assert done.returncode == 0, done.stderr[-2000:]
    released = json.loads((machine / "work" / "records" / "checkpoint.json").read_text())
    assert {"git_commit", "files"} <= released.keys() and "pytorch_model.bin" in released["files"]
    assert {n: sha256_of(machine / "work" / "release" / n) for n in released["files"]} == released["files"]
    ours, theirs = load_pretrained(student).state_dict(), load_pretrained(machine / "work" / "release").state_dict()
    assert ours.keys() == theirs.keys() and all(ours[name].equal(theirs[name]) for name in ours)


def test_files_of_the_full_size_are_small_but_for_one_tensor():
    """The recipe's own limit, on the model that it trains: a file holds at least a tensor."""
    wanted = from_recipe("pretrain_student", PretrainSettings, str(RECIPE))
    assert wanted.save_dtype == "float16" and wanted.next_sentence_prediction is False
    assert from_recipe("pretrain_short", PretrainSettings, str(RECIPE)).eval_seconds > 0
    with torch.device("meta"):
        tensors = MobileBertForPreTraining(mobilebert_config(32768)).half().state_dict()
    tensors = {name: each for name, each in tensors.items() if "predictions.decoder" not in name}  # tied
    plan = split_torch_state_dict_into_shards(tensors, max_shard_size=wanted.max_shard_size)
    sizes = {
        file: sum(tensors[name].numel() * 2 for name in names) for file, names in plan.filename_to_tensors.items()
    }
    assert sum(sizes.values()) > 70e6
    assert [plan.filename_to_tensors[file] for file, size in sizes.items() if size > 15e6] == [
        ["cls.predictions.dense.weight"]
    ]
