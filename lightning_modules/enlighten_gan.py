"""EnlightenGAN (Jiang et al. 2021): light learnt from dark images and bright ones that do not belong together.

G minimises, of what it makes of the dark images y,

    global adv + local adv + preserved(G(y), y) + preserved of patches of both,

the first judged whole by a relativistic average D, the second on random patches by a least-squares D of its own; what
is preserved are features, whose level and contrast are normalised away. No G(y) is ever compared with its scene's x.

Of data that are pairs, half of each batch gives its y and the other half its x, so that no D sees an x beside the fake
of the same scene. Over a run the same scenes do appear in both lights, and nothing says which belong together: pairs
torn apart are kinder than the paper's two collections of different scenes. Deviation: the patches are drawn for each
image; G's term of patches is at new places, not at those that D has seen.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Adam

from lightning_modules.adversarial import Terms, TwoPlayerModule
from lightning_modules.base import OptimizerCallable
from lightning_modules.contract import StatesItsData
from lightning_modules.losses.adversarial import AdversarialLoss, LeastSquares
from lightning_modules.losses.enlighten import RelativisticAverageLeastSquares
from lightning_modules.losses.reconstruction import ReconstructionLoss
from lightning_modules.networks.base import Discriminator, Network
from lightning_modules.restoring import Restoring


class GlobalAndLocal(Discriminator):
    """The discriminators of whole images and of patches.

    Args:
        of_images: x -> logits.
        of_patches: patches of x -> logits.
    """

    def __init__(self, of_images: Discriminator, of_patches: Discriminator) -> None:
        super().__init__()
        self.of_images, self.of_patches = of_images, of_patches
        self.blocks, self.num_classes = nn.Sequential(), None

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The verdict on ``x`` [N, C, H, W] as a whole."""
        return self.of_images(x)


class EnlightenGAN(Restoring, TwoPlayerModule):
    """G(y) against a D of images and a D of patches, which are one player.

    Args:
        generator: G: y -> x.
        discriminator: D of images x alone.
        local_discriminator: D of their patches.
        preserving: the distance of G(y) from y, of images and of patches, ``SelfFeaturePreserving`` above all; None
            leaves both terms out.
        loss: the objective of D and G on images; relativistic average least squares unless given.
        local_loss: on patches; least squares, not halved, unless given.
        patch: side of a patch in px.
        patches: of each image.
        paired: the data's x and y belong together, and are torn apart; False where they do not.
        **players: the arguments of ``TwoPlayerModule``; Adam with 1e-4, 0.5 and 0.999 unless given.

    Raises:
        ValueError: no patches; when fitted to data, images smaller than a patch, or pairs that cannot be torn apart.
    """

    def __init__(
        self,
        generator: Network,
        discriminator: Discriminator,
        local_discriminator: Discriminator,
        preserving: ReconstructionLoss | None,
        loss: AdversarialLoss | None = None,
        local_loss: AdversarialLoss | None = None,
        patch: int = 32,
        patches: int = 5,
        paired: bool = True,
        d_optimizer: OptimizerCallable = lambda p: Adam(p, lr=1e-4, betas=(0.5, 0.999)),
        g_optimizer: OptimizerCallable = lambda p: Adam(p, lr=1e-4, betas=(0.5, 0.999)),
        **players: Any,
    ) -> None:
        D = GlobalAndLocal(discriminator, local_discriminator)
        super().__init__(generator, D, d_optimizer=d_optimizer, g_optimizer=g_optimizer, **players)
        if patch < 1 or patches < 1:
            raise ValueError(f"patch and patches are 1 or more, got {patch} and {patches}")
        self.loss, self.local_loss = loss or RelativisticAverageLeastSquares(), local_loss or LeastSquares(1.0)
        self.preserving, self.patch, self.patches, self.paired = preserving, patch, patches, paired

    @property
    def networks(self) -> list[nn.Module]:
        """G and both D."""
        return [self.G, self.judges.of_images, self.judges.of_patches]

    @property
    def judges(self) -> GlobalAndLocal:
        """D."""
        return cast(GlobalAndLocal, self.D)

    def check_data(self, data: StatesItsData) -> None:
        """The base's; and patches must fit into images."""
        super().check_data(data)
        if min(data.out_shape[1:]) < self.patch:
            raise ValueError(
                f"the local D judges patches of {self.patch} px, the data module gives images of "
                f"{data.out_shape[1]}x{data.out_shape[2]}: set patch of the model, or data.init_args.patch"
            )

    # --- training -------------------------------------------------------------------------------------------

    def apart(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Bright and dark images [N, C, H, W] that do not belong together: halves of the batch where the data do."""
        if not self.paired:
            return x, y
        if len(x) < 2:
            raise ValueError(
                "a pair alone cannot be torn apart: set data.init_args.batch_size, and micro_batch, to a multiple of 2"
            )
        half = len(x) // 2
        return x[half:], y[:half]

    def d_loss(self, x: Tensor, y: Tensor) -> Terms:
        """Both D's loss on bright images and on what G makes of dark ones, [N, 3, H, W]."""
        x, y = self.apart(x, y)
        with torch.no_grad():
            fake = self.G(y)
        real_logits, fake_logits = self.judges.of_images(x).float(), self.judges.of_images(fake).float()
        self.watch("d/gap", real_logits.mean() - fake_logits.mean())
        real_patches, fake_patches = self.judge_patches(self.cut(x)), self.judge_patches(self.cut(fake))
        return {
            "d/adv": self.loss.d(real_logits, fake_logits),
            "d/adv_local": self.local_loss.d(real_patches, fake_patches),
        }

    def g_loss(self, x: Tensor, y: Tensor) -> Terms:
        """G's loss on what it makes of dark images, beside bright ones that D compares it with, [N, 3, H, W]."""
        x, y = self.apart(x, y)
        fake = self.G(y)
        fake_cut, y_cut = self.cut(torch.cat([fake.float(), y], dim=1)).chunk(2, dim=1)  # at the same places
        real, real_patches = self.reals(x)
        terms = {
            "g/adv": self.loss.g(real, self.judges.of_images(fake).float()),
            "g/adv_local": self.local_loss.g(real_patches, self.judge_patches(fake_cut)),
        }
        if self.preserving is not None:
            name = self.preserving.name
            terms[f"g/{name}"] = self.preserving(fake.float(), y)
            terms[f"g/{name}_local"] = self.preserving(fake_cut, y_cut)
        return terms

    @torch.no_grad()
    def reals(self, x: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Both D's logits of ``x`` [N, 3, H, W], each where its loss asks for them in G's step."""
        return (
            self.judges.of_images(x).float() if self.loss.relativistic else None,
            self.judge_patches(self.cut(x)) if self.local_loss.relativistic else None,
        )

    def judge_patches(self, cut: Tensor) -> Tensor:
        """The local D's logits, in full precision."""
        logits: Tensor = self.judges.of_patches(cut)
        return logits.float()

    def cut(self, images: Tensor) -> Tensor:
        """``patches`` squares of each of ``images`` [N, C, H, W], drawn anywhere: [N * patches, C, patch, patch]."""
        N, _, H, W = images.shape
        corner = [torch.randint(side - self.patch + 1, (N, self.patches, 1), device=images.device) for side in (H, W)]
        rows, columns = (place + torch.arange(self.patch, device=images.device) for place in corner)
        which = torch.arange(N, device=images.device)[:, None, None, None]
        found = images.movedim(1, -1)[which, rows[..., None], columns[:, :, None]]  # [N, patches, side, side, C]
        return found.flatten(0, 1).movedim(-1, 1)
