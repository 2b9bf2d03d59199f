"""Laws of the noise that generators start from."""

import pytest
import torch

from lightning_modules.networks.dcgan import DCGANGenerator
from lightning_modules.networks.latents import Clustered, Gaussian, Latent, Uniform

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("latent", "mean", "deviation"), [(Gaussian(), 0, 1), (Uniform(), 0, 3**-0.5), (Clustered(2, 0.5), 0, 0.5)]
)
def test_moments(latent: Latent, mean: float, deviation: float) -> None:
    torch.manual_seed(0)
    noise = latent.draw(40_000, 6, CPU)[:, 2:]
    assert abs(float(noise.mean()) - mean) < 0.01
    assert (noise.std(dim=0) - deviation).abs().max() < 0.01


def test_uniform_noise_stays_in_its_cube() -> None:
    assert Uniform().draw(1000, 3, CPU).abs().max() <= 1


def test_each_code_is_one_hot_and_equally_likely() -> None:
    torch.manual_seed(0)
    z = Clustered(modes=4).draw(40_000, 9, CPU)
    assert z.shape == (40_000, 9)
    codes = z[:, :4]
    assert ((codes == 0) | (codes == 1)).all()
    assert (codes.sum(1) == 1).all()
    assert (codes.mean(0) - 0.25).abs().max() < 0.01


def test_codes_without_room_are_refused() -> None:
    with pytest.raises(ValueError, match="z_dim must be above its 10 modes, got 10"):
        Clustered().draw(1, 10, CPU)
    with pytest.raises(ValueError, match=r"give one mode or more and a deviation above 0, got 0 and 0\.1"):
        Clustered(0)


def test_a_generator_draws_from_its_latent() -> None:
    G = DCGANGenerator(8, 1, z_dim=12, width=2, latent=Clustered())
    assert (G.sample_z(5)[:, :10].sum(1) == 1).all()
    G = DCGANGenerator(8, 1, z_dim=12, width=2)
    torch.manual_seed(1)
    expected = torch.randn(5, 12)
    torch.manual_seed(1)
    assert torch.equal(G.sample_z(5), expected)


def test_a_walk_between_gaussian_latents_keeps_their_length() -> None:
    a, b = torch.randn(2, 5, 64, dtype=torch.float64)
    b = b / b.norm(dim=1, keepdim=True) * a.norm(dim=1, keepdim=True)
    torch.testing.assert_close(Gaussian().between(a, b, 0.0), a)
    torch.testing.assert_close(Gaussian().between(a, b, 0.3).norm(dim=1), a.norm(dim=1))


@pytest.mark.parametrize("latent", [Gaussian(), Uniform(), Clustered(4)])
def test_every_walk_begins_and_ends_where_it_should(latent: Latent) -> None:
    a, b = latent.draw(6, 12, CPU), latent.draw(6, 12, CPU)
    torch.testing.assert_close(latent.between(a, b, 0.0), a)
    torch.testing.assert_close(latent.between(a, b, 1.0), b)


def test_a_walk_between_codes_goes_straight_in_the_code() -> None:
    a, b = Clustered(3).draw(2, 8, CPU).split(1)
    halfway = Clustered(3).between(a, b, 0.5)
    torch.testing.assert_close(halfway[:, :3], (a[:, :3] + b[:, :3]) / 2)
