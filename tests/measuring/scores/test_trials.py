"""`measure.py trials`: variants of fine-tuning run once each, compared with the first, checked before any is run."""

import json

import pytest
import yaml

from helpers.files.task_data import write_livedoor, write_student, write_tokenizer
from helpers.running.measurements import run_measurement
from helpers.running.processes import run_stages_here
from mobilebert_ja.common.files import read_json

QUICK = {"task": "livedoor", "num_train_epochs": 1, "max_seq_length": 24, "num_seeds": 2, "validate_on": 0.3}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trials")
    write_livedoor(folder / "data", {"sports-watch": 33, "movie-enter": 24, "smax": 20})
    write_student(folder / "student", write_tokenizer(folder / "tokenizer"))
    answers = [{"text": f"相撲の話{number}", "label": "sports-watch"} for number in range(30)]
    (folder / "given.jsonl").write_text("\n".join(json.dumps(each) for each in answers), encoding="utf-8")
    return folder


@pytest.fixture
def trials(work, capfd, monkeypatch):
    """Runs a file of this content."""
    run_stages_here(monkeypatch)

    def run(variants, *flags, name="some"):
        asked = {"common": QUICK, "variants": variants}
        (work / f"{name}.yaml").write_text(yaml.safe_dump(asked, sort_keys=False), "utf-8")
        return run_measurement(capfd, "trials", "--trials", f"{name}.yaml", *flags, work=work, data=work / "data")

    return run


@pytest.mark.slow
def test_each_is_run_once_and_compared_with_the_first(work, trials):
    variants = {"without": {}, "with silver": {"teacher_file": "given.jsonl", "silver_share": 0.5}}
    done = trials(variants)
    assert done.status == 0, done.err
    metrics = read_json(work / "records" / "trials_some.json")["metrics"]
    without, silver = metrics["variants"]["without"], metrics["variants"]["with silver"]
    assert metrics["first"] == "without" and "over_first" not in without and set(without["scores"]) == {"0", "1"}
    over = silver["over_first"]
    for seed, score in silver["scores"].items():
        assert over["seeds"][seed]["difference"] == pytest.approx(score - without["scores"][seed])
    assert over["mean"] == pytest.approx(silver["mean"] - without["mean"])
    assert silver["silver"]["learned"] == 15
    assert done.out.splitlines()[-1].split()[:3] == ["with", "silver", f"{silver['mean']:.2%}"]
    assert "nothing to do" in trials(variants).out
    recipe = work / "recipe.yaml"
    recipe.write_text("finetune_livedoor: {warmup_ratio: 0.3}\ncompress_ner_fast: {depths: '4'}\n")
    said = trials(variants, "--config", str(recipe)).error  # what its section says is of the runs
    assert "was made otherwise (recipe was None, is now {'finetune_livedoor': {'warmup_ratio': 0.3}})" in said
    # Another variant: what is there is not run again.
    folders = sorted((work / "trials" / "some.runs").glob("*/record.json"))
    stamps = [path.stat().st_mtime_ns for path in folders]
    again = trials(variants | {"half": variants["with silver"] | {"silver_weight": 0.5}}, "--overwrite", "true")
    assert again.status == 0 and again.out.count("nothing to do") == 2
    assert [path.stat().st_mtime_ns for path in folders] == stamps
    assert list(read_json(work / "records" / "trials_some.json")["metrics"]["variants"])[2] == "half"
    # Another text to learn from: what read it is made anew, and nothing else.
    with open(work / "given.jsonl", "a", encoding="utf-8") as file:
        file.write('\n{"text": "相撲の話の続き", "label": "sports-watch"}')
    again = trials(variants, "--overwrite", "true")
    assert again.status == 0 and again.out.count("nothing to do") == 1, again.err
    metrics = read_json(work / "records" / "trials_some.json")["metrics"]
    assert metrics["variants"]["with silver"]["silver"]["given"] == 31


def test_a_variant_that_cannot_be_run_stops_them_all_first(work, trials):
    assert "'silver_wait'" in trials({"a": {}, "b": {"silver_wait": 2}}, name="other").error
    assert "--silver_weight must be more than 0" in trials({"a": {}, "b": {"silver_weight": 0}}, name="other").error
    missing = {"teacher": "svm", "unlabelled_file": "nowhere.txt"}
    assert "nowhere.txt does not exist" in trials({"a": {}, "b": missing}, name="other").error
    (work / "bad.yaml").write_text("finetune_livedoor: {warmup_ratio: 2}\n")
    assert "--warmup_ratio must be" in trials({"a": {}}, "--config", str(work / "bad.yaml"), name="other").error
    assert "too much alike" in trials({"a b": {}, "a-b": {}}, name="other").error
    assert not (work / "trials" / "other.runs").exists()
