"""Perceptual path length: the trimmed mean by hand, linear and noisy generators, the same at every look, sentences."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from test_stylegan2 import stylegan2
from torch import Tensor, nn
from toys import MLPGenerator, dcgans, fit, mlps, trainer

from datamodules.digits import Digits
from datamodules.functional.hashes import sha256_of
from lightning_modules.callbacks.path_length_scores import PathLengthScores
from lightning_modules.gan import GAN
from lightning_modules.metrics.path_length import PathLengths
from lightning_modules.networks.base import Generator, StyledGenerator
from lightning_modules.networks.identity import Identity
from lightning_modules.networks.latents import Uniform
from lightning_modules.stylegan2 import StyleGAN2


def test_the_mean_leaves_out_both_ends() -> None:
    metric = PathLengths()
    start = torch.zeros(1000, 2, 3)
    end = torch.zeros(1000, 2, 3)
    end[:, 1, 2] = torch.arange(1000.0).sqrt() * 0.1
    end[-1] = 1e6
    for part in (slice(0, 300), slice(300, 1000)):
        metric.update(start[part], end[part], 0.1)
    kept = torch.arange(9.0, 991.0)  # the percentiles themselves stay
    assert metric.compute().item() == pytest.approx(kept.mean().item(), rel=2e-3)
    few = PathLengths()
    few.update(torch.zeros(3, 1), torch.tensor([[0.1], [0.2], [0.6]]), 0.1)
    assert few.compute().item() == pytest.approx((1 + 4 + 36) / 3)  # no percentile lies between two of them
    with pytest.warns(UserWarning, match="before"), pytest.raises(ValueError, match="of no steps"):
        PathLengths().compute()


def test_the_mean_is_over_all_ranks() -> None:
    metric = PathLengths()
    metric.distributed_available_fn, metric.dist_sync_fn = lambda: True, lambda t, group=None: [t, 4 * t]
    metric.update(torch.zeros(3, 1), torch.tensor([[0.1], [0.1], [0.1]]), 0.1)
    assert metric.compute().item() == pytest.approx(2.5)


class Linear(Generator):
    """x = A z, or with noise of its own."""

    def __init__(self, noise: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.A, self.noise = nn.Parameter(torch.randn(64, 4)), noise
        self.z_dim, self.out_shape, self.latent = 4, (1, 8, 8), Uniform()

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        x = (z @ self.A.T).view(-1, 1, 8, 8)
        return x + self.noise * torch.randn_like(x)


class Flat(nn.Module):
    """Styles to A times their mean."""

    def __init__(self, A: nn.Parameter) -> None:
        super().__init__()
        self.A = A

    def forward(self, styles: Tensor) -> Tensor:
        return (styles.mean(1) @ self.A.T).view(-1, 1, 8, 8)


class LinearStyled(Linear, StyledGenerator):
    """w is z, for two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.mapping, self.synthesis, self.num_styles = nn.Identity(), Flat(self.A), 2

    def styles(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return z[:, None].expand(-1, 2, -1)

    def mixed_styles(self, z: Tensor, other: Tensor, y: Tensor | None, crossing: Tensor) -> Tensor:
        raise NotImplementedError

    def affine_weights(self) -> list[Tensor]:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("make", "space"), [(Linear, "z"), (lambda: Linear(noise=5.0), "z"), (LinearStyled, "z"), (LinearStyled, "w")]
)
def test_a_linear_generator_has_the_slope_of_its_ways(tmp_path: Path, make: Callable[[], Linear], space: str) -> None:
    module = GAN(make(), dcgans()[1])
    scores = PathLengthScores(Identity(), "pixels", samples=2000, epsilon=1e-2, in_z=space == "z")
    found = []
    for _ in range(2):
        trainer(tmp_path, scores).validate(module, datamodule=Digits(size=8, batch_size=8), verbose=False)
        found.append(scores.history[-1]["metrics"][f"ppl_{space}@pixels"])
    z = torch.rand(200_000, 2, 4, generator=torch.Generator().manual_seed(1)) * 2 - 1
    A = module.G.A.detach()
    slopes = ((z[:, 1] - z[:, 0]) @ A.T / 2).square().sum(1)  # in [0, 1] an image moves half as far
    low, high = slopes.quantile(0.01), slopes.quantile(0.99)
    wanted = slopes[(slopes > low) & (slopes < high)].mean().item()
    assert found[0] == pytest.approx(wanted, rel=0.05)
    assert found[0] == found[1]
    state = torch.random.get_rng_state()
    scores.score(module, "val")
    assert torch.equal(torch.random.get_rng_state(), state)


def test_w_is_walked_where_there_is_one(tmp_path: Path) -> None:
    module: StyleGAN2 = stylegan2()
    scores = PathLengthScores(Identity(), "pixels", samples=60)
    trainer(tmp_path, scores).validate(module, datamodule=Digits(size=8, batch_size=8), verbose=False)
    assert scores.history[-1]["metrics"]["ppl_w@pixels"] > 0
    described = scores.described
    assert described["samples"] == 60
    assert described["data"]["digits"]["images"] == 1437
    assert described["network_sha256"] == sha256_of([])  # of a network without weights


def test_bad_settings_cost_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give 1 step or more"):
        PathLengthScores(Identity(), "pixels", samples=0)
    with pytest.raises(ValueError, match="has no w; set in_z to true"):
        fit(tmp_path, PathLengthScores(Identity(), "pixels"), max_steps=1)
    points = GAN(MLPGenerator((2,), 4, width=8), mlps(shape=(2,))[1])
    with pytest.raises(ValueError, match="makes no images of noise"):
        PathLengthScores(Identity(), "pixels").setup(None, points, "fit")  # type: ignore[arg-type]
