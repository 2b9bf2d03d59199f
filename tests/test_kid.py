"""Laws of the kernel inception distance: values by hand, no bias, torch-fidelity's numbers, any batches."""

import pytest
import torch
from looking import gaussian, scored, shuffled
from torch import Tensor
from torch_fidelity.metric_kid import kid_features_to_metric

from lightning_modules.metrics.kid import KID, kid, mmd2


def column(*values: float) -> Tensor:
    return torch.tensor(values)[:, None]


def test_mmd_by_hand() -> None:
    # k(1, 2) = 3^3 = 27, k(0, 1) = 1; across: k(1, 0) = 1, k(1, 1) = 8, k(2, 0) = 1, k(2, 1) = 27, mean 37 / 4.
    assert mmd2(column(1, 2), column(0, 1)).item() == 27 + 1 - 2 * 37 / 4


def test_the_kernel_divides_by_the_width() -> None:
    # Repeating a feature leaves x.y / d as it was.
    x, y = gaussian(20, 3, 1), gaussian(30, 3, 2)
    assert mmd2(x.repeat(1, 5), y.repeat(1, 5)).item() == pytest.approx(mmd2(x, y).item(), rel=1e-9)


def repeats(draw_x: tuple[float, float], draw_y: tuple[float, float], count: int = 3000, n: int = 12) -> Tensor:
    noise = torch.Generator().manual_seed(0)
    x, y = (m + s * torch.randn(count, n, 1, generator=noise) for m, s in (draw_x, draw_y))
    return torch.stack([mmd2(a, b) for a, b in zip(x, y, strict=True)])


def off(values: Tensor, wanted: float) -> float:
    """Standard errors between the mean of ``values`` and ``wanted``."""
    return abs(values.mean().item() - wanted) / (values.std() / len(values) ** 0.5).item()


def test_no_bias_between_different_distributions() -> None:
    # (xy + 1)^3 = sum_k C(3, k) x^k y^k, so that MMD^2 = sum_k C(3, k) (E x^k - E y^k)^2. Of N(.5, 1) and N(0, 1.5^2)
    # the moments are .5, 1.25, 1.625 and 0, 2.25, 0.
    assert off(repeats((0.5, 1), (0, 1.5)), 3 * 0.5**2 + 3 * 1 + 1.625**2) < 3


def test_no_bias_between_equal_distributions() -> None:
    values = repeats((0.5, 1), (0.5, 1))
    assert off(values, 0) < 3
    assert (values < 0).any()
    # What the diagonals would add: E k(x, x) - E k(x, y) over n, twice. With E x^2, x^4, x^6 = 1.25, 4.5625, 26.640625
    # it is 3 * 1.25 + 3 * 4.5625 + 26.640625 - (3 * .5^2 + 3 * 1.25^2 + 1.625^2) = 36.
    assert off(values + 2 / 12 * 36, 0) > 30


@pytest.mark.parametrize(("subsets", "size", "seed"), [(20, 50, 2020), (7, 120, 3)])
def test_equals_torch_fidelity(subsets: int, size: int, seed: int) -> None:
    fake, real = gaussian(150, 64, 1, 0.3), gaussian(200, 64, 2)
    theirs = kid_features_to_metric(fake, real, kid_subsets=subsets, kid_subset_size=size, rng_seed=seed, verbose=False)
    ours = scored(KID(subsets, size, seed), fake, real)
    assert ours["kid"].item() == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-5)
    assert ours["kid_std"].item() == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-4)


def test_a_subset_that_is_the_whole_set_is_no_choice() -> None:
    fake, real = gaussian(40, 8, 1), gaussian(40, 8, 2)
    scores = scored(KID(5, 40), fake, real)
    assert scores["kid"].item() == pytest.approx(mmd2(fake, real).item(), rel=1e-9)
    assert scores["kid_std"].item() < 1e-9 * scores["kid"].item()
    assert kid(fake, real, 3, 20).unique().numel() == 3


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_batches_and_their_order_do_not_matter(batch: int) -> None:
    fake, real = gaussian(60, 8, 1), gaussian(50, 8, 2)
    whole = scored(KID(4, 30), fake, real)
    assert scored(KID(4, 30), fake, real, shuffled(60, batch)) == whole


@pytest.mark.parametrize("arguments", [(0, 10), (10, 1)])
def test_subsets_of_nothing_are_refused(arguments: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="subset of two samples"):
        KID(*arguments)
