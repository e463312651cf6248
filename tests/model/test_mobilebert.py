"""The structures of the paper, counted to the parameter, and the initialisation that makes NoNorm learn."""

import pytest
import torch
from transformers import MobileBertForPreTraining

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.model.flops import forward_flops
from mobilebert_ja.model.mobilebert import grow, initialise_student, mobilebert_config, parameter_counts


@pytest.mark.parametrize(
    ("vocab_size", "preset", "backbone"),
    [(32768, "mobilebert", 24_869_376), (30522, "mobilebert", 24_581_888), (32768, "mobilebert-tiny", 15_773_184)],
)
def test_parameters(vocab_size, preset, backbone):
    with torch.device("meta"):
        model = MobileBertForPreTraining(mobilebert_config(vocab_size, preset))
    assert parameter_counts(model)["backbone_parameters"] == backbone


@pytest.mark.parametrize(("preset", "flops"), [("mobilebert", 5_385_486_336), ("mobilebert-tiny", 3_070_230_528)])
def test_flops_of_128_tokens(preset, flops):
    assert forward_flops(mobilebert_config(30522, preset)) == flops


def test_flops_of_a_shorter_row_are_fewer():
    config = mobilebert_config(100, num_hidden_layers=1)
    assert 1.9 < forward_flops(config, 64) / forward_flops(config, 32) < 2.2  # attention grows with the square


def test_overrides_of_none_leave_the_preset():
    config = mobilebert_config(1000, num_hidden_layers=None, hidden_size=256)
    assert (config.num_hidden_layers, config.hidden_size, config.classifier_activation) == (24, 256, False)


@pytest.mark.parametrize(
    ("preset", "overrides", "word"),
    [
        ("mobile-bert", {}, "mobilebert-tiny"),
        ("mobilebert", {"intra_bottleneck_size": 130}, "num_attention_heads"),
        ("mobilebert", {"hidden_size": 128}, "embedding_size"),
    ],
)
def test_sizes_that_do_not_go_together(preset, overrides, word):
    with pytest.raises(UserError, match=word):
        mobilebert_config(1000, preset, **overrides)


def test_gain_brings_the_stream_to_unit_scale():
    torch.manual_seed(0)
    model = MobileBertForPreTraining(mobilebert_config(1000, num_hidden_layers=3)).eval()
    ids = torch.randint(5, 1000, (4, 32))
    before = model.mobilebert(ids).last_hidden_state.std()
    initialise_student(model, 33.0)
    after = model.mobilebert(ids).last_hidden_state.std()
    assert before < 0.1
    assert 0.5 < after < 2.0


def test_depth_scaled_outputs():
    torch.manual_seed(0)
    model = MobileBertForPreTraining(mobilebert_config(1000, num_hidden_layers=4))
    before = model.mobilebert.encoder.layer[2].output.bottleneck.dense.weight.clone()
    initialise_student(model, 33.0, depth_scaled_outputs=True)
    assert torch.allclose(model.mobilebert.encoder.layer[2].output.bottleneck.dense.weight, before / 2)


def test_layer_norm_needs_no_gain():
    model = MobileBertForPreTraining(mobilebert_config(100, num_hidden_layers=1, normalization_type="layer_norm"))
    initialise_student(model, 33.0)
    assert torch.equal(model.mobilebert.embeddings.LayerNorm.weight, torch.ones(512))


def test_growing_keeps_the_function_nearly():
    torch.manual_seed(0)
    config = mobilebert_config(
        200, num_hidden_layers=2, hidden_size=64, intra_bottleneck_size=32, intermediate_size=48, embedding_size=16
    )
    shallow = MobileBertForPreTraining(config).eval()
    initialise_student(shallow, 33.0)
    for name, parameter in shallow.named_parameters():
        if "output.bottleneck.LayerNorm" in name:
            parameter.data.add_(0.01 * torch.randn_like(parameter))
    grown = grow(shallow, 8).eval()
    assert grown.config.num_hidden_layers == len(grown.mobilebert.encoder.layer) == 8
    assert shallow.config.num_hidden_layers == 2
    ids = torch.randint(0, 200, (2, 9))
    start = shallow.mobilebert.embeddings(ids)
    before, after = (model.mobilebert(ids).last_hidden_state for model in (shallow, grown))
    assert (after - before).norm() < 0.05 * (before - start).norm()


def test_growing_to_a_depth_that_is_no_multiple():
    model = MobileBertForPreTraining(mobilebert_config(50, num_hidden_layers=2, hidden_size=160))
    with pytest.raises(UserError, match="multiple of 2, not to 5"):
        grow(model, 5)
