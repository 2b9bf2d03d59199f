"""Zero-DCE: its curve, its four terms by hand, gradients, what it is trained on, and what it learns."""

from pathlib import Path
from typing import Any

import pytest
import torch
from test_low_light_families import Pairs
from torch import Tensor, nn
from torch.optim import Adam
from toys import trainer

from lightning_modules.losses.zero_dce import ColourConstancy, Exposure, MapSmoothness, SpatialConsistency
from lightning_modules.networks.base import Network
from lightning_modules.networks.identity import Identity
from lightning_modules.networks.zero_dce import ZeroDCE
from lightning_modules.zero_dce import ZeroReference

NONE = torch.zeros(0)


class Fixed(ZeroDCE):
    """Maps of one value everywhere."""

    def __init__(self, a: float, iterations: int) -> None:
        super().__init__(2, iterations)
        self.a = a

    def maps(self, y: Tensor) -> Tensor:
        return torch.full((len(y), 3 * self.iterations, *y.shape[2:]), self.a)


def flat(*channels: float, side: int = 16) -> Tensor:
    return torch.tensor(channels)[None, :, None, None].expand(-1, -1, side, side).clone()


# --- network -----------------------------------------------------------------------------------------------------


def test_the_curve_by_hand() -> None:
    y = flat(0.0, 0.5, 1.0, side=4)
    assert Fixed(1.0, 1)(y)[0, :, 0, 0].tolist() == [0, 0.75, 1]
    assert Fixed(1.0, 2)(y)[0, :, 0, 0].tolist() == [0, 0.9375, 1]  # 0.75 + 0.75 * 0.25
    assert Fixed(-1.0, 2)(y)[0, :, 0, 0].tolist() == [0, 0.0625, 1]  # squared twice
    assert torch.equal(Fixed(0.0, 8)(y), y)


def test_the_published_network_has_79416_weights_and_all_of_them_learn() -> None:
    assert sum(p.numel() for p in ZeroDCE().parameters()) == 79_416
    torch.manual_seed(0)
    net = ZeroDCE(8)
    y = torch.rand(2, 3, 12, 10)
    image, maps = net.explain(y)
    assert (image.shape, maps.shape) == (y.shape, (2, 24, 12, 10))
    assert torch.equal(net(y), image)
    image.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
    with pytest.raises(ValueError, match="iterations is 0: the curve is applied once or more"):
        ZeroDCE(iterations=0)


def test_each_iteration_and_channel_has_its_own_map() -> None:
    net, y = ZeroDCE(4, 2), flat(0.5, 0.5, 0.5, side=8)
    nn.init.zeros_(net.head.weight)
    assert net.head.bias is not None
    with torch.no_grad():
        net.head.bias.copy_(torch.tensor([50.0, 0, -50, 0, 50, -50]))  # A = 1, 0, -1, then 0, 1, -1
    assert net(y)[0, :, 0, 0].tolist() == pytest.approx([0.75, 0.75, 0.0625])


# --- losses ------------------------------------------------------------------------------------------------------


def test_spatial_consistency_by_hand() -> None:
    y, image = torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)
    image[:, :, :4, :4] = 0.3  # one region of four rises: it differs from two neighbours, and each of those from it
    assert SpatialConsistency()(y, image, NONE).item() == pytest.approx((2 * 0.09 + 0.09 + 0.09) / 4)
    image[:, 0, :4, :4] = 0.9  # the mean of the channels counts
    assert SpatialConsistency(2.0)(y, image, NONE).item() == pytest.approx(2 * 4 * 0.25 / 4)
    assert SpatialConsistency()(y, y + 0.4, NONE).item() == pytest.approx(0, abs=1e-9)  # all alike


def test_exposure_by_hand() -> None:
    image = flat(0.3, 0.6, 0.9, side=32)
    assert Exposure()(image, image, NONE).item() == pytest.approx(0, abs=1e-9)
    image[:, :, :16] = 0.5  # half of the regions
    assert Exposure()(image, image, NONE).item() == pytest.approx(10 * 0.01 / 2, rel=1e-4)
    assert Exposure(1.0, 0.5, 32)(image, image, NONE).item() == pytest.approx(0.05**2, rel=1e-4)
    with pytest.raises(ValueError, match="give a level in"):
        Exposure(level=1.5)


def test_colour_constancy_by_hand_and_with_a_finite_slope_at_grey() -> None:
    image = flat(0.2, 0.5, 0.6)
    by_hand = 5 * (0.3**4 + 0.4**4 + 0.1**4) ** 0.5
    assert ColourConstancy()(image, image, NONE).item() == pytest.approx(by_hand, rel=1e-5)
    both = torch.cat([image, flat(0.5, 0.5, 0.5)])
    assert ColourConstancy()(both, both, NONE).item() == pytest.approx(by_hand / 2, rel=1e-5)
    grey = flat(0.5, 0.5, 0.5).requires_grad_()
    ColourConstancy()(grey, grey, NONE).backward()
    assert grey.grad is not None
    assert grey.grad.isfinite().all()


def test_smoothness_by_hand() -> None:
    maps = torch.zeros(1, 2, 3, 4)
    maps[:, 0, 2] = 0.5  # one step down of two, in one map of two
    assert MapSmoothness()(NONE, NONE, maps).item() == pytest.approx(200 * 2 * 0.25 / 2)
    maps[:, 1, :, 1:] = 1.0  # one step to the right of three
    assert MapSmoothness(1.0)(NONE, NONE, maps).item() == pytest.approx(2 * (0.25 / 2 + 1 / 3))


# --- family ------------------------------------------------------------------------------------------------------


def test_terms_are_of_both_images_and_never_of_the_difference() -> None:
    x, y = flat(0.8, 0.8, 0.8), flat(0.2, 0.2, 0.2)
    settings: Any = {"zero_reference": [Exposure(1.0)]}
    both, dark = (ZeroReference(Fixed(0.0, 1), bright=bright, **settings) for bright in (True, False))
    assert both.terms(x, y)["exposure"].item() == pytest.approx((0.04 + 0.16) / 2, rel=1e-5)
    assert dark.terms(x, y)["exposure"].item() == pytest.approx(0.16, rel=1e-5)
    assert both.terms(y, x)["exposure"].item() == both.terms(x, y)["exposure"].item()
    assert list(ZeroReference(ZeroDCE(2)).terms(x, y)) == ["spatial", "exposure", "colour", "smoothness"]


def test_bad_settings_cost_one_sentence() -> None:
    net: Network = Identity()
    with pytest.raises(ValueError, match="Identity tells no maps by which it enhances: take a network that does"):
        ZeroReference(net)
    with pytest.raises(ValueError, match="zero_reference: each may stand once, got exposure, exposure"):
        ZeroReference(ZeroDCE(2), [Exposure(), Exposure(1.0)])


def test_it_brings_a_dark_image_to_the_level_of_good_exposure(tmp_path: Path) -> None:
    torch.manual_seed(0)
    y = torch.rand(2, 3, 32, 32) * 0.2 + 0.05
    module = ZeroReference(ZeroDCE(8), bright=False, optimizer=lambda p: Adam(p, lr=3e-3))
    before = module(y).mean().item()
    trainer(tmp_path, max_steps=60).fit(module, datamodule=Pairs([(y, y)] * 60))
    assert before < 0.2
    assert module(y).mean().item() == pytest.approx(0.6, abs=0.08)
