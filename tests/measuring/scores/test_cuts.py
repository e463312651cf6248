"""`measure.py cuts` on a tiny model: every way is taken once and measured beside the others."""

import json

import pytest

from helpers.models.fast_models import write_data, write_finetuned
from helpers.running.measurements import run_measurement
from helpers.running.processes import run_stages_here
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json
from mobilebert_ja.measuring.scores.cuts import parsed_cuts


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    write_finetuned(folder, write_data(folder / "data"), "ner", [0, 1])
    section = {"num_train_epochs": 1, "per_device_train_batch_size": 8, "keep_layers": 99}
    (folder / "recipe.yaml").write_text(json.dumps({"compress_ner_fast": section}), encoding="utf-8")
    return folder


@pytest.mark.slow
def test_every_cut_is_made_once_and_measured(work, capfd, monkeypatch):
    run_stages_here(monkeypatch)
    flags = ["--config", str(work / "recipe.yaml"), "--task", "ner", "--max_items", "6", "--repetitions", "2"]

    def sweep(*more):
        return run_measurement(capfd, "cuts", *flags, *more, work=work, data=work / "data")

    done = sweep("--cuts", "2x1,2x0.5")
    assert done.status == 0, done.err
    metrics = read_json(work / "records" / "cuts_ner.json")["metrics"]
    models = metrics["models"]
    assert list(models) == ["uncut", "2x1", "2x0.5"] and metrics["items"] == 6
    # The recipe's section gives the training, the sweep the cut; only the first of two runs is cut.
    runs = work / "cuts" / "ner.runs"
    record = read_json(runs / "2x0.5" / "record.json")
    assert (record["settings"]["num_train_epochs"], record["settings"]["keep_layers"]) == (1, 2)
    assert [run["seed"] for run in record["metrics"]["runs"]] == [0]
    assert models["2x0.5"]["score"] == record["metrics"]["runs"][0]["score"]
    assert models["2x0.5"]["intermediate_size"] == 32 and models["2x1"]["intermediate_size"] == 64
    assert models["2x0.5"]["bytes"] < models["2x1"]["bytes"]
    assert all(len(facts["seconds"]) == 2 and facts["median_ms"] > 0 for facts in models.values())
    assert {path.stem for path in (work / "records").iterdir()} == {"ner", "cuts_ner"}
    # Another cut: the two that are there are taken as they are.
    stamp = (runs / "2x0.5" / "record.json").stat().st_mtime_ns
    done = sweep("--cuts", "2x0.5,2x1,2x0.25", "--overwrite", "true")
    assert (done.status, done.out.count("nothing to do")) == (0, 3)
    assert list(read_json(work / "records" / "cuts_ner.json")["metrics"]["models"]) == [
        "uncut",
        "2x1",
        "2x0.5",
        "2x0.25",
    ]
    assert (runs / "2x0.5" / "record.json").stat().st_mtime_ns == stamp


@pytest.mark.slow
def test_the_card_treatment_four_ways(work, capfd, monkeypatch):
    run_stages_here(monkeypatch)
    recipe = {"compress_ner_card": {"per_device_train_batch_size": 8}}
    (work / "card.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    flags = ["--config", str(work / "card.yaml"), "--task", "ner", "--treatment", "card", "--max_items", "4"]
    done = run_measurement(capfd, "cuts", *flags, work=work, data=work / "data")
    assert done.status == 0, done.err
    models = read_json(work / "records" / "card_treatment_ner.json")["metrics"]["models"]
    assert {name: "recovery_seconds" in facts for name, facts in models.items()} == {
        "pruned-per_tensor": False,
        "pruned-per_channel": False,
        "retrained-per_tensor": True,
        "retrained-per_channel": True,
    }
    assert len({facts["sparsity"] for facts in models.values()}) == 1
    record = read_json(work / "card_treatment" / "ner.runs" / "retrained-per_channel" / "record.json")
    assert record["settings"]["per_channel"] is True and record["settings"]["prune_epochs"] == 1


@pytest.mark.parametrize("cuts", ["", "14", "14x", "x0.8", "14x0.8;10x0.8", "14x-1", "14x0.8,"])
def test_cuts_that_are_none(cuts):
    with pytest.raises(UserError, match="takes BLOCKSxSHARE"):
        parsed_cuts(cuts)


def test_cuts_are_sorted():
    assert parsed_cuts("6x.5, 14x0.8,14x1,6x0.5") == [(14, 1.0), (14, 0.8), (6, 0.5)]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--repetitions", "0"], "--repetitions must be at least 1"),
        (["--task", "livedoor"], "finetune.py --task livedoor makes it"),
        (["--cuts", "many"], "takes BLOCKSxSHARE"),
    ],
)
def test_mistakes(work, capsys, flags, words):
    assert words in run_measurement(capsys, "cuts", "--task", "ner", *flags, work=work, data=work / "data").error
