"""`measure.py models`: three contenders on the same texts, scores from their own records, nothing mixed up."""

import dataclasses
import itertools
import json
import os
import shutil
import sys

import pytest

import compress
from helpers.models.fast_models import run_script, write_data, write_finetuned
from helpers.running.measurements import run_measurement
from helpers.running.processors import timings_in
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.processor import by_processor
from mobilebert_ja.finetuning.folder import load_finetuned
from mobilebert_ja.inference.kinds import Kind
from mobilebert_ja.measuring.latency import Timing
from mobilebert_ja.measuring.models import contenders
from mobilebert_ja.measuring.models.cold_start import measure
from mobilebert_ja.measuring.models.speed import score_facts, speedup, spread_subset
from mobilebert_ja.measuring.timings.models import thread_counts
from mobilebert_ja.tasks import Example, Task


def test_spread_subset():
    assert spread_subset(5, 0, 0) == spread_subset(5, 9, 0) == [0, 1, 2, 3, 4]
    chosen = spread_subset(1000, 100, 3)
    assert len(set(chosen)) == 100 and chosen == sorted(chosen) and chosen[0] >= 0 and chosen[-1] < 1000
    assert {b - a for a, b in itertools.pairwise(chosen)} == {10}
    assert chosen == spread_subset(1000, 100, 3)


def test_speedup():
    slow, fast = Timing([[10.0, 10.0], [12.0, 12.0], [8.0, 8.0]]), Timing([[5.0, 5.0], [4.0, 4.0], [2.0, 2.0]])
    assert speedup(slow, fast) == {"median": 3.0, "runs": [2.0, 3.0, 4.0]}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A MobileBERT of random weights, fine-tuned by nobody, and its sped-up form."""
    folder = tmp_path_factory.mktemp("models")
    data = write_data(folder / "data")
    write_finetuned(folder, data, "livedoor", [0])
    for treatment in ("card", "onnx"):
        with pytest.MonkeyPatch.context() as patch:
            flags = ["--treatment", treatment, "--work_dir", str(folder), "--data_dir", str(data)]
            patch.setattr(sys, "argv", ["compress.py", *flags])
            compress.main()
    return folder


@pytest.mark.slow
def test_stage(work, capsys):
    data = work / "data"
    write_finetuned(work, data, "livedoor", [1], bert=True)
    flags = ["--max_items", "5", "--repetitions", "2", "--num_threads", "1,2", "--starts", "0"]
    done = run_measurement(capsys, "models", "--task", "livedoor", *flags, work=work, data=data)
    assert done.status == 0, done.err
    record = json.loads((work / "records" / f"{by_processor('speed_livedoor')}.json").read_text(encoding="utf-8"))
    metrics = record["metrics"]
    assert (metrics["items"], metrics["repetitions"], metrics["num_threads"]) == (5, 2, 1)
    results = metrics["contenders"]
    assert list(results) == ["bert", "bert_card", "bert_onnx", "mobilebert", "card", "onnx"]
    files = {"bert": "livedoor-bert", "mobilebert": "livedoor", "card": "compressed_livedoor_card"}
    for name, file in {**files, "onnx": "compressed_livedoor_onnx"}.items():
        own = json.loads((work / "records" / f"{file}.json").read_text())["metrics"]
        assert results[name]["score"] == own["mean"]
    for facts in results.values():
        assert facts["trained"] and len(facts["seconds"]) == 2 and min(facts["seconds"]) > 0
        assert facts["p10_ms"] <= facts["median_ms"] <= facts["p90_ms"]
        assert facts["start_seconds"] == facts["start_peak_mib"] == []
    assert results["card"]["bytes"] == (work / "compressed/livedoor/card/model.pt").stat().st_size
    assert results["onnx"]["bytes"] == (work / "compressed/livedoor/onnx/model.onnx").stat().st_size
    for name, like in (("bert_card", "bert"), ("bert_onnx", "bert"), ("onnx", "mobilebert"), ("bert", "bert")):
        difference = results[name]["items_score"] - results[like]["items_score"]
        assert results[name]["items_score_difference"] == pytest.approx(difference)
    assert results["mobilebert"]["items_agreement"] == 1
    folder = timings_in(work / "speed" / "livedoor")
    items = json.loads((folder / "items.json").read_text())
    assert set(items["milliseconds"]) == {*results, "tokenizer"} == set(items["milliseconds_by_threads"]["2"])
    assert all(len(each) == 2 and len(each[0]) == 5 for each in items["milliseconds"].values())
    for name, facts in results.items():
        assert facts["seconds"][0] == pytest.approx(sum(items["milliseconds"][name][0]) / 1000, abs=1e-3)
    assert metrics["tokenizer"]["median_ms"] > 0
    ratios = [a / b for a, b in zip(results["bert"]["seconds"], results["card"]["seconds"], strict=True)]
    assert metrics["speedup"]["card"]["runs"] == pytest.approx(ratios, rel=0.01)
    ratios = [a / b for a, b in zip(results["bert_onnx"]["seconds"], results["onnx"]["seconds"], strict=True)]
    assert metrics["speedup_over"]["bert_onnx"]["onnx"]["runs"] == pytest.approx(ratios, rel=0.01)
    assert set(metrics["by_threads"]) == {"1", "2"}
    assert metrics["by_threads"]["1"]["contenders"]["bert"]["seconds"] == results["bert"]["seconds"]
    assert {path.name for path in folder.iterdir()} == {"items.json", "record.json"}
    assert "livedoor: 5 texts one by one, 2 times, 1 thread" in done.out and "2 threads" in done.out


def test_scores_are_those_of_the_timed_texts(work):
    """Answers made by hand: the sped-up model loses one of three."""
    task = Task("livedoor", Kind.CLASSES, ["a", "b"], [], [Example("x", "a"), Example("y", "b"), Example("z", "b")])
    ready = load_finetuned(work / "finetuned" / "livedoor", "livedoor", 24)[1]
    original = contenders.eager("mobilebert", ready, None)
    random = dataclasses.replace(original, trained=False)
    named = {"mobilebert": original, "onnx": original, "bert": dataclasses.replace(random, like="bert")}
    answers = {"mobilebert": ["a", "b", "a"], "onnx": ["a", "a", "a"], "bert": ["b", "b", "b"]}
    facts = score_facts(named, answers, task)
    assert facts["mobilebert"] == {
        "items_score": pytest.approx(2 / 3),
        "items_score_difference": 0,
        "items_agreement": 1,
    }
    assert facts["onnx"]["items_score_difference"] == pytest.approx(-1 / 3)
    assert facts["onnx"]["items_agreement"] == pytest.approx(2 / 3)
    assert facts["bert"] == {"items_score": None, "items_score_difference": None, "items_agreement": 1}


def test_thread_counts():
    cores = len(os.sched_getaffinity(0))
    assert thread_counts("1,all") == list(dict.fromkeys([1, cores]))
    assert thread_counts(" 3, 1,3") == [3, 1]


@pytest.mark.slow
def test_starts_in_processes_of_their_own(work):
    small = measure("onnx", work / "compressed" / "livedoor" / "onnx", "livedoor", 24, 2)
    large = measure("eager", work / "finetuned" / "livedoor", "livedoor", 24, 1)
    assert (len(small.seconds), len(small.peak_mib), len(large.seconds)) == (2, 2, 1)
    assert 0 < max(small.peak_mib) < large.peak_mib[0] / 2  # torch alone weighs more than that


@pytest.mark.slow
def test_a_process_that_cannot_load_says_why(tmp_path):
    with pytest.raises(UserError, match=r"A fresh process cannot load .*nothing.* does not exist"):
        measure("onnx", tmp_path / "nothing", "livedoor", 24, 1)


def test_untrained_bert_is_of_base_size(work, tmp_path):
    """Counted by hand: embeddings, 12 layers of 7,087,872, pooler, head of three classes."""
    _, like = load_finetuned(work / "finetuned" / "livedoor", "livedoor", 24)
    _, bert = contenders.untrained_bert(like, vocab_size=400, seed=0, folder=tmp_path)
    assert bert.parameters == (400 + 512 + 2 + 2) * 768 + 12 * 7_087_872 + 769 * 768 + 769 * 3
    assert bert.bytes == 4 * bert.parameters
    assert bert.predictor().predict_one("野球の試合が話題になる") in like.labels
    facts = contenders.eager("bert", bert, None, trained=False).facts()
    assert (facts["trained"], facts["score"], facts["train_seconds"]) == (False, None, None)
    assert load_finetuned(tmp_path, "livedoor", 24)[1].labels == like.labels  # a fresh process can load it


def test_a_bert_scored_on_another_test_part_is_refused(work, tmp_path, capsys):
    bert = write_finetuned(tmp_path, work / "data", "livedoor", [0], bert=True, split_seed=1)
    done = run_measurement(capsys, "models", "--bert", bert, work=work, data=work / "data")
    assert "different texts" in done.error


def test_a_sped_up_model_of_other_weights_is_refused(work, tmp_path, capsys):
    other = write_finetuned(tmp_path, work / "data", "livedoor", [2])
    done = run_measurement(capsys, "models", "--mobilebert", other, work=work, data=work / "data")
    assert "was made from another model" in done.error


@pytest.mark.parametrize(("treatment", "file", "flag"), [("card", "model.pt", "card"), ("onnx", "model.onnx", "onnx")])
def test_a_damaged_sped_up_model_is_refused(work, tmp_path, capsys, treatment, file, flag):
    shutil.copytree(work / "compressed" / "livedoor" / treatment, tmp_path / treatment)
    with open(tmp_path / treatment / file, "ab") as stream:
        stream.write(b"x")
    flags = [f"--{flag}", str(tmp_path / treatment), "--output_dir", str(tmp_path / "speed")]
    assert "damaged" in run_measurement(capsys, "models", *flags, work=work, data=work / "data").error
    assert not list(tmp_path.glob("speed*"))


@pytest.mark.slow
def test_missing_input_in_a_process_of_its_own(work):
    done = run_script("measure.py models", work, work / "data", "--task", "ner")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines() == [
        f"error: {work}/finetuned/ner does not exist. finetune.py --task ner makes it."
    ]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--task", "weather"], "'livedoor', 'ner'"),
        (["--repetitions", "0"], "--repetitions must be at least 1"),
        (["--num_threads", "0"], "--num_threads must be numbers of at least 1, or all"),
        (["--num_threads", "1,many"], "not '1,many'"),
        (["--starts", "-1"], "--starts must be at least 0"),
        (["--onnx", "nowhere"], "compress.py --treatment onnx --task livedoor makes it"),
        (["--max_items", "-1"], "--max_items must be at least 0"),
        (["--card", "nowhere"], "compress.py --treatment card --task livedoor makes it"),
        (["--bert", "nowhere"], "finetune.py --random_weights bert --task livedoor makes it"),
    ],
)
def test_mistakes(work, capsys, flags, words):
    assert words in run_measurement(capsys, "models", *flags, work=work, data=work / "data").error
