"""Laws of finished images as one set: the same from every kind of place, taken as they are or refused by name."""

import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import place
from image_places import archive, everywhere, folder, noise
from PIL import Image

from datamodules import collection
from datamodules.collection import Change, image_set, title, whole_images
from experiments.bench.mixed import deep

pytestmark = pytest.mark.usefixtures(place.__name__)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "cache"))


def channels_first(images: np.ndarray) -> torch.Tensor:
    x = torch.from_numpy(images)
    return x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2)


def refusal(path: str, change: Change | None = None) -> str:
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        image_set(path, change or Change())
    assert "\n" not in str(error.value)
    return str(error.value)


# --- one set ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 3)])
def test_every_place_gives_the_same_bytes_and_hash(shape):
    images = noise(5, shape)
    sets = {path: image_set(path) for path in everywhere(images)}
    for path, found in sets.items():
        assert torch.equal(found[0:9], channels_first(images)), path
        assert found.split == "all"
    assert len({found.sha256 for found in sets.values()}) == 1


def test_a_set_that_stays_on_the_disk_is_the_same(monkeypatch):
    images = noise(70)
    place = str(folder("a", images))
    kept = image_set(place)
    monkeypatch.setattr(collection, "IN_MEMORY", 0)
    left = image_set(place)
    assert type(left) is not type(kept)
    assert left.sha256 == kept.sha256
    assert torch.equal(left[3:69], kept[3:69])


def test_files_come_in_the_order_of_their_names_from_all_folders_below():
    images = noise(4)
    for name, image in zip(("b/2", "a/9", "b/10", "c"), images, strict=True):
        Path("all", name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(Path("all", name).with_suffix(".png"))
    assert torch.equal(image_set("all")[0:4], channels_first(images[[1, 2, 0, 3]]))


def test_sets_are_called_by_their_own_name_alone():
    folder("deep/v1.2", noise(2))
    assert title("deep/v1.2") == image_set("deep/v1.2").name == "v1.2"
    assert title("deep/v1.2/.") == "v1.2"
    archive("faces.zip", Path("deep/v1.2"), "test/")
    assert [title("faces.zip"), title("faces.zip/test")] == ["faces", "faces/test"]


def test_a_palette_stands_for_its_colours():
    images = noise(2, (8, 8, 3)) // 64 * 64
    place = folder("p", images)
    for file in place.iterdir():
        Image.open(file).quantize(256).save(file)
    assert torch.equal(image_set("p")[0:2], channels_first(images))


# --- what would have to be changed --------------------------------------------------------------------------


def odd(name: str, image: Image.Image, of: tuple[int, ...] = (8, 8)) -> str:
    folder(name, noise(3, of))
    image.save(Path(name, "odd.png"))
    return name


GREY, RGB = Image.new("L", (8, 8), 7), Image.new("RGB", (8, 8), (9, 8, 7))
ODD = {
    "size": (Image.new("L", (10, 10)), "odd.png (10 x 10 and not 8 x 8)", Change(size=8)),
    "not square": (Image.new("L", (8, 10)), "odd.png (8 x 10 and not 8 x 8)", Change(size=8)),
    "colour": (RGB, "odd.png (colour and not grey)", Change(channels=1)),
    "palette": (RGB.quantize(4), "odd.png (colour and not grey)", Change(channels=1)),
    "alpha": (Image.new("LA", (8, 8)), "odd.png (with alpha)", Change(background=0)),
}
ALLOWED = [Change(size=8), Change(channels=1), Change(background=0)]


@pytest.mark.parametrize("kind", ODD)
def test_each_change_is_refused_unless_just_that_one_is_allowed(kind):
    image, message, allowed = ODD[kind]
    place = odd("a", image)
    assert message in refusal(place)
    for other in ALLOWED:
        if other != allowed:
            assert message in refusal(place, other), other
    assert len(image_set(place, allowed)) == 4


def test_allowed_changes_are_those_that_are_said():
    odd("a", Image.new("RGBA", (16, 8), (200, 100, 50, 0)), (8, 8, 3))
    changed = image_set("a", Change(size=8, background=60))
    assert torch.equal(changed[3:4], torch.full((1, 3, 8, 8), 60, dtype=torch.uint8))
    assert torch.equal(changed[0:3], channels_first(noise(3, (8, 8, 3))))  # an image that fits is not touched
    odd("b", RGB)
    luma = round((9 * 299 + 8 * 587 + 7 * 114) / 1000)
    assert image_set("b", Change(channels=1))[3:4].unique().tolist() == [luma]
    assert image_set("b", Change(channels=3))[3:4, :, 0, 0].tolist() == [[9, 8, 7]]
    assert str(Change(8, 3, 0)) == "centre crop, lanczos to 8 px, colour, alpha on 0"
    assert str(Change()) == "as they are"


@pytest.mark.parametrize("mode", ["I;16", "I", "CMYK", "F"])
def test_other_than_eight_bits_grey_or_rgb_is_never_changed(mode):
    folder("a", noise(2))
    Image.new(mode, (8, 8)).save("a/odd.tif")
    for change in (Change(), Change(8, 1, 0)):
        assert "odd.tif" in refusal("a", change)


def test_sixteen_bits_of_colour_are_not_cut_without_a_word():
    folder("a", noise(2, (8, 8, 3)))
    Path("a/odd.png").write_bytes(deep(np.full((8, 8, 3), 0x80FF, dtype=np.uint16)))
    assert "odd.png (16 bits a channel, of which 8 would be lost)" in refusal("a")


@pytest.mark.parametrize("bad", [{"size": 0}, {"size": 99_999}, {"channels": 2}, {"background": 256}])
def test_changes_that_cannot_be(bad):
    with pytest.raises(ValueError, match=f"The {next(iter(bad))}"):
        Change(**bad)


# --- bad places ---------------------------------------------------------------------------------------------


def test_places_without_images():
    Path("empty").mkdir()
    Path("text").mkdir()
    Path("text/a.txt").write_text("no image")
    Path("one.png").write_bytes(folder("a", noise(1)).joinpath("0000.png").read_bytes())
    archive("a.zip", Path("a"))
    Path("broken.zip").write_bytes(Path("a.zip").read_bytes()[:40])
    assert "empty holds no images" in refusal("empty")
    assert "text holds no images" in refusal("text")
    assert "a.zip/test holds no images" in refusal("a.zip/test")
    assert "nowhere: absent" in refusal("nowhere")
    assert "nowhere.npy: absent" in refusal("nowhere.npy")
    assert "one.png is one image: give the folder" in refusal("one.png")
    assert "broken.zip is not a whole zip archive" in refusal("broken.zip")


def test_damaged_files_are_named_with_their_number():
    place = folder("a", noise(4))
    (place / "0001.png").write_bytes((place / "0001.png").read_bytes()[:-30])
    (place / "0003.png").write_bytes(b"")
    said = refusal("a")
    for part in ("2 of 4 files", "0001.png (damaged", "0003.png (empty file)"):
        assert part in said
    for file in place.iterdir():
        file.write_bytes(b"no image")
    assert "none of 4 files is an image, 0000.png the first" in refusal("a")


def test_what_cannot_be_reached_is_refused_and_not_left_out():
    place = folder("a", noise(3))
    outside = folder("outside", noise(1)).absolute()
    (place / "link.png").symlink_to(outside / "0000.png")
    assert "link.png (a link that leads out of the folder)" in refusal("a")
    (place / "link.png").unlink()
    archive("a.zip", place)
    with zipfile.ZipFile("a.zip", "a") as file:
        file.write(place / "0000.png", "../out.png")
    assert "out.png (a name that leads out of the archive)" in refusal("a.zip")


class Harmful:
    def __reduce__(self):
        return os.system, ("touch harmed",)


@pytest.mark.parametrize("name", ["a.pt", "legacy.pt", "a.npy", "a.npz"])
def test_a_pickle_is_not_run(name):
    if name == "a.pt":
        torch.save(Harmful(), name)
    elif name == "a.npy":
        np.save(name, np.array([Harmful()], dtype=object), allow_pickle=True)
    else:
        Path(name).write_bytes(pickle.dumps(Harmful()))
    said = refusal(name)
    assert said.startswith(f"{name} cannot be read as an array of numbers")
    assert "allow_pickle" not in said  # advice that would run it
    assert "weights_only" not in said
    assert not Path("harmed").exists()


@pytest.mark.parametrize("suffix", ["npy", "npz", "pt"])
@pytest.mark.parametrize("damage", ["cut", "empty", "junk"])
def test_damaged_arrays(suffix, damage):
    everywhere(noise(4))
    path = Path(f"array.{suffix}")
    content = path.read_bytes()
    path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "junk": b"junk" * 50}[damage])
    assert "cannot be read as an array" in refusal(str(path))


def test_an_array_of_a_lying_header():
    header = str({"descr": "|u1", "fortran_order": False, "shape": (2**40, 64, 64)}).ljust(117) + "\n"
    Path("a.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(9))
    assert "cannot be read as an array" in refusal("a.npy")


ARRAYS = {
    "of shape [4, 8, 8, 4]": noise(4, (8, 8, 4)),
    "of shape [8, 8, 3]": noise(1, (8, 8, 3))[0],  # one image
    "of shape [8, 8]": noise(1)[0],
    "of shape [0, 8, 8]": noise(0),
    "NaN": np.full((4, 8, 8), np.nan, np.float32),
    "reach from 0 to 255": np.linspace(0, 255, 64, dtype=np.float32).reshape(1, 8, 8),
    "reach from -1 to 1": np.linspace(-1, 1, 64).reshape(1, 8, 8),
    "int64": noise(4).astype(int),
    "bool": noise(4) > 9,
}


@pytest.mark.parametrize("message", ARRAYS)
def test_arrays_that_are_no_images(message):
    np.save("a.npy", ARRAYS[message])
    assert message in refusal("a.npy")


def test_files_of_more_than_one_array():
    np.savez("two.npz", a=noise(2), b=noise(2))
    torch.save({"images": torch.zeros(2, 1, 8, 8)}, "dict.pt")
    assert "two.npz holds 2 arrays: save one" in refusal("two.npz")
    assert "dict.pt holds a dict: save one" in refusal("dict.pt")


def test_a_tensor_that_was_trained_is_read_like_any():
    torch.save(torch.nn.Parameter(torch.full((2, 1, 8, 8), 0.5)), "a.pt")
    assert image_set("a.pt")[0:2].unique().tolist() == [128]  # 127.5 rounds to even


# --- by name, of any sizes ----------------------------------------------------------------------------------


def test_whole_images_keep_size_and_name():
    Path("a").mkdir()
    Image.fromarray(noise(1, (5, 9))[0]).save("a/wide.png")
    Image.fromarray(noise(1, (4, 4, 3))[0]).save("a/small.bmp")
    found = whole_images("a")
    assert (found.names, len(found)) == (["small", "wide"], 2)
    assert torch.equal(found["wide"], channels_first(noise(1, (5, 9))))
    assert torch.equal(found["small"], channels_first(noise(1, (4, 4, 3))))
    Image.fromarray(noise(1)[0]).save("a/small.png")
    with pytest.raises(ValueError, match="two images of the name small"):
        whole_images("a")


def test_turns_by_exif_count_in_sets_alone_and_later_frames_nowhere():
    upright, later = noise(2, seed=3)
    exif = Image.Exif()
    exif[0x0112] = 3  # stored upside down
    for name in ("turned", "moving"):
        Path(name).mkdir()
    Image.fromarray(np.rot90(upright, 2).copy()).save("turned/a.png", exif=exif)
    Image.fromarray(upright).save("moving/a.webp", save_all=True, append_images=[Image.fromarray(later)], lossless=True)
    for name in ("turned", "moving"):
        assert (image_set(name, Change(channels=1))[:][0, 0].numpy() == upright).all()
    assert (whole_images("turned")["a"][0, 0].numpy() == np.rot90(upright, 2)).all()
    assert (whole_images("moving")["a"][0, 0].numpy() == upright).all()
