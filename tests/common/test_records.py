"""A stage's output is whole or absent, made once, and never silently of other settings."""

import errno
import fcntl
import json
import os
import subprocess
import sys

import pytest

from helpers.paths import ROOT, SCRIPTS
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import sha256_of
from mobilebert_ja.common.folders import hold
from mobilebert_ja.common.former_names import read_record
from mobilebert_ja.common.records import Stage, fingerprint


def stage(folder, **settings) -> Stage:
    (folder / "input.txt").write_text("in")
    return Stage("made", {"size": 3, **settings}, folder / "out", {"text": folder / "input.txt"}, folder / "records")


def finish(one: Stage) -> dict:
    one.begin()
    (one.folder / "result.txt").write_text("42")
    return one.finish({"answer": 42})


def test_output_and_record(tmp_path):
    one = stage(tmp_path)
    assert not one.is_done()
    record = finish(one)
    assert (tmp_path / "out" / "result.txt").read_text() == "42" and not one.folder.exists()
    assert record["metrics"] == {"answer": 42} and list(record["files"]) == ["result.txt"]
    assert {
        "command",
        "git_commit",
        "versions",
        "hardware",
        "wall_seconds",
        "peak_memory_mib",
        "inputs",
    } <= record.keys()
    saved = json.loads((tmp_path / "records" / "made.json").read_text())
    assert saved == json.loads((tmp_path / "out" / "record.json").read_text()) == json.loads(json.dumps(record))


def test_made_once(tmp_path, capsys):
    finish(stage(tmp_path))
    (tmp_path / "records" / "made.json").unlink()
    assert stage(tmp_path).is_done() and "nothing to do" in capsys.readouterr().out
    assert (tmp_path / "records" / "made.json").exists()  # the copy for the card is restored
    assert not stage(tmp_path).is_done(overwrite=True)
    assert stage(tmp_path, save_seconds=5, eval_seconds=9).is_done()  # say how to run, not what to make
    assert stage(tmp_path, data_dir="data").is_done()  # what a stage reads of it is among its inputs


def test_a_setting_that_is_gone_voids_nothing(tmp_path):
    finish(stage(tmp_path, unread=1))
    assert stage(tmp_path).is_done()


def test_what_a_setting_that_is_left_out_was_when_it_counted_is_compared(tmp_path):
    """Left out where it says nothing, so that a record without it stays valid; one with another value does not."""
    finish(stage(tmp_path, column="body"))
    again = stage(tmp_path)
    again.left_out = {"column": "text", "never_recorded": 1}
    with pytest.raises(UserError, match="column was 'body', is now 'text'"):
        again.is_done()
    again.left_out = {"column": "body"}
    assert again.is_done()


def test_names_among_paths_are_compared_and_paths_are_not(tmp_path):
    """Of `--teacher LARGE,svm` the folder has a fingerprint, which stays the same without svm or with crf."""
    text = tmp_path / "input.txt"
    finish(stage(tmp_path, text=f"{text},svm"))
    for same in (f"svm,{text}", f"{tmp_path / 'records' / '..' / 'input.txt'}, svm"):
        assert stage(tmp_path, text=same).is_done()
    for other in (str(text), f"{text},crf", f"{text},svm,crf"):
        with pytest.raises(UserError, match=r"text was '.*,svm', is now"):
            stage(tmp_path, text=other).is_done()


def test_other_settings_or_inputs_are_refused(tmp_path):
    finish(stage(tmp_path))
    with pytest.raises(UserError, match="size was 3, is now 4"):
        stage(tmp_path, size=4).is_done()
    changed = stage(tmp_path)
    (tmp_path / "input.txt").write_text("changed")
    changed = Stage("made", {"size": 3}, tmp_path / "out", {"text": tmp_path / "input.txt"})
    with pytest.raises(UserError, match="text was"):
        changed.is_done()
    with pytest.raises(UserError, match=r"nowhere \(text"):
        Stage("made", {}, tmp_path / "out", {"text": tmp_path / "nowhere"})


def test_interrupted_run(tmp_path):
    one = stage(tmp_path)
    assert one.begin(resume=True) is False
    (one.folder / "half.txt").write_text("half")
    assert stage(tmp_path).begin(resume=True) is True and (one.folder / "half.txt").exists()
    with pytest.raises(UserError, match="interrupted run with other settings"):
        stage(tmp_path, size=4).begin(resume=True)
    assert stage(tmp_path, size=4).begin(resume=True, overwrite=True) is False
    assert not (one.folder / "half.txt").exists()


@pytest.mark.parametrize(
    ("setting", "before", "now"), [("save_dtype", "float16", "float32"), ("max_shard_size", "5GB", "1GB")]
)
def test_a_run_that_could_not_be_stored_goes_on_to_be_stored_otherwise(tmp_path, setting, before, now):
    """A weight too large for float16, or a file for the disk, is known after the training, which must not be lost."""
    stage(tmp_path, **{setting: before}).begin()
    again = stage(tmp_path, **{setting: now})
    assert again.begin(resume=True)
    assert again.finish({})["settings"][setting] == now
    with pytest.raises(UserError, match=f"{setting} was '{now}', is now '{before}'"):
        stage(tmp_path, **{setting: before}).is_done()


def test_fingerprint_follows_content(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    first = fingerprint(tmp_path / "a")
    (tmp_path / "a" / "x").write_text("2")
    assert fingerprint(tmp_path / "a") != first
    (tmp_path / "a" / "x").write_text("1")
    assert fingerprint(tmp_path / "a") == first


def test_a_record_among_a_users_own_files_hides_no_change_of_them(tmp_path):
    """It may be that of the stage which made a few of them, or anything that somebody called so."""

    def seen():
        return Stage("made", {}, tmp_path.parent / "out", {"texts": tmp_path}, users_folders=("texts",))._fingerprints

    for record in ('{"files": {"x": "0123"}}', '{"fingerprint": "0123"}', "[]", '"x"'):
        (tmp_path / "x").write_text("1")
        (tmp_path / "record.json").write_text(record)
        before = seen()
        (tmp_path / "x").write_text("2")
        assert seen() != before
        assert (fingerprint(tmp_path) == seen()["texts"]) == (not record.startswith("{"))


def test_the_roots_files_are_those_of_the_record():
    """What stands in the root is what its record tells of: nobody has put other weights beside it."""
    files = json.loads((ROOT / "records" / "checkpoint.json").read_text(encoding="utf-8"))["files"]
    assert files.keys() >= {"pytorch_model.bin", "config.json", "vocab.txt"}
    assert {name: sha256_of(ROOT / name) for name in files} == files


# Whose output is which input of which other stage.
LINKS = [
    ("corpus", "tokenizer", "corpus_dir"),
    ("corpus", "shards", "corpus_dir"),
    ("tokenizer", "shards", "tokenizer"),
    *(
        (maker, user, label)
        for user in ("shallow_pretraining", "short_pretraining", "pretraining")
        for maker, label in (("shards", "shards_dir"), ("tokenizer", "tokenizer"), ("word_vectors", "word_embeddings"))
    ),
    ("shards", "word_vectors", "shards_dir"),
    ("shards", "guide", "shards_dir"),
    *(("guide", user, "guide") for user in ("short_pretraining", "pretraining")),
    ("shallow_pretraining", "short_pretraining", "model_name_or_path"),
    ("short_pretraining", "pretraining", "model_name_or_path"),
    *(("pretraining", user, "model_name_or_path") for user in ("checkpoint", "checkpoint_quality")),
    # the root itself
    *(
        ("checkpoint", user, "model_name_or_path")
        for user in ("livedoor", "ner", "adapted_livedoor", "livedoor-silver", "ner-silver")
    ),
    ("adapted_livedoor", "livedoor-adapted", "model_name_or_path"),
    *(("checkpoint", f"learning_curve_{task}", "model_name_or_path") for task in ("livedoor", "ner")),
    # Fine-tuned once more, and what was measured on those weights.
    ("checkpoint", "ner-again", "model_name_or_path"),
    *(("ner-again", user, "finetuned") for user in ("cuts_ner", "card_treatment_ner")),
    ("ner-again", "onnx_variants_ner", "model_name_or_path"),
    *(
        ("checkpoint", user, "model_name_or_path")
        for user in ("livedoor-silver-svm", "ner-silver-e5", "ner-silver-self")
    ),
    ("ner-e5", "ner-silver-e5", "teacher"),
    ("ner-again", "ner-silver-self", "teacher"),
    *(("compressed_ner_fast", user, "model_folder") for user in ("profile", "service_mixture")),
    *(
        (task, f"compressed_{task}_{treatment}", "model_name_or_path")
        for task in ("livedoor", "ner")
        for treatment in ("card", "onnx", "fast")
    ),
    ("livedoor", "compressed_livedoor_fast-spread", "model_name_or_path"),
    # Fine-tuned on a processor without VNNI or bf16, cut there, and timed.
    ("checkpoint", "livedoor-fp32", "model_name_or_path"),
    *(("livedoor-fp32", f"compressed_livedoor_{cut}", "model_name_or_path") for cut in ("fast-fp32", "fast-labels")),
    ("livedoor-fp32", "speed_livedoor_avx2", "mobilebert"),
    ("compressed_livedoor_fast-fp32", "speed_livedoor_avx2", "fast"),
    *((task, f"speed_{task}", "mobilebert") for task in ("livedoor", "ner")),
    *(
        (f"compressed_{task}_{treatment}", f"speed_{task}", treatment)
        for task in ("livedoor", "ner")
        for treatment in ("card", "onnx", "fast")
    ),
]

# Those of which one record, or that input of it, may be missing from `records/`: it was made by another road, or its
# stage is not run for the card. Every other link must be found.
MAY_BE_ABSENT = {
    *(
        (maker, "shallow_pretraining", label)
        for maker, label in (("shards", "shards_dir"), ("tokenizer", "tokenizer"), ("word_vectors", "word_embeddings"))
    ),
    ("word_vectors", "pretraining", "word_embeddings"),  # the last of two runs starts from the one before it
    ("shallow_pretraining", "short_pretraining", "model_name_or_path"),
    ("checkpoint", "ner-silver", "model_name_or_path"),
}


def test_each_record_was_made_from_what_the_one_before_it_made(tmp_path):
    records = {path.stem: read_record(path) for path in (ROOT / "records").glob("*.json")}
    assert set(LINKS) >= MAY_BE_ABSENT
    for maker, user, label in LINKS:
        if maker not in records or label not in records.get(user, {}).get("inputs", {}):
            assert (maker, user, label) in MAY_BE_ABSENT, f"no record tells the {label} of {user} made by {maker}"
            continue
        (tmp_path / "record.json").write_text(json.dumps(records[maker]))
        made = {
            fingerprint(tmp_path),
            *(each[:16] for each in records[maker]["files"].values()),
            *records[maker].get("copies", {}).values(),  # what another machine was given, in another form
        }  # all of it, or a file
        assert records[user]["inputs"][label] in made, f"{user} was not made from the {maker} of its record"


def test_a_record_is_written_though_the_folder_it_was_started_in_is_gone(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    monkeypatch.setattr("sys.argv", ["/scripts/finetune.py", "--task", "ner"])
    assert finish(stage(tmp_path))["command"] == "/scripts/finetune.py --task ner"


def test_an_output_in_the_place_of_what_it_is_made_from_is_refused(tmp_path):
    """The fine-tuned model would be gone after `compress.py --output_dir work/finetuned/ner --overwrite`."""
    made = stage(tmp_path)
    finish(made)
    (tmp_path / "link").symlink_to(tmp_path / "out")
    for output, given in (("out", "out"), ("link", "out"), ("out", "out/result.txt")):
        with pytest.raises(UserError, match="stands where this stage is to write"):
            Stage("next", {}, tmp_path / output, {"model_name_or_path": tmp_path / given})
    Stage("next", {}, tmp_path / "out-2", {"model_name_or_path": tmp_path / "out"})
    assert (tmp_path / "out" / "result.txt").exists()


@pytest.mark.slow
@pytest.mark.parametrize("again", [{}, {"resume": True}, {"resume": True, "overwrite": True}])
def test_two_runs_do_not_work_in_one_folder(tmp_path, again):
    """Nor does the second one remove what the first has done; a run that was killed keeps no one out."""
    one = stage(tmp_path)
    lines = (
        "import sys",
        "from mobilebert_ja.common.records import Stage",
        "folder = __import__('pathlib').Path(sys.argv[1])",
        "one = Stage('made', {'size': 3}, folder / 'out', {'text': folder / 'input.txt'})",
        "one.begin()",
        "print('begun', flush=True)",
        "input()",
    )
    command = [sys.executable, "-c", "\n".join(lines), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None and first.stdout.readline() == b"begun\n"
        (one.folder / "half.txt").write_text("first's")
        with pytest.raises(UserError, match=r"Another run is working in .*out\.partial; wait for it to end"):
            one.begin(**again)
        assert (one.folder / "half.txt").read_text() == "first's"
        first.kill()
    assert one.begin(**again) is again.get("resume", False)
    assert (one.folder / "half.txt").exists() is again.get("resume", False)
    one.finish({})
    assert sorted(file.name for file in one.output_dir.iterdir()) == sorted(
        ["record.json", *(["half.txt"] if again else [])]
    )


def test_a_process_that_begins_anew_does_not_keep_itself_out(tmp_path):
    first = stage(tmp_path)
    first.begin()
    assert stage(tmp_path).begin(resume=True)
    assert finish(stage(tmp_path))["files"].keys() == {"result.txt"}


def test_a_lock_that_was_left_alone_in_a_folder_is_nothing(tmp_path):
    one = stage(tmp_path)
    hold(one.folder).close()
    finish(one)
    assert not one.folder.exists()


def test_a_file_system_without_locks_is_worked_in(tmp_path, monkeypatch):
    def none(*_arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", none)
    finish(stage(tmp_path))
