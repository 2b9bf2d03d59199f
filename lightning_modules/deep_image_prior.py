"""Deep image prior (Ulyanov et al. 2018): a network that has seen one image only, and that one damaged.

    weights* = argmin l(A(f(z)), y)          restored x = f(z), z fixed

y is the damaged image, A what the damage leaves of an image, f a convolutional network from fixed noise z, and the
prior is that f learns what looks natural before it learns noise: stopping is all the regularisation there is. As in the
authors' code the noise is shaken a little at each step, the image that counts is the running average of the outputs,
and when the PSNR to y has fallen by over 5 dB since the last look the weights return to what they were then.
The clean image, where there is one, is only compared with: no gradient comes from it.

Deviations: with the weights the average returns too, which holds outputs of the collapse by then, and the step is taken
from there, where theirs is empty. A look is at each hundredth step; theirs, by its condition, at all the others. A
batch of several is of several shakes.
"""

import math
from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.optim import Adam

from datamodules.functional.keys import key
from datamodules.functional.quantise import to_uint8
from lightning_modules.base import OptimizerCallable
from lightning_modules.contract import StatesItsData
from lightning_modules.curves import curves
from lightning_modules.fixed_inputs import FixedInput, UniformNoise
from lightning_modules.losses.observations import Observation, Whole
from lightning_modules.losses.reconstruction import MSE, ReconstructionLoss
from lightning_modules.networks.base import Network
from lightning_modules.one_player import OnePlayerModule
from lightning_modules.restoring import Restoring

INPUT_STREAM = int.from_bytes(b"input")  # keys the fixed noise apart from all other
CURVE_EVERY = 10  # steps between two points of the curves


@runtime_checkable
class OneImage(Protocol):
    """What the data module of one image says of it.

    Attributes:
        shapes: of x, y and each further part of its batches, without N.
        truth: whether x is the clean image; else nothing may be compared with it.
    """

    @property
    def shapes(self) -> Sequence[tuple[int, ...]]: ...

    truth: bool


class DeepImagePrior(Restoring, OnePlayerModule):
    """A network, its fixed input, and the average of its outputs, which is the restored image.

    Args:
        network: z -> x.
        size: (H, W) of x in px.
        observation: A, from x to what y shows of it.
        losses: terms of the objective between A(f(z)) and y, each of another name; the squared error unless given.
        fixed_input: z.
        jitter: standard deviation of the noise that is added to z at each step; 0 for none.
        parameter_noise: noise that is added to the convolutions' weights before each step, and stays: its standard
            deviation as a share of each tensor's own. The authors' has 1/50, for large holes.
        averaging: weight of the old average of outputs at each step; 0 leaves the last output.
        roll_back: fall of the PSNR to y, in dB, at which the weights return; None never.
        check_every: steps between two looks at it.
        optimizer: of the weights.
        **shared: the arguments of ``OnePlayerModule``, but for ``ema``: outputs are averaged, not weights.

    Raises:
        ValueError: settings out of range, or a network that does not map z to an image of this size.
    """

    answer_is_trained = True
    z: Tensor  # [1, C', H, W]
    averaged: Tensor  # [1, C, H, W]

    def __init__(
        self,
        network: Network,
        size: tuple[int, int],
        observation: Observation | None = None,
        losses: Sequence[ReconstructionLoss] | None = None,
        fixed_input: FixedInput | None = None,
        jitter: float = 1 / 30,
        parameter_noise: float = 0.0,
        averaging: float = 0.99,
        roll_back: float | None = 5.0,
        check_every: int = 100,
        optimizer: OptimizerCallable = lambda p: Adam(p, lr=1e-2),
        **shared: Any,
    ) -> None:
        super().__init__(optimizer=optimizer, **shared)
        check_settings(jitter, parameter_noise, averaging, roll_back, check_every)
        if self.ema_settings is not None:
            raise ValueError("ema: deep image prior averages its outputs, not its weights: set averaging, omit ema")
        self.network, self.observation = network, observation or Whole()
        self.compare_by([MSE()] if losses is None else losses)
        self.jitter, self.parameter_noise, self.averaging = jitter, parameter_noise, averaging
        self.roll_back, self.check_every = roll_back, check_every
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(key(self.seed, INPUT_STREAM))
            self.register_buffer("z", (fixed_input or UniformNoise()).draw(*size))
        self.register_buffer("averaged", torch.zeros(output_shape(network, self.z)))
        self.good: dict[str, Tensor] = {}  # weights and average when the PSNR to y was last well
        self.good_psnr = -math.inf
        self.rolled_back: list[int] = []  # the steps at which that happened
        self.curve: list[list[float]] = []  # g_step, and the PSNRs of ``watch``
        self.has_truth = True
        self._seen: tuple[Tensor, Tensor] | None = None  # the last batch's x and y

    @property
    def net(self) -> nn.Module:
        """The network."""
        return self.network

    @property
    def weights_name(self) -> str:
        """Outputs are averaged, not weights."""
        return "averaged outputs" if self.averaging else "raw"

    def check_data(self, data: StatesItsData) -> None:
        """The base's; then the observation of an image of this size must be of the shape of y."""
        super().check_data(data)
        if not isinstance(data, OneImage):
            raise ValueError(f"{type(data).__name__} is not of one image: take datamodules.single_image.SingleImage")
        self.has_truth = data.truth
        x, y, *parts = ((1, *shape) for shape in data.shapes)
        if tuple(x) != tuple(self.averaged.shape):
            raise ValueError(
                f"the network makes an image {list(self.averaged.shape[1:])}, the data's is {list(x[1:])}: set"
                f" model.init_args.size to [{x[2]}, {x[3]}], and the network's out_channels to {x[1]}"
            )
        name = type(self.observation).__name__
        if len(parts) != self.observation.parts:
            raise ValueError(
                f"{name} takes {self.observation.parts} parts of a batch beside x and y, the data gives {len(parts)}:"
                " set model.init_args.observation to that of the damage"
            )
        masks = (torch.zeros(shape, dtype=torch.bool, device="meta") for shape in parts)
        seen = self.observation(torch.zeros(x, device="meta"), *masks)
        if tuple(seen.shape) != tuple(y):
            raise ValueError(
                f"{name} shows {list(seen.shape[1:])} of the image, the damaged one is {list(y[1:])}: set"
                " model.init_args.observation to that of the damage"
            )

    # --- training -------------------------------------------------------------------------------------------

    def terms(self, x: Tensor, y: Tensor, *parts: Tensor) -> dict[str, Tensor]:
        """Each loss between what is seen of the network's image and ``y``; ``x`` is compared with, no more."""
        if self.parameter_noise:
            self.disturb()
        image = self.attempt(len(y))
        seen = self.observation(image, *parts)
        due = self.roll_back is not None and self.g_step % self.check_every == 0
        collapsed = due and self.collapsed(float(psnr(seen.detach(), y)))
        if collapsed:
            self.return_to_good()
            image = self.attempt(len(y))
            seen = self.observation(image, *parts)
        self.take_in(image.detach())
        if due and not collapsed:
            self.good = {name: value.clone() for name, value in self.remembered().items()}
        self.look(x, y, image.detach(), seen.detach())
        return self.compare(seen, y)

    def attempt(self, n: int) -> Tensor:
        """The network's images of ``n`` shaken inputs."""
        z = self.z.expand(n, -1, -1, -1)
        return self.network(z + self.jitter * torch.randn_like(z) if self.jitter else z)

    @torch.no_grad()
    def disturb(self) -> None:
        """Add noise to the weights of the convolutions."""
        for weight in self.network.parameters():
            if weight.ndim == 4:
                weight.add_(torch.randn_like(weight) * weight.std() * self.parameter_noise)

    def collapsed(self, found: float) -> bool:
        """Whether the PSNR to y, ``found`` in dB, has fallen too far since the last look; remembers it if not."""
        assert self.roll_back is not None
        if found < self.good_psnr - self.roll_back:
            return True
        self.good_psnr = found
        return False

    @torch.no_grad()
    def return_to_good(self) -> None:
        """Weights and average as they were when all was well."""
        for name, value in self.remembered().items():
            value.copy_(self.good[name])
        self.rolled_back.append(self.g_step)

    def remembered(self) -> dict[str, Tensor]:
        """What a roll-back restores: the weights and the average."""
        return {**{name: weight.data for name, weight in self.network.named_parameters()}, "averaged": self.averaged}

    @torch.no_grad()
    def take_in(self, image: Tensor) -> None:
        """Take outputs [N, C, H, W] into the average; the first are the average."""
        new = image.float().mean(0, keepdim=True)
        self.averaged.lerp_(new, 1 - self.averaging) if self.g_step else self.averaged.copy_(new)

    @torch.no_grad()
    def look(self, x: Tensor, y: Tensor, image: Tensor, seen: Tensor) -> None:
        """Note the PSNRs of this step, before its update: to y, and to x where that is the clean image."""
        self._seen = (x[:1], y[:1])
        found = {"psnr/damaged": psnr(seen, y)}
        if self.has_truth:
            found |= {"psnr/output": psnr(image, x), "psnr/averaged": psnr(self.averaged, x[:1])}
        self.note(found)
        if self.g_step % CURVE_EVERY == 0:
            self.curve.append([self.g_step, *(float(value) for value in found.values())])

    # --- evaluation -----------------------------------------------------------------------------------------

    @property
    def restored(self) -> Tensor:
        """The average of the outputs, the output itself where there is none yet: [1, C, H, W]."""
        return self.averaged if self.g_step else self(self.z)

    def restore(self, batch: Sequence[Tensor]) -> Tensor:
        """The restored image, as often as the batch has it: [N, C, H, W]."""
        return self.restored.expand(len(batch[0]), -1, -1, -1)

    def examples(self, n: int) -> dict[str, Tensor | int]:
        """The network takes its fixed input alone."""
        return {"z": self.z.expand(n, -1, -1, -1)}

    def panels(self) -> dict[str, Tensor]:
        """``restored``: damaged image, output, average and, where known, the clean one; ``psnr``: over the steps."""
        images = [self(self.z), self.restored]
        if self._seen is not None:
            x, y = self._seen
            images = [interpolate(y, size=x.shape[2:]), *images, *([x] if self.has_truth else [])]
        shown = {"restored": to_uint8(torch.stack(images, dim=1), (0.0, 1.0))}
        if len(self.curve) > 1:
            steps, *found = zip(*self.curve, strict=True)
            names = ("output to damaged", "output to clean", "average to clean")
            lines = dict(zip(names, found, strict=False))
            shown["psnr"] = curves("PSNR (dB) over steps", steps, lines, self.rolled_back)[None]
        return shown

    # --- checkpoints ----------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """As in the base; and what a roll-back would restore, and the curves."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["prior"] = {
            "good": dict(self.good),
            "good_psnr": self.good_psnr,
            "rolled_back": list(self.rolled_back),
            "curve": [list(row) for row in self.curve],
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take them back."""
        super().on_load_checkpoint(checkpoint)
        prior = deepcopy(checkpoint["prior"])
        self.good, self.good_psnr = prior["good"], prior["good_psnr"]
        self.rolled_back, self.curve = prior["rolled_back"], prior["curve"]


def check_settings(
    jitter: float, parameter_noise: float, averaging: float, roll_back: float | None, check_every: int
) -> None:
    """Compare the settings with what they may be.

    Raises:
        ValueError: one is out of range.
    """
    for name, value in (("jitter", jitter), ("parameter_noise", parameter_noise)):
        if value < 0:
            raise ValueError(f"{name} must not be negative, got {value}")
    if not 0 <= averaging < 1:
        raise ValueError(f"averaging must lie in [0, 1), got {averaging}")
    if roll_back is not None and roll_back <= 0:
        raise ValueError(f"roll_back is a fall in dB, above 0, or null for never, got {roll_back}")
    if check_every < 1:
        raise ValueError(f"check_every must be 1 or more, got {check_every}")


def output_shape(network: nn.Module, z: Tensor) -> torch.Size:
    """The shape of the network's image of ``z``, found without computing it."""
    with torch.no_grad():
        return deepcopy(network).to("meta")(z.to("meta")).shape


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of floats in [0, 1], over all pixels and not quantised: a scalar, dB."""
    return -10 * torch.log10((a - b).square().mean())
