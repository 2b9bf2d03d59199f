"""The hourglass with skips, its fixed inputs, and the picture of curves."""

import math
from typing import Any

import pytest
import torch
from network_laws import every_parameter_gets_a_gradient
from torch import nn

from lightning_modules.curves import curves, ticks
from lightning_modules.fixed_inputs import Meshgrid, UniformNoise
from lightning_modules.networks.skip import Skip

# --- the network ---------------------------------------------------------------------------------------------


def test_the_network_has_as_many_parameters_as_the_authors_notebook_prints() -> None:
    assert sum(weight.numel() for weight in Skip().parameters()) == 2_217_831


SMALL: dict[str, Any] = {"in_channels": 4, "channels": [6, 8], "skips": [2, 0]}


@pytest.mark.parametrize(
    "settings",
    [{}, {"skips": [0, 0]}, {"upsampling": "nearest"}, {"down_kernel": 5, "up_kernel": 5, "pointwise": False}],
)
def test_every_parameter_gets_a_gradient(settings: dict[str, Any]) -> None:
    every_parameter_gets_a_gradient(lambda: Skip(**{**SMALL, **settings}), (4, 18, 15))


def test_a_skip_carries_what_the_inside_cannot() -> None:
    torch.manual_seed(0)
    z = torch.rand(1, 4, 16, 16)
    for skips, carries in (([2, 0], True), ([0, 2], False)):
        net = Skip(**{**SMALL, "skips": skips})
        for weight in net.scale.down.parameters():  # type: ignore[union-attr]
            nn.init.zeros_(weight)  # nothing goes further down at the finest scale
        assert (net(z).std((2, 3)).min().item() > 1e-3) == carries


def test_one_image_is_seen_alike_in_training_and_evaluation() -> None:
    torch.manual_seed(0)
    net, z = Skip(**SMALL), torch.rand(1, 4, 17, 12)
    before = z.clone()
    trained = net.train()(z)
    assert torch.equal(net.eval()(z), trained)
    assert torch.equal(z, before)
    assert trained.shape == (1, 3, 17, 12)
    assert trained.min() > 0
    assert trained.max() < 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"skips": [2]}, "got 2 and 1: give lists of one length"),
        ({"down_kernel": 4}, "odd sides, got 4 and 3"),
    ],
)
def test_networks_that_cannot_be_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Skip(**{**SMALL, **settings})


# --- inputs --------------------------------------------------------------------------------------------------


def test_inputs_by_hand() -> None:
    torch.manual_seed(0)
    noise = UniformNoise(32, 0.1).draw(20, 30)
    assert noise.shape == (1, 32, 20, 30)
    assert noise.min() >= 0
    assert noise.max() < 0.1
    assert noise.mean().item() == pytest.approx(0.05, abs=1e-3)
    assert Meshgrid().draw(2, 3).tolist() == [[[[0, 0.5, 1], [0, 0.5, 1]], [[0, 0, 0], [1, 1, 1]]]]


# --- pictures of curves --------------------------------------------------------------------------------------


def test_round_values_along_an_axis() -> None:
    assert ticks(0, 1000) == [0, 200, 400, 600, 800, 1000]
    assert ticks(19.3, 24.9) == [20, 21, 22, 23, 24]
    assert ticks(-0.02, 0.1) == pytest.approx([-0.02, 0, 0.02, 0.04, 0.06, 0.08, 0.1])
    assert ticks(3, 3) == [3]


def test_a_curve_lies_where_its_values_are() -> None:
    picture = curves("t", [0, 50, 100], {"up": [0.0, 5.0, 10.0], "down": [10.0, math.nan, 0.0]}, marks=[25])
    assert (picture.dtype, tuple(picture.shape)) == (torch.uint8, (3, 400, 640))
    up = (picture == torch.tensor([200, 110, 20]).view(3, 1, 1)).all(0)[40:].nonzero() + torch.tensor(
        [40, 0]
    )  # below the legend
    corner, end = up[up[:, 1].argmin()], up[up[:, 1].argmax()]
    assert corner.tolist() == pytest.approx([372, 44], abs=3)  # 0 at 0: below on the left
    assert end.tolist() == pytest.approx([44, 628], abs=3)
    marked = (picture == torch.tensor([200, 0, 0]).view(3, 1, 1)).all(0)
    assert marked.nonzero()[:, 1].unique().tolist() == [44 + 584 // 4]
    assert curves("t", [0, 1], {"none": [math.nan, math.inf]}).shape == picture.shape
