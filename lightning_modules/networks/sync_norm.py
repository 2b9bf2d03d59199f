"""Batch normalisation over the batches of all ranks (Ioffe and Szegedy 2015, algorithm 1, on the whole batch).

PyTorch's own runs on GPUs only and has no second derivative, which R1 and every other gradient penalty needs. This one
is made of differentiable sums over the ranks: it runs on any device and is as often differentiable as they are.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class RankBatchNorm(_BatchNorm):
    """Normalises x [N, C, ...] by mean and variance of every rank's batch; one rank alone is plain batch norm."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of dimensions: what it replaces has checked."""

    def forward(self, input: Tensor) -> Tensor:
        """``input`` [N, C, ...], normalised; in evaluation by the running statistics."""
        if not (self.training and dist.is_available() and dist.is_initialized()):
            return super().forward(input)
        x, over = input.float(), [0, *range(2, input.ndim)]
        sums = torch.cat([x.sum(over), x.new_full((1,), x.numel() / x.shape[1])])
        total = sum_over_ranks(sums)
        count, mean = total[-1], total[:-1] / total[-1]
        centred = x - shaped(mean, x)
        variance = sum_over_ranks(centred.square().sum(over)) / count
        self.remember(mean.detach(), variance.detach() * (count / (count - 1)).detach())
        y = centred * shaped(torch.rsqrt(variance + self.eps), x)
        return (y * shaped(self.weight, x) + shaped(self.bias, x) if self.affine else y).to(input.dtype)

    def remember(self, mean: Tensor, variance: Tensor) -> None:
        """Take the batches' ``mean`` and unbiased ``variance`` [C] into the running ones."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


class _SumOverRanks(torch.autograd.Function):
    """Every rank's output depends on every rank's input: the gradient is the sum of all ranks' gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return sum_over_ranks(gradients[0])


def sum_over_ranks(x: Tensor) -> Tensor:
    """The sum of all ranks' ``x``, on each; as often differentiable as one likes."""
    total: Tensor = _SumOverRanks.apply(x)
    return total


def shaped(statistic: Tensor, x: Tensor) -> Tensor:
    """``statistic`` [C] as [1, C, 1, ...], to meet ``x``."""
    return statistic.view(1, -1, *[1] * (x.ndim - 2))


def over_ranks(module: nn.Module) -> nn.Module:
    """``module`` with all its batch normalisation over ranks, in place; weights and statistics are the same tensors."""
    if isinstance(module, _BatchNorm):
        norm = RankBatchNorm(
            module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats
        )
        norm._parameters, norm._buffers = module._parameters, module._buffers
        return norm.train(module.training)
    for name, child in module.named_children():
        setattr(module, name, over_ranks(child))
    return module
