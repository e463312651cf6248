"""Folders of JSON Lines and Parquet, answered in tasks: killed, gone on with, and what is refused before the work."""

import gzip
import json
import os
import shutil
import subprocess
import sys

import pyarrow
import pyarrow.parquet
import pytest

import predict as predict_script
from helpers.files.task_data import TEXTS
from helpers.models.fast_models import write_sped_up
from helpers.paths import SCRIPTS
from helpers.running.processes import call_entry, one_sentence, run_at_work_in, wait_until
from mobilebert_ja.bulk.answers import as_lines
from mobilebert_ja.bulk.folders import AnswerFiles, answer_folder, files_to_answer
from mobilebert_ja.corpus.executors import RunNotEnded
from mobilebert_ja.runtime import load


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_sped_up(tmp_path_factory.mktemp("fast"), "ner")


def json_lines(texts):
    return "".join(json.dumps({"id": number, "text": text}) + "\n" for number, text in enumerate(texts)).encode()


@pytest.fixture
def texts(tmp_path):
    """A folder with a file of each kind; the last of them is long."""
    folder = tmp_path / "in"
    (folder / "more").mkdir(parents=True)
    (folder / "a.jsonl").write_bytes(json_lines(TEXTS[:10]) + b"\n")
    with gzip.open(folder / "more" / "b.jsonl.gz", "wb") as stream:
        stream.write(json_lines([*TEXTS[10:20], "田中\ud800太郎"]))
    table = pyarrow.table({"number": range(len(TEXTS)), "text": TEXTS})
    pyarrow.parquet.write_table(table, folder / "more" / "c.parquet")
    (folder / "z.jsonl").write_bytes(json_lines(TEXTS * 100))
    (folder / "notes.txt").write_text("no texts")
    return folder


def wanted(model):
    answerer = load(model)
    given = {
        "a.jsonl": TEXTS[:10],
        "more/b.jsonl": [*TEXTS[10:20], "田中?太郎"],
        "more/c.jsonl": TEXTS,
        "z.jsonl": TEXTS * 100,
    }
    return {name: as_lines(answerer, 1, texts) for name, texts in given.items()}


def answers_in(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.jsonl*") if path.is_file()}


def predict(model, *flags, cwd=None):
    return call_entry(predict_script, model, "--num_workers", 1, *flags, cwd=cwd)


@pytest.mark.slow
def test_killed_and_started_again_it_goes_on(model, texts, tmp_path):
    folders = ("--input_folder", texts, "--output_folder", tmp_path / "out")
    command = [sys.executable, SCRIPTS / "predict.py", model, *folders, "--num_workers", "2"]
    process = subprocess.Popen([str(part) for part in command], stderr=subprocess.DEVNULL)
    unfinished = tmp_path / "out.partial"
    wait_until(lambda: any((unfinished / "passes" / "answers" / "completions").glob("*")), process)
    process.kill()
    process.wait()
    done = {path: path.stat().st_mtime_ns for path in unfinished.rglob("*.jsonl")}
    assert done and not (tmp_path / "out").exists()
    ended = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "answers to 4 files" in ended.stdout
    assert answers_in(tmp_path / "out") == wanted(model)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.jsonl", "more", "z.jsonl", "record.json"}
    now = {path: (tmp_path / "out" / path.relative_to(unfinished)).stat().st_mtime_ns for path in done}
    assert any(now[path] == at for path, at in done.items())  # not made anew


@pytest.mark.slow
def test_a_run_at_work_is_not_overwritten(model, texts, tmp_path):
    """Nor one whose texts stand in a folder of the name that is usual for logs."""
    os.unlink(texts / "z.jsonl")
    unfinished = tmp_path / "out.partial"
    (unfinished / "passes_").mkdir(parents=True)
    (unfinished / "identity.json").write_text('{"settings": {"text_column": "body"}, "inputs": {}}')
    flags = ("--input_folder", texts, "--output_folder", tmp_path / "out", "--overwrite")
    with run_at_work_in(unfinished / "passes_"):
        assert "Another run is working in" in one_sentence(predict(model, *flags))
        assert (unfinished / "passes_" / "run.lock").exists()
    assert predict(model, *flags).returncode == 0


@pytest.mark.slow
def test_what_is_done_is_not_done_again(model, texts, tmp_path):
    os.unlink(texts / "z.jsonl")
    (texts / "record.json").write_text('{"files": {}}')  # of whoever made them; what is compared are the texts
    folders = ("--input_folder", texts, "--output_folder", tmp_path / "out")
    assert predict(model, *folders).returncode == 0
    record = (tmp_path / "out" / "record.json").read_bytes()
    assert "nothing to do" in predict(model, *folders).stdout
    assert (tmp_path / "out" / "record.json").read_bytes() == record
    (texts / "a.jsonl").write_bytes(json_lines(["今日も天気が良い。"]))
    assert "out was made otherwise (input_folder was" in one_sentence(predict(model, *folders))
    assert predict(model, *folders, "--overwrite").returncode == 0
    assert answers_in(tmp_path / "out")["a.jsonl"].count(b"\n") == 1


@pytest.mark.slow
def test_a_subfolder_called_as_the_logs_is_answered_too(model, tmp_path):
    for name in ("passes/a.jsonl", "passes/answers/b.jsonl", "Passes_/c.jsonl", "d.jsonl"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(json_lines(TEXTS[:2]))
    done = predict(model, "--input_folder", tmp_path / "in", "--output_folder", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    made = answers_in(tmp_path / "out")
    assert set(made) == set(answers_in(tmp_path / "in")) and set(made.values()) == {
        as_lines(load(model), 1, TEXTS[:2])
    }
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"passes", "Passes_", "d.jsonl", "record.json"}


def test_answers_that_are_not_there_at_the_end_are_told(model, texts, tmp_path, monkeypatch):
    monkeypatch.setattr(AnswerFiles, "run", lambda *_, **__: None)
    with pytest.raises(RunNotEnded, match=r"lacks the answers to 4 of 4 files, a\.jsonl for example"):
        answer_folder(model, texts, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def broken(folder):
    (folder / "d.jsonl").write_text("{not json\n")


def another_column(folder):
    pyarrow.parquet.write_table(pyarrow.table({"title": TEXTS}), folder / "d.parquet")


def no_table(folder):
    (folder / "d.parquet").write_bytes(b"no table")


def damaged(folder):
    path = folder / "d.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": TEXTS}), path, use_dictionary=False)
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"\xff" * 32 + content[36:])  # the first page; the description at the end is whole


def not_utf8(folder):
    texts = pyarrow.array([b"text", "画面".encode("cp932")], pyarrow.binary()).view(pyarrow.string())
    pyarrow.parquet.write_table(pyarrow.table({"text": texts}), folder / "d.parquet")


def no_text(folder):
    (folder / "d.jsonl").write_text('{"text": null}\n')


def twice(folder):
    shutil.copy(folder / "more" / "b.jsonl.gz", folder / "more" / "c.jsonl.gz")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (broken, "in/d.jsonl, line 1 is not valid JSON"),
        (another_column, "in/d.parquet has no column text; it has title."),
        (no_table, "in/d.parquet is no Parquet file that can be read"),
        (damaged, "in/d.parquet is no Parquet file that can be read"),
        (not_utf8, "in/d.parquet holds in text, past row 0, what is not UTF-8."),
        (no_text, "in/d.jsonl, line 1: text must be a text, not None (--text_column names the column)."),
        (twice, "the answers to 2 files would all be called more/c.jsonl; rename them."),
        (shutil.rmtree, "in does not exist."),
    ],
)
def test_broken_input_is_refused_before_the_work(model, texts, tmp_path, harm, words):
    harm(texts)
    said = one_sentence(predict(model, "--input_folder", texts, "--output_folder", tmp_path / "out"))
    assert words in said
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--input_folder", "in"), "--input_folder and --output_folder go together."),
        (("--input_folder", "in", "--output_folder", "in/out"), "in/out stands in in, all of which is read"),
        (
            ("--input_folder", "in", "--output_folder", "o", "--encoding", "cp932"),
            "--encoding says nothing about a folder.",
        ),
        (("--executor", "ray"), "--executor says nothing about lines of text."),
        (("--input_folder", "empty", "--output_folder", "o"), "empty holds no texts: expected .jsonl"),
        (("--input_folder", "in", "--output_folder", "notours"), "notours exists and was not made by this stage"),
        (
            ("--input_folder", "in", "--output_folder", "o", "--executor_options", "[]"),
            "--executor_options does not fit the local executor",
        ),
    ],
)
def test_flags_that_do_not_go_together(model, texts, tmp_path, flags, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notours").mkdir()
    (tmp_path / "notours" / "mine").write_text("mine")
    assert words in one_sentence(predict(model, *flags, cwd=tmp_path))
    assert (tmp_path / "notours" / "mine").read_text() == "mine" and not (tmp_path / "o").exists()


def test_files_whose_endings_stand_in_capitals_are_answered_too(texts, tmp_path):
    folder = tmp_path / "windows"
    folder.mkdir()
    shutil.copy(texts / "a.jsonl", folder / "A.JSONL")
    shutil.copy(texts / "more" / "b.jsonl.gz", folder / "B.Jsonl.GZ")
    shutil.copy(texts / "more" / "c.parquet", folder / "C.PARQUET")
    assert list(files_to_answer(folder, "text")) == ["A.jsonl", "B.jsonl", "C.jsonl"]


def test_files_that_are_not_answered_are_told(texts, capsys):
    (texts / "rows.csv").write_text("text\n")
    (texts / ".DS_Store").write_text("hidden")
    files_to_answer(texts, "text")
    assert "in: notes.txt, rows.csv: neither .jsonl nor .parquet, and not answered" in capsys.readouterr().err
    for name in ("notes.txt", "rows.csv"):
        (texts / name).unlink()
    files_to_answer(texts, "text")
    assert not capsys.readouterr().err
