"""`measure.py checkpoint`: every kind of text by itself, the anchor by hand, what it refuses."""

import numpy as np
import pytest
import torch

from helpers.files.task_data import write_student, write_tokenizer
from helpers.running.measurements import run_measurement
from mobilebert_ja.common.files import read_json
from mobilebert_ja.model.checkpoint import load_pretrained
from mobilebert_ja.pretraining.shards import write_index, write_source
from mobilebert_ja.tokenization.encoder import read_vocabulary


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A tiny student that says token 7 everywhere, and shards of two kinds of text, of which one holds that token
    every second time."""
    folder = tmp_path_factory.mktemp("work")
    write_student(folder / "student", write_tokenizer(folder / "tokenizer"))
    student = load_pretrained(folder / "student")
    with torch.no_grad():
        student.cls.predictions.bias[7] = 1e4
    student.save_pretrained(str(folder / "student"))
    size = len(read_vocabulary(folder / "tokenizer" / "vocab.txt"))
    vocabulary = {token: number for number, token in enumerate(read_vocabulary(folder / "tokenizer" / "vocab.txt"))}
    (folder / "shards").mkdir()
    rng = np.random.default_rng(0)
    counts = {}
    for split in ("train", "heldout"):
        for name, repeated in (("even", True), ("news", False), ("short", False)):
            tokens = rng.integers(20, size, 40 if name == "short" else 4000)
            tokens[::2] = np.where(repeated, 7, tokens[::2])
            documents = [[part.tolist() for part in np.split(tokens, 4)]]
            counts[f"{split}-{name}"] = write_source(folder / "shards", split, name, documents)
    write_index(folder / "shards", vocabulary, counts)
    return folder


@pytest.mark.slow
def test_kinds_and_lengths(work, capsys):
    flags = ["--max_seq_length", 64, "--lengths", "32,64", "--eval_rows", 16, "--mixture", "short=0,*=1"]
    done = run_measurement(capsys, "checkpoint", *flags, work=work)
    assert done.status == 0, done.err
    metrics = read_json(work / "records" / "checkpoint_quality.json")["metrics"]
    assert set(metrics["kinds"]) == {"even", "news"}  # of the short one there is no row
    assert metrics["kinds"]["even"]["most_frequent_accuracy"] == pytest.approx(0.5, abs=0.12)
    assert metrics["kinds"]["news"]["most_frequent_accuracy"] < 0.05
    assert metrics["kinds"]["even"]["masked_tokens"] == pytest.approx(16 * 64 * 0.15, rel=0.1)
    assert set(metrics["lengths"]) == {"32", "64"}
    masked = [facts["masked_tokens"] for facts in metrics["lengths"].values()]
    assert masked[0] == pytest.approx(masked[1], rel=0.15)  # equally much text of each length
    for facts in [*metrics["kinds"].values(), *metrics["lengths"].values()]:
        assert facts["mlm_accuracy"] == pytest.approx(facts["most_frequent_accuracy"]) and facts["mlm_loss"] > 0
    assert f"always '{metrics['most_frequent_token']}'" in done.out
    assert "nothing to do" in run_measurement(capsys, "checkpoint", *flags, work=work).out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--lengths", "short"], "whole numbers"),
        (["--lengths", "4"], "at least 8"),
        (["--lengths", "1024"], "exceeds the model's 512"),
        (["--model_name_or_path", "nowhere"], "pretrain.py --model student makes it"),
    ],
)
def test_what_it_refuses(work, capsys, flags, words):
    done = run_measurement(capsys, "checkpoint", "--output_dir", work / "refused", *flags, work=work)
    assert words in done.error
    assert not (work / "refused").exists()
