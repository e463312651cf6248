"""A user's raw texts in the formats that they come in, and which of their sentences are left out."""

import gzip
import json
from pathlib import Path

import pytest

from helpers.files.own_files import table
from helpers.files.task_data import write_livedoor, write_ner
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.tasks.own.texts import own_documents, own_texts, sentences_to_leave_out


def documents(path, column="text", encoding="utf-8"):
    return list(own_documents(path, column, encoding))


def test_documents_of_every_format(tmp_path):
    lines = "".join(json.dumps({"body": text}) + "\n" for text in ("一\r\n二", " ", "三\u2028四"))
    (tmp_path / "a.txt").write_bytes("\ufeff一\r\n二\r\n\r\n三\r\n".encode())
    (tmp_path / "b.csv").write_bytes(table([("一\n二", "x"), ("三", "y")], ("本文", "印")).encode("cp932"))
    (tmp_path / "c.tsv").write_text("text\tother\n一\t1\n\ntext\tother\n三\t2\n", encoding="utf-16")
    (tmp_path / "d.jsonl").write_text(lines)
    (tmp_path / "e.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "f.log").write_text("一\n", encoding="euc_jp")
    assert documents(tmp_path / "a.txt") == [["一", "二"], ["三"]]
    assert documents(tmp_path / "b.csv", "本文", "cp932") == [["一", "二"], ["三"]]
    assert documents(tmp_path / "c.tsv", encoding="utf-16") == [["一"], ["三"]]
    assert documents(tmp_path / "d.jsonl", "body") == documents(tmp_path / "e.jsonl.gz", "body")
    assert documents(tmp_path / "d.jsonl", "body") == [["一", "二"], ["三\u2028四"]]
    assert documents(tmp_path / "f.log", encoding="euc_jp") == [["一"]]


def test_texts_are_rows_or_lines(tmp_path):
    """For teachers a row is one text, whatever line breaks it has; plain text has one per line."""
    rows = [("一\n\n二 ", "x"), (" ", "z"), ("三", "y")]
    (tmp_path / "a.CSV").write_bytes(table(rows, ("本文", "印")).encode("cp932"))
    lines = "".join(json.dumps({"本文": text}) + "\n" for text, _ in rows)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    for name, encoding in (("a.CSV", "cp932"), ("b.jsonl.gz", "utf-8")):
        assert list(own_texts(tmp_path / name, "本文", encoding)) == ["一\n\n二", "三"]
    plain = "\ufeff一\r\n\r\n 二\u3000\r\n".encode()
    (tmp_path / "c.txt").write_bytes(plain)
    (tmp_path / "d.txt.gz").write_bytes(gzip.compress(plain))
    (tmp_path / "e.csv.txt").write_bytes("一\n二\n".encode())  # the last ending says how it is read
    assert [list(own_texts(tmp_path / name, "本文")) for name in ("c.txt", "d.txt.gz", "e.csv.txt")] == [
        ["一", "二"]
    ] * 3


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", b"", "a.txt is empty."),
        ("a.txt", b"\n \n", "a.txt is empty."),
        ("a.jsonl", b'{"text": ""}\n', "a.jsonl is empty."),
        ("a.csv", b"text\n", "a.csv is empty."),
        ("a.txt", b"\x89PNG\r\n\x1a\n\0\0", "line 1 is not UTF-8"),
        ("a.txt", "日本語の文章です。\n".encode("cp932"), "It looks like CP932: --encoding cp932 reads it."),
        ("a.csv", b"body,text\nx\n", "line 2 has 1 fields, the header has 2"),
        ("a.csv", b"body,other\nx,y\n", "has no column 'text'; it has 'body', 'other'. --text_column names"),
        ("a.csv", b"text,text\nx,y\n", "has 2 columns named 'text'"),
        ("a.jsonl", b'{"body": "x"}\n', "line 1 has no text 'text'; it has 'body'. --text_column names"),
        ("a.jsonl", b'{"text": 1}\n', "line 1: 'text' must be a text, not a int"),
        ("a.jsonl", b'{"text": "x"}\n{"text": null}\n', "line 2: 'text' must be a text, not null"),
        ("a.json", b'[{"text": "x"}]\n', r"as JSON Lines \(.jsonl\) have it"),
    ],
)
def test_what_is_no_text_is_one_sentence(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=words):
        documents(tmp_path / name)


def test_sentences_of_test_parts_in_every_format(tmp_path):
    (tmp_path / "test.csv").write_text(table([("画面がきれい。音も良い。", "良い")]), encoding="utf-8")
    (tmp_path / "test.txt").write_text("ﾃﾞﾝﾁが切れる。\n", encoding="utf-8")
    found = sentences_to_leave_out([tmp_path / "test.csv", tmp_path / "test.txt"], "text")
    assert {rule: len(digests) for rule, digests in found.items()} == {"evaluation_sentence": 3}
    public = [write_ner(tmp_path, 3), write_livedoor(tmp_path, {"smax": 2})]
    both = sentences_to_leave_out([*public, tmp_path / "test.csv"], "text")
    assert set(both) == {"evaluation_sentence", "evaluation_title"}
    assert len(both["evaluation_sentence"] & found["evaluation_sentence"]) == 2
    assert both["evaluation_title"] == sentences_to_leave_out(public, "text")["evaluation_title"]
    assert sentences_to_leave_out([], "text") == {}


def test_a_header_in_the_middle_is_no_text_whatever_its_letters(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("本文,text\n1,一\n本文 , TEXT\n2,二\n\ufeff本文,text\n3,三\n", encoding="utf-8")
    assert list(own_texts(tmp_path / "a.csv", "text")) == ["一", "二", "三"]
    assert "a.csv: line 3, 5: the header once more" in capsys.readouterr().err


@pytest.mark.parametrize("written", ["ラヘ\u3099ル", " ラベル "], ids=ascii)
def test_a_column_is_found_however_its_name_is_composed(tmp_path, written):
    (tmp_path / "a.csv").write_text(f"{written},b\n一,1\n", encoding="utf-8")
    (tmp_path / "a.jsonl").write_text(json.dumps({written: "一"}))
    assert [list(own_texts(tmp_path / name, "ラベル")) for name in ("a.csv", "a.jsonl")] == [["一"], ["一"]]


def test_a_compressed_table_is_a_table(tmp_path):
    """And no lines of text with a header, numbers and commas."""
    content = table([("一\n二", "x"), ("三", "y")], ("本文", "印")).encode("cp932")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(content))
    (tmp_path / "B.TSV.GZ").write_bytes(gzip.compress(content.replace(b",", b"\t")))
    (tmp_path / "c.txt.gz").write_bytes(gzip.compress("一\n二\n\n三\n".encode("cp932")))
    for name in ("a.csv.gz", "B.TSV.GZ", "c.txt.gz"):
        assert documents(tmp_path / name, "本文", "cp932") == [["一", "二"], ["三"]]
    (tmp_path / "d.csv.gz").write_bytes(gzip.compress(content)[:-20])
    with pytest.raises(UserError, match=r"d\.csv\.gz is damaged: it cannot be decompressed"):
        documents(tmp_path / "d.csv.gz", "本文", "cp932")


def test_texts_that_a_quote_joined_are_told(tmp_path, capsys):
    (tmp_path / "a.csv").write_text('text,n\n"一,1\n二",2\n三,3\n', encoding="utf-8")
    assert documents(tmp_path / "a.csv") == [["一,1", "二"], ["三"]]
    assert "1 texts look as if a quote had taken in the rows after their own, the first from line 2 to line 3" in (
        capsys.readouterr().err
    )
    (tmp_path / "a.csv").write_text(table([("一、\n二", "1")], ("text", "n")), encoding="utf-8")
    assert documents(tmp_path / "a.csv") == [["一、", "二"]] and capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (name, line)
        for name in ("a.jsonl", "a.jsonl.gz")
        for line in (
            "null",
            "5",
            '"text"',
            '{"text": null}',
            '{"text": ["一"]}',
            f'{{"text": {"9" * 5000}}}',
            "[" * 100_000,
        )
    ],
    ids=lambda value: value[:20],
)
def test_what_is_no_object_with_a_text_is_told_with_its_line(tmp_path, name, line):
    content = f'{{"text": "一"}}\n\n{line}\n'.encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with pytest.raises(UserError, match=r"a\.jsonl.*, line 3[: ]"):
        documents(tmp_path / name)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_compressed_file_is_read_by_the_rules_of_a_plain_one(tmp_path, compressed):
    def written(name: str, content: str) -> Path:
        path = tmp_path / (f"{name}.gz" if compressed else name)
        path.write_bytes(gzip.compress(content.encode()) if compressed else content.encode())
        return path

    with pytest.raises(UserError, match=r"a\.json(\.gz)?: a text per line is expected, as JSON Lines"):
        documents(written("a.json", '[{"text": "京都"}]'))
    with pytest.raises(UserError, match="line 1 has 'text' twice in one object"):
        documents(written("b.jsonl", '{"text": "一", "text": "二"}'))
    with pytest.raises(UserError, match=r"line 1 has no text 'text'; it has 'body'\. --text_column names the key"):
        documents(written("c.jsonl", '{"body": "一"}'))
    assert documents(written("d.jsonl", '{"カ\u3099": "一"}'), "ガ") == [["一"]]  # composed otherwise
    assert documents(written("notes.jsonl.txt", '{"text": "一"}')) == [['{"text": "一"}']]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.txt.gz"])
def test_a_null_character_is_refused_before_a_teacher_is_asked(tmp_path, name):
    content = json.dumps({"text": "一\0二"}).encode() if "jsonl" in name else "一\0二".encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with pytest.raises(UserError, match="text 1 holds a NUL character"):
        list(own_texts(tmp_path / name, "text"))


def test_a_line_for_excel_alone_is_an_empty_file(tmp_path):
    (tmp_path / "a.csv").write_text("sep=;\n")
    with pytest.raises(UserError, match=r"a\.csv is empty"):
        documents(tmp_path / "a.csv")


def test_an_archive_that_is_none_is_one_sentence(tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(b"123")
    with pytest.raises(UserError, match=r"^.*a\.tar\.gz is not a complete tar archive \(.*$"):
        sentences_to_leave_out([tmp_path / "a.tar.gz"], "text")


@pytest.mark.parametrize("content", ["5", "null", '{"text": "一。"}', '[{"text": null}]', '["一。"]'])
def test_what_is_no_list_of_texts_to_leave_out(tmp_path, content):
    (tmp_path / "a.JSON").write_text(content)
    with pytest.raises(UserError, match=r'a\.JSON: expected a list of objects with a text "text"\.$'):
        sentences_to_leave_out([tmp_path / "a.JSON"], "text")
