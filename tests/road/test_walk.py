"""A finished road starts no process; whatever was made otherwise does. Their work is left out, not their records."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from helpers.paths import RECIPES, SCRIPTS
from helpers.running.processors import WITH_VNNI, WITHOUT_VNNI, pretend
from mobilebert_ja import plans, road
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import sha256_of, write_json
from mobilebert_ja.common.processor import by_processor
from mobilebert_ja.common.records import fingerprint
from mobilebert_ja.settings import ROAD, CorpusSettings, ExportSettings, parse_settings

RECIPE = RECIPES / "tiny.yaml"


def make(stage: road.RoadStage, recipe_path: str, flags: dict[str, str]) -> None:
    """Leave what a stage leaves: an output with what the next ones look for, and its record."""
    settings = parse_settings(stage.settings, None, argv=road.flags_of(stage, recipe_path, flags))
    if stage.script == "export_checkpoint.py":
        root = Path(settings.output_dir)
        root.mkdir()
        (root / "pytorch_model.bin").write_bytes(b"weights")
        record = {
            "stage": "checkpoint",
            "inputs": {"model_name_or_path": fingerprint(settings.model_name_or_path)},
            "finished": "2026-01-01T00:00:00+00:00",
            "files": {"pytorch_model.bin": sha256_of(root / "pytorch_model.bin")},
        }
        write_json(Path(settings.records_dir) / "checkpoint.json", record)
        return
    if stage.script == "render_card.py":
        (Path(settings.output_dir) / "figures").mkdir(parents=True, exist_ok=True)
        (Path(settings.output_dir) / "README.md").write_text("card")
        return
    made = plans.STAGES[stage.command](settings)
    assert made.name == (by_processor(stage.record) if stage.command == "measure.py models" else stage.record)
    made.begin()
    (made.folder / "train").mkdir()
    (made.folder / "vocab.txt").write_text(f"[PAD]\n{stage.section}\n")
    made.finish({})


@pytest.fixture
def walked(tmp_path, monkeypatch):
    """A function that walks recipes/tiny.yaml, changed by its arguments, and returns the sections started."""
    started: list[str] = []
    given: list[dict[str, str]] = []

    def run_stage(stage, recipe_path, flags):
        started.append(stage.section)
        given.append(flags)
        if not (tmp_path / "done").exists():
            make(stage, recipe_path, flags)

    monkeypatch.setattr(road, "run_stage", run_stage)

    def walk(changes: dict | None = None, **flags: str) -> list[str]:
        recipe = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
        for section, values in (changes or {}).items():
            recipe[section] = recipe[section] | values
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
        started.clear()
        given.clear()
        shared = {"work_dir": str(tmp_path / "work"), "records_dir": str(tmp_path / "work" / "records")}
        road.walk(str(tmp_path / "recipe.yaml"), shared | flags)
        return list(started)

    assert len(walk()) == len(road.stages_of(yaml.safe_load(RECIPE.read_text(encoding="utf-8"))))
    (tmp_path / "done").touch()
    walk.given = given
    walk.work = tmp_path / "work"
    return walk


def test_a_finished_road_starts_nothing(walked, capsys):
    capsys.readouterr()
    assert walked() == []
    assert capsys.readouterr().out.count("nothing to do") == 19


@pytest.mark.parametrize(
    ("changes", "started"),
    [
        ({"train_tokenizer": {"vocab_size": 3000}}, ["train_tokenizer"]),
        ({"distill": {"strategy": "jkt"}}, ["distill"]),
        ({"finetune_ner_bert": {"hidden_size": 64}}, ["finetune_ner_bert"]),
        ({"compress_livedoor_card": {"prune_amount": 0.5}}, ["compress_livedoor_card"]),
        ({"pretrain_student": {"save_seconds": 1.0}}, []),  # says how to run, not what to make
    ],
)
def test_a_changed_recipe_starts_the_stage_it_changes(walked, changes, started):
    assert walked(changes) == started + ["render_card"] * bool(started)


def test_either_kind_of_processor_finds_its_own_timings(walked, tmp_path, monkeypatch):
    """What one kind measured is no finished stage of the other's, and its record stays."""
    (tmp_path / "done").unlink()
    started = []
    for flags in (WITH_VNNI, WITHOUT_VNNI):
        pretend(monkeypatch, tmp_path, flags)
        started.append([section for section in walked() if section != "render_card"])
        assert walked() == []
    assert sorted(started) == [[], ["benchmark_livedoor", "benchmark_ner"]]  # this machine is of one of the kinds
    pretend(monkeypatch, tmp_path, WITH_VNNI)
    assert walked() == []
    assert {path.name for path in (walked.work / "speed").iterdir()} == {
        "livedoor",
        "livedoor-avx2",
        "ner",
        "ner-avx2",
    }
    names = {path.stem for path in (walked.work / "records").glob("speed_*.json")}
    assert names == {"speed_livedoor", "speed_livedoor_avx2", "speed_ner", "speed_ner_avx2"}


def test_changed_inputs_and_missing_output_start_their_stages(walked):
    (walked.work / "data" / "ner" / "ner.json").write_text("[]")
    assert {"build_corpus", "finetune_ner", "finetune_ner_bert", "compress_ner_card", "benchmark_ner"} <= set(walked())
    (walked.work / "student" / "record.json").unlink()
    assert "pretrain_student" in walked()


def test_a_younger_record_makes_the_card_anew(walked):
    (record,) = (walked.work / "records").glob("corpus.json")
    content = json.loads(record.read_text()) | {"finished": "2999-01-01T00:00:00+00:00"}
    record.write_text(json.dumps(content))
    assert walked() == ["render_card"]


def test_overwrite_and_seed_are_handed_on(walked):
    assert len(walked(overwrite="true")) == 19
    walked({"pretrain_student": {"seed": 2}}, seed="5")
    seeds = dict(zip(walked(seed="5"), walked.given, strict=True))
    assert {flags["seed"] for flags in seeds.values()} == {"5"}
    sections = walked({"pretrain_student": {"seed": 2}}, seed="5")
    assert walked.given[sections.index("pretrain_student")]["seed"] == "7"  # two from the recipe's 0, as before


def test_reproduce_hands_its_seed_on(tmp_path, monkeypatch):
    import reproduce

    given = []
    monkeypatch.setattr(reproduce, "walk", lambda recipe, flags: given.append(flags) or 1)
    for flags in ([], ["--seed", "3"]):
        monkeypatch.setattr(sys, "argv", ["reproduce.py", "--config", str(RECIPE), *flags])
        reproduce.main()
    assert [flags.get("seed") for flags in given] == [None, "3"]


@pytest.mark.slow
def test_the_walk_needs_no_torch(tmp_path):
    """It would take seconds that a finished road does not."""
    script = "import sys, mobilebert_ja.road; print([n for n in ('torch', 'transformers') if n in sys.modules])"
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == "[]", done.stderr


def test_every_stage_with_a_record_has_a_plan():
    own = {"export_checkpoint.py", "render_card.py"}
    assert {stage.command for stage in ROAD} == set(plans.STAGES) | own


def test_a_checkpoint_in_another_folder_is_not_taken_for_the_one_that_the_record_tells_of(tmp_path):
    student, release, root = (tmp_path / name for name in ("student", "release", "root"))
    for folder, content in ((student, b"trained"), (release, b"of the student"), (root, b"older")):
        folder.mkdir()
        (folder / "pytorch_model.bin").write_bytes(content)
    settings = ExportSettings(
        model_name_or_path=str(student), output_dir=str(release), records_dir=str(tmp_path / "records")
    )
    record = {
        "inputs": {"model_name_or_path": fingerprint(student)},
        "files": {"pytorch_model.bin": sha256_of(release / "pytorch_model.bin")},
    }
    write_json(tmp_path / "records" / "checkpoint.json", record)
    assert plans.checkpoint_is_there(settings)
    settings.output_dir = str(root)
    with pytest.raises(UserError, match="holds another checkpoint; --overwrite replaces it"):
        plans.checkpoint_is_there(settings)
    settings.overwrite = True
    assert not plans.checkpoint_is_there(settings)


def test_the_evaluation_files_of_a_data_folder_are_kept_out_of_other_texts_too(tmp_path):
    data = tmp_path / "data, of mine"  # the comma separates nothing in a path that was not given with others
    for name in ("corpus/a.txt", "ner/ner.json", "livedoor/ldcc-20140209.tar.gz", "texts/b.txt"):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text("")
    both = {"exclude_ner.json", "exclude_ldcc-20140209.tar.gz"}

    def read(**given):
        work = str(tmp_path / "w,x")
        return plans.corpus_stage(CorpusSettings(work_dir=work, output_dir=f"{work}/corpus", **given)).inputs.keys()

    assert read(data_dir=str(data)) == both | {"input_a"}
    (tmp_path / "texts").symlink_to(data / "texts")
    texts = str(tmp_path / "texts")
    assert read(input=texts, data_dir=str(data)) == both | {"input_b"}
    assert read(input=texts) == {"input_b"}  # there is no data folder
    assert read(input=texts, data_dir=str(data / "texts")) == {"input_b"}  # nor anything of that in this one
    (tmp_path / "mine.json").write_text("")
    assert read(input=texts, data_dir=str(data), exclude=str(tmp_path / "mine.json")) == {
        "exclude_mine.json", "input_b"
    }  # fmt: skip
    assert "input_essays" in read()  # the embedded sample, which is written below a folder with a comma in its name


def test_every_file_to_keep_out_is_told_apart(tmp_path):
    files = [tmp_path / name for name in ("a/test.json", "b/test.json", "b/dev.json")]
    for path in (*files, tmp_path / "texts.txt"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    settings = CorpusSettings(
        work_dir=str(tmp_path / "work"),
        output_dir=str(tmp_path / "work" / "corpus"),
        input=str(tmp_path / "texts.txt"),
        exclude=",".join(map(str, files)),
    )
    inputs = plans.corpus_stage(settings).inputs
    assert inputs.pop("input_texts") == tmp_path / "texts.txt"
    assert inputs == {
        "exclude_0_test.json": files[0], "exclude_1_test.json": files[1], "exclude_dev.json": files[2]
    }  # fmt: skip
