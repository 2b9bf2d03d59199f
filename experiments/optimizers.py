"""Default optimizers, which constructors state as functions, as the classes and arguments that YAML has."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer


def spelt_out(make_optimizer: Callable[[list[nn.Parameter]], Optimizer]) -> dict[str, Any]:
    """``make_optimizer``, a default that jsonargparse could not read, as class_path and init_args."""
    optimizer = make_optimizer([nn.Parameter(torch.zeros(1))])
    kind = type(optimizer)
    known = inspect.signature(kind).parameters
    settings = {name: value for name, value in optimizer.defaults.items() if name in known}
    return {"class_path": f"{kind.__module__}.{kind.__name__}", "init_args": settings}
