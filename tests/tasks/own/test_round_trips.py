"""Whatever a text holds, it is read from each format as it was written; and all readers find the same lines."""

import csv
import io
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.files.any_text import ANY_TEXT, WITHOUT_SURROGATES
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_lines
from mobilebert_ja.common.text.encodings import UTF8, decoded_lines
from mobilebert_ja.tasks.own.classes import read_classes
from mobilebert_ja.tasks.own.entities import read_entities
from mobilebert_ja.tasks.text_files import text_lines

MARK = "\ufeff"  # left out at the beginning of a line, also of one within a quoted text
VALUE = WITHOUT_SURROGATES.filter(lambda text: text.replace(MARK, "").strip() and "\0" not in text)
ROWS = st.lists(st.tuples(VALUE, VALUE), min_size=1, max_size=4)
NO_ROW = ("text", "label")


def without_marks(text):
    """Of the lines after the first, before which stands a quote."""
    return re.sub(f"\n{MARK}+", "\n", text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("read")


def read(path, content):
    path.write_bytes(content.encode())
    return [(example.text, example.target) for example in read_classes(path, "text", "label")]


@given(ROWS)
def test_csv(folder, rows):
    written = io.StringIO()
    csv.writer(written, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([NO_ROW, *rows])
    try:
        found = read(folder / "my.csv", written.getvalue())
    except UserError as error:  # a text that looks like rows
        assert "a quote that opens in this row takes in what follows" in str(error)
        return
    assert found == [(without_marks(text), without_marks(label).strip()) for text, label in rows]


@given(ROWS)
def test_tsv(folder, rows):
    rows = [[cell.replace("\t", " ").replace("\r", "\n") for cell in row] for row in rows]
    written = io.StringIO()
    csv.writer(written, csv.excel_tab, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([NO_ROW, *rows])
    found = read(folder / "my.tsv", written.getvalue())
    assert found == [(without_marks(text), without_marks(label).strip()) for text, label in rows]


@given(ROWS, st.booleans())
def test_jsonl(folder, rows, ascii_only):
    lines = [json.dumps({"text": text, "label": label}, ensure_ascii=ascii_only) + "\n" for text, label in rows]
    assert read(folder / "my.jsonl", "".join(lines)) == [(text, label.strip()) for text, label in rows]


TOKEN = VALUE.map(lambda text: "".join(char for char in text if char not in "\t\r\n" + MARK)).filter(str.strip)
SENTENCE = st.lists(st.tuples(TOKEN, st.sampled_from(["O", "B-人名", "B-地名"])), min_size=1, max_size=4)


@given(st.lists(SENTENCE, min_size=1, max_size=3))
def test_conll(folder, sentences):
    path = folder / "my.conll"
    path.write_bytes("\n".join("".join(f"{token}\t{tag}\n" for token, tag in each) for each in sentences).encode())
    examples = read_entities(path)
    assert [example.text for example in examples] == ["".join(token for token, _ in each) for each in sentences]
    for example, tagged in zip(examples, sentences, strict=True):
        names = [(token.strip(), tag[2:]) for token, tag in tagged if tag != "O"]
        assert [(example.text[start:end], of_type) for start, end, of_type in example.target] == names


@given(st.lists(ANY_TEXT.map(lambda text: text.encode("utf-8", "surrogatepass")), max_size=4), st.booleans())
def test_every_reader_has_the_same_lines(folder, parts, joined):
    """Of a file and of standard input; or each of them refuses it. Half a character is no UTF-8."""
    content = (b"\n" if joined else b"\r\n").join(parts).replace(b"\0", b"") + b"a\n"
    path = folder / "my.txt"
    path.write_bytes(content)

    def taken(lines):
        try:
            return [line.rstrip("\r\n") for line in lines()]
        except UserError as error:
            return str(error).split(",", 1)[1].split(";")[0].split(".")[0]  # the line, without what helps

    found = [
        taken(lambda: text_lines(path)),
        taken(lambda: list(read_lines(path))),
        taken(lambda: list(decoded_lines(io.BytesIO(content), "standard input", UTF8))),
    ]
    assert found[0] == found[1] == found[2]
