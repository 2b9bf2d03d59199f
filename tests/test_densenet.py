"""Laws of the dense networks."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from network_laws import Make, blocks_leave_their_input_unchanged, every_parameter_gets_a_gradient
from torch import nn

from lightning_modules.networks.base import Network
from lightning_modules.networks.densenet import DenseLayer, DenseNetDiscriminator, DenseNetGenerator

SIZES = (16, 28, 32, 64, 128)


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


# --- dense blocks -------------------------------------------------------------------------------------------


def dense_block(inputs: int, growth: int, depth: int) -> int:
    """Weights of a block, by the paper's table 1."""
    maps = [inputs + i * growth for i in range(depth)]
    return sum(2 * m + m * 4 * growth + 2 * 4 * growth + 9 * 4 * growth * growth for m in maps)


def test_the_discriminators_maps_and_weights() -> None:
    D = DenseNetDiscriminator()
    x = torch.zeros(2, 3, 32, 32)
    shapes = [tuple((x := block(x)).shape[1:]) for block in D.blocks]
    assert shapes == [(24, 32, 32), (36, 16, 16), (42, 8, 8), (45, 4, 4), (93, 4, 4)]
    blocks = sum(dense_block(inputs, 12, 4) for inputs in (24, 36, 42, 45))
    transitions = sum(2 * a + a * (a // 2) for a in (72, 84, 90))
    assert count(D) == 9 * 3 * 24 + blocks + transitions + 2 * 93 + 93 + 1


def test_the_generators_maps_and_weights() -> None:
    G = DenseNetGenerator()
    x = G.linear(torch.zeros(2, 128)).unflatten(1, (192, 4, 4))
    shapes = [tuple((x := layer(x)).shape[1:]) for layer in G.layers]
    assert shapes[7::8] == [(120, 8, 8), (84, 16, 16), (66, 32, 32)]
    blocks = sum(dense_block(inputs, 12, 4) for inputs in (192, 120, 84, 66))
    transitions = sum(2 * a + a * (a // 2) for a in (240, 168, 132))
    assert count(G) == 129 * 192 * 16 + blocks + transitions + 2 * 114 + 9 * 114 * 3 + 3


def test_a_layer_keeps_its_input_and_adds_to_it() -> None:
    torch.manual_seed(0)
    for norm in (nn.BatchNorm2d, nn.Identity):
        layer = DenseLayer(5, 3, norm).eval()
        x = torch.randn(2, 5, 6, 6)
        before = x.clone()
        y = layer(x)
        assert torch.equal(x, before)
        assert torch.equal(y[:, :5], before)
        assert y.shape == (2, 8, 6, 6)
        assert float(y[:, 5:].detach().std()) > 0


@pytest.mark.parametrize("size", SIZES)
def test_dense_images_of_every_size(size: int) -> None:
    G, D = DenseNetGenerator(size, 1, 5, width=8, growth=2, depth=2), DenseNetDiscriminator(size, 1, growth=2, depth=2)
    x = G(G.sample_z(3))
    assert tuple(x.shape) == (3, *G.out_shape) == (3, 1, size, size)
    assert 0 < x.abs().max().item() <= 1
    assert D(x).shape == (3,)
    assert D.blocks(x).shape[-1] == G.seed_shape[-1] == (7 if size == 28 else 4)


@pytest.mark.parametrize("size", [0, 8, 30, 256])
@pytest.mark.parametrize("network", [DenseNetGenerator, DenseNetDiscriminator])
def test_other_dense_sizes_are_refused(network: type[Network], size: int) -> None:
    with pytest.raises(ValueError, match=rf"^size must be 28 or a power of two from 16 to 128, got {size}$"):
        network(size)


# --- laws of all --------------------------------------------------------------------------------------------

# name -> (network, shape of one input)
EVERY: dict[str, tuple[Callable[[], Network], tuple[int, ...]]] = {
    "dense-G": (partial(DenseNetGenerator, 32, 1, 5, width=8, growth=3, depth=2), (5,)),
    "dense-D": (partial(DenseNetDiscriminator, 32, 1, growth=3, depth=2), (1, 32, 32)),
    "dense-D-plain": (partial(DenseNetDiscriminator, 28, 1, growth=3, depth=2, batch_norm=False), (1, 28, 28)),
    "dense-D-sn": (partial(DenseNetDiscriminator, growth=3, depth=2, spectral_norm=True), (3, 32, 32)),
}


@pytest.mark.parametrize(("make", "shape"), EVERY.values(), ids=EVERY.keys())
def test_every_parameter_gets_a_gradient(make: Make, shape: tuple[int, ...]) -> None:
    every_parameter_gets_a_gradient(make, shape)


@pytest.mark.parametrize("name", [name for name in EVERY if "-D" in name])
def test_blocks_leave_their_input_unchanged(name: str) -> None:
    blocks_leave_their_input_unchanged(*EVERY[name])


def test_evaluation_judges_each_sample_alone() -> None:
    torch.manual_seed(0)
    for make, shape in EVERY.values():
        net, x = make().eval(), torch.randn(4, *shape)
        with torch.no_grad():
            assert torch.allclose(net(x), torch.cat([net(part) for part in x.split(1)]), rtol=1e-4, atol=1e-4)
