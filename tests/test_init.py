"""Laws of the initialisers: the moments that their papers name, and what they leave alone."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from lightning_modules.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from lightning_modules.networks.init import DCGAN, He, Initialiser, Normal, Orthogonal, Xavier
from lightning_modules.networks.sn_cnn import SNCNNDiscriminator, SNCNNGenerator

# For a 3x3 convolution of 32 to 64 maps: fan in 288, fan out 576.
VARIANCES: list[tuple[Initialiser, float]] = [
    (Normal(), 0.02**2),
    (Normal(0.1), 0.1**2),
    (DCGAN(), 0.02**2),
    (Xavier(), 2 / (288 + 576)),
    (Xavier(2**0.5), 4 / (288 + 576)),
    (He(), 2 / 288),
    (He(slope=0.5), 2 / (1.25 * 288)),
]
IDS = [f"{type(init).__name__}-{variance:.4f}" for init, variance in VARIANCES]


@pytest.mark.parametrize(("init", "variance"), VARIANCES, ids=IDS)
def test_the_variance_is_that_of_the_formula(init: Initialiser, variance: float) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(32, 64, 3)
    init(layer)
    weight = layer.weight.detach()
    n = weight.numel()
    assert abs(float(weight.mean())) < 5 * (variance / n) ** 0.5
    assert abs(float(weight.var()) / variance - 1) < 5 * (2 / n) ** 0.5  # a normal's; a uniform's error is smaller


def test_xavier_is_uniform_and_he_is_normal() -> None:
    torch.manual_seed(0)
    xavier, he = nn.Linear(100, 200), nn.Linear(100, 200)
    Xavier()(xavier)
    He()(he)
    assert 0.99 < float(xavier.weight.detach().abs().max()) / (6 / 300) ** 0.5 <= 1
    assert float(he.weight.detach().abs().max()) > 3.5 * (2 / 100) ** 0.5


@pytest.mark.parametrize("gain", [1.0, 2.0])
@pytest.mark.parametrize(
    "layer",
    [nn.Conv2d(4, 8, 3), nn.Conv2d(32, 8, 1), nn.ConvTranspose2d(8, 4, 4), nn.Linear(20, 30), nn.Embedding(10, 16)],
    ids=["conv", "conv1", "deconv", "linear", "embedding"],
)
def test_orthogonal_has_one_singular_value(layer: nn.Conv2d, gain: float) -> None:
    Orthogonal(gain)(layer)
    values = torch.linalg.svdvals(layer.weight.detach().flatten(1))
    assert torch.allclose(values, torch.full_like(values, gain), atol=1e-5)


@pytest.mark.parametrize("init", [Normal(), Xavier(), He(), Orthogonal()])
def test_biases_are_zero_and_norms_untouched(init: Initialiser) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.ConvTranspose2d(4, 5, 3), nn.Linear(5, 6))
    net.apply(init)
    for module in net:
        if isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
        elif not isinstance(module, nn.ReLU):
            assert (module.bias == 0).all()  # type: ignore[union-attr]


def test_dcgan_draws_scales_and_leaves_biases() -> None:
    torch.manual_seed(0)
    layer, norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(1000)
    before = layer.bias.detach().clone()  # type: ignore[union-attr]
    DCGAN()(layer)
    DCGAN()(norm)
    assert torch.equal(before, layer.bias)  # type: ignore[arg-type]
    assert abs(float(norm.weight.detach().mean()) - 1) < 5 * 0.02 / 1000**0.5
    assert abs(float(norm.weight.detach().std()) / 0.02 - 1) < 5 / 2000**0.5
    assert (norm.bias == 0).all()


@pytest.mark.parametrize("make", [DCGANGenerator, DCGANDiscriminator, SNCNNGenerator, SNCNNDiscriminator])
def test_a_network_takes_any_initialiser_and_normalises_afterwards(make: Callable[..., nn.Module]) -> None:
    torch.manual_seed(0)
    plain = make(width=4, spectral_norm=False, init=Normal(0.5))
    torch.manual_seed(0)
    normalised = make(width=4, spectral_norm=True, init=Normal(0.5)).state_dict()
    for name, weight in plain.state_dict().items():
        if name.endswith("weight") and weight.ndim > 1:
            assert torch.equal(weight, normalised[name.replace("weight", "parametrizations.weight.original")])
            assert abs(float(weight.std()) / 0.5 - 1) < 5 / (2 * weight.numel()) ** 0.5
