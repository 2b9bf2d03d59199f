"""Single layers of a network: found by name, watched, and switched off unit by unit.

A unit is a channel of what a layer puts out: a map [H, W], or a number after a linear layer.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn


def layer_names(net: nn.Module) -> list[str]:
    """The layers of ``net`` that hold no others, by their dotted names, as they are registered."""
    return [name for name, part in net.named_modules() if name and not any(part.children())]


def find_layer(net: nn.Module, name: str) -> nn.Module:
    """The layer ``name`` of ``net``, or the block of that name.

    Raises:
        ValueError: there is none; says which are near.
    """
    parts = dict(net.named_modules())
    if not name or name not in parts:
        names = layer_names(net)
        near = get_close_matches(name, names, n=3, cutoff=0.0)
        raise ValueError(
            f"{type(net).__name__} has no layer {name!r}: it has {len(names)} from {names[0]} to {names[-1]}, and of"
            f" names like this {', '.join(near)}"
        )
    return parts[name]


@contextmanager
def watched(layer: nn.Module) -> Iterator[list[Tensor]]:
    """What ``layer`` puts out while this lasts, a copy of each answer in turn; a later layer may work in place."""
    seen: list[Tensor] = []

    def keep(_: nn.Module, __: Any, out: Any) -> None:
        if isinstance(out, Tensor):
            seen.append(out.clone())

    hook = layer.register_forward_hook(keep)
    try:
        yield seen
    finally:
        hook.remove()


def output_of(net: nn.Module, name: str, run: Callable[[], object]) -> Tensor:
    """What the layer ``name`` of ``net`` puts out last in ``run``, [N, K, ...]: of several passes that of the answer.

    Raises:
        ValueError: there is no such layer; or it is not asked, or its answer has no units.
    """
    with watched(find_layer(net, name)) as seen:
        run()
    if not seen or seen[-1].ndim < 2:
        raise ValueError(f"the layer {name} puts out no maps or numbers of units here: take another")
    return seen[-1]


@contextmanager
def without(net: nn.Module, name: str, units: Sequence[int], count: int) -> Iterator[None]:
    """The layer ``name`` of ``net`` with ``units`` of its ``count`` at 0 while this lasts.

    Raises:
        ValueError: there is no such layer or unit.
    """
    require_units(name, units, count)

    def silence(_: nn.Module, __: Any, out: Tensor) -> Tensor:
        kept = torch.ones(out.shape[1], device=out.device, dtype=out.dtype)
        kept[list(units)] = 0
        return out * kept.view(-1, *[1] * (out.ndim - 2))

    hook = find_layer(net, name).register_forward_hook(silence)
    try:
        yield
    finally:
        hook.remove()


def require_units(name: str, units: Sequence[int], count: int) -> None:
    """Raise ValueError where one of ``units`` is none of a layer's ``count``."""
    wrong = [unit for unit in units if not 0 <= unit < count]
    if wrong or not units:
        raise ValueError(f"the layer {name} has units 0 to {count - 1}, not {', '.join(map(str, wrong)) or 'none'}")


def last_maps(net: nn.Module, run: Callable[[], object], least: int = 4) -> str:
    """The name of the last layer asked in ``run`` whose maps are of ``least`` px and more on both sides.

    Raises:
        ValueError: there is none.
    """
    order: list[str] = []

    def keep(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def note(_: nn.Module, __: Any, out: Any) -> None:
            if isinstance(out, Tensor) and out.ndim == 4 and min(out.shape[2:]) >= least:
                order.append(name)

        return note

    hooks = [find_layer(net, name).register_forward_hook(keep(name)) for name in layer_names(net)]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    if not order:
        raise ValueError(f"{type(net).__name__} has no layer with maps of {least} px: name one with --layer")
    return order[-1]
