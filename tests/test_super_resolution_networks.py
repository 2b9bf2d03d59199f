"""Networks of super-resolution: published sizes, laws of position and scale, what training sees of a border."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from datamodules.functional.quantise import to_uint8
from datamodules.functional.resize import bicubic_by, bicubic_floats
from lightning_modules.losses.reconstruction import MSE, SSIM, Charbonnier, TotalVariation
from lightning_modules.networks.base import Upscaler
from lightning_modules.networks.bicubic import Bicubic
from lightning_modules.networks.edsr import EDSR, SRResNet
from lightning_modules.networks.espcn import ESPCN
from lightning_modules.networks.fsrcnn import FSRCNN
from lightning_modules.networks.srcnn import SRCNN
from lightning_modules.networks.vdsr import VDSR
from lightning_modules.super_resolution import SuperResolution


def weights(net: nn.Module) -> int:
    return sum(w.numel() for w in net.parameters() if w.ndim > 1)


def parameters(net: nn.Module) -> int:
    return sum(w.numel() for w in net.parameters())


def test_sizes_are_the_published_ones():
    assert weights(SRCNN()) == 8032  # 9-1-5
    assert weights(SRCNN(kernels=(9, 5, 5))) == 57184
    assert weights(FSRCNN(3)) == 25 * 56 + 56 * 12 + 4 * 9 * 12**2 + 12 * 56 + 81 * 56 == 12464
    assert round(parameters(VDSR()) / 1e6, 2) == 0.66
    assert [round(parameters(EDSR(scale)) / 1e6, 2) for scale in (2, 3, 4)] == [1.37, 1.55, 1.52]
    assert round(parameters(SRResNet(4)) / 1e6, 2) == 1.55
    assert weights(ESPCN(3)) == 25 * 64 + 9 * 64 * 32 + 9 * 32 * 9


SMALL: dict[str, Upscaler] = {
    "srcnn": SRCNN(widths=(6, 4), scales=(2,)),
    "fsrcnn": FSRCNN(2, d=6, s=4, m=2),
    "espcn": ESPCN(2, widths=(6, 4)),
    "vdsr": VDSR(depth=4, width=6),
    "edsr": EDSR(2, blocks=2, width=6, channels=1, mean=(0.4,)),
    "srresnet": SRResNet(2, blocks=2, width=6, channels=1),
}


@pytest.mark.parametrize("name", SMALL)
def test_a_step_of_one_small_pixel_is_a_step_of_scale_large_ones(name):
    net = SMALL[name].eval()
    if name == "fsrcnn":
        nn.init.normal_(net.get_parameter("enlarge.weight"), 0.0, 0.1)
    y = torch.rand(1, 1, 48, 46, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        x, moved = net(y, 2), net(y.roll((2, 3), (2, 3)), 2)
    assert x.shape == (1, 1, 96, 92)
    middle = slice(40, 52)  # whatever lies beyond the border stays out of sight
    assert x[..., middle, middle].std() > 1e-4
    assert torch.allclose(moved[..., 44:56, 46:58], x[..., middle, middle], atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_every_weight_learns(name):
    net = SMALL[name].train()
    module = SuperResolution(net, losses=[MSE()])
    noise = torch.Generator().manual_seed(1)
    module.terms(torch.rand(2, 1, 32, 32, generator=noise), torch.rand(2, 1, 16, 16, generator=noise))["mse"].backward()
    assert all(w.grad is not None and w.grad.abs().sum() > 0 for w in net.parameters())


def test_vdsr_adds_to_matlabs_interpolation_at_every_scale():
    net = VDSR(depth=3, width=4)
    nn.init.zeros_(net.get_parameter("layers.4.weight"))
    y = torch.rand(1, 1, 9, 8)
    for scale in (2, 3, 4):
        assert torch.equal(net(y, scale), bicubic_floats(y, scale))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_interpolated_floats_are_matlabs_bytes_but_for_rounding(scale):
    y = 0.3 + 0.4 * torch.rand(2, 3, 11, 13, generator=torch.Generator().manual_seed(0))  # nothing overshoots a byte
    for border in ("mirror", "clamp"):
        exact = bicubic_by(to_uint8(y, (0, 1)), scale, border).float()
        found = bicubic_floats(to_uint8(y, (0, 1)).double(), scale, border)
        assert (found - exact).abs().max() <= 0.5 + 0.5 * 1.25  # two roundings, one weighed by (1 + 9 + 9 + 1) / 16
    assert torch.allclose(bicubic_floats(torch.full((1, 1, 4, 5), 0.3), scale), torch.tensor(0.3))
    exact_floats = bicubic_floats(y, scale)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(bicubic_floats(y, scale), exact_floats)


def test_srcnn_pads_nothing_in_training_and_keeps_the_size_elsewhere():
    net = SRCNN()
    y = torch.rand(1, 1, 11, 11)
    assert net.train()(y, 3).shape == (1, 1, 21, 21)  # 33 - 12
    inner = net(y, 3)
    assert torch.allclose(net.eval()(y, 3)[..., 6:27, 6:27], inner, atol=1e-6)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(
    "make", [lambda scale: FSRCNN(scale, d=6, s=4, m=1), lambda scale: ESPCN(scale, widths=(6, 4))]
)
def test_a_patch_teaches_nothing_of_a_border_that_is_not_there(make, scale):
    net = make(scale)
    y = torch.rand(1, 1, 20, 19, generator=torch.Generator().manual_seed(0))
    cut = net.reach * scale
    inner = net.train()(y, scale)
    assert inner.shape == (1, 1, 20 * scale - 2 * cut, 19 * scale - 2 * cut)
    ring = 3 * scale
    for whole in (net.eval()(y, scale), net(pad(y, (3,) * 4), scale)[..., ring:-ring, ring:-ring]):
        assert torch.allclose(whole[..., cut:-cut, cut:-cut], inner, atol=1e-6)
    level = net(torch.full_like(y, 0.5), scale)  # a flat image has no border either
    one = level[..., :scale, :scale]
    assert torch.allclose(level, one.repeat(1, 1, 20, 19), atol=1e-6)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_fsrcnn_reads_as_far_to_one_side_as_to_the_other(scale):
    net = FSRCNN(scale, d=6, s=4, m=1)
    nn.init.normal_(net.enlarge.weight, 0.0, 0.1)
    y = torch.rand(1, 1, 20, 20, dtype=torch.double).requires_grad_()
    middle = net.double().eval()(y, scale)[0, 0, 10 * scale : 11 * scale, 10 * scale : 11 * scale]
    seen = torch.autograd.grad(middle.sum(), y)[0][0, 0].ne(0).nonzero()
    assert seen.amin(0).tolist() == [10 - net.reach] * 2
    assert seen.amax(0).tolist() == [10 + net.reach] * 2


class Whole(Upscaler):
    """The image itself, enlarged by repetition, less ``cut`` pixels at each side."""

    def __init__(self, cut: int) -> None:
        super().__init__()
        self.cut, self.w = cut, nn.Parameter(torch.ones(()))

    def forward(self, y: Tensor, scale: int) -> Tensor:
        x = self.w * y.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
        return x[..., self.cut : x.shape[2] - self.cut, self.cut : x.shape[3] - self.cut]


@pytest.mark.parametrize(("cut", "margin"), [(0, 0), (2, 0), (0, 3), (2, 3), (3, 2)])
def test_the_loss_is_of_the_middle(cut, margin):
    y = torch.rand(2, 1, 8, 8)
    x = Whole(0)(y, 2).detach()
    off = max(cut, margin)
    far = torch.ones_like(x, dtype=torch.bool)
    far[..., off : 16 - off, off : 16 - off] = False
    module = SuperResolution(Whole(cut), losses=[MSE()], margin=margin)
    assert module.terms(x + far, y)["mse"].item() == 0
    assert module.terms(x + 1, y)["mse"].item() == pytest.approx(1)
    if off:
        assert SuperResolution(Whole(0), losses=[MSE()]).terms(x + far, y)["mse"].item() > 0.1


def test_what_makes_no_network_is_one_sentence():
    with pytest.raises(ValueError, match="kernels are odd, got 4"):
        SRCNN(kernels=(9, 4, 5))
    with pytest.raises(ValueError, match="enlarged by 3 or a power of two"):
        EDSR(scale=6)
    with pytest.raises(ValueError, match="mean has 3 values, the images 1 channels"):
        EDSR(channels=1)
    with pytest.raises(ValueError, match="depth is 1"):
        VDSR(depth=1)


# --- losses -------------------------------------------------------------------------------------------------


def test_charbonnier_by_hand():
    x, y = torch.tensor([[[[0.0, 3e-3]]]]), torch.zeros(1, 1, 1, 2)
    assert Charbonnier(weight=2.0, epsilon=4e-3)(x, y).item() == pytest.approx(2 * (4e-3 + 5e-3) / 2)


def test_total_variation_by_hand():
    x = torch.tensor([[[[0.0, 1.0, 3.0], [0.0, 1.0, 1.0]]]])
    assert TotalVariation()(x, torch.rand(7)).item() == pytest.approx((0 + 0 + 2) / 3 + (1 + 2 + 1 + 0) / 4)


def test_ssim_as_a_loss_is_the_metrics():
    from lightning_modules.metrics.fidelity.metrics import fidelity  # torchmetrics is slow to import

    noise = torch.Generator().manual_seed(0)
    x = torch.rand(2, 3, 24, 20, generator=noise)
    y = (x + 0.2 * torch.rand(x.shape, generator=noise)).clamp(0, 1)
    scores = fidelity(x, y)
    expected = next(value for name, value in scores.items() if name.startswith("ssim"))
    assert 1 - SSIM()(x, y).item() == pytest.approx(expected, abs=1e-5)
    assert SSIM(weight=3.0)(x, x).item() == pytest.approx(0, abs=1e-6)
    flat = torch.full((1, 3, 16, 16), 0.7)
    wanted = SSIM()(flat, flat + 0.01)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(SSIM()(flat, flat + 0.01), wanted)


@pytest.mark.parametrize("build", [lambda: Charbonnier(epsilon=0), lambda: SSIM(side=4)])
def test_losses_that_cannot_be(build):
    with pytest.raises(ValueError, match="give"):
        build()


def test_the_network_is_matlabs_resizing_at_any_scale():
    y = torch.rand(2, 3, 9, 7, generator=torch.Generator().manual_seed(0))
    for scale in (2, 3, 4):
        enlarged = Bicubic()(y, scale)
        assert torch.equal(to_uint8(enlarged, (0, 1)), bicubic_by(to_uint8(y, (0, 1)), scale))
        assert (enlarged.shape, enlarged.dtype) == ((2, 3, 9 * scale, 7 * scale), torch.float32)
