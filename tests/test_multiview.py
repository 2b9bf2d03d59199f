"""Three views: attention in a window, samples between pixels, the network; values by hand."""

import math

import pytest
import torch
from test_stereo import noise, texture
from torch import Tensor
from torch.nn.functional import pixel_shuffle

from datamodules.functional.resize import bicubic_by, bicubic_floats
from lightning_modules.losses.matching import Photometric
from lightning_modules.losses.reconstruction import L1
from lightning_modules.multi_view import MultiViewSuperResolution
from lightning_modules.networks.matching import (
    received_windows,
    shift_windows,
    validity,
    warp_windows,
    window_attention,
)
from lightning_modules.networks.samples import Given, refined, scattered
from lightning_modules.networks.three_view import ThreeViewNetwork, WindowMatching


def tiny(channels: int = 1, radius: int = 1, scale: int = 2) -> ThreeViewNetwork:
    torch.manual_seed(0)
    return ThreeViewNetwork(scale, channels, width=4, encoder_blocks=1, embedding=4, radius=radius, blocks=1)


# --- attention in a window ----------------------------------------------------------------------------------


def places(h: int, w: int) -> Tensor:
    """Features that say the pixel so loudly that nothing else is attended to: [1, h w, h, w]."""
    return 30.0 * torch.eye(h * w).view(1, h * w, h, w)


def test_identical_views_attend_to_the_same_place():
    attention = window_attention(places(4, 5), places(4, 5), radius=1)
    expected = torch.zeros(1, 9, 4, 5)
    expected[:, 4] = 1  # the middle of 3 x 3
    assert torch.allclose(attention, expected, atol=1e-6)
    image = noise(1, 3, 4, 5)
    assert torch.allclose(warp_windows(attention, image, 1), image, atol=1e-5)


def test_a_known_motion_is_undone_by_an_attention_that_knows_it():
    image = noise(1, 2, 7, 8)
    side = image.roll((2, -1), dims=(2, 3))  # what is at (i, j) is at (i + 2, j - 1) of the side view
    attention = window_attention(places(7, 8), places(7, 8).roll((2, -1), dims=(2, 3)), radius=2)
    inside = (..., slice(0, 5), slice(1, 8))
    assert torch.allclose(warp_windows(attention, side, 2)[inside], image[inside], atol=1e-4)
    shift = shift_windows(attention, 2)[inside]
    assert torch.allclose(shift, torch.tensor([2.0, -1.0]).view(1, 2, 1, 1).expand_as(shift), atol=1e-4)


def test_a_window_looks_no_farther_than_its_radius_and_never_beyond_the_image():
    query, key, values = (noise(1, 3, 6, 6, seed=seed) for seed in range(3))
    before = warp_windows(window_attention(query, key, 1), values, 1)
    key, values = key.clone(), values.clone()
    key[..., 2, 3], values[..., 2, 3] = 5.0, 9.0
    changed = (before != warp_windows(window_attention(query, key, 1), values, 1)).any(dim=1)[0]
    assert changed.nonzero().tolist() == [[i, j] for i in (1, 2, 3) for j in (2, 3, 4)]
    even = window_attention(torch.zeros(1, 1, 3, 3), torch.zeros(1, 1, 3, 3), 1)
    assert torch.allclose(even.sum(1), torch.ones(1, 3, 3))
    corner = torch.tensor([0, 0, 0, 0, 1, 1, 0, 1, 1]) / 4  # of 3 x 3 offsets those down and to the right exist
    assert torch.allclose(even[0, :, 0, 0], corner)
    assert torch.allclose(warp_windows(even, torch.ones(1, 1, 3, 3), 1), torch.ones(1, 1, 3, 3))


def test_received_attention_is_the_sum_over_those_who_look():
    attention = torch.zeros(1, 9, 3, 3)
    attention[:, 4] = 1  # all look straight
    attention[:, :, 0, 0] = torch.tensor([0, 0, 0, 0, 0.25, 0, 0, 0, 0.75])  # but one, mostly down and to the right
    expected = torch.ones(1, 1, 3, 3)
    expected[..., 0, 0], expected[..., 1, 1] = 0.25, 1.75
    assert torch.equal(received_windows(attention, 1), expected)
    # a view that moved three rows up within reach: its last rows show what the other does not, nobody looks there
    attention = window_attention(places(8, 8), places(8, 8).roll(-3, dims=2), radius=3)
    hidden = validity(received_windows(attention, 3))[0, 0]
    assert hidden[:5].all()
    matching = WindowMatching(2, 2, radius=1)
    here, there = noise(1, 2, 5, 5), noise(1, 2, 5, 5, seed=1)
    attention, back = matching(here, there)
    assert all(torch.equal(a, b) for a, b in zip(matching(there, here), (back, attention), strict=True))
    assert torch.equal(matching.seen(back), validity(received_windows(back, 1)))
    with pytest.raises(ValueError, match=r"temperature is 0: give a number above 0"):
        WindowMatching(2, 2, radius=1, temperature=0)


@pytest.mark.parametrize("in_rows", [False, True])
def test_a_shift_below_a_pixel_is_measured(in_rows):
    row, column = torch.meshgrid(torch.arange(24.0), torch.arange(28.0), indexing="ij")

    def scene(down: float, right: float) -> Tensor:
        y, x = row + down, column + right
        return (0.5 + 0.2 * torch.sin(0.7 * y + 0.2 * x) + 0.2 * torch.cos(0.6 * x - 0.3 * y))[None, None]

    down = 0.0 if in_rows else -0.3
    guess = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1).repeat(1, 1, 24, 28)
    guess[..., 10, 10] = 9.0  # a mistake among neighbours that are right
    step = refined(scene(0, 0), scene(down, 1.4), guess, in_rows)[..., 8:-8, 8:-8]  # far from the borders
    assert (step[:, 0] - down).abs().max() < 0.03
    assert (step[:, 1] - 1.4).abs().max() < 0.03
    flat = torch.full((1, 1, 24, 28), 0.5)  # without slopes there is nothing to measure
    assert torch.equal(refined(flat, flat, guess, in_rows)[..., 0, :], guess[..., 0, :])


def test_a_sample_is_laid_down_where_it_was_found():
    target, other = torch.full((1, 1, 4, 4), 0.25), torch.full((1, 1, 4, 4), 0.25)
    other[0, 0, 1, 2] += 0.009
    alike = math.exp(-((0.001 / 0.03) ** 2))  # two squares of 3 x 3 leave a ninth of it where it is
    shift = torch.tensor([0.25, -0.25]).view(1, 2, 1, 1).expand(1, 2, 4, 4)
    everywhere = torch.ones(1, 1, 4, 4)
    mean, amount = pixel_shuffle(scattered(target, other, shift, everywhere, 2), 2)[0]
    # the middle of pixel (1.25, 1.75) is that of (3, 4) of twice as many: (1.25 + 1/2) 2 - 1/2
    assert mean.nonzero().tolist() == [[3, 4]]
    assert mean[3, 4].item() == pytest.approx(0.009 * alike / (alike + 0.1), rel=1e-4)
    assert torch.allclose(amount[1::2, 0::2], torch.ones(4, 4), atol=2e-3)
    assert amount.sum().item() == pytest.approx(amount[1::2, 0::2].sum().item())
    # half a pixel of the large grid farther, two pixels share it; beyond the image and where it is hidden there is none
    mean, amount = pixel_shuffle(scattered(target, other, shift + 0.25, everywhere, 2), 2)[0]
    assert torch.allclose(amount[3:5, 4:6], torch.tensor(0.25), atol=1e-3)
    assert torch.allclose(mean[3:5, 4:6], torch.tensor(0.009 * 0.25 / 0.35), rtol=1e-3)
    assert scattered(target, other, shift + 9, everywhere, 2).abs().max() == 0
    assert scattered(target, other, shift, 0 * everywhere, 2).abs().max() == 0
    other[0, 0, 1, 2] = 0.75  # so much else lies there that it was found at a wrong place
    wrong = math.exp(-((0.5 / 9 / 0.03) ** 2))
    mean = pixel_shuffle(scattered(target, other, shift, everywhere, 2), 2)[0, 0]
    assert mean[3, 4].item() == pytest.approx(0.5 * wrong / (wrong + 0.1), rel=1e-4)
    image = noise(1, 2, 5, 6)  # what adds nothing: the same view
    known = pixel_shuffle(scattered(image, image, torch.zeros(1, 2, 5, 6), torch.ones(1, 1, 5, 6), 2), 2)
    assert known[:, :2].abs().max() < 1e-5


# --- the network --------------------------------------------------------------------------------------------


def test_every_weight_and_every_view_gets_a_gradient():
    net, y = tiny(), noise(2, 3, 1, 6, 7).requires_grad_()
    net(y, 2).square().sum().backward()
    for name, weight in net.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name
    assert (y.grad.abs().sum(dim=(0, 2, 3, 4)) > 0).all()


def test_it_begins_near_the_bicubic_image_and_reads_the_views_in_order():
    y = texture(1, 3, 8, 10)[:, :, None]
    bicubic = bicubic_by(y[:, 0], 2).float() / 255
    net = tiny()
    with torch.no_grad():
        image = net(y / 255, 2)
        assert (image - bicubic).abs().mean() < 0.25 * bicubic.mean()
        assert not torch.equal(net(y[:, [0, 2, 1]] / 255, 2), image)
    with pytest.raises(ValueError, match="ThreeViewNetwork takes 3 views"):
        net(y[:, :2] / 255, 2)


def test_it_learns_a_few_frames_and_shows_what_it_found():
    torch.manual_seed(0)
    frames = noise(2, 1, 20, 20)
    x, y = frames, torch.stack([frames[..., a::2, b::2] for a, b in ((0, 0), (1, 0), (0, 1))], dim=1)
    module = MultiViewSuperResolution(tiny(), matching=[Photometric(0.1)], losses=[L1()])
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-2)
    history = []
    for _ in range(80):
        optimizer.zero_grad()
        terms = module.terms(x, y)
        sum(terms.values()).backward()
        optimizer.step()
        history.append(terms["l1"].item())
    assert list(terms) == ["l1", "photometric"]
    # what is at the odd rows of even columns, and the reverse, is in the side views: half of what lacks
    assert history[-1] < 0.75 * history[0]
    module.validation_step((x, y), 0)
    sheet = module.panels()["views"]
    assert sheet.shape == (1, 11, 3, 20, 20)  # centre, twice (side, found, valid, columns), result, x
    assert torch.equal(sheet[0, 5, 0, ::2, ::2], (y[0, 2, 0] * 255).round().byte())


def test_what_was_laid_down_is_added_as_it_is():
    laid = [noise(1, 2 * 4, 3, 3), noise(1, 2 * 4, 3, 3)]  # one channel and how much there is, at scale 2
    expected = sum(pixel_shuffle(each[:, :4], 2) for each in laid) / 2
    assert torch.allclose(Given(2, 1, 2)(laid), expected)


def test_a_view_half_a_pixel_off_helps_before_any_training():
    scene = bicubic_by(texture(1, 1, 45, 45), 1.5)[:, :, :66, :66]
    views = [bicubic_by(scene[:, :, i : i + 64, i : i + 64].contiguous(), 0.5).float() / 255 for i in (0, 1)]
    shift = torch.full((1, 2, 32, 32), 0.5)
    laid = scattered(views[0], views[1], shift, torch.ones(1, 1, 32, 32), 2)
    x, guess = scene[:, :, :64, :64].float() / 255, bicubic_floats(views[0], 2)
    inner = (..., slice(6, -6), slice(6, -6))
    error, better = ((image - x)[inner].square().mean() for image in (guess, guess + Given(1, 1, 2)([laid]).detach()))
    assert better < 0.8 * error
