"""What a user has put somewhere is still there after --overwrite, wherever --output_dir points."""

import contextlib
import json
import os
from pathlib import Path

import pytest

import train_tokenizer
from helpers.running.processes import call_entry, one_sentence
from mobilebert_ja.common import folders
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.records import Stage

MANY = 30  # files of a kind, which a record lists under one checksum


def make(output, text="1", files=("model.bin", "sub/part.bin"), **settings):
    one = Stage("made", settings, output, {})
    assert not one.is_done(overwrite=True)
    one.begin(overwrite=True)
    for name in files:
        (one.folder / name).parent.mkdir(exist_ok=True)
        (one.folder / name).write_text(text)
    return one.finish({})


def content(folder):
    found = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
    found.pop("record.json", None)
    return found


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["out", "out.partial", "out.replaced"])
@pytest.mark.parametrize("theirs", ["notes.txt", "record.json", "sub/deep.txt", "sub/identity.json"])
def test_a_folder_that_no_stage_made_is_left_alone(tmp_path, name, theirs, overwrite):
    place = tmp_path / name / theirs
    place.parent.mkdir(parents=True)
    place.write_text("{}")
    one = Stage("made", {}, tmp_path / "out", {})
    with pytest.raises(UserError, match=rf"{name} exists and was not made by this stage; it is left alone"):
        assert not one.is_done(overwrite)  # before anything is read that takes time
        one.begin(overwrite=overwrite)
    assert place.read_text() == "{}"


@pytest.mark.parametrize("output", ["notes.txt", "notes.txt/out", "notes.txt/deeper/out"])
def test_a_file_in_the_place_of_a_folder_is_one_sentence(tmp_path, output):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"notes\.txt is a file, a folder was expected"):
        Stage("made", {}, tmp_path / output, {}).is_done(overwrite=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("output", [".", "./", "..", "../.", "sub/.."])
def test_where_one_stands_is_a_place_like_any_other(tmp_path, monkeypatch, output):
    (tmp_path / "here" / "sub").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(UserError, match="was not made by this stage"):
        Stage("made", {}, Path(output), {}).is_done(overwrite=True)
    with pytest.raises(UserError, match="/ is no folder that a stage can make"):
        Stage("made", {}, Path("/"), {})
    monkeypatch.chdir(tmp_path / "here" / "sub")
    make(Path("."))  # nothing is in it
    assert content(tmp_path / "here" / "sub").keys() == {"model.bin", "sub/part.bin"}


def test_an_empty_folder_is_as_good_as_none(tmp_path):
    (tmp_path / "out").mkdir()
    assert not Stage("made", {}, tmp_path / "out", {}).is_done()
    make(tmp_path / "out")
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


def test_what_a_user_put_into_an_output_stays_there(tmp_path):
    out = tmp_path / "out"
    make(out, "1")
    mine = {"notes.txt": "mine", "sub/notes.txt": "too", "sub/of/mine.bin": "deep"}
    for name, text in mine.items():
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text(text)
    (out / "link").symlink_to("sub")
    for number in ("2", "3"):
        record = make(out, number, size=number)
        assert record["files"].keys() == {"model.bin", "sub/part.bin"}
        assert content(out) == {"model.bin": number, "sub/part.bin": number} | mine
        assert os.readlink(out / "link") == "sub"
        assert [each.name for each in tmp_path.iterdir()] == ["out"]


def test_a_users_file_of_the_name_of_a_new_one_is_kept_under_another(tmp_path):
    out = tmp_path / "out"
    make(out, "1", ["model.bin"])
    (out / "sub").write_text("a file where a folder comes")
    (out / "new.bin").mkdir()
    (out / "new.bin" / "notes.txt").write_text("a folder where a file comes")
    (out / "result.txt").write_text("mine")
    (out / "result.txt.kept").write_text("also mine")
    make(out, "2", ["model.bin", "sub/part.bin", "new.bin", "result.txt"])
    assert content(out) == {
        **dict.fromkeys(["model.bin", "sub/part.bin", "new.bin", "result.txt"], "2"),
        "sub.kept": "a file where a folder comes",
        "new.bin.kept/notes.txt": "a folder where a file comes",
        "result.txt.kept": "also mine",
        "result.txt.kept.kept": "mine",
    }


def test_many_files_under_one_checksum(tmp_path):
    out, names = tmp_path / "out", [f"{number}.npy" for number in range(MANY)]
    assert list(make(out, "1", names)["files"]) == [f"*.npy ({MANY} files)"]
    make(out, "2", names[:25])
    assert content(out) == dict.fromkeys(names[:25], "2")
    (out / "mine.npy").write_text("mine")  # now nobody knows which of them are ours
    make(out, "3", names[:22])
    found = content(out)
    assert found["mine.npy"] == "mine" and {found[name] for name in names[:22]} == {"3"}
    assert {found[f"{name}.kept"] for name in names[:22]} == {"2"}


@pytest.mark.parametrize("allowed", range(4))  # renames before the machine stops; there are three
def test_interrupted_between_two_renames(tmp_path, monkeypatch, allowed):
    """The old output stands aside whole, or the new one in its place; what is the user's comes back by and by."""
    out, done, real = tmp_path / "out", [], os.rename
    make(out, "1")
    (out / "notes.txt").write_text("mine")
    before = content(out)

    def rename(source, target):
        if len(done) == allowed:
            raise RuntimeError("stopped")
        done.append(target)
        real(source, target)

    one = Stage("made", {"size": 2}, out, {})
    one.begin()
    (one.folder / "model.bin").write_text("2")
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", rename)
        with pytest.raises(RuntimeError, match="stopped") if allowed < 3 else contextlib.nullcontext():
            one.finish({})
    assert len(done) == allowed
    if allowed < 2:
        assert content(out if allowed == 0 else tmp_path / "out.replaced") == before
        assert one.begin(resume=True)  # the new one is not lost either
    else:
        assert content(out)["model.bin"] == "2" and "mine" in content(tmp_path).values()
    make(out, "3", ["model.bin"])
    found = content(out)
    assert found == {"model.bin": "3", "notes.txt": "mine"}
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


def test_an_output_behind_a_link_to_another_disk(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk" / "out")
    for number in "12":
        make(tmp_path / "out", number)
        (tmp_path / "out" / "notes.txt").write_text("mine")
    assert (tmp_path / "out").is_symlink() and content(tmp_path / "disk" / "out")["model.bin"] == "2"


def test_a_record_of_somebody_else_is_not_taken_for_ours(tmp_path):
    for theirs in ("[]", "{}", '{"stage": 1, "files": {}}', '{"files": {"a": "b"}}', '"text"'):
        (tmp_path / "record.json").write_text(theirs)
        assert folders.own_record(tmp_path) is None
    (tmp_path / "record.json").write_text(json.dumps({"stage": "made", "files": {}}))
    assert folders.own_record(tmp_path)


@pytest.mark.parametrize("output", ["keep/results", "."])
def test_a_script_told_to_overwrite_a_users_folder_says_so_and_leaves_it(tmp_path, output):
    (tmp_path / "corpus" / "train").mkdir(parents=True)
    (tmp_path / "keep" / "results").mkdir(parents=True)
    (tmp_path / "keep" / "results" / "notes.txt").write_text("mine")
    where = tmp_path if output != "." else tmp_path / "keep" / "results"
    done = call_entry(
        train_tokenizer, "--corpus_dir", tmp_path / "corpus", "--output_dir", output, "--overwrite", cwd=where
    )
    assert done.returncode == 1 and "results exists and was not made by this stage" in one_sentence(done)
    assert (tmp_path / "keep" / "results" / "notes.txt").read_text() == "mine"
