"""Sliced Wasserstein distance of Laplacian-pyramid patches (Karras et al. 2018, "Progressive growing of GANs", sec. 5).

Up to 16,384 images a side; on every level of the pyramid, down to 16 pixels, 128 patches of 7 x 7 an image; each
channel of a side's patches normalised to mean 0 and deviation 1; then the mean Wasserstein-1 distance along 512
random directions, times 1000. Coarse levels see layout, fine ones texture. No network, so no weights.

Deviations from the published code. Which images are taken, where there are more, and where they are cut follows from a
hash of the image instead of a global random stream: the score is a function of the two sets alone, whatever their
order, the batches and the ranks, and of a set to itself it is exactly 0. The code's four times 128 directions are
drawn at once. Sides of different sizes are compared by their quantiles. A channel without contrast is 0, not NaN.

Two halves of one data set have a distance above 0 that shrinks with their size: compare scores of equal counts only.
Memory: at most twice ``images`` uint8 images, and while it computes one level's patches, C * 25 kB an image and side.
"""

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from datamodules.functional.keys import key
from lightning_modules.metrics.base import spell
from lightning_modules.metrics.pixels import check_images, check_same_kind
from lightning_modules.metrics.wasserstein import directions, sliced_wasserstein

SMALLEST = 16  # pixels of the coarsest level
SIDE = 7  # pixels of a patch
CHUNK = 128  # images cut at once


# --- Laplacian pyramid --------------------------------------------------------------------------------------


def laplacian_pyramid(image: Tensor) -> list[Tensor]:
    """The levels of ``image`` [N, C, H, W], finest first: what each halving loses, and last the small image itself."""
    levels = []
    while min(image.shape[2:]) + 1 >= 2 * SMALLEST:
        small = _blur(image)[..., ::2, ::2]
        large = torch.zeros_like(image)
        large[..., ::2, ::2] = 4 * small
        levels.append(image - _blur(large))
        image = small
    return [*levels, image]


def _blur(x: Tensor) -> Tensor:
    # No convolution: cuDNN's may run in TF32.
    x = torch.nn.functional.pad(x, (2, 2, 2, 2), mode="reflect")
    for dim in (2, 3):
        a, b, c, d, e = (x.narrow(dim, start, x.shape[dim] - 4) for start in range(5))
        x = (a + e + 4 * (b + d) + 6 * c) / 16
    return x


def level_sizes(height: int, width: int) -> list[int]:
    """The shorter side of each level, finest first."""
    sizes = [min(height, width)]
    while sizes[-1] + 1 >= 2 * SMALLEST:
        sizes.append((sizes[-1] + 1) // 2)
    return sizes


# --- choice by content --------------------------------------------------------------------------------------


def fingerprints(image: Tensor, seed: int) -> Tensor:
    """A hash of each of the images [N, C, H, W]: int64 [N]."""
    size = image[0:1].numel() if len(image) else 0
    stream = torch.Generator().manual_seed(key(seed, size))
    weight = torch.randint(-(2**63), 2**63 - 1, (size,), generator=stream).to(image.device)
    return _mixed(torch.cat([(few.flatten(1) * weight).sum(1) for few in image.split(CHUNK)]))


def _mixed(x: Tensor) -> Tensor:
    # The finaliser of datamodules.functional.keys, on int64 that wraps round.
    x = (x ^ _shifted(x, 30)) * -0x40A7B892E31B1A47
    x = (x ^ _shifted(x, 27)) * -0x6B2FB644ECCEEE15
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, by: int) -> Tensor:
    return (x >> by) & ((1 << (64 - by)) - 1)


def choose(image: Tensor, count: int, seed: int) -> Tensor:
    """The ``count`` images of smallest fingerprint, in its order; all where there are no more."""
    return image[fingerprints(image, seed).argsort()[:count]] if len(image) else image


def places(name: Tensor, count: int, rows: int, columns: int, seed: int) -> tuple[Tensor, Tensor]:
    """Where ``count`` patches of each image begin, by fingerprint: y in [0, rows), x in [0, columns); [N, count]."""
    number = torch.arange(count, device=name.device)
    draw = _mixed(_mixed(name + key(seed))[:, None] + number)
    return (draw & 0x7FFFFFFF) % rows, (_shifted(draw, 32) & 0x7FFFFFFF) % columns


# --- patches and their distance -----------------------------------------------------------------------------


def cut(level: Tensor, name: Tensor, count: int, seed: int) -> Tensor:
    """Patches of ``level`` [N, C, h, w] at the places of ``name`` [N]: [N, count, C, 7, 7]."""
    windows = level.unfold(2, SIDE, 1).unfold(3, SIDE, 1)
    y, x = places(name, count, windows.shape[2], windows.shape[3], seed)
    return windows[torch.arange(len(level), device=level.device)[:, None], :, y, x]


def patches(image: Tensor, level: int, count: int, seed: int) -> Tensor:
    """``count`` normalised patches of each uint8 image [N, C, H, W] on ``level``: float32 [N * count, C * 49]."""
    n, channels = image.shape[:2]
    found = torch.empty(n, count, channels, SIDE, SIDE, device=image.device)
    total, square = torch.zeros(2, channels, dtype=torch.float64, device=image.device)
    for start in range(0, n, CHUNK):
        few = image[start : start + CHUNK]
        some = cut(laplacian_pyramid(few.float())[level], fingerprints(few, seed), count, key(seed, level))
        found[start : start + len(few)] = some
        total += some.sum((0, 1, 3, 4), dtype=torch.float64)
        square += some.double().square().sum((0, 1, 3, 4))
    size = found.numel() // channels
    mean = total / size
    std = (square / size - mean.square()).clamp_min(0).sqrt()
    flat = std <= 1e-6 * mean.abs()  # what is left of a constant by rounding
    scale = torch.where(flat, 0.0, 1 / std.where(~flat, std.new_ones(())))
    found -= mean.float().view(-1, 1, 1)
    found *= scale.float().view(-1, 1, 1)
    return found.view(n * count, -1)


class SlicedWasserstein(Metric):
    """Sliced Wasserstein distance of a stream of images to a reference.

    Args:
        reference: uint8 images [N, C, H, W], with sides of at least 16.
        images: the largest number of images a side.
        count: patches an image and level.
        slices: random directions.
        seed: of directions and places.

    Raises:
        ValueError: if the reference is no such set of images.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    reference: Tensor
    seen: list[Tensor]

    def __init__(
        self, reference: Tensor, images: int = 16_384, count: int = 128, slices: int = 512, seed: int = 0
    ) -> None:
        super().__init__()
        check_images(reference, SMALLEST)
        if not len(reference):
            raise ValueError("The reference of a sliced Wasserstein distance has no images: give some.")
        self.images = images
        self.count = count
        self.slices = slices
        self.seed = seed
        self.shape = tuple(reference.shape[1:])
        self.register_buffer("reference", choose(reference, images, seed), persistent=False)
        self.add_state("seen", [], dist_reduce_fx="cat")
        self.reset()

    def reset(self) -> None:
        """Forget all images but the reference."""
        super().reset()
        # A rank without images must bring a tensor of the same kind as the others to be gathered.
        self.seen.append(self.reference[:0])

    def update(self, samples: Tensor) -> None:
        """Add ``samples``, uint8 [N, C, H, W].

        Raises:
            ValueError: if they are not like the reference.
        """
        check_images(samples, SMALLEST)
        check_same_kind(samples, self.shape)
        self.seen.append(samples)
        if sum(map(len, self.seen)) > 2 * self.images:
            self.seen = [choose(torch.cat(self.seen), self.images, self.seed)]

    def compute(self) -> dict[str, Tensor]:
        """1000 times the distance on each level over all ranks, ``swd_32`` on that of 32 pixels, and their mean
        ``swd``: scalars, float64.

        Raises:
            ValueError: before the first image.
        """
        fake = choose(dim_zero_cat(self.seen), self.images, self.seed)
        if not len(fake):
            raise ValueError(f"A sliced Wasserstein distance of no {spell(self.shape)} images: update it first.")
        sizes = level_sizes(*self.shape[1:])
        levels = [self._level(fake, level) for level in range(len(sizes))]
        named = {f"swd_{size}": level for size, level in zip(sizes, levels, strict=True)}
        return {**named, "swd": torch.stack(levels).mean()}

    def _level(self, fake: Tensor, level: int) -> Tensor:
        a, b = (patches(image, level, self.count, self.seed) for image in (fake, self.reference))
        return 1000 * sliced_wasserstein(a, b, directions(a.shape[1], self.slices, key(self.seed, level)))
