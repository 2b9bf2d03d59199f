"""What does not fit together is said before the first step, in one sentence."""

import lightning as L
import pytest
import torch
from toys import mlps

from datamodules.digits import Digits
from lightning_modules.classifier import Classifier
from lightning_modules.gan import GAN
from lightning_modules.losses.adversarial import AdversarialLoss, Hinge, NonSaturating, Wasserstein
from lightning_modules.networks.cnn import CNN
from lightning_modules.networks.dcgan import DCGANDiscriminator, DCGANGenerator


def refuse(module: L.LightningModule, said: str, **settings: object) -> None:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False, "accelerator": "cpu"}
    trainer = L.Trainer(max_steps=1, num_sanity_val_steps=0, **quiet, **settings)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=said):
        trainer.fit(module, datamodule=Digits(size=8, batch_size=4))


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
