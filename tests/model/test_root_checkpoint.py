"""The root is a checkpoint that `from_pretrained("ysakuramoto/mobilebert-ja")` loads, in transformers 5 and 4.57.

The Hub is played by its own cache layout and HF_HUB_OFFLINE=1, read by the real client. This file is run in both
environments, so it imports nothing of `mobilebert_ja`.
"""

import json
import os
import re
import subprocess
import sys

import pytest
import torch
from transformers import AutoConfig, AutoModelForMaskedLM, AutoTokenizer, MobileBertForPreTraining, pipeline

from helpers.paths import ROOT

NAME = "ysakuramoto/mobilebert-ja"
FILES = ("config.json", "pytorch_model.bin", "tokenizer_config.json", "vocab.txt", "README.md")


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> dict[str, str]:
    """Environment in which the Hub's cache holds this checkout and nothing else can be reached."""
    home = tmp_path_factory.mktemp("hf")
    repository = home / "hub" / "models--ysakuramoto--mobilebert-ja"
    commit = "0123456789abcdef0123456789abcdef01234567"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    (repository / "snapshots" / commit).mkdir(parents=True)
    for name in FILES:
        (repository / "snapshots" / commit / name).symlink_to(ROOT / name)
    return {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(str(ROOT))


def test_config_is_the_papers_mobilebert():
    config = AutoConfig.from_pretrained(str(ROOT))
    expected = {
        "num_hidden_layers": 24,
        "hidden_size": 512,
        "intra_bottleneck_size": 128,
        "embedding_size": 128,
        "trigram_input": True,
        "num_attention_heads": 4,
        "num_feedforward_networks": 4,
        "intermediate_size": 512,
        "hidden_act": "relu",
        "normalization_type": "no_norm",
        "key_query_shared_bottleneck": True,
        "use_bottleneck_attention": False,
        "classifier_activation": False,
        "vocab_size": 32768,
    }
    assert {key: getattr(config, key) for key in expected} == expected


def test_parameters_and_precision():
    model = AutoModelForMaskedLM.from_pretrained(str(ROOT))
    assert sum(each.numel() for each in model.mobilebert.parameters()) == 24_869_376
    assert {each.dtype for each in model.parameters()} == {torch.float32}
    assert all(torch.isfinite(each).all() for each in model.parameters())
    assert (ROOT / "pytorch_model.bin").stat().st_size < 80e6


def test_no_weight_is_missing_or_left_over():
    model, report = MobileBertForPreTraining.from_pretrained(str(ROOT), output_loading_info=True)
    assert not report["unexpected_keys"] and not report["mismatched_keys"]
    tied = {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias", "cls.predictions.bias"}
    assert set(report["missing_keys"]) <= tied
    embeddings = model.get_input_embeddings().weight
    assert model.cls.predictions.decoder.weight.data_ptr() == embeddings.data_ptr()
    assert model.cls.predictions.decoder.bias.data_ptr() == model.cls.predictions.bias.data_ptr()


def test_weights_load_without_pickle():
    tensors = torch.load(ROOT / "pytorch_model.bin", weights_only=True)
    assert {each.dtype for each in tensors.values()} == {torch.float16}
    assert "cls.seq_relationship.weight" in tensors and "cls.predictions.dense.weight" in tensors


def test_tokenizer(tokenizer):
    assert type(tokenizer).__name__ == "BertJapaneseTokenizer" and len(tokenizer) == 32768
    assert len((ROOT / "vocab.txt").read_text(encoding="utf-8").splitlines()) == 32768
    assert tokenizer.convert_tokens_to_ids(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]) == [0, 1, 2, 3, 4]
    assert tokenizer.convert_tokens_to_ids([f"<unused{number}>" for number in range(10)]) == list(range(5, 15))
    pair = tokenizer("東京は日本の首都です。", "京都にも都がありました。")
    assert set(pair) == {"input_ids", "token_type_ids", "attention_mask"}
    assert set(pair["token_type_ids"]) == {0, 1}
    assert tokenizer.unk_token_id not in pair["input_ids"]


def test_tokenizer_config_is_small_and_clean():
    config = json.loads((ROOT / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["tokenizer_class"] == "BertJapaneseTokenizer" and config["mecab_kwargs"] == {
        "mecab_dic": "unidic_lite"
    }
    assert len(config) < 20 and "name_or_path" not in config


def test_fill_mask_has_learned_something(tokenizer):
    """Common function words come back; a model that has learned nothing finds each with probability 1 / 32,768."""
    answer = pipeline("fill-mask", model=str(ROOT), tokenizer=tokenizer)
    cases = {
        "東京は日本[MASK]首都である。": "の",
        "彼は大学を卒業し[MASK]。": "た",
        "この映画は1990年に公開さ[MASK]た。": "れ",
        "京都市は京都府[MASK]ある市である。": "に",
    }
    found = [any(each["token_str"] == word for each in answer(text, top_k=5)) for text, word in cases.items()]
    assert sum(found) >= 3, dict(zip(cases, found, strict=True))


SNIPPET = """
import json

import torch
from transformers import (AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification,
                          AutoModelForTokenClassification, AutoTokenizer)
name = "ysakuramoto/mobilebert-ja"
tokenizer = AutoTokenizer.from_pretrained(name)
batch = tokenizer(["吾輩は猫である。", "名前はまだ無い。"], padding=True, return_tensors="pt")
shapes = {}
for kind in (AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoModelForTokenClassification):
    model = kind.from_pretrained(name).eval()
    with torch.no_grad():
        output = model(**batch)
    tensor = output.last_hidden_state if kind is AutoModel else output.logits
    assert tensor.dtype == torch.float32 and torch.isfinite(tensor).all()
    shapes[kind.__name__] = list(tensor.shape)
print(json.dumps(shapes))
"""


# Each has names of its own; the libraries, which take seconds, are imported once.
ONE_AFTER_ANOTHER = """
import json, sys
for code in json.load(sys.stdin):
    exec(code, {"__name__": "__main__"})
    print(end="\\0")
"""


@pytest.fixture(scope="module")
def printed(hub, tmp_path_factory) -> dict[str, str]:
    """The card's snippets of the checkpoint, and `SNIPPET` -> what each prints in a process that has only the Hub."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    codes = [each for each in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL) if NAME in each] + [SNIPPET]
    run = subprocess.run(
        [sys.executable, "-c", ONE_AFTER_ANOTHER],
        input=json.dumps(codes),
        env=hub,
        cwd=tmp_path_factory.mktemp("elsewhere"),
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return dict(zip(codes, run.stdout.split("\0")[:-1], strict=True))


@pytest.mark.slow
def test_the_cards_snippets_of_the_checkpoint_run_as_printed(printed):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    snippets = list(printed)[:-1]
    assert len(snippets) == 2
    # The output is the one that the card shows below, rounding aside.
    shown = re.search(re.escape(snippets[0]) + r"```\n\n出力:\n\n```text\n(.*?)```", text, flags=re.DOTALL)
    assert shown is not None
    wanted, found = ([line.split() for line in each.splitlines()] for each in (shown[1], printed[snippets[0]]))
    assert len(wanted) == 5 and [token for token, _ in wanted] == [token for token, _ in found]
    assert all(abs(float(mine) - float(theirs)) < 0.01 for (_, mine), (_, theirs) in zip(wanted, found, strict=True))
    assert "torch.Size([1, " in printed[snippets[1]]


@pytest.mark.slow
def test_every_auto_class_loads_by_name(printed):
    shapes = json.loads(printed[SNIPPET].strip().splitlines()[-1])
    assert shapes["AutoModel"][0] == 2 and shapes["AutoModel"][2] == 512
    assert shapes["AutoModelForMaskedLM"][2] == 32768
    assert shapes["AutoModelForSequenceClassification"] == [2, 2]
    assert shapes["AutoModelForTokenClassification"][2] == 2
