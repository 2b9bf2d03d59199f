"""PacGAN's packing by hand, and how losses and penalties see packs."""

from pathlib import Path

import pytest
import torch
from network_laws import every_parameter_gets_a_gradient
from toys import SHAPE, Finite, LinearCritic, batches, batches_with_noise, dcgans, mlps, told_gan, trainer, weights

from lightning_modules.augment.diff_augment import Contrast, DiffAugment
from lightning_modules.gan import GAN
from lightning_modules.losses.penalties import R1, R2, GradientPenalty
from lightning_modules.networks.conditional import ConcatDiscriminator
from lightning_modules.networks.dcgan import DCGANDiscriminator
from lightning_modules.networks.mlp import MLPDiscriminator
from lightning_modules.networks.pacgan import Largest, Maxout, MaxoutDiscriminator, PlaneGenerator
from lightning_modules.networks.packed import Packed


def linear(m: int) -> Packed:
    """A linear critic of packs: 3 in norm."""
    return Packed(LinearCritic(3.0, (m * SHAPE[0], *SHAPE[1:])), m)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_a_pack_is_judged_as_one(m: int) -> None:
    D, x = linear(m), torch.randn(6, *SHAPE)
    by_hand = [(x[m * i : m * i + m].flatten() * D.discriminator.w.flatten()).sum() for i in range(6 // m)]  # type: ignore[operator]
    assert torch.allclose(D(x), torch.stack(by_hand), atol=1e-5)


def test_points_stand_one_behind_the_other() -> None:
    D = Packed(LinearCritic(1.0, (6,)), 3)
    x = torch.arange(12.0).view(6, 2)
    assert torch.equal(D.pack(x), torch.arange(12.0).view(2, 6))
    assert D(x).shape == (2,)


def test_channels_last_changes_no_pack() -> None:
    x = torch.randn(4, 3, 8, 8)
    D = Packed(DCGANDiscriminator(8, 6, width=4), 2)
    assert torch.equal(D.pack(x.contiguous(memory_format=torch.channels_last)), D.pack(x))
    assert torch.equal(D.pack(x)[1], torch.cat([x[2], x[3]]))


def test_packs_of_one_are_no_packs(tmp_path: Path) -> None:
    found = []
    for pack in (False, True):
        module = told_gan(penalties=[R1(2.0), GradientPenalty(1.0)], one_pass=True)
        if pack:
            module.D = Packed(module.D, 1)
        trainer(tmp_path, max_steps=2).fit(module, datamodule=Finite(batches_with_noise(2)))
        found.append((module.rows, weights(module.G)))
    assert found[0][0] == found[1][0]
    assert all(torch.equal(found[0][1][name], found[1][1][name]) for name in found[0][1])


@pytest.mark.parametrize("one_pass", [False, True])
def test_zero_centred_penalties_take_the_gradient_of_the_whole_pack(one_pass: bool) -> None:
    module = GAN(mlps()[0], linear(2), penalties=[R1(0.5), R2(4.0)], one_pass=one_pass)
    terms = module.d_loss(*batches(1)[0])
    assert terms["d/r1"].item() == pytest.approx(0.5 / 2 * 9, abs=1e-5)  # not 9/2: a sample's half of it
    assert terms["d/r2"].item() == pytest.approx(4.0 / 2 * 9, abs=1e-5)
    terms["d/r1"].backward()
    w = module.D.discriminator.w  # type: ignore[union-attr]
    assert torch.allclose(w.grad, 0.5 * w, atol=1e-6)  # type: ignore[arg-type, operator]


def test_the_gradient_penalty_has_its_unit_norm_over_the_pack() -> None:
    terms = GAN(mlps()[0], linear(2), penalties=[GradientPenalty(10.0)]).d_loss(*batches(1)[0])
    assert terms["d/gp"].item() == pytest.approx(10 * (3 - 1) ** 2, abs=1e-3)


def test_single_samples_are_augmented_before_they_are_packed() -> None:
    augment = DiffAugment([Contrast(0.0)])
    x = torch.randn(4, *SHAPE)
    assert torch.allclose(
        GAN(mlps()[0], linear(2), augment=augment).judge(x, x, x, []).real.logits, linear(2)(x), atol=1e-5
    )


def test_g_learns_through_packs_and_every_weight_of_d() -> None:
    G, _ = dcgans()
    D = Packed(DCGANDiscriminator(8, 2, width=4, batch_norm=False), 2)
    module = GAN(G, D, g_batch_factor=2)
    x, y = batches(1)[0]
    module.g_loss(x, y)["g/adv"].backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in G.parameters())
    every_parameter_gets_a_gradient(lambda: Packed(DCGANDiscriminator(8, 2, width=4), 2), (1, 8, 8))


def test_blocks_and_weights_are_the_inner_ones(tmp_path: Path) -> None:
    inner = MLPDiscriminator((2, 8, 8), width=8)
    D = Packed(inner, 2)
    assert D.blocks is inner.blocks
    assert set(D.state_dict()) == {f"discriminator.{name}" for name in inner.state_dict()}
    module = GAN(mlps()[0], D, freeze_d=1)
    before = weights(D)
    trainer(tmp_path, max_steps=1).fit(module, datamodule=Finite(batches(1)))
    moved = {name for name, value in weights(D).items() if not torch.equal(value, before[name])}
    assert moved
    assert not any(name.startswith("discriminator.blocks.0.") for name in moved)


class Seeing(LinearCritic):
    """Remembers what it was shown."""

    def features(self, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        self.seen = x
        return x


def test_labels_travel_as_planes_of_their_samples() -> None:
    inner = Seeing(1.0, (2 * 11, 8, 8))
    ConcatDiscriminator(Packed(inner, 2), num_classes=10).features(torch.zeros(4, 1, 8, 8), torch.tensor([3, 0, 9, 9]))
    assert inner.seen[0, :, 0, 0].nonzero().flatten().tolist() == [1 + 3, 11 + 1 + 0]
    assert inner.seen[1, :, 0, 0].nonzero().flatten().tolist() == [1 + 9, 11 + 1 + 9]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Packed(MLPDiscriminator((2,)), 0), "m must be 1 or more, got 0"),
        (lambda: Packed(ConcatDiscriminator(MLPDiscriminator((12,))), 2), "put the ConcatDiscriminator around Packed"),
        (lambda: linear(3)(torch.zeros(4, *SHAPE)), "4 samples are no packs of 3: make batch_size"),
    ],
)
def test_what_cannot_be_packed_is_refused(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        make()


# --- the paper's networks -----------------------------------------------------------------------------------


def test_maxout_by_hand() -> None:
    layer = Maxout(1, 2, pieces=3)
    with torch.no_grad():
        layer.linear.weight.copy_(torch.tensor([[1.0], [2.0], [-1.0], [0.5], [0.0], [0.0]]))  # piece by piece
        layer.linear.bias.copy_(torch.tensor([0.0, 0.0, 0.0, 0.0, 0.25, -1.0]))
    assert layer(torch.tensor([[0.1], [-2.0]])).flatten().tolist() == pytest.approx([0.25, 0.2, 2.0, -1.0])


def test_gradients_of_the_largest_piece_are_those_of_amax_twice() -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 5, 7, dtype=torch.float64, requires_grad=True)
    towards = torch.randn(6, 7, dtype=torch.float64)

    def derived(largest) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[no-untyped-def]
        (first,) = torch.autograd.grad((largest(x).square() * towards).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), x)
        return first, second

    for got, asked in zip(derived(Largest.apply), derived(lambda x: x.amax(1)), strict=True):
        assert got.count_nonzero() == 6 * 7
        torch.testing.assert_close(got, asked)


def test_the_networks_are_those_of_the_paper() -> None:
    G, D = PlaneGenerator(), MaxoutDiscriminator((4,))
    assert sum(p.numel() for p in G.parameters()) == 2 * 400 + 3 * 400**2 + 4 * 2 * 400 + 400 * 2 + 2
    assert sum(p.numel() for p in D.parameters()) == 4 * 1000 + 1000 + 2 * (200 * 1000 + 1000) + 200 + 1
    assert G(G.sample_z(5)).shape == (5, 2)
    assert D(torch.randn(5, 4)).shape == (5,)
    every_parameter_gets_a_gradient(lambda: MaxoutDiscriminator((4,), width=8), (4,))
    G(torch.randn(9, 2)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in G.parameters())


def test_batch_norm_sees_the_samples_of_a_pack_apart() -> None:
    torch.manual_seed(0)
    G = PlaneGenerator(width=8, depth=1, eps=1e-4, batch_norm_parts=2)
    z = torch.randn(6, 2)
    linear, norm, _, last = G.layers
    inside, made = linear(z), G(z)
    for part in (0, 1):
        own = inside[part::2]
        normal = (own - own.mean(0)) / (own.var(0, unbiased=False) + 1e-4).sqrt()
        torch.testing.assert_close(made[part::2], last(normal.relu()))
    halves = [inside[part::2].mean(0) for part in (0, 1)]
    torch.testing.assert_close(norm.running_mean, 0.025 * (0.975 * halves[0] + halves[1]))
    alone = G.eval()(z[:5])
    torch.testing.assert_close(G(z)[:5], alone)
    with pytest.raises(ValueError, match="a batch of 5 does not fall into 2 parts of batch norm: make it a multiple"):
        G.train()(z[:5])
    with pytest.raises(ValueError, match="batch_norm_parts must be 1 or more, got 0"):
        PlaneGenerator(batch_norm_parts=0)
