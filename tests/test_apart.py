"""A mode in which work on the device "meta" fails where a GPU's would: given what lies on the CPU."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv1d
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

MOVES = {torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default}
PICKS = {torch.ops.aten.index.Tensor, torch.ops.aten.index_put.default, torch.ops.aten.index_put_.default}


class Apart(TorchDispatchMode):
    """Fails where tensors or random streams of the CPU take part in the device's work, which meta notices in part.

    As on a GPU, lone numbers of the CPU may stand in arithmetic, and the places of an index may lie there.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func not in MOVES and any(
            isinstance(one, Tensor) and one.is_meta for one in tree_leaves((args, kwargs, out))
        ):
            given = tree_leaves((args[0], args[2:]) if func in PICKS else (args, kwargs))
            here = [one for one in given if isinstance(one, Tensor | torch.Generator) and one.device.type == "cpu"]
            wrong = [one for one in here if isinstance(one, torch.Generator) or one.ndim]
            shapes = [list(getattr(one, "shape", ["a stream"])) for one in wrong]
            assert not wrong, f"{func} works on the device and is given of the CPU: {shapes}"
        return out


THERE = torch.empty(3, device="meta")
WRONG: dict[str, Callable[[], Any]] = {
    "product": lambda: THERE[None] @ torch.ones(3, 1),
    "convolution": lambda: conv1d(THERE[None, None], torch.ones(1, 1, 2)),
    "stream": lambda: torch.randn(3, generator=torch.Generator(), device="meta"),
    "picked": lambda: torch.ones(3)[THERE.long()],
    "put": lambda: THERE.clone().index_put_((torch.tensor([0, 1]),), torch.ones(2)),
}


@pytest.mark.parametrize("work", WRONG)
def test_what_meta_does_not_notice_is_noticed(work: str) -> None:
    with Apart(), pytest.raises((AssertionError, RuntimeError), match=r"CPU|device"):
        WRONG[work]()


def test_what_a_gpu_allows_is_allowed() -> None:
    with Apart():
        assert (THERE[torch.tensor([0, 1])] * torch.tensor(2.0)).is_meta
        assert THERE.copy_(torch.ones(3)).is_meta
