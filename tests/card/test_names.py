"""The pages are in Japanese: all that was compared has a Japanese title, but for terms that have none."""

import json
import re

import pytest
import yaml

from helpers.paths import ROOT
from mobilebert_ja.card.names import TITLES, in_japanese

TERMS = {
    "Muon",
    "AdamW",
    "NoNorm",
    "LayerNorm",
    "transformers",
    "onnxruntime",
    "OpenVINO",
    "MatMulNBits",
    "int",
    "float",
    "PKT",
    "JKT",
    "AKT",
    "e",
}


UNSAID = {"f1 (%)": {"1"}}  # numbers of a key that have no place in its title


def compared() -> list[str]:
    names = [
        name
        for folder in ("ablations", "trials")
        for path in sorted((ROOT / "recipes" / folder).glob("*.yaml"))
        for name in yaml.safe_load(path.read_text(encoding="utf-8"))["variants"]
    ]
    for path in sorted((ROOT / "records").glob("onnx_variants_*.json")):
        names += json.loads(path.read_text(encoding="utf-8"))["metrics"]["variants"]
    return sorted(set(names))


def numbers_in(text: str) -> list[str]:
    return re.findall(r"\d+(?:\.\d+)?", text)


@pytest.mark.parametrize("name", compared())
def test_every_variant_has_a_title(name):
    assert set(re.findall(r"[A-Za-z]+", in_japanese(name))) <= TERMS


def test_titles_tell_variants_apart():
    assert len({in_japanese(name) for name in compared()}) >= len(compared()) - 2  # two are the same in other files


@pytest.mark.parametrize("name", TITLES)
def test_a_title_holds_the_numbers_of_its_key(name):
    numbers = set(numbers_in(TITLES[name]))
    assert numbers <= {*numbers_in(name), "1"}  # the latter: "1件", "1単語"
    assert set(numbers_in(name)) - numbers == UNSAID.get(name, set())
    assert TITLES[name].count("{}") == name.count("{}")


def test_an_unknown_name_is_its_own_title():
    assert in_japanese("rate 6e-4") == "学習率 6e-4"
    assert in_japanese("something else, 3") == "something else, 3"
