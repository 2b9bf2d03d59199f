"""Networks that look at an image beside what they are given, and in another range."""

import pytest
import torch
from torch import Tensor

from lightning_modules.low_light import Answers
from lightning_modules.networks.image_conditional import NoiseBeside, PairEncoder, UnitRange
from lightning_modules.networks.unet import UNet


def test_unit_range_is_the_network_in_another_range() -> None:
    torch.manual_seed(0)
    net = UNet(2, width=4, dropout=0, test_as_trained=False).eval()
    y = torch.rand(1, 3, 8, 8)
    found = UnitRange(net)(y)
    assert torch.allclose(2 * found - 1, net(2 * y - 1), atol=1e-6)
    assert UnitRange(net).multiple == 4
    assert 0 <= found.min() <= found.max() <= 1


def test_z_stands_beside_y_in_every_pixel() -> None:
    seen = []

    class Net(UNet):
        def forward(self, y: Tensor) -> Tensor:
            seen.append(y)
            return y[:, :3]

    G = NoiseBeside(Net(2, in_channels=5, width=4), 2, 8)
    y = torch.rand(2, 3, 8, 8)
    assert torch.allclose(G(torch.tensor([[5.0, 6.0], [7.0, 8.0]]), y), y)
    assert torch.allclose(seen[0][:, :3], 2 * y - 1)
    assert seen[0][1, 3].unique().tolist() == [7.0]
    assert seen[0][0, 4].unique().tolist() == [6.0]
    assert Answers(G, PairEncoder(8, 2, 4)).multiple == 4
    for net, arguments in ((G, (torch.zeros(2, 2),)), (PairEncoder(8, 2, 4), (y,))):
        with pytest.raises(ValueError, match=r"with y$"):
            net(*arguments)


def test_the_pair_encoder_sees_both_images() -> None:
    torch.manual_seed(0)
    E, (x, y) = PairEncoder(16, 3, 4).eval(), torch.rand(2, 2, 3, 16, 16)
    mean, log_variance = E(x, y)
    assert mean.shape == log_variance.shape == (2, 3)
    assert not torch.allclose(E(x, x)[0], mean, rtol=1e-3)
    assert not torch.allclose(E(y, y)[0], mean, rtol=1e-3)
