"""RRDBNet and SRGAN's D: dense blocks by hand, published sizes, a gradient for every weight."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from lightning_modules.networks.rrdb import RRDB, DenseBlock, RRDBNet
from lightning_modules.networks.srgan import SRGANDiscriminator


def test_dense_blocks_that_add_nothing_leave_their_input() -> None:
    x = torch.randn(2, 8, 5, 6)
    block, group = DenseBlock(8, 4), RRDB(8, 4)
    for module in (block, *group.blocks):
        nn.init.zeros_(module.layers[-1].weight)  # type: ignore[union-attr, index, arg-type]
    assert torch.equal(block(x), x)
    assert torch.allclose(group(x), 1.2 * x)  # their answer is x, and a fifth of it is added


def test_a_dense_block_sees_all_before_by_hand() -> None:
    block = DenseBlock(1, 1, weight=0.5)
    with torch.no_grad():
        for layer in block.layers:
            layer.weight.zero_()  # type: ignore[operator, union-attr]
            layer.weight[:, :, 1, 1] = 1  # type: ignore[operator, index]
    # each answer is the sum of all before: 1, then 2, 4, 8, 16 times x
    assert torch.allclose(block(torch.full((1, 1, 3, 3), 3.0)), torch.full((1, 1, 3, 3), 3 + 0.5 * 16 * 3.0))
    # below 0 each answer is a fifth of that sum: -0.2, -0.24, ... all of them together with x are -1.2^4
    assert torch.allclose(block(torch.full((1, 1, 3, 3), -1.0)), torch.full((1, 1, 3, 3), -1 - 0.5 * 1.2**4))


def test_networks_are_as_large_as_published() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in RRDBNet().parameters()) == 16_697_987
        D = SRGANDiscriminator()
    widths = [3, 64, 64, 128, 128, 256, 256, 512, 512]
    convolutions = sum(9 * a * b for a, b in pairwise(widths)) + 64 + 2 * sum(widths[2:])
    dense = 512 * 6 * 6 * 1024 + 1024 + 1024 + 1
    assert sum(p.numel() for p in D.parameters()) == convolutions + dense


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_every_weight_of_rrdbnet_gets_a_gradient(scale: int) -> None:
    torch.manual_seed(0)
    net = RRDBNet(scale, blocks=2, width=4, growth=3)
    x = net(torch.rand(2, 3, 6, 5), scale)
    assert x.shape == (2, 3, 6 * scale, 5 * scale)
    x.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


@pytest.mark.parametrize("size", [16, 20, 33])
def test_every_weight_of_d_gets_a_gradient_at_any_known_side(size: int) -> None:
    torch.manual_seed(0)
    D = SRGANDiscriminator(size=size, width=2, dense=5)
    logits = D(torch.rand(6, 3, size, size))
    assert logits.shape == (6,)
    (logits * torch.arange(6)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in D.parameters())
