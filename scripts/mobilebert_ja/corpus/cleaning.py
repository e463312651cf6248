"""Cleaning and sentence splitting, after cl-tohoku/bert-japanese v2.0 (make_corpus_wiki.py), "v2.0" below.

Two differences, both for speed: sentences are split at 。!? by their characters, not by MeCab's 句点, and
a bracket protects what stands in it, which the original left to a dictionary of names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from itertools import chain, zip_longest

from mobilebert_ja.common.text.normalization import nfkc

_CLOSING = {"」": "「", "』": "『", ")": "(", "】": "【", "〉": "〈", "》": "《"}
_OPENING = set(_CLOSING.values())
_ENDS = set("。!?")
_FOLLOWING = re.compile(" *(.?)", re.DOTALL)


def normalize(text: str) -> str:
    """NFKC, as the tokenizer does later. (v2.0)"""
    return nfkc(text)


def drop_unprintable(text: str) -> str:
    """Characters that cannot be printed are removed; white space of any kind becomes a space first. (v2.0)"""
    return "".join(char for char in re.sub(r"\s", " ", text) if char.isprintable())


def drop_citation_numbers(text: str) -> str:
    """[1], [23] of Wikipedia. (v2.0)"""
    return re.sub(r"\[\d+\]", "", text)


def drop_editor_notes(text: str) -> str:
    """[要出典], [要検証 – ノート], [リンク切れ], [誰?] of Wikipedia. (v2.0)"""
    return re.sub(r"\[(?:要[^\[\]]+|リンク切れ|[^\[\]]{1,20}\?)\]", "", text)


def drop_templates(text: str) -> str:
    """{{…}} left over from wiki markup; the innermost first. (v2.0; there one level deep)"""
    if "{{" not in text:
        return text
    kept: list[str] = []  # what stands before, between and after the braces in `braces`
    braces: list[str] = []
    for part in re.split(r"([{}])", text):
        if part not in ("{", "}"):
            kept.append(part if len(kept) == len(braces) else kept.pop() + part)
            continue
        braces.append(part)
        # The last four braces are a template if they are two and two with nothing in either pair.
        if braces[-4:] == ["{", "{", "}", "}"] and not kept[-1] and not kept[-3]:
            del braces[-4:], kept[-3:]
    return "".join(chain(*zip_longest(kept, braces, fillvalue="")))


def drop_footnotes(text: str) -> str:
    """ " ^ …" up to the end: the footnotes that a CirrusSearch dump appends to an article. (v2.0)"""
    return re.sub(r"(?:^| )\^ .*", "", text)


def drop_heading_marks(text: str) -> str:
    """== 脚注 == of wiki markup, as texts extracted from wikis keep it: the marks go, and short headings with them
    in the next filter. (Ours; a CirrusSearch dump has none)"""
    text = text.strip()
    for marks in ("======", "=====", "====", "===", "=="):
        inside = text[len(marks) : -len(marks)]
        if len(text) >= 2 * len(marks) and text.startswith(marks) and text.endswith(marks) and "\n" not in inside:
            return inside.strip(" ")
    return text


def collapse_spaces(text: str) -> str:
    """Runs of spaces become one; none at the ends. (v2.0)"""
    return re.sub(r" +", " ", text).strip()


RULES: tuple[Callable[[str], str], ...] = (
    normalize,
    drop_unprintable,
    drop_citation_numbers,
    drop_editor_notes,
    drop_templates,
    drop_footnotes,
    drop_heading_marks,
    collapse_spaces,
)


def clean(text: str, changed: Callable[[str, str, str], None] | None = None) -> str:
    """Apply every rule in turn; `changed` is called with the rule's name and the text before and after it."""
    for rule in RULES:
        before, text = text, rule(text)
        if changed is not None and text != before:
            changed(rule.__name__, before, text)
    return text


def _matched_brackets(text: str) -> dict[int, int]:
    """Index of each opening bracket -> index of its closing one. A bracket that is never closed protects nothing."""
    pairs: dict[int, int] = {}
    open_indices: list[int] = []
    open_kinds: Counter[str] = Counter()  # so that one which closes nothing is not looked for
    for index, char in enumerate(text):
        if char in _OPENING:
            open_indices.append(index)
            open_kinds[char] += 1
        elif char in _CLOSING and open_kinds[_CLOSING[char]]:
            while True:
                opening = open_indices.pop()
                open_kinds[text[opening]] -= 1
                if text[opening] == _CLOSING[char]:
                    pairs[opening] = index
                    break
    return pairs


def split_sentences(text: str) -> list[str]:
    """Cut a cleaned paragraph after 。!? outside brackets. Joined, the sentences give the paragraph less its spaces.

    Two enders in a row stay together; ! and ? before a Latin letter or digit do not end a sentence (Yahoo! JAPAN).
    """
    pairs = _matched_brackets(text)
    sentences = []
    begin = index = 0
    while index < len(text):
        if index in pairs:
            index = pairs[index]
        elif text[index] in _ENDS:
            following = _FOLLOWING.match(text, index + 1)[1]  # type: ignore[index]
            inside_latin = text[index] != "。" and following.isascii() and following.isalnum()
            if following not in _ENDS and not inside_latin:
                sentences.append(text[begin : index + 1].strip())
                begin = index + 1
        index += 1
    sentences.append(text[begin:].strip())
    return [sentence for sentence in sentences if sentence]


def unwanted(sentence: str, min_chars: int, max_chars: int) -> str | None:
    """Why a sentence is left out: "too_short", "too_long" or "formula"; None if it is kept."""
    if len(sentence) < min_chars:
        return "too_short"
    if len(sentence) > max_chars:
        return "too_long"
    if "\\displaystyle" in sentence:
        return "formula"
    return None
