"""Laws of the three further forms of DCGAN: the collections', StudioGAN's and DCGAN-tensorflow's."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from network_laws import Make, blocks_leave_their_input_unchanged, every_parameter_gets_a_gradient
from torch import nn
from torch.nn import functional as F

from lightning_modules.networks.base import Network
from lightning_modules.networks.dcgan_forms import (
    CollectionsDiscriminator,
    CollectionsGenerator,
    Conv5Discriminator,
    Conv5Generator,
    DeepConvDiscriminator,
    DeepConvGenerator,
    halved,
)
from lightning_modules.networks.latents import Uniform
from lightning_modules.networks.packed import Packed


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def test_the_collections_form_at_32() -> None:
    G, D = CollectionsGenerator(), CollectionsDiscriminator()
    x = torch.zeros(2, 100, 1, 1)
    shapes = [tuple((x := layer(x)).shape[1:]) for layer in G.layers]
    assert shapes[::3] == [(1024, 2, 2), (512, 4, 4), (256, 8, 8), (128, 16, 16), (3, 32, 32)]
    assert count(G) == 4 * 100 * 1024 + 16 * (1024 * 512 + 512 * 256 + 256 * 128 + 128 * 3) + 2 * 1920 == 11_429_632
    x = torch.zeros(2, 3, 32, 32)
    shapes = [tuple((x := block(x)).shape[1:]) for block in D.blocks]
    assert shapes == [(64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 2, 2)]
    assert count(D) == 25 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512) + 2 * 896 + 2048 + 1 == 4_309_441
    kinds = [[type(layer) for layer in block.children()] for block in D.blocks]
    assert kinds == [[nn.Conv2d, nn.LeakyReLU]] + 3 * [[nn.Conv2d, nn.LeakyReLU, nn.BatchNorm2d]]


def test_the_collections_weights_are_torchs_own() -> None:
    torch.manual_seed(0)
    G = CollectionsGenerator(width=8)
    torch.manual_seed(0)
    assert torch.equal(G.layers[0].weight, nn.ConvTranspose2d(100, 64, 2, bias=False).weight)  # type: ignore[arg-type]


def test_studiogans_form_at_32() -> None:
    G, D = DeepConvGenerator(z_dim=100), DeepConvDiscriminator()
    x = G.linear(torch.zeros(2, 100)).unflatten(1, (512, 4, 4))
    shapes = [tuple((x := layer(x)).shape[1:]) for layer in G.layers]
    assert shapes[::3] == [(256, 8, 8), (128, 16, 16), (64, 32, 32), (3, 32, 32)]
    deconvolutions = 16 * (512 * 256 + 256 * 128 + 128 * 64) + 448
    assert count(G) == 101 * 8192 + deconvolutions + 2 * 448 + 27 * 64 + 3 == 3_582_979
    x = torch.zeros(2, 3, 32, 32)
    shapes = [tuple((x := block(x)).shape[1:]) for block in D.blocks]
    assert shapes == [(64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 4, 4)]
    flat, strided = 9 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512), 16 * (64**2 + 128**2 + 256**2)
    assert count(D) == flat + strided + (2 * 448 + 512) * 3 + 512 + 1 == 2_931_009
    assert {norm.eps for net in (G, D) for norm in net.modules() if isinstance(norm, nn.BatchNorm2d)} == {1e-4}


def test_studiogans_logit_is_a_sum_over_positions() -> None:
    torch.manual_seed(0)
    D = DeepConvDiscriminator(width=2).eval()
    x = torch.randn(2, 3, 32, 32)
    expected = F.conv2d(D.blocks(x), D.head.weight[:, :, None, None]).sum(dim=(1, 2, 3)) + D.head.bias
    assert torch.allclose(D(x), expected, rtol=1e-4)


def test_studiogans_weights_are_orthogonal() -> None:
    for net in (DeepConvGenerator(width=4), DeepConvDiscriminator(width=4)):
        for module in net.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                assert torch.allclose(torch.linalg.svdvals(module.weight.flatten(1)), torch.ones(()), atol=1e-5)
                assert (module.bias == 0).all()  # type: ignore[union-attr]


def test_dcgan_tensorflows_form_at_28() -> None:
    G, D = Conv5Generator(), Conv5Discriminator()
    x = G.linear(torch.zeros(2, 100)).unflatten(1, (512, 2, 2))
    shapes = [tuple((x := layer(x)).shape[1:]) for layer in G.layers]
    assert shapes[2::3] == [(256, 4, 4), (128, 7, 7), (64, 14, 14), (3, 28, 28)]
    kernels = 25 * (512 * 256 + 256 * 128 + 128 * 64 + 64 * 3)
    assert count(G) == 101 * 2048 + kernels + (256 + 128 + 64 + 3) + 2 * 960 == 4_514_819
    x = torch.zeros(2, 3, 28, 28)
    shapes = [tuple((x := block(x)).shape[1:]) for block in D.blocks]
    assert shapes == [(64, 14, 14), (128, 7, 7), (256, 4, 4), (512, 2, 2)]
    assert count(D) == kernels + 960 + 2 * 896 + 2048 + 1 == 4_310_401
    assert count(Packed(Conv5Discriminator(channels=6), 2)) == count(D) + 25 * 3 * 64
    kinds = [[type(layer) for layer in block.children()] for block in D.blocks]
    assert kinds == [[nn.Conv2d, nn.LeakyReLU]] + 3 * [[nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU]]
    assert {layer.negative_slope for layer in D.modules() if isinstance(layer, nn.LeakyReLU)} == {0.2}
    assert {norm.eps for net in (G, D) for norm in net.modules() if isinstance(norm, nn.BatchNorm2d)} == {1e-5}
    assert isinstance(G.latent, Uniform)


def test_dcgan_tensorflows_weights_are_narrow_and_its_biases_zero() -> None:
    torch.manual_seed(0)
    layers = [m for net in (Conv5Generator(), Conv5Discriminator()) for m in net.modules() if hasattr(m, "bias")]
    for layer in layers:
        assert not layer.bias.any()
        assert (layer.weight == 1).all() or abs(layer.weight.std().item() / 0.02 - 1) < 0.1


@pytest.mark.parametrize("side", [28, 7])
def test_torchs_padding_is_the_mirror_image_of_tensorflows(side: int) -> None:
    torch.manual_seed(0)
    convolution, x = Conv5Discriminator(width=2).blocks[0][0].double(), torch.randn(2, 3, side, side).double()  # type: ignore[index, operator]
    total = (-(-side // 2) - 1) * 2 + 5 - side  # TensorFlow's SAME: the smaller half before
    before, after = total // 2, total - total // 2
    mirrored = F.pad(x.flip(2, 3), (before, after, before, after))
    expected = F.conv2d(mirrored, convolution.weight.flip(2, 3), convolution.bias, stride=2).flip(2, 3)
    assert torch.allclose(convolution(x), expected, atol=1e-12)


@pytest.mark.parametrize("size", [16, 28, 33, 64])
def test_dcgan_tensorflows_form_of_every_size(size: int) -> None:
    G, D = Conv5Generator(size, 1, z_dim=5, width=2), Conv5Discriminator(size, 1, width=2)
    x = G(G.sample_z(3))
    assert tuple(x.shape) == (3, 1, size, size)
    assert 0 < x.abs().max().item() <= 1
    assert D(x).shape == (3,)
    assert halved(28) == [14, 7, 4, 2]


@pytest.mark.parametrize("network", [Conv5Generator, Conv5Discriminator])
def test_a_size_that_cannot_be_halved_so_often_is_refused(network: type[Network]) -> None:
    with pytest.raises(ValueError, match=r"^size must be 16 or more, got 15$"):
        network(15)


FORMS = [CollectionsGenerator, CollectionsDiscriminator, DeepConvGenerator, DeepConvDiscriminator]


@pytest.mark.parametrize("size", [32, 48, 64])
@pytest.mark.parametrize(("make_G", "make_D"), [FORMS[:2], FORMS[2:]], ids=["collections", "studiogan"])
def test_forms_of_every_size(make_G: type[Network], make_D: type[Network], size: int) -> None:
    G, D = make_G(size, 1, z_dim=5, width=2), make_D(size, 1, width=2)
    x = G(torch.randn(3, 5))
    assert tuple(x.shape) == (3, 1, size, size)
    assert 0 < x.abs().max().item() <= 1
    assert D(x).shape == (3,)


@pytest.mark.parametrize("size", [0, 28, 128])
@pytest.mark.parametrize("network", FORMS)
def test_other_sizes_of_the_forms_are_refused(network: type[Network], size: int) -> None:
    with pytest.raises(ValueError, match=rf"^size must be 32, 48 or 64, got {size}$"):
        network(size)


# --- laws of all --------------------------------------------------------------------------------------------

# name -> (network, shape of one input)
EVERY: dict[str, tuple[Callable[[], Network], tuple[int, ...]]] = {
    "collections-G": (partial(CollectionsGenerator, z_dim=5, width=2), (5,)),
    "collections-D": (partial(CollectionsDiscriminator, width=2), (3, 32, 32)),
    "collections-D-plain": (partial(CollectionsDiscriminator, width=2, batch_norm=False), (3, 32, 32)),
    "deep-conv-G": (partial(DeepConvGenerator, z_dim=5, width=2), (5,)),
    "deep-conv-D": (partial(DeepConvDiscriminator, width=2), (3, 32, 32)),
    "conv5-G": (partial(Conv5Generator, z_dim=5, width=2), (5,)),
    "conv5-D": (partial(Conv5Discriminator, width=2), (3, 28, 28)),
    "deep-conv-D-sn": (partial(DeepConvDiscriminator, width=2, batch_norm=False, spectral_norm=True), (3, 32, 32)),
}


@pytest.mark.parametrize(("make", "shape"), EVERY.values(), ids=EVERY.keys())
def test_every_parameter_gets_a_gradient(make: Make, shape: tuple[int, ...]) -> None:
    every_parameter_gets_a_gradient(make, shape)


@pytest.mark.parametrize("name", [name for name in EVERY if "-D" in name])
def test_blocks_leave_their_input_unchanged(name: str) -> None:
    blocks_leave_their_input_unchanged(*EVERY[name])


def test_spectral_norm_replaces_batch_norm() -> None:
    for name in ("collections-D-plain", "deep-conv-D-sn"):
        assert not any(isinstance(module, nn.BatchNorm2d) for module in EVERY[name][0]().modules())
    sigma = [layer.weight for layer in EVERY["deep-conv-D-sn"][0]().modules() if isinstance(layer, nn.Conv2d)]
    assert all(abs(float(torch.linalg.svdvals(weight.detach().flatten(1))[0]) - 1) < 1e-3 for weight in sigma)


def test_evaluation_judges_each_sample_alone() -> None:
    torch.manual_seed(0)
    for make, shape in EVERY.values():
        net, x = make().eval(), torch.randn(4, *shape)
        with torch.no_grad():
            assert torch.allclose(net(x), torch.cat([net(part) for part in x.split(1)]), rtol=1e-4, atol=1e-4)
