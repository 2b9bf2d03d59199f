"""Two views: attention along rows, PASSRnet, its losses and pictures; values by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from datamodules.functional.resize import bicubic_by
from datamodules.functional.warp_views import stereo_pair
from lightning_modules.losses.matching import Cycle, Photometric, Smoothness
from lightning_modules.losses.reconstruction import L1
from lightning_modules.multi_view import MultiViewSuperResolution
from lightning_modules.networks.base import Alignment
from lightning_modules.networks.matching import (
    comparable,
    peak_rows,
    received_rows,
    row_attention,
    shift_rows,
    validity,
    warp_rows,
)
from lightning_modules.networks.stereo import PASSRnet, ResidualPyramid
from lightning_modules.networks.three_view import ThreeViewNetwork


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def texture(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def tiny(channels: int = 3, add: bool = False, temperature: float | None = None) -> PASSRnet:
    torch.manual_seed(0)
    rest = {"temperature": temperature, "add_bicubic": add, "add_samples": add}
    return PASSRnet(2, channels, width=4, pyramids=1, dilations=[1, 2], rounds=1, blocks=1, **rest)


def save(path: str, image: Tensor) -> None:
    """uint8 ``image`` [1, C, H, W] as a file."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(image[0].permute(1, 2, 0).numpy())).save(path)


# --- attention along rows -----------------------------------------------------------------------------------


def columns(h: int, w: int, step: int = 0) -> Tensor:
    """Features that say the column plus ``step`` so loudly that nothing else is attended to: [1, w, h, w]."""
    return 30.0 * torch.eye(w).roll(-step, dims=1)[None, :, None].expand(1, w, h, w)


def test_identical_views_attend_to_themselves():
    attention = row_attention(columns(2, 5), columns(2, 5))
    assert torch.allclose(attention, torch.eye(5).expand(1, 2, 5, 5), atol=1e-6)
    assert torch.allclose(shift_rows(attention), torch.zeros(1, 2, 2, 5), atol=1e-6)


def test_a_known_disparity_is_undone_by_an_attention_that_knows_it():
    image = texture(1, 3, 4, 12)
    left, right = stereo_pair(image, torch.full((4, 9), 3.0, dtype=torch.float64))
    assert torch.equal(right, image[..., 3:])  # right(j) = left(j + 3)
    # a pixel at column j of the left view is at j - 3 of the right one
    attention = row_attention(columns(4, 9), columns(4, 9, step=3))
    warped = warp_rows(attention, right.float())
    assert torch.allclose(warped[..., 3:], left[..., 3:].float(), atol=1e-3)
    assert torch.allclose(shift_rows(attention)[:, 1, :, 3:], torch.tensor(-3.0), atol=1e-5)
    assert torch.equal(shift_rows(attention)[:, 0], torch.zeros(1, 4, 9))


def test_the_peak_of_a_row_is_refined_by_its_neighbours_alone():
    attention = torch.zeros(1, 1, 8, 8)
    attention[..., 0] = 1.0
    attention[0, 0, 3] = torch.tensor([0.2, 0, 0, 0, 0.1, 0.5, 0.2, 0])  # about column 5: 5 + (0.2 - 0.1) / 0.8
    step = peak_rows(attention)
    assert step[0, 1, 0].tolist() == pytest.approx([0, -1, -2, 2.125, -4, -5, -6, -7])
    assert torch.equal(step[:, 0], torch.zeros(1, 1, 8))


def test_what_a_row_attends_to_lies_in_that_row():
    query, key, values = (noise(2, 3, 4, 5, seed=seed) for seed in range(3))
    before = warp_rows(row_attention(query, key), values)
    assert torch.allclose(row_attention(query, key).sum(-1), torch.ones(2, 4, 5))
    key, values = key.clone(), values.clone()
    key[:, :, 2], values[:, :, 2] = 7.0, 9.0
    after = warp_rows(row_attention(query, key), values)
    changed = (before != after).any(dim=1).any(dim=-1)
    assert changed.tolist() == [[False, False, True, False]] * 2


def test_received_attention_is_the_sum_over_those_who_look():
    attention = torch.tensor([[0.5, 0.5, 0.0], [0.2, 0.0, 0.8], [0.05, 0.05, 0.9]])[None, None]
    assert torch.allclose(received_rows(attention), torch.tensor([0.75, 0.55, 1.7])[None, None, None])


def test_validity_is_a_threshold_without_gaps_and_specks_of_one_pixel():
    received = torch.full((1, 1, 7, 13), 0.05)
    received[..., 2:5, 2:5] = 0.11
    received[..., 3, 3] = 0.1  # a gap: not above the threshold
    received[..., 3, 9] = 5.0  # a speck
    expected = torch.zeros(1, 1, 7, 13)
    expected[..., 2:5, 2:5] = 1
    assert torch.equal(validity(received.requires_grad_()), expected)
    assert torch.equal(validity(received, threshold=0.0), torch.ones(1, 1, 7, 13))
    assert not validity(received).requires_grad


# --- its losses ---------------------------------------------------------------------------------------------


def match(attention: Tensor, target: float = 0.0, warped: float = 0.0, valid: Tensor | None = None) -> Alignment:
    N, h, w, _ = attention.shape
    image = torch.ones(N, 1, h, w)
    valid = torch.ones(N, 1, h, w) if valid is None else valid
    return Alignment(target * image, warped * image, valid, attention, torch.zeros(N, 2, h, w))


def test_the_losses_on_attention_by_hand():
    there = torch.eye(2).flip(0).expand(1, 3, 2, 2)
    even = torch.full((1, 3, 2, 2), 0.5)
    half = torch.zeros(1, 1, 3, 2)
    half[..., 0] = 1
    photometric = Photometric(weight=2.0)
    assert photometric([match(even, 0.9, 0.5), match(even, 0.1, 0.2, half)]).item() == pytest.approx(0.9)  # 0.4 + 0.05
    # there and back of a permutation is where one was; of an even look it is anywhere
    assert Cycle(weight=1.0)([match(there), match(there)]).item() == 0
    assert Cycle(weight=1.0)([match(even), match(even)]).item() == pytest.approx(1.0)
    assert Cycle(weight=1.0)([match(even, valid=half), match(even, valid=half)]).item() == pytest.approx(0.5)
    # one disparity is smooth; of the flip, A(j, k) against A(j+1, k+1) is 0 against 0, but of rows that differ 1
    assert Smoothness(weight=1.0)([match(torch.eye(4).expand(1, 3, 4, 4))] * 2).item() == 0
    mixed = torch.stack([torch.eye(2), torch.eye(2).flip(0)])[None]
    assert Smoothness(weight=3.0)([match(mixed)]).item() == pytest.approx(3.0)
    assert Smoothness(weight=1.0)([match(torch.tensor([[1.0, 0.0], [1.0, 0.0]]).expand(1, 2, 2, 2))]).item() == 1


def test_the_terms_are_named_and_their_mistakes_told():
    x, y = noise(2, 3, 8, 16), noise(2, 2, 3, 4, 8, seed=1)
    plain = MultiViewSuperResolution(tiny(), losses=[L1()])
    module = MultiViewSuperResolution(tiny(), matching=[Photometric(), Smoothness(), Cycle()], losses=[L1()])
    terms = module.terms(x, y)
    assert list(terms) == ["l1", "photometric", "smoothness", "cycle"]
    assert torch.equal(terms["l1"], plain.terms(x, y)["l1"])
    assert torch.equal(module.restore((x, y)), module.network(y, 2))
    with pytest.raises(ValueError, match="each may stand once, got photometric, photometric"):
        MultiViewSuperResolution(tiny(), matching=[Photometric(), Photometric()])
    with pytest.raises(ValueError, match="cycle is of row attention, ThreeViewNetwork has none; leave it out"):
        MultiViewSuperResolution(ThreeViewNetwork(2, 1, 4), matching=[Photometric(), Cycle()])


# --- the network --------------------------------------------------------------------------------------------


def test_it_has_the_parameters_of_the_paper():
    for scale, millions in ((2, 1.37), (4, 1.42)):
        with torch.device("meta"):
            assert sum(p.numel() for p in PASSRnet(scale).parameters()) == pytest.approx(millions * 1e6, abs=5e3)


def test_a_pyramid_adds_each_round_to_what_went_in():
    pyramid = ResidualPyramid(2, [1, 4], rounds=2)
    x = noise(1, 2, 6, 6)
    first = pyramid.rounds[0](x)
    assert torch.allclose(pyramid(x), x + first + pyramid.rounds[1](first))


@pytest.mark.parametrize("temperature", [None, 0.05])
def test_every_weight_and_both_views_get_a_gradient(temperature):
    net, y = tiny(add=temperature is not None, temperature=temperature), noise(2, 2, 3, 6, 9).requires_grad_()
    net(y, 2).square().sum().backward()
    for name, weight in net.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name
    assert (y.grad.abs().sum(dim=(0, 2, 3, 4)) > 0).all()


def test_a_pixel_is_valid_where_the_other_view_looks_at_it():
    net, y = tiny(), noise(1, 2, 3, 9, 12)
    with torch.no_grad():
        net.attention.query.weight *= 300  # so that it looks somewhere, and not everywhere
        image, (left, right) = net.explain(y, 2)
        assert torch.equal(left.target, y[:, 0])
        assert torch.equal(right.target, y[:, 1])
        assert torch.allclose(left.warped, warp_rows(left.attention, y[:, 1]))
        for one, other in ((left, right), (right, left)):
            assert torch.equal(one.valid, validity(received_rows(other.attention)))
        assert 0 < left.valid.mean() < 1
        assert not torch.equal(left.valid, right.valid)
        net.attention.threshold = 0.0  # all are valid: the network is told so
        assert not torch.equal(net(y, 2), image)


def test_compared_by_cosines_like_finds_like_before_anything_is_learned():
    x = noise(2, 5, 3, 7)
    assert torch.allclose(comparable(3 * x + 2, over=[3]), comparable(x, over=[3]), atol=1e-5)
    assert torch.allclose(comparable(x, over=[3]).square().sum(1), torch.ones(2, 3, 7))
    left = noise(1, 1, 3, 10, 12)
    y = torch.cat([left, left.roll(-2, dims=-1)], dim=1)
    with torch.no_grad():
        (found, _) = tiny(temperature=0.01).explain(y, 2)[1]
        (guessed, _) = tiny().explain(y, 2)[1]
        with torch.autocast("cpu", torch.bfloat16):
            assert tiny(temperature=0.01).explain(y, 2)[1][0].attention.dtype == torch.float32
    inner = found.attention[..., 5:-5, :].argmax(-1)  # beyond reach of the borders
    assert (inner == torch.arange(5, 7) - 2).float().mean() > 0.8
    missed = ((match.target - match.warped)[..., 5:-5].abs().mean() for match in (found, guessed))
    assert next(missed) < 0.3 * next(missed)
    with pytest.raises(ValueError, match="temperature is 0: give a number above 0"):
        tiny(temperature=0)


def test_at_the_start_it_is_the_bicubic_image_where_that_is_added():
    y = texture(1, 6, 8, 10).unflatten(1, (2, 3))
    bicubic = bicubic_by(y[:, 0], 2).float() / 255
    with torch.no_grad():
        assert (tiny(add=True)(y / 255, 2) - bicubic).abs().mean() < 0.25 * bicubic.mean()
        assert (tiny()(y / 255, 2) - bicubic).abs().mean() > 0.5 * bicubic.mean()
        with torch.autocast("cpu", torch.bfloat16):
            assert tiny(add=True)(y / 255, 2).dtype == torch.float32


def test_views_and_scales_that_it_does_not_know_are_refused():
    with pytest.raises(ValueError, match=r"PASSRnet takes 2 views .*, got \[1, 3, 3, 4, 4\]: choose a data module"):
        tiny()(torch.zeros(1, 3, 3, 4, 4), 2)
    with pytest.raises(ValueError, match="knows the scale 2, asked for 4"):
        tiny()(torch.zeros(1, 2, 3, 4, 4), 4)


def test_it_learns_a_few_pairs():
    left = noise(2, 1, 12, 24)
    x = torch.nn.functional.interpolate(left, scale_factor=2, mode="bicubic")
    y = torch.stack([left, left.roll(-2, dims=-1)], dim=1)
    module = MultiViewSuperResolution(tiny(channels=1, add=True), matching=[Photometric(0.1)], losses=[L1()])
    optimizer = torch.optim.Adam(module.parameters(), lr=5e-3)
    history = []
    for _ in range(80):
        optimizer.zero_grad()
        terms = module.terms(x, y)
        sum(terms.values()).backward()
        optimizer.step()
        history.append(terms["l1"].item())
    assert history[-1] < 0.5 * history[0]


def test_pictures_show_the_views_what_was_found_of_them_and_the_result():
    module = MultiViewSuperResolution(tiny(), losses=[L1()])
    assert module.panels() == {}
    pairs = [
        (noise(1, 3, 16, 24), noise(1, 2, 3, 8, 12, seed=1)),
        (noise(1, 3, 20, 28), noise(1, 2, 3, 10, 14, seed=2)),
    ]
    for i, pair in enumerate(pairs):
        module.validation_step(pair, 0, i)
        module.validation_step(pairs[0], 1, i)  # only the first pair of a set
    sheet = module.panels()["views"]
    assert sheet.shape == (2, 8, 3, 16, 16)  # left, right, found, valid, disparity, a row's attention, result, x
    assert torch.equal(sheet[0, 0, :, ::2, ::2], (pairs[0][1][0, 0, :, :, 2:10] * 255).round().byte())
    assert torch.equal(sheet[0, -1], (pairs[0][0][0, :, :, 4:20] * 255).round().byte())
