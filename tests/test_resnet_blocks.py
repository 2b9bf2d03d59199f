"""Blocks of the residual networks: up and down by hand, batch norm and shortcuts as in StudioGAN."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.networks.resnet import DownBlock, ResNetDiscriminator, ResNetGenerator, UpBlock
from lightning_modules.networks.resnet_classifier import Residual


def relu_conv(conv: nn.Conv2d, x: Tensor) -> Tensor:
    return conv(F.relu(x))


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_an_up_block_is_the_papers(mode: str) -> None:
    torch.manual_seed(0)
    block = UpBlock(4, 6, nn.Upsample(scale_factor=2, mode=mode)).eval()
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(2, 4, 5, 5)
    up = partial(F.interpolate, scale_factor=2, mode=mode)  # its default for align_corners is False
    h = block.conv_1(up(F.relu(block.norm_1(x))))
    h = relu_conv(block.conv_2, block.norm_2(h))
    assert torch.allclose(block(x), h + block.shortcut(up(x)), atol=1e-4)  # shortcut after upsampling


@pytest.mark.parametrize(("inputs", "outputs", "halve"), [(4, 6, True), (4, 4, True), (4, 6, False), (4, 4, False)])
def test_a_down_block_is_the_papers(inputs: int, outputs: int, halve: bool) -> None:
    torch.manual_seed(0)
    block = DownBlock(inputs, outputs, halve)
    x = torch.randn(2, inputs, 6, 6)
    h = relu_conv(block.conv_2, relu_conv(block.conv_1, x))
    shortcut = block.shortcut(x) if halve or inputs != outputs else x
    expected = F.avg_pool2d(h + shortcut, 2) if halve else h + shortcut  # both pooled after their convolutions
    assert torch.allclose(block(x), expected, atol=1e-5)
    assert isinstance(block.shortcut, nn.Identity) == (not halve and inputs == outputs)


def test_the_first_block_sees_the_image_as_it_is() -> None:
    torch.manual_seed(0)
    block = DownBlock(3, 6, halve=True, first=True)
    x = torch.randn(2, 3, 6, 6)
    expected = F.avg_pool2d(relu_conv(block.conv_2, block.conv_1(x)), 2) + block.shortcut(F.avg_pool2d(x, 2))
    assert torch.allclose(block(x), expected, atol=1e-5)


def randomised(block: nn.Module) -> nn.Module:
    """``block`` with norms that are not the identity, running statistics included."""
    for norm in block.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for numbers in (norm.weight, norm.bias, norm.running_mean):
                nn.init.normal_(numbers)  # type: ignore[arg-type]
            nn.init.uniform_(norm.running_var, 0.5, 2)  # type: ignore[arg-type]
    return block


def normed(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """By the batch's own statistics."""
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True)
    return (x - mean) / (variance + norm.eps).sqrt() * norm.weight[:, None, None] + norm.bias[:, None, None]


def test_batch_norm_of_the_first_block_follows_its_first_convolution_and_the_shortcuts_mean() -> None:
    torch.manual_seed(0)
    block = randomised(DownBlock(3, 6, halve=True, first=True, batch_norm=True))
    assert block.norm_0.num_features == 3
    x = torch.randn(4, 3, 6, 6)
    h = relu_conv(block.conv_2, normed(block.norm_2, block.conv_1(x)))
    expected = F.avg_pool2d(h, 2) + block.shortcut(normed(block.norm_0, F.avg_pool2d(x, 2)))
    assert torch.allclose(block(x), expected, atol=1e-5)


@pytest.mark.parametrize(("outputs", "halve", "wide"), [(6, True, False), (6, False, True), (4, False, False)])
def test_batch_norm_of_a_block_comes_before_each_relu_and_the_shortcuts_convolution(
    outputs: int, halve: bool, wide: bool
) -> None:
    """The shortcut's statistics are those before the mean of 2x2; without a convolution it has none."""
    torch.manual_seed(0)
    block = randomised(DownBlock(4, outputs, halve, wide=wide, batch_norm=True))
    x = torch.randn(4, 4, 6, 6)
    h = relu_conv(block.conv_1, normed(block.norm_1, x))
    h = relu_conv(block.conv_2, normed(block.norm_2, h))
    plain = outputs == 4 and not halve
    assert isinstance(block.norm_0, nn.Identity) == plain
    whole = h + (x if plain else block.shortcut(normed(block.norm_0, x)))
    assert torch.allclose(block(x), F.avg_pool2d(whole, 2) if halve else whole, atol=1e-5)


@pytest.mark.parametrize(("inputs", "outputs", "halve"), [(4, 6, True), (4, 4, True), (4, 6, False), (4, 4, False)])
def test_a_rectified_shortcut_is_what_a_relu_in_place_leaves(inputs: int, outputs: int, halve: bool) -> None:
    torch.manual_seed(0)
    block = DownBlock(inputs, outputs, halve, rectified_shortcut=True)
    x = torch.randn(2, inputs, 6, 6)
    changed = x.clone()
    h = relu_conv(block.conv_2, block.conv_1(F.relu(changed, inplace=True)))
    whole = h + block.shortcut(changed)  # the same tensor, now rectified
    assert torch.allclose(block(x), F.avg_pool2d(whole, 2) if halve else whole, atol=1e-5)
    block.rectified_shortcut = False
    assert not torch.allclose(block(x), F.avg_pool2d(whole, 2) if halve else whole, atol=1e-2)


def test_the_first_blocks_shortcut_reads_the_image_in_any_case() -> None:
    torch.manual_seed(0)
    block, x = DownBlock(3, 6, halve=True, first=True, rectified_shortcut=True), torch.randn(2, 3, 6, 6)
    found = block(x)
    block.rectified_shortcut = False
    assert torch.equal(found, block(x))


def test_a_rectified_shortcut_beside_batch_norm_is_refused() -> None:
    with pytest.raises(ValueError, match="rectified_shortcut: with batch_norm the shortcut's input meets no ReLU"):
        ResNetDiscriminator(batch_norm=True, rectified_shortcut=True, width=2)


def test_the_critic_with_batch_norm_has_studiogans_nine_at_32() -> None:
    """2 in the first block, 3 in the second, whose shortcut is convolved, 2 in each of the others; else none."""
    D = ResNetDiscriminator(width=8, spectral_norm=False, batch_norm=True)
    found = [[m.num_features for m in block.modules() if isinstance(m, nn.BatchNorm2d)] for block in D.blocks]
    assert [sorted(maps) for maps in found] == [[3, 8], [8, 8, 8], [8, 8], [8, 8]]
    assert not any(isinstance(m, nn.BatchNorm2d) for m in ResNetDiscriminator(width=8).modules())


def test_every_block_of_a_critic_can_have_a_rectified_shortcut() -> None:
    for asked in (False, True):
        D = ResNetDiscriminator(width=8, rectified_shortcut=asked)
        assert [block.rectified_shortcut for block in D.blocks] == [asked] * 4


BLOCKS = {
    "up": UpBlock(4, 6, nn.Upsample(scale_factor=2)),
    "up-no-norm": UpBlock(4, 6, nn.Upsample(scale_factor=2), nn.Identity),
    "first": DownBlock(4, 6, halve=True, first=True),
    "down": DownBlock(4, 6, halve=True),
    "wider": DownBlock(4, 6, halve=False),
    "plain": DownBlock(4, 4, halve=False),
    "rectified": DownBlock(4, 4, halve=False, rectified_shortcut=True),
    "normed": DownBlock(4, 6, halve=True, batch_norm=True),
    "classifier": Residual(4),
}


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS.keys())
def test_a_block_leaves_its_input_unchanged(block: nn.Module) -> None:
    x = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    block(x)
    assert torch.equal(x, before)


def test_upsampling_repeats_or_interpolates() -> None:
    x = torch.tensor([[[[0.0, 4.0]]]])
    ups = [ResNetGenerator(width=2, upsample=mode).blocks[0].up for mode in ("nearest", "bilinear")]
    assert ups[0](x)[0, 0].tolist() == [[0, 0, 4, 4], [0, 0, 4, 4]]  # type: ignore[operator]
    assert ups[1](x)[0, 0].tolist() == [[0, 1, 3, 4], [0, 1, 3, 4]]  # type: ignore[operator]
    found = []
    for mode in ("nearest", "bilinear"):
        torch.manual_seed(0)
        G = ResNetGenerator(width=4, upsample=mode)
        found.append(G(G.sample_z(2)))
    assert not torch.allclose(found[0], found[1], atol=1e-3)
