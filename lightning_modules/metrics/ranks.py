"""Who takes which part of an evaluation."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist


def rank_and_world() -> tuple[int, int]:
    """This process's rank and how many there are; (0, 1) without a process group."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def gathered(value: Any) -> list[Any]:
    """What every rank says, in their order. All ranks must call it."""
    _, world = rank_and_world()
    if world == 1:
        return [value]
    found: list[Any] = [None] * world
    dist.all_gather_object(found, value)
    return found


def everywhere(flag: bool, device: torch.device) -> bool:
    """Whether ``flag`` holds on every rank. All ranks must call it."""
    if rank_and_world()[1] == 1:
        return flag
    votes = torch.tensor(int(flag), device=device)
    dist.all_reduce(votes, dist.ReduceOp.MIN)
    return bool(votes)


class Refusal:
    """The first error over what one rank was given, for all to raise: the others would wait for it to go on."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Keep a ValueError or FloatingPointError from inside."""
        try:
            yield
        except (ValueError, FloatingPointError) as error:
            self.error = self.error or error

    def raise_on_all(self) -> None:
        """Raise what the first of the ranks has kept, if any has. All ranks must call it."""
        for error in gathered(self.error):
            if error is not None:
                raise error
