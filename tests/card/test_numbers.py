"""No number of the pages is typed by hand: not in a template, not in the code, and none outlives its record."""

import ast
import math
import random
import re

import pytest
from jinja2 import Environment, nodes

from helpers.files.made_up_records import TEMPLATES, made_up_records, pages
from helpers.paths import ROOT
from mobilebert_ja.card import render as card
from mobilebert_ja.card.tables.checkpoint import GRAMS_PER_KILOWATT_HOUR, WATTS_PER_CORE, WATTS_PER_GPU
from mobilebert_ja.card.tables.summary import duration, given_seconds
from mobilebert_ja.card.values import percent
from mobilebert_ja.pretraining.masking.whole_words import EVALUATION_PROBABILITY

# The titles of names.py have a test of their own: each may hold the numbers of its key alone.
MODULES = sorted(path for path in TEMPLATES[0].parent.rglob("*.py") if path.stem != "names")
# Names, versions, licences and ways of measuring, whose digits are no results.
NAMES = (
    r"言語処理100本ノック",
    r"表1の構造",
    r"128 トークンの1文",
    r"次の1行",
    r"1(単語|文字)あたり",
    r"1(文|件|つ|基|台|時間|回)",
    r"2つ(め)?",
    r"[12]コア",
    r"Python 3\.11",
    r"Debian 12",
    r"CC BY(-SA)? [234]\.\d",
    r"cc-by-sa-3\.0",
    r"Apache(-| License )2\.0",
    r"int8",
    r"AVX2",
    r"(b?float|fp|bf)\d\d",
    r"95 % ",
    r"(200|413|422) は",
    r"10 から 90 パーセンタイル",
    r"99 パーセンタイル",
    r"CO2",
    r"を 0 に",
    r"1 kWh",
    r"cl-tohoku/bert-japanese v2\.0",
    r"H100",
    r"8基",
    r"\d度目以降",
    r"\d分類",
    r"\d種類",
    r"F1",
    r"(macro_)?f1\b",
    r"p\d\d_ms",
    r"#[0-9a-f]{6}",
    r"(10th and )?90th percentile",
    r"round,pad=0,rounding_size=0\.06",
    r"arc3",
    r"gpu",
    r"(multilingual-)?e5(-small)?",
    r"[a-z]+[a-z0-9]*_[a-z0-9_]+",
)
SETTINGS = r"\d+ ?(スレッド|threads?|bits?|ビット)"  # said of how something was run
FORMATS = r"\$?%?\.[0-4][fg]"
SHAPES = {0, 1, 2, 3, 100, 1e6}  # digits, slices, percent, millions


def without_names(text: str) -> str:
    for name in (*NAMES, SETTINGS, FORMATS):
        text = re.sub(name, "", text)
    return text


def parts(source: str) -> tuple[str, nodes.Template]:
    """A template's own words without its commands and links' targets, and its expressions."""
    source = re.sub(r"```(python|bash|bibtex)\n.*?```", "", source, flags=re.DOTALL)
    environment = Environment()
    words = "".join(value for _, kind, value in environment.lex(source) if kind == "data")
    return re.sub(r"\]\(.*?\)|`[^`\n]*`", "", words), environment.parse(source)


def typed_numbers(source: str) -> list[str]:
    """What in a template is a number that somebody typed."""
    words, tree = parts(source)
    found = [line.strip() for line in without_names(words).splitlines() if re.search(r"\d", line)]
    for constant in tree.find_all(nodes.Const):
        value = constant.value
        if isinstance(value, str) and re.search(r"\d", without_names(value)):
            found.append(value)
        elif isinstance(value, int | float) and not isinstance(value, bool) and value not in SHAPES:
            found.append(repr(value))
    for call in tree.find_all(nodes.Call):
        found += [
            repr(each.value)
            for each in call.args[:1]
            if isinstance(each, nodes.Const) and each.value != "" and not isinstance(each.value, str)
        ]
    for output in tree.find_all(nodes.Output):
        found += [repr(each.value) for each in output.nodes if isinstance(each, nodes.Const)]
    return found


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_the_templates_hold_none(template):
    assert typed_numbers(template.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "typed",
    ["85 % です。", "{{ percent(0.15) }}", "{{ percent(1) }}", "{{ 3 }}", "{{ '97 %' }}", "{% set n = 97 %}", "2 倍"],
)
def test_it_would_be_seen_in_a_template(typed):
    assert typed_numbers(typed)


def typed_strings(source: str) -> list[str]:
    """Strings of a module with numbers in them; docstrings, patterns and formats aside."""
    tree = ast.parse(source)
    owners = (ast.Module, ast.FunctionDef, ast.ClassDef)
    documents = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, owners) and node.body and isinstance(node.body[0], ast.Expr)
    }
    strings = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents
    ]
    return [each for each in strings if re.search(r"\d", without_names(each))]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_the_code_holds_none(module):
    assert typed_strings(module.read_text(encoding="utf-8")) == []
    assert typed_strings("def f():\n    return '85.3 %'") == ["85.3 %"]


def numbers_in(text: str) -> set[str]:
    return set(re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?", text))


def changed(value, generator: random.Random):
    """A record with every number in it another one: so far from it that among the hundreds of ratios on the pages no
    small number stands in every draw by chance."""
    if isinstance(value, dict):
        return {key: changed(item, generator) for key, item in value.items()}
    if isinstance(value, list):
        factor = far_off(generator)  # one for all: the median of many ratios would always be about 1
        return [
            factor * item * generator.uniform(0.9, 1.1) if isinstance(item, float) else changed(item, generator)
            for item in value
        ]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if isinstance(value, int):
        return generator.randint(1, 2 * value + 200)
    return (value or 1.0) * far_off(generator)


def far_off(generator: random.Random) -> float:
    return math.exp(generator.uniform(-3.0, 30.0))


def words_of(value) -> list[str]:
    """The strings and keys of a record, and how long its lists are."""
    if isinstance(value, dict):
        return [each for key, item in value.items() for each in (key, *words_of(item))]
    if isinstance(value, list):
        return [str(len(value)), *(each for item in value for each in words_of(item))]
    return [value] if isinstance(value, str) else []


UNSHOWN = ("files", "inputs", "command", "git_commit", "finished", "versions", "curve", "question")


def survivors(records: dict, typed: str = "") -> tuple[set[str], set[str]]:
    """Numbers that stand in the pages whatever the records say, but neither in their templates nor in records' words;
    and the same of pages that hold the text `typed` too."""
    generator = random.Random(0)
    remaining: set[str] | None = None
    for _ in range(40):
        others = {name: changed(record, generator) for name, record in records.items()}
        numbers = numbers_in(re.sub(r"\A---\n.*?\n---\n", "", pages(others), flags=re.DOTALL))
        remaining = numbers if remaining is None else remaining & numbers
    shown = {
        name: {key: item for key, item in record.items() if key not in UNSHOWN} for name, record in records.items()
    }
    own: set[str] = set()
    for path in (*TEMPLATES, *TEMPLATES[0].parent.rglob("*.py")):
        own |= numbers_in(path.read_text(encoding="utf-8"))
    own |= numbers_in(str(records.get("speed_livedoor", {}).get("versions", {})))
    own |= {f"{each:.0f}" for each in (WATTS_PER_CORE, WATTS_PER_GPU, GRAMS_PER_KILOWATT_HOUR)}
    own |= {percent(EVALUATION_PROBABILITY)[:-2], "1.00"}  # the latter: BERT's speed by its own
    own |= numbers_in(duration(given_seconds("cpu") or 0.0))
    own |= numbers_in("\n".join(words_of(shown)))
    left = remaining or set()
    return left - own, (left | numbers_in(typed)) - own


@pytest.mark.parametrize("which", ["made up", "the repository's"])
def test_none_outlives_its_record(which):
    records = card.load_records(ROOT / "records")
    if which == "made up":
        records = made_up_records() | {"published_card": records["published_card"]}
    typed = {f"{number / 10:.1f}" for number in range(1000)}
    left, seen = survivors(records, " ".join(typed))
    assert left == set()
    # The check sees nearly everything that could be typed.
    assert len(typed & seen) > 900
