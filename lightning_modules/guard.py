"""The finite guard: notices the first step whose loss is not finite, without a device synchronisation a step."""

from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch import Tensor

ALL_WELL = 2**63 - 1  # later than any step


class FiniteGuard:
    """A flag on the device: the first bad step and the term that was bad, read seldom."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._flag: Tensor | None = None  # step * 2^16 + index of the term's name

    def observe(self, terms: Mapping[str, Tensor], step: int) -> None:
        """Remember ``step`` and the first term that is not finite, unless something was bad before."""
        values = torch.stack([term.detach().float() for term in terms.values()])
        if self._flag is None:
            self._flag = torch.tensor(ALL_WELL, device=values.device)
        bad = ~torch.isfinite(values)
        code = (step << 16) + self._index(terms) + bad.to(torch.uint8).argmax()
        self._flag = torch.where((self._flag == ALL_WELL) & bad.any(), code, self._flag)

    def _index(self, terms: Mapping[str, Tensor]) -> int:
        names = list(terms)
        for i in range(len(self._names) - len(names) + 1):
            if self._names[i : i + len(names)] == names:
                return i
        self._names += names
        return len(self._names) - len(names)

    def check(self) -> None:
        """Raise FloatingPointError, on every rank, if any rank has seen a bad term. Synchronises the device."""
        if self._flag is None:
            return
        flag = self._flag.clone()
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(flag, dist.ReduceOp.MIN)  # the first of all ranks: by the next step all are bad
        code = int(flag)
        if code < ALL_WELL:
            term = self._names[code & 0xFFFF]
            raise FloatingPointError(
                f"{term} was not finite at step {code >> 16}: training stopped and nothing bad was saved; "
                "begin a new run with a lower learning rate or a stronger penalty, whose model.init_args.init_from is"
                " this run's last checkpoint"
            )


def refuse_bad(state: Mapping[str, Tensor]) -> None:
    """Raise FloatingPointError if ``state`` holds a value that is not finite."""
    for name, value in state.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise FloatingPointError(f"{name} holds a value that is not finite: the checkpoint was not written")
