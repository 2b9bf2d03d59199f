"""SinGAN: the pyramid, what learns when, its penalty, resuming within a scale, what is made of it, its scores."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import place, refused, runs
from PIL import Image
from resuming import ends_alike
from torch import Tensor, nn
from torch.nn.functional import pad

from datamodules.functional.resample import resampled
from datamodules.photo import Photo
from experiments.cli import main
from lightning_modules.ema import EMASettings
from lightning_modules.losses.latent_regularisers import LatentConsistency
from lightning_modules.losses.penalties import PixelGradientPenalty
from lightning_modules.networks.singan import SinGANDiscriminator, SinGANGenerator, pyramid
from lightning_modules.schedules import Drop
from lightning_modules.singan import SinGAN

pytestmark = pytest.mark.usefixtures(place.__name__)
SMALL = {"coarsest": 13, "width": 4, "doubled_every": 2}


def small() -> SinGAN:
    torch.manual_seed(0)
    return SinGAN(SinGANGenerator((24, 30), **SMALL), SinGANDiscriminator((24, 30), **SMALL), iterations=2)


def at(family: SinGAN, scale: int) -> SinGAN:
    for player in (family.G, family.D):
        player.enter(scale)
    return family


def test_the_pyramid_by_hand() -> None:
    sizes = pyramid(188, 250)  # 25 / 188 in seven steps of 0.7496
    assert len(sizes) == 9
    assert sizes[0] == (25, 33)
    assert sizes[-1] == (188, 250)
    ratios = [b[0] / a[0] for a, b in pairwise(sizes)]
    assert all(1.2 < ratio < 1.4 for ratio in ratios)
    assert pyramid(25, 40) == [(25, 40)]
    with pytest.raises(ValueError, match="20 x 24 px is smaller than the coarsest scale of 25: give a larger image"):
        pyramid(24, 20)


def test_the_published_network_by_hand() -> None:
    G = SinGANGenerator((188, 250))
    first, last = ([m for m in scale if isinstance(m, nn.Conv2d)] for scale in (G.scales[0], G.scales[-1]))
    assert [conv.weight.shape[:2] for conv in first] == [(32, 3), (32, 32), (32, 32), (32, 32), (3, 32)]
    assert last[1].weight.shape[0] == 128  # doubled twice in nine scales
    assert G.noise_weights.tolist() == [1] + [0] * 8


def test_a_photograph_of_another_shape_names_the_settings() -> None:
    Image.new("RGB", (40, 24)).save("wide.png")
    said = (
        r"24 px high and 40 wide, G's finest scale 24 and 30: set model\.generator\.size and "
        r"model\.discriminator\.size to \[24, 40\]"
    )
    with pytest.raises(ValueError, match=said):
        small().check_data(Photo("wide.png", root="."))


def test_only_the_current_scale_learns_and_those_below_stay_as_they_are() -> None:
    family = at(small(), 1)
    family.G.noise_weights[1] = 0.3
    before = {name: value.clone() for name, value in family.G.scales[0].state_dict().items()}
    x = torch.rand(1, 3, *family.G.sizes[1]) * 2 - 1
    y = torch.zeros(1, dtype=torch.int64)
    torch.stack(list(family.g_loss(x, y).values())).sum().backward()
    learning = {name.split(".")[1] for name, p in family.G.named_parameters() if p.grad is not None}
    assert learning == {"1"}
    torch.stack(list(family.d_loss(x, y).values())).sum().backward()
    assert {name.split(".")[1] for name, p in family.D.named_parameters() if p.grad is not None} == {"1"}
    assert all(torch.equal(value, before[name]) for name, value in family.G.scales[0].state_dict().items())


def test_a_scale_changes_what_the_one_below_made_by_its_residual() -> None:
    G = at(small(), 1).G.eval()
    nn.init.zeros_(G.scales[1][-1].weight)
    nn.init.zeros_(G.scales[1][-1].bias)
    maps = G.draw(2, G.sizes[:2])
    coarse, fine = G.image(maps[:1]), G.image(maps)
    assert torch.allclose(fine, nn.functional.interpolate(coarse, G.sizes[1], mode="bicubic", antialias=True))
    assert coarse.abs().max() <= 1


def test_noise_is_weighed_by_the_error_of_the_scale_below() -> None:
    family = small()
    family.trained_optimizers = lambda: []  # type: ignore[method-assign]
    x = torch.rand(1, 3, *family.G.sizes[1]) * 2 - 1
    with torch.no_grad():
        family.G.eval()
        wrong = family.at_scale(family.G.reconstruction(0), 1) - x
    family.enter(1, x)
    assert family.G.noise_weights[1].item() == pytest.approx(0.1 * wrong.square().mean().sqrt().item(), rel=1e-5)
    assert torch.equal(family.G.scales[1][0].weight, family.G.scales[0][0].weight)  # inherited
    family.enter(2, family.at_scale(x, 2))
    assert family.G.scales[2][0].weight.shape != family.G.scales[1][0].weight.shape  # twice as wide


class Linear(nn.Module):
    """Logits w . x of each pixel."""

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        return (x * torch.tensor([3.0, 4.0, 0.0]).view(1, 3, 1, 1)).sum(1)


def test_the_penalty_of_each_pixel_by_hand() -> None:
    x, fake = torch.rand(2, 2, 3, 5, 6)
    assert PixelGradientPenalty()(Linear(), x, fake, None).item() == pytest.approx(0.1 * (5 - 1) ** 2)


def test_the_rate_drops_in_each_scale() -> None:
    assert [Drop().factor(progress) for progress in (0.0, 0.79, 0.8, 1.0)] == [1.0, 1.0, 0.1, 0.1]
    with pytest.raises(ValueError, match="Drop: at is a share of the run in"):
        Drop(1.0)


def test_what_is_made_of_it_has_the_size_that_was_asked_for() -> None:
    family = at(small(), 3)
    assert family.sample_at(2, 24, 60).shape == (2, 3, 24, 60)
    x = torch.rand(1, 3, 24, 30) * 2 - 1
    assert family.start_from(x, 2, 3).shape == (3, 3, 24, 30)
    assert family.enlarge(x, 2.0).shape == (1, 3, 48, 60)
    mask = torch.zeros(1, 1, 24, 30)
    mask[..., :8, :8] = 1
    changed = family.harmonise(x, mask, 1, border=2)
    assert torch.equal(changed[..., 12:, 12:], x[..., 12:, 12:])
    assert not torch.equal(changed[..., :4, :4], x[..., :4, :4])
    assert family.animate(3).shape == (3, 3, 24, 30)
    walk = family.animate(2, start=family.G.current + 1)
    assert torch.equal(walk[0], walk[1])  # no scale walks
    with pytest.raises(ValueError, match="there is no scale 4 to start at: give 1 up to 3"):
        family.start_from(x, 4)


@pytest.mark.parametrize("sigma", [0.5, 0.0])
@torch.no_grad()
def test_what_is_enlarged_meets_noise_at_each_step(sigma: float) -> None:
    """1.44 times is two steps at sides 20 and 24; without a weight of the noise the seed says nothing."""
    family, x = at(small(), 3), torch.rand(1, 3, 24, 30) - 0.5
    family.G.noise_weights[3] = sigma
    found = [(torch.manual_seed(seed), family.enlarge(x, 1.44))[1] for seed in (2, 1)]
    torch.manual_seed(1)
    for size in ((29, 36), (35, 43)):
        x = resampled(x, size)
        x = x + family.G.eval().scales[3](pad(x + sigma * torch.randn(1, 3, *size), (5,) * 4)).tanh()
    assert torch.allclose(found[1], x.clamp(-1, 1), atol=1e-5)
    assert torch.equal(*found) == (sigma == 0)


def test_a_walk_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step is 0.9 of the whole way from the place before, what drew it back included, and 0.1 of noise."""
    family = at(small(), 1)
    places: list[list[Tensor]] = []

    def image(place: list[Tensor]) -> Tensor:
        places.append([z.clone() for z in place])
        return torch.zeros(1, 3, 8, 8)

    monkeypatch.setattr(family.G, "image", image)
    torch.manual_seed(3)
    family.animate(400, start=1)
    torch.manual_seed(3)
    place, before = torch.zeros_like(places[0][1]), torch.zeros_like(places[0][1])
    for found in places:
        step = 0.9 * (place - before) + 0.1 * torch.randn_like(place)
        before, place = place, 0.9 * (place + step)
        assert torch.equal(found[0], family.G.fixed)
        assert torch.allclose(found[1], place)
    assert torch.cat([found[1] for found in places[50:]]).std().item() == pytest.approx(0.47, abs=0.05)


def test_what_its_scales_have_no_use_for_is_refused() -> None:
    players = SinGANGenerator((24, 30), **SMALL), SinGANDiscriminator((24, 30), **SMALL)
    with pytest.raises(ValueError, match="ema: scales are trained one after the other"):
        SinGAN(*players, ema=EMASettings(decay=0.9))
    with pytest.raises(ValueError, match="LatentConsistency: SinGAN makes no image of noise alone"):
        SinGAN(*players, regularisers=[LatentConsistency()])


EXPERIMENT = """# Tiny.
model:
  class_path: lightning_modules.singan.SinGAN
  init_args:
    generator:
      class_path: lightning_modules.networks.singan.SinGANGenerator
      init_args: {size: [16, 18], coarsest: 12, width: 4}
    discriminator:
      class_path: lightning_modules.networks.singan.SinGANDiscriminator
      init_args: {size: [16, 18], coarsest: 12, width: 4}
    iterations: 3
    n_critic: 2
    n_gen: 2
data: {class_path: datamodules.photo.Photo, init_args: {image: p.png, root: .}}
clock: {g_steps: 12, validations: 2}
evaluation: null
photo: {samples: 2}
trainer:
  accelerator: cpu
  log_every_n_steps: 1
  logger: [{class_path: lightning_modules.callbacks.loggers.JsonlLogger}]
"""


def photograph(H: int = 24, W: int = 30) -> None:
    pixels = np.random.RandomState(0).randint(0, 256, (H, W, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("p.png")


def test_a_run_cut_off_within_scales_and_between_them_ends_alike(tmp_path: Path) -> None:
    photograph()
    family = ends_alike(tmp_path, small, lambda: Photo("p.png", root="."), [2, 6, 9, 20], 24, looks=1)
    assert family.G.current == 3
    assert family.G.noise_weights.min() > 0


def test_a_run_scores_layout_and_patches_beside_windows(capfd: pytest.CaptureFixture[str]) -> None:
    photograph(16, 18)
    Path("singan.yaml").write_text(EXPERIMENT)
    assert main(["fit", "singan.yaml"]) == 0
    (scores,) = json.loads((runs()[-1] / "record.json").read_text())["scores"]
    assert len(scores["protocol"]["photo_sha256"]) == 64
    found = scores["last"]["metrics"]
    assert set(found) == {"layout", "patches", "layout@windows", "patches@windows"}
    assert found["patches@windows"] == 0
    assert found["layout@windows"] > 0
    assert {path.name.split("-")[0] for path in (runs()[-1] / "samples").iterdir()} == {"samples", "wide", "starts"}
    capfd.readouterr()
    assert "photo: a GAN on Digits samples no photograph; set it to null" in refused(
        capfd, "fit", "tiny.yaml", "--photo", "{}"
    )
    said = refused(capfd, "fit", "singan.yaml", "--data.init_args.side", "20")
    assert "p.png is 18 x 16 px, smaller than 20" in said


def singan_run() -> str:
    photograph(16, 18)
    Path("singan.yaml").write_text(EXPERIMENT)
    assert main(["fit", "singan.yaml", "--photo", "null", "--clock.validations", "1"]) == 0
    return str(runs()[-1])


def size(path: str) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_the_command_makes_pictures_of_a_run(capfd: pytest.CaptureFixture[str]) -> None:
    run = singan_run()
    assert main(["photo", run, "sample", "--size", "30x20"]) == 0
    assert size("sample.png") == (30, 20)
    assert main(["photo", run, "enlarge", "--times", "3"]) == 0
    assert size("enlarge.png") == (54, 48)
    assert main(["photo", run, "animate", "--frames", "3"]) == 0
    with Image.open("animate.webp") as walk:
        assert (walk.format, walk.size) == ("WEBP", (18, 16))  # equal frames of hardly trained networks are one
    mask = np.zeros((16, 18), np.uint8)
    mask[:2, :2] = 255
    Image.fromarray(mask).save("m.png")
    assert main(["photo", run, "remake", "--image", "p.png", "--mask", "m.png", "--scale", "1"]) == 0
    assert size("remake.png") == (18, 16)
    capfd.readouterr()
    sentences = {
        ("jump",): "photo does one of sample, remake, enlarge, animate: `atelier photo RUN_DIR sample`",
        ("sample", "--image", "p.png", "--out", "a.png"): "--image has no meaning for sample: leave it out",
        ("sample", "--out", "sample.png"): "sample.png exists and is not overwritten: give another --out",
        ("sample", "--size", "30", "--out", "a.png"): "--size expects WIDTHxHEIGHT in px, such as 400x200, got '30'",
        ("animate", "--out", "walk"): "--out is walk: give a file that ends in .webp",
        ("sample", "--out", "t.jpg"): "--out is t.jpg: give a file that ends in .png",
        ("remake", "--out", "a.png"): "remake needs a picture: --image FILE, a painting, an edited photograph",
        ("remake", "--out", "a.png", "--image", "x.png"): "there is no image at x.png",
        ("remake", "--out", "a.png", "--image", "p.png", "--scale", "9"): "there is no scale 9 to start at: give 1 up",
    }
    for words, sentence in sentences.items():
        assert sentence in refused(capfd, "photo", run, *words)
