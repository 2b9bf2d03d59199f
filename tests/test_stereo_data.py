"""Stereo pairs, made and photographed: what is read and made of files, the controls, bad input, and a run of both."""

from pathlib import Path

import pytest
import torch
from command_line import place, runs
from test_bad_input import refused
from test_stereo import save, texture

from datamodules.functional.resize import bicubic_by
from datamodules.functional.warp_views import Disparities, stereo_pair
from datamodules.stereo import StereoImages
from experiments.cli import main

pytestmark = pytest.mark.usefixtures(place.__name__)
EXPERIMENT = "stereo/passrnet_bsds500"

# --- made pairs ---------------------------------------------------------------------------------------------


def test_a_field_of_disparities_is_smooth_and_stays_in_its_range():
    disparities = Disparities(largest=12, relief=6, spacing=16)
    stream = torch.Generator().manual_seed(0)
    fields = torch.stack([disparities.draw(40, 60, stream) for _ in range(50)])
    assert fields.min() >= 0
    assert 6 < fields.max() <= 12
    assert (fields.amax((1, 2)) - fields.amin((1, 2))).max() <= 6
    assert fields.diff(dim=2).abs().max() < 2 * 6 / 16
    for wrong in ({"relief": 13.0, "largest": 12.0}, {"relief": 8.0, "spacing": 16}):
        with pytest.raises(ValueError, match="set it"):
            Disparities(**wrong)


@pytest.fixture
def scenes() -> None:
    """Four images to make pairs of, and three photographed pairs, under data/."""
    for i in range(4):
        save(f"data/images/{i}.png", texture(1, 3, 32, 56, seed=i))
    for i, (name, left, right) in enumerate((("a", "view1", "view5"), ("b", "im2", "im6"), ("c", "im0", "im1"))):
        for j, view in enumerate((left, right)):
            save(f"data/real/{name}/{view}.png", texture(1, 3, 24, 32 + 2 * i, seed=10 * i + j + 10))
    save("data/real/a/disp1.png", texture(1, 3, 24, 32))  # not a view


def stereo(**settings) -> StereoImages:
    shape = Disparities(largest=8, relief=4, spacing=16)
    given = {"disparities": shape, "pairs_at": "real", "test": ("a", "c"), "patch": 16, "batch_size": 4, "held_out": 2}
    return StereoImages(images=("images",), root="data", **(given | settings))


def test_pairs_are_made_by_the_seed_and_real_ones_found_by_their_names(scenes):
    data = stereo()
    training = data.training_pairs()[2]
    assert [pair.name for pair in training] == ["0.png", "1.png", "b"]
    assert [(pair.x.shape[1:], pair.y.shape[1:]) for pair in training] == [
        *([((3, 32, 48), (6, 16, 24))] * 2),
        ((3, 24, 34), (6, 12, 17)),
    ]
    assert torch.equal(training[0].x, texture(1, 3, 32, 56, seed=0)[..., :48])  # the left view is the image itself
    assert torch.equal(training[0].y[:, :3], bicubic_by(training[0].x, 0.5))
    assert torch.equal(training[2].y[:, 3:], bicubic_by(texture(1, 3, 24, 34, seed=21), 0.5))
    again, other = stereo().training_pairs()[2], stereo(seed=1).training_pairs()[2]
    for i in range(2):
        assert torch.equal(again[i].y, training[i].y)
        assert not torch.equal(other[i].y, training[i].y)
        assert torch.equal(other[i].x, training[i].x)
    assert [pair.name for pair in stereo(train=["c"], test=()).training_pairs()[2]] == ["0.png", "1.png", "c"]


def test_the_controls_take_the_other_view_away(scenes):
    sets = {data.name: data for data in stereo().pairs()}
    assert list(sets) == ["synthetic-x2", "synthetic-shuffled-x2", "real-x2", "real-shuffled-x2"]
    for name in ("synthetic", "real"):
        true, mixed = sets[f"{name}-x2"].pairs, sets[f"{name}-shuffled-x2"].pairs
        for (x, y), (same_x, other) in zip(true, mixed, strict=True):
            assert torch.equal(x, same_x)
            assert torch.equal(y[:, :3], other[:, :3])
            assert (y[:, 3:] != other[:, 3:]).float().mean() > 0.9
    one, _ = (pair[1] for pair in sets["synthetic-shuffled-x2"].pairs)
    assert torch.equal(one[:, 3:], sets["synthetic-x2"].pairs[1][1][:, 3:])  # the next scene's
    copied = stereo(copy_reference=True)
    assert [data.name for data in copied.pairs()] == ["synthetic-x2", "real-x2"]
    for x, y in [(pair.x, pair.y) for pair in copied.training_pairs()[2]] + [
        p for s in copied.pairs() for p in s.pairs
    ]:
        assert torch.equal(y[:, :3], y[:, 3:])
        assert torch.equal(y[:, :3], bicubic_by(x, 0.5))
    with pytest.raises(ValueError, match=r"\(3.png\) cannot be shuffled: set data.init_args.shuffled_tests to false"):
        stereo(held_out=1, pairs_at=None).pairs()


def test_patches_keep_right_on_the_right_when_they_are_turned(scenes):
    data = stereo(pairs_at=None)
    far = torch.full((32, 48), 8.0, dtype=torch.float64)
    data.made = [
        scene._replace(views=[*stereo_pair(texture(1, 3, 32, 56, seed=i), far)]) for i, scene in enumerate(data.made)
    ]
    torch.manual_seed(0)
    x, y = data.draw(torch.arange(2).repeat(20))
    assert (x.shape, y.shape) == ((40, 3, 16, 16), (40, 2, 3, 8, 8))
    left, right = y.unbind(1)
    # 8 pixels are 4 small ones, to the left; patches at the end of a view differ there, by its border
    alike = (right[..., 1:-5] == left[..., 5:-1]).flatten(1).all(1)
    assert alike.float().mean() > 0.75
    inner = (..., slice(2, -2), slice(2, -2))
    small = bicubic_by((x * 255).round().byte(), 0.5).float() / 255
    assert (small[inner] - left[inner]).abs().max() < 1.5 / 255  # x was turned as y was


def test_whole_pairs_are_floats_with_views_of_their_own(scenes):
    data = stereo()
    x, y = data.on_after_batch_transfer(data.pairs()[2].pairs[0], 0)
    assert (x.shape, y.shape) == ((1, 3, 24, 32), (1, 2, 3, 12, 16))
    assert torch.equal((y[0, 1] * 255).round().byte(), data.pairs()[2].pairs[0][1][0, 3:])
    x, y = (luma := stereo(colour="luma")).on_after_batch_transfer(luma.pairs()[2].pairs[0], 0)
    assert (x.shape, y.shape) == ((1, 1, 24, 32), (1, 2, 1, 12, 16))


# --- mistakes -----------------------------------------------------------------------------------------------


def test_files_of_left_and_right_are_pairs_and_a_missing_partner_is_named(scenes):
    for name in ("0001", "0002"):
        for i, side in enumerate("LR"):
            save(f"data/flickr/Train/{name}_{side}.png", texture(1, 3, 24, 32, seed=i))
    data = stereo(pairs_at="flickr/Train", test=("0002",), shuffled_tests=False)
    assert [pair.name for pair in data.training_pairs()[2]][2:] == ["0001"]
    assert [len(s) for s in data.pairs()] == [2, 1]
    Path("data/flickr/Train/0002_R.png").unlink()
    with pytest.raises(ValueError, match="Train/0002_L is there and 0002_R is not: a stereo pair needs both"):
        stereo(pairs_at="flickr/Train", test=()).training_pairs()
    Path("data/real/b/im6.png").unlink()
    with pytest.raises(ValueError, match="real/b/im2 is there and b/im6 is not: a stereo pair needs both"):
        stereo().training_pairs()


def test_mistakes_cost_one_sentence(scenes):
    mistakes = {
        "turns are 'all': rows of stereo pairs belong together": {"turns": "all"},
        "turns are 'flips': rows of stereo pairs": {"turns": "flips"},
        "has no scene 'd': set data.init_args.train and test to some of a, b, c.": {"test": ("d",)},
        "4 images are too few to hold 4 out": {"held_out": 4},
        "held_out is -1": {"held_out": -1},
        "scale is 0": {"scale": 0},
        "0.png is 56 pixels wide: set data.init_args.disparities.largest below": {"disparities": Disparities(56)},
        "images holds no stereo pairs: it should hold": {"pairs_at": "images"},
    }
    for sentence, settings in mistakes.items():
        with pytest.raises(ValueError) as error:  # noqa: PT011
            stereo(**settings).setup("fit")
        assert sentence in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError, match="data/nowhere: absent; it should hold a folder a scene"):
        stereo(pairs_at="nowhere").setup("fit")
    save("data/real/a/view5.png", texture(1, 3, 24, 30))
    with pytest.raises(
        ValueError, match="a has views of 32 x 24 with 3 channels and of 30 x 24 with 3: a scene's views"
    ):
        stereo().pairs()


# --- a run --------------------------------------------------------------------------------------------------


def test_a_run_scores_each_set_beside_its_shuffle_and_a_test_repeats_it(scenes, capfd):
    options = ["--data.root", "data", "--data.images", "[images]", "--data.held_out", "2", "--data.pairs_at", "real"]
    options += ["--data.test", "[a, c]", "--data.patch", "16", "--data.disparities.largest", "8"]
    options += ["--data.disparities.relief", "4", "--model.network.width", "4", "--trainer.precision", "32-true"]
    options += ["--clock.g_steps", "2", "--clock.validations", "1", "--data.batch_size", "2"]
    options += ["--trainer.logger", "lightning_modules.callbacks.loggers.JsonlLogger"]
    assert main(["fit", EXPERIMENT, *options]) == 0
    (run,) = runs()
    assert [path.name for path in (run / "samples").iterdir()] == ["views-000000004.png"]
    capfd.readouterr()
    assert main(["test", str(run)]) == 0
    said = [line.split()[0] for line in capfd.readouterr().out.splitlines() if line.startswith("test/")]
    sets = ("synthetic-x2", "synthetic-shuffled-x2", "real-x2", "real-shuffled-x2")
    assert said == [f"test/{name}/{score}@rgb" for name in sets for score in ("psnr", "ssim")]
    assert "knows the scale 2, the data module gives 4" in refused(
        capfd, "fit", EXPERIMENT, *options, "--data.scale", "4"
    )
