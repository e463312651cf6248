"""Progressive transfer: the right layers, the right rates, and a student that comes closer to its teacher."""

from contextlib import nullcontext

import pytest
import torch
from transformers import MobileBertForPreTraining

from mobilebert_ja.model.ib_bert import IBBertForPreTraining
from mobilebert_ja.model.mobilebert import mobilebert_config
from mobilebert_ja.pretraining.losses import distillation_loss, next_sentence_loss
from mobilebert_ja.pretraining.masked_lm import PretrainingModel
from mobilebert_ja.pretraining.transfer import (
    ProgressivePhases,
    TransferModel,
    copy_from_teacher,
    layer_losses,
    transfer_loss_function,
    transfer_optimizers,
    weighted,
)
from mobilebert_ja.settings import DistillSettings

SIZES = {"num_hidden_layers": 2, "hidden_size": 64, "embedding_size": 32, "attn_implementation": "eager"}


def pair() -> tuple[MobileBertForPreTraining, IBBertForPreTraining]:
    torch.manual_seed(0)
    teacher = IBBertForPreTraining(
        mobilebert_config(100, "ib-bert-large", intra_bottleneck_size=128, intermediate_size=256, **SIZES)
    ).eval()
    student = MobileBertForPreTraining(
        mobilebert_config(100, intra_bottleneck_size=32, intermediate_size=64, **SIZES)
    ).eval()
    return student, teacher


def batch() -> dict[str, torch.Tensor]:
    ids = torch.randint(5, 100, (4, 12), generator=torch.Generator().manual_seed(1))
    return {"input_ids": ids, "token_type_ids": torch.zeros_like(ids), "positions": ids[:, :2] % 12}


def test_progressive_phases():
    phases = ProgressivePhases("pkt", num_layers=3, total_steps=31, lower_layer_rate=0.1)
    assert [phases.layer(step) for step in (0, 9, 10, 19, 20, 29, 30)] == [0, 0, 1, 1, 2, 2, 2]
    assert [phases.rate(15, layer) for layer in range(3)] == [0.1, 1.0, 0.0]
    assert phases.layers(15) == [1]
    # Each phase warms up anew and then falls slowly.
    assert phases.factor(10) == 1.0 and 0.9 <= phases.factor(19) < phases.factor(12) < 1.0
    assert ProgressivePhases("pkt", 2, 200, 0.1).factor(100) == 0.1


def test_joint_transfer_matches_all_layers_at_once():
    phases = ProgressivePhases("jkt", num_layers=3, total_steps=30, lower_layer_rate=0.1)
    assert phases.layers(0) == phases.layers(29) == [0, 1, 2]
    assert {phases.rate(step, layer) for step in (0, 29) for layer in range(3)} == {1.0}


def test_copy_from_teacher():
    student, teacher = pair()
    with torch.no_grad():
        teacher.mobilebert.embeddings.LayerNorm.weight.uniform_(0.5, 1.5)
        teacher.mobilebert.embeddings.LayerNorm.bias.uniform_(-0.5, 0.5)
    copied = copy_from_teacher(student, teacher, batch())
    assert "mobilebert.embeddings.word_embeddings.weight" in copied
    assert "cls.predictions.transform.dense.weight" in copied and "cls.seq_relationship.weight" in copied
    assert not any(name.startswith("mobilebert.encoder.") for name in copied)
    one = student.mobilebert.embeddings(**{k: v for k, v in batch().items() if k != "positions"})
    two = teacher.mobilebert.embeddings(**{k: v for k, v in batch().items() if k != "positions"})
    # No NoNorm can equal a LayerNorm; on average the two agree.
    assert (one - two).square().mean() < 0.1 * two.square().mean()


def test_maps_correspond_one_to_one_and_the_loss_falls():
    student, teacher = pair()
    content = batch()
    copy_from_teacher(student, teacher, content)
    model, guide = TransferModel(student), PretrainingModel(teacher)
    with torch.no_grad():
        features, attentions = guide.features(content["input_ids"], content["token_type_ids"], None, [0, 1])
    assert [each.shape for each in features] == [(4, 12, 64)] * 2
    assert [each.shape for each in attentions.values()] == [(4, 4, 12, 12)] * 2
    assert torch.allclose(attentions[0].sum(-1), torch.ones(4, 4, 12))
    settings = DistillSettings(learning_rate=1e-3)
    (optimizer,) = transfer_optimizers(student, settings)
    values = []
    for _ in range(60):
        output = model(**content, layers=None, heads=False)
        assert [each.shape for each in output["attentions"].values()] == [(4, 4, 12, 12)] * 2
        parts = layer_losses(output, {"features": features, "attentions": attentions}, [0, 1])
        loss = weighted(parts, settings, 2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < 0.5 * values[0]


def test_prediction_loss_by_hand():
    """The teacher's logits, the share of the ground truth that was asked for, the next sentence; layers if they are
    wanted too."""
    student, teacher = pair()
    with torch.no_grad():  # otherwise all logits are near 0, and every mixture of the losses is log 100
        for model in (student, teacher):
            model.cls.predictions.decoder.bias.normal_(std=2.0)
            model.cls.seq_relationship.bias.normal_(std=2.0)
    targets = torch.tensor([[5, 9], [17, -100], [60, 5], [99, 42]])
    content = batch() | {"targets": targets, "next_sentence_label": torch.tensor([0, 1, 1, 1])}
    settings = DistillSettings(ground_truth_ratio=0.2)

    def loss(layers: list[int]) -> tuple[float, dict[str, torch.Tensor]]:
        function = transfer_loss_function(
            PretrainingModel(teacher), settings, lambda: layers, bool(layers), prediction=True, autocast=nullcontext
        )
        value, parts = function(TransferModel(student), content)
        return value.item(), parts

    rows = torch.arange(4).unsqueeze(1)
    with torch.no_grad():
        inputs = {name: content[name] for name in ("input_ids", "token_type_ids")}
        mine, theirs = (each(**inputs) for each in (student, teacher))
    logits, teacher_logits = (each.prediction_logits[rows, content["positions"]] for each in (mine, theirs))
    distilled = distillation_loss(logits, teacher_logits, targets, 0.2).item()
    following = next_sentence_loss(mine.seq_relationship_logits, content["next_sentence_label"]).item()
    value, parts = loss([])
    assert value == pytest.approx(distilled + following, rel=1e-4)
    assert {name: each.item() for name, each in parts.items()} == pytest.approx(
        {"distillation_loss": distilled, "nsp_loss": following}, rel=1e-4
    )
    value, parts = loss([0, 1])
    assert value == pytest.approx(weighted(parts, settings, 2).item() + distilled + following, rel=1e-4)


def test_weights_are_divided_by_the_number_of_layers():
    one = torch.ones(())
    parts = {"feature_map_loss": one, "mean_loss": 0 * one, "variance_loss": 0 * one, "attention_loss": one}
    assert weighted(parts, DistillSettings(), 24).item() == pytest.approx(101 / 24)


def test_phase_loss_reaches_no_layer_above():
    student, teacher = pair()
    content = batch()
    output = TransferModel(student)(**content, layers=1, heads=False)
    features, attentions = PretrainingModel(teacher).features(content["input_ids"], content["token_type_ids"], 1, [0])
    assert len(features) == len(output["features"]) == 1
    parts = layer_losses(output, {"features": features, "attentions": attentions}, [0])
    weighted(parts, DistillSettings(), 2).backward()
    blocks = student.mobilebert.encoder.layer
    assert all(p.grad is None for p in blocks[1].parameters())
    assert blocks[0].attention.self.query.weight.grad.abs().sum() > 0


def test_attention_maps_of_the_layers_in_play_only():
    student, _ = pair()
    output = TransferModel(student)(**batch(), layers=2, heads=False, maps_of=[1])
    assert list(output["attentions"]) == [1] and len(output["features"]) == 2


@pytest.mark.parametrize(("name", "kinds"), [("adamw", ["AdamW"]), ("lamb", ["Lamb"]), ("muon", ["Muon", "AdamW"])])
def test_every_optimizer_knows_the_layers(name, kinds):
    student, _ = pair()
    optimizers = transfer_optimizers(student, DistillSettings(optimizer=name))
    assert [type(each).__name__ for each in optimizers] == kinds
    layers: dict[int, int] = {}
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            layers[group["layer"]] = layers.get(group["layer"], 0) + sum(each.numel() for each in group["params"])
    sizes = [sum(each.numel() for each in block.parameters()) for block in student.mobilebert.encoder.layer]
    assert layers == dict(enumerate(sizes))
