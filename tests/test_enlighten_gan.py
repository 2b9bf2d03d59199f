"""EnlightenGAN: its losses by hand, attention, patches, pairs torn apart, both D one player, resume, what it learns."""

from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import place
from resuming import ends_alike
from test_cyclegan import Gain, Mean, flat
from test_low_light import dark, drawn, made, picture, save
from test_low_light_families import SIDE, Pairs, pairs
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.optim import Adam
from toys import distance, sgd, trainer, weights

from datamodules.low_light import UnpairedLowLight
from lightning_modules.callbacks.clock import Clock
from lightning_modules.ema import EMASettings
from lightning_modules.enlighten_gan import EnlightenGAN
from lightning_modules.losses.adversarial import NonSaturating, RelativisticPairing
from lightning_modules.losses.enlighten import RelativisticAverageLeastSquares, SelfFeaturePreserving
from lightning_modules.losses.reconstruction import L1
from lightning_modules.networks.enlighten import EnlightenUNet, darkness
from lightning_modules.networks.identity import Identity
from lightning_modules.networks.patchgan import PatchGAN

PIXELS: Any = SelfFeaturePreserving(Identity())


def by_hand(**settings: Any) -> EnlightenGAN:
    return EnlightenGAN(Gain(0.5), Mean(2.0), Mean(-1.0), **{"preserving": L1(3.0), "patch": 4, **settings})


def small(norm: Any = "batch", **settings: Any) -> EnlightenGAN:
    torch.manual_seed(0)
    judges = PatchGAN(3, 0, 2, 4, "none"), PatchGAN(3, 0, 1, 4, "none")
    return EnlightenGAN(
        EnlightenUNet(2, 4, norm), *judges, **{"preserving": PIXELS, "patch": 8, "patches": 2, **settings}
    )


# --- losses ------------------------------------------------------------------------------------------------------


def test_relativistic_average_least_squares_by_hand() -> None:
    loss, real, fake = RelativisticAverageLeastSquares(), torch.tensor([1.0, 3.0]), torch.tensor([0.0, 2.0])
    assert loss.d(real, fake).item() == pytest.approx((1 + 1) / 2 + (4 + 0) / 2)  # 0 and 2 short of 1; -2 and 0 of 0
    assert loss.g(real, fake).item() == pytest.approx((9 + 1) / 2 + (0 + 4) / 2)  # -2 and 0 short of 1; 0 and 2 of 0
    assert loss.d(real + 5, fake + 5).item() == pytest.approx(loss.d(real, fake).item())  # no level counts
    assert loss.d(real.flip(0), fake).item() == loss.d(real, fake).item()  # nor who stands beside whom
    assert loss.d(torch.ones(2, 3, 3), torch.zeros(5, 3, 3)).item() == 1  # reals are 1 more, fakes 1 less
    with pytest.raises(ValueError, match="needs D"):
        loss.g(None, fake)


def test_what_is_preserved_forgives_gain_and_offset_of_a_channel_and_nothing_else() -> None:
    torch.manual_seed(0)
    y = torch.rand(2, 3, 8, 8)
    gain, offset = torch.tensor([0.5, 2, 3]).view(3, 1, 1), torch.tensor([0.1, 0, -0.2]).view(3, 1, 1)
    assert PIXELS(gain * y + offset, y).item() == pytest.approx(0, abs=1e-6)
    assert PIXELS(1 - y, y).item() == pytest.approx(4, rel=1e-2)  # +-1 in the mean against -+1
    assert SelfFeaturePreserving(Identity(), 0.5, L1())(y.flip(3), y) > 0.1
    stripes = torch.tensor([0.2, 0.6]).repeat(4).expand(1, 3, 8, 8)  # normalised -1 and 1
    half = stripes.clone()
    half[..., 4:] = 0.4  # normalised, and so sqrt 2 times as far out: -r and r in one half, 0 in the other
    r = 2**0.5
    assert PIXELS(half, stripes).item() == pytest.approx(((r - 1) ** 2 + 1) / 2, rel=1e-2)


def test_the_dark_image_is_no_way_out_of_what_is_preserved() -> None:
    y, fake = (torch.rand(1, 3, 8, 8, requires_grad=True) for _ in range(2))
    PIXELS(fake, y).backward()
    assert y.grad is None
    assert fake.grad is not None
    assert fake.grad.abs().sum() > 0


# --- network -----------------------------------------------------------------------------------------------------


def test_attention_is_darkness() -> None:
    y = torch.tensor([[1.0, 1, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])[:, :, None, None]
    assert darkness(y).flatten().tolist() == pytest.approx([0, 1, 0.701, 0.413, 0.886], abs=1e-4)


def test_a_white_pixel_is_untouched_and_no_other() -> None:
    torch.manual_seed(0)
    net, y = EnlightenUNet(2, 4, norm="none"), torch.rand(1, 3, 8, 8) * 0.8
    y[:, :, 2:4, 5] = 1.0
    nn.init.normal_(net.head.weight)
    white = (y == 1).all(1, keepdim=True).expand_as(y)
    answer = net(y)
    assert torch.equal(answer[white], y[white])
    assert (answer != y)[~white].all()
    image, residual, attention = net.explain(y)
    assert torch.allclose(answer, image + residual * attention)
    with pytest.raises(ValueError, match="10x8 cannot be halved 2 times: give sides that are multiples of 4"):
        net(torch.rand(1, 3, 10, 8))
    with pytest.raises(ValueError, match="depth is 0"):
        EnlightenUNet(0)


def test_the_map_weighs_the_features_of_every_scale() -> None:
    torch.manual_seed(0)
    net = EnlightenUNet(2, 4, norm="none")
    for parameter in net.parameters():
        nn.init.normal_(parameter, 0, 0.3)
    x, other = torch.rand(2, 1, 4, 8, 8)

    def changes(*shown: bool) -> float:
        maps = [torch.full((1, 1, 8 // 2**i, 8 // 2**i), float(on)) for i, on in enumerate(shown)]
        return (net.residual(x, maps) - net.residual(other, maps)).abs().max().item()

    assert changes(False, False, False) == 0  # where it is white at every scale nothing comes through
    assert all(changes(*(i == j for j in range(3))) > 1e-3 for i in range(3))
    seen: list[list[Tensor]] = []
    net.residual = lambda x, attention: seen.append(attention) or x[:, :3]  # type: ignore[method-assign,func-returns-value]
    y = torch.rand(1, 3, 8, 8)
    net(y)
    whole = darkness(y)
    for i, attention in enumerate(seen[0]):  # the darkest pixel of each square
        assert torch.equal(attention, whole.unfold(2, 2**i, 2**i).unfold(3, 2**i, 2**i).amax((4, 5)))


def test_every_weight_learns() -> None:
    torch.manual_seed(0)
    net = EnlightenUNet(2, 4, norm="none")
    net(torch.rand(2, 3, 16, 16)).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


# --- family ------------------------------------------------------------------------------------------------------


def test_terms_by_hand_of_pairs_torn_apart() -> None:
    nothing = float("nan")  # what no D may see
    x, y = flat(nothing, nothing, 0.4, 0.6), flat(0.2, 0.8, nothing, nothing)  # G(y) = 0.1 and 0.4
    module = by_hand()  # D(x) = 0.8 and 1.2, D(G(y)) = 0.2 and 0.8; of patches -0.4, -0.6 and -0.1, -0.4
    terms = module.d_loss(x, y)
    torch.stack(list(terms.values())).sum().backward()
    assert module.G.w.grad is None
    found = {name: term.item() for name, term in terms.items()}
    reals = ((0.8 - 0.5 - 1) ** 2 + (1.2 - 0.5 - 1) ** 2) / 2
    local = (1.4**2 + 1.6**2) / 2 + (0.1**2 + 0.4**2) / 2
    assert found == pytest.approx({"d/adv": reals + ((0.2 - 1) ** 2 + (0.8 - 1) ** 2) / 2, "d/adv_local": local}, 1e-5)
    found = {name: term.item() for name, term in module.g_loss(x, y).items()}
    by = {
        "g/adv": ((0.2 - 2) ** 2 + (0.8 - 2) ** 2) / 2 + (0.3**2 + 0.7**2) / 2,
        "g/adv_local": (1.1**2 + 1.4**2) / 2,
        "g/l1": 3 * (0.1 + 0.4) / 2,
        "g/l1_local": 3 * (0.1 + 0.4) / 2,
    }
    assert found == pytest.approx(by, rel=1e-5)


def test_settings_of_the_terms() -> None:
    x, y = flat(0.4, 0.6), flat(0.2, 0.8)
    unpaired = by_hand(paired=False, preserving=None, loss=NonSaturating(), local_loss=RelativisticPairing())
    found = unpaired.g_loss(x, y)
    assert set(found) == {"g/adv", "g/adv_local"}
    by = torch.log1p(torch.exp(-torch.tensor([0.2, 0.8]))).mean().item()  # all of the batch, reals or not
    assert found["g/adv"].item() == pytest.approx(by)
    by = torch.log1p(torch.exp(torch.tensor([-0.4 + 0.1, -0.6 + 0.4]))).mean().item()
    assert found["g/adv_local"].item() == pytest.approx(by)


def test_patches_are_whole_pieces_of_their_image_from_anywhere() -> None:
    rows, columns = torch.arange(6.0), torch.arange(7.0)
    grid = torch.stack([*torch.meshgrid(rows, columns, indexing="ij"), torch.zeros(6, 7)])
    images = grid + torch.tensor([0.0, 0, 1]).view(3, 1, 1) * torch.arange(3.0).view(3, 1, 1, 1)  # its number, too
    torch.manual_seed(0)
    cut = by_hand(patch=4, patches=50).cut(images)
    assert cut.shape == (150, 3, 4, 4)
    assert cut[:, 2].flatten(1).unique(dim=1).flatten().tolist() == [0.0] * 50 + [1.0] * 50 + [2.0] * 50
    corner = cut[:, :2, :1, :1]
    assert torch.equal(cut[:, :2] - corner, grid[:2, :4, :4].expand(150, -1, -1, -1))
    assert corner.flatten(1).unique(dim=0).tolist() == [[r, c] for r in range(3) for c in range(4)]


def test_what_is_preserved_of_patches_is_at_the_same_place() -> None:
    module = by_hand(preserving=SelfFeaturePreserving(Identity()))
    x, y = pairs(1, 4)[0]
    assert module.g_loss(x, y)["g/self_features_local"].item() == pytest.approx(0, abs=1e-3)  # G only scales


class Order(EnlightenGAN):
    """Notes whose weights moved in which update."""

    def update(self, opt: Any, loss_fn: Any, batch: Any) -> None:
        before = {name: value.detach().clone() for name, value in self.named_parameters()}
        super().update(opt, loss_fn, batch)
        moved = [name for name, value in self.named_parameters() if not torch.equal(value, before[name])]
        players = {name.split(".")[1] if name.startswith("D") else "G" for name in moved}
        self.moves = [*getattr(self, "moves", []), (loss_fn.__name__, players)]


def test_both_discriminators_are_one_player(tmp_path: Path) -> None:
    module = small(d_optimizer=sgd(), g_optimizer=sgd())
    module.__class__ = Order
    run = trainer(tmp_path, Clock(g_steps=2, validations=0))
    run.fit(module, datamodule=Pairs(pairs(2, 4)))
    step = [("d_loss", {"of_images", "of_patches"}), ("g_loss", {"G"})]
    assert module.moves == step * 2
    assert (run.global_step, module.g_step, module.images_seen) == (2, 2, 8)


@pytest.mark.usefixtures(place.__name__, made.__name__)
def test_a_run_that_was_cut_off_ends_as_the_whole_one(tmp_path: Path) -> None:
    make = lambda: small(ema=EMASettings(decay=0.5))  # noqa: E731
    module = ends_alike(tmp_path, make, lambda: dark(patch=SIDE), cuts=[2], steps=4, looks=2)
    assert distance(weights(make()), weights(module)) > 1e-4


def test_it_brings_four_images_nearer_to_answers_that_it_never_saw_beside_them(tmp_path: Path) -> None:
    torch.manual_seed(1)
    x = interpolate(0.3 + 0.6 * torch.rand(4, 3, 4, 4), scale_factor=4.0)
    y = 0.4 * x
    settings: Any = {f"{player}_optimizer": lambda p: Adam(p, lr=5e-3, betas=(0.5, 0.999)) for player in "dg"}
    module = small("none", patches=1, **settings)
    batch = x.repeat(2, 1, 1, 1), y.repeat(2, 1, 1, 1)
    before = (module(y) - x).square().mean()
    trainer(tmp_path, max_steps=60).fit(module, datamodule=Pairs([batch] * 60))
    after = (module(y) - x).square().mean()
    assert after < (y - x).square().mean() / 4
    assert after < before / 2


def test_bad_settings_and_data_cost_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="patch and patches are 1 or more, got 4 and 0"):
        by_hand(patches=0)
    with pytest.raises(ValueError, match="patches of 32 px, the data module gives images of 16x16: set patch"):
        trainer(tmp_path, max_steps=1).fit(by_hand(patch=32), datamodule=Pairs(pairs(1)))
    with pytest.raises(ValueError, match=r"a pair alone cannot be torn apart: set data\.init_args\.batch_size"):
        by_hand().d_loss(flat(0.5), flat(0.2))
    with pytest.raises(ValueError, match=r"gives features of shape \(1, 1, 1, 1\): instance norm needs maps"):
        SelfFeaturePreserving(nn.AdaptiveAvgPool3d(1))(flat(0.5), flat(0.2))


def test_unpaired_folders_feed_it_in_unit_range(tmp_path: Path) -> None:
    for kind, level, count in (("trainA", 1, 3), ("trainB", 8, 5), ("testA", 1, 2), ("testB", 8, 2)):
        for i in range(count):
            save(tmp_path / f"light/{kind}/{i}.png", picture(i) // 8 * level)
    data = UnpairedLowLight(["light"], ["light"], load=None, patch=16, batch_size=4, root=str(tmp_path))
    module = small(paired=False)
    trainer(tmp_path, max_steps=2).fit(module, datamodule=data)
    x, y = drawn(data, torch.arange(4))
    assert 0.5 < x.max() <= 1
    assert 0 <= y.min() <= y.max() <= 31 / 255
    assert module.apart(x, y)[0] is x
