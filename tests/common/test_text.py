"""Text as its bytes really come: marks, line ends, and encodings told by their bytes."""

import gzip
import io
import json

import pytest

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json, read_lines
from mobilebert_ja.common.text.encodings import decoded_lines
from mobilebert_ja.common.text.raw import recognised, utf8_lines
from mobilebert_ja.data.sources import text_documents

MARK = b"\xef\xbb\xbf"
TEXT = "text,label\n画面がきれいで満足,良い\n電池がすぐ切れる,悪い\n"


def lines(content):
    return [line.rstrip("\r\n") for line in decoded_lines(io.BytesIO(content), "standard input")]


def test_a_mark_at_the_beginning_of_standard_input_is_no_text():
    assert lines(MARK + "田中は京都へ行った。\n".encode()) == ["田中は京都へ行った。"]
    assert lines(MARK + MARK + "田中".encode()) == ["田中"]
    assert lines(MARK + b"\n") == [""] and lines(b"") == []


def test_files_put_together_have_a_mark_in_the_middle():
    assert lines(MARK + "一\n".encode() + MARK + "二\ufeff三\n".encode()) == ["一", "二\ufeff三"]


def test_the_corpus_and_json_know_the_mark_too(tmp_path):
    (tmp_path / "a.jsonl").write_bytes((MARK + '{"text": "雨"}\n'.encode()) * 2)
    assert list(text_documents(tmp_path / "a.jsonl")) == [["雨"], ["雨"]]
    (tmp_path / "a.json").write_bytes(MARK + json.dumps(["雨"]).encode())
    assert read_json(tmp_path / "a.json") == ["雨"]


def test_carriage_returns_alone_end_lines_where_there_is_nothing_else(tmp_path):
    assert lines(MARK + "一\r二\r\r三".encode()) == ["一", "二", "", "三"]
    assert lines("一\r二\n三".encode()) == ["一\r二", "三"]
    assert lines("一\f二\u2028三\x85四".encode()) == ["一\f二\u2028三\x85四"]
    with gzip.open(tmp_path / "a.txt.gz", "wb") as stream:
        stream.write("一\r二\r".encode())
    assert list(read_lines(tmp_path / "a.txt.gz")) == ["一", "二"]


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp932", "euc_jp", "euc_jis_2004", "iso2022_jp"],
)
def test_an_encoding_is_recognised(encoding):
    text = TEXT.replace("画", "①画") if encoding in ("cp932", "euc_jis_2004") else TEXT
    assert recognised(text.encode(encoding)) == encoding
    assert recognised(text.encode(encoding)[:-5]) == encoding  # within a character, maybe


def test_kanji_alone_are_told_where_nothing_else_gives_them():
    assert recognised("text,label\n東京都,関東\n大阪府,近畿\n".encode("cp932")) == "cp932"


@pytest.mark.parametrize(
    "content",
    [
        "It’s “good”s,a\nthat’s,b\n".encode("cp1252"),
        "text,label\n台北市,好\n".encode("big5"),
        "text,label\n東京都,関東\n".encode("euc_jp"),  # GB 2312 as well
        "Café,crème\nfoo,é\n".encode("latin-1"),
        "中国的人民,好\n".encode("gbk"),
        "한국말,책\n".encode("euc_kr"),
        "ﾔﾏﾀﾞ ﾀﾛｳ,本\n".encode("cp932"),  # as good as rare kanji in EUC-JP
        b"\xff",
        b"a\0b\0c\0\0",
    ],
)
def test_what_cannot_be_told_is_not_guessed(content):
    assert recognised(content) is None


def test_a_text_of_two_encodings_is_called_that():
    said = refused(TEXT.encode() + TEXT.encode("cp932"))
    assert "line 5 is not UTF-8 (byte 1 of it is 0x89). The rest of it is, so it is damaged or was put" in said


def refused(content):
    with pytest.raises(UserError) as caught:
        list(utf8_lines(io.BytesIO(content), "a.txt", lambda: content))
    return str(caught.value)


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("utf-16", "a.txt, line 1 is not UTF-8 (byte 1 of it is 0xff). It looks like UTF-16: iconv -f UTF-16 -t"),
        ("euc_jp", "a.txt, line 2 is not UTF-8 (byte 1 of it is 0xb2). It looks like EUC-JP: iconv -f EUC-JP -t"),
        ("cp932", "a.txt, line 2 is not UTF-8 (byte 1 of it is 0x89). It looks like CP932: iconv -f CP932 -t"),
        ("iso2022_jp", "a.txt, line 2 is not UTF-8. It looks like ISO-2022-JP: iconv -f ISO-2022-JP -t UTF-8"),
    ],
)
def test_the_advice_fits_the_encoding(encoding, words):
    assert words in refused(TEXT.encode(encoding))


def test_an_escape_in_a_text_of_utf_8_is_no_encoding():
    text = "雨\n\x1b$B1+$O\x1b(B\n"
    assert "".join(utf8_lines(io.BytesIO(text.encode()), "a.txt")) == text
    assert lines(b"\x1b[1mbold\x1b[0m\n") == ["\x1b[1mbold\x1b[0m"]
