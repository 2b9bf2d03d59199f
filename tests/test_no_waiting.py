"""A step waits for nothing of the device: its work is known without numbers, and none of the host's is copied there.

On the device "meta" tensors have no numbers: whoever asks for one fails, and what is made on the CPU is seen.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from datamodules.functional.resize import bicubic_floats
from datamodules.inpainting import HoledImages
from lightning_modules.augment.ada import ADA, APA
from lightning_modules.gan import GAN
from lightning_modules.logan import LOGAN
from lightning_modules.losses.adversarial import TopK
from lightning_modules.losses.classification import MultiHinge, TwinAuxiliaryClassifiers
from lightning_modules.losses.contrastive import ConditionalContrastive, DataToDataCrossEntropy
from lightning_modules.losses.laplacian import LaplacianL1
from lightning_modules.losses.latent_regularisers import LatentConsistency, MutualInformation
from lightning_modules.losses.penalties import R1, MaxGradientPenalty
from lightning_modules.losses.reconstruction import SSIM
from lightning_modules.losses.regularisers import Consistency, FeatureMatching, LeCam, RotationTask
from lightning_modules.losses.retinex import smoothness
from lightning_modules.networks.conditional import AuxiliaryDiscriminator, ContrastiveDiscriminator
from lightning_modules.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from lightning_modules.networks.enlighten import EnlightenUNet
from lightning_modules.networks.latents import Coded, Latent
from lightning_modules.networks.r3gan import R3GANDiscriminator, R3GANGenerator
from lightning_modules.networks.wrapped import SecondHeadDiscriminator
from lightning_modules.r3gan import R3GAN

SIDE, N, K = 16, 8, 10


class OnTheHost(TorchDispatchMode):
    """Notes, as ``made``, what makes tensors on the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.made += [
            str(func) for one in tree_leaves(out) if isinstance(one, torch.Tensor) and one.device.type == "cpu"
        ]
        return out


def G(latent: Latent | None = None) -> DCGANGenerator:
    return DCGANGenerator(SIDE, 1, z_dim=16, width=4, latent=latent)


def D() -> DCGANDiscriminator:
    return DCGANDiscriminator(SIDE, 1, width=4)


CASES: dict[str, Callable[[], GAN]] = {
    "R1, bCR, LeCam, feature matching": lambda: GAN(
        G(), D(), penalties=[R1()], regularisers=[Consistency(fake_weight=1.0), LeCam(start=0), FeatureMatching()]
    ),
    "zCR, max-GP, top-k": lambda: GAN(
        G(), D(), penalties=[MaxGradientPenalty()], regularisers=[LatentConsistency()], top_k=TopK()
    ),
    "ADA and APA": lambda: GAN(G(), D(), augment=ADA(), pseudo_reals=APA()),
    "SSGAN": lambda: GAN(G(), SecondHeadDiscriminator(D()), regularisers=[RotationTask()]),
    "InfoGAN": lambda: GAN(
        G(Coded(4, 2)), SecondHeadDiscriminator(D(), 6), regularisers=[MutualInformation(categories=4, numbers=2)]
    ),
    "MHGAN": lambda: GAN(G(), AuxiliaryDiscriminator(D(), K, outputs=K + 1), classification=MultiHinge()),
    "TAC-GAN": lambda: GAN(
        G(), AuxiliaryDiscriminator(D(), K, outputs=2 * K), classification=TwinAuxiliaryClassifiers()
    ),
    "ContraGAN": lambda: GAN(G(), ContrastiveDiscriminator(D(), K, 8), classification=ConditionalContrastive()),
    "ReACGAN": lambda: GAN(G(), ContrastiveDiscriminator(D(), K, 8), classification=DataToDataCrossEntropy()),
    "LOGAN": lambda: LOGAN(G(), D()),
    "R3GAN": lambda: R3GAN(
        R3GANGenerator(1, 16, [16] * 3, num_classes=K), R3GANDiscriminator(1, [16] * 3, num_classes=K)
    ),
}


def image(channels: int = 3) -> Tensor:
    return torch.rand(2, channels, 16, 16, device="meta")


PARTS: dict[str, Callable[[], Tensor]] = {
    "Laplacian pyramid": lambda: LaplacianL1(levels=2)(image(), image()),
    "SSIM": lambda: SSIM()(image(), image()),
    "smoothness": lambda: smoothness(image(1), image()),
    "EnlightenGAN": lambda: ENLIGHTEN(image()),
    "holes": lambda: (
        HoledImages(fill=(0.5, 0.25, 1.0)).holed(image(), torch.ones(2, 1, 16, 16, device="meta").bool()).y
    ),
    "bicubic": lambda: bicubic_floats(image(), 2),
}
ENLIGHTEN = EnlightenUNet(2, 4).to("meta")


@pytest.mark.parametrize("part", PARTS)
def test_no_part_makes_a_tensor_of_numbers_twice(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # meta has none
    PARTS[part]()
    made: list[str] = []
    plain, moved = torch.tensor, torch.Tensor.to

    def noting_tensor(*args: Any, **settings: Any) -> Tensor:
        made.append("tensor")
        return plain(*args, **settings)

    def noting_to(self: Tensor, *args: Any, **settings: Any) -> Tensor:
        found: Tensor = moved(self, *args, **settings)
        made.extend(["to"] if found.device != self.device else [])
        return found

    monkeypatch.setattr(torch, "tensor", noting_tensor)
    monkeypatch.setattr(torch.Tensor, "to", noting_to)
    PARTS[part]()
    assert not made


@pytest.mark.parametrize("case", CASES)
def test_no_step_waits(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GAN, "device", torch.device("cpu"))  # whose autocast there is; meta has none
    monkeypatch.setattr(GAN, "global_step", 0)
    module: nn.Module = CASES[case]().to("meta")
    assert isinstance(module, GAN)
    x, y = torch.empty(N, 1, SIDE, SIDE, device="meta"), torch.empty(N, dtype=torch.long, device="meta")
    for _ in range(2):  # what is made once and kept is made in the first step
        with OnTheHost() as host:
            for loss in (module.d_loss, module.g_loss):
                torch.stack(list(loss(x, y).values())).sum().backward()
            for adaptive in (*module.adaptive, *module.regularisers):
                adaptive.adapt(*([4] if adaptive in module.adaptive else []))
    assert not host.made
