"""Whatever a family does on its device it does with what lies there, and waits for no number of it within a step.

Networks are built on the CPU and trained on "meta", whose tensors have no numbers, by a real ``Trainer.fit``.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from inspect import getattr_static
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import test_adain
import test_deep_image_prior
import test_enlighten_gan
import test_inpainting
import test_latent_cycle_feedback
import test_logan
import test_low_light_families
import test_matting
import test_multiview
import test_no_waiting
import test_progan
import test_r3gan
import test_retinex
import test_singan
import test_srgan
import test_stereo
import test_style_transfer
import test_stylegan2
import test_texture
import test_vae
import test_vaegan
import torch
from style_toys import Endless, One
from test_apart import Apart
from test_cyclegan import small as cyclegan
from torch import Tensor
from torch.nn import Conv2d
from toys import Elsewhere, Finite, dcgans, mlps, trainer

import lightning_modules
from datamodules.digits import Digits
from datamodules.single_image import Again
from lightning_modules import base
from lightning_modules.adversarial import TwoPlayerModule
from lightning_modules.augment.ada import ADA, APA
from lightning_modules.base import AtelierModule
from lightning_modules.classifier import Classifier
from lightning_modules.ema import EMASettings
from lightning_modules.fixed_inputs import UniformNoise
from lightning_modules.gan import GAN
from lightning_modules.glo import GLO
from lightning_modules.inpainting import Inpainting
from lightning_modules.losses.bounds import ImportanceWeighted
from lightning_modules.losses.enlighten import SelfFeaturePreserving
from lightning_modules.losses.laplacian import LaplacianL1
from lightning_modules.losses.matching import Cycle, Photometric, Smoothness
from lightning_modules.losses.path_length import PathLength
from lightning_modules.losses.penalties import R1
from lightning_modules.losses.reconstruction import L1, MSE, SSIM, Charbonnier
from lightning_modules.losses.style import GramStyle
from lightning_modules.matting import AlphaGAN, DeepMatting
from lightning_modules.multi_view import MultiViewSuperResolution
from lightning_modules.networks.cnn import CNN
from lightning_modules.networks.dncnn import DnCNN
from lightning_modules.networks.gated_conv import GatedNetwork
from lightning_modules.networks.matting import AlphaGANMatting, DeepImageMatting
from lightning_modules.networks.partial_conv import PartialConvUNet
from lightning_modules.networks.patchgan import PatchGAN
from lightning_modules.networks.random_filters import RandomFilters
from lightning_modules.networks.resolutions import Widths
from lightning_modules.networks.skip import Skip
from lightning_modules.networks.stylegan import StyleGANGenerator
from lightning_modules.networks.stylegan_discriminator import StyleGAN2Discriminator
from lightning_modules.networks.unet import UNet
from lightning_modules.networks.zero_dce import ZeroDCE
from lightning_modules.pix2pix import Pix2Pix, Translation
from lightning_modules.progan import Growth
from lightning_modules.reconstruction import ReconstructionModule
from lightning_modules.restoration_gan import InpaintingRestorationGAN, RestorationGAN
from lightning_modules.restoring_gan import RestoringGAN
from lightning_modules.srgan import SRGAN
from lightning_modules.stylegan import StyleGAN
from lightning_modules.super_resolution import SuperResolution
from lightning_modules.unrolled import UnrolledGAN
from lightning_modules.zero_dce import ZeroReference

AVERAGE, LABELS = EMASettings(half_life_kimg=0.01), torch.zeros(2, dtype=torch.long)
Case = tuple[Any, L.LightningDataModule]


class Kept(L.Callback):
    """The batch of a step, where it was moved to, and which weights some backward pass gave no gradient."""

    batch: Any
    idle: frozenset[str] = frozenset()

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Any, batch_idx: int) -> None:
        self.batch = batch

    def on_after_backward(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.idle |= {name for name, one in module.named_parameters() if one.requires_grad and one.grad is None}


class OneBatch(Finite):
    """The first batch without end: of a loader with a length, Lightning reads it on the device."""

    def train_dataloader(self) -> Again:  # type: ignore[override]
        return Again(self.train[0])  # type: ignore[arg-type]


def digits(module: L.LightningModule) -> Case:
    return module, Digits(size=8, batch_size=4)


def of(module: Any, *batch: Tensor) -> Case:
    data = OneBatch([batch])
    data.value_range = module.value_range
    return module, data


def image(*shape: int) -> Tensor:
    return torch.rand(*(shape or (2, 3, 16, 16)))


def pair(module: L.LightningModule) -> Case:
    return of(module, image(), image())


def holed(module: L.LightningModule) -> Case:
    return of(module, image(), image(), torch.ones(2, 1, 16, 16, dtype=torch.bool))


def told(module: Any, **attributes: Any) -> Any:
    """``module`` with these attributes."""
    for name, value in attributes.items():
        setattr(module, name, value)
    return module


def prior() -> Case:
    """Between its looks: at its first step and at each tenth it reads how far it is."""
    net, noise, looks = Skip(8, 3, [4, 4], [2, 2]), UniformNoise(8), test_deep_image_prior
    return told(looks.prior(net, fixed_input=noise, parameter_noise=0.1), g_step=1), looks.Given(*looks.pair())


CASES: dict[str, Callable[[], Case]] = {
    "GAN": lambda: digits(GAN(*dcgans(), penalties=[R1(every=2)], ema=AVERAGE, d_clip=1.0)),
    "UnrolledGAN": lambda: digits(UnrolledGAN(*mlps(), unroll=2)),
    "LOGAN": lambda: digits(test_logan.logan()),
    "LatentCycle: code": lambda: of(test_latent_cycle_feedback.cycle("code"), image(2, 1, 16, 16), LABELS),
    "LatentCycle: scores": lambda: of(test_latent_cycle_feedback.cycle("scores"), image(2, 1, 16, 16), LABELS),
    "VAEGAN": lambda: digits(test_vaegan.vaegan(ema=AVERAGE)),
    "VAE": lambda: digits(test_vae.dcgan_vae(ema=AVERAGE)),
    "VAE: classes": lambda: digits(test_vae.dcgan_vae(10, bound=ImportanceWeighted(), samples=2)),
    "GLO": lambda: digits(GLO(dcgans()[0], 1437, [LaplacianL1(levels=1), MSE()], ema=AVERAGE)),
    "ProGAN": lambda: digits(told(test_progan.progan(ema=AVERAGE), growth=Growth(0.002, 0.004))),
    "StyleGAN": lambda: digits(
        StyleGAN(StyleGANGenerator(8, 1, 6, 5, 2, Widths(32, 8)), StyleGAN2Discriminator(8, 1, Widths(32, 8)))
    ),
    "StyleGAN2": lambda: digits(
        test_stylegan2.stylegan2(augment=ADA(), pseudo_reals=APA(), path_length=PathLength(every=1), ema=AVERAGE)
    ),
    "R3GAN": lambda: digits(test_no_waiting.R3GAN(*test_r3gan.nets(10), ema=AVERAGE)),
    "SinGAN": lambda: of(told(test_singan.small(), iterations=1, n_critic=1), image(1, 3, 24, 30), LABELS[:1]),
    "TextureGAN": lambda: of(test_texture.gan(), image(2, 3, 17, 17), LABELS),
    "Classifier": lambda: digits(Classifier(CNN(width=2), ema=AVERAGE)),
    "ReconstructionModule": lambda: pair(
        ReconstructionModule(DnCNN(channels=3, depth=3, width=4), [L1(), SSIM(), Charbonnier()], margin=2)
    ),
    "Translation": lambda: pair(Translation(UNet(2, width=4))),
    "Pix2Pix": lambda: pair(Pix2Pix(UNet(2, width=4), PatchGAN(3, 3, 1, 4), ema=AVERAGE)),
    "CycleGAN": lambda: pair(cyclegan()),
    "SuperResolution": lambda: of(SuperResolution(test_srgan.tiny()[0], losses=[MSE()]), image(), image(2, 3, 8, 8)),
    "SRGAN": lambda: of(SRGAN(*test_srgan.tiny(), losses=[MSE()]), image(), image(2, 3, 8, 8)),
    "MultiViewSuperResolution: stereo": lambda: of(
        MultiViewSuperResolution(test_stereo.tiny(), [Photometric(), Smoothness(), Cycle()], losses=[L1()]),
        image(),
        image(2, 2, 3, 8, 8),
    ),
    "MultiViewSuperResolution: frames": lambda: of(
        MultiViewSuperResolution(test_multiview.tiny(3), [Photometric(0.1)], losses=[L1()]),
        image(),
        image(2, 3, 3, 8, 8),
    ),
    "Inpainting": lambda: holed(Inpainting(PartialConvUNet(3, 4))),
    "InpaintingGAN": lambda: holed(test_inpainting.small()),
    "RestoringGAN": lambda: pair(RestoringGAN(DnCNN(channels=3, depth=3, width=4), PatchGAN(3, 3, 1, 4), [L1()])),
    "RestorationGAN": lambda: pair(RestorationGAN(UNet(2, 5, width=4), PatchGAN(3, 3, 1, 4), z_dim=2)),
    "InpaintingRestorationGAN": lambda: holed(
        InpaintingRestorationGAN(GatedNetwork(5, 8, (2,)), PatchGAN(3, 1, 1, 4), z_dim=2)
    ),
    "ImageVAE": lambda: pair(test_low_light_families.vae()),
    "ImageLatentCycle": lambda: pair(test_low_light_families.cycle()),
    "ZeroReference": lambda: of(ZeroReference(ZeroDCE(2)), *image(2, 2, 3, 32, 32)),
    "Retinex: first phase": lambda: pair(test_retinex.small(share=0.9)),
    "Retinex: both phases": lambda: pair(test_retinex.small()),
    "DeepImagePrior": prior,
    "EnlightenGAN": lambda: pair(test_enlighten_gan.small(preserving=SelfFeaturePreserving(Conv2d(3, 4, 3)))),
    "DeepMatting": lambda: of(DeepMatting(DeepImageMatting(1, 4, 8, 3)), *test_matting.batch(32)),
    "AlphaGAN": lambda: of(
        AlphaGAN(AlphaGANMatting(4, [1] * 4, 4), PatchGAN(condition=1, layers=1, width=4, norm="none")),
        *test_matting.batch(32),
    ),
    "ImageOptimisation": lambda: (test_style_transfer.optimisation(), One(2)),
    "FastStyle": lambda: (
        test_style_transfer.fast(features=RandomFilters(4, 9), terms=[GramStyle(["filters"])]),
        Endless(),
    ),
    "AdaptiveStyle": lambda: (test_adain.adaptive(), Endless()),
}


def families() -> Iterator[type[AtelierModule]]:
    """All that can be trained: nothing abstract is left, and of two players D has a loss."""
    for found in pkgutil.iter_modules(lightning_modules.__path__, "lightning_modules."):
        importlib.import_module(found.name)
    kinds: list[type[AtelierModule]] = [AtelierModule]
    for kind in kinds:
        kinds += [one for one in type.__subclasses__(kind) if one not in kinds]
        left = [name for name in dir(kind) if getattr(getattr_static(kind, name), "__isabstractmethod__", False)]
        trains = kind.training_step is not L.LightningModule.training_step
        trains = trains and (not issubclass(kind, TwoPlayerModule) or hasattr(kind, "d_loss"))
        if kind.__module__.startswith("lightning_modules.") and trains and not left:
            yield kind


def test_no_family_is_left_out() -> None:
    cased = {case.partition(":")[0] for case in CASES}
    lacking = sorted({kind.__name__ for kind in families()} - cased)
    assert not lacking, f"{', '.join(lacking)}: give each family a case here, so that it is tried on another device"


@pytest.fixture
def _as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # meta has none
    monkeypatch.setattr(base, "means_over_ranks", lambda *_: {})  # a row that is logged is read, and may be
    monkeypatch.setattr(Tensor, "cpu", lambda self: self)  # so is a picture, which no step makes


@pytest.mark.usefixtures(_as_on_a_gpu.__name__)
@pytest.mark.parametrize("case", CASES)
def test_a_family_trains_and_answers_elsewhere(case: str, tmp_path: Path) -> None:
    (module, data), kept = CASES[case](), Kept()
    assert type(module).__name__ == case.partition(":")[0]
    short = {"max_steps": 2, "log_every_n_steps": 1, "limit_val_batches": 0}
    with Apart():
        trainer(tmp_path, kept, accelerator="auto", strategy=Elsewhere(), **short).fit(module, datamodule=data)
        held_out = isinstance(data, One)
        batch = [part.to("meta") for part in next(data.held_out())] if held_out else kept.batch
        module.validation_step(batch, 0)
        found = [module.predict_step(batch, 0), *module.panels().values(), *module.parameters()]
    assert module.global_step == 2
    assert {one.device.type for one in found} == {"meta"}
    assert module.leaves_idle or not kept.idle, "several ranks would wait for these: the family has to say leaves_idle"
