"""Whether a device that was asked for is there, and how a batch gets to it."""

import torch
from torch import Tensor


def check_device(device: str) -> None:
    """Raises ValueError where ``device`` is none, or is not there."""
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ValueError(f"device is {device!r}: set data.init_args.device to cpu or cuda.") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device is {device!r} but no GPU is here: set data.init_args.device to cpu.")


def sent(x: Tensor, device: torch.device) -> Tensor:
    """``x`` on ``device``. From the CPU to a GPU it goes by pinned memory: else the host would wait until all work that
    the GPU was given before is done, and could not make the next batch meanwhile."""
    if x.device.type == "cpu" and device.type == "cuda":
        return x.pin_memory().to(device, non_blocking=True)
    return x.to(device)
