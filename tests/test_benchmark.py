"""The benchmark: three contenders on the same texts, scores from their own records, nothing mixed up."""

import itertools
import json

import pytest

import benchmark
from fast_models import run_script, write_data, write_finetuned
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
    done = run_script("compress.py", folder, data, "--task", "livedoor")
    assert done.returncode == 0, done.stderr
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


def test_a_sped_up_model_of_other_weights_is_refused(work):
    write_finetuned(work / "other", work / "data", "livedoor", [2])
    done = run_script(
        "benchmark.py", work, work / "data", "--task", "livedoor", "--output_dir", str(work / "x"),
        "--mobilebert", str(work / "other" / "finetuned" / "livedoor"),
    )  # fmt: skip
    assert done.returncode == 1 and "was made from another model" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--task", "ner"], "finetune.py --task ner makes it"),
        (["--task", "livedoor", "--repetitions", "0"], "--repetitions must be at least 1"),
    ],
)
def test_mistakes(work, flags, words):
    done = run_script("benchmark.py", work, work / "data", *flags)
    assert done.returncode == 1 and words in done.stderr and "Traceback" not in done.stderr
