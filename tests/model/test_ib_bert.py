"""IB-BERT_LARGE: the paper's structure runs, is of the paper's size, and survives saving."""

import pytest
import torch

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.model.ib_bert import IBBertForPreTraining, load_teacher, require_same_maps
from mobilebert_ja.model.mobilebert import mobilebert_config


def small_teacher() -> IBBertForPreTraining:
    torch.manual_seed(0)
    return IBBertForPreTraining(
        mobilebert_config(
            100,
            "ib-bert-large",
            num_hidden_layers=2,
            hidden_size=64,
            intra_bottleneck_size=128,
            intermediate_size=256,
            embedding_size=32,
        )
    ).eval()


def test_size_of_the_paper():
    with torch.device("meta"):
        teacher = IBBertForPreTraining(mobilebert_config(32768, "ib-bert-large"))
    # 293M in the paper, whose vocabulary of 30,522 has 0.3M embedding parameters less; 294,755,328 with the pooler.
    assert sum(each.numel() for each in teacher.mobilebert.parameters()) == 294_755_328
    attention = teacher.mobilebert.encoder.layer[0].attention.self
    assert attention.query.weight.shape == attention.key.weight.shape == attention.value.weight.shape == (1024, 512)
    assert attention.num_attention_heads == 4


def test_runs_forward_and_backward():
    teacher = small_teacher()
    ids = torch.randint(5, 100, (2, 9))
    out = teacher(ids, labels=ids, next_sentence_label=torch.tensor([0, 1]))
    out.loss.backward()
    query = teacher.mobilebert.encoder.layer[0].attention.self.query
    assert out.prediction_logits.shape == (2, 9, 100)
    assert query.weight.grad.abs().sum() > 0


def test_saved_and_loaded_it_answers_the_same(tmp_path):
    teacher = small_teacher()
    teacher.save_pretrained(str(tmp_path))
    ids = torch.randint(5, 100, (2, 9))
    with torch.no_grad():
        assert torch.equal(load_teacher(tmp_path)(ids).prediction_logits, teacher(ids).prediction_logits)


def test_no_teacher(tmp_path):
    with pytest.raises(UserError, match=r"pretrain\.py --model teacher"):
        load_teacher(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no IB-BERT"):
        load_teacher(tmp_path)


def test_maps_must_correspond():
    teacher = mobilebert_config(100, "ib-bert-large", num_hidden_layers=4)
    require_same_maps(teacher, mobilebert_config(100, num_hidden_layers=4))
    with pytest.raises(UserError, match="num_hidden_layers"):
        require_same_maps(teacher, mobilebert_config(100))
