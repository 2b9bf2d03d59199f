"""The network that ``atelier explain`` looks into, with the images that it is asked about."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from datamodules.functional.quantise import ValueRange, from_uint8
from experiments.errors import UserError
from experiments.house import HOUSE
from experiments.lightning_cli import switch_off
from experiments.look import Subject
from experiments.request import Request, number
from experiments.sheets import Asked, evenly
from experiments.weights import load_weights
from lightning_modules.adversarial import TwoPlayerModule
from lightning_modules.base import AtelierModule
from lightning_modules.callbacks.generative_metrics import DataWithReference
from lightning_modules.classifier import Classifier
from lightning_modules.contract import StatesItsData
from lightning_modules.generative import GenerativeModule
from lightning_modules.networks.base import Classifier as ClassifierNetwork
from lightning_modules.networks.base import Discriminator, JointDiscriminator
from lightning_modules.networks.packed import Packed
from lightning_modules.tools.layers import find_layer, layer_names
from lightning_modules.tools.spaces import ZSpace, require_class


@dataclass(frozen=True)
class Seen(Asked):
    """A trained network that is looked into.

    Args:
        request: the command line.
        module: the family, with its weights, frozen.
        data: of the run.
        step: of the checkpoint.
    """

    module: AtelierModule
    data: object
    step: int

    @property
    def value_range(self) -> ValueRange:
        """Of the images that the networks know."""
        assert self.module.value_range is not None
        return self.module.value_range

    @property
    def label(self) -> int | None:
        """The class that images are made or judged under."""
        return number(self.request, "--label", 0)

    @property
    def judge(self) -> ClassifierNetwork | Discriminator:
        """What gives verdicts of images.

        Raises:
            UserError: the family has nothing of the kind, or --label does not suit it.
        """
        net: nn.Module | None = None
        if isinstance(self.module, Classifier):
            net = self.module.evaluated
        elif isinstance(self.module, TwoPlayerModule) and isinstance(self.module, GenerativeModule):
            net = self.module.D
        if not isinstance(net, ClassifierNetwork | Discriminator):
            raise UserError(f"{type(self.module).__name__} has neither a classifier nor a discriminator to look into")
        if isinstance(net, Packed | JointDiscriminator):
            raise UserError(f"{type(net).__name__} judges packs or pairs, not single images, which could be explained")
        require_class(type(net).__name__, None if isinstance(net, ClassifierNetwork) else net.num_classes, self.label)
        return net

    @property
    def space(self) -> ZSpace:
        """Of the generator.

        Raises:
            UserError: there is none.
        """
        if not isinstance(self.module, GenerativeModule):
            raise UserError(f"{type(self.module).__name__} has no generator: this is of the units of one")
        return ZSpace(self.module, self.label)

    @property
    def layer(self) -> str:
        """That of --layer, or none."""
        return self.request.own.get("--layer", "")

    def images(self) -> Tensor:
        """Those of --image; or --count test images of the run's data, in equal distances: uint8 [N, C, H, W].

        Raises:
            UserError: images of another kind than those of the data.
        """
        if not isinstance(self.data, StatesItsData):
            raise UserError(f"{type(self.data).__name__} has no images")
        shape = tuple(self.data.out_shape)
        if "--image" in self.request.own:
            found = self.pictures(shape[0])
            if tuple(found.shape[1:]) != shape:
                raise UserError(f"an image of {list(found.shape[1:])} is none of the run's, which are {list(shape)}")
            return found
        if not isinstance(self.data, DataWithReference):
            raise UserError(f"{type(self.data).__name__} has no test images: name some with --image")
        self.data.prepare_data()  # type: ignore[attr-defined]
        return evenly(self.data.reference("test"), self.whole("--count", 8))

    def scaled(self, images: Tensor) -> Tensor:
        """uint8 ``images`` in the module's value range."""
        return from_uint8(images, self.value_range).to(self.module.device)


def open_network(subject: Subject, request: Request) -> Seen:
    """The family of ``subject`` with its weights, frozen, and its data, not read yet."""
    cli = subject.cli
    switch_off(cli, *HOUSE)
    cli.config.trainer.logger = False
    cli.build()
    step = load_weights(cli.model, subject.checkpoint)
    if not isinstance(cli.model, AtelierModule):
        raise UserError(f"{type(cli.model).__name__} is no family of this repository")
    module = cli.model.to("cuda" if torch.cuda.is_available() else "cpu").eval().requires_grad_(False)
    return Seen(request, module, cli.datamodule, step)


def named(net: nn.Module, layer: str) -> str:
    """``layer``, which is one of ``net``.

    Raises:
        UserError: none is named.
        ValueError: there is no such layer.
    """
    if not layer:
        raise UserError(f"name a layer with --layer: {type(net).__name__} has {', '.join(layer_names(net))}")
    find_layer(net, layer)
    return layer


def numbers_of(text: str, count: int) -> list[int]:
    """Units as ``0,3,5``; the first ``count`` unless given.

    Raises:
        UserError: it is none such.
    """
    if not text:
        return list(range(count))
    if not all(part.isdecimal() for part in text.split(",")):
        raise UserError(f"--units expects numbers such as 0,3,5, got {text!r}")
    return [int(part) for part in text.split(",")]


def rounded(values: Tensor) -> list[float]:
    """``values`` [n] for a record."""
    return [round(float(value), 4) for value in values]
