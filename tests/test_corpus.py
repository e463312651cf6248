"""Sources, duplicates, the held-out part, and the stage itself on good and on bad input."""

import gzip
import json
import lzma
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from mobilebert_ja import corpus
from mobilebert_ja.errors import UserError

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
TEXT = "\n".join(
    f"これは{number}番目の文書の最初の文である。これは{number}番目の文書の二つ目の文である。\n" for number in range(60)
)


def build(folder: Path, *flags: str, **extra) -> subprocess.CompletedProcess:
    command = [
        sys.executable,
        SCRIPTS / "build_corpus.py",
        "--work_dir",
        folder / "work",
        "--heldout_every",
        "5",
        *flags,
    ]
    return subprocess.run([str(each) for each in command], capture_output=True, text=True, cwd=folder, **extra)


def one_sentence(done: subprocess.CompletedProcess) -> str:
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


def test_documents_of_every_format(tmp_path):
    (tmp_path / "a.txt").write_text("一\n二\n\n\n三\n", encoding="utf-8")
    with lzma.open(tmp_path / "b.txt.xz", "wt", encoding="utf-8") as stream:
        stream.write("四\n")
    with gzip.open(tmp_path / "c.jsonl.gz", "wt", encoding="utf-8") as stream:
        stream.write(json.dumps({"text": "五\n六"}) + "\n")
    parts = corpus.open_source("text", str(tmp_path))
    assert {name: list(documents) for name, documents in parts.items()} == {
        "a": [["一", "二"], ["三"]], "b": [["四"]], "c": [["五", "六"]],
    }  # fmt: skip


def test_cirrussearch_dump(tmp_path):
    path = tmp_path / "jawiki-content.json.gz"
    with gzip.open(path, "wt", encoding="utf-8") as stream:
        for index, article in (("1", {"title": "猫", "text": "猫は動物である。"}), ("2", {"title": "空", "text": ""})):
            stream.write(json.dumps({"index": {"_id": index}}) + "\n" + json.dumps(article) + "\n")
    (documents,) = corpus.open_source("cirrussearch", str(path)).values()
    assert list(documents) == [["猫は動物である。"]]


def test_hub_without_the_library_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match="--source text --input"):
        list(corpus.hub_documents("wikimedia/wikipedia:20231101.ja"))


def test_duplicates_and_evaluation_sentences_are_dropped(tmp_path):
    (tmp_path / "ner.json").write_text(json.dumps([{"text": "試験に使う文である。"}]), encoding="utf-8")
    distinct = corpus.Distinct(corpus.excluded_sentences([tmp_path / "ner.json"]), heldout_every=10**9)
    assert distinct.filter(["一つ目の文。", "試験に使う文である。", "一つ目の文。"])[1] == ["一つ目の文。"]
    assert distinct.filter(["一つ目の文。", "二つ目の文。"])[1] == ["二つ目の文。"]
    assert distinct.filter(["一つ目の文。", "二つ目の文。"])[1] == []
    assert distinct.counts == {"evaluation_sentences": 1, "duplicate_sentences": 2, "duplicate_documents": 1}


def test_stage_is_the_same_with_one_and_two_workers(tmp_path):
    (tmp_path / "made.txt").write_text(TEXT, encoding="utf-8")
    written = []
    for workers in ("1", "2"):
        done = build(tmp_path, "--input", "made.txt", "--num_workers", workers, "--output_dir", f"out{workers}")
        assert done.returncode == 0, done.stderr
        written.append(
            {part: (tmp_path / f"out{workers}" / part / "made.txt").read_bytes() for part in ("train", "heldout")}
        )
    assert written[0] == written[1]
    metrics = json.loads((tmp_path / "out1" / "record.json").read_text())["metrics"]
    assert metrics["train"]["sentences"] + metrics["heldout"]["sentences"] == 120
    assert metrics["train"]["documents"] + metrics["heldout"]["documents"] == 60
    assert 0 < metrics["heldout"]["documents"] < 30


def test_missing_input(tmp_path):
    assert "nowhere.txt does not exist" in one_sentence(build(tmp_path, "--input", "nowhere.txt"))
    (tmp_path / "empty").mkdir()
    assert "holds no text" in one_sentence(build(tmp_path, "--input", "empty"))


def test_empty_corpus(tmp_path):
    (tmp_path / "made.txt").write_text("短い。\n", encoding="utf-8")
    assert "no sentence of 10 to 200 characters" in one_sentence(build(tmp_path, "--input", "made.txt"))
    assert not (tmp_path / "work" / "corpus").exists()


def test_not_utf8_names_file_and_byte(tmp_path):
    good = "正しい行。\n".encode()
    (tmp_path / "sjis.txt").write_bytes(good + "日本語の文章です。".encode("shift_jis"))
    message = one_sentence(build(tmp_path, "--input", "sjis.txt"))
    assert "sjis.txt is not UTF-8" in message and f"byte {len(good)} is 0x93" in message


def test_data_folder_without_what_is_expected(tmp_path):
    (tmp_path / "data").mkdir()
    assert "corpus does not exist" in one_sentence(build(tmp_path, "--data_dir", "data"))
    (tmp_path / "data" / "corpus").mkdir()
    assert "ner.json does not exist" in one_sentence(build(tmp_path, "--data_dir", "data"))


def test_full_disk_leaves_no_output_that_looks_finished(tmp_path):
    (tmp_path / "made.txt").write_text(
        TEXT * 20 + "\n".join(f"別の{n}番目の文がここにあるのだ。\n" for n in range(9000))
    )

    def small_files_only() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    message = one_sentence(build(tmp_path, "--input", "made.txt", preexec_fn=small_files_only))
    assert "File too large" in message and ".partial" in message
    assert not (tmp_path / "work" / "corpus").exists()
