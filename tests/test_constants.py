"""Tensors that are made once: none that a trace leaves behind is met by the network itself."""

import pytest
import torch
from torch import Tensor, nn

from datamodules.functional.constants import constant
from datamodules.functional.resize import bicubic_floats
from lightning_modules.augment.warp import down, up


class UsesThem(nn.Module):
    """Something of a constant, and of each kind of matrix."""

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, 1, s, s] to [N, 1, 2 s, 2 s]."""
        side = x.shape[3]
        scale = constant((0.5, side), x.device, x.dtype).prod() + (up(x, side).sum() - down(x, side).sum())
        return scale * bicubic_floats(x, 2)


# What dynamo says of every cache that it looks through.
@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")
@pytest.mark.parametrize(("strict", "side"), [(False, 7), (True, 9)])  # sides not met elsewhere: the trace makes all
def test_a_network_has_numbers_after_it_was_traced(strict: bool, side: int) -> None:
    net, x = UsesThem(), torch.rand(1, 1, side, side, dtype=torch.float64)
    traced = torch.export.export(net, (x,), strict=strict).module()
    found = net(x)
    assert type(found) is Tensor
    torch.testing.assert_close(traced(x), found)
    assert up(x, side) is up(x, side)
