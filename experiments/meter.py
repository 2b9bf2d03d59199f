"""What a training step costs: floating-point operations of each player, memory, seconds. Looked at on real steps.

Operations are counted as in the run's record (``lightning_modules/callbacks/cost.py``), backward passes and gradient
penalties included. Compiled networks are counted in their eager form.
"""

import math
import weakref
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Any, Protocol, runtime_checkable

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lightning_modules.base import AtelierModule
from lightning_modules.callbacks.cost import Operations, now
from lightning_modules.losses.penalties import Penalty

LONGEST_CYCLE = 100  # steps that are looked at where lazy penalties would take longer to meet again
ENOUGH_SECONDS = 2.0  # of timed steps
ENDLESS = 2**62  # steps: the meter stops the trainer


@runtime_checkable
class Penalised(Protocol):
    """A family with lazy penalties."""

    penalties: Sequence[Penalty]


class Allocations(TorchDispatchMode):
    """Counts the bytes of living tensors: those it was shown, and those made while it is open. Scratch is not seen.

    Attributes:
        live: bytes now.
        peak: the most there were.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known: set[int] = set()

    def see(self, tensor: Tensor) -> None:
        """Count the memory of ``tensor`` until it is freed; once, however many tensors share it."""
        storage = tensor.untyped_storage()
        place, size = storage._cdata, storage.nbytes()
        if place not in self._known:
            self._known.add(place)
            weakref.finalize(storage, self._freed, place, size)
            self.live += size
            self.peak = max(self.peak, self.live)

    def _freed(self, place: int, size: int) -> None:
        self._known.discard(place)
        self.live -= size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run ``func`` and see what it made; what works in place or views gives the memory that it was given."""
        out = func(*args, **(kwargs or {}))
        given = {leaf.untyped_storage()._cdata for leaf in tensors((args, kwargs))}
        for made in tensors(out):
            if made.untyped_storage()._cdata not in given:
                self.see(made)
        return out


def tensors(tree: Any) -> list[Tensor]:
    """The tensors in a nest of containers."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


class Meter(Callback):
    """Runs a few real steps and stops the trainer: first it counts operations, then bytes, then seconds.

    Attributes:
        flops: by player, of each of its updates in ``cycle`` steps.
        cycle: steps after which lazy penalties and updates of G come together again.
        standing: bytes by name of what stays from step to step.
        peak: the most bytes that were in use within a step; on a GPU as its allocator counts them.
        seconds: of a step, on average over ``timed`` of them.
        batch: type and shape of each part of a batch.
    """

    def __init__(self) -> None:
        self.flops: dict[str, list[int]] = defaultdict(list)
        self.standing: dict[str, int] = {}
        self.batch: list[str] = []
        self.cycle, self.peak, self.timed = 1, 0, 0
        self.seconds = 0.0
        self._looks = ExitStack()  # open within a step
        self._allocations: Allocations | None = None
        self._operations: Operations | None = None
        self._counted = 0
        self._weigh = self._time = self._until = 0  # steps: weighing begins, timing begins, timing's length
        self._start = 0.0

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Let the trainer go on until the meter has seen enough."""
        trainer.fit_loop.epoch_loop.max_steps = ENDLESS

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Plan: a cycle counted, one more where compilation has to warm up, a round weighed, then cycles timed."""
        assert isinstance(pl_module, AtelierModule)
        every = [penalty.every for penalty in pl_module.penalties] if isinstance(pl_module, Penalised) else []
        self.cycle = min(LONGEST_CYCLE, math.lcm(pl_module.batches_for_round, *every))
        self._weigh = self.cycle * (2 if pl_module.uses_compile else 1)
        self._time = self._weigh + pl_module.batches_for_round

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, *args: Any) -> None:
        """Look in the way that this step is for."""
        step = trainer.global_step
        if step < self.cycle:
            self.batch = [f"{str(part.dtype).removeprefix('torch.')} {list(part.shape)}" for part in tensors(batch)]
            self._looks.enter_context(torch.compiler.set_stance("force_eager"))
            self._operations, self._counted = self._looks.enter_context(Operations()), 0
        elif self._weigh <= step < self._time:
            self.weigh(pl_module, tensors(batch))
        elif step == self._time:
            self._until = self.cycle
            self._start = now(pl_module.device)

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer) -> None:
        """A player is about to move: what has been computed since the last one's is its own."""
        if self._operations is not None:
            total = self._operations.total
            self.flops[owner(pl_module, optimizer)].append(total - self._counted)
            self._counted = total

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any) -> None:
        """Look away; stop when whole cycles have been timed for long enough."""
        self._looks.close()
        self._operations = None
        step = trainer.global_step
        if self._weigh < step <= self._time:
            self.peak = max(self.peak, self.peak_of_step(pl_module))
        if step - self._time == self._until > 0:
            passed = now(pl_module.device) - self._start
            self.timed, self.seconds = self._until, passed / self._until
            self._until *= 2
            trainer.should_stop = passed >= ENOUGH_SECONDS

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Look away."""
        self._looks.close()

    def weigh(self, module: L.LightningModule, batch: Iterable[Tensor]) -> None:
        """Weigh what stands and begin to watch this step's peak."""
        assert isinstance(module, AtelierModule)
        parts = standing(module)
        self.standing = {name: size(part) for name, part in parts.items()}
        if module.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(module.device)
            return
        self._looks.enter_context(torch.compiler.set_stance("force_eager"))  # compiled kernels allocate unseen
        self._allocations = self._looks.enter_context(Allocations())
        for tensor in (*(tensor for part in parts.values() for tensor in part), *batch):
            self._allocations.see(tensor)

    def peak_of_step(self, module: L.LightningModule) -> int:
        """The most bytes in use since ``weigh``."""
        if self._allocations is None:
            return torch.cuda.max_memory_allocated(module.device)
        return self._allocations.peak


def standing(module: AtelierModule) -> dict[str, list[Tensor]]:
    """What stays in memory from step to step, by name."""
    average = [] if module.ema is None else list(module.ema.state_dict().values())
    places = {tensor.data_ptr() for tensor in average}
    whole = [*module.parameters(), *module.buffers()]
    state = [leaf for opt in module.trained_optimizers() for leaf in tensors(list(opt.state.values()))]
    return {
        "weights": [tensor for tensor in whole if tensor.data_ptr() not in places],
        "gradients": [weight.grad for weight in module.parameters() if weight.grad is not None],
        "optimizers": state,
        "average": average,
    }


def size(part: Iterable[Tensor]) -> int:
    """Bytes of the tensors of ``part``."""
    return sum(tensor.numel() * tensor.element_size() for tensor in part)


def networks(module: L.LightningModule) -> dict[str, nn.Module]:
    """The module's own networks by name, without the average."""
    return {name: net for name, net in module.named_children() if name != "ema"}


def owner(module: L.LightningModule, optimizer: Optimizer) -> str:
    """The player whose weights ``optimizer`` steps: the name of its network, of several with a plus."""
    moved = {id(weight) for group in optimizer.param_groups for weight in group["params"]}
    names = [name for name, net in networks(module).items() if any(id(p) in moved for p in net.parameters())]
    return "+".join(names)
