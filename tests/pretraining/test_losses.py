"""The losses against numbers worked by hand and against a plain numpy float64 computation of the same formulas."""

import math

import numpy as np
import pytest
import torch

from mobilebert_ja.pretraining import losses


def maps(seed: int, shape: tuple[int, ...] = (2, 3, 8)) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator) * 2 + 1, torch.randn(shape, generator=generator)


def test_feature_map_loss_by_hand():
    # [1, 3] normalizes to [-1, 1] and [3, 1] to [1, -1]: each difference is 2, its square 4.
    student, teacher = torch.tensor([[[1.0, 3.0]]]), torch.tensor([[[3.0, 1.0]]])
    assert losses.feature_map_loss(student, teacher).item() == pytest.approx(4.0, abs=1e-3)
    # The loss is blind to scale and shift.
    assert losses.feature_map_loss(student, student * 5 + 7).item() == pytest.approx(0.0, abs=1e-5)


def test_mean_and_variance_loss_by_hand():
    student, teacher = torch.tensor([[[1.0, 3.0]]]), torch.tensor([[[0.0, 8.0]]])
    assert losses.mean_loss(student, teacher).item() == pytest.approx(4.0)  # (2 - 4)^2
    assert losses.variance_loss(student, teacher).item() == pytest.approx(15.0)  # |1 - 16|


def test_attention_loss_by_hand():
    # Teacher puts all weight on key 0, the student a quarter: -log(1/4).
    teacher = torch.tensor([[[[1.0, 0.0]]]])
    student = torch.tensor([[[[0.25, 0.75]]]])
    assert losses.attention_loss(student, teacher).item() == pytest.approx(math.log(4))
    # Equal distributions leave the entropy, here that of a fair coin.
    fair = torch.full((1, 1, 1, 2), 0.5)
    assert losses.attention_loss(fair, fair).item() == pytest.approx(math.log(2))


def test_distillation_loss_by_hand():
    # Two words. Student even: log 2 for every target. Teacher 3:1.
    student = torch.zeros(1, 1, 2)
    teacher = torch.tensor([[[math.log(3.0), 0.0]]])
    targets = torch.tensor([[0]])
    assert losses.masked_lm_loss(student, targets).item() == pytest.approx(math.log(2))
    assert losses.soft_target_loss(student, teacher, targets).item() == pytest.approx(math.log(2))
    sharp = torch.tensor([[[math.log(9.0), 0.0]]])  # 0.9 and 0.1
    hard, soft = -math.log(0.9), -(0.75 * math.log(0.9) + 0.25 * math.log(0.1))
    mixed = losses.distillation_loss(sharp, teacher, targets, 0.3)
    assert mixed.item() == pytest.approx(0.3 * hard + 0.7 * soft, rel=1e-5)


def test_against_float64_reference():
    student, teacher = maps(0)
    s, t = student.double().numpy(), teacher.double().numpy()

    def normal(x):
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)

    assert losses.feature_map_loss(student, teacher).item() == pytest.approx(((normal(s) - normal(t)) ** 2).mean())
    assert losses.mean_loss(student, teacher).item() == pytest.approx(((s.mean(-1) - t.mean(-1)) ** 2).mean())
    assert losses.variance_loss(student, teacher).item() == pytest.approx(np.abs(s.var(-1) - t.var(-1)).mean())
    p, q = (torch.softmax(each, -1) for each in maps(1, (2, 4, 5, 5)))
    expected = -(q.double().numpy() * np.log(p.double().numpy())).sum(-1).mean()
    assert losses.attention_loss(p, q).item() == pytest.approx(expected)


def test_unused_slots_are_ignored():
    logits, teacher = maps(4, (1, 3, 7))
    some = torch.tensor([[2, -100, 5]])
    kept = [0, 2]
    for loss in (losses.masked_lm_loss, lambda a, y: losses.soft_target_loss(a, teacher[:, : a.shape[1]], y)):
        value = loss(logits, some)
        changed = logits.clone()
        changed[0, 1] = 50.0
        assert loss(changed, some).item() == pytest.approx(value.item())
    expected = losses.masked_lm_loss(logits[:, kept], some[:, kept])
    assert losses.masked_lm_loss(logits, some).item() == pytest.approx(expected.item())


def test_gradient_reaches_the_student_only_where_it_differs():
    student, teacher = maps(5)
    teacher[0] = student[0]
    student.requires_grad_(True)
    losses.feature_map_loss(student, teacher).backward()
    assert student.grad is not None
    reached = student.grad.abs().sum(-1) > 0
    assert not reached[0].any() and reached[1].all()
