"""CycleGAN (Zhu et al. 2017): images of two kinds turned into each other, without pairs.

    L(G, F) = L_adv(G, D_x) + L_adv(F, D_y) + lambda (|F(G(y)) - y|_1 + |G(F(x)) - x|_1)
              + identity (|G(x) - x|_1 + |F(y) - y|_1),     lambda = 10, identity = lambda / 2

(eq. 3 and section 5.2; all distances are means over pixels). G makes x of y, F makes y of x. As in the published code G
and F learn first, and the discriminators then see the images of that same pass, by way of two histories: nothing is
generated twice. Deviation: D's loss is whole where the paper halves it, which Adam hardly notices.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from torch import Tensor, nn
from torch.nn.functional import l1_loss

from datamodules.functional.precision import full_precision
from lightning_modules.adversarial import Terms, TwoPlayerModule
from lightning_modules.batches import channels_last
from lightning_modules.evaluating import evaluating
from lightning_modules.history import History
from lightning_modules.losses.adversarial import AdversarialLoss, LeastSquares
from lightning_modules.networks.base import Discriminator, Network
from lightning_modules.restoring import PICTURES, Restoring


class BothWays(Network):
    """Two translators as the one network G.

    Args:
        to_x: y -> x.
        to_y: x -> y.
    """

    def __init__(self, to_x: Network, to_y: Network) -> None:
        super().__init__()
        self.to_x, self.to_y = to_x, to_y

    def forward(self, y: Tensor) -> Tensor:
        """The x of ``y`` [N, C, H, W]."""
        return self.to_x(y)


class BothJudges(Discriminator):
    """The discriminators of both kinds of images.

    Args:
        of_x: x -> logits.
        of_y: y -> logits.
    """

    def __init__(self, of_x: Discriminator, of_y: Discriminator) -> None:
        super().__init__()
        self.of_x, self.of_y = of_x, of_y
        self.blocks, self.num_classes = nn.Sequential(), None

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The verdict on ``x`` [N, C, H, W]."""
        return self.of_x(x)


class CycleGAN(Restoring, TwoPlayerModule):
    """Two translators against two discriminators.

    Args:
        generator: G: y -> x.
        back_generator: F: x -> y.
        discriminator: D_x, of images x alone.
        back_discriminator: D_y, of images y alone.
        loss: the objective of both players; least squares, not halved, unless given. Not a relativistic one.
        cycle_weight: lambda.
        identity_weight: of what G makes of x, and F of y; 0 where the kinds have different channels.
        history: images of each kind that are kept to be shown again.
        **players: the arguments of ``TwoPlayerModule`` but for ``n_critic`` and ``n_gen``.

    Raises:
        ValueError: weights below 0, or a loss or settings that are not for this family.
    """

    value_range = (-1.0, 1.0)
    G: BothWays

    def __init__(
        self,
        generator: Network,
        back_generator: Network,
        discriminator: Discriminator,
        back_discriminator: Discriminator,
        loss: AdversarialLoss | None = None,
        cycle_weight: float = 10.0,
        identity_weight: float = 5.0,
        history: int = 50,
        **players: Any,
    ) -> None:
        super().__init__(BothWays(generator, back_generator), BothJudges(discriminator, back_discriminator), **players)
        self.loss = loss or LeastSquares(1.0)
        if self.loss.relativistic or self.n_critic != 1 or self.n_gen != 1:
            raise ValueError("CycleGAN's players learn in turn, once a step: no relativistic loss, n_critic or n_gen")
        if cycle_weight < 0 or identity_weight < 0:
            raise ValueError(
                f"cycle_weight and identity_weight are 0 or more, got {cycle_weight:g} and {identity_weight:g}"
            )
        self.cycle_weight, self.identity_weight = cycle_weight, identity_weight
        self.histories = (History(history), History(history))
        self._made: list[tuple[Tensor, Tensor]] = []  # of G's and F's micro-batches in this step

    @property
    def networks(self) -> list[nn.Module]:
        """G and F, D_x and D_y."""
        return [self.G.to_x, self.G.to_y, self.judges.of_x, self.judges.of_y]

    @property
    def judges(self) -> BothJudges:
        """D."""
        return cast(BothJudges, self.D)

    # --- training -------------------------------------------------------------------------------------------

    def training_step(self, batch: Sequence[Tensor], batch_idx: int) -> None:
        """One step of G and F, then one of the discriminators on what those have made."""
        opt_d, opt_g = self.players()
        self.stop_clock(opt_g)
        batch = channels_last(batch) if self.uses_channels_last else batch
        self._made.clear()
        self.update(opt_g, self.g_loss, batch)
        self.count_images(len(batch[0]))
        self.g_step += 1
        self.update_ema()
        self.update(opt_d, self.d_loss, batch)
        self.finish_step()

    def g_loss(self, x: Tensor, y: Tensor) -> Terms:
        """G's and F's loss on images ``x`` and ``y`` [N, C, H, W] that do not belong together."""
        to_x, to_y = self.G.to_x, self.G.to_y
        made_x, made_y = to_x(y), to_y(x)
        self._made.append((made_x.detach(), made_y.detach()))
        terms = {
            "g/adv": self.loss.g(None, self.judges.of_x(made_x).float()),
            "g/adv_y": self.loss.g(None, self.judges.of_y(made_y).float()),
            "g/cycle": self.cycle_weight * l1_loss(to_x(made_y).float(), x),
            "g/cycle_y": self.cycle_weight * l1_loss(to_y(made_x).float(), y),
        }
        if self.identity_weight:
            terms["g/identity"] = self.identity_weight * l1_loss(to_x(x).float(), x)
            terms["g/identity_y"] = self.identity_weight * l1_loss(to_y(y).float(), y)
        return terms

    def d_loss(self, x: Tensor, y: Tensor) -> Terms:
        """The discriminators' loss on ``x`` and ``y`` [N, C, H, W], and what was made in this step or earlier ones."""
        terms = {}
        made = self._made.pop(0)
        for name, D, real, fake, history in zip(
            ("d/adv", "d/adv_y"), (self.judges.of_x, self.judges.of_y), (x, y), made, self.histories, strict=True
        ):
            shown = history.exchange(fake)
            terms[name] = self.loss.d(D(real).float(), D(shown).float())
        return terms

    # --- checkpoints ----------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """As in the base; and the histories of every rank."""
        super().on_save_checkpoint(checkpoint)
        held = [history.images for history in self.histories if history.images is not None]
        many = self.trainer.world_size > 1
        checkpoint["histories"] = [cast(Tensor, self.all_gather(one)) if many else one[None] for one in held]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """As in the base; each rank takes its own histories back, those of another where there were fewer ranks."""
        super().on_load_checkpoint(checkpoint)
        for history, images in zip(self.histories, checkpoint.get("histories", []), strict=False):
            history.images = images[self.global_rank % len(images)].clone()

    # --- evaluation -----------------------------------------------------------------------------------------

    @property
    def directions(self) -> Mapping[str, nn.Module]:
        """y to x, and x to y."""
        both = cast(BothWays, self.evaluated)
        return {"x": both.to_x, "y": both.to_y}

    def answers(self, batch: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """What the evaluated networks make of a batch: an x of y, and a y of x."""
        with evaluating(self.evaluated) as net:
            both = cast(BothWays, net)
            return both.to_x(batch[1]), both.to_y(batch[0])

    def validation_step(self, batch: Sequence[Tensor], batch_idx: int, dataloader_idx: int = 0) -> Any:
        """Both answers in full precision; of the first set the first ones are kept for the pictures, with what becomes
        of them again."""
        self.seed_answer(batch_idx, dataloader_idx)
        x, y = batch[:2]
        with full_precision(self.device):
            made_x, made_y = self.answers(batch)
        if dataloader_idx == 0 and batch_idx < PICTURES:
            again_x, again_y = self.answers((made_x, made_y))
            row = (y, made_x, again_y, x, made_y, again_x)
            self._shown = (*(self._shown if batch_idx else ()), tuple(image[:1].float() for image in row))
        return made_x, made_y
