"""Laws of the networks: shapes, sizes counted by hand, initialisation, and that everything learns."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from toys import weights

from lightning_modules.networks.base import Discriminator, Network
from lightning_modules.networks.cnn import CNN
from lightning_modules.networks.conditional import AuxiliaryDiscriminator, ConcatDiscriminator
from lightning_modules.networks.dcgan import DCGANDiscriminator, DCGANGenerator, resolutions
from lightning_modules.networks.feedback import SpatialDiscriminator
from lightning_modules.networks.mlp import MLPDiscriminator, MLPGenerator
from lightning_modules.networks.patchgan import PatchGAN
from lightning_modules.networks.psgan import PSGANDiscriminator
from lightning_modules.networks.r3gan import R3GANDiscriminator
from lightning_modules.networks.resolutions import Widths
from lightning_modules.networks.singan import SinGANDiscriminator
from lightning_modules.networks.sn_patchgan import SNPatchGAN
from lightning_modules.networks.stylegan_discriminator import StyleGAN2Discriminator

SIZES = (8, 16, 28, 32, 64, 128)


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


# --- DCGAN --------------------------------------------------------------------------------------------------


def test_dcgan_64_is_that_of_figure_1() -> None:
    G, D = DCGANGenerator(64, 3, z_dim=100, width=128), DCGANDiscriminator(64, 3, width=128)
    x = torch.zeros(2, 100, 1, 1)
    shapes = [tuple((x := layer(x)).shape[1:]) for layer in G.layers]
    assert shapes[::3] == [(1024, 4, 4), (512, 8, 8), (256, 16, 16), (128, 32, 32), (3, 64, 64)]
    convolutions = 16 * (100 * 1024 + 1024 * 512 + 512 * 256 + 256 * 128 + 128 * 3)
    assert count(G) == convolutions + 2 * (1024 + 512 + 256 + 128) == 12_658_432
    x = torch.zeros(2, 3, 64, 64)
    shapes = [tuple((x := block(x)).shape[1:]) for block in D.blocks]
    assert shapes == [(128, 32, 32), (256, 16, 16), (512, 8, 8), (1024, 4, 4)]
    convolutions = 16 * (3 * 128 + 128 * 256 + 256 * 512 + 512 * 1024 + 1024)
    biases_and_norms = 128 + 1 + 2 * (256 + 512 + 1024)
    assert count(D) == convolutions + biases_and_norms == 11_036_289


def test_dcgan_64_of_half_the_width_is_that_of_the_authors_code() -> None:
    assert count(DCGANGenerator()) == 3_576_704
    assert count(DCGANDiscriminator()) == 2_765_568 + 64 + 1  # the code has no biases


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_dcgan_makes_and_judges_images_of_every_size(size: int, channels: int) -> None:
    G, D = DCGANGenerator(size, channels, z_dim=5, width=2), DCGANDiscriminator(size, channels, width=2)
    x = G(G.sample_z(3))
    assert tuple(x.shape) == (3, *G.out_shape) == (3, channels, size, size)
    assert 0 < x.abs().max().item() <= 1
    assert D(x).shape == (3,)


def test_dcgan_28_grows_from_7() -> None:
    assert resolutions(28) == [7, 14]
    assert resolutions(64) == [4, 8, 16, 32]
    assert resolutions(8) == [4]


@pytest.mark.parametrize("size", [0, 4, 30, 56, 256])
@pytest.mark.parametrize("network", [DCGANGenerator, DCGANDiscriminator])
def test_other_sizes_are_refused(network: type[Network], size: int) -> None:
    with pytest.raises(ValueError, match=rf"^size must be 28 or a power of two from 8 to 128, got {size}$"):
        network(size)  # type: ignore[call-arg]


def test_dcgan_is_initialised_as_in_section_4() -> None:
    torch.manual_seed(0)
    for net in (DCGANGenerator(64, width=32), DCGANDiscriminator(64, width=32)):
        for module in net.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.weight.numel() > 4000:
                n = module.weight.numel()
                assert abs(float(module.weight.detach().mean())) < 5 * 0.02 / n**0.5
                assert abs(float(module.weight.detach().std()) / 0.02 - 1) < 5 / (2 * n) ** 0.5
        norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
        scales = torch.cat([norm.weight.detach() for norm in norms])
        assert abs(float(scales.mean()) - 1) < 5 * 0.02 / len(scales) ** 0.5
        assert abs(float(scales.std()) / 0.02 - 1) < 5 / (2 * len(scales)) ** 0.5
        assert all((norm.bias == 0).all() for norm in norms)


def test_batch_norm_stands_on_all_but_the_first_block_or_nowhere() -> None:
    def norms(D: DCGANDiscriminator) -> list[bool]:
        return [any(isinstance(layer, nn.BatchNorm2d) for layer in block) for block in D.blocks]  # type: ignore[union-attr]

    assert norms(DCGANDiscriminator(32, width=2)) == [False, True, True]
    assert norms(DCGANDiscriminator(32, width=2, batch_norm=False)) == [False, False, False]


# --- MLP and CNN --------------------------------------------------------------------------------------------


def test_mlp_counts_and_shapes() -> None:
    G, D = MLPGenerator((1, 4, 4), z_dim=3, width=5, depth=2, tanh=True), MLPDiscriminator((1, 4, 4), width=5, depth=3)
    assert count(G) == (3 * 5 + 5) + (5 * 5 + 5) + (5 * 16 + 16)
    assert count(D) == (16 * 5 + 5) + 2 * (5 * 5 + 5) + (5 + 1)
    assert len(D.blocks) == 3
    x = G(100 * G.sample_z(7))
    assert tuple(x.shape) == (7, 1, 4, 4)
    assert float(x.detach().abs().max()) <= 1
    assert D(x).shape == (7,)
    points = MLPGenerator(z_dim=2)
    assert tuple(points(1000 * points.sample_z(9)).shape) == (9, 2)
    assert float(points(1000 * points.sample_z(9)).detach().abs().max()) > 1  # no tanh


@pytest.mark.parametrize("sizes", [{"width": 0}, {"depth": 0}])
def test_an_mlp_without_units_is_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"an MLP needs a depth and a width of 1 or more"):
        MLPDiscriminator(**sizes)


def test_cnn_counts_and_shapes() -> None:
    net = CNN().eval()
    convolutions = 9 * (1 * 32 + 32 * 32 + 32 * 64 + 64 * 64 + 64 * 128) + 2 * (32 + 32 + 64 + 64 + 128)
    hidden, head = 128 * 16 * 64 + 2 * 64, 64 * 10 + 10
    assert count(net) == convolutions + hidden + head
    for size in (16, 28, 32, 64):
        features = net.features(torch.randn(3, 1, size, size))
        assert tuple(features.shape) == (3, 64)
        assert float(features.detach().min()) >= 0
        assert tuple(net.head(features).shape) == (3, 10)


# --- laws of all --------------------------------------------------------------------------------------------

GENERATORS = {f"dcgan{size}": lambda size=size: DCGANGenerator(size, 1, z_dim=5, width=2) for size in SIZES} | {
    "mlp": lambda: MLPGenerator((1, 4, 4), z_dim=5, width=16, tanh=True)
}
DISCRIMINATORS = {
    f"dcgan{size}-{'bn' if norm else 'plain'}": lambda size=size, norm=norm: DCGANDiscriminator(
        size, 1, width=2, batch_norm=norm
    )
    for size in SIZES
    for norm in (True, False)
} | {"mlp": lambda: MLPDiscriminator((1, 8, 8), width=16)}


def sample_for(net: nn.Module) -> Tensor:
    """Eight inputs of the shape that ``net`` takes."""
    if isinstance(net, DCGANGenerator | MLPGenerator):
        return net.sample_z(8)
    if isinstance(net, DCGANDiscriminator):
        return torch.randn(8, 1, *[2 ** len(net.blocks) * net.head.kernel_size[0]] * 2)
    return torch.randn(8, 1, 8, 8) if isinstance(net, MLPDiscriminator) else torch.randn(8, 1, 16, 16)


NETWORKS = (
    [pytest.param(make, id=f"G-{name}") for name, make in GENERATORS.items()]
    + [pytest.param(make, id=f"D-{name}") for name, make in DISCRIMINATORS.items()]
    + [pytest.param(lambda: CNN(width=2, dim=8), id="cnn")]
)


@pytest.mark.parametrize("make", NETWORKS)
def test_every_parameter_gets_a_gradient(make: type[Network]) -> None:
    torch.manual_seed(0)
    net = make()
    net(sample_for(net)).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("make", NETWORKS)
def test_networks_leave_their_input_and_weights_unchanged(make: type[Network]) -> None:
    torch.manual_seed(0)
    net = make()
    x = sample_for(net)
    before, state = x.clone(), {name: parameter.clone() for name, parameter in net.named_parameters()}
    net(x)
    assert torch.equal(x, before)
    assert all(torch.equal(parameter, state[name]) for name, parameter in net.named_parameters())


@pytest.mark.parametrize("make", DISCRIMINATORS.values(), ids=DISCRIMINATORS.keys())
def test_blocks_leave_their_input_unchanged(make: type[DCGANDiscriminator]) -> None:
    torch.manual_seed(0)
    D = make()
    x = sample_for(D).flatten(1) if isinstance(D, MLPDiscriminator) else sample_for(D)
    for block in [*D.blocks, D.head]:
        before = x.clone()
        after = block(x)
        assert torch.equal(x, before)
        x = after


JUDGES: dict[str, tuple[Callable[[], Discriminator], tuple[int, ...]]] = {
    "dcgan": (partial(DCGANDiscriminator, 16, 3, 4), (3, 16, 16)),
    "r3gan": (partial(R3GANDiscriminator, 3, (8, 8, 8), group=4), (3, 16, 16)),
    "stylegan2": (partial(StyleGAN2Discriminator, 16, 3, widths=Widths(64, 8)), (3, 16, 16)),
    "patchgan": (partial(PatchGAN, 3, 0, 2, 4), (3, 32, 32)),
    "sn-patchgan": (partial(SNPatchGAN, condition=0, width=4), (3, 64, 64)),
    "places": (partial(SpatialDiscriminator, 16, 3, 4, scores=4), (3, 16, 16)),
    "psgan": (partial(PSGANDiscriminator, (4, 8), 3), (3, 33, 33)),
    "singan": (partial(SinGANDiscriminator, (32, 32), width=4), (3, 32, 32)),
    "auxiliary": (partial(AuxiliaryDiscriminator, DCGANDiscriminator(16, 3, 4), 5), (3, 16, 16)),
}


@pytest.mark.parametrize(("make", "shape"), JUDGES.values(), ids=JUDGES.keys())
def test_what_a_judge_says_beside_its_features_is_what_it_says(
    make: Callable[[], Discriminator], shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    D, x = make().eval(), torch.rand(3, *shape)
    y = None if D.num_classes is None else torch.zeros(3, dtype=torch.int64)
    said = D.judge(x, y)
    assert torch.equal(said.logits, D(x, y))
    assert len(said.features) == 3


def test_what_is_wrapped_says_whether_its_blocks_take_images() -> None:
    inner = ConcatDiscriminator(DCGANDiscriminator(16, 5, 4), 2)
    assert not AuxiliaryDiscriminator(inner, 2).blocks_take_images
    assert AuxiliaryDiscriminator(DCGANDiscriminator(16, 3, 4), 2).blocks_take_images


@pytest.mark.parametrize("make", NETWORKS)
def test_evaluation_judges_each_sample_alone(make: type[Network]) -> None:
    torch.manual_seed(0)
    net = make().eval()
    x, state = sample_for(net), weights(net)
    with torch.no_grad():
        together, alone = net(x), torch.cat([net(part) for part in x.split(1)])
    assert (together - alone).abs().max() < 1e-5
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
