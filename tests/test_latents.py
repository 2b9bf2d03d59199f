"""Laws of the noise that generators start from."""

import pytest
import torch

from lightning_modules.networks.dcgan import DCGANGenerator
from lightning_modules.networks.latents import Clustered, Latent, Normal, Uniform

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("latent", "mean", "deviation"), [(Normal(), 0, 1), (Uniform(), 0, 3**-0.5), (Clustered(2, 0.5), 0, 0.5)]
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
