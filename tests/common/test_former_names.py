"""What was made under former names is read, and stays finished, as if it had today's."""

import json

import pytest

import compress
from helpers.running.processes import call_entry
from mobilebert_ja.card.render import load_records
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import write_json
from mobilebert_ja.common.former_names import read_record, standing, todays_record_name
from mobilebert_ja.common.records import Stage
from mobilebert_ja.settings import load_recipe

SPEED = {
    "settings": {"task": "ner", "compressed": None},
    "inputs": {"compressed": "00", "onnx": "11"},
    "metrics": {
        "contenders": {"bert": {"bytes": 3}, "compressed": {"bytes": 2}},
        "by_threads": {"1": {"speedup_over": {"bert": {"compressed": {"median": 2.0}}}}},
    },
    "files": {"compressed": "22"},
}


def test_a_record_is_read_under_todays_names(tmp_path):
    write_json(tmp_path / "record.json", SPEED)
    read = read_record(tmp_path / "record.json")
    assert read["settings"] == {"task": "ner", "card": None} and read["inputs"] == {"card": "00", "onnx": "11"}
    assert list(read["metrics"]["contenders"]) == ["bert", "card"]
    assert read["metrics"]["by_threads"]["1"]["speedup_over"]["bert"] == {"card": {"median": 2.0}}
    assert read["files"] == SPEED["files"]


def test_a_users_classes_keep_their_names(tmp_path):
    metrics = {"recipe": "card", "per_class": {"recipe": 0.5, "compressed": 0.25}}
    write_json(tmp_path / "record.json", {"metrics": metrics})
    read = read_record(tmp_path / "record.json")
    assert read == {"metrics": {"treatment": "card", "per_class": metrics["per_class"]}}


@pytest.mark.parametrize(("mark", "ending"), [("record.json", ""), ("identity.json", ".partial")])
def test_what_was_made_or_begun_under_a_former_name_is_gone_on_with(tmp_path, mark, ending):
    folder = tmp_path / f"card{ending}"
    folder.mkdir()
    record = {"stage": "compressed_ner", "settings": {"recipe": "card"}, "inputs": {}, "files": {}}
    write_json(folder / mark, record)
    stage = Stage("compressed_ner_card", {"treatment": "card"}, tmp_path / "card", {})
    assert stage.begin(resume=True) if ending else stage.is_done()
    other = Stage("compressed_ner_card", {"treatment": "onnx"}, tmp_path / "card", {})
    with pytest.raises(UserError, match="treatment was 'card', is now 'onnx'"):
        other.begin(resume=True) if ending else other.is_done()


def test_records_are_known_under_todays_names(tmp_path):
    for name, mean in (("compressed_ner", 1), ("compressed_ner_card", 2), ("compressed_livedoor", 3)):
        write_json(tmp_path / f"{name}.json", {"metrics": {"mean": mean}})
    write_json(tmp_path / "card_recipe_ner.json", {"settings": {"recipe": "card"}})
    records = load_records(tmp_path)
    assert records["compressed_ner_card"]["metrics"]["mean"] == 2  # the later one, if both are there
    assert records["compressed_livedoor_card"]["metrics"]["mean"] == 3
    assert records["card_treatment_ner"] == {"settings": {"treatment": "card"}}
    assert set(records) - {"published_card"} == {*map(todays_record_name, set(records) - {"published_card"})}
    contenders = records["published_card"]["tasks"]["ner"]["contenders"]
    assert "card" in contenders and "compressed" not in contenders


def test_a_folder_stands_under_its_former_name_until_it_is_made_anew(tmp_path):
    todays, former = tmp_path / "card_treatment" / "ner", tmp_path / "card_recipe" / "ner"
    assert standing(todays) == todays
    former.mkdir(parents=True)
    assert standing(todays) == former and standing(tmp_path / "cuts" / "ner") == tmp_path / "cuts" / "ner"
    todays.mkdir(parents=True)
    assert standing(todays) == todays


@pytest.mark.parametrize("flags", [("--recipe", "card"), ("--recipe=card",)])
def test_a_flags_former_name_is_told_todays(flags, tmp_path):
    done = call_entry(compress, *flags, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"error: {flags[0]} is no flag of compress.py. Did you mean --treatment?\n"


def test_a_keys_former_name_is_told_todays(tmp_path):
    (tmp_path / "r.yaml").write_text(json.dumps({"benchmark_ner": {"compressed": "somewhere"}}))
    with pytest.raises(UserError, match=r"unknown key 'compressed'\. Did you mean 'card'\?"):
        load_recipe(tmp_path / "r.yaml")
