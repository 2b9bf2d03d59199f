"""What ``atelier explain`` says of a generator's images beside real ones."""

from dataclasses import dataclass

import torch
from torch import Tensor

from datamodules.pairs import in_colour
from experiments.errors import UserError
from experiments.evaluate_runs import Trained
from experiments.sheets import Asked, Made, evenly
from lightning_modules.curves import curves
from lightning_modules.metrics.base import Extractor, Images
from lightning_modules.metrics.extractors import extractor_for
from lightning_modules.metrics.neighbours import nearest
from lightning_modules.metrics.spectrum import decibels, ring_power, spectrum_scores
from lightning_modules.tools.cloud import drawn, places, same_kind

BLOCK = 256  # images at a time


@dataclass(frozen=True)
class Compared(Asked):
    """A trained generator whose images are compared with real ones.

    Args:
        request: the command line.
        trained: the generator and its data.
    """

    trained: Trained

    def fakes(self, n: int) -> Tensor:
        """``n`` of its images, uint8 [n, C, H, W], from the global random stream."""
        parts = [self.trained.module.sample(min(BLOCK, n - i)).cpu() for i in range(0, n, BLOCK)]
        return torch.cat(parts)

    def reals(self, otherwise: str) -> Images:
        """The real ones of --split, or of ``otherwise``.

        Raises:
            UserError: there is no such split.
        """
        split = self.request.own.get("--split", otherwise)
        if split not in ("train", "test"):
            raise UserError(f"--split is {split}: choose of train, test")
        return self.trained.data.reference(split)

    @property
    def extractor(self) -> Extractor:
        """That of --extractor, or of the run's evaluation."""
        evaluation = self.trained.evaluation
        name = self.request.own.get("--extractor", evaluation.extractor_name)
        weights = evaluation.weights if name == evaluation.extractor_name else None
        return extractor_for(self.trained.module.G.out_shape, name, weights).to(self.trained.module.device)


def features(extractor: Extractor, images: Tensor) -> Tensor:
    """Of ``images`` [N, C, H, W]: [N, d], on the CPU."""
    parts = images.split(BLOCK)
    return torch.cat([extractor(part.to(extractor.device)).features.cpu() for part in parts])


def among_real(asked: Compared) -> Made:
    """t-SNE of the features of --count real images, framed blue, and as many generated ones, framed orange."""
    n = asked.whole("--count", 300, 4)
    real, extractor = evenly(asked.reals("test"), n), asked.extractor
    both = torch.cat([real, asked.fakes(len(real))])
    generated = torch.arange(len(both)) >= len(real)
    looked = features(extractor, both)
    picture = drawn(in_colour(both, "rgb"), generated, places(looked))
    share = same_kind(looked, generated)
    return Made(picture, {"extractor": extractor.name, "images": len(both), "same_kind": round(share, 4)})


def spectra(asked: Compared) -> Made:
    """Mean power spectra of --count real and generated images, in decibels over cycles an image."""
    real = evenly(asked.reals("test"), asked.whole("--count", 2000, 2))
    powers = [torch.cat([ring_power(part) for part in x.split(BLOCK)]).mean(0) for x in (asked.fakes(len(real)), real)]
    levels = [decibels(power).tolist() for power in powers]
    rings = [float(k) for k in range(1, len(levels[0]) + 1)]
    picture = curves("power in dB over cycles an image", rings, {"generated": levels[0], "real": levels[1]})
    scores = {name: round(float(value), 4) for name, value in spectrum_scores(*powers).items()}
    return Made(picture, {"images": len(real), **scores})


def neighbours(asked: Compared) -> Made:
    """A row a generated image: it, and the seven training images (or of --split) nearest to it among features."""
    held, extractor, made = asked.reals("train"), asked.extractor, asked.fakes(asked.whole("--count", 8))
    real = held[0 : len(held)].cpu()
    squared, index = nearest(features(extractor, made), features(extractor, real), 7)
    rows = torch.cat([made[:, None], real[index]], 1)
    first = [round(float(value), 4) for value in squared[:, 0].sqrt()]
    return Made(rows, {"extractor": extractor.name, "of": len(real), "distances": first})
