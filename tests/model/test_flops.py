"""What training costs by hand, and a peak that no run can exceed."""

import re

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import MobileBertForPreTraining

from mobilebert_ja.model import flops
from mobilebert_ja.model.flops import forward_flops, peak_flops, training_flops_per_token, utilisation
from mobilebert_ja.model.ib_bert import IBBertForPreTraining
from mobilebert_ja.model.mobilebert import mobilebert_config


def test_cost_of_a_token_by_hand():
    # arXiv 2004.02984's student at 128 tokens: 835,584 products per token and layer outside attention, 2 x 128 x 128
    # in it, 196,608 in the embedding; the head has 512 x (512 + 32,768) at each masked position. Two operations a
    # product, three passes.
    products = 24 * (835_584 + 2 * 128 * 128) + 196_608 + 0.15 * 512 * (512 + 32_768)
    with torch.device("meta"):
        student = MobileBertForPreTraining(mobilebert_config(32_768))
        teacher = IBBertForPreTraining(mobilebert_config(32_768, "ib-bert-large"))
    assert training_flops_per_token(student, 128, 0.15) == pytest.approx(3 * 2 * products, rel=1e-6)

    # The teacher: 12,058,624 per token and layer, 2 x 128 x 1024 in attention; its pooler is one product per row.
    products = 24 * (12_058_624 + 2 * 128 * 1024) + 196_608 + 512 * 512 / 128 + 0.15 * 512 * (512 + 32_768)
    assert training_flops_per_token(teacher, 128, 0.15) == pytest.approx(3 * 2 * products, rel=1e-6)


def test_peak_is_measured_where_no_data_sheet_is_known(monkeypatch):
    peak, source = peak_flops(torch.device("cpu"), "no")
    assert 1e9 < peak < 1e14 and re.fullmatch(r"a product of two (512|1024|2048) x \1 matrices", source)
    monkeypatch.setattr(flops, "_LONG", 0.0)
    peak, source = peak_flops(torch.device("cpu"), "bf16")  # where they are slow, the smallest ones do
    assert peak > 0 and source == "a product of two 512 x 512 matrices"


@pytest.mark.parametrize(
    ("preset", "kind"), [("mobilebert", MobileBertForPreTraining), ("ib-bert-large", IBBertForPreTraining)]
)
def test_every_block_is_counted(preset, kind):
    config = mobilebert_config(100, preset, num_hidden_layers=5)
    with torch.device("meta"):
        model = kind(config)
        model.set_attn_implementation("eager")
        with FlopCounterMode(display=False) as counter:
            model.mobilebert(torch.zeros(1, 48, dtype=torch.long))
    assert forward_flops(config, 48, kind) == counter.get_total_flops() > 0


def test_shares_add_up():
    model = MobileBertForPreTraining(mobilebert_config(1000, num_hidden_layers=2))
    facts = utilisation(model, 64, 0.15, 100.0, torch.device("cpu"), "no", 2)
    assert facts["model_gflops_per_second"] == pytest.approx(facts["training_gflops_per_token"] * 100, abs=0.06)
    assert 0 <= facts["flop_utilisation"] < 0.1
