"""Which statistics a generator's batch normalisation uses while it is scored: published tables differ.

- running: the averages that training has gathered. Nothing is to be done.
- batch: those of the samples that are drawn together, a block of the protocol.
- standing (Brock et al. 2019, "Large scale GAN training", app. C): the plain averages over 100 passes of fresh samples.
  As in StudioGAN (``-std_stat``) each pass has a random number of them; its largest is not in its tables, ours is 256.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from datamodules.functional.keys import key

PASSES, LARGEST = 100, 256
STANDING = int.from_bytes(b"standing")  # keys the passes' noise


def batch_norms(net: nn.Module) -> list[_BatchNorm]:
    """The layers of ``net`` that have statistics to choose from."""
    return [layer for layer in net.modules() if isinstance(layer, _BatchNorm) and layer.running_mean is not None]


def use_batch_statistics(net: nn.Module, draw: Callable[[int], object]) -> None:
    """Let the layers of ``net`` normalise by what is before them, in evaluation mode too; what they knew is lost."""
    for norm in batch_norms(net):
        norm.track_running_stats = False
        norm.running_mean = norm.running_var = norm.num_batches_tracked = None


def gather_standing_statistics(net: nn.Module, draw: Callable[[int], object]) -> None:
    """Replace the statistics of ``net`` by standing ones.

    Args:
        net: any network.
        draw: runs it in evaluation mode on so many fresh samples, drawn from torch's global random streams, which are
            left as they were.
    """
    norms = batch_norms(net)
    momenta = [norm.momentum for norm in norms]
    hooks = []
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's word for a plain average
        hooks += [norm.register_forward_pre_hook(_observe), norm.register_forward_hook(_rest)]
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(key(STANDING))
        for count in torch.randint(2, LARGEST + 1, (PASSES if norms else 0,)).tolist():
            draw(count)
    for hook in hooks:
        hook.remove()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _observe(norm: _BatchNorm, inputs: Any) -> None:
    norm.training = True  # this layer alone: spectral norms beside it stay as they are


def _rest(norm: _BatchNorm, inputs: Any, output: Any) -> None:
    norm.training = False


def keep_running_statistics(net: nn.Module, draw: Callable[[int], object]) -> None:
    """Nothing: those of the training serve."""


# By the name in ``Protocol.batch_norm``.
STATISTICS: dict[str, Callable[[nn.Module, Callable[[int], object]], None]] = {
    "running": keep_running_statistics,
    "batch": use_batch_statistics,
    "standing": gather_standing_statistics,
}
