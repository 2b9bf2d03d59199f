"""Networks that fill holes: layers against hand values and slow loops, what they may see, and one sentence."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, elu

from lightning_modules.networks.base import Filler
from lightning_modules.networks.context_encoder import ChannelWise, ContextEncoder
from lightning_modules.networks.fillings import DiffusionFill, MeanFill
from lightning_modules.networks.fourier import FourierConv, FourierNetwork, FourierUnit, SpectralTransform
from lightning_modules.networks.gated_conv import GatedConv2d, GatedNetwork
from lightning_modules.networks.partial_conv import PartialConv2d, PartialConvUNet
from lightning_modules.networks.sn_patchgan import SNPatchGAN

NETWORKS: dict[str, Callable[[], Filler]] = {
    "partial": lambda: PartialConvUNet(3, 4),
    "gated": lambda: GatedNetwork(width=4, dilations=(2, 4)),
    "fourier": lambda: FourierNetwork(2, 2, 4),
    "context": lambda: ContextEncoder(32, 4),
    "context anywhere": lambda: ContextEncoder(32, 4, middle=False),
}


def holed(n: int = 4, side: int = 32) -> tuple[Tensor, Tensor]:
    """Noise, and a hole in the middle half."""
    hole = torch.zeros(n, 1, side, side, dtype=torch.bool)
    hole[:, :, side // 4 : side // 2, side // 4 : 3 * side // 4] = True
    return torch.rand(n, 3, side, side), hole


# --- partial convolutions -----------------------------------------------------------------------------------


def slow_partial(layer: PartialConv2d, x: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Equations 1 and 2, window after window."""
    weight, bias, (stride, _) = layer.convolution.weight, layer.convolution.bias, layer.convolution.stride
    out, channels, k, _ = weight.shape
    N, _, H, W = x.shape
    h, w = ((side + 2 * (k // 2) - k) // stride + 1 for side in (H, W))
    made, mask = torch.zeros(N, out, h, w), torch.zeros(N, 1, h, w)
    for n in range(N):
        for i in range(h):
            for j in range(w):
                total, count = torch.zeros(out), 0.0
                for a in range(k):
                    for b in range(k):
                        row, column = i * stride + a - k // 2, j * stride + b - k // 2
                        if 0 <= row < H and 0 <= column < W:
                            for c in range(channels):
                                total += weight[:, c, a, b] * x[n, c, row, column] * known[n, c, row, column]
                                count += float(known[n, c, row, column])
                if count > 0:
                    made[n, :, i, j] = total * channels * k * k / count + (0 if bias is None else bias)
                    mask[n, 0, i, j] = 1
    return made, mask


@pytest.mark.parametrize(("kernel", "stride", "bias"), [(3, 1, True), (3, 2, False), (5, 2, True)])
def test_a_partial_convolution_is_the_papers_equations(kernel: int, stride: int, bias: bool) -> None:
    torch.manual_seed(0)
    layer = PartialConv2d(2, 3, kernel, stride, bias)
    x, known = torch.randn(2, 2, 7, 6), (torch.rand(2, 2, 7, 6) < 0.3).float()
    known[1, :, :, :5] = 0  # windows without anything known
    with torch.no_grad():
        made, mask = layer(x, known)
        right, right_mask = slow_partial(layer, x, known)
    assert 0 < right_mask.mean() < 1
    assert torch.equal(mask, right_mask)
    assert torch.allclose(made, right, atol=1e-5)


def test_a_partial_convolution_by_hand() -> None:
    layer = PartialConv2d(1, 1)
    nn.init.constant_(layer.convolution.weight, 1 / 9)
    nn.init.constant_(layer.convolution.bias, 0.5)
    x, known = torch.full((1, 1, 5, 5), 7.0), torch.zeros(1, 1, 5, 5)
    known[..., 2, 2], x[..., 2, 2] = 1, 4.0
    made, mask = layer(x, known)
    grown = torch.zeros(1, 1, 5, 5)
    grown[..., 1:4, 1:4] = 1
    assert torch.equal(mask, grown)
    assert torch.allclose(made, 4.5 * grown)  # the mean of what is known, and b; 0 in the hole that is left


# --- gated, Fourier, channel-wise ---------------------------------------------------------------------------


def test_gated_convolutions_keep_the_variance() -> None:
    powers = []
    for _ in range(6):
        net = nn.Sequential(*(GatedConv2d(32, 32, 3 if i else 5) for i in range(12)))
        with torch.no_grad():
            powers.append(float(net(torch.randn(2, 32, 40, 40))[..., 14:26, 14:26].square().mean().log()))
    assert abs(sum(powers) / 6) < math.log(3)  # -20 with torch's own weights


def test_a_gated_convolution_by_hand() -> None:
    layer = GatedConv2d(1, 2, dilation=2)
    nn.init.zeros_(layer.convolution.weight)
    layer.convolution.bias.data = torch.tensor([2.0, -1.0, 0.0, math.log(3)])  # features, then gates
    made = layer(torch.rand(1, 1, 6, 6))
    assert made.shape == (1, 2, 6, 6)
    assert torch.allclose(made[0, 0], torch.tensor(2.0 * 0.5))
    assert torch.allclose(made[0, 1], torch.tensor((math.exp(-1) - 1) * 0.75))
    torch.manual_seed(0)
    layer, x = GatedConv2d(2, 3, 5, stride=2), torch.randn(2, 2, 8, 8)
    weight, bias = layer.convolution.weight, layer.convolution.bias
    feature = conv2d(x, weight[:3], bias[:3], 2, 2)
    gate = conv2d(x, weight[3:], bias[3:], 2, 2)
    assert torch.allclose(layer(x), elu(feature) * gate.sigmoid(), atol=1e-6)


def slow_unit(unit: FourierUnit, x: Tensor) -> Tensor:
    """The transforms as sums of exponentials, frequency after frequency; H and W even."""
    C, H, W = x.shape
    convolution, norm = unit.mix[0], unit.mix[1]
    rows, columns = torch.arange(H)[:, None], torch.arange(W)
    made = torch.zeros(C, H, W, dtype=torch.complex128)
    for u in range(H):
        for v in range(W // 2 + 1):
            wave = torch.exp(-2j * math.pi * (u * rows / H + v * columns / W))
            found = (x.double() * wave).sum((1, 2)) / math.sqrt(H * W)
            stacked = torch.cat([found.real, found.imag]).float()
            mixed = convolution.weight[:, :, 0, 0] @ stacked
            mixed = (mixed - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
            real, imaginary = mixed.relu().double().chunk(2)
            twice = 1 if v in (0, W // 2) else 2  # the other half of the spectrum is this one's mirror image
            made += twice * torch.complex(real, imaginary)[:, None, None] * wave.conj()
    return (made.real / math.sqrt(H * W)).float()


def test_a_fourier_unit_is_a_convolution_of_the_spectrum() -> None:
    torch.manual_seed(0)
    unit, x = FourierUnit(2).eval(), torch.randn(1, 2, 4, 6)
    unit.mix[1].running_mean.uniform_(-0.2, 0.2)
    nn.init.uniform_(unit.mix[1].weight, 0.5, 1.5)
    with torch.no_grad():
        made = unit(x)
        right = slow_unit(unit, x[0])
    assert made.abs().max() > 0.1
    assert torch.allclose(made[0], right, atol=1e-5)


def test_a_fourier_layer_has_four_ways_and_one_sees_the_whole_image() -> None:
    torch.manual_seed(0)
    layer = FourierConv(2, 3).eval()
    local, spread = torch.randn(1, 2, 8, 8), torch.randn(1, 3, 8, 8)

    def way(x: Tensor, weight: Tensor) -> Tensor:
        return conv2d(nn.functional.pad(x, (1, 1, 1, 1), mode="reflect"), weight)

    near, far = layer((local, spread))
    weight, transform = layer.local.weight, layer.transform
    h = transform.first(spread)
    right_near = layer.norms[0](way(local, weight[:, :2]) + way(spread, weight[:, 2:])).relu()
    across = way(local, layer.cross.weight)
    right_far = layer.norms[1](across + transform.last(h + transform.unit(h))).relu()
    assert torch.allclose(near, right_near, atol=1e-6)
    assert torch.allclose(far, right_far, atol=1e-6)
    pixel = torch.rand(1, 1, 8, 8, requires_grad=True)
    SpectralTransform(1, 2).eval().unit(pixel)[0, 0, 0, 0].backward()
    assert (pixel.grad != 0).all()


def test_a_channel_wise_layer_connects_all_places_of_one_map() -> None:
    torch.manual_seed(0)
    layer, x = ChannelWise(3, 2), torch.randn(2, 3, 2, 2)
    nn.init.normal_(layer.bias)
    right = torch.empty(2, 3, 4)
    for c in range(3):
        right[:, c] = x[:, c].flatten(1) @ layer.weight[c] + layer.bias[c]
    assert torch.allclose(layer(x).flatten(2), right, atol=1e-6)


# --- whole networks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_gets_a_gradient_and_no_input_is_changed(name: str) -> None:
    torch.manual_seed(0)
    net, (y, hole) = NETWORKS[name](), holed()
    before = y.clone()
    made = net(y, hole)
    assert made.shape == y.shape
    torch.where(hole, made, 0).square().sum().backward()  # what is in the hole is learned
    assert torch.equal(y, before)
    for parameter, value in net.named_parameters():
        assert value.grad is not None, parameter
        assert value.grad.abs().sum() > 0, parameter


@pytest.mark.parametrize("name", ["partial", "gated", "fourier"])
def test_what_is_in_the_hole_is_not_seen_and_what_is_around_it_is(name: str) -> None:
    torch.manual_seed(0)
    net, (y, hole) = NETWORKS[name](), holed()
    made = net(y, hole)
    assert torch.equal(net(y.masked_fill(hole, 0.7), hole), made)
    assert not torch.equal(net(y.masked_fill(~hole, 0.7), hole), made)
    assert not torch.equal(net(y, torch.zeros_like(hole)), made)


def test_a_context_encoder_makes_the_middle_alone() -> None:
    torch.manual_seed(0)
    net, (y, hole) = ContextEncoder(32, 4).eval(), holed()
    made = net(y, hole)
    around = torch.ones(32, 32, dtype=torch.bool)
    around[8:24, 8:24] = False
    assert torch.equal(made[..., around], y[..., around])
    assert not torch.isclose(made, y)[..., ~around].all()
    assert not torch.equal(net(y.masked_fill(hole, 0.7), hole), made)  # it sees the colour that holes are filled with
    with pytest.raises(ValueError, match="outside of the middle half: set middle to false"):
        net(y, torch.ones_like(hole))
    net.train()(y, torch.ones_like(hole))  # where nothing is to wait for the answer
    assert not torch.isclose(ContextEncoder(32, 4, middle=False).eval()(y, hole), y)[..., around].all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: PartialConvUNet(1), "depth is 1: this U-Net halves its image twice or more"),
        (lambda: ContextEncoder(48), "size is 48: a context encoder is of 16, 32, 64"),
        (lambda: FourierNetwork(spread=1.0), "spread is 1.0: give a share of the maps that leaves some"),
        (lambda: SNPatchGAN(layers=1), "layers is 1: SN-PatchGAN has two or more"),
        (lambda: DiffusionFill(0), "steps is 0: give 1 or more"),
        (lambda: PartialConvUNet(4, 2)(*holed(side=24)), "multiples of 16, not of 24 x 24"),
        (lambda: ContextEncoder(32, 2)(*holed(side=64)), "fills images of 32 x 32 px, not of 64 x 64"),
        (lambda: GatedNetwork(7, 2)(*holed()), "given 3 channels and takes 7: set its channels to the image's 3"),
        (lambda: SNPatchGAN()(torch.rand(1, 3, 64, 64)), "an image beside its mask: call it with y"),
    ],
)
def test_bad_settings_cost_one_sentence(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_every_value_of_sn_patchgans_last_layer_is_a_verdict() -> None:
    torch.manual_seed(0)
    D, x, mask = SNPatchGAN(layers=3, width=4), torch.rand(2, 3, 32, 32), torch.zeros(2, 1, 32, 32)
    with torch.no_grad():  # the norms stand still
        logits = D(x, mask)
        assert torch.equal(logits.view(2, 16, 4, 4), D.head(D.blocks(torch.cat([x, mask], 1))))
    assert not torch.allclose(D(x, mask + 1), logits)
    for layer in (*(block[0] for block in D.blocks), D.head):
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, rel=0.1)
    D(x, mask).square().sum().backward()
    assert all(weight.grad.abs().sum() > 0 for weight in D.parameters())


# --- fillings without weights -------------------------------------------------------------------------------


def test_mean_fill_by_hand() -> None:
    y = torch.tensor([[0.2, 0.4], [0.9, 0.6]]).expand(1, 3, 2, 2).clone()
    y[:, 1] += 0.1
    hole = torch.tensor([[False, False], [True, False]]).expand(1, 1, 2, 2)
    made = MeanFill()(y, hole)
    assert torch.allclose(made[0, 0], torch.tensor([[0.2, 0.4], [0.4, 0.6]]))
    assert torch.allclose(made[0, 1, 1, 0], torch.tensor(0.5))
    assert torch.equal(MeanFill()(y, torch.ones_like(hole)), torch.zeros_like(y))


def test_diffusion_goes_on_with_a_ramp() -> None:
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(12.0), indexing="ij")
    x = ((rows + 2 * columns) / 40).expand(2, 3, 16, 12)
    hole = torch.zeros(2, 1, 16, 12, dtype=torch.bool)
    hole[0, :, 3:14, 2:9] = hole[1, :, 5:7, 5:7] = True
    made = DiffusionFill(tolerance=1e-6)(x.masked_fill(hole, 0), hole)
    assert torch.allclose(made, x, atol=1e-4)


def test_diffusion_solves_laplaces_equation() -> None:
    torch.manual_seed(0)
    y, hole = torch.rand(1, 1, 7, 6, dtype=torch.float64), torch.zeros(1, 1, 7, 6, dtype=torch.bool)
    hole[..., 0:5, 2:6] = True  # up to the edge
    A, b = torch.eye(42, dtype=torch.float64), y.flatten().clone()
    for i, j in hole[0, 0].nonzero().tolist():
        near = [(i + a, j + c) for a, c in ((1, 0), (-1, 0), (0, 1), (0, -1)) if 0 <= i + a < 7 and 0 <= j + c < 6]
        b[6 * i + j], A[6 * i + j, 6 * i + j] = 0, len(near)
        for row, column in near:
            A[6 * i + j, 6 * row + column] = -1
    right = torch.linalg.solve(A, b).view(1, 1, 7, 6)
    made = DiffusionFill(tolerance=1e-7)(y, hole)
    assert torch.allclose(made, right, atol=1e-5)
    assert torch.equal(made[~hole], y[~hole].float().double())
