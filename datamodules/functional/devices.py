"""Whether a device that was asked for is there."""

import torch


def check_device(device: str) -> None:
    """Raises ValueError where ``device`` is none, or is not there."""
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ValueError(f"device is {device!r}: set data.init_args.device to cpu or cuda.") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device is {device!r} but no GPU is here: set data.init_args.device to cpu.")
