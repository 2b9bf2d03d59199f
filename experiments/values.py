"""Values that no setting may have, told early and with their key: null, NaN, what an optimizer refuses, no width."""

from collections.abc import Iterator, Mapping
from math import isnan
from typing import Any

import torch
from jsonargparse import ArgumentParser, Namespace, set_parsing_settings
from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from experiments.complaints import class_at, join
from experiments.errors import UserError, sentence_of


def check_values(parser: ArgumentParser, config: Namespace) -> None:
    """See that what is null in ``config`` may be, and that its numbers are numbers.

    Raises:
        TypeError: a null that may not be, in jsonargparse's words.
        UserError: a NaN.
    """
    set_parsing_settings(unset_sentinel=True)  # while parsing, null meant "not given"; here it is a value
    try:
        parser.validate(config)
    finally:
        set_parsing_settings(unset_sentinel=False)
    for keys in not_numbers(config.as_dict()):
        raise UserError(f"{join(keys)} is not a number (NaN)")


def check_optimizers(value: Any, *above: str) -> None:
    """See that every optimizer of the configuration ``value`` takes its settings: two players have one each.

    Raises:
        UserError: one refuses them, and which.
    """
    if not isinstance(value, Mapping):
        return
    kind = class_at(value["class_path"]) if isinstance(value.get("class_path"), str) else None
    if isinstance(kind, type) and issubclass(kind, Optimizer):
        try:
            kind([nn.Parameter(torch.zeros(1))], **value.get("init_args", {}))
        except (ValueError, RuntimeError) as error:
            raise UserError(f"{join(above)}: {sentence_of(error)}") from error
    for key, inner in value.items():
        check_optimizers(inner, *above, *([] if key == "init_args" else [key]))


def not_numbers(value: Any, *above: str) -> Iterator[tuple[str, ...]]:
    """The nested keys of each NaN in ``value``; an item of a list goes by the list's."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from not_numbers(inner, *above, *([] if key == "init_args" else [key]))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from not_numbers(inner, *above)
    elif isinstance(value, float) and isnan(value):
        yield above


def check_widths(model: nn.Module) -> None:
    """See that every weight of ``model`` holds a number; torch makes layers of no unit, and fails when they are used.

    Raises:
        UserError: one holds none.
    """
    for name, weight in model.named_parameters():
        if not is_lazy(weight) and not weight.numel():
            raise UserError(f"{name} is of shape {list(weight.shape)}: a width or a number of channels is 0")
