"""R3GAN: its networks by hand and by second routes, its loss on a linear critic, published sizes, exact resume."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from resuming import ends_alike
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, softplus
from toys import LinearCritic, batches, mlps

from datamodules.digits import Digits
from experiments import catalogue
from lightning_modules.annealing import Annealing
from lightning_modules.augment.pipeline import Pipeline
from lightning_modules.ema import EMASettings
from lightning_modules.losses.adversarial import NonSaturating, RelativisticPairing
from lightning_modules.losses.penalties import R1
from lightning_modules.networks.fir import FIR, DenseFIR
from lightning_modules.networks.r3gan import (
    TAPS,
    Basis,
    Down,
    R3GANDiscriminator,
    R3GANGenerator,
    ResidualBlock,
    Up,
)
from lightning_modules.r3gan import R3GAN

SMALL: dict[str, Any] = {"channels": 1, "widths": (16, 8), "blocks": 2}


def nets(num_classes: int | None = None, seed: int = 0, **settings: Any) -> tuple[R3GANGenerator, R3GANDiscriminator]:
    torch.manual_seed(seed)
    given = {**SMALL, "num_classes": num_classes, **settings}
    return R3GANGenerator(z_dim=6, **given), R3GANDiscriminator(**given)


def awake(net: nn.Module) -> nn.Module:
    """``net`` as if it had learned: the last convolutions of its blocks are not 0."""
    for block in net.modules():
        if isinstance(block, ResidualBlock):
            nn.init.normal_(block.layers[-1].weight, std=0.2)
    return net


# --- sizes -------------------------------------------------------------------------------------------------------

# A block of w maps has 4 w^2 + 292 w weights: 2 w w, 2 w, 2 w * 16 * 9, 2 w and 2 w w.
SIZES = {  # G's and D's
    # Beside 8 blocks of 768 maps: embedding, linear layer, basis and colours; colours, basis, head and embedding.
    "cifar32": (8 * 2_583_552 + 640 + 98_304 + 12_288 + 2_304, 8 * 2_583_552 + 2_304 + 12_288 + 589_824 + 7_680),
    # 2 blocks of 384 maps more, and 768 * 384 where the width changes.
    "ffhq64": (22_429_824, 22_381_440),
    # 2 of 192 and 2 of 96 maps more.
    "ffhq256": (23_057_952, 23_009_568),
    # 8 and 10 blocks of 1536 maps.
    "imagenet32": (8 * 9_885_696 + 289_792, 8 * 9_885_696 + 3_924_480),
    "imagenet64": (10 * 9_885_696 + 289_792, 10 * 9_885_696 + 3_924_480),
}


@pytest.mark.parametrize("preset", SIZES)
def test_the_presets_have_so_many_weights(preset: str) -> None:
    file = yaml.safe_load(catalogue.experiments()[f"r3gan/r3gan_{preset}"].read_text())
    arguments = file["model"]["init_args"]
    with torch.device("meta"):
        G = R3GANGenerator(**arguments["generator"]["init_args"])
        D = R3GANDiscriminator(**arguments["discriminator"]["init_args"])
    assert tuple(sum(w.numel() for w in net.parameters()) for net in (G, D)) == SIZES[preset]
    assert G.out_shape == D.image_shape == (3, *[int(preset.strip("abcdefghijklmnopqrstuvwxyz"))] * 2)


def test_without_arguments_they_are_those_of_cifar10_without_its_classes() -> None:
    with torch.device("meta"):
        sizes = [sum(w.numel() for w in net.parameters()) for net in (R3GANGenerator(), R3GANDiscriminator())]
    assert sizes == [20_781_952 - 640 - 64 * 768, 21_280_512 - 7_680 - 767 * 768]


# --- layers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_classes", [None, 3])
def test_every_weight_of_awake_networks_learns(num_classes: int | None) -> None:
    G, D = map(awake, nets(num_classes))
    y = torch.tensor([0, 1, 2, 0])
    D(G(torch.randn(4, 6), y), y).sum().backward()
    for name, weight in [*G.named_parameters(), *D.named_parameters()]:
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name


def test_a_block_is_what_its_formula_says() -> None:
    torch.manual_seed(0)
    block = ResidualBlock(16, group=8)
    x = torch.randn(2, 16, 5, 5)
    first, bias_1, second, bias_2, last = awake(block).layers  # type: ignore[misc]
    for bias in (bias_1, bias_2):
        nn.init.normal_(bias.bias)
    h = conv2d(x, first.weight) + bias_1.bias
    h = torch.where(h > 0, h, 0.2 * h)
    h = torch.cat([conv2d(h[:, 8 * i : 8 * i + 8], second.weight[8 * i : 8 * i + 8], padding=1) for i in range(4)], 1)
    h = h + bias_2.bias
    h = torch.where(h > 0, h, 0.2 * h)
    assert torch.allclose(block(x), x + conv2d(h, last.weight), atol=1e-5)


def test_resampling_is_the_binomial_filter_on_repeated_pixels() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 6, 8)
    line = torch.tensor([0.25, 0.5, 0.25])
    kernel = (line[:, None] * line).expand(3, 1, 3, 3)
    fir = DenseFIR(TAPS)
    assert torch.allclose(fir.up(x), conv2d(interpolate(x, scale_factor=2), kernel, padding=1, groups=3), atol=1e-6)
    smooth = conv2d(x, kernel, padding=1, groups=3)
    assert torch.allclose(fir.down(x), nn.functional.avg_pool2d(smooth, 2), atol=1e-6)


def test_the_width_changes_at_the_smaller_size() -> None:
    torch.manual_seed(0)
    up, down, fir = Up(4, 6, DenseFIR(TAPS)), Down(4, 6, DenseFIR(TAPS)), FIR(TAPS)
    x = torch.randn(2, 4, 8, 8)
    assert torch.allclose(up(x), fir.up(conv2d(x, up.change.weight)), atol=1e-5)
    assert torch.allclose(down(x), conv2d(fir.down(x), down.change.weight), atol=1e-5)
    assert not list(Up(4, 4, DenseFIR(TAPS)).parameters())
    assert not list(Down(4, 4, DenseFIR(TAPS)).parameters())


class Whole(nn.Module):
    """A block, the filters and the basis of float64."""

    def __init__(self) -> None:
        super().__init__()
        fir = DenseFIR(TAPS)
        self.layers = nn.Sequential(
            ResidualBlock(2, group=2), Down(2, 3, fir), Up(3, 2, fir), ResidualBlock(2, group=2)
        )
        self.basis = Basis(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.basis(self.layers(x))


def test_all_can_be_differentiated_twice() -> None:
    torch.manual_seed(0)
    whole = awake(Whole()).double()
    x = torch.randn(1, 2, 4, 4, dtype=torch.double).requires_grad_()
    assert torch.autograd.gradcheck(whole, x)
    assert torch.autograd.gradgradcheck(whole, x)
    (gradient,) = torch.autograd.grad(whole(x).pow(2).sum(), x, create_graph=True)
    gradient.square().sum().backward()
    for name, weight in whole.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name


def test_half_precision_begins_above_4_px() -> None:
    G, D = map(awake, nets(widths=(16, 8, 8)))
    z = torch.randn(4, 6)
    kinds: list[tuple[int, torch.dtype]] = []

    def note(_: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        kinds.append((output.shape[-1], output.dtype))

    for net in (G, D):
        for block in net.modules():
            if isinstance(block, ResidualBlock):
                block.register_forward_hook(note)  # type: ignore[arg-type]
    exact = G(z)
    logits = D(exact)
    kinds.clear()
    with torch.autocast("cpu", torch.bfloat16):
        image, verdict = G(z), D(exact)
    assert set(kinds) == {(4, torch.float32), (8, torch.bfloat16), (16, torch.bfloat16)}
    assert len(kinds) == 12
    assert image.dtype == verdict.dtype == torch.float32
    assert 0 < (image - exact).abs().max() < 0.1 * exact.std()
    assert 0 < (verdict - logits).abs().max() < 0.1 * logits.std()


# --- classes -----------------------------------------------------------------------------------------------------


def test_a_class_is_beside_z_and_against_the_features() -> None:
    G, D = map(awake, nets(num_classes=3))
    z, x, y = torch.randn(4, 6), torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 0])
    assert not torch.allclose(G(z, y), G(z, y.flip(0)))
    for i in range(4):
        code = torch.nn.functional.one_hot(y[i], 3).float()
        embedded = D.head.weight @ D.features(x)[i]
        assert D(x, y)[i].item() == pytest.approx((embedded @ (D.embed.weight.T @ code)).item(), abs=1e-5)
    assert D.embed.weight.shape == (3, 16)
    with pytest.raises(ValueError, match="label of each sample"):
        D(x)
    with pytest.raises(ValueError, match="label of each sample"):
        G(z)


# --- the family --------------------------------------------------------------------------------------------------


def test_the_objective_on_a_linear_critic() -> None:
    critic = LinearCritic(3.0)
    module = R3GAN(mlps()[0], critic, penalties=None)
    x, y = batches(1)[0]
    torch.manual_seed(1)
    terms = module.d_loss(x, y)
    torch.manual_seed(1)
    fake = module.make_fakes(y).images
    gap = critic(x) - critic(fake)
    assert terms["d/adv"].item() == pytest.approx(softplus(-gap).mean().item(), rel=1e-5)
    assert terms["d/r1"].item() == terms["d/r2"].item() == pytest.approx(0.05 / 2 * 9, rel=1e-5)
    assert set(terms) == {"d/adv", "d/r1", "d/r2"}
    torch.manual_seed(1)
    (adversarial,) = module.g_loss(x, y).values()
    assert adversarial.item() == pytest.approx(softplus(gap).mean().item(), rel=1e-5)


def test_it_starts_with_the_published_settings_and_takes_others() -> None:
    module = R3GAN(*mlps())
    assert isinstance(module.loss, RelativisticPairing)
    assert [(penalty.name, penalty.every, penalty.autocast) for penalty in module.penalties] == [
        ("r1", 1, True),
        ("r2", 1, True),
    ]
    for opt in module.configure_optimizers():
        assert opt.param_groups[0]["lr"] == 2e-4
        assert opt.param_groups[0]["betas"] == (0.0, 0.9)
    assert module.annealing == Annealing(20_000)
    other = R3GAN(*mlps(), loss=NonSaturating(), penalties=[R1(1.0)])
    assert [penalty.name for penalty in other.penalties] == ["r1"]
    assert not other.loss.relativistic


@pytest.mark.parametrize("num_classes", [None, 10])
def test_a_run_that_was_cut_off_in_the_middle_ends_as_the_whole_one(tmp_path: Path, num_classes: int | None) -> None:
    def make() -> R3GAN:
        settings = {"annealing": Annealing(0.016), "augment": Pipeline(0.5), "ema": EMASettings(half_life_kimg=0.01)}
        return R3GAN(*nets(num_classes), **settings)

    ends_alike(tmp_path, make, lambda: Digits(size=8, batch_size=4), cuts=[2, 5], steps=6)


@pytest.mark.parametrize("make", [R3GANGenerator, R3GANDiscriminator])
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"widths": (16, 12)}, "2 x 12 maps are no whole groups of 16: set widths, expansion and group"),
        ({"widths": (16, 0)}, "no whole groups"),
        ({"widths": ()}, "at most 1024 px: got 0 of them"),
        ({"widths": (16,) * 10}, "at most 1024 px: got 10 of them"),
        ({"blocks": 0}, "blocks is 0: give 1 or more"),
    ],
)
def test_bad_settings_cost_one_sentence(make: Any, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make(**{**SMALL, **settings})
