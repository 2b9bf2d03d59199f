"""DnCNN: the published network, its first weights, what it learns."""

import pytest
import torch
from network_laws import every_parameter_gets_a_gradient
from torch import nn
from torch.nn.functional import batch_norm, conv2d, interpolate, mse_loss

from datamodules.functional import degrade
from lightning_modules.networks.dncnn import DnCNN
from lightning_modules.networks.init import Orthogonal, Xavier


def test_every_weight_gets_a_gradient():
    every_parameter_gets_a_gradient(lambda: DnCNN(4, 6), (1, 9, 8))
    net = DnCNN(4, 6, still=True)  # none but the last at first: there the others wait one step
    optimizer = torch.optim.SGD(net.parameters(), 1.0)
    y = torch.rand(4, 1, 8, 8)
    for _ in range(2):
        optimizer.zero_grad()
        mse_loss(net(y), 0.5 * y).backward()
        optimizer.step()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for name, p in net.named_parameters())


def test_it_is_the_published_network():
    assert sum(p.numel() for p in DnCNN().parameters()) == 640 + 15 * (36_864 + 128) + 577
    deep = DnCNN(20)
    assert sum(isinstance(layer, nn.Conv2d) for layer in deep.layers) == 20
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in deep.layers) == 18
    matrix = deep.get_parameter("layers.2.weight").flatten(1)
    assert torch.allclose(matrix @ matrix.T, torch.eye(64), atol=1e-5)
    torch.manual_seed(0)
    net = DnCNN(3, 4).train()
    y = torch.rand(2, 1, 7, 6)
    w = {name.removeprefix("layers."): value for name, value in net.named_parameters()}
    h = conv2d(y, w["0.weight"], w["0.bias"], padding=1).relu()
    h = conv2d(h, w["2.weight"], padding=1)
    h = batch_norm(h, None, None, w["3.weight"], w["3.bias"], True, eps=1e-4).relu()
    noise = conv2d(h, w["5.weight"], w["5.bias"], padding=1)
    assert torch.allclose(net(y), y - noise, atol=1e-6)


def test_it_begins_as_the_identity_where_asked_and_draws_as_told():
    y = torch.rand(1, 3, 9, 7)
    assert torch.equal(DnCNN(4, 8, 3, still=True)(y), y)
    torch.manual_seed(0)
    orthogonal = DnCNN(3, 4, init=Orthogonal()).state_dict()
    torch.manual_seed(0)
    default = DnCNN(3, 4).state_dict()
    torch.manual_seed(0)
    xavier = DnCNN(3, 4, init=Xavier()).state_dict()
    assert all(torch.equal(a, b) for a, b in zip(default.values(), orthogonal.values(), strict=True))
    assert not torch.equal(default["layers.0.weight"], xavier["layers.0.weight"])
    with pytest.raises(ValueError, match="depth is 1: DnCNN has a first and a last"):
        DnCNN(1)


def test_it_learns_four_patches_by_heart():
    torch.manual_seed(0)
    x = interpolate(torch.rand(4, 1, 3, 3), size=12, mode="bilinear")
    y = degrade.gaussian(x, 25.0)
    net = DnCNN(4, 16, still=True)
    before = mse_loss(net(y), x).item()
    assert before == pytest.approx((25 / 255) ** 2, rel=0.2)
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        loss = mse_loss(net(y), x)
        loss.backward()
        optimizer.step()
    assert loss.item() < before / 20
