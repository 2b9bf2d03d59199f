"""Generative latent optimisation (Bojanowski et al. 2018): a generator learned without a discriminator.

Each training image has noise of its own, which is learned with the generator: min over G and z_i of the mean of
l(G(z_i), x_i), every z_i in the unit ball. Samples come from a Gaussian of full covariance fitted to all z_i. With
``code_lr: 0`` the noise stays as it was drawn, and G is the plain regression from noise to image, whose answer to new
noise is a mean of images: a blur.
The noise starts as N(0, I / z_dim) or, with ``pca_start``, as the images' principal components, both projected into the
ball. From noise G first learns the mean image, until each image has come some ten times.
Deviation: G has the optimizer that the experiment names; the noise follows plain gradient steps, as in the paper, where
both do.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from datamodules.functional.keys import key
from lightning_modules.contract import GivesReference, NumbersItsItems, StatesItsData
from lightning_modules.generative import GenerativeModule
from lightning_modules.losses.laplacian import LaplacianL1
from lightning_modules.losses.reconstruction import MSE, ReconstructionLoss
from lightning_modules.losses.terms import require_once
from lightning_modules.networks.base import Generator
from lightning_modules.one_player import OnePlayerModule

PCA_STREAM = 2  # keys the randomised PCA's noise apart from all other
PCA_IMAGES = 10_000  # from which the components are found
BLOCK = 1000  # images at a time


class GLO(GenerativeModule, OnePlayerModule):
    """A generator and the noise of each training image, under reconstruction losses.

    Args:
        generator: G(z, y) -> x.
        images: number of training images, each of which has a row in the table of noise.
        losses: terms of the objective, each of another name; Lap1 and the squared error unless given.
        code_lr: learning rate of the noise; 0 leaves it as it was drawn. It falls as the weights' does.
        pca_start: start from the images' principal components.
        **shared: the arguments of ``OnePlayerModule``.
    """

    codes: Tensor  # [images, z_dim]
    mean: Tensor  # [z_dim], of the Gaussian that samples come from
    factor: Tensor  # [z_dim, z_dim], symmetric root of its covariance

    def __init__(
        self,
        generator: Generator,
        images: int,
        losses: Sequence[ReconstructionLoss] | None = None,
        code_lr: float = 10.0,
        pca_start: bool = False,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        if images < 2:
            raise ValueError(f"images must be 2 or more, as a Gaussian is fitted to their noise, got {images}")
        if code_lr < 0:
            raise ValueError(f"code_lr must not be negative, got {code_lr}")
        self.G, self.code_lr, self.pca_start = generator, code_lr, pca_start
        self.losses = [LaplacianL1(), MSE()] if losses is None else list(losses)
        require_once("losses", self.losses)
        z_dim = generator.z_dim
        self.register_buffer("codes", into_ball(torch.randn(images, z_dim) / z_dim**0.5))
        self.register_buffer("mean", torch.zeros(z_dim))
        self.register_buffer("factor", torch.eye(z_dim) / z_dim**0.5)
        self._asked = (torch.empty(0, dtype=torch.long), torch.empty(0))  # this batch's rows, and their codes
        self.average(generator)

    @property
    def net(self) -> nn.Module:
        """G."""
        return self.G

    # --- training -------------------------------------------------------------------------------------------

    def check_data(self, data: StatesItsData) -> None:
        """The base's, and the number of images."""
        super().check_data(data)
        if isinstance(data, NumbersItsItems) and data.images_per_epoch != len(self.codes):
            raise ValueError(
                f"GLO keeps noise of {len(self.codes)} images, the data module trains on {data.images_per_epoch}: set "
                "model.init_args.images to that"
            )

    def setup(self, stage: str) -> None:
        """As in the base; asks the data module to number its images.

        Raises:
            ValueError: it cannot, or the precision scales gradients.
        """
        super().setup(stage)
        if stage != "fit":
            return
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, NumbersItsItems):
            raise ValueError(
                f"GLO asks which images a batch holds, which {type(data).__name__} cannot tell: give it `indexed`"
            )
        data.indexed = True
        if self.trainer.precision == "16-mixed":
            raise ValueError("GLO's noise follows unscaled gradients: set trainer.precision to bf16-mixed or 32-true")

    def on_fit_start(self) -> None:
        """As in the base; the noise of a run that begins here starts from the images where it shall."""
        super().on_fit_start()
        if not self.pca_start or self._resumed or self.init_from is not None:
            return
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, GivesReference):
            raise ValueError(
                f"pca_start asks {type(data).__name__} for all training images, and it has no reference: omit it"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(key(self.seed, PCA_STREAM))
            self.codes.copy_(into_ball(principal_codes(data.reference("train"), len(self.mean))))

    def terms(self, x: Tensor, y: Tensor, item: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        """Each loss between G's images of the codes of ``item`` [N] and the images ``x`` that have them."""
        codes = self.codes[item].requires_grad_(self.code_lr > 0)
        self._asked = (item, codes)
        prediction = self.G(codes, y)
        return {loss.name: loss(prediction, x) for loss in self.losses}

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """The base's, of the weights; then the batch's noise moves by the same gradient."""
        super().optimizer_step(*args, **kwargs)
        item, codes = self._asked
        if codes.grad is not None:
            self.move_codes(item, codes.grad)

    @torch.no_grad()
    def move_codes(self, item: Tensor, gradient: Tensor) -> None:
        """One step of the codes of ``item`` [N] down their ``gradient`` [N, z_dim], and back into the ball."""
        (group,), ((first,),) = self.trained_optimizers()[0].param_groups, self._first_rates
        item, gradient = of_all_ranks(item), of_all_ranks(gradient) / self.trainer.world_size
        self.codes.index_add_(0, item, gradient, alpha=-self.code_lr * group["lr"] / first.lr)
        self.codes[item] = into_ball(self.codes[item])

    # --- sampling -------------------------------------------------------------------------------------------

    @torch.no_grad()
    def fit_gaussian(self) -> None:
        """Mean and covariance of all codes.

        Raises:
            FloatingPointError: training has diverged.
        """
        self._guard.check()
        codes = self.codes.double()
        centred = codes - codes.mean(0)
        values, vectors = torch.linalg.eigh(centred.mT @ centred / (len(codes) - 1))
        self.mean.copy_(codes.mean(0))
        self.factor.copy_(vectors * values.clamp_min(0).sqrt() @ vectors.mT)

    def sample_z(self, n: int) -> Tensor:
        """``n`` draws of the fitted Gaussian: [n, z_dim]."""
        return self.mean + torch.randn(n, len(self.mean), device=self.device) @ self.factor

    def on_validation_start(self) -> None:
        """As in the base; samples are to be of these codes."""
        super().on_validation_start()
        self.fit_gaussian()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """As in the base; the Gaussian that is saved is that of the codes beside it."""
        self.fit_gaussian()
        super().on_save_checkpoint(checkpoint)

    def panels(self, n: int = 64) -> dict[str, Tensor]:
        """``samples``, and ``codes``: what G makes of the first n images' own noise, where it needs no labels."""
        if len(self.G.out_shape) != 3 or self.G.num_classes is not None:
            return super().panels()
        return {**super().panels(n), "codes": self.generate_image(self.codes[:n])}


def principal_codes(images: Any, z_dim: int) -> Tensor:
    """Principal components of ``images`` (``s[i:j]`` [n, ...]), their mean squared norm 1: [N, z_dim] on the CPU.

    Raises:
        ValueError: there are not so many.
    """
    known = images[:PCA_IMAGES].cpu().flatten(1).float()
    if z_dim > min(known.shape):
        raise ValueError(f"{z_dim} principal components are more than {known.shape[0]} images of {known.shape[1]} have")
    mean = known.mean(0)
    _, scale, axes = torch.pca_lowrank(known - mean, q=z_dim, center=False, niter=4)
    axes = axes * ((len(known) - 1) / scale.square().sum()) ** 0.5
    blocks = (images[start : start + BLOCK].cpu().flatten(1).float() for start in range(0, len(images), BLOCK))
    return torch.cat([(block - mean) @ axes for block in blocks])


def into_ball(codes: Tensor) -> Tensor:
    """``codes`` [N, z_dim], those outside the unit ball on its surface."""
    return codes / torch.linalg.vector_norm(codes, dim=1, keepdim=True).clamp_min(1)


def of_all_ranks(rows: Tensor) -> Tensor:
    """``rows`` [N, ...] of each rank, one after the other: [W N, ...]."""
    if not (dist.is_available() and dist.is_initialized()):
        return rows
    gathered = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, rows.contiguous())
    return torch.cat(gathered)
