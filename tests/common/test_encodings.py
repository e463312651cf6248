"""Streams that are not UTF-8: line by line as --encoding says, and refused with a guess if they are something else."""

import io

import pytest

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_lines
from mobilebert_ja.common.text.encodings import decoded_lines, encoding_of_name

TEXT = "画面がきれいで満足\r\n電池がすぐ切れる\n\n最後の行"
LINES = ["画面がきれいで満足\r\n", "電池がすぐ切れる\n", "\n", "最後の行"]


def read(content, encoding):
    return list(decoded_lines(io.BytesIO(content), "a.txt", encoding_of_name(encoding)))


def refused(content, encoding):
    with pytest.raises(UserError) as caught:
        read(content, encoding)
    return str(caught.value)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "UTF8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp932", "euc_jp", "iso2022_jp"]
)
def test_lines_are_those_of_the_text(encoding, capsys):
    assert read(TEXT.encode(encoding), encoding) == LINES
    assert read(b"", encoding) == []
    assert read(TEXT.replace("\r", "").replace("\n", "\r").encode(encoding), encoding) == [
        line.replace("\r", "").replace("\n", "\r") for line in LINES
    ]
    assert capsys.readouterr().err == ""


def test_a_line_is_there_before_the_next_is_read():
    asked = []

    def stream():
        for line in LINES:
            asked.append(line)
            yield line.encode("cp932")

    given = decoded_lines(stream(), "a.txt", "cp932")
    assert next(given) == LINES[0] and asked == LINES[:1]


@pytest.mark.parametrize(
    ("wanted", "really", "words"),
    [
        ("utf-8", "cp932", "a.txt, line 2 is not UTF-8 (byte 1 of it is 0x89). It looks like CP932: --encoding cp932"),
        ("cp932", "euc_jp", "a.txt, line 2 is not cp932. It looks like EUC-JP: --encoding euc_jp reads it."),
        ("cp932", "utf-8", "a.txt, line 3 is not cp932. It looks like UTF-8."),
        ("euc_jp", "cp932", "a.txt, line 2 is not euc_jp. It looks like CP932: --encoding cp932 reads it."),
        ("iso2022_jp", "cp932", "a.txt, line 2 is not iso2022_jp. It looks like CP932: --encoding cp932 reads it."),
        ("utf-16", "utf-8", "a.txt is not utf-16 (UTF-16 stream does not start with BOM)."),
    ],
)
def test_another_encoding_is_refused_with_a_guess(wanted, really, words):
    assert refused(("text\n" + TEXT).encode(really), wanted).startswith(words)


def test_what_precedes_a_broken_line_is_read():
    given = decoded_lines(io.BytesIO("一\n二\n".encode("cp932") + b"\x81\x0a"), "a.txt", "cp932")
    assert [next(given), next(given)] == ["一\n", "二\n"]
    with pytest.raises(UserError, match=r"a\.txt, line 3 is not cp932\.$"):
        next(given)


def test_utf_8_that_another_encoding_makes_something_of_is_warned_of(capsys):
    text = "ありがとう。\n"
    assert read(text.encode(), "latin-1") != [text]
    assert capsys.readouterr().err == "warning: a.txt is read as iso8859-1 and looks like UTF-8.\n"


def test_files_may_be_compressed(tmp_path):
    import gzip

    path = tmp_path / "a.txt.gz"
    with gzip.open(path, "wb") as stream:
        stream.write(TEXT.encode("cp932"))
    assert list(read_lines(path, "cp932")) == [line.rstrip("\r\n") for line in LINES]
    with pytest.raises(UserError, match=r"line 1 is not UTF-8 .* It looks like CP932: --encoding cp932 reads it"):
        list(read_lines(path, "utf-8"))
    with pytest.raises(UserError, match=r"line 1 is not UTF-8 .* It looks like CP932: iconv"):
        list(read_lines(path))
