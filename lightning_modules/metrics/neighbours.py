"""Nearest neighbours among features: exact, in blocks of bounded memory; and whether a generator repeats its training.

Distances are Euclidean, from |x - y|^2 = |x|^2 + |y|^2 - 2 x.y in float64, where that form loses nothing that a
comparison would notice. A block holds at most 1,024 times 8,192 of them: 64 MiB.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from lightning_modules.metrics.base import EvaluationMetric, Images, Look, Setting, Statistic, Tensors
from lightning_modules.metrics.gathered import FeatureStore, GatheredFeatures

ROWS, COLUMNS = 1024, 8192


def parts(count: int, length: int) -> Iterator[slice]:
    """[0, count) in slices of at most ``length``."""
    for start in range(0, count, length):
        yield slice(start, min(start + length, count))


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """|x_i - y_j|^2 [n, m] of ``x`` [n, d] and ``y`` [m, d]: float64, not negative."""
    x, y = x.double(), y.double()
    return torch.addmm(x.square().sum(1)[:, None] + y.square().sum(1), x, y.T, alpha=-2).clamp_min_(0)


def nearest(x: Tensor, y: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The ``k`` nearest of ``y`` [m, d] to each of ``x`` [n, d]: squared distances [n, k], ascending, and indices."""
    found = [_nearest_to_some(x[rows], y, k) for rows in parts(len(x), ROWS)]
    return torch.cat([squared for squared, _ in found]), torch.cat([index for _, index in found])


def _nearest_to_some(x: Tensor, y: Tensor, k: int) -> tuple[Tensor, Tensor]:
    squared, index = x.new_empty(len(x), 0, dtype=torch.float64), x.new_empty(len(x), 0, dtype=torch.int64)
    for columns in parts(len(y), COLUMNS):
        near, where = squared_distances(x, y[columns]).topk(min(k, columns.stop - columns.start), largest=False)
        squared, index = torch.cat([squared, near], 1), torch.cat([index, where + columns.start], 1)
        squared, best = squared.topk(min(k, squared.shape[1]), largest=False)
        index = index.gather(1, best)
    return squared, index


def squared_radii(x: Tensor, ks: Sequence[int]) -> Tensor:
    """Squared distance of each of ``x`` [n, d] to its k-th nearest other, for each k: [len(ks), n]."""
    squared, _ = nearest(x, x, max(ks) + 1)  # the nearest is itself
    return squared[:, list(ks)].T


class Radii(GatheredFeatures, Statistic):
    """Distances within the reference.

    Args:
        ks: which neighbours.
    """

    def __init__(self, ks: Sequence[int]) -> None:
        super().__init__()
        self.ks = tuple(ks)
        self.kind = f"squared radii {' '.join(map(str, self.ks))}"

    def compute(self) -> Tensors:
        """``squared`` [len(ks), N], float64."""
        return {"squared": squared_radii(self.gathered(), self.ks)}


class NearestNeighbours(GatheredFeatures, EvaluationMetric):
    """How near each sample lies to the reference image nearest to it: whether a generator repeats what it has seen.

    ``nn_p05``, ``nn_median`` and ``nn_p95`` are the distances that 5 %, 50 % and 95 % of the samples stay under;
    ``nn_ratio`` is the median over that of the reference images among themselves, each without itself. Measured on the
    training split, a generator that memorises has a smaller ratio than the test split, which is the floor.

    Args:
        shown: samples in the picture, a row each, taken at equal distances: files may lie class by class.
        k: nearest reference images beside each.

    Raises:
        ValueError: for a picture of nothing.
    """

    names = ("nn_p05", "nn_median", "nn_p95", "nn_ratio")
    reals: Tensor
    squared: Tensor
    places: Tensor  # int64, the numbers of the samples that are shown
    samples: list[Tensor]
    numbers: list[Tensor]

    def __init__(self, shown: int = 8, k: int = 7) -> None:
        super().__init__()
        if shown < 1 or k < 1:
            raise ValueError(f"NearestNeighbours: shown and k must be 1 or more, got {shown} and {k}")
        self.shown, self.k = shown, k
        self.rows: tuple[Tensor, Tensor] | None = None  # what is shown, once computed: samples and their features

    def statistics(self) -> Sequence[Statistic]:
        """Features of the reference, and their distances to each other."""
        return FeatureStore(), Radii((1,))

    def begin(self, setting: Setting) -> None:
        """Start with none; hold the reference."""
        super().begin(setting)
        store, radii = (setting.reference[statistic.kind] for statistic in self.statistics())
        self.register_buffer("reals", store["features"].reshape(-1, setting.dim), persistent=False)
        self.register_buffer("squared", radii["squared"].reshape(-1), persistent=False)
        shown = min(self.shown, setting.count)
        self.register_buffer("places", torch.arange(shown) * setting.count // shown, persistent=False)
        self.add_state("samples", [], dist_reduce_fx="cat")
        self.add_state("numbers", [], dist_reduce_fx="cat")

    def update(self, look: Look) -> None:
        """Keep features [N, d], and the samples that are to be shown."""
        super().update(look)
        asked = torch.isin(look.index, self.places)
        self.samples.append(look.samples[asked])
        self.numbers.append(look.index[asked])

    def compute(self) -> Tensors:
        """Quantiles of the distance, and the ratio: scalars, float64."""
        features, order = self.gathered(), dim_zero_cat(self.numbers).argsort()
        self.rows = dim_zero_cat(self.samples)[order], features[self.places]
        distance = nearest(features, self.reals, 1)[0][:, 0].sqrt()
        low, median, high = (distance.quantile(q) for q in (0.05, 0.5, 0.95))
        ratio = median / self.squared.sqrt().quantile(0.5)
        return {"nn_p05": low, "nn_median": median, "nn_p95": high, "nn_ratio": ratio}

    def picture(self, reference: Images, count: int) -> Tensor | None:
        """Some samples, each with the reference images nearest to it: uint8 [shown, 1 + k, C, H, W]; after compute."""
        if self.rows is None or self.rows[0].ndim != 4:
            return None
        samples, features = self.rows
        _, index = nearest(features, self.reals, self.k)
        rows = [
            torch.cat([sample[None].cpu(), *(_image(reference, count, i) for i in row)])
            for sample, row in zip(samples, index.tolist(), strict=True)
        ]
        return torch.stack(rows)


def _image(reference: Images, count: int, number: int) -> Tensor:
    """Image ``number`` of the first ``count``, [1, C, H, W]; numbers go on with the mirror images."""
    mirrored, number = divmod(number, count)
    image = reference[number : number + 1].cpu()
    return image.flip(-1) if mirrored else image
