"""Laws of SNGAN's standard CNN."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

from lightning_modules.networks.base import Network
from lightning_modules.networks.sn_cnn import SNCNNDiscriminator, SNCNNGenerator

SIZES = (28, 32, 48, 64)


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


# --- architecture -------------------------------------------------------------------------------------------


def test_the_generator_at_32_is_table_3() -> None:
    G = SNCNNGenerator(z_dim=100)
    x = G.linear(torch.zeros(2, 100)).unflatten(1, (512, 4, 4))
    shapes = [tuple((x := layer(x)).shape[1:]) for layer in G.layers]
    assert shapes[1::3] == [(512, 4, 4), (256, 8, 8), (128, 16, 16), (64, 32, 32)]
    assert shapes[-1] == (3, 32, 32)
    linear, norms = 100 * 8192 + 8192, 2 * (512 + 256 + 128 + 64)
    doublings = 16 * (512 * 256 + 256 * 128 + 128 * 64) + 256 + 128 + 64
    assert count(G) == linear + norms + doublings + 9 * 64 * 3 + 3 == 3_584_003


@pytest.mark.parametrize("spectral_norm", [True, False])
def test_the_discriminator_at_32_is_table_3(spectral_norm: bool) -> None:
    D = SNCNNDiscriminator(spectral_norm=spectral_norm)
    x = torch.zeros(2, 3, 32, 32)
    shapes = [tuple((x := block(x)).shape[1:]) for block in D.blocks]
    assert shapes[:3] == [(64, 32, 32), (128, 16, 16), (128, 16, 16)]
    assert shapes[3:] == [(256, 8, 8), (256, 8, 8), (512, 4, 4), (512, 4, 4)]
    strided = 16 * (64 * 128 + 128 * 256 + 256 * 512) + 128 + 256 + 512
    between = 9 * (3 * 64 + 128 * 128 + 256 * 256 + 512 * 512) + 64 + 128 + 256 + 512
    assert count(D) == strided + between + 8192 + 1 == 5_860_865


def test_the_activation_is_leaky_by_a_tenth() -> None:
    D = SNCNNDiscriminator(width=2)
    assert [block.get_submodule("1")(torch.tensor(-1.0)).item() for block in D.blocks] == pytest.approx([-0.1] * 7)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_every_size(size: int, channels: int) -> None:
    G, D = SNCNNGenerator(size, channels, z_dim=5, width=2), SNCNNDiscriminator(size, channels, width=2)
    x = G(G.sample_z(3))
    assert tuple(x.shape) == (3, *G.out_shape) == (3, channels, size, size)
    assert 0 < x.abs().max().item() <= 1
    assert D(x).shape == (3,)
    assert G.seed_shape[1] == {28: 7, 32: 4, 48: 6, 64: 8}[size]
    assert G.seed_shape[0] == D.head.in_features // G.seed_shape[1] ** 2 == (8 if size == 28 else 16)


@pytest.mark.parametrize("size", [0, 16, 30, 128])
@pytest.mark.parametrize("network", [SNCNNGenerator, SNCNNDiscriminator])
def test_other_sizes_are_refused(network: type[Network], size: int) -> None:
    with pytest.raises(ValueError, match=rf"^size must be 28, 32, 48 or 64, got {size}$"):
        network(size)


def test_weights_are_drawn_with_a_fiftieth_and_biases_are_zero() -> None:
    torch.manual_seed(0)
    for net in (SNCNNGenerator(width=16), SNCNNDiscriminator(width=16, spectral_norm=False)):
        for module in net.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                n = module.weight.numel()
                assert abs(float(module.weight.detach().std()) / 0.02 - 1) < 5 / (2 * n) ** 0.5
                assert (module.bias == 0).all()  # type: ignore[union-attr]


# --- laws of all --------------------------------------------------------------------------------------------

# name -> (network, shape of one input)
EVERY: dict[str, tuple[Callable[[], Network], tuple[int, ...]]] = (
    {f"{size}-G": (partial(SNCNNGenerator, size, 1, z_dim=5, width=2), (5,)) for size in SIZES}
    | {"G-normalised": (partial(SNCNNGenerator, z_dim=5, width=2, spectral_norm=True), (5,))}
    | {f"{size}-D": (partial(SNCNNDiscriminator, size, 1, width=2), (1, size, size)) for size in SIZES}
)


@pytest.mark.parametrize(("make", "shape"), EVERY.values(), ids=EVERY.keys())
def test_every_parameter_gets_a_gradient(make: Callable[[], Network], shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    net, x = make(), torch.randn(8, *shape)
    net(x).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("size", SIZES)
def test_blocks_leave_their_input_unchanged(size: int) -> None:
    torch.manual_seed(0)
    D = SNCNNDiscriminator(size, 1, width=2)
    x = torch.randn(4, 1, size, size)
    for block in D.blocks:
        before = x.clone()
        after = block(x)
        assert torch.equal(x, before)
        x = after
