"""R3GAN's networks before any step: their scales, what goes straight through, what learns first."""

import pytest
import torch
from test_r3gan import nets
from torch.nn.functional import conv2d

from lightning_modules.networks.fir import FIR
from lightning_modules.networks.r3gan import (
    TAPS,
    Basis,
    Down,
    R3GANDiscriminator,
    R3GANGenerator,
    ResidualBlock,
    Up,
)


def test_blocks_start_as_the_identity_with_scaled_branches() -> None:
    torch.manual_seed(0)
    D = R3GANDiscriminator(3, (256, 128), blocks=3)
    blocks = [module for module in D.modules() if isinstance(module, ResidualBlock)]
    assert len(blocks) == 6
    for block in blocks:
        x = torch.randn(2, block.layers[0].in_channels, 4, 4)
        assert torch.equal(block(x), x)
        for i, fan_in in ((0, block.layers[0].in_channels), (2, 16 * 9)):
            wanted = (2 / 1.04 / fan_in) ** 0.5 * 6**-0.25
            assert block.layers[i].weight.std().item() == pytest.approx(wanted, rel=0.03)


def test_what_stands_outside_the_blocks_starts_at_he_s_scale() -> None:
    torch.manual_seed(0)
    G = R3GANGenerator(3, z_dim=400, widths=(256, 128), num_classes=100)
    D = R3GANDiscriminator(3, (256, 128), num_classes=100)
    [up], [down] = ([m for m in net.modules() if isinstance(m, kind)] for net, kind in ((G, Up), (D, Down)))
    basis = next(module for module in D.modules() if isinstance(module, Basis))
    wanted = {  # by hand: 1 / sqrt(numbers that go into one), classes being one-hot
        G.linear.weight: 800**-0.5,
        G.embed.weight: 0.1,
        G.basis: 1.0,
        up.change.weight: 1 / 16,
        G.colours.weight: 128**-0.5,
        D.blocks[0].weight: 3**-0.5,
        down.change.weight: 128**-0.5,
        basis.weight: 1 / 4,
        D.head.weight: 1 / 16,
        D.embed.weight: 1 / 160,
    }
    for weight, std in wanted.items():
        assert weight.std().item() == pytest.approx(std, rel=0.1)


def test_at_the_start_what_is_given_goes_straight_through() -> None:
    G, D = nets(widths=(16, 16, 16))
    z, fir = torch.randn(5, 6), FIR(TAPS)
    maps = G.basis * (z @ G.linear.weight.T)[:, :, None, None]
    wanted = conv2d(fir.up(fir.up(maps)), G.colours.weight)
    assert torch.allclose(G(z), wanted, atol=1e-5)
    assert wanted.std() > 0.1
    x = torch.randn(5, 1, 16, 16)
    maps = fir.down(fir.down(conv2d(x, D.blocks[0].weight)))
    basis = next(module for module in D.modules() if isinstance(module, Basis))
    numbers = conv2d(maps, basis.weight[:, None], groups=16).flatten(1)
    assert torch.allclose(D(x), (numbers @ D.head.weight.T).flatten(), atol=1e-5)


def test_at_the_start_only_the_last_convolution_of_a_block_learns() -> None:
    for net, x in zip(nets(), (torch.randn(4, 6), torch.randn(4, 1, 8, 8)), strict=True):
        net(x).square().sum().backward()
        for block in net.modules():
            if isinstance(block, ResidualBlock):
                still = [weight.grad is not None and not weight.grad.any() for weight in block.parameters()]
                assert still == [True] * 4 + [False]
