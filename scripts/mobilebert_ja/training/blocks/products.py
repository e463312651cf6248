"""Products of a block with what goes along with each of them, forwards and backwards by hand, for a CPU.

Autocast leaves NoNorm and the residuals in float32: it casts what every product reads and what it gives, and autograd
does so once more on the way back. Here what is inside a block stays in one type, bf16 or float32, parameters and their
gradients in float32, and sums are rounded once: a residual is added, and a gradient to another, within the product.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


@functools.cache
def _no_statistics(size: int) -> tuple[Tensor, Tensor]:
    return torch.zeros(size), torch.ones(size)


def scaled(inputs: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """NoNorm: inputs x scale + shift. Of bf16 and float32 vectors torch would make float32, in two passes; batch
    normalization by a mean of 0 and a variance of 1 is the same in one pass.

    Args:
        inputs: bf16 or float32 [N, H]; scale, shift: float32 [H].
    """
    mean, variance = _no_statistics(inputs.shape[-1])
    return torch.native_batch_norm(inputs, scale, shift, mean, variance, False, 0.0, 0.0)[0]


def scaled_backward(gradient: Tensor, inputs: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `scaled` by its inputs (of their type), scale and shift (float32), from that of its result."""
    mean, variance = _no_statistics(inputs.shape[-1])
    return torch.ops.aten.native_batch_norm_backward(
        gradient, inputs, scale, mean, variance, None, None, False, 0.0, [True, True, True]
    )


@functools.cache
def _knows_relu() -> bool:
    """Whether oneDNN multiplies in bf16 here, and so can apply the relu while it writes a product."""
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _relu_product(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """relu(inputs W^T + bias)."""
    if inputs.dtype == torch.bfloat16 and _knows_relu():
        return torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "relu", [], "")
    return torch.addmm(bias, inputs, weight.t()).relu_()


class ResidualProduct(torch.autograd.Function):
    """NoNorm(inputs W^T + b + residual), [N, H] of inputs [N, I] and residual [N, H], in the residual's type.

    The bias stands beside the shift, so that the product has room for a residual of its own type.
    """

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, residual: Tensor, weight: Tensor, bias: Tensor, scale: Tensor, shift: Tensor
    ) -> Tensor:
        cast = weight.to(inputs.dtype)
        if residual.dtype == inputs.dtype:
            total = torch.addmm(residual, inputs, cast.t())
        else:
            total = residual + inputs @ cast.t()
        ctx.save_for_backward(inputs, total, cast, bias, scale)
        return scaled(total, scale, torch.addcmul(shift, bias, scale))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        inputs, total, cast, bias, scale = ctx.saved_tensors
        by_total, by_scale, by_shift = scaled_backward(gradient.contiguous(), total, scale)
        by_product = by_total.to(inputs.dtype)
        return (
            by_product @ cast,
            by_total,
            (by_product.t() @ inputs).float(),
            by_shift * scale,
            torch.addcmul(by_scale, bias, by_shift),
            by_shift,
        )


class FeedForward(torch.autograd.Function):
    """NoNorm(relu(inputs U^T + u) D^T + d + inputs), [N, H] of inputs [N, H]; U [I, H], D [H, I]."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        up: Tensor,
        up_bias: Tensor,
        down: Tensor,
        down_bias: Tensor,
        scale: Tensor,
        shift: Tensor,
    ) -> Tensor:
        up, down = up.to(inputs.dtype), down.to(inputs.dtype)
        inner = _relu_product(inputs, up, up_bias.to(inputs.dtype))
        total = torch.addmm(inputs, inner, down.t())
        ctx.save_for_backward(inputs, inner, total, up, down, down_bias, scale)
        return scaled(total, scale, torch.addcmul(shift, down_bias, scale))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        inputs, inner, total, up, down, down_bias, scale = ctx.saved_tensors
        by_total, by_scale, by_shift = scaled_backward(gradient.contiguous(), total, scale)
        by_inner = by_total @ down
        torch.ops.aten.threshold_backward.grad_input(by_inner, inner, 0, grad_input=by_inner)
        return (
            torch.addmm(by_total, by_inner, up),
            (by_inner.t() @ inputs).float(),
            by_inner.sum(0).float(),
            (by_total.t() @ inner).float(),
            by_shift * scale,
            torch.addcmul(by_scale, down_bias, by_shift),
            by_shift,
        )
