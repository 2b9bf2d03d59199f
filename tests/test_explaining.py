"""Laws of what explains a network: layers, units, relevance, places among real images."""

import math

import pytest
import torch
from test_editing import plain
from torch import Tensor, nn

from lightning_modules.networks.cnn import CNN
from lightning_modules.networks.dcgan import DCGANDiscriminator
from lightning_modules.networks.patchgan import PatchGAN
from lightning_modules.tools.ablation import ablated, correlations, ink, stroke_width
from lightning_modules.tools.attribution import (
    Verdicts,
    blurred,
    deletion,
    grad_cam,
    heat,
    integrated_gradients,
    lime,
    score,
)
from lightning_modules.tools.cloud import drawn, places, same_kind
from lightning_modules.tools.layers import find_layer, last_maps, layer_names, output_of, watched, without
from lightning_modules.tools.spaces import ZSpace
from lightning_modules.tools.visualise import visualise

SIDE, PATCH, STEP = 64, 24, 8  # px
BLACK_TO_WHITE = (-1.0, 1.0)


def two_layers() -> nn.Sequential:
    """Two maps, x and -x, then a ReLU that works in place."""
    net = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.ReLU(inplace=True))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
    return net


# --- layers -----------------------------------------------------------------------------------------------------


def test_layers_are_found_by_name_watched_and_switched_off() -> None:
    net, x = two_layers(), torch.tensor([[1.0, -2.0]]).view(1, 1, 1, 2)
    assert layer_names(net) == ["0", "1"]
    assert find_layer(net, "1") is net[1]
    before = output_of(net, "0", lambda: net(x))
    assert before.flatten().tolist() == [1, -2, -1, 2]  # what it put out, not what the ReLU made of it
    with without(net, "0", [1], 2):
        assert net(x).flatten().tolist() == [1, 0, 0, 0]
    assert net(x).flatten().tolist() == [1, 0, 0, 2]
    with watched(net[1]) as seen:
        net(x)
        net(2 * x)
    assert [out.sum().item() for out in seen] == [3, 6]
    net(x)
    assert len(seen) == 2


def test_a_wrong_layer_or_unit_costs_one_sentence() -> None:
    net, x = two_layers(), torch.zeros(1, 1, 1, 2)
    for name in ("2", ""):
        with pytest.raises(ValueError, match=f"Sequential has no layer '{name}': it has 2 from 0 to 1, and of names"):
            find_layer(net, name)
    for units in ([2], [-1], []):
        with pytest.raises(ValueError, match="the layer 0 has units 0 to 1, not"), without(net, "0", units, 2):
            pass
    with pytest.raises(ValueError, match="puts out no maps or numbers of units here"):
        output_of(net, "1", lambda: net[0](x))
    with pytest.raises(ValueError, match="no layer with maps of 4 px"):
        last_maps(net, lambda: net(x))


def test_the_last_maps_are_those_asked_last() -> None:
    net = CNN(width=4, dim=8, num_classes=3).eval()
    assert last_maps(net, lambda: net(torch.zeros(1, 1, SIDE, SIDE))) == "trunk.15"  # pooled to 4 x 4
    assert last_maps(net, lambda: net(torch.zeros(1, 1, SIDE, SIDE)), SIDE // 2) == "trunk.8"


# --- verdicts ---------------------------------------------------------------------------------------------------


def planted(n: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Dark noise, with a bright patch in half of the images: they, their class, and where it is (bool [n, H, W])."""
    stream = torch.Generator().manual_seed(seed)
    x = -0.8 + 0.1 * torch.randn(n, 1, SIDE, SIDE, generator=stream)
    y, where = torch.arange(n) % 2, torch.zeros(n, SIDE, SIDE, dtype=torch.bool)
    corners = STEP * torch.randint(1, (SIDE - PATCH) // STEP, (n, 2), generator=stream)
    for i, (top, left) in enumerate(corners.tolist()):
        if y[i]:
            where[i, top : top + PATCH, left : left + PATCH] = True
    return torch.where(where[:, None], 0.8 + 0.1 * torch.randn(x.shape, generator=stream), x), y, where


@pytest.fixture(scope="module")
def patch_finder() -> CNN:
    torch.manual_seed(0)
    net = CNN(num_classes=2, width=8, dim=16, dropout=0.0)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for step in range(40):
        x, y, _ = planted(32, step)
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    net.eval().requires_grad_(False)
    x, y, _ = planted(64, 1000)
    assert (net(x).argmax(1) == y).all()
    return net


@pytest.mark.parametrize("method", ["grad-cam", "lime", "gradients"])
def test_a_planted_cause_is_found(patch_finder: CNN, method: str) -> None:
    torch.manual_seed(1)
    x, y, where = planted(16, 2000)
    x, where, targets = x[y == 1], where[y == 1], torch.ones(8, dtype=torch.int64)
    verdicts = Verdicts(patch_finder)
    if method == "grad-cam":
        relevance = grad_cam(verdicts, find_layer(patch_finder, "trunk.2"), x, targets)  # still at full size
    elif method == "lime":
        relevance = lime(verdicts, x, targets)
    else:
        relevance = integrated_gradients(verdicts, x, targets, BLACK_TO_WHITE)
    inside = [(r.clamp_min(0) * w).sum() / r.clamp_min(0).sum() for r, w in zip(relevance, where, strict=True)]
    assert min(float(share) for share in inside) >= 0.8
    fall, at_random = deletion(verdicts, x, targets, relevance)
    assert fall > 4 * max(at_random, 0.1)


def test_deletion_blurs_the_share_of_pixels_that_is_asked_for() -> None:
    """The score of the first class counts pixels that are as before, that of the second such as are also relevant."""
    x = torch.rand(2, 1, 10, 10, generator=torch.Generator().manual_seed(0))
    relevance = torch.arange(100.0).view(1, 10, 10).expand(2, -1, -1)

    def verdicts(image: Tensor) -> Tensor:
        same = torch.eq(image, x).float()
        return torch.stack([same.sum((1, 2, 3)), (same[:, 0] * (relevance >= 70)).sum((1, 2))], 1)

    assert deletion(verdicts, x, torch.zeros(2, dtype=torch.int64), relevance, share=0.3) == (30, 30)  # type: ignore[arg-type]
    fall, at_random = deletion(verdicts, x, torch.ones(2, dtype=torch.int64), relevance, share=0.3)  # type: ignore[arg-type]
    assert fall == 30 > at_random > 0


def test_integrated_gradients_sum_to_the_difference_from_black(patch_finder: CNN) -> None:
    x, _, _ = planted(4, 5)
    verdicts, targets = Verdicts(patch_finder), torch.tensor([0, 1, 0, 1])
    found = integrated_gradients(verdicts, x, targets, BLACK_TO_WHITE).sum((1, 2))
    wanted = score(verdicts, x, targets) - score(verdicts, torch.full_like(x, -1), targets)
    assert torch.allclose(found, wanted, rtol=0.05, atol=0.05)


def test_grad_cam_by_hand() -> None:
    class Weighed(CNN):
        def forward(self, x: Tensor) -> Tensor:
            maps = self.trunk[0](x)
            return (maps * torch.tensor([2.0, -3.0]).view(2, 1, 1)).sum((2, 3))

    net = Weighed(num_classes=2, width=2, dim=2)
    x = torch.randn(2, 1, 6, 5, generator=torch.Generator().manual_seed(0))
    maps = net.trunk[0](x)
    found = grad_cam(Verdicts(net), net.trunk[0], x, torch.tensor([0, 1]))
    assert torch.allclose(found[0], (2 * maps[0, 0]).relu(), atol=1e-6)
    assert torch.allclose(found[1], (-3 * maps[1, 1]).relu(), atol=1e-6)


def test_verdicts_of_discriminators_are_the_mean_over_patches() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 3, 32, 32)
    D = PatchGAN(3, 0, 2, 4, "none").eval()
    assert torch.allclose(Verdicts(D)(x), D(x).flatten(1).mean(1, keepdim=True))
    whole = DCGANDiscriminator(32, 3, width=4).eval()
    assert torch.allclose(Verdicts(whole)(x)[:, 0], whole(x))


def test_blur_keeps_even_images_and_heat_knows_its_signs() -> None:
    assert torch.allclose(blurred(torch.full((1, 1, 12, 9), 0.3)), torch.tensor(0.3))
    colours = heat(torch.tensor([[[2.0, -1.0, 0.0]]]))
    assert colours[0, :, 0].T.tolist() == [[255, 0, 0], [128, 128, 255], [255, 255, 255]]


# --- units ------------------------------------------------------------------------------------------------------


def test_an_image_excites_the_unit_that_it_was_made_for() -> None:
    torch.manual_seed(0)
    net = two_layers().requires_grad_(False)
    x, excited = visualise(net, net, "0", [0, 1], (1, 6, 6), BLACK_TO_WHITE, steps=200)
    assert x[0].mean() > 0.9
    assert x[1].mean() < -0.9
    assert excited.min() > 0.9
    with pytest.raises(ValueError, match="the layer 0 has units 0 to 1, not 5"):
        visualise(net, net, "0", [5], (1, 6, 6), BLACK_TO_WHITE)


@pytest.mark.parametrize("width", [1, 2, 4])
def test_stroke_width_by_hand(width: int) -> None:
    x = torch.zeros(1, 1, 64, 64)
    x[..., 10:50, 20 : 20 + width] = 1
    area, outline = 40 * width, 2 * 40 + 2 * width
    outline -= 2 - math.sqrt(2)  # differences to one side cut one corner of the four
    assert float(stroke_width(x)) == pytest.approx(2 * area / outline)
    assert float(ink(x)) == pytest.approx(area / 64**2)
    assert float(stroke_width(torch.zeros(1, 1, 8, 8))) == 0


def test_a_unit_that_makes_the_image_brighter_is_found_and_missed_when_off() -> None:
    space = ZSpace(plain())
    codes = space.draw(64)
    layer = layer_names(space.G)[-2]
    found, measured = correlations(space, codes, layer, ink)
    assert found.abs().max() <= 1 + 1e-9
    assert torch.allclose(measured, ink((space.images(codes) + 1) / 2).double())
    unit = int(found.abs().argmax())
    off = ablated(space, codes, layer, unit, len(found))
    assert not torch.allclose(off, space.images(codes))
    with pytest.raises(ValueError, match="has units 0 to"):
        ablated(space, codes, layer, len(found), len(found))


# --- among real images ------------------------------------------------------------------------------------------


def test_kinds_that_lie_apart_are_told_apart_and_drawn_apart() -> None:
    stream = torch.Generator().manual_seed(0)
    one = torch.randn(40, 5, generator=stream)
    made = torch.arange(80) >= 40
    apart, alike = torch.cat([one, one + 20]), torch.randn(80, 5, generator=stream)
    assert same_kind(apart, made) == 1
    assert 0.3 < same_kind(alike, made) < 0.7
    place = places(apart)
    assert ((place >= 0) & (place <= 1)).all()
    assert torch.equal(place, places(apart))
    centres = place[:40].mean(0), place[40:].mean(0)
    assert (centres[0] - centres[1]).norm() > 2 * place[:40].std(0).norm()
    with pytest.raises(ValueError, match="t-SNE places 4 images and more, got 3"):
        places(one[:3])


def test_images_stand_at_their_places_in_frames_of_their_kind() -> None:
    images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    images[1] = 9
    sheet = drawn(images, torch.tensor([False, True]), torch.tensor([[0.0, 0.0], [1.0, 1.0]]), side=40)
    assert sheet[:, 2, 2].tolist() == [0, 0, 0]
    assert sheet[:, 37, 37].tolist() == [9, 9, 9]
    assert sheet[:, 0, 0].tolist() == [60, 120, 220]
    assert sheet[:, 39, 39].tolist() == [240, 120, 20]
    assert sheet[:, 20, 20].tolist() == [255, 255, 255]
