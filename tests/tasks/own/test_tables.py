"""Tables as they really come: quotes in TSV, files put together, encodings of Excel, lines of any length."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.files.own_files import table
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.text.encodings import encoding_of_name
from mobilebert_ja.tasks.own.classes import read_classes
from mobilebert_ja.tasks.own.tables import read_table

ROWS = [(f"感想{number}、とても良い", "本" if number % 2 else "映画") for number in range(36)]
MARK = b"\xef\xbb\xbf"


def read(folder, name, content, encoding="utf-8"):
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return [(each.text, each.target) for each in read_classes(folder / name, "text", "label", encoding)]


def refused(folder, name, content, encoding="utf-8"):
    with pytest.raises(UserError) as caught:
        read(folder, name, content, encoding)
    assert "\n" not in str(caught.value) and str(caught.value).startswith(str(folder / name))
    return str(caught.value)


def bare(rows, delimiter="\t"):
    """A table without quoting."""
    return "".join(delimiter.join(row) + "\n" for row in [("text", "label"), *rows])


# --- quotes


def test_a_quote_in_a_tsv_takes_no_rows_in(tmp_path, capsys):
    rows = [*ROWS]
    rows[4], rows[20] = ('"ここから', "本"), ('ここまで"', "映画")
    assert read(tmp_path, "my.tsv", bare(rows)) == rows
    rows[7] = ('"これ" と "それ"', "本")
    assert read(tmp_path, "my.tsv", bare(rows).replace("\n", "\r\n")) == rows
    assert capsys.readouterr().err == ""
    rows[8] = ('"良い"', "本")
    assert read(tmp_path, "my.tsv", bare(rows)) == rows
    assert "1 of 36 fields of 'text' stand in double quotes, not the others" in capsys.readouterr().err


def test_a_tsv_of_quoted_columns_is_unquoted(tmp_path):
    rows = [("一\n二", "本"), ('と"言う"', "映画"), ("タブ\tあり", "本")]
    quoted = "text\tlabel\n" + "".join('"' + text.replace('"', '""') + f'"\t{label}\n' for text, label in rows)
    assert read(tmp_path, "my.tsv", quoted) == rows
    assert read(tmp_path, "my.tsv", quoted.replace("text\tlabel", '"text"\t"label"')) == rows
    # The other column has its quotes as text.
    assert read(tmp_path, "my.tsv", quoted.replace("\t映画", '\t"映画')) == [
        *rows[:1],
        (rows[1][0], '"映画'),
        *rows[2:],
    ]


def test_a_value_of_a_tsv_with_line_break_and_tab_is_refused(tmp_path):
    said = refused(tmp_path, "my.tsv", '"text"\t"label"\n"一"\t"本"\n"二\t本\n三"\t"本"\n')
    assert "line 3: a quote that opens in this row takes in what follows up to line 4, tabs and all" in said
    said = refused(tmp_path, "my.tsv", bare(ROWS) + "一\n二\t本\n")
    assert "line 38 has 1 fields, the header has 2; a text in TSV can hold no tab and no line break" in said


@pytest.mark.parametrize("rows", ['本,一\n映画,二\n本,"三\n映画,四\n本,五"\n', '本,一\n映画,二\n本,"三\n映画,四"\n'])
def test_a_quote_in_a_csv_that_takes_rows_in_is_refused(tmp_path, rows):
    said = refused(tmp_path, "my.csv", "label,text\n" + rows)
    assert "line 4: a quote that opens in this row takes in what follows up to line " in said
    three = 'id,text,label\n1,良い,本\n2,悪い,映画\n3,"良い,本\n4,悪い,映画\n5,良い",本\n'
    assert "line 4: a quote that opens in this row" in refused(tmp_path, "three.csv", three)
    assert "line 2: a quote" in refused(tmp_path, "two.csv", 'text,label\n"良い,本\n悪い,本\n三",映画\n四,本\n')


def test_a_text_of_a_csv_may_have_commas_and_line_breaks(tmp_path):
    rows = [("Good, but\nnot so, great", "本"), ("一行目\r\n\r\n三行目,終", "映画"), ("本\n映画", "本")]
    assert read(tmp_path, "my.csv", table(rows)) == rows


def test_a_quote_of_a_csv_may_stand_behind_a_space(tmp_path):
    rows = [("良い、とても, 本当に", "本"), ('と"言う"', "映画")]
    content = table(rows).replace('と"言う"', 'と""言う""').replace('","', '", "')
    assert read(tmp_path, "my.csv", content) == rows


def test_the_line_of_a_quote_that_is_never_closed(tmp_path):
    said = refused(tmp_path, "my.csv", 'text,label\n良い,本\n"悪い,映画\n良い,本\n良い,本\n')
    assert "line 3 is malformed: unexpected end of data" in said and "each of its own be doubled" in said


@given(st.lists(st.lists(st.text(st.sampled_from('a"字 ,'), max_size=5), min_size=2, max_size=2), min_size=1))
def test_a_tsv_never_has_other_rows_than_lines(rows):
    """Without tabs and line breaks in its values, whatever their quotes; or it is refused, never read otherwise."""
    lines = [f"{first}x\t{second}\n" for first, second in [["text", "label"], *rows]]
    try:
        _, found = read_table("a.tsv", lines, "\t")
    except UserError as error:  # two rows whose last field is a quote are one quoted field, too
        assert "a quote that opens in this row takes in what follows" in str(error)
        return
    assert [number for number, _ in found] == list(range(1, len(lines) + 1))
    assert all(len(cells) == 2 and cells[0].endswith("x") for _, cells in found)


@given(st.lists(st.tuples(*[st.text(st.sampled_from('a"字, \n\r')).filter(str.strip)] * 2), min_size=1))
def test_a_tsv_that_quotes_all_is_read_back(rows):
    written = io.StringIO()
    csv.writer(written, csv.excel_tab, quoting=csv.QUOTE_ALL).writerows([("text", "label"), *rows])
    _, found = read_table("a.tsv", written.getvalue().splitlines(keepends=True), "\t")
    unified = [[value.replace("\r\n", "\n").replace("\r", "\n") for value in row] for row in rows]
    assert [cells for _, cells in found[1:]] == unified


# --- marks of a format


@pytest.mark.parametrize("again", ["text,label\n", '"text","label"\r\n', "\ufefftext,label\n", "Text, LABEL\n"])
def test_a_header_in_the_middle_is_no_class(tmp_path, capsys, again):
    content = "text,label\n一,本\n二,映画\n" + again + "三,本\n"
    assert read(tmp_path, "my.csv", MARK + content.encode()) == [("一", "本"), ("二", "映画"), ("三", "本")]
    assert "my.csv: line 4: the header once more; it is no row" in capsys.readouterr().err


def test_a_header_in_the_middle_of_other_formats(tmp_path):
    assert read(tmp_path, "my.tsv", bare(ROWS) + bare(ROWS)) == ROWS * 2
    assert read(tmp_path, "my.tsv", table(ROWS, delimiter="\t") + bare([])) == ROWS
    line = '{"text": "良い", "label": "本"}\n{"text": "text", "label": "label"}\n'
    assert read(tmp_path, "my.jsonl", line) == [("良い", "本")]
    assert "a header and no rows" in refused(tmp_path, "my.csv", "text,label\ntext,label\n")


def test_a_header_in_the_middle_with_other_columns_is_refused(tmp_path):
    said = refused(tmp_path, "my.csv", "text,label\n一,本\nlabel,text\n映画,二\n")
    assert "line 3 is a header again, with the columns in another order" in said


def test_the_line_that_tells_excel_the_separator_is_no_header(tmp_path):
    assert read(tmp_path, "my.csv", "sep=;\r\ntext;label\r\n一,二;本\r\n") == [("一,二", "本")]


# --- encodings


@pytest.mark.parametrize(
    ("name", "encoding", "given"),
    [
        ("my.csv", "cp932", "cp932"),
        ("my.csv", "cp932", "Windows-31J"),
        ("my.csv", "utf-8-sig", "cp932"),  # one of two files may be UTF-8
        ("my.csv", "utf-8-sig", "utf-8-sig"),
        ("my.csv", "euc_jp", "EUC-JP"),
        ("my.csv", "iso2022_jp", "iso-2022-jp"),
        ("my.tsv", "utf-16", "utf-16"),
        ("my.txt", "utf-16", "UTF16"),
        ("my.tsv", "utf-16-le", "utf-16-le"),
    ],
)
def test_files_as_excel_and_others_write_them(tmp_path, capsys, name, encoding, given):
    content = bare(ROWS, "," if name == "my.csv" else "\t").replace("\n", "\r\n").encode(encoding)
    assert read(tmp_path, name, content, encoding_of_name(given)) == ROWS
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("encoding", "given", "words"),
    [
        (
            "utf-16",
            "utf-8",
            "line 1 is not UTF-8 (byte 1 of it is 0xff). It looks like UTF-16: --encoding utf-16 reads",
        ),
        ("utf-16-le", "utf-8", "It looks like UTF-16LE: --encoding utf-16-le reads it."),
        (
            "euc_jp",
            "utf-8",
            "line 2 is not UTF-8 (byte 1 of it is 0xb4). It looks like EUC-JP: --encoding euc_jp reads",
        ),
        ("cp932", "utf-8", "It looks like CP932: --encoding cp932 reads it."),
        ("iso2022_jp", "utf-8", "It looks like ISO-2022-JP: --encoding iso2022_jp reads it."),
        (
            "cp932",
            "euc_jp",
            "line 2 is not euc_jp (byte 12 of the file). It looks like CP932: --encoding cp932 reads it.",
        ),
        (
            "utf-16",
            "cp932",
            "line 2 is not cp932 (byte 37 of the file). It looks like UTF-16: --encoding utf-16 reads it.",
        ),
    ],
)
def test_an_encoding_is_told_by_name(tmp_path, encoding, given, words):
    assert words in refused(tmp_path, "my.csv", bare(ROWS, ",").encode(encoding), given)


def test_an_encoding_that_cannot_be_told_is_not_guessed(tmp_path):
    said = refused(tmp_path, "my.csv", "text,label\ncafé,é\n".encode("latin-1"))
    assert "What it is cannot be told from its bytes; --encoding NAME reads it, if you know." in said


def test_a_wrong_encoding_that_gives_characters_all_the_same_is_told(tmp_path, capsys):
    content = bare([("あいさつ", "うた"), ("さいた", "いえ")], ",")
    read(tmp_path, "my.csv", content.encode("euc_jp"), "cp932")
    assert "is read as cp932. It looks like EUC-JP: --encoding euc_jp" in capsys.readouterr().err


# --- lengths and line ends


def test_a_cell_of_any_length(tmp_path):
    rows = [("あ" * 200_000, "本"), ("良い", "映画")]
    assert read(tmp_path, "my.csv", table(rows)) == read(tmp_path, "my.tsv", bare(rows)) == rows


@pytest.mark.parametrize("name", ["my.csv", "my.tsv"])
def test_carriage_returns_alone_end_rows(tmp_path, name):
    content = bare(ROWS, "," if name == "my.csv" else "\t").replace("\n", "\r")
    assert read(tmp_path, name, MARK + content.encode()) == ROWS


def test_line_ends_of_two_kinds(tmp_path):
    said = refused(tmp_path, "my.csv", "text,label\n一,本\r二,映画\n三,本\n")
    assert "line 2 has a carriage return within it; its lines must all end alike" in said
