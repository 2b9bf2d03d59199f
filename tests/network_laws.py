"""Laws of any network, on random inputs of one ``shape``."""

from collections.abc import Callable

import torch
from torch import nn

from lightning_modules.networks.base import Network

Make = Callable[[], Network]


def every_parameter_gets_a_gradient(make: Make, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    net, x = make(), torch.randn(8, *shape)
    net(x).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        if not name.endswith("bias") or not any(isinstance(module, nn.BatchNorm2d) for module in net.modules()):
            assert parameter.grad.abs().sum() > 0, name  # batch norm takes away a bias before it


def blocks_leave_their_input_unchanged(make: Make, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = torch.randn(4, *shape)
    for block in make().blocks:  # type: ignore[union-attr]
        before = x.clone()
        after = block(x)
        assert torch.equal(x, before)
        x = after
