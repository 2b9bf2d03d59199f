"""What does not fit together is said before the first step, in one sentence."""

import lightning as L
import pytest
import torch
from toys import mlps

from datamodules.digits import Digits
from lightning_modules.classifier import Classifier
from lightning_modules.gan import GAN
from lightning_modules.latent_cycle import LatentCycle
from lightning_modules.losses.adversarial import AdversarialLoss, Hinge, NonSaturating, Wasserstein
from lightning_modules.networks.base import Discriminator
from lightning_modules.networks.cnn import CNN
from lightning_modules.networks.conditional import ConcatDiscriminator
from lightning_modules.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from lightning_modules.networks.latent_cycle import MLPEncoder, MLPJointDiscriminator
from lightning_modules.networks.mlp import MLPGenerator
from lightning_modules.networks.packed import Packed


def refuse(module: L.LightningModule, said: str, size: int = 8, **settings: object) -> None:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False, "accelerator": "cpu"}
    trainer = L.Trainer(max_steps=1, num_sanity_val_steps=0, **quiet, **settings)  # type: ignore[arg-type]
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
        (8, DCGANDiscriminator(8, 3, 2), r"DCGANDiscriminator cannot judge samples of shape \(1, 8, 8\).*size and channels"),
        (8, DCGANDiscriminator(16, 1, 2), r"DCGANDiscriminator cannot judge samples of shape \(1, 8, 8\)"),
        (16, narrow(), r"logits of shape \(25,\) for 1 of the data's samples"),
        (8, ConcatDiscriminator(narrow()), r"ConcatDiscriminator cannot judge.* 11 channels"),
        (8, Packed(narrow(), 3), r"Packed cannot judge.* 3 channels"),
    ],
    ids=["channels", "larger", "smaller", "no room for the label", "no room for the pack"],
)
def test_a_discriminator_of_other_samples_is_refused(size: int, D: Discriminator, said: str) -> None:
    refuse(GAN(DCGANGenerator(size, 1, 4, 2), D), rf"model\.init_args\.discriminator: .*{said}", size)


@pytest.mark.parametrize("D", [narrow(), ConcatDiscriminator(Packed(narrow(22), 2)), Packed(narrow(3), 3)], ids=lambda D: type(D).__name__)
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
