"""Which network ``atelier restore`` and ``translate`` apply: a run's, a checkpoint's or a shipped one; its scale."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import nn

from datamodules.functional.quantise import UNIT, ValueRange
from experiments.catalogue import experiments
from experiments.errors import UserError, nearest
from experiments.lightning_cli import users_mistakes
from experiments.look import Subject, bare_module, find_subject, lacks_weights
from experiments.request import Request
from experiments.restorers import load_restorer, restorer_names
from experiments.weights import load_weights
from lightning_modules.inpainting import Filling
from lightning_modules.networks.base import Upscaler
from lightning_modules.restoring import Reads, Restoring
from lightning_modules.tools.filling import BLACK, Colour


@dataclass(frozen=True)
class Found:
    """A network and what is known of it.

    Args:
        network: on the CPU.
        reads: what of a picture it is given.
        title: what it is called.
        value_range: of what it is given and of what it makes.
        directions: it, and others of its family, by what they make.
        filling: its family, where it fills holes.
        hole_colour: what it is given in them.
    """

    network: nn.Module
    reads: Reads
    title: str
    value_range: ValueRange = UNIT
    directions: Mapping[str, nn.Module] = field(default_factory=dict)
    filling: Filling | None = None
    hole_colour: Colour = BLACK

    def towards(self, wanted: str) -> "Found":
        """The same with the network that makes ``wanted``.

        Raises:
            UserError: none does.
        """
        if wanted not in self.directions:
            known = " or ".join(self.directions)
            raise UserError(f"--to is {wanted}: this network makes {known or 'one kind of picture, leave it out'}")
        return replace(self, network=self.directions[wanted])


def find_network(request: Request, command: str = "restore") -> Found:
    """The network that ``request`` names for ``command``, on the best device there is.

    Raises:
        UserError: there is none, or it restores nothing.
    """
    target = request.target
    if target is None:
        raise UserError(f"{command} begins with a network: `atelier {command} RUN_DIR IMAGE_OR_FOLDER`")
    shipped = restorer_names()
    if target in shipped and not Path(target).is_dir():
        extras = [*(["--ckpt"] if "--ckpt" in request.own else []), *request.overrides, *request.configs]
        if extras:
            raise UserError(f"{target} is shipped as it is: leave out {extras[0]}")
        if "--mask" in request.own:
            raise UserError(f"{target} fills no holes: leave out --mask, or give a run of a family such as Inpainting")
        with users_mistakes():
            network, card = load_restorer(target)
        found = Found(network, card.reads, target)
    else:
        if not Path(target).exists() and "--ckpt" not in request.own:
            raise lacks_weights(command) if target in experiments() else unknown(target, shipped)
        found = of_run(find_subject(request, command), "--mask" in request.own)
    found = found.towards(request.own["--to"]) if "--to" in request.own else found
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if found.filling is not None:
        found.filling.to(device)
    return replace(found, network=found.network.to(device))


def unknown(target: str, shipped: list[str]) -> UserError:
    """What is said of a ``target`` that is nothing."""
    if target.endswith(".ckpt"):
        return UserError(f"there is no checkpoint at {target}")
    meant = nearest(target, shipped)
    advice = (
        f"did you mean {meant}?" if meant else f"shipped are {', '.join(shipped)}" if shipped else "none is shipped"
    )
    return UserError(f"{target} is no run directory, checkpoint or shipped network: {advice}")


def of_run(subject: Subject, masked: bool = False) -> Found:
    """The evaluated network of a run; ``masked`` says whether pictures come with masks.

    Raises:
        UserError: its family restores no such pictures.
    """
    cli = subject.cli
    colour = cli.resolved["data"].get("init_args", {}).get("fill", BLACK)
    module = restoring(bare_module(cli), masked)
    load_weights(module, subject.checkpoint)
    title = f"{cli.config.experiment} ({module.weights_name} weights, {subject.which})"
    networks = module.directions
    filling = module if isinstance(module, Filling) else None
    network = next(iter(networks.values()))
    return Found(network, module.colour, title, module.value_range, networks, filling, tuple(colour))


def restoring(module: object, masked: bool = False) -> Restoring:
    """``module`` itself, of a family that restores; one that fills holes if pictures are ``masked``, no such otherwise.

    Raises:
        UserError: it is of none.
    """
    name = type(module).__name__
    if not isinstance(module, Restoring):
        raise UserError(f"{name} restores no pictures: give a run of a family such as SuperResolution")
    fills = isinstance(module, Filling)
    if fills and not masked:
        raise UserError(
            f"{name} fills holes, and a picture alone names none: `atelier restore RUN_DIR IMAGE_OR_FOLDER --mask"
            " MASK_OR_FOLDER` says where they are"
        )
    if masked and not fills:
        raise UserError(f"{name} fills no holes: leave out --mask, or give a run of a family such as Inpainting")
    return module


def find_scale(network: nn.Module, wanted: int | None) -> int:
    """The scale to restore at: the ``wanted`` one, or the only one there is.

    Raises:
        UserError: the network does not know it, or there are several and none was chosen.
    """
    name = type(network).__name__
    if not isinstance(network, Upscaler):
        if wanted not in (None, 1):
            raise UserError(f"{name} keeps a picture's size: leave out --scale {wanted}")
        return 1
    known = network.scales
    if known is None:
        if wanted is None:
            raise UserError(f"{name} knows any scale: choose one with --scale")
        return wanted
    said = " and ".join(map(str, known))
    if wanted is None and len(known) > 1:
        raise UserError(f"{name} knows the scales {said}: choose one with --scale")
    if wanted is not None and wanted not in known:
        raise UserError(f"this {name} knows the scale {said}, not {wanted}: give another --scale, or its own run")
    return known[0] if wanted is None else wanted
