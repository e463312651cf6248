"""Raw text of every kind of source, as a stream of documents."""

import gzip
import json
import lzma
import os
import subprocess
import sys

import pytest
from backports import zstd

from helpers.paths import SCRIPTS
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.data import sources


def test_documents_of_every_format(tmp_path):
    (tmp_path / "a.txt").write_text("一\n二\n\n\n三\n", encoding="utf-8")
    with lzma.open(tmp_path / "b.txt.xz", "wt", encoding="utf-8") as stream:
        stream.write("四\n")
    with gzip.open(tmp_path / "c.jsonl.gz", "wt", encoding="utf-8") as stream:
        stream.write(json.dumps({"text": "五\n六"}) + "\n")
    with zstd.open(tmp_path / "d.txt.zst", "wt", encoding="utf-8") as stream:
        stream.write("七\n")
    parts = sources.parts_of("text", [str(tmp_path)], tmp_path)
    assert {part.name: list(part.documents()) for part in parts} == {
        "a": [["一", "二"], ["三"]],
        "b": [["四"]],
        "c": [["五", "六"]],
        "d": [["七"]],
    }


def test_a_file_without_blank_lines_is_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MAX_DOCUMENT_CHARS", 10)
    (tmp_path / "a.txt").write_text("いろはに\n" * 7, encoding="utf-8")
    assert [len(document) for document in sources.text_documents(tmp_path / "a.txt")] == [3, 3, 1]


def test_lines_out_of_json_end_where_those_of_files_do(tmp_path):
    """In a line separator, a form feed or a unit separator no paragraph ends, whatever the file's kind."""
    text = "一\u2028二\n三\x0c四\r\n五\x1f六\r七\x85八\n"
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": text}) + "\n")
    (tmp_path / "b.txt").write_bytes(text.replace("\r七", "\n七").encode())
    (document,) = sources.text_documents(tmp_path / "a.jsonl")
    assert document == ["一\u2028二", "三\x0c四", "五\x1f六", "七\x85八"]
    assert list(sources.text_documents(tmp_path / "b.txt")) == [document]
    assert sources.paragraphs("") == [] and sources.paragraphs("一\n\n") == ["一", ""]


def test_halves_of_surrogate_pairs(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "壊れた\\ud83d文字"}\n', encoding="utf-8")
    (document,) = sources.text_documents(tmp_path / "a.jsonl")
    assert document == ["壊れた?文字"]


def test_cirrussearch_dump(tmp_path):
    path = tmp_path / "jawiki-content.json.gz"
    articles = (
        {"title": "猫", "text": "猫は動物である。"},
        {"title": "空", "text": ""},
        {"title": "毛", "text": "猫 > 毛 毛は長い。"},
    )
    with gzip.open(path, "wt", encoding="utf-8") as stream:
        for number, article in enumerate(articles):
            stream.write(json.dumps({"index": {"_id": str(number)}}) + "\n" + json.dumps(article) + "\n")
    (part,) = sources.parts_of("cirrussearch", [str(path)], tmp_path)
    assert list(part.documents()) == [["猫は動物である。"], ["毛は長い。"]]


def test_what_is_not_a_dump(tmp_path):
    with pytest.raises(UserError, match=r"other/cirrussearch/ and give it with --input"):
        sources.parts_of("cirrussearch", [str(tmp_path / "nowhere.json.gz")], tmp_path)
    (tmp_path / "dump.json").write_text("<html>\n")
    (part,) = sources.parts_of("cirrussearch", [str(tmp_path / "dump.json")], tmp_path)
    with pytest.raises(UserError, match="line 1 is not JSON"):
        list(part.documents())


@pytest.mark.slow
def test_hub_that_cannot_be_reached_says_what_to_do(tmp_path):
    """The real client against a port where nothing listens: no retrying, no traceback."""
    command = [
        sys.executable,
        SCRIPTS / "build_corpus.py",
        "--source",
        "hub",
        "--input",
        "wikimedia/wikipedia:20231101.ja",
    ]
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"}
    done = subprocess.run(
        [str(part) for part in command], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("error: The Hub data set wikimedia/wikipedia cannot be read")
    assert "--source text --input" in sentence


def test_data_set_that_is_none(tmp_path):
    (tmp_path / "data.jsonl").write_text('{"title": "一"}\n')
    sources.require_hub(str(tmp_path))
    with pytest.raises(UserError, match='no column "text"'):
        list(sources.hub_documents(str(tmp_path)))
    with pytest.raises(UserError, match="--source text --input"):
        list(sources.hub_documents(str(tmp_path / "nowhere")))


def test_a_data_set_of_articles_is_streamed(tmp_path):
    (tmp_path / "data.jsonl").write_text(json.dumps({"text": "一\n二"}) + "\n" + json.dumps({"text": "三"}) + "\n")
    assert list(sources.hub_documents(str(tmp_path))) == [["一", "二"], ["三"]]


def test_files_of_one_name(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.txt").write_text("文。\n")
    with pytest.raises(UserError, match="both called same"):
        sources.parts_of("text", [str(tmp_path)], tmp_path)


def test_of_a_folder_only_files_of_text_are_read(tmp_path):
    (tmp_path / "inside").mkdir()
    for name in ("a.txt", "meta.json", "b.csv.gz", "model.gz", "notes", "inside/c.JSONL"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "d.txt.gz").write_bytes(gzip.compress(b""))
    assert [part.name for part in sources.parts_of("text", [str(tmp_path)], tmp_path)] == ["a", "c", "d"]


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_damaged_compression_names_the_file(tmp_path, suffix):
    path = tmp_path / f"a.txt{suffix}"
    opener = {".gz": gzip.open, ".xz": lzma.open, ".zst": zstd.open}[suffix]
    with opener(path, "wb") as stream:
        stream.write("文である。\n".encode() * 5000)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"a\.txt.* is damaged"):
        list(sources.text_documents(path))


def test_files_from_windows_are_not_passed_over(tmp_path):
    """Endings in capitals, and names in CP932, as they are unpacked from a ZIP."""
    (tmp_path / "A.TXT").write_text("一\n", encoding="utf-8")
    (tmp_path / "b.JsonL").write_text('{"text": "二"}\n', encoding="utf-8")
    (tmp_path / "C.TXT.GZ").write_bytes(gzip.compress("三\n".encode()))
    (tmp_path / os.fsdecode("表.txt".encode("cp932"))).write_text("四\n", encoding="utf-8")
    parts = sources.parts_of("text", [str(tmp_path)], tmp_path)
    assert {part.name: list(part.documents()) for part in parts} == {
        "A": [["一"]], "b": [["二"]], "C": [["三"]], "\ufffd\\": [["四"]]
    }  # fmt: skip


@pytest.mark.parametrize("line", ["[" * 100_000, "[1]", "5", '{"text": 5}', f'{{"text": {"9" * 5000}}}'], ids=len)
def test_a_line_of_a_dump_that_is_no_article(tmp_path, line):
    (tmp_path / "dump.json").write_text(f'{{"index": {{}}}}\n{line}\n')
    (part,) = sources.parts_of("cirrussearch", [str(tmp_path / "dump.json")], tmp_path)
    with pytest.raises(UserError, match=r"dump\.json, line 2 is .*; expected a CirrusSearch content dump"):
        list(part.documents())


def test_a_row_of_a_data_set_without_a_text(tmp_path):
    (tmp_path / "data.jsonl").write_text('{"text": "一"}\n{"text": null}\n')
    assert list(sources.hub_documents(str(tmp_path))) == [["一"], []]
