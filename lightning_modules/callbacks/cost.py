"""What a run costs, for its record: parameters, operations and speed of one sample, memory, size of a checkpoint.

Operations are those that ``torch.utils.flop_counter`` has formulas for: convolutions, matrix products and attention, a
multiply-add as two. Its own mode follows modules by hooks that refuse double backward, hence ours.
"""

import resource
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from lightning_modules.base import AtelierModule
from lightning_modules.batches import rebuild
from lightning_modules.callbacks.checkpoints import Checkpoints
from lightning_modules.metrics.reference import BLOCK
from lightning_modules.networks.base import Network

ENOUGH_SECONDS = 0.1  # of timed sampling
CONVOLUTION = torch.ops.aten.convolution
CONVOLUTION_BACKWARD = torch.ops.aten.convolution_backward


def operations_backward(grad: Tensor, x: Tensor, weight: Tensor, _: Any, *settings: Any, out_val: Any) -> int:
    """As many as forward for each gradient that is asked for, of ``x`` and of ``weight``, whatever the groups.

    torch's own formula counts the weights' once for each group.
    """
    *layout, asked = settings
    return int(flop_registry[CONVOLUTION](x, weight, None, *layout, out_val=grad)) * sum(asked[:2])


FORMULAS = {**flop_registry, CONVOLUTION_BACKWARD: operations_backward}


class Operations(TorchDispatchMode):
    """Counts floating-point operations while it is open.

    Attributes:
        total: so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run ``func`` and add what it costs."""
        kwargs = kwargs or {}
        formula = FORMULAS.get(func.overloadpacket)
        if formula is None and torch.is_inference_mode_enabled():
            # There a convolution arrives whole, as an operation without a formula; its parts have one.
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        out = func(*args, **kwargs)
        if formula is not None:
            self.total += formula(*args, **kwargs, out_val=out)
        return out


@dataclass(frozen=True)
class SampleCost:
    """What one sample costs; None where that is not known."""

    shape: list[int] | None = None  # of x: the image to be produced or classified
    flops: int | None = None  # also where nothing that was done has a formula
    images_per_second: float | None = None


class SampleMeter:
    """Measures what one sample costs: an image that a generator draws, or the network's answer to one of a batch.

    That is ``predict_step`` of a batch of one, so with the weights and modes that samples come from. The one is the
    first of the first validation or test batch (of the size that is looked at), or of the training batch where none
    came. Speed is that of batches with as many values as one of training's, at most 100 samples each: they fit the
    memory, as training does; without training one sample at a time. Compiled networks are counted and timed in their
    eager form.

    Measuring changes nothing: random streams and modes are as before, and no rank waits for another.

    Attributes:
        found: so far. Nothing is known before ``measure``, where no batch came, where batches are no sequences of
            tensors, and of a family that says nothing of predictions or whose prediction is what training made.
    """

    def __init__(self) -> None:
        self.found = SampleCost()
        self._of_training: Any = None  # batches of one
        self._of_validation: Any = None
        self._values = 0  # in the x of a training batch

    def see_training(self, batch: Any) -> None:
        """Remember what a training batch looks like: the first that comes."""
        if self._of_training is None and _is_tensors(batch):
            self._of_training, self._values = _first(batch), batch[0].numel()

    def see_validation(self, batch: Any) -> None:
        """Remember what a validation or test batch looks like: the first that comes."""
        if self._of_validation is None and _is_tensors(batch):
            self._of_validation = _first(batch)

    def measure(self, module: AtelierModule) -> None:
        """Measure, unless that is done."""
        batch = self._of_training if self._of_validation is None else self._of_validation
        says_nothing = type(module).predict_step is L.LightningModule.predict_step or module.answer_is_trained
        if self.found.shape is not None or batch is None or says_nothing:
            return
        count = max(1, min(BLOCK, self._values // batch[0].numel()))
        many = rebuild(batch, [part.repeat_interleave(count, 0) for part in batch])
        with ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng([module.device] if module.device.type == "cuda" else []))
            stack.enter_context(torch.no_grad())
            stack.enter_context(torch.compiler.set_stance("force_eager"))
            with Operations() as operations:
                module.predict_step(batch, 0)
            seconds = seconds_of(lambda: module.predict_step(many, 0), module.device)
        self.found = SampleCost(list(batch[0].shape[1:]), operations.total or None, four_digits(count / seconds))


def four_digits(value: float) -> float:
    """``value`` to four digits, for speeds between an image an hour and a hundred thousand a second."""
    return float(f"{value:.4g}")


def _is_tensors(batch: Any) -> bool:
    return isinstance(batch, tuple | list) and all(isinstance(part, Tensor) and part.ndim for part in batch)


def _first(batch: Any) -> Any:
    return rebuild(batch, [part[:1].clone() for part in batch])


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Seconds that ``work`` takes on ``device`` after a warm-up, on average."""
    work()
    start, rounds, passed = now(device), 0, 0.0
    while passed < ENOUGH_SECONDS:
        work()
        rounds += 1
        passed = now(device) - start
    return passed / rounds


def now(device: torch.device) -> float:
    """Seconds, when ``device`` has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def cost(
    trainer: L.Trainer, module: AtelierModule, images_per_second: float | None, sample: SampleCost
) -> dict[str, Any]:
    """What the run has cost so far, as plain values.

    Args:
        trainer: of the run.
        module: that it trains.
        images_per_second: of training, evaluations included; None, and no entry, where nothing was trained.
        sample: what one sample costs; its entries are None as long as that is not known.
    """
    return {
        "parameters": {name: count(net) for name, net in module.named_children() if is_counted(name, net)},
        "sample_shape": sample.shape,
        "flops_per_sample": sample.flops,
        **({} if images_per_second is None else {"images_per_second": four_digits(images_per_second)}),
        "sampling_images_per_second": sample.images_per_second,
        "peak_memory_mb": peak_memory(),
        "checkpoint_mb": checkpoint_size(trainer),
    }


def is_counted(name: str, net: torch.nn.Module) -> bool:
    """Whether ``net`` is a network of its own: no average of another, and no augmentation, which has no parameters."""
    return name != "ema" and (isinstance(net, Network) or count(net) > 0)


def count(net: torch.nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in net.parameters())


def peak_memory() -> dict[str, float]:
    """Peak resident memory of this process and peak allocation on the GPU, in MB."""
    peak = {"process": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)}
    if torch.cuda.is_available():
        peak["gpu"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
    return peak


def checkpoint_size(trainer: L.Trainer) -> float | None:
    """Size of the last checkpoint in MB, where there is one."""
    path = Checkpoints.path(trainer, "last")
    return round(path.stat().st_size / 2**20, 2) if path.exists() else None
