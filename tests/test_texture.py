"""Textures: waves, fields and tiles by laws, quilting against slow references, squares of an exemplar."""

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import place, refused, runs
from PIL import Image
from resuming import ends_alike
from torch import Tensor
from toys import Finite, sgd, trainer

from datamodules.texture import Texture
from experiments.cli import main
from lightning_modules.networks.psgan import PSGANDiscriminator, PSGANGenerator
from lightning_modules.networks.quilting import OverlapErrors, Quilting, cut, quilt, seam
from lightning_modules.texture import ExemplarTexture, TextureGAN

pytestmark = pytest.mark.usefixtures(place.__name__)


def generator(**settings: Any) -> PSGANGenerator:
    torch.manual_seed(0)
    return PSGANGenerator(**{"side": 3, "local": 4, "shared": 3, "waves": 2, "hidden": 5, "widths": (6, 4), **settings})


def gan(**settings: Any) -> TextureGAN:
    G = generator(**settings)
    return TextureGAN(G, PSGANDiscriminator((4, 6), batch_norm=False), d_optimizer=sgd(), g_optimizer=sgd())


# --- networks ------------------------------------------------------------------------------------------------


def test_the_published_sizes() -> None:
    with torch.device("meta"):
        G, D = PSGANGenerator(), PSGANDiscriminator()
        assert G.out_shape == (3, 161, 161)
        assert G(torch.empty(2, G.z_dim, 6, 9)).shape == (2, 3, 161, 257)
        assert D(torch.empty(2, 3, 161, 161)).shape == (2, 6, 6)


def test_waves_by_hand_and_brought_to_a_period() -> None:
    G = generator(shared=0)
    assert G.waves is not None
    z = G.field(1, 4, 5)
    phase = z[:, G.local :]
    k = G.waves.layers(torch.ones(1, 1))[0].detach().view(2, 2)  # down and across, of each wave
    seen = G.seen(z, first=-1).detach()
    for wave, i, j in itertools.product(range(2), range(4), range(5)):
        angle = k[0, wave] * (i - 1) + k[1, wave] * (j - 1) + phase[0, wave, 0, 0]
        assert math.isclose(seen[0, G.local + wave, i, j], math.sin(angle), abs_tol=1e-5)
    assert torch.equal(seen[:, : G.local], z[:, : G.local])
    period = G.seen(torch.cat([z, z], 3), period=(4, 5))
    assert torch.allclose(period[..., :5], period[..., 5:], atol=1e-5)


def test_noise_is_local_shared_and_phases_of_each_texture() -> None:
    z = generator().field(50, 4, 5)
    assert z.shape == (50, 9, 4, 5)
    local, same, phase = z[:, :4], z[:, 4:7], z[:, 7:]
    assert local.std((2, 3)).min() > 0.1
    assert torch.equal(z[:, 4:], z[:, 4:, :1, :1].expand(-1, -1, 4, 5))
    assert same.abs().max() <= 1 < phase.abs().max() <= math.pi


@pytest.mark.parametrize("waves", [0, 2])
def test_a_tile_goes_on_at_its_border(waves: int) -> None:
    G = generator(waves=waves).eval()
    z = G.field(1, 3, 3)
    with torch.no_grad():  # the same field five times each way, of which no border reaches the inner three
        wide = G.layers(G.seen(z.repeat(1, 1, 5, 5), first=-6, period=(3, 3)))
        assert torch.allclose(wide[:, :, 24:96, 24:96], G.tile(z).repeat(1, 1, 3, 3), atol=1e-5)
    with pytest.raises(ValueError, match="a texture that tiles has 3 places or more along each axis, this 2 x 3"):
        G.tile(z[:, :, :2])


def test_a_blend_takes_the_shared_noise_alone() -> None:
    G = generator()
    z, other = G.field(2, 3, 3), G.field(2, 3, 3)
    share = torch.linspace(0, 1, 3).expand(3, 3)
    mixed = G.blend(z, other, share)
    assert torch.equal(mixed[..., 0], z[..., 0])
    assert torch.equal(mixed[:, 4:7, :, 2], other[:, 4:7, :, 2])
    assert torch.equal(mixed[:, :4], z[:, :4])
    assert torch.equal(mixed[:, 7:], z[:, 7:])


def test_every_weight_learns() -> None:
    G, D = generator(), PSGANDiscriminator((4, 6))
    D(G(G.sample_z(3))).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for net in (G, D) for p in net.parameters())


# --- the family ----------------------------------------------------------------------------------------------


def test_textures_of_any_size_have_no_borders() -> None:
    module = gan().eval()
    torch.manual_seed(1)
    large = module.texture(2, 30, 50)
    assert large.shape == (2, 3, 30, 50)
    assert large.dtype == torch.uint8
    torch.manual_seed(1)
    z = module.padded_field(2, 5, 8)
    far = torch.zeros_like(z[..., :1])  # other noise, one place further out than a border reaches
    with torch.no_grad():
        wider = module.inner(torch.cat([z, far], 3), 30, 50)
    assert torch.equal(large, wider)
    assert module.tiled(1, 20, 30).shape == (1, 3, 24, 32)
    assert module.morph(16, 40).shape == (1, 3, 16, 40)
    assert list(module.panels()) == ["samples", "large", "tiled", "morph"]
    with pytest.raises(ValueError, match="PSGANGenerator has no global noise, so one texture: set shared above 0"):
        gan(shared=0).morph(16, 40)


def test_a_texture_gan_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    x = torch.rand(4, 3, 17, 17, generator=torch.Generator().manual_seed(0)) * 2 - 1
    ends_alike(tmp_path, gan, lambda: Endless([(x, torch.zeros(4, dtype=torch.int64))]), [2], 4)


class Endless(Finite):
    """One batch without end."""

    def train_dataloader(self) -> Any:
        return itertools.repeat(self.train[0])


EXPERIMENT = """# A tiny texture GAN.
model:
  class_path: lightning_modules.texture.TextureGAN
  init_args:
    generator:
      class_path: lightning_modules.networks.psgan.PSGANGenerator
      init_args: {side: 3, local: 4, shared: SHARED, waves: 2, widths: [6, 4]}
    discriminator:
      class_path: lightning_modules.networks.psgan.PSGANDiscriminator
      init_args: {widths: [4, 6]}
data:
  class_path: datamodules.texture.Texture
  init_args: {images: [a.png], size: 17, root: ., batch_size: 2}
clock: {g_steps: 1, validations: 0}
evaluation: null
trainer: {accelerator: cpu, logger: false}
"""


def test_textures_of_the_size_that_was_asked_for(capfd: Any) -> None:
    save("a.png", 24, 30)
    for shared in (0, 3):
        Path("tiny.yaml").write_text(EXPERIMENT.replace("SHARED", str(shared)))
        assert main(["fit", "tiny.yaml"]) == 0
    single, several = (str(run) for run in runs())
    for option, size, kind in (
        ("--size", "50x30", "50x30"),
        ("--tiled", "30x20", "32x24"),
        ("--morph", "40X16", "40x16"),
    ):
        assert main(["sample", several, option, size, "--out", "out"]) == 0
        (file,) = Path("out").glob(f"*-{kind}-step1-seed0.png")
        with Image.open(file) as picture:
            assert picture.size == tuple(map(int, kind.split("x")))
    capfd.readouterr()
    assert "--morph: this generator knows one texture alone: take --size or --tiled" in refused(
        capfd, "sample", single, "--morph", "40x16"
    )
    assert "--size expects WIDTHxHEIGHT in px, such as 400x200, got '40'" in refused(
        capfd, "sample", single, "--size", "40"
    )
    two = refused(capfd, "sample", single, "--size", "40x40", "--count", "2")
    assert "--count and --size are two kinds of pictures: give one at a time" in two


# --- quilting ------------------------------------------------------------------------------------------------


def texture(H: int, W: int, seed: int = 0) -> Tensor:
    return torch.randint(256, (3, H, W), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def test_a_seam_is_the_cheapest_of_all_paths() -> None:
    for seed in range(5):
        error = torch.rand(5, 4, generator=torch.Generator().manual_seed(seed))
        paths = [
            path
            for path in itertools.product(range(4), repeat=5)
            if all(abs(a - b) <= 1 for a, b in itertools.pairwise(path))
        ]
        best = min(paths, key=lambda path: sum(float(error[i, j]) for i, j in enumerate(path)))
        assert seam(error).tolist() == list(best)


def test_overlap_errors_by_loops_and_a_cut_along_both_seams() -> None:
    exemplar, old = texture(9, 8), texture(4, 4, 1).float()
    seen = torch.rand(4, 4, generator=torch.Generator().manual_seed(2)).round()
    errors = OverlapErrors(exemplar, 4)(old, seen)
    for i, j in itertools.product(range(6), range(5)):
        slow = ((exemplar[:, i : i + 4, j : j + 4] - old).square() * seen).sum()
        assert torch.allclose(errors[i, j], slow.double(), rtol=1e-6)
    new = old.clone()
    new[:, :, 0], new[:, 0] = 0, 0  # as good as it gets from the second row and column on
    over = cut(new, old, 2, above=True, beside=True)
    assert not over[0, 1:].any()
    assert not over[1:, 0].any()
    assert over[2:, 2:].all()
    assert cut(new, old, 2, above=False, beside=False).all()


def test_quilts_are_sewn_of_the_exemplar() -> None:
    stripes = torch.arange(0, 240, 10, dtype=torch.uint8).repeat(3, 20, 2)  # each column is one grey level
    made = quilt(stripes, (30, 37), 12, torch.Generator().manual_seed(0))
    assert made.shape == (3, 30, 37)
    steps = made[0].int().diff(dim=1)
    assert set(steps.flatten().tolist()) <= {10, -230}  # the order of the stripes has nowhere been broken
    noise = texture(30, 30)
    one, same, other = (quilt(noise, (20, 20), 9, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert {tuple(p) for p in one.flatten(1).T.tolist()} <= {tuple(p) for p in noise.flatten(1).T.tolist()}
    with pytest.raises(ValueError, match=r"the exemplar is 30 x 30 px, smaller than a block of 31: make that smaller"):
        quilt(noise, (20, 20), 31, torch.Generator())
    with pytest.raises(ValueError, match="overlap is 7 px of a block of 12: give 1 up to half of it"):
        quilt(noise, (20, 20), 12, torch.Generator(), 7)


# --- data ----------------------------------------------------------------------------------------------------


def save(name: str, H: int, W: int, seed: int = 0, channels: int = 3) -> Tensor:
    pixels = np.random.RandomState(seed).randint(0, 256, (H, W, channels), dtype=np.uint8)
    Image.fromarray(pixels.squeeze()).save(name)
    return torch.from_numpy(pixels).permute(2, 0, 1)


def test_squares_are_windows_of_the_exemplars_in_turn() -> None:
    exemplars = [save("a.png", 12, 20), save("b.png", 16, 10, 1)]
    data = Texture(["a.png", "b.png"], 8, root=".")
    train, test = data.reference("train"), data.reference("test")
    assert len(train) == 1024
    assert len(test) == 256
    assert not torch.equal(train[:256], test[:])
    for i in range(40):
        exemplar = exemplars[i % 2]
        windows = exemplar.unfold(1, 8, 1).unfold(2, 8, 1).permute(1, 2, 0, 3, 4)
        assert (windows == train[i : i + 1]).flatten(2).all(2).any()
    assert torch.equal(Texture(["a.png", "b.png"], 8, root=".", seed=5).reference("train")[:], train[:])


def test_bad_textures_are_one_sentence() -> None:
    save("a.png", 12, 20)
    save("alpha.png", 12, 12, channels=4)
    with pytest.raises(
        ValueError, match=r"a.png is 20 x 12 px, smaller than a square of 13, which is what the network"
    ):
        Texture(["a.png"], 13, root=".").reference("train")
    with pytest.raises(ValueError, match=r"alpha.png gives no image \(RGBA"):
        Texture(["alpha.png"], 8, root=".").reference("train")
    with pytest.raises(FileNotFoundError, match=r"none\.png: absent"):
        Texture(["none.png"], 8, root=".").reference("train")
    with pytest.raises(ValueError, match=r"there is no texture: set data.init_args.images"):
        Texture([])


def test_what_learns_nothing_is_handed_the_exemplars(tmp_path: Path) -> None:
    exemplar = save("a.png", 24, 30)
    data = Texture(["a.png"], 16, root=".")
    module = ExemplarTexture(Quilting(16, 8))
    trainer(tmp_path).test(module, datamodule=data, verbose=False)
    made = module.sample(2)
    assert made.shape == (2, 3, 16, 16)
    assert {tuple(p) for p in made[0].flatten(1).T.tolist()} <= {tuple(p) for p in exemplar.flatten(1).T.tolist()}
    other = Finite([(torch.zeros(1, 3, 16, 16), torch.zeros(1))])
    with pytest.raises(ValueError, match=r"Finite has no exemplars: take datamodules\.texture\.Texture"):
        trainer(tmp_path).test(ExemplarTexture(Quilting(16, 8)), datamodule=other)
