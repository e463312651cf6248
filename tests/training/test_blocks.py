"""Blocks as a CPU trains them: transformers' results and gradients, from the same parameters, in training alone."""

import copy

import pytest
import torch
from torch import nn
from transformers import MobileBertModel

from mobilebert_ja.model.ib_bert import IBBertForPreTraining
from mobilebert_ja.model.mobilebert import mobilebert_config
from mobilebert_ja.training.blocks.block import can_run
from mobilebert_ja.training.blocks.exchange import blocks_for_training

CPU = torch.device("cpu")
ROWS, LENGTH, HIDDEN = 3, 10, 64
SMALL = {"hidden_size": HIDDEN, "intra_bottleneck_size": 32, "intermediate_size": 48, "embedding_size": 16}


def small_model(preset="mobilebert", **overrides) -> MobileBertModel:
    """Every parameter away from where transformers puts it: a zero or a one would hide what is left out."""
    torch.manual_seed(0)
    config = mobilebert_config(50, preset, num_hidden_layers=2, **SMALL, **overrides)
    model = MobileBertModel(config, add_pooling_layer=False).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            spread = parameter.shape[-1] ** -0.5 if parameter.ndim == 2 else 0.2
            parameter.add_(torch.randn_like(parameter), alpha=spread)
    return model


def outcome(model, mask=None, bf16=False) -> dict[str, torch.Tensor]:
    """The hidden states, and the gradient of a loss by each parameter."""
    torch.manual_seed(1)
    ids, wanted = torch.randint(5, 50, (ROWS, LENGTH)), torch.randn(ROWS, LENGTH, HIDDEN)
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        hidden = model(ids, attention_mask=mask).last_hidden_state
    assert hidden.dtype == torch.float32  # the stream between blocks, also by autocast
    (hidden * wanted).mean().backward()
    # A bias that is added to all keys changes no share of attention: its gradient is nothing but rounding.
    gradients = {name: each.grad.clone() for name, each in model.named_parameters() if "self.key.bias" not in name}
    return {"hidden": hidden.detach(), **gradients}


def trained(model, **how) -> dict[str, torch.Tensor]:
    with blocks_for_training(model, CPU):
        return outcome(model, **how)


def error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def half_of_the_last_row() -> torch.Tensor:
    mask = torch.ones(ROWS, LENGTH, dtype=torch.long)
    mask[-1, LENGTH // 2 :] = 0
    return mask


@pytest.mark.parametrize("mask", [None, half_of_the_last_row()], ids=["full rows", "padding"])
@pytest.mark.parametrize("feedforwards", [1, 3])
def test_results_and_gradients_are_the_librarys(mask, feedforwards):
    model = small_model()
    for block in model.encoder.layer:
        block.ffn = block.ffn[: feedforwards - 1]
        block.num_feedforward_networks = feedforwards
    expected, found = outcome(model, mask=mask), trained(model, mask=mask)
    assert found.keys() == expected.keys()
    wrong = {name: error(found[name], expected[name]) for name in expected}
    assert max(wrong.values()) < 2e-5, wrong


def test_bf16_is_as_near_to_float32_as_autocasts():
    mask = half_of_the_last_row()
    model = small_model()
    exact, found = outcome(model, mask), trained(model, mask=mask, bf16=True)
    autocast = outcome(model, mask, bf16=True)
    assert not torch.equal(found["hidden"], autocast["hidden"])  # it did run
    assert error(found["hidden"], exact["hidden"]) < 1.5 * error(autocast["hidden"], exact["hidden"])
    # All gradients together: that of a vector of few tokens is far from float32's by chance.
    together = [torch.cat([each[name].flatten() for name in exact]) for each in (exact, autocast, found)]
    assert error(together[2], together[0]) < 1.5 * error(together[1], together[0])


def test_it_drops_the_same_shares_of_attention():
    model = small_model(attention_probs_dropout_prob=0.5)
    whole = outcome(model)
    model.train().set_attn_implementation("eager")
    expected, found = outcome(model), trained(model)
    assert error(expected["hidden"], whole["hidden"]) > 0.01 > 1e-4 > error(found["hidden"], expected["hidden"])


def test_the_model_is_left_as_it_was_also_by_an_error():
    model = small_model()
    state, attributes = copy.deepcopy(model.state_dict()), [set(vars(part)) for part in model.modules()]
    with pytest.raises(ZeroDivisionError), blocks_for_training(model, CPU):
        assert model.config._attn_implementation == "eager" and "forward" in vars(model.encoder.layer[0])
        assert model.state_dict().keys() == state.keys()
        raise ZeroDivisionError
    assert [set(vars(part)) for part in model.modules()] == attributes
    assert model.config._attn_implementation == "sdpa"
    with blocks_for_training(model, torch.device("meta")):  # stands for a GPU
        assert [set(vars(part)) for part in model.modules()] == attributes


def test_an_evaluation_and_a_hook_see_the_blocks_own_forward():
    model = small_model()
    seen = []
    with blocks_for_training(model, CPU):
        handle = model.encoder.layer[0].attention.self.register_forward_hook(lambda *call: seen.append(call[2][1]))
        outcome(model)
        handle.remove()
        assert [maps.shape for maps in seen] == [(ROWS, 4, LENGTH, LENGTH)]
        calls = []
        handles = [
            each.register_forward_hook(lambda *_call: calls.append(1))
            for each in (model.encoder.layer[0].output.dense, model.encoder.layer[1].output.dense)
        ]
        with torch.no_grad():
            model(torch.arange(5, 10)[None])
        assert len(calls) == len(handles)


def test_other_structures_are_left_alone():
    teacher = IBBertForPreTraining(mobilebert_config(50, "ib-bert-large", num_hidden_layers=1, **SMALL))
    others = [teacher.mobilebert, small_model("mobilebert-tiny"), small_model(normalization_type="layer_norm")]
    others += [small_model(hidden_act="gelu"), small_model(hidden_dropout_prob=0.1)]
    for model in others:
        assert not any(can_run(block) for block in model.encoder.layer)
        with blocks_for_training(model, CPU):
            assert not any("forward" in vars(part) for part in model.modules())
    assert all(can_run(block) for block in small_model().encoder.layer)
    assert isinstance(small_model().encoder.layer[0].intermediate.intermediate_act_fn, nn.ReLU)
