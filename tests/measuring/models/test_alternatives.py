"""`measure.py models --alternatives`: encoders that one could pick instead, timed beside ours in their shapes."""

import pytest
from transformers import BertConfig, DistilBertConfig, ModernBertConfig

from helpers.models.fast_models import write_data, write_finetuned
from helpers.running.measurements import run_measurement
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.finetuning.folder import load_finetuned
from mobilebert_ja.measuring.models import alternatives, contenders

TINY = {"vocab_size": 400, "max_position_embeddings": 64}
SMALL_SHAPES = {
    "modernbert-ja-30m": lambda: ModernBertConfig(
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=48,
        **TINY,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
        cls_token_id=0,
        sep_token_id=0,
    ),
    "line-distilbert": lambda: DistilBertConfig(dim=32, hidden_dim=64, n_layers=2, n_heads=2, **TINY),
    "multilingual-e5-small": lambda: BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, **TINY
    ),
}


@pytest.mark.parametrize(("task", "kind"), [("livedoor", str), ("ner", list)])
def test_each_answers_as_transformers_and_as_onnxruntime_run_it(tmp_path, monkeypatch, task, kind):
    assert SMALL_SHAPES.keys() == alternatives.ALTERNATIVES.keys()
    monkeypatch.setattr(alternatives, "ALTERNATIVES", SMALL_SHAPES)
    write_finetuned(tmp_path, write_data(tmp_path / "data"), task, [0])
    _, ready = load_finetuned(tmp_path / "finetuned" / task, task, 24)
    ours = {"mobilebert": contenders.eager("mobilebert", ready, None)}
    found = alternatives.add_alternatives(ours, tuple(SMALL_SHAPES), tmp_path / "made", seed=0)
    assert list(found)[1:] == [name + form for name in SMALL_SHAPES for form in ("", "-onnx")]
    for name, contender in found.items():
        for text in ("野球の試合が話題になる", "東京", "新しい映画の予告編が公開され、話題になっている。" * 3):
            answer = contender.task_answer(contender.predictor(1)(text))
            assert isinstance(answer, kind)
        assert contender.trained == (name == "mobilebert")
    for name in SMALL_SHAPES:
        assert found[name].like == found[f"{name}-onnx"].like == name
        assert found[f"{name}-onnx"].bytes < found[name].bytes
        load_finetuned(tmp_path / "made" / name, task, 24)  # a fresh process can load it


def test_the_shapes_are_the_published_ones():
    """Parameters of the encoders by hand, in millions: embeddings, blocks, norms."""
    from transformers import AutoModel

    sizes = {
        name: AutoModel.from_config(make()).num_parameters() / 1e6 for name, make in alternatives.ALTERNATIVES.items()
    }
    assert sizes["modernbert-ja-30m"] == pytest.approx(36.7, abs=0.1)  # 26.2 + 10 x 1.05
    assert sizes["line-distilbert"] == pytest.approx(68.1, abs=0.1)  # 25.6 + 6 x 7.09
    assert sizes["multilingual-e5-small"] == pytest.approx(117.7, abs=0.1)  # 96.2 + 12 x 1.77 + pooler


def test_names():
    assert alternatives.named_alternatives(None) == ()
    assert alternatives.named_alternatives("all") == tuple(alternatives.ALTERNATIVES)
    assert alternatives.named_alternatives(" line-distilbert,line-distilbert ") == ("line-distilbert",)
    with pytest.raises(UserError, match="'bert-tiny' is none of modernbert-ja-30m, line-distilbert"):
        alternatives.named_alternatives("bert-tiny")


def test_an_unknown_name_is_told_before_anything_is_read(tmp_path, capsys):
    done = run_measurement(capsys, "models", "--alternatives", "bert-tiny", work=tmp_path, data=tmp_path)
    assert "all names all of them" in done.error
