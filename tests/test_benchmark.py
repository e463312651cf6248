"""The benchmark: three contenders on the same texts, scores from their own records, nothing mixed up."""

import itertools
import json
import shutil
import sys

import pytest

import benchmark
import compress
from fast_models import run_here, run_script, write_data, write_finetuned
from mobilebert_ja.finetuned import load_finetuned
from mobilebert_ja.latency import Timing


def test_spread_subset():
    assert benchmark.spread_subset(5, 0, 0) == benchmark.spread_subset(5, 9, 0) == [0, 1, 2, 3, 4]
    chosen = benchmark.spread_subset(1000, 100, 3)
    assert len(set(chosen)) == 100 and chosen == sorted(chosen) and chosen[0] >= 0 and chosen[-1] < 1000
    assert {b - a for a, b in itertools.pairwise(chosen)} == {10}
    assert chosen == benchmark.spread_subset(1000, 100, 3)


def test_speedup():
    slow, fast = Timing([[10.0, 10.0], [12.0, 12.0], [8.0, 8.0]]), Timing([[5.0, 5.0], [4.0, 4.0], [2.0, 2.0]])
    assert benchmark.speedup(slow, fast) == {"median": 3.0, "runs": [2.0, 3.0, 4.0]}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A MobileBERT of random weights, fine-tuned by nobody, and its sped-up form."""
    folder = tmp_path_factory.mktemp("benchmark")
    data = write_data(folder / "data")
    write_finetuned(folder, data, "livedoor", [0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            sys, "argv", ["compress.py", "--recipe", "card", "--work_dir", str(folder), "--data_dir", str(data)]
        )
        compress.main()
    return folder


def test_stage(work):
    data = work / "data"
    write_finetuned(work, data, "livedoor", [1], bert=True)
    done = run_script("benchmark.py", work, data, "--task", "livedoor", "--max_items", "5", "--repetitions", "2")
    assert done.returncode == 0, done.stderr
    record = json.loads((work / "records" / "speed_livedoor.json").read_text(encoding="utf-8"))
    metrics = record["metrics"]
    assert (metrics["items"], metrics["repetitions"], metrics["num_threads"]) == (5, 2, 1)
    contenders = metrics["contenders"]
    assert list(contenders) == ["bert", "mobilebert", "compressed"]
    own = {name: json.loads((work / "records" / f"{file}.json").read_text())["metrics"] for name, file in
           (("bert", "livedoor-bert"), ("mobilebert", "livedoor"), ("compressed", "compressed_livedoor"))}  # fmt: skip
    for name, facts in contenders.items():
        assert facts["score"] == own[name]["mean"] and facts["trained"]
        assert len(facts["seconds"]) == 2 and min(facts["seconds"]) > 0
        assert facts["median_ms"] <= facts["p90_ms"]
    assert contenders["compressed"]["bytes"] == (work / "compressed/livedoor/card/model.pt").stat().st_size
    items = json.loads((work / "speed" / "livedoor" / "items.json").read_text())
    assert all(len(each) == 2 and len(each[0]) == 5 for each in items["milliseconds"].values())
    for name, facts in contenders.items():
        assert facts["seconds"][0] == pytest.approx(sum(items["milliseconds"][name][0]) / 1000, abs=1e-3)
    ratios = [a / b for a, b in zip(contenders["bert"]["seconds"], contenders["compressed"]["seconds"], strict=True)]
    assert metrics["speedup"]["compressed"]["runs"] == pytest.approx(ratios, rel=0.01)
    assert "livedoor: 5 texts one by one, 2 times, 1 thread" in done.stdout


def test_untrained_bert_is_of_base_size(work):
    """Counted by hand: embeddings, 12 layers of 7,087,872, pooler, head of three classes."""
    _, like = load_finetuned(work / "finetuned" / "livedoor", "livedoor", 24)
    bert = benchmark.untrained_bert(like, vocab_size=400, seed=0)
    assert bert.parameters == (400 + 512 + 2 + 2) * 768 + 12 * 7_087_872 + 769 * 768 + 769 * 3
    assert bert.bytes == 4 * bert.parameters
    assert bert.predictor().predict_one("野球の試合が話題になる") in like.labels
    facts = benchmark.Contender(bert, None).facts(Timing([[1.0]]))
    assert (facts["trained"], facts["score"], facts["train_seconds"]) == (False, None, None)


def test_a_bert_scored_on_another_test_part_is_refused(work, tmp_path, monkeypatch, capsys):
    bert = write_finetuned(tmp_path, work / "data", "livedoor", [0], bert=True, split_seed=1)
    status, said = run_here(monkeypatch, capsys, benchmark, work, work / "data", "--bert", str(bert))
    assert (status, len(said.splitlines()), "different texts" in said) == (1, 1, True)


def test_a_sped_up_model_of_other_weights_is_refused(work, tmp_path, monkeypatch, capsys):
    other = write_finetuned(tmp_path, work / "data", "livedoor", [2])
    status, said = run_here(monkeypatch, capsys, benchmark, work, work / "data", "--mobilebert", str(other))
    assert (status, len(said.splitlines()), "was made from another model" in said) == (1, 1, True)


def test_a_damaged_sped_up_model_is_refused(work, tmp_path, monkeypatch, capsys):
    shutil.copytree(work / "compressed" / "livedoor" / "card", tmp_path / "card")
    with open(tmp_path / "card" / "model.pt", "ab") as stream:
        stream.write(b"x")
    flags = ["--compressed", str(tmp_path / "card"), "--output_dir", str(tmp_path / "speed")]
    status, said = run_here(monkeypatch, capsys, benchmark, work, work / "data", *flags)
    assert (status, len(said.splitlines()), "damaged" in said) == (1, 1, True)
    assert not list(tmp_path.glob("speed*"))


def test_missing_input_in_a_process_of_its_own(work):
    done = run_script("benchmark.py", work, work / "data", "--task", "ner")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines() == [
        f"error: {work}/finetuned/ner does not exist. finetune.py --task ner makes it."
    ]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--task", "weather"], "'livedoor', 'ner'"),
        (["--repetitions", "0"], "--repetitions must be at least 1"),
        (["--num_threads", "0"], "--num_threads must be at least 1"),
        (["--max_items", "-1"], "--max_items must be at least 0"),
        (["--compressed", "nowhere"], "compress.py --task livedoor makes it"),
        (["--bert", "nowhere"], "finetune.py --random_weights bert --task livedoor makes it"),
    ],
)
def test_mistakes(work, monkeypatch, capsys, flags, words):
    status, said = run_here(monkeypatch, capsys, benchmark, work, work / "data", *flags)
    assert (status, len(said.splitlines())) == (1, 1)
    assert words in said
