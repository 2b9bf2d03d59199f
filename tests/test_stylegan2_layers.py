"""StyleGAN2's layers: against slow references and hand values, their second derivatives, published sizes."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from lightning_modules.networks.equalised import EqualisedConv2d, EqualisedLinear, Leaky, MinibatchDeviation, PixelNorm
from lightning_modules.networks.fir import FIR, DenseFIR
from lightning_modules.networks.mapping import Mapping
from lightning_modules.networks.modulated import ModulatedConv2d
from lightning_modules.networks.resolutions import Widths
from lightning_modules.networks.stylegan2 import StyleGAN2Generator
from lightning_modules.networks.stylegan_discriminator import StyleGAN2Discriminator

TAPS = [(1.0, 3.0, 3.0, 1.0), (1.0, 1.0), (1.0, 2.0, 1.0), (1.0, 2.0, 4.0, 5.0)]


@pytest.mark.parametrize(
    ("size", "widths", "generator", "discriminator"),
    [(1024, Widths(), 30_370_060, 29_012_513), (256, Widths(16384), 24_767_458, 24_001_089)],
)
def test_sizes_are_the_published_ones(size: int, widths: Widths, generator: int, discriminator: int) -> None:
    with torch.device("meta"):
        nets = (StyleGAN2Generator(size, widths=widths), StyleGAN2Discriminator(size, widths=widths))
    assert [sum(w.numel() for w in net.parameters()) for net in nets] == [generator, discriminator]
    assert nets[0].num_styles == 2 * math.log2(size) - 2


# --- layers ------------------------------------------------------------------------------------------------------


def test_equalised_layers_scale_when_they_are_used() -> None:
    torch.manual_seed(0)
    layer = EqualisedLinear(4000, 30, bias_init=0.5, lr_mul=0.01)
    assert layer.weight.std().item() == pytest.approx(100, rel=0.02)
    x = torch.randn(50, 4000)
    assert torch.allclose(layer(x), x @ layer.weight.T * (0.01 / 4000**0.5) + 0.5, atol=1e-4)
    assert layer(x).std().item() == pytest.approx(1, rel=0.1)
    layer(x).sum().backward()
    assert layer.bias.grad is not None
    assert layer.bias.grad.allclose(torch.tensor(50 * 0.01))
    convolution = EqualisedConv2d(3, 5, 3, gain=2**0.5)
    image = torch.randn(2, 3, 6, 6)
    assert torch.allclose(convolution(image), conv2d(image, convolution.weight * (2 / 27) ** 0.5, padding=1), atol=1e-5)


def test_norm_and_activation_by_hand() -> None:
    x = torch.tensor([[3.0, 4.0]])
    assert torch.allclose(PixelNorm()(x), x / 12.5**0.5)
    assert torch.allclose(Leaky()(x * torch.tensor([1, -1])), torch.tensor([[3.0, -0.8]]) * 2**0.5)
    assert torch.allclose(Leaky(clamp=2.0)(x), torch.full((1, 2), 2.0))


@pytest.mark.parametrize(("N", "group", "found"), [(6, 3, 3), (6, 4, 3), (5, 4, 1), (4, 4, 4), (2, 32, 2)])
def test_the_deviation_is_that_of_interleaved_groups(N: int, group: int, found: int) -> None:
    x = torch.randn(N, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    made = MinibatchDeviation(group)(x)
    assert torch.equal(made[:, :2], x)
    step = N // found
    for i in range(N):
        others = x[i % step :: step]
        assert len(others) == found
        wanted = others.numpy().std(0).mean() if found > 1 else 1e-4
        assert torch.allclose(made[i, 2], torch.tensor(float(wanted)), atol=1e-5)


# --- filters -----------------------------------------------------------------------------------------------------


def slowly_filtered(x: np.ndarray, taps: tuple[float, ...], first: int, last: int, gain: float) -> np.ndarray:
    line = np.array(taps) / sum(taps)
    kernel = np.outer(line, line) * gain
    x, k = np.pad(x, [(first, last)] * 2), len(taps)
    rows, columns = x.shape[0] - k + 1, x.shape[1] - k + 1
    return np.array(
        [[(x[i : i + k, j : j + k] * kernel[::-1, ::-1]).sum() for j in range(columns)] for i in range(rows)]
    )


@pytest.mark.parametrize("kind", [FIR, DenseFIR])
@pytest.mark.parametrize("taps", [*TAPS, (1.0, 2.0, 3.0, 4.0, 5.0)])
def test_filters_are_what_a_loop_makes(taps: tuple[float, ...], kind: type[FIR]) -> None:
    x = torch.randn(1, 2, 5, 4, generator=torch.Generator().manual_seed(0))
    fir, k = kind(taps), len(taps)
    for c in range(2):
        plane = x[0, c].double().numpy()
        spread = np.zeros((10, 8))
        spread[::2, ::2] = plane
        up = slowly_filtered(spread, taps, (k + 1) // 2, (k - 2) // 2, 4)
        assert np.allclose(fir.up(x)[0, c], up, atol=1e-5)
        down = slowly_filtered(plane, taps, (k - 1) // 2, (k - 2) // 2, 1)[::2, ::2]
        assert np.allclose(fir.down(x)[0, c], down, atol=1e-5)
        assert np.allclose(fir.smooth(x, 2, 1, 3.0)[0, c], slowly_filtered(plane, taps, 2, 1, 3), atol=1e-5)


def test_an_even_filter_keeps_the_middle_and_a_flat_image() -> None:
    fir, x = FIR(), torch.zeros(1, 1, 16, 16)
    x[:, :, 7:9, 7:9] = 1.0
    for made in (fir.up(x), fir.down(x)):
        assert torch.allclose(made, made.flip(2), atol=1e-6)
        assert torch.allclose(made, made.mT, atol=1e-6)
    flat = torch.ones(1, 1, 8, 8)
    assert torch.allclose(fir.up(flat)[..., 2:-2, 2:-2], torch.tensor(1.0))
    assert torch.allclose(fir.down(flat)[..., 1:-1, 1:-1], torch.tensor(1.0))
    with pytest.raises(ValueError, match="two taps or more"):
        FIR([1.0])


# --- modulation --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("demodulate", [False, True])
@pytest.mark.parametrize("kernel", [1, 3])
def test_one_convolution_is_one_for_each_image(up: bool, demodulate: bool, kernel: int) -> None:
    torch.manual_seed(0)
    layer = ModulatedConv2d(3, 5, kernel, 7, demodulate, FIR() if up else None)
    x, w = torch.randn(4, 3, 6, 6), torch.randn(4, 7)
    found = layer(x, w)
    for i in range(4):
        style = layer.affine(w[i])
        weight = layer.weight * layer.scale * style[None, :, None, None]
        if demodulate:
            weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        image = x[i : i + 1]
        if up:  # spread by zeros, filtered, convolved: filters come in any order but at the edge
            spread = torch.zeros(1, 3, 12, 12)
            spread[..., ::2, ::2] = image
            image = FIR().smooth(spread, 2, 1, 4.0)
        wanted = conv2d(image, weight, padding=kernel // 2)
        edge = slice(2, -2) if up else slice(None)
        assert torch.allclose(found[i : i + 1, :, edge, edge], wanted[:, :, edge, edge], atol=1e-5)


def test_demodulated_white_noise_stays_white_whatever_the_style() -> None:
    torch.manual_seed(0)
    layer = ModulatedConv2d(32, 16, 3, 4)
    x = torch.randn(8, 32, 24, 24)
    for strength in (0.1, 10.0):
        made = layer(x, strength * torch.randn(8, 4))[..., 1:-1, 1:-1]
        assert made.var((0, 2, 3)).sub(1).abs().max() < 0.15
        assert made.var().item() == pytest.approx(1, abs=0.03)


class Ends(nn.Module):
    """Modulation of float64."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = ModulatedConv2d(2, 3, 3, 4, up=FIR())

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x, x.mean((2, 3)) @ torch.ones(2, 4, dtype=x.dtype))


OPERATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "up": FIR().up,
    "down": FIR().down,
    "dense up": DenseFIR().up,
    "dense down": DenseFIR().down,
    "smooth": lambda x: FIR().smooth(x, 2, 1),
    "pixel norm": PixelNorm(),
    "deviation": MinibatchDeviation(2),
    "leaky": Leaky(),
    "convolution": EqualisedConv2d(2, 2, 3).double(),
    "linear": EqualisedLinear(4, 2).double(),
    "modulated": Ends().double(),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_can_be_differentiated_twice(name: str) -> None:
    torch.manual_seed(0)
    operation = OPERATIONS[name]
    x = torch.randn(2, 2, 4, 4, dtype=torch.double).requires_grad_()
    assert torch.autograd.gradcheck(operation, x)
    assert torch.autograd.gradgradcheck(lambda x: operation(x).pow(3), x)


# --- mapping -----------------------------------------------------------------------------------------------------


def test_the_mean_w_follows_in_training_alone_and_truncation_leads_there() -> None:
    torch.manual_seed(0)
    G = StyleGAN2Generator(8, 1, 6, 5, 2, Widths(32, 8), truncation=0.5)
    z = torch.randn(64, 6)
    w = G.mapping(z)
    assert torch.allclose(G.mapping.w_mean, 0.005 * w.mean(0), atol=1e-6)
    assert torch.equal(G.styles(z)[:, 0], G.styles(z)[:, 3])  # all layers alike
    G.eval()
    mean = G.mapping.w_mean.clone()
    assert torch.allclose(G.styles(z)[:, 0], (w + mean) / 2, atol=1e-6)
    assert torch.equal(G.mapping.w_mean, mean)
    G.truncation = 0.0
    assert torch.allclose(G.styles(z), mean.expand(64, 4, 5), atol=1e-6)


def test_z_counts_by_its_direction_and_classes_by_their_embedding() -> None:
    torch.manual_seed(0)
    mapping = Mapping(6, 5, 2, num_classes=3).eval()
    z, y = torch.randn(2, 6), torch.tensor([0, 2])
    assert torch.allclose(mapping(z, y), mapping(7 * z, y), atol=1e-5)
    assert not torch.allclose(mapping(z, y), mapping(z, y.flip(0)), rtol=1e-2)
    with pytest.raises(ValueError, match="label of each sample"):
        mapping(z)
    with pytest.raises(ValueError, match="nothing to map"):
        Mapping(0)


def test_styles_cross_at_a_layer() -> None:
    torch.manual_seed(0)
    G = StyleGAN2Generator(16, 1, 6, 5, 2, Widths(32, 8))
    z, other = torch.randn(2, 2, 6)
    mixed = G.mixed_styles(z, other, None, torch.tensor([[2], [6]]))
    own, theirs = G.styles(z), G.styles(other)
    assert torch.allclose(mixed[0], torch.cat([own[0, :2], theirs[0, 2:]]))
    assert torch.allclose(mixed[1], own[1])


@pytest.mark.parametrize("num_classes", [None, 3])
@pytest.mark.parametrize("residual", [False, True])
def test_every_weight_learns_and_classes_count(num_classes: int | None, residual: bool) -> None:
    torch.manual_seed(0)
    G = StyleGAN2Generator(8, 3, 6, 5, 2, Widths(32, 8), num_classes)
    D = StyleGAN2Discriminator(8, 3, Widths(32, 8), residual, num_classes=num_classes, mapping_layers=2)
    y = torch.tensor([0, 1, 2, 0])
    D(G(torch.randn(4, 6), y), y).sum().backward()
    for name, weight in [*G.named_parameters(), *D.named_parameters()]:
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name
    x = torch.randn(4, 3, 8, 8)
    assert torch.equal(D(x, y), D(x, y.flip(0))) == (num_classes is None)


@pytest.mark.parametrize("size", [2, 48, 2048])
def test_sizes_are_powers_of_two(size: int) -> None:
    with pytest.raises(ValueError, match=rf"size is {size}: give 4, 8, 16"):
        StyleGAN2Generator(size)


def test_half_precision_leaves_styles_filters_and_colours_alone() -> None:
    torch.manual_seed(0)
    G = StyleGAN2Generator(16, 3, 6, 5, 2, Widths(32, 8)).eval()
    z, skip = torch.randn(4, 6), torch.randn(2, 3, 4, 4)
    exact, enlarged = G(z), FIR().up(skip)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(G.mapping(z), G.mapping(z.clone()))
        assert G.mapping(z).dtype == G(z).dtype == torch.float32
        assert torch.equal(FIR().up(skip), enlarged)
        assert FIR().down(skip.bfloat16()).dtype == torch.bfloat16
        assert (G(z) - exact).abs().max() < 0.1 * exact.std()
        assert StyleGAN2Discriminator(16, 3, Widths(32, 8))(exact).dtype == torch.float32


@pytest.mark.parametrize("strength", [0.0, 2.0])
def test_noise_is_drawn_in_training_alone(strength: float) -> None:
    torch.manual_seed(0)
    G = StyleGAN2Generator(8, 1, 6, 5, 2, Widths(32, 8))
    for name, weight in G.named_parameters():
        if name.endswith("strength"):
            nn.init.constant_(weight, strength)
    z = torch.randn(2, 6)
    assert torch.equal(G(z), G(z)) == (strength == 0)
    G.eval()
    assert torch.equal(G(z), G(z))
