"""Cleaning rules one by one, and a splitter that loses nothing."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.files.any_text import ANY_TEXT
from mobilebert_ja.corpus import cleaning as text


@pytest.mark.parametrize(
    ("rule", "before", "after"),
    [
        (text.normalize, "ＡＢＣ１２３ｶﾞ㈱", "ABC123ガ(株)"),
        (text.drop_unprintable, "東\u200b京\tと\u0007大阪", "東京 と大阪"),
        (text.drop_citation_numbers, "首都[1]である[23]。[2011年]", "首都である。[2011年]"),
        (text.drop_editor_notes, "最大[要出典]の[要検証 – ノート]都市[誰?]。[リンク切れ]", "最大の都市。"),
        (text.drop_templates, "青{{色|{{赤}}}}い{{空}}空", "青い空"),
        (text.drop_footnotes, "本文である。 ^ 山田『書名』 ^ 同上", "本文である。"),
        (text.drop_heading_marks, "== 脚注 ==", "脚注"),
        (text.drop_heading_marks, "1 == 1 は真である。", "1 == 1 は真である。"),
        (text.collapse_spaces, "  東  京   都 ", "東 京 都"),
    ],
)
def test_rules(rule, before, after):
    assert rule(before) == after


def test_clean_tells_what_each_rule_changed():
    told = []
    assert text.clean("首都[1]である。", lambda *change: told.append(change)) == "首都である。"
    assert told == [("drop_citation_numbers", "首都[1]である。", "首都である。")]


@given(ANY_TEXT)
def test_no_text_breaks_cleaning(anything):
    cleaned = text.clean(anything)
    assert cleaned.isprintable() and "\n" not in cleaned and cleaned == cleaned.strip()
    sentences = text.split_sentences(cleaned)
    assert "".join(sentences).replace(" ", "") == cleaned.replace(" ", "")


@pytest.mark.parametrize(
    ("paragraph", "sentences"),
    [
        ("雨が降る。風が吹く。", ["雨が降る。", "風が吹く。"]),
        ("「行こう。早く!」と言った。帰った。", ["「行こう。早く!」と言った。", "帰った。"]),
        (
            "彼(1900年生。詩人)は「『夢。』の歌」を書いた。名作だ。",
            ["彼(1900年生。詩人)は「『夢。』の歌」を書いた。", "名作だ。"],
        ),
        ("「閉じない括弧。次の文。", ["「閉じない括弧。", "次の文。"]),
        ("本当!?そうだよ。", ["本当!?", "そうだよ。"]),
        ("Yahoo!JAPANを見た。", ["Yahoo!JAPANを見た。"]),
        ("終わりに句点がない", ["終わりに句点がない"]),
        ("", []),
    ],
)
def test_split(paragraph, sentences):
    assert text.split_sentences(paragraph) == sentences


@given(st.text(alphabet="あア亜aA1。!?「」『』() ", max_size=60))
def test_splitting_loses_no_character(paragraph):
    joined = "".join(text.split_sentences(paragraph))
    assert joined.replace(" ", "") == paragraph.replace(" ", "")


class Counting(str):
    """Counts the characters that are taken out of it: what a splitter copies."""

    copied = 0

    def __getitem__(self, where):
        part = super().__getitem__(where)
        self.copied += len(part)
        return part


def test_a_sentence_is_cut_out_without_copying_what_follows_it():
    paragraph = Counting("雨。 " * 1000)
    assert text.split_sentences(paragraph) == ["雨。"] * 1000
    assert paragraph.copied < 10 * len(paragraph)  # with all that follows each sentence: 500 times


def test_unwanted():
    assert text.unwanted("短い。", 10, 200) == "too_short"
    assert text.unwanted("長" * 201, 10, 200) == "too_long"
    assert text.unwanted("ここで {\\displaystyle x} である。", 10, 200) == "formula"
    assert text.unwanted("ちょうどよい長さの文である。", 10, 200) is None


def templates_by_definition(given_text):
    """The innermost first, one pass after another: as many passes as they are deep."""
    previous = None
    while previous != given_text:
        previous, given_text = given_text, re.sub(r"\{\{[^{}]*\}\}", "", given_text)
    return given_text


@given(st.text(alphabet="{}a ", max_size=30))
def test_templates_are_those_of_the_definition(given_text):
    assert text.drop_templates(given_text) == templates_by_definition(given_text)


@given(st.text(alphabet="= a\n\u3000", max_size=16))
def test_heading_marks_are_those_of_the_definition(given_text):
    assert text.drop_heading_marks(given_text) == re.sub(r"^(={2,6}) *(.*?) *\1$", r"\2", given_text.strip())


HOSTILE = {
    "templates in templates": lambda count: "{{" * count + "}}" * count,
    "templates that never end": lambda count: "{{a" * count,
    "spaces in a heading": lambda count: "== a" + " " * count + "b",
    "brackets of another kind": lambda count: "「" * count + ")" * count,
    "ends": lambda count: "。 " * count,
    "marks": lambda count: "か" + "\u0301\u0327" * count,
    "square brackets": lambda count: "[要" * count,
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_time_grows_in_proportion_to_the_text(hostile):
    def seconds(count):
        took, given_text = [], hostile(count)
        for _ in range(3):
            begun = time.process_time()
            text.split_sentences(text.clean(given_text))
            took.append(time.process_time() - begun)
        return min(took)

    assert seconds(20_000) < 10 * seconds(5_000)  # as the square: 16 times
