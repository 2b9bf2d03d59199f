"""Laws of the residual networks of SNGAN and WGAN-GP, and of the residual classifier."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import nn

from lightning_modules.networks.base import Network
from lightning_modules.networks.init import Normal
from lightning_modules.networks.resnet import DownBlock, ResNetDiscriminator, ResNetGenerator, UpBlock
from lightning_modules.networks.resnet_classifier import ResNetClassifier

SIZES = (32, 48, 64, 128)
G_MAPS = {
    32: [256, 256, 256, 256],
    48: [512, 256, 128, 64],
    64: [1024, 512, 256, 128, 64],
    128: [1024, 1024, 512, 256, 128, 64],
}
D_MAPS = {
    32: [128, 128, 128, 128],
    48: [64, 128, 256, 512, 1024],
    64: [64, 128, 256, 512, 1024],
    128: [64, 128, 256, 512, 1024, 1024],
}
D_SIDES = {32: [16, 8, 8, 8], 48: [24, 12, 6, 3, 3], 64: [32, 16, 8, 4, 2], 128: [64, 32, 16, 8, 4, 4]}


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def conv(inputs: int, outputs: int, kernel: int) -> int:
    """Weights and biases of a convolution."""
    return kernel**2 * inputs * outputs + outputs


# --- architecture -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_generator_counts(size: int) -> None:
    maps, start = G_MAPS[size], 6 if size == 48 else 4
    expected = conv(128, maps[0] * start**2, 1) + 2 * maps[-1] + conv(maps[-1], 3, 3)
    for a, b in pairwise(maps):
        expected += 2 * a + conv(a, b, 3) + 2 * b + conv(b, b, 3) + conv(a, b, 1)
    with torch.device("meta"):
        assert count(ResNetGenerator(size)) == expected
    assert start * 2 ** (len(maps) - 1) == size


@pytest.mark.parametrize("size", SIZES)
def test_discriminator_counts(size: int) -> None:
    maps = D_MAPS[size]
    expected = conv(3, maps[0], 3) + conv(maps[0], maps[0], 3) + conv(3, maps[0], 1)
    for (a, b), (before, after) in zip(pairwise(maps), pairwise(D_SIDES[size]), strict=True):
        expected += conv(a, a, 3) + conv(a, b, 3) + (conv(a, b, 1) if a != b or before != after else 0)
    expected += maps[-1] + (size != 32)  # SNGAN's code: no bias in the head at 32 px
    with torch.device("meta"):
        assert count(ResNetDiscriminator(size)) == expected
        assert count(ResNetDiscriminator(size, head_bias=True)) == expected + (size == 32)
        assert count(ResNetDiscriminator(size, head_bias=False)) == expected - (size != 32)


def test_the_counts_that_are_published() -> None:
    with torch.device("meta"):
        assert count(ResNetGenerator()) == 4_276_739
        assert count(ResNetDiscriminator()) == 1_053_824
        assert (
            count(ResNetGenerator(width=128)) == 128 * 2048 + 2048 + 3 * (4 * 128 + 2 * 147_584 + 16_512) + 256 + 3459
        )


@pytest.mark.parametrize("size", SIZES)
def test_images_of_every_size(size: int) -> None:
    G, D = ResNetGenerator(size, 1, z_dim=5, width=2), ResNetDiscriminator(size, 1, width=2)
    x = G(G.sample_z(3))
    assert tuple(x.shape) == (3, *G.out_shape) == (3, 1, size, size)
    assert 0 < x.abs().max().item() <= 1
    assert D(x).shape == (3,)
    assert D.features(x).shape == (3, D_MAPS[size][-1] // D_MAPS[size][0] * 2)
    assert torch.allclose(D.eval().head(D.features(x)).flatten(), D(x))
    sides = [(x := block(x)).shape[-1] for block in D.blocks]
    assert sides == D_SIDES[size]


@pytest.mark.parametrize("size", [0, 28, 40, 256])
@pytest.mark.parametrize("network", [ResNetGenerator, ResNetDiscriminator])
def test_other_sizes_are_refused(network: type[Network], size: int) -> None:
    with pytest.raises(ValueError, match=rf"^size must be 32, 48, 64 or 128, got {size}$"):
        network(size)


def test_the_first_layers_and_their_initialisation() -> None:
    torch.manual_seed(0)
    G, D = ResNetGenerator(width=32), ResNetDiscriminator(width=32, spectral_norm=False)
    residual, plain = [], [G.linear, D.head, G.head[2]]
    for block in [*G.blocks, *D.blocks]:
        assert isinstance(block, UpBlock | DownBlock)
        residual += [block.conv_1, block.conv_2]
        plain += [block.shortcut] if isinstance(block.shortcut, nn.Conv2d) else []
    assert (len(residual), len(plain)) == (14, 3 + 3 + 2)
    for layers, gain in ((residual, 2**0.5), (plain, 1.0)):
        for layer in layers:
            fan_out, fan_in = (layer.weight[0, 0].numel() * n for n in layer.weight.shape[:2])  # type: ignore[index]
            bound = gain * (6 / (fan_in + fan_out)) ** 0.5
            assert 0.9 * bound < float(layer.weight.detach().abs().max()) <= bound * (1 + 1e-6)  # type: ignore[operator]
            assert layer.bias is None or (layer.bias == 0).all()  # type: ignore[union-attr]


def test_another_initialiser_reaches_every_layer() -> None:
    torch.manual_seed(0)
    for net in (ResNetGenerator(width=16, init=Normal(3.0)), ResNetDiscriminator(width=16, init=Normal(3.0))):
        for name, parameter in net.named_parameters():
            if parameter.ndim > 1 and parameter.numel() > 100:
                assert abs(float(parameter.detach().std()) / 3 - 1) < 5 / (2 * parameter.numel()) ** 0.5, name


# --- laws of all --------------------------------------------------------------------------------------------

# name -> (network, shape of one input)
EVERY: dict[str, tuple[Callable[[], Network], tuple[int, ...]]] = {
    **{f"G{size}": (partial(ResNetGenerator, size, 1, z_dim=5, width=4), (5,)) for size in SIZES},
    **{f"D{size}": (partial(ResNetDiscriminator, size, 1, width=4), (1, size, size)) for size in SIZES},
    "G-normalised": (partial(ResNetGenerator, z_dim=5, width=4, spectral_norm=True), (5,)),
    "D-critic": (partial(ResNetDiscriminator, width=4, spectral_norm=False, pooling="mean"), (3, 32, 32)),
    "classifier": (partial(ResNetClassifier, width=4, dim=8), (3, 32, 32)),
}


@pytest.mark.parametrize(("make", "shape"), EVERY.values(), ids=EVERY.keys())
def test_every_parameter_gets_a_gradient(make: Callable[[], Network], shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    net, x = make(), torch.randn(8, *shape)
    net(x).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("name", ["G-normalised", "D32"])
def test_spectral_norm_converges_to_one(name: str) -> None:
    torch.manual_seed(0)
    make, shape = EVERY[name]
    net, x = make(), torch.randn(2, *shape)
    for _ in range(300):
        net(x)
    layers = [module for module in net.eval().modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len(layers) == sum(parameter.ndim > 1 for parameter in net.parameters())
    for layer in layers:
        assert abs(float(torch.linalg.svdvals(layer.weight.detach().flatten(1))[0]) - 1) < 1e-3


def test_evaluation_judges_each_sample_alone() -> None:
    torch.manual_seed(0)
    for make, shape in EVERY.values():
        net, x = make().eval(), torch.randn(4, *shape)
        with torch.no_grad():
            assert torch.allclose(net(x), torch.cat([net(part) for part in x.split(1)]), rtol=1e-4, atol=1e-4)


def test_classifier_counts_and_shapes() -> None:
    net = ResNetClassifier(channels=1, num_classes=7).eval()
    widths = [(1, 32), (32, 64), (64, 64), (64, 64), (64, 128), (128, 256), (256, 256), (256, 256)]
    assert count(net) == sum(9 * a * b + 2 * b for a, b in widths) + 256 * 128 + 2 * 128 + 128 * 7 + 7
    assert 2 * count(ResNetClassifier()) < 4e6  # as fp16 it fits a file of 4 MB
    for size in (8, 28, 32, 64):
        features = net.features(torch.randn(3, 1, size, size))
        assert tuple(features.shape) == (3, 128)
        assert float(features.detach().min()) >= 0
        assert tuple(net.head(features).shape) == (3, 7)
    assert ResNetClassifier(**net.init_args).init_args == net.init_args


@pytest.mark.parametrize("size", SIZES)
def test_sum_is_mean_times_the_positions(size: int) -> None:
    found = []
    for pooling in ("sum", "mean"):
        torch.manual_seed(0)
        D = ResNetDiscriminator(size, width=2, pooling=pooling).eval()
        found.append(D.features(torch.randn(2, 3, size, size)))
    assert found[0].abs().max() > 0
    assert torch.allclose(found[0], found[1] * D_SIDES[size][-1] ** 2, rtol=1e-4)
