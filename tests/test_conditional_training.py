"""Laws of conditional training: equal routes, penalties under a label, and conditions that are learned."""

import pytest
import torch
from test_conditional import PLAYERS, acgan_players, concat_players, projection_players
from test_ranks import STEPS, WORLD, both, strategy
from torch import Tensor, nn
from torch.optim import Adam
from toys import Finite, Recording, WithNoise, batches_with_noise, distance, sgd, trainer, weights

from lightning_modules.gan import GAN
from lightning_modules.losses.classification import AuxiliaryClassifier
from lightning_modules.losses.penalties import R1, R2, GradientPenalty
from lightning_modules.networks.base import Discriminator, Generator
from lightning_modules.networks.conditional import AuxiliaryDiscriminator, ConcatGenerator
from lightning_modules.networks.mlp import MLPDiscriminator, MLPGenerator

# --- equal routes -------------------------------------------------------------------------------------------


class Told(ConcatGenerator):
    """Draws the noise that it is told."""

    told: Tensor

    def sample_z(self, n: int) -> Tensor:
        assert n == len(self.told)
        return self.told


class ToldACGAN(Recording):
    """An ACGAN whose noise comes with the batch, of ten classes."""

    def __init__(self, **settings) -> None:
        torch.manual_seed(0)
        G = Told(MLPGenerator((1, 8, 8), z_dim=4 + 10, width=8, tanh=True), 10)
        D = AuxiliaryDiscriminator(MLPDiscriminator((1, 8, 8), width=8), 10)
        term = AuxiliaryClassifier(g_weight=0.5)
        super().__init__(G, D, classification=term, **{"d_optimizer": sgd(), "g_optimizer": sgd(), **settings})

    def d_loss(self, x, y, z_d, z_g):
        self.G.told = z_d
        return super().d_loss(x, y)

    def g_loss(self, x, y, z_d, z_g):
        self.G.told = z_g
        return super().g_loss(x, y)


PENALTIES = [R1(2.0), R2(1.0)]


def fitted(folder, steps=3, **settings):
    module = ToldACGAN(penalties=PENALTIES, **settings)
    trainer(folder, max_steps=steps).fit(module, datamodule=Finite(batches_with_noise(steps)))
    return module


@pytest.mark.parametrize("settings", [{"micro_batch": 3}, {"one_pass": True}, {"one_pass": True, "micro_batch": 3}])
def test_micro_batches_and_one_pass_equal_the_plain_way(tmp_path, settings):
    plain, other = fitted(tmp_path), fitted(tmp_path, **settings)
    assert distance(weights(plain), weights(other)) < 1e-6
    assert distance(weights(plain), weights(ToldACGAN())) > 1e-3
    for row, its in zip(plain.rows, other.rows, strict=True):
        assert row.keys() == its.keys() >= {"d/class", "g/class", "d/r1"}
        assert max(abs(row[name] - its[name]) for name in row) < 1e-5


def on_a_share(rank, folder):
    """Train on every second image, in micro-batches."""
    module = ToldACGAN(penalties=PENALTIES, micro_batch=2)
    share = [WithNoise(*(part[rank::WORLD] for part in batch)) for batch in batches_with_noise(STEPS)]
    trainer(folder, max_steps=STEPS, devices=WORLD, strategy=strategy()).fit(module, datamodule=Finite(share))
    return {"weights": weights(module)}


def test_two_ranks_are_one(tmp_path):
    one = fitted(tmp_path, STEPS)
    for found in both(on_a_share, tmp_path):
        assert distance(found["weights"], weights(one)) < 1e-6


@pytest.mark.parametrize("players", [concat_players, projection_players])
def test_penalties_differentiate_d_under_the_label(players):
    torch.manual_seed(0)
    G, D = players()
    gan, x, y = GAN(G, D, penalties=[R1(1.0), GradientPenalty(1.0)]), torch.randn(6, 1, 8, 8), torch.arange(6) % 3
    torch.manual_seed(1)
    ours, others = gan.d_loss(x, y), gan.d_loss(x, y.roll(1))
    assert ours.keys() == {"d/adv", "d/r1", "d/gp"}
    assert not torch.isclose(ours["d/r1"], others["d/r1"])
    sum(ours.values()).backward()
    assert all(parameter.grad is not None for parameter in D.parameters())


# --- what is learned ----------------------------------------------------------------------------------------

FOUR = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])  # the quadrants that are bright


def corners(label: Tensor) -> Tensor:
    """[n, 1, 8, 8]: the upper and the lower half, each dark or bright."""
    return FOUR[label][:, None, :, None].repeat_interleave(4, dim=2).expand(-1, 1, 8, 8).contiguous()


@pytest.mark.parametrize("players", PLAYERS)
def test_each_class_is_learned_as_itself(players, tmp_path):
    torch.manual_seed(0)
    adam = lambda parameters: Adam(parameters, lr=5e-3, betas=(0.0, 0.99))  # noqa: E731
    classification = AuxiliaryClassifier() if players is acgan_players else None
    gan = GAN(*players(4, 16), classification=classification, d_optimizer=adam, g_optimizer=adam, penalties=[R1(1.0)])
    y = torch.arange(16) % 4
    trainer(tmp_path, max_steps=200).fit(gan, datamodule=Finite([(corners(y), y)]))
    fake = gan(gan.G.sample_z(16), y)
    far = (fake[:, None] - corners(torch.arange(4))).abs().mean(dim=(2, 3, 4))
    assert torch.equal(far.argmin(1), y)
    assert far.gather(1, y[:, None]).max() < 0.3


class ImageConditional(Generator):
    """z beside a damaged image y -> its restored form."""

    def __init__(self) -> None:
        super().__init__()
        self.z_dim, self.out_shape = 2, (1, 8, 8)
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1), nn.Tanh())

    def forward(self, z, y=None):
        return self.layers(torch.cat([y, z[:, :, None, None].expand(-1, -1, *y.shape[2:])], dim=1))


class PairDiscriminator(Discriminator):
    """Whether x belongs to y: patches [N, 4, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(nn.Sequential(nn.Conv2d(2, 8, 3, 2, padding=1), nn.LeakyReLU(0.2)))
        self.head = nn.Conv2d(8, 1, 1)

    def forward(self, x, y=None):
        return self.head(self.blocks(torch.cat([x, y], dim=1)))[:, 0]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"micro_batch": 5, "channels_last": True},
        {"one_pass": True, "penalties": [R1(0.1), GradientPenalty(0.1)]},
        {"g_batch_factor": 2},
    ],
)
def test_the_condition_may_be_an_image(tmp_path, settings):
    torch.manual_seed(0)
    adam = lambda parameters: Adam(parameters, lr=5e-3, betas=(0.0, 0.99))  # noqa: E731
    gan = GAN(ImageConditional(), PairDiscriminator(), d_optimizer=adam, g_optimizer=adam, **settings)
    x = corners(torch.arange(16) % 4)
    trainer(tmp_path, max_steps=200).fit(gan, datamodule=Finite([(x, -x)]))  # damaged by inversion
    assert (gan(gan.G.sample_z(16), -x) - x).abs().mean() < 0.4
