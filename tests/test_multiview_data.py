"""Three views, made and filmed: motions by hand, what is read and made of files, the controls, bad input, and a run."""

from pathlib import Path

import pytest
import torch
from command_line import place, runs
from PIL import Image
from test_stereo import save, texture

from datamodules.functional.resize import bicubic_by
from datamodules.functional.warp_views import Motions, moved, resample
from datamodules.multiview import ThreeViews, clip
from datamodules.sources import FolderSource
from experiments.cli import main

pytestmark = pytest.mark.usefixtures(place.__name__)
EXPERIMENT = "multiview/three_view_bsds500"

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
    hashes = [three(**seeds).pairs()[0].sha256 for seeds in ({}, {"seed": 1}, {"test_seed": 1})]
    assert hashes[0] == hashes[1] != hashes[2]  # runs of several seeds are tested on the same scenes
    (film,) = (s for s in data.pairs() if s.name == "street-x2")
    frames = [bicubic_by(texture(1, 3, 24, 32, seed=20 + i), 0.5) for i in range(4)]
    assert torch.equal(film.pairs[0][1], torch.cat([frames[1], frames[0], frames[2]], dim=1))
    assert torch.equal(film.pairs[1][1], torch.cat([frames[2], frames[1], frames[3]], dim=1))
    assert [pair.name for pair in three(train=["street"], test=()).training_pairs()[2]][2:] == [
        "street/002.png",
        "street/003.png",
    ]


def test_frames_are_in_the_order_of_their_numbers(tmp_path):
    for i in range(1, 13):
        Image.new("L", (8, 8), i).save(tmp_path / f"{i}.png")
    scenes = clip(FolderSource(tmp_path), ".")
    read = [[int(view.unique()) for view in scene.views] for scene in scenes]
    assert read == [[i, i - 1, i + 1] for i in range(2, 12)]


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
