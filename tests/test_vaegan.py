"""Laws of the VAE-GAN: three players, each with its own weights and its own terms."""

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from resuming import CutOff
from torch import Tensor
from torch.optim import Adam
from toys import Finite, batches, distance, same, sgd, trainer, weights

from datamodules.digits import Digits
from lightning_modules.annealing import Annealing, Span
from lightning_modules.callbacks.checkpoints import Checkpoints
from lightning_modules.callbacks.clock import Clock
from lightning_modules.ema import EMASettings
from lightning_modules.losses.penalties import R1
from lightning_modules.networks.conditional import ConcatDiscriminator
from lightning_modules.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from lightning_modules.networks.packed import Packed
from lightning_modules.networks.vae import DCGANEncoder
from lightning_modules.schedules import Linear
from lightning_modules.vaegan import VAEGAN

Z = 3


def vaegan(**settings: Any) -> VAEGAN:
    torch.manual_seed(0)
    E, G = DCGANEncoder(8, 1, Z, width=4), DCGANGenerator(8, 1, Z, width=4)
    given: dict[str, Any] = {"level": 1, "feature_weight": 0.1, "penalties": [R1(every=3)], **settings}
    return VAEGAN(E, G, DCGANDiscriminator(8, 1, width=4, batch_norm=False), **given)


class Players(VAEGAN):
    """Notes what of each network's parameters a player's update changes."""

    def update(self, opt: Any, loss_fn: Any, batch: Any) -> None:
        nets = {"E": self.E, "G": self.G, "D": self.D}
        before = {name: [p.detach().clone() for p in net.parameters()] for name, net in nets.items()}
        super().update(opt, loss_fn, batch)
        moved = "".join(
            name
            for name, net in nets.items()
            if any(not torch.equal(a, b) for a, b in zip(before[name], net.parameters(), strict=True))
        )
        self.moves = [*getattr(self, "moves", []), (loss_fn.__name__, moved)]


def test_each_player_updates_its_own_weights_alone(tmp_path: Path) -> None:
    module = vaegan()
    module.__class__ = Players
    trainer(tmp_path, Clock(g_steps=2, validations=0)).fit(module, datamodule=Finite(batches(4)))
    assert module.moves == [("d_loss", "D"), ("e_loss", "E"), ("g_loss", "G")] * 2
    assert all(parameter.requires_grad for net in module.networks for parameter in net.parameters())


def test_the_clock_is_d_s_and_rounds_are_whole(tmp_path: Path) -> None:
    module = vaegan(n_critic=2)
    module.__class__ = Players
    run = trainer(tmp_path, Clock(g_steps=3, validations=0))
    run.fit(module, datamodule=Finite(batches(4)))
    assert "".join(name[0] for name, _ in module.moves) == "ddeg" * 3
    assert (run.global_step, module.g_step, module.images_seen) == (6, 3, 48)


def test_one_image_has_no_sheet_of_reconstructions() -> None:
    module = vaegan()
    module._shown = batches(1)[0][0][:1], None
    assert module.panels().keys() == {"samples", "traversals"}


def test_annealed_rates_leave_no_room_for_the_encoders_schedule() -> None:
    with pytest.raises(ValueError, match="leave out the players' schedules"):
        vaegan(annealing=Annealing(lr=Span(1.0, 0.5)), e_schedule=Linear())
    vaegan(annealing=Annealing(lr=Span(1.0, 1.0)), e_schedule=Linear())


def test_the_encoders_optimizer_is_one_that_can_be_annealed_too() -> None:
    settings: Any = {name: lambda p: Adam(p, betas=(0.0, 0.9)) for name in ("d_optimizer", "g_optimizer")}
    for make in (sgd(), lambda p: Adam(p, betas=(0.0, 0.4))):  # of which five times 1 - beta2 is above 1
        module = vaegan(annealing=Annealing(one_minus_beta2=Span(5.0, 1.0)), e_optimizer=make, **settings)
        with pytest.raises(ValueError, match="one_minus_beta2 makes nothing in"):
            module.configure_optimizers()


def test_terms_and_their_weights_by_hand() -> None:
    module, (x, y) = vaegan(feature_weight=0.25, kl_weight=2.0), batches(1)[0]
    torch.manual_seed(1)
    terms = module.e_loss(x, y)
    assert terms.keys() == {"e/kl", "e/features"}
    mean, log_variance = module.E(x)
    q = torch.distributions.Normal(mean, torch.exp(0.5 * log_variance))
    kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
    assert abs(terms["e/kl"] - 2 * kl) < 1e-5
    other = torch.randn_like(x)
    difference = module.D.blocks[0](x) - module.D.blocks[0](other)
    assert abs(module.distance(other, x) - 0.5 * difference.square().sum() / len(x)) < 1e-4
    assert module.distance(x, x) == 0
    module.distance = lambda reconstruction, x: torch.tensor(8.0 * len(reconstruction))  # type: ignore[method-assign]
    found = module.g_loss(x, y)
    assert found.keys() == {"g/adv", "g/features"}
    assert found["g/features"] == 0.25 * 8 * 8


@pytest.mark.parametrize("n", [1, 2, 5])
def test_d_sees_a_fake_for_each_image_half_of_them_reconstructions(n: int) -> None:
    module, (x, y) = vaegan(), batches(1, 8)[0]
    x, y = x[:n], y[:n]
    module.G.eval()  # no batch statistics: each image is made by itself
    module.E.eval()
    seen: dict[str, Tensor] = {}

    def look(x: Tensor, fake: Tensor, *rest: Tensor) -> dict[str, Tensor]:
        seen["fake"] = fake
        return {}

    module.d_terms = module.g_terms = look  # type: ignore[method-assign,assignment]
    half = (n + 1) // 2
    torch.manual_seed(1)
    module.d_loss(x, y)
    torch.manual_seed(1)
    z = torch.cat([module.draw(x[:half], y[:half]), module.G.sample_z(n - half)])
    assert (seen["fake"] - module.G(z)).abs().max() < 1e-6
    torch.manual_seed(1)
    module.g_loss(x, y)
    torch.manual_seed(1)
    z = torch.cat([module.draw(x, y)[:half], module.G.sample_z(n - half)])
    assert (seen["fake"] - module.G(z)).abs().max() < 1e-6


def test_a_fake_is_judged_under_the_class_it_was_made_of() -> None:
    module, x, y = vaegan(), batches(1)[0][0][:5], torch.arange(5)
    seen: list[tuple[list[float], list[int]]] = []

    def look(x: Tensor, fake: Tensor, y: Tensor, y_fake: Tensor | None = None) -> dict[str, Tensor]:
        seen.append((fake[:, 0, 0, 0].tolist(), (y if y_fake is None else y_fake).tolist()))
        return {}

    module.G.forward = lambda z, y: y[:, None, None, None].expand(-1, 1, 8, 8).float()  # type: ignore[assignment, index]
    module.d_terms = module.g_terms = look  # type: ignore[method-assign,assignment]
    module.d_loss(x, y)
    module.g_loss(x, y)
    assert seen == [([0, 1, 2, 3, 4], [0, 1, 2, 3, 4])] * 2


def test_every_parameter_gets_a_gradient_from_its_player() -> None:
    module, (x, y) = vaegan(), batches(1)[0]
    for loss_fn, net in ((module.e_loss, module.E), (module.g_loss, module.G)):
        module.zero_grad()
        torch.stack(list(loss_fn(x, y).values())).sum().backward()
        for name, parameter in net.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def train(folder: Path, *callbacks: L.Callback, **settings: Any) -> VAEGAN:
    module = vaegan(ema=EMASettings(decay=0.5), e_schedule=Linear(), d_schedule=Linear(), **settings)
    last = folder / "checkpoints" / "last.ckpt"
    run = trainer(folder, Clock(g_steps=12, validations=2), Checkpoints(every_steps=5), *callbacks)
    run.fit(module, datamodule=Digits(size=8, batch_size=50), ckpt_path=last if last.exists() else None)
    return module


def test_a_resumed_run_ends_where_the_uninterrupted_one_does(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="cut off"):
        train(tmp_path / "cut", CutOff(7))
    assert same(weights(train(tmp_path / "cut")), weights(whole))
    assert distance(weights(train(tmp_path / "other", seed=1)), weights(whole)) > 0
    assert whole.panels().keys() == {"samples", "reconstructions", "traversals"}
    assert {name.split(".")[0] for name in whole.state_dict()} == {"E", "G", "D", "ema"}


def test_a_schedule_of_e_moves_e_alone(tmp_path: Path) -> None:
    rates = []

    class Look(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *args: Any) -> None:
            rates.append([opt.param_groups[0]["lr"] for opt in trainer.optimizers])

    module = vaegan(e_schedule=Linear(), e_optimizer=sgd(0.4), d_optimizer=sgd(0.2), g_optimizer=sgd(0.1))
    trainer(tmp_path, Clock(g_steps=4, validations=0), Look()).fit(module, datamodule=Finite(batches(4)))
    assert rates == [[0.2, 0.1, pytest.approx(0.4 * (1 - i / 4))] for i in range(4)]


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="level must lie between 1 and D's 1 blocks, got 2"):
        vaegan(level=2)
    with pytest.raises(ValueError, match="feature_weight must be above 0"):
        vaegan(feature_weight=0.0)
    with pytest.raises(ValueError, match="g_batch_factor must be 1, as VAE-GAN has one fake an image, got 2"):
        vaegan(g_batch_factor=2)
    for D in (Packed(DCGANDiscriminator(8, 2, width=4)), ConcatDiscriminator(DCGANDiscriminator(8, 4, width=4), 3)):
        with pytest.raises(ValueError, match=f"single images, and those of {type(D).__name__} take more than one"):
            VAEGAN(DCGANEncoder(8, 1, Z, width=4), DCGANGenerator(8, 1, Z, width=4), D, level=1)
