"""What does not fit together is said before the first step, in one sentence."""

from collections.abc import Callable
from typing import Any

import lightning as L
import pytest
import torch
from style_toys import Many, Seen
from torch import Tensor, nn
from toys import Elsewhere, mlps

from datamodules.digits import Digits
from lightning_modules.adversarial import Terms
from lightning_modules.callbacks.clock import Clock
from lightning_modules.classifier import Classifier
from lightning_modules.gan import GAN
from lightning_modules.latent_cycle import LatentCycle
from lightning_modules.losses import terms
from lightning_modules.losses.adversarial import AdversarialLoss, Hinge, NonSaturating, Wasserstein
from lightning_modules.losses.penalties import R1
from lightning_modules.losses.style import Content, MomentStyle
from lightning_modules.losses.terms import ContractError
from lightning_modules.networks.base import Discriminator
from lightning_modules.networks.cnn import CNN
from lightning_modules.networks.conditional import ConcatDiscriminator
from lightning_modules.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from lightning_modules.networks.latent_cycle import MLPEncoder, MLPJointDiscriminator
from lightning_modules.networks.mlp import MLPGenerator
from lightning_modules.networks.packed import Packed
from lightning_modules.networks.style import StyleDecoder
from lightning_modules.style_transfer import AdaptiveStyle


def quiet(accelerator: str = "cpu", **settings: Any) -> L.Trainer:
    still = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False, "num_sanity_val_steps": 0}
    return L.Trainer(accelerator=accelerator, **still, **settings)


def refuse(module: L.LightningModule, said: str, size: int = 8, **settings: object) -> None:
    trainer = quiet(max_steps=2, **settings)
    with pytest.raises(ValueError, match=said):
        trainer.fit(module, datamodule=Digits(size=size, batch_size=4))


def test_another_shape_is_refused() -> None:
    module = GAN(DCGANGenerator(16, 1, 4, 2), DCGANDiscriminator(16, 1, 2))
    refuse(module, r"samples of shape \(1, 16, 16\), the data module gives \(1, 8, 8\)")


def test_another_number_of_classes_is_refused() -> None:
    refuse(Classifier(CNN(num_classes=7, width=2)), "knows 7 classes, the data module 10")
    generator = DCGANGenerator(8, 1, 4, 2)
    generator.num_classes = 3
    refuse(GAN(generator, DCGANDiscriminator(8, 1, 2)), "knows 3 classes, the data module 10")


def test_weights_of_half_precision_are_refused() -> None:
    said = "trainer.precision bf16-true would train weights of half precision.*: set bf16-mixed"
    refuse(Classifier(CNN(width=2)), said, precision="bf16-true")


def test_accumulation_by_the_trainer_is_refused() -> None:
    refuse(Classifier(CNN(width=2)), "accumulate_grad_batches", accumulate_grad_batches=2)


@pytest.mark.parametrize("loss", [NonSaturating(), Hinge(), Wasserstein()], ids=lambda loss: type(loss).__name__)
def test_losses_are_taken_in_full_precision_under_autocast(loss: AdversarialLoss) -> None:
    G, D = mlps()
    module, x, y = GAN(G, D, loss), torch.randn(4, *G.out_shape), torch.zeros(4, dtype=torch.long)
    with torch.autocast("cpu", torch.bfloat16):
        judged = module.judge(x, x, y, [])
        terms = module.g_loss(x, y)
    assert judged.real.logits.dtype == judged.fake.logits.dtype == terms["g/adv"].dtype == torch.float32


def narrow(channels: int = 1) -> DCGANDiscriminator:
    return DCGANDiscriminator(8, channels, 2)


@pytest.mark.parametrize(
    ("size", "D", "said"),
    [
        (
            8,
            DCGANDiscriminator(8, 3, 2),
            r"DCGANDiscriminator cannot judge samples of shape \(1, 8, 8\).*size and channels",
        ),
        (8, DCGANDiscriminator(16, 1, 2), r"DCGANDiscriminator cannot judge samples of shape \(1, 8, 8\)"),
        (16, narrow(), r"logits of shape \(25,\) for 1 of the data's samples"),
        (8, ConcatDiscriminator(narrow()), r"ConcatDiscriminator cannot judge.* 11 channels"),
        (8, Packed(narrow(), 3), r"Packed cannot judge.* 3 channels"),
    ],
    ids=["channels", "larger", "smaller", "no room for the label", "no room for the pack"],
)
def test_a_discriminator_of_other_samples_is_refused(size: int, D: Discriminator, said: str) -> None:
    refuse(GAN(DCGANGenerator(size, 1, 4, 2), D), rf"model\.init_args\.discriminator: .*{said}", size)


@pytest.mark.parametrize(
    "D", [narrow(), ConcatDiscriminator(Packed(narrow(22), 2)), Packed(narrow(3), 3)], ids=lambda D: type(D).__name__
)
def test_to_ask_d_before_training_moves_nothing(D: Discriminator) -> None:
    module = GAN(DCGANGenerator(8, 1, 4, 2), D)
    module.D.blocks[0].eval()  # a mode of its own
    modes, state = [net.training for net in module.modules()], {k: v.clone() for k, v in module.state_dict().items()}
    stream = torch.get_rng_state()
    module.check_data(Digits(size=8))
    assert torch.equal(stream, torch.get_rng_state())
    assert modes == [net.training for net in module.modules()]
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())


def test_a_joint_discriminator_is_asked_for_pairs() -> None:
    shape = (1, 8, 8)
    G, E = MLPGenerator(shape, 4, width=8, tanh=True), MLPEncoder(shape, 4, width=8)
    LatentCycle(G, MLPJointDiscriminator(shape, 4, width=8), E, encoder_plays=True).check_data(Digits(size=8))
    wrong = LatentCycle(G, MLPJointDiscriminator(shape, 5, width=8), E, encoder_plays=True)
    with pytest.raises(ValueError, match=r"discriminator: .*JointDiscriminator cannot judge samples"):
        wrong.check_data(Digits(size=8))


class Sums(AdversarialLoss):
    """Forgets its mean in both."""

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake - real

    def g(self, real: Tensor | None, fake: Tensor) -> Tensor:
        return -fake


class SumsOfG(Sums):
    """Forgets its mean in G's."""

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        return (fake - real).mean()


class NoDict(GAN):
    """Gives D's loss itself."""

    def d_loss(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        return self.D(x, y).mean()


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        (GAN, {"loss": Sums()}, r"GAN\.d_loss: the term d/adv of Sums is of shape \[4\]: a dict of scalars"),
        (GAN, {"loss": SumsOfG(), "n_critic": 2}, r"GAN\.g_loss: the term g/adv of SumsOfG is of shape \[4\]"),
        (NoDict, {}, r"NoDict\.d_loss gives a Tensor: a dict of scalars belongs there, name -> tensor \[\]"),
    ],
    ids=["d", "g, in the second step", "no dict"],
)
def test_terms_that_are_no_scalars_are_refused(kind: type[GAN], settings: dict[str, Any], said: str) -> None:
    refuse(kind(*mlps(), **settings), said)


class LateSums(GAN):
    """A term that is not in every step forgets its mean."""

    def d_loss(self, x: Tensor, y: Tensor) -> Terms:
        return super().d_loss(x, y) | ({"d/late": x.square()} if self.global_step == 3 else {})


class ManyErrors(Classifier):
    """Gives each image's loss."""

    def terms(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        return {name: term.repeat(len(x)) for name, term in super().terms(x, y).items()}


def test_terms_that_come_late_and_those_of_one_player_are_refused_too() -> None:
    with pytest.raises(
        ContractError, match=r"LateSums\.d_loss: the term d/late of LateSums is of shape \[4, 1, 8, 8\]"
    ):
        quiet(max_steps=5).fit(LateSums(*mlps()), datamodule=Digits(size=8, batch_size=4))
    refuse(ManyErrors(CNN(width=2)), r"ManyErrors\.terms: the term \w+ of ManyErrors is of shape \[4\]")


def test_terms_are_looked_at_where_their_names_are_new(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []

    def check(terms: dict[str, Tensor], by: str, maker: object) -> dict[str, Tensor]:
        looks.append(by)
        return terms

    monkeypatch.setattr(terms, "check_terms", check)
    quiet(max_steps=6).fit(GAN(*mlps(), n_critic=2, penalties=[R1(every=3)]), datamodule=Digits(size=8, batch_size=4))
    assert looks == ["GAN.d_loss", "GAN.g_loss"]


class AskedError(Exception):
    """Somebody has been asked."""


def whom(place: list[torch.device]) -> Callable[..., None]:
    """A hook that notes where a network's weights and what it is asked about lie, and stops."""

    def hook(net: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        place.extend([next(net.parameters()).device, inputs[0].device])
        raise AskedError

    return hook


def test_checks_before_training_ask_networks_where_their_weights_are() -> None:
    places: list[torch.device] = []
    gan, style = (
        GAN(*mlps()),
        AdaptiveStyle(StyleDecoder([3, 4, 3], []), Seen(), terms=[Content(["x"]), MomentStyle(["x"])]),
    )
    gan.D.register_forward_pre_hook(whom(places))
    style.decoder.register_forward_pre_hook(whom(places))
    for module, data in ((gan, Digits(size=8, batch_size=4)), (style, Many())):
        with pytest.raises(AskedError):
            quiet("auto", max_steps=1, strategy=Elsewhere()).fit(module, datamodule=data)
    assert {place.type for place in places} == {"meta"}
    assert len(places) == 4


def test_epochs_of_data_without_end_are_refused() -> None:
    with pytest.raises(ValueError, match="training data here has no end: give the Trainer max_steps"):
        quiet(max_epochs=2).fit(GAN(*mlps()), datamodule=Digits(size=8, batch_size=4))


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"max_epochs": 2, "limit_train_batches": 3}, 6),
        ({"max_steps": 4}, 4),
        ({"max_epochs": 2, "callbacks": [Clock(g_steps=5)]}, 5),
    ],
    ids=["limit", "steps", "clock"],
)
def test_what_ends_is_no_data_quiet(settings: dict[str, Any], steps: int) -> None:
    run = quiet(**settings)
    run.fit(GAN(*mlps()), datamodule=Digits(size=8, batch_size=4))
    assert run.global_step == steps
