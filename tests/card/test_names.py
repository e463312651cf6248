"""The card is in Japanese: the names of all that was compared have Japanese words, but for terms that have none."""

import json
import re
from pathlib import Path

import pytest
import yaml

from mobilebert_ja.card.names import in_japanese

ROOT = Path(__file__).resolve().parents[2]
TERMS = {
    "Muon",
    "AdamW",
    "NoNorm",
    "LayerNorm",
    "transformers",
    "onnxruntime",
    "MatMulNBits",
    "int",
    "float",
    "PKT",
    "JKT",
    "AKT",
    "e",
}


def compared() -> list[str]:
    names = [
        name
        for path in sorted((ROOT / "recipes" / "ablations").glob("*.yaml"))
        for name in yaml.safe_load(path.read_text(encoding="utf-8"))["variants"]
    ]
    for path in sorted((ROOT / "records").glob("onnx_variants_*.json")):
        names += json.loads(path.read_text(encoding="utf-8"))["metrics"]["variants"]
    return sorted(set(names))


@pytest.mark.parametrize("name", compared())
def test_every_variant_has_words(name):
    assert set(re.findall(r"[A-Za-z]+", in_japanese(name))) <= TERMS


def test_different_variants_have_different_words():
    assert len({in_japanese(name) for name in compared()}) == len(compared())


def test_words():
    assert in_japanese("rate 6e-4") == "学習率 6e-4"
    assert in_japanese("base: 6 blocks, counted vectors, 1.2e-3, batch 32, length 128") == (
        "基準: 6層、数えた単語ベクトル、1.2e-3、バッチ 32、系列長 128"
    )
    assert in_japanese("int8 in blocks (MatMulNBits)") == "区画ごとの int8(MatMulNBits)"
    assert in_japanese("BertModel, 13 layers of width 771") == "13層、幅 771 のモデル(`BertModel`)"
    assert in_japanese("something else, 3") == "something else、3"
