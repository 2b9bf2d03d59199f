"""Classification accuracy score (Ravuri and Vinyals 2019, section 3): a classifier trained on samples, tested on reals.

What a generator leaves out of a class, or draws as none or another, the classifier has not learned. Deviations: it is
this repository's small CNN instead of a ResNet-50, without augmentation; and it is tested on the reference, which is
the split that the generator learned from unless ``evaluation.split`` says ``test``.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics.utilities import dim_zero_cat

from datamodules.functional.precision import full_precision
from lightning_modules.metrics.base import (
    Accumulator,
    EvaluationMetric,
    Look,
    Setting,
    Statistic,
    Tensors,
    spell,
)
from lightning_modules.metrics.conditional import classes_of
from lightning_modules.metrics.protocol import Plain
from lightning_modules.networks.cnn import CNN

SMALLEST = 16  # pixels of a side that the network can halve twice and pool to 4x4
BATCH = 100
RATE = 2e-3  # Adam's at the start; it falls linearly to 0
AT_ONCE = 1000  # images in one forward of the test


class LabelledSamples(Accumulator):
    """Keeps the first ``kept`` samples and their classes; all where None."""

    labelled = True
    kept: int | None = None
    samples: list[Tensor]
    labels: list[Tensor]
    index: list[Tensor]

    def begin(self, setting: Setting) -> None:
        """Start with none."""
        self.add_state("samples", [], dist_reduce_fx="cat")
        self.add_state("labels", [], dist_reduce_fx="cat")
        self.add_state("index", [], dist_reduce_fx="cat")

    def update(self, look: Look) -> None:
        """Keep what is wanted of ``look``."""
        wanted = slice(None) if self.kept is None else look.index < self.kept
        self.samples.append(look.samples[wanted])
        self.labels.append(classes_of(look)[wanted])
        self.index.append(look.index[wanted])

    def gathered(self) -> tuple[Tensor, Tensor]:
        """Samples [N, ...] and classes [N] in the order of their numbers: of all ranks, inside ``compute``."""
        order = torch.argsort(dim_zero_cat(self.index))
        return dim_zero_cat(self.samples)[order], dim_zero_cat(self.labels)[order]


class LabelledReference(LabelledSamples, Statistic):
    """The first ``kept`` images of the reference.

    Args:
        kept: how many.
    """

    def __init__(self, kept: int) -> None:
        super().__init__()
        self.kept, self.kind = kept, f"first {kept} images and their classes"

    def begin(self, setting: Setting) -> None:
        """Start with none; know how much it will be."""
        super().begin(setting)
        self.size = min(setting.count, self.kept or 0) * torch.Size(setting.shape).numel()

    def compute(self) -> Tensors:
        """``images`` uint8 [n, C, H, W] and ``labels`` [n]."""
        images, labels = self.gathered()
        return {"images": images, "labels": labels}


class ClassificationAccuracy(LabelledSamples, EvaluationMetric):
    """``cas``: the accuracy on real images of a small CNN that has learned from the samples alone.

    Args:
        steps: of training, each on 100 samples drawn with replacement.
        width: of the CNN.
        tested: real images that it is tested on, the first of the reference.
        seed: of its weights and batches.
    """

    names = ("cas",)
    higher_is_better = True
    images: Tensor
    classes: Tensor

    def __init__(self, steps: int = 1000, width: int = 16, tested: int = 10_000, seed: int = 0) -> None:
        super().__init__()
        if min(steps, width, tested) < 1:
            raise ValueError(
                f"ClassificationAccuracy: steps, width and tested must be 1 or more, got {steps}, {width} and {tested}"
            )
        self.steps, self.width, self.tested, self.seed = steps, width, tested, seed

    @property
    def fields(self) -> dict[str, Plain]:
        """All arguments."""
        return {"cas_steps": self.steps, "cas_width": self.width, "cas_tested": self.tested, "cas_seed": self.seed}

    def check(self, shape: Sequence[int]) -> None:
        """Images of at least 16 pixels."""
        if len(shape) != 3 or min(shape[1:]) < SMALLEST:
            raise ValueError(
                f"ClassificationAccuracy trains on images with sides of {SMALLEST} pixels or more, these are "
                f"{spell(shape)}: remove it from evaluation.metrics."
            )

    def statistics(self) -> Sequence[Statistic]:
        """The images to test on."""
        return (LabelledReference(self.tested),)

    def begin(self, setting: Setting) -> None:
        """Start with none; hold the images to test on."""
        super().begin(setting)
        (known,) = (setting.reference[statistic.kind] for statistic in self.statistics())
        self.register_buffer("images", known["images"].reshape(-1, *setting.shape), persistent=False)
        self.register_buffer("classes", known["labels"].reshape(-1), persistent=False)
        self.num_classes = setting.classes

    def compute(self) -> Tensors:
        """``cas`` over all ranks, each of which trains the same network: a scalar, float64."""
        x, y = self.gathered()
        devices = [x.device] if x.device.type == "cuda" else []
        with torch.inference_mode(False), torch.random.fork_rng(devices), full_precision(x.device):
            torch.manual_seed(self.seed)
            net = CNN(x.shape[1], self.num_classes, self.width).to(x.device).to(memory_format=torch.channels_last)
            train(net, x.clone(), y.clone(), self.steps)  # clones: Lightning validates in inference mode
            right = accuracy(net.eval(), self.images, self.classes)
        return {"cas": right}


def as_floats(images: Tensor) -> Tensor:
    """uint8 ``images`` [N, C, H, W] as floats in [-1, 1]."""
    return (images.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


@torch.enable_grad()
def train(net: CNN, x: Tensor, y: Tensor, steps: int) -> None:
    """Teach ``net`` the classes ``y`` [N] of uint8 ``x`` [N, C, H, W] by Adam on cross-entropy."""
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / steps)
        some = torch.randint(len(x), (BATCH,), device=x.device)
        optimizer.zero_grad()
        cross_entropy(net(as_floats(x[some])), y[some]).backward()
        optimizer.step()


@torch.no_grad()
def accuracy(net: CNN, x: Tensor, y: Tensor) -> Tensor:
    """The share of uint8 ``x`` [N, C, H, W] whose class ``net`` finds: a scalar, float64."""
    parts = zip(x.split(AT_ONCE), y.split(AT_ONCE), strict=True)
    return torch.cat([net(as_floats(images)).argmax(1) == labels for images, labels in parts]).double().mean()
