"""Families with many answers to a dark image: terms by hand, who learns, resume, pictures."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import place
from resuming import ends_alike
from test_cyclegan import flat
from test_low_light import dark, made
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.optim import Adam
from toys import Finite, Rates, distance, trainer, weights

from datamodules.pairs import PairLoader, PairSet
from lightning_modules.ema import EMASettings
from lightning_modules.losses.bounds import ELBO
from lightning_modules.losses.likelihoods import Gaussian
from lightning_modules.losses.reconstruction import L1, MSE
from lightning_modules.low_light import ImageLatentCycle, ImageVAE
from lightning_modules.many_answers import DRAWS
from lightning_modules.networks.base import Discriminator, Encoder, Generator, LatentEncoder
from lightning_modules.networks.image_conditional import NoiseBeside, PairEncoder
from lightning_modules.networks.latent_cycle import DCGANEncoder
from lightning_modules.networks.patchgan import PatchGAN
from lightning_modules.networks.unet import UNet
from lightning_modules.schedules import Linear

SIDE = 16


def pairs(count: int, n: int = 2) -> list[tuple[Tensor, Tensor]]:
    stream = torch.Generator().manual_seed(count)
    x = torch.rand(count, n, 3, SIDE, SIDE, generator=stream)
    return list(zip(x, x.square() / 2, strict=True))


class Pairs(Finite):
    """A finite list of batches, and one set of two pairs to look at."""

    value_range = (0.0, 1.0)

    def pairs(self) -> list[PairSet]:
        x, y = pairs(1)[0]
        return [PairSet("two", 1, [(x[i : i + 1], y[i : i + 1]) for i in range(2)])]

    def val_dataloader(self) -> list[PairLoader]:  # type: ignore[override]
        return [PairLoader(data) for data in self.pairs()]


class Shift(Generator):
    """G(z, y) = w y + z's first number."""

    def __init__(self, w: float = 2.0) -> None:
        super().__init__()
        self.w, self.z_dim, self.out_shape = nn.Parameter(torch.tensor(w)), 1, (3, SIDE, SIDE)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        assert y is not None
        return self.w * y + z[:, 0].view(-1, 1, 1, 1)


class Knows(Encoder):
    """q(z | x, y) = N(v (mean x - mean y), e^s)."""

    def __init__(self, v: float = 0.5, s: float = -1.0) -> None:
        super().__init__()
        self.v, self.s, self.z_dim = nn.Parameter(torch.tensor(v)), nn.Parameter(torch.tensor(s)), 1

    def forward(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        assert y is not None
        mean = self.v * (x.mean((1, 2, 3)) - y.mean((1, 2, 3)))[:, None]
        return mean, self.s.expand_as(mean)


class Reads(LatentEncoder):
    """E of six channels: v (mean of the first three - 10 times that of the last)."""

    def __init__(self, v: float = 0.5) -> None:
        super().__init__()
        self.v, self.z_dim = nn.Parameter(torch.tensor(v)), 1

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[1] == 6
        return self.v * (x[:, :3].mean((1, 2, 3)) - 10 * x[:, 3:].mean((1, 2, 3)))[:, None]


class Both(Discriminator):
    """D(x, y) = v (mean x + 10 mean y)."""

    def __init__(self, v: float = 2.0) -> None:
        super().__init__()
        self.v, self.blocks = nn.Parameter(torch.tensor(v)), nn.Sequential()

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        assert y is not None
        return self.v * (x.mean((1, 2, 3)) + 10 * y.mean((1, 2, 3)))


def decoder(z_dim: int = 2) -> NoiseBeside:
    net = UNet(2, in_channels=3 + z_dim, width=4, dropout=0, test_as_trained=False)
    return NoiseBeside(net, z_dim, SIDE)


def vae(**settings: Any) -> ImageVAE:
    torch.manual_seed(0)
    return ImageVAE(PairEncoder(SIDE, 2, 4), decoder(), Gaussian(0.01, learned=True), **settings)


def cycle(**settings: Any) -> ImageLatentCycle:
    torch.manual_seed(0)
    return ImageLatentCycle(decoder(), PatchGAN(3, 3, 1, 4), DCGANEncoder(SIDE, 6, 2, 4), losses=[L1(10.0)], **settings)


# --- the VAE -----------------------------------------------------------------------------------------------------


def test_the_bound_by_hand() -> None:
    x, y, v, s = flat(0.9), flat(0.3), 0.04, -1.0
    module = ImageVAE(Knows(0.5, s), Shift(2.0), Gaussian(v), ELBO(beta=3.0))
    torch.manual_seed(3)
    found = module.terms(x, y)
    torch.manual_seed(3)
    mean = 0.5 * (0.9 - 0.3)
    z = mean + math.exp(0.5 * s) * torch.randn(1, 1, 1).item()
    error = (2 * 0.3 + z - 0.9) ** 2
    assert found["reconstruction"].item() == pytest.approx(
        768 * (error / (2 * v) + math.log(2 * math.pi * v) / 2), 1e-4
    )
    assert found["kl"].item() == pytest.approx(3 * 0.5 * (mean**2 + math.exp(s) - 1 - s), 1e-5)


def test_what_is_scored_is_the_answer_of_z_0() -> None:
    module = ImageVAE(Knows(), Shift(2.0))
    x, y = flat(0.9), flat(0.3)
    assert torch.allclose(module.restore((x, y)), 2 * y)
    assert torch.allclose(module(y), 2 * y)
    drawn = module.network.draws(y.repeat(2, 1, 1, 1), 5000)
    assert drawn.shape == (5000, 2, 3, 16, 16)
    z = drawn[:, :, 0, 0, 0] - 0.6
    assert z.mean().item() == pytest.approx(0, abs=0.05)
    assert z.std().item() == pytest.approx(1, rel=0.05)


def test_every_weight_of_encoder_decoder_and_likelihood_learns() -> None:
    module = vae(bound=ELBO(), samples=2)
    torch.stack(list(module.terms(*pairs(1, 4)[0]).values())).sum().backward()
    before_norm = ("network.network.down.1.bias", "encoder.blocks")  # batch norm takes such biases away
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0 or any(part in name for part in before_norm), name
    [group] = module.configure_optimizers()[0].param_groups
    assert {id(p) for p in group["params"]} == {id(p) for p in module.parameters()}
    assert len(list(module.parameters())) == len({id(p) for p in module.parameters()}) == len(group["params"])
    assert not any(name.startswith("_inference") for name, _ in module.named_parameters())


def test_the_vae_learns_a_pair_by_heart_and_z_says_what_y_does_not(tmp_path: Path) -> None:
    y = torch.full((4, 3, SIDE, SIDE), 0.2)
    x = torch.tensor([0.2, 0.4, 0.6, 0.8]).view(4, 1, 1, 1).expand(4, 3, SIDE, SIDE).clone()  # one y, four answers
    module = vae(optimizer=lambda p: Adam(p, lr=3e-3))
    trainer(tmp_path, max_steps=150).fit(module, datamodule=Pairs([(x, y)] * 150))
    module.eval()
    mean, _ = module.network.encoder(x, y)
    made = module.network.decoder(mean, y).mean((1, 2, 3))
    assert (made - x.mean((1, 2, 3))).abs().max() < 0.1
    assert 0.3 < module(y)[0].mean().item() < 0.7


def test_the_rate_of_the_vae_follows_its_schedule(tmp_path: Path) -> None:
    module = vae(optimizer=lambda p: Adam(p, lr=1e-3), schedule=Linear())
    rates = Rates()
    trainer(tmp_path, rates, max_steps=4).fit(module, datamodule=Pairs(pairs(4, 4)))
    [used] = rates.used.values()
    assert used == pytest.approx([1e-3, 0.75e-3, 0.5e-3, 0.25e-3])


def test_networks_that_do_not_belong_together_cost_one_sentence() -> None:
    with pytest.raises(ValueError, match="z of length 2"):
        ImageVAE(PairEncoder(SIDE, 2, 4), decoder(3))
    with pytest.raises(ValueError, match="z has 4 numbers, the generator's 2: set both"):
        ImageLatentCycle(decoder(), PatchGAN(3, 3, 1, 4), DCGANEncoder(SIDE, 6, 4, 4))
    with pytest.raises(ValueError, match="samples must be 1 or more, got 0"):
        vae(samples=0)


# --- the cyclic GAN ----------------------------------------------------------------------------------------------


def test_the_terms_by_hand() -> None:
    x, y = flat(0.4), flat(0.2)
    module = ImageLatentCycle(Shift(2.0), Both(), Reads(), losses=[MSE(2.0)], adversarial_weight=0.5)
    torch.manual_seed(0)
    z = torch.randn(1, 1)
    fake = 2 * 0.2 + z  # [1, 1]
    real, made = torch.tensor(4.8), 2 * (fake + 2)
    torch.manual_seed(0)
    assert module.d_loss(x, y)["d/adv"].item() == pytest.approx((softplus(-real) + softplus(made)).item(), rel=1e-5)
    torch.manual_seed(0)
    found = {name: term.item() for name, term in module.g_loss(x, y).items()}
    by_hand = {
        "g/adv": 0.5 * softplus(-made).item(),
        "g/latent_l1": 0.5 * (0.5 * (fake - 2) - z).abs().item(),
        "g/mse": 2 * (fake - 0.4).square().item(),
    }
    assert found == pytest.approx(by_hand, rel=1e-4)


def test_g_and_e_learn_in_gs_step_and_d_in_ds() -> None:
    module, (x, y) = cycle(), pairs(1, 5)[0]  # odd: of an even number L1's slopes may cancel
    opt_d, opt_g = module.configure_optimizers()
    ids = [{id(p) for group in opt.param_groups for p in group["params"]} for opt in (opt_d, opt_g)]
    assert ids[0] == {id(p) for p in module.D.parameters()}
    assert ids[1] == {id(p) for net in (module.G.decoder, module.G.encoder) for p in net.parameters()}
    torch.stack(list(module.g_loss(x, y).values())).sum().backward()
    for name, parameter in module.G.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0 or name == "decoder.network.down.1.bias", name


def test_e_finds_the_noise_again(tmp_path: Path) -> None:
    settings: Any = {"g_optimizer": lambda p: Adam(p, lr=3e-3), "latent_loss": L1(5.0)}
    module = cycle(**settings)
    x, y = pairs(1, 8)[0]

    def error() -> float:
        torch.manual_seed(5)
        z = torch.randn(8, 2)
        module.eval()
        with torch.no_grad():
            return (module.G.encoder(torch.cat([module.G.decoder(z, y), y], 1)) - z).abs().mean().item()

    before = error()
    trainer(tmp_path, max_steps=60).fit(module.train(), datamodule=Pairs([(x, y)] * 60))
    assert error() < before / 2


# --- both --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures(place.__name__, made.__name__)
@pytest.mark.parametrize("make", [vae, cycle])
def test_a_run_that_was_cut_off_ends_as_the_whole_one(tmp_path: Path, make: Any) -> None:
    averaged = lambda: make(ema=EMASettings(decay=0.5))  # noqa: E731
    module = ends_alike(tmp_path, averaged, lambda: dark(patch=SIDE), cuts=[2], steps=4, looks=2)
    assert distance(weights(averaged()), weights(module)) > 1e-4


@pytest.mark.parametrize("make", [vae, cycle])
def test_pictures_show_y_the_answer_draws_and_x_the_same_each_time(tmp_path: Path, make: Any) -> None:
    module, data = make(), Pairs(pairs(1))
    shown = []
    for _ in range(2):
        trainer(tmp_path).validate(module, datamodule=data, verbose=False)
        shown.append(module.panels()["restored"])
    assert torch.equal(*shown)
    assert shown[0].shape == (2, 3 + DRAWS, 3, SIDE, SIDE)
    x, y = data.pairs()[0].pairs[1]
    row = shown[0][1] / 255
    assert torch.allclose(row[0], y[0], atol=0.003)
    assert torch.allclose(row[-1], x[0], atol=0.003)
    assert torch.allclose(row[1], module(y)[0], atol=0.003)
    assert not torch.equal(row[2], row[3])
