"""``python -m experiments.ship_restorer RUN NAME``: turn the network of a finished run into a shipped restorer.

A step for maintainers: the weights go into the package under NAME, with a card, and never change afterwards. They are
kept in full precision where that takes no more than a megabyte, else in half.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from datamodules.functional.files import replacing
from experiments.errors import UserError, leave_by
from experiments.export import rebuilt, scores, sha256, trained
from experiments.lightning_cli import hush_lightning, users_mistakes
from experiments.look import find_subject
from experiments.request import read_request
from experiments.restore_networks import restoring
from experiments.restorers import Card, assembled, files_of
from experiments.train import say
from lightning_modules.callbacks.cost import count
from lightning_modules.networks.base import Upscaler
from lightning_modules.tools.restoration import CHANNELS, Restorer

IN_FULL = 2**20  # bytes: what is kept in full precision
LIMIT = 4 * 2**20  # bytes: what a package can carry
SIDE = 64  # px: of the image on which the shipped weights are compared with the trained ones
USAGE = "`python -m experiments.ship_restorer RUN_DIR fsrcnn-x2`"


def ship(argv: Sequence[str]) -> int:
    """Write weights and card of the run's evaluated network, and say what they are."""
    hush_lightning()
    request = read_request(argv, own=("--ckpt",))
    if request.target is None or len(request.overrides) != 1:
        raise UserError(f"give a run directory and a name: {USAGE}")
    name = new_name(request.overrides.pop())
    subject = find_subject(request, "ship")
    module, checkpoint = trained(subject)
    network = module.evaluated.eval()
    reads = restoring(module).colour
    weights, precision = packed(network, name)
    card = Card(
        name=name,
        network=recipe(subject.cli.resolved["model"], network),
        reads=reads,
        scales=scales_of(network),
        parameters=count(network),
        sha256=sha256(weights),
        precision=precision,
        weights=module.weights_name,
        difference=0.0,
        experiment=subject.cli.config.experiment,
        seed=subject.cli.config.seed_everything,
        checkpoint=subject.which,
        g_step=int(checkpoint["counters"]["g_step"]),
        scores=list(scores(checkpoint)),
    )
    with users_mistakes():
        card = replace(card, difference=difference(network, assembled(card, weights), card))
    for path, content in zip(files_of(name), (weights, card.dump()), strict=True):
        with replacing(path) as file:
            file.write(content)
    say(f"{name}: {card.parameters:,} parameters in {precision}, {len(weights):,} bytes, off by {card.difference:.1e}")
    return 0


def new_name(name: str) -> str:
    """``name``, which serves as a file's and is not taken.

    Raises:
        UserError: otherwise.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise UserError(f"{name!r} does not serve as a name: give small letters, digits and dashes, such as fsrcnn-x2")
    if any(path.exists() for path in files_of(name)):
        raise UserError(f"{name} is shipped already and never changes: name a better one {name}-v2")
    return name


def scales_of(network: nn.Module) -> list[int] | None:
    """The scales that ``network`` knows; None where it keeps a picture's size."""
    return list(network.scales or ()) if isinstance(network, Upscaler) else None


def packed(network: nn.Module, name: str) -> tuple[bytes, Any]:
    """The weights as safetensors, and in which precision.

    Raises:
        UserError: they are too many, or not finite in half precision.
    """
    state = {key: value.cpu().contiguous().clone() for key, value in network.state_dict().items()}
    if len(content := save(state)) <= IN_FULL:
        return content, "fp32"
    state = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    if not all(value.isfinite().all() for value in state.values()):
        raise UserError(f"the weights of {name} are not finite in half precision: train it again with a smaller rate")
    if len(content := save(state)) > LIMIT:
        raise UserError(f"the weights of {name} take {len(content) / 2**20:.1f} MB, 4 MB at most are shipped")
    return content, "fp16"


def recipe(model: Mapping[str, Any], network: nn.Module) -> dict[str, Any]:
    """class_path and init_args in the configuration ``model`` that make a network of the same class and shapes.

    Raises:
        UserError: there are none, as where a family makes its networks itself.
    """
    for found in model["init_args"].values():
        if isinstance(found, Mapping) and str(found.get("class_path")).endswith(f".{type(network).__name__}"):
            with suppress(RuntimeError):  # of another shape
                rebuilt(found).load_state_dict(network.state_dict())
                return {"class_path": found["class_path"], "init_args": found.get("init_args") or {}}
    raise UserError(f"nothing under model.init_args makes this {type(network).__name__} again: it cannot be shipped")


def difference(trained: nn.Module, shipped: nn.Module, card: Card) -> float:
    """The largest difference between two networks' answers to one image, rounded to two digits."""
    image = torch.rand(1, CHANNELS[card.reads], SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    pieces = (image * 255).round().to(torch.uint8)
    largest = 0.0
    for scale in card.scales or [1]:
        one, other = (Restorer(network, card.reads, scale).restore(pieces) for network in (trained, shipped))
        largest = max(largest, float((one - other).abs().max()))
    return float(f"{largest:.1e}")


if __name__ == "__main__":
    leave_by(ship)
