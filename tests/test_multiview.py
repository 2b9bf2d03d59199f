"""Three views: attention in a window, the network, made and filmed frames; values by hand, and bad input."""

from pathlib import Path

import pytest
import torch
from command_line import place, runs
from test_stereo import noise, save, texture
from torch import Tensor
from torch.nn.functional import pixel_shuffle

from datamodules.functional.resize import bicubic_by
from datamodules.functional.warp_views import Motions, moved, resample
from datamodules.multiview import ThreeViews
from experiments.cli import main
from lightning_modules.losses.matching import Photometric
from lightning_modules.losses.reconstruction import L1
from lightning_modules.multi_view import MultiViewSuperResolution
from lightning_modules.networks.matching import (
    received_windows,
    scattered,
    shift_windows,
    validity,
    warp_windows,
    window_attention,
)
from lightning_modules.networks.three_view import ThreeViewNetwork, WindowMatching

pytestmark = pytest.mark.usefixtures(place.__name__)
EXPERIMENT = "multiview/three_view_bsds500"


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


def test_a_sample_is_laid_down_where_it_was_found():
    target, other = torch.full((1, 1, 4, 4), 0.25), torch.full((1, 1, 4, 4), 0.25)
    other[0, 0, 1, 2] = 0.75
    shift = torch.tensor([0.25, -0.25]).view(1, 2, 1, 1).expand(1, 2, 4, 4)
    everywhere = torch.ones(1, 1, 4, 4)
    mean, amount = pixel_shuffle(scattered(target, other, shift, everywhere, 2), 2)[0]
    # the middle of pixel (1.25, 1.75) is that of (3, 4) of twice as many: (1.25 + 1/2) 2 - 1/2
    assert mean.nonzero().tolist() == [[3, 4]]
    assert mean[3, 4].item() == pytest.approx(0.5 / 1.1)
    assert torch.equal(amount[1::2, 0::2], torch.ones(4, 4))
    assert amount.sum() == 16
    # half a pixel of the large grid farther, two pixels share it; beyond the image and where it is hidden there is none
    mean, amount = pixel_shuffle(scattered(target, other, shift + 0.25, everywhere, 2), 2)[0]
    assert amount[3:5, 4:6].tolist() == [[0.25, 0.25], [0.25, 0.25]]
    assert torch.allclose(mean[3:5, 4:6], torch.tensor(0.125 / 0.35))
    assert scattered(target, other, shift + 9, everywhere, 2).abs().max() == 0
    assert scattered(target, other, shift, 0 * everywhere, 2).abs().max() == 0
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


# --- made frames --------------------------------------------------------------------------------------------


def test_motions_by_hand():
    image = texture(1, 3, 12, 14)
    still = torch.tensor([[1.0, 0, 0], [0, 1, 0]], dtype=torch.float64)
    assert torch.equal(moved(image, still), image)
    shifted = moved(image, still + torch.tensor([[0, 0, 2.0], [0, 0, -1]]))
    assert torch.equal(shifted[..., :10, 1:], image[..., 2:, :-1])  # moved(p) = image(p + (2, -1))
    quarter = torch.tensor([[0.0, -1, 0], [1, 0, 0]], dtype=torch.float64)
    assert torch.equal(moved(image[..., :12], quarter), image[..., :12].rot90(-1, dims=(2, 3)))
    ramp = torch.arange(10, dtype=torch.uint8).expand(1, 1, 4, 10) * 20
    half = resample(ramp, torch.zeros(1, 6).double(), torch.arange(2.5, 8.5)[None].double())
    assert half.flatten().tolist() == [50, 70, 90, 110, 130, 150]  # a cubic kernel keeps straight lines


def test_no_motion_reaches_beyond_its_margin():
    motions = Motions(shift=2.5, turn=2.0, zoom=0.03)
    H, W = 40, 60
    margin = motions.margin(H, W)
    stream = torch.Generator().manual_seed(0)
    corners = torch.tensor([[a * (H / 2 - margin), b * (W / 2 - margin)] for a in (-1, 1) for b in (-1, 1)]).double()
    for _ in range(300):
        motion = motions.draw(stream)
        seen = corners @ motion[:, :2].T + motion[:, 2]
        assert (seen.abs() <= torch.tensor([H / 2, W / 2]) - 1).all()


@pytest.fixture
def clips() -> None:
    """Three images to make frames of, and two clips, one of four frames and one of two, under data/."""
    for i in range(3):
        save(f"data/images/{i}.png", texture(1, 3, 40, 44, seed=i))
    for i in range(4):
        save(f"data/films/street/{i + 1:03d}.png", texture(1, 3, 24, 32, seed=20 + i))
    for i in range(2):
        save(f"data/films/short/{i + 1:03d}.png", texture(1, 3, 24, 32, seed=30 + i))


def three(**settings) -> ThreeViews:
    given = {"motions": Motions(1.0, 0.5, 0.005), "clips_at": "films", "test": ("street",), "patch": 16, "held_out": 1}
    return ThreeViews(images=("images",), root="data", colour="rgb", batch_size=2, **(given | settings))


def test_frames_are_made_by_the_seed_and_filmed_ones_stand_between_their_neighbours(clips):
    data = three()
    training = data.training_pairs()[2]
    margin = data.motions.margin(40, 44)
    assert [pair.name for pair in training] == ["0.png", "1.png"]
    whole = texture(1, 3, 40, 44)[..., margin:-margin, margin:-margin]
    assert torch.equal(training[0].x, whole[..., : whole.shape[2] // 2 * 2, : whole.shape[3] // 2 * 2])
    assert torch.equal(training[0].y[:, :3], bicubic_by(training[0].x, 0.5))
    for side in (slice(3, 6), slice(6, 9)):
        assert not torch.equal(training[0].y[:, side], training[0].y[:, :3])
    assert torch.equal(three().training_pairs()[2][0].y, training[0].y)
    assert not torch.equal(three(seed=1).training_pairs()[2][0].y, training[0].y)
    (film,) = (s for s in data.pairs() if s.name == "street-x2")
    frames = [bicubic_by(texture(1, 3, 24, 32, seed=20 + i), 0.5) for i in range(4)]
    assert torch.equal(film.pairs[0][1], torch.cat([frames[1], frames[0], frames[2]], dim=1))
    assert torch.equal(film.pairs[1][1], torch.cat([frames[2], frames[1], frames[3]], dim=1))
    assert [pair.name for pair in three(train=["street"], test=()).training_pairs()[2]][2:] == [
        "street/002.png",
        "street/003.png",
    ]


def test_shuffled_frames_are_of_another_place(clips):
    sets = {data.name: data for data in three().pairs()}
    assert list(sets) == ["synthetic-x2", "synthetic-shuffled-x2", "street-x2", "street-shuffled-x2"]
    own = [bicubic_by(texture(1, 3, 24, 32, seed=20 + i), 0.5) for i in range(4)]
    for _, y in sets["street-shuffled-x2"].pairs:
        sides = y[:, 3:6], y[:, 6:]
        assert not any(torch.equal(side, frame) for side in sides for frame in own)
    assert all(
        torch.equal(y[:, :3], y[:, side])
        for s in three(copy_reference=True).pairs()
        for _, y in s.pairs
        for side in (slice(3, 6), slice(6, 9))
    )
    with pytest.raises(ValueError, match=r"one place \(street\) cannot be shuffled"):
        three(held_out=0).pairs()


def test_a_list_names_the_clips_of_vimeo(clips):
    for name in ("00001/0001", "00001/0002", "00002/0001"):
        for i in range(7):
            save(f"data/vimeo/sequences/{name}/im{i + 1}.png", texture(1, 3, 16, 16, seed=i))
    Path("data/vimeo/sep_trainlist.txt").write_text("00001/0001\n00002/0001\n")
    Path("data/vimeo/sep_testlist.txt").write_text("00001/0002\n")
    data = three(clips_at="vimeo", train="sep_trainlist.txt", test="sep_testlist.txt", shuffled_tests=False)
    names = [pair.name for pair in data.training_pairs()[2]][2:]
    assert len(names) == 10
    assert names[5] == "sequences/00002/0001/im2.png"
    middle = data.pairs()[1]
    assert (middle.name, len(middle)) == ("sep_testlist-x2", 1)
    assert torch.equal(middle.pairs[0][0], texture(1, 3, 16, 16, seed=3))  # im4
    with pytest.raises(FileNotFoundError, match=r"vimeo/list\.txt: absent; give a list of clips"):
        three(clips_at="vimeo", test="list.txt").pairs()


def test_mistakes_cost_one_sentence(clips):
    mistakes = {
        "films/short has 2 frames: a frame needs one before it and one after": {"test": ("short",)},
        "films/none has 0 frames": {"test": ("none",)},
        "0.png is too small for its motions: set data.init_args.motions": {"motions": Motions(shift=20)},
        "3 images are too few to hold 3 out": {"held_out": 3},
    }
    for sentence, settings in mistakes.items():
        with pytest.raises(ValueError) as error:  # noqa: PT011
            three(**settings).setup("fit")
        assert sentence in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError, match="data/nowhere: absent; it should hold a folder of numbered frames"):
        three(clips_at="nowhere").setup("fit")
    save("data/films/street/002.png", texture(1, 3, 24, 30))
    with pytest.raises(ValueError, match=r"street/002\.png has views of 30 x 24 with 3 channels and of 32 x 24 with 3"):
        three().pairs()


# --- a run --------------------------------------------------------------------------------------------------


def test_a_run_scores_each_set_beside_its_shuffle(clips, capsys):
    options = ["--data.root", "data", "--data.images", "[images]", "--data.held_out", "1", "--data.clips_at", "films"]
    options += ["--data.test", "[street]", "--data.patch", "16", "--data.motions.shift", "1.0"]
    options += ["--model.network.width", "4", "--clock.g_steps", "2", "--clock.validations", "1"]
    options += ["--data.batch_size", "2", "--trainer.logger", "lightning_modules.callbacks.loggers.JsonlLogger"]
    assert main(["fit", EXPERIMENT, *options]) == 0
    (run,) = runs()
    assert [path.name for path in (run / "samples").iterdir()] == ["views-000000004.png"]
    capsys.readouterr()
    assert main(["test", str(run)]) == 0
    said = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("test/")]
    sets = ("synthetic-x2", "synthetic-shuffled-x2", "street-x2", "street-shuffled-x2")
    assert said == [f"test/{name}/{score}@y8-shave2" for name in sets for score in ("psnr", "ssim")]
