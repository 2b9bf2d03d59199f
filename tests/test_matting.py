"""Matting: what the losses look at, the networks' stages, what D sees, the scores of a test, classic methods."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from command_line import place, refused
from network_laws import every_parameter_gets_a_gradient
from test_matting_data import files
from torch import Tensor, nn

from datamodules.functional.matting import composed, foreground, levelled
from datamodules.matting import MattingCompositions
from experiments.cli import main
from lightning_modules.losses.reconstruction import L1
from lightning_modules.matting import AlphaGAN, DeepMatting
from lightning_modules.networks.base import Network
from lightning_modules.networks.matting import AlphaGANMatting, DeepImageMatting, TrimapMean
from lightning_modules.networks.patchgan import PatchGAN
from lightning_modules.tools.classic_matting import ClosedFormMatting, KNNMatting

pytestmark = pytest.mark.usefixtures(place.__name__)


class Says(Network):
    """One alpha everywhere."""

    def __init__(self, alpha: float) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor(alpha))

    def forward(self, y: Tensor) -> Tensor:
        return self.alpha.expand_as(y[:, 3:])


def batch(side: int = 8, N: int = 2) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compositions of noise, unknown in two columns."""
    torch.manual_seed(0)
    trimap = torch.zeros(N, 1, side, side)
    trimap[..., side // 2 :] = 1
    trimap[..., side // 2 - 1 : side // 2 + 1] = 128 / 255
    x = torch.where((trimap > 0) & (trimap < 1), torch.rand_like(trimap), trimap)
    front, back = torch.rand(2, N, 3, side, side)
    return x, torch.cat([composed(front, x, back), trimap], 1), front, back


def test_losses_are_means_over_the_band_alone_by_hand() -> None:
    x, y, front, back = batch()
    family = DeepMatting(Says(0.25), [L1(2.0)], [L1()])
    terms = family.terms(x, y, front, back)
    wrong = (0.25 - x)[..., 3:5]
    assert terms["alpha_l1"].item() == pytest.approx(2 * wrong.abs().mean().item(), rel=1e-5)
    colours = (wrong * (front - back)[..., 3:5]).abs().mean()
    assert terms["composition_l1"].item() == pytest.approx(colours.item(), rel=1e-5)
    assert DeepMatting(Says(0.25)).terms(x, y, front, back).keys() == {"alpha_charbonnier", "composition_charbonnier"}


def test_what_the_trimap_is_sure_of_is_neither_learned_nor_answered() -> None:
    x, y, front, back = batch()
    alpha = torch.rand_like(x).requires_grad_()
    family = DeepMatting(Says(7.0))
    sum(family.compare_mattes(alpha, x, y, front, back).values()).backward()
    assert alpha.grad is not None
    assert bool((alpha.grad[..., 3:5] != 0).all())
    assert alpha.grad.abs().sum() == alpha.grad[..., 3:5].abs().sum()
    answer = family.restore((x, y))
    assert bool((answer[..., 3:5] == 1).all())  # limited to 1
    assert torch.equal(answer[..., :3], torch.zeros_like(answer[..., :3]))


def test_a_batch_without_a_band_gives_finite_losses() -> None:
    x, _, front, back = batch()
    x = x.round()
    y = torch.cat([composed(front, x, back), x], 1)
    assert all(term.item() < 1e-3 for term in DeepMatting(Says(0.5)).terms(x, y, front, back).values())


def test_every_network_learns_all_of_it() -> None:
    small = {"width": 8, "bottleneck": 16, "kernel": 3}
    every_parameter_gets_a_gradient(lambda: DeepImageMatting(1, **small), (4, 32, 32))
    every_parameter_gets_a_gradient(lambda: DeepImageMatting(3, **small), (4, 32, 32))
    every_parameter_gets_a_gradient(lambda: AlphaGANMatting(8, (1, 1, 1, 1), 4), (4, 48, 32))


def test_the_published_sizes_by_hand() -> None:
    with torch.device("meta"):
        deep, gan = DeepImageMatting(), AlphaGANMatting()
    convolutions = [m for m in deep.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 14 + 6 + 1 + 4  # down; up; alpha; refinement (sections 4.1 and 4.2)
    vgg16 = 9 * (4 * 64 + 64 * 64 + 64 * 128 + 128 * 128 + 128 * 256 + 2 * 256**2 + 256 * 512 + 5 * 512**2)
    assert sum(c.weight.numel() for c in convolutions[:13]) == vgg16
    assert sum(len(stage) for stage in gan.stages) == 16  # ResNet50
    for net, multiple in ((deep, 32), (gan, 16)):
        assert net.multiple == multiple


def test_of_the_second_stage_the_refinement_alone_learns_and_begins_as_hardly_a_change() -> None:
    torch.manual_seed(0)
    first, second = (DeepImageMatting(stage, width=4, bottleneck=8, kernel=3) for stage in (1, 2))  # type: ignore[arg-type]
    lacking, unknown = second.load_state_dict(first.state_dict(), strict=False)
    assert not unknown
    assert all(name.startswith("refinement.") for name in lacking)
    y = torch.rand(2, 4, 32, 32)
    assert (second(y) - first(y)).abs().max() < 0.05
    second(y).square().mean().backward()
    learn = {name for name, weight in second.named_parameters() if weight.grad is not None}
    assert learn == set(lacking)


def test_it_overfits_four_pictures() -> None:
    torch.manual_seed(1)
    parts = batch(32, 4)
    family = DeepMatting(DeepImageMatting(1, 8, 16, 3))
    optimizer = torch.optim.Adam(family.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = sum(family.terms(*parts).values())
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]  # the band is noise: there is nothing to learn it from but by heart


def test_d_sees_compositions_on_the_next_background_and_cannot_tell_a_right_alpha() -> None:
    x, y, front, back = batch(32)
    gan = AlphaGAN(TrimapMean(), PatchGAN(condition=1, layers=1, width=4, norm="none"))
    seen = gan.shown(x, y, front, back)
    assert torch.allclose(seen[0], composed(front[:1], x[:1], back[1:])[0])
    sure = (y[:, 3:] == 0) | (y[:, 3:] == 1)
    assert torch.equal(gan.shown(torch.where(sure, 0.3, x), y, front, back), seen)
    assert not torch.equal(gan.shown(1 - x, y, front, back), seen)
    terms = gan.g_loss(x, y, front, back)
    assert {"g/adv", "g/alpha_charbonnier", "g/composition_charbonnier"} <= terms.keys()


def test_foreground_colours_lose_the_old_background() -> None:
    alpha = ((torch.arange(64) - 27) / 10).clamp(0, 1).expand(1, 1, 64, 64)
    red, green = torch.zeros(2, 1, 3, 64, 64)
    red[:, 0], green[:, 1] = 0.8, 0.6
    picture = composed(red, alpha, green)
    front = foreground(picture, alpha)
    edge = ((alpha > 0.2) & (alpha < 1)).expand_as(front)
    assert (front - red)[edge].abs().mean() < 0.25 * (picture - red)[edge].abs().mean()
    assert torch.equal(front[..., -1], picture[..., -1])  # where alpha is 1


def test_foreground_colours_come_from_no_further_than_the_windows_reach() -> None:
    alpha = torch.full((1, 1, 8, 160), 0.5)
    picture = torch.rand(1, 3, 8, 160)
    other = picture.clone()
    other[..., 0] = 1 - other[..., 0]
    apart = (foreground(picture, alpha) - foreground(other, alpha)).abs().amax((0, 1, 2))
    assert apart[45] > 0
    assert not apart[49:].any()


def test_losses_of_an_image_are_refused() -> None:
    with pytest.raises(ValueError, match="DeepMatting has alpha_losses and composition_losses: leave losses and"):
        DeepMatting(TrimapMean(), losses=[L1()])


def test_levels_of_a_trimap_and_what_is_none() -> None:
    image = torch.tensor([[[[0, 102], [128, 255]]]], dtype=torch.uint8)
    assert levelled(image.expand(-1, 3, -1, -1), 2, 2).flatten().tolist() == [0, 128, 128, 255]
    with pytest.raises(ValueError, match="2 x 2 px, and the picture is 3 x 2: give a trimap of the picture's size"):
        levelled(image, 2, 3)
    with pytest.raises(ValueError, match="black and white alone: give 128 where alpha is to be found"):
        levelled(image.clamp(max=0), 2, 2)
    with pytest.raises(ValueError, match="in colours: give grey"):
        levelled(torch.cat([image, image, image.flip(2)], 1), 2, 2)


EXPERIMENT = """# Half-way.
model:
  class_path: lightning_modules.matting.DeepMatting
  init_args:
    network: {class_path: lightning_modules.networks.matting.TrimapMean}
data:
  class_path: datamodules.matting.MattingCompositions
  init_args: {foregrounds: [fore], backgrounds: [back], test_backgrounds: [test], test_share: 0.3, band: [1, 2],
              patch: 12, root: .}
clock: null
evaluation: null
mattes: {}
"""


def test_a_test_scores_mattes_as_the_hand_does(capfd: pytest.CaptureFixture[str]) -> None:
    files()
    Path("half.yaml").write_text(EXPERIMENT)
    assert main(["test", "half.yaml", "--out", "half.json"]) == 0
    (scores,) = json.loads(Path("half.json").read_text())["scores"]
    args = {"foregrounds": ["fore"], "backgrounds": ["back"], "test_backgrounds": ["test"]}
    pairs = MattingCompositions(**args, test_share=0.3, band=(1, 2), patch=12, root=".").test_set.pairs
    unknown = [y[:, 3:] == 128 for _, y in pairs]
    wrong = [
        (128 - x.double()).div(255).abs().mul(band).sum() / 1000 for (x, _), band in zip(pairs, unknown, strict=True)
    ]
    found = scores["last"]["metrics"]["compositions0/sad"]
    assert found == pytest.approx(sum(float(value) for value in wrong) / len(wrong), abs=1e-9)
    said = refused(capfd, "fit", "tiny.yaml", "--mattes", "{}")
    assert "mattes: a GAN finds no alpha; set it to null" in said


@pytest.mark.parametrize(
    ("kind", "function"), [(ClosedFormMatting, "estimate_alpha_cf"), (KNNMatting, "estimate_alpha_knn")]
)
def test_classic_methods_are_given_each_picture_and_its_trimap(
    kind: type[ClosedFormMatting], function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    y = batch(6)[1]
    stand_in = SimpleNamespace(**{function: lambda picture, trimap: picture.mean(2) * trimap})
    monkeypatch.setitem(sys.modules, "pymatting", stand_in)
    assert torch.allclose(kind()(y), y[:, :3].mean(1, keepdim=True) * y[:, 3:])
    monkeypatch.setitem(sys.modules, "pymatting", None)
    with pytest.raises(ValueError, match="needs pymatting: pip install 'lightning-atelier"):
        kind()(y)


@pytest.mark.slow
def test_closed_form_matting_solves_its_own_model() -> None:
    pytest.importorskip("pymatting")
    x = torch.linspace(0, 1, 16).expand(1, 1, 16, 16)
    front, back = torch.tensor([0.9, 0.2, 0.1]), torch.tensor([0.1, 0.3, 0.8])
    picture = composed(front.view(1, 3, 1, 1), x, back.view(1, 3, 1, 1))
    trimap = torch.where((x > 0.2) & (x < 0.8), 128 / 255, x.round())
    picture, alpha = torch.cat([picture, trimap], 1), torch.where((x > 0.2) & (x < 0.8), x, x.round())
    assert (ClosedFormMatting()(picture) - alpha)[..., 4:12].abs().mean() < 0.1
