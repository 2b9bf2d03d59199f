"""Laws of folders and archives of images: which split and class a file belongs to, and what is said of bad ones."""

from pathlib import Path

import numpy as np
import pytest
from command_line import TINY, place, runs
from PIL import Image

from datamodules.decode import Decoding
from datamodules.folder import Folder
from datamodules.layout import layout_of
from experiments.bench.mixed import BAD, make_mixed, packed, picture, zip_of
from experiments.cli import main

__all__ = ["place"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path_factory.mktemp("cache")))


def png(image: Image.Image, **settings) -> bytes:
    return packed(image, "PNG", **settings)


def photo(width: int = 90, height: int = 70, seed: int = 0) -> Image.Image:
    return picture(np.random.default_rng(seed), width, height)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"size": 0}, ["size is 0"]),
        ({"channels": 4}, ["channels is 4", "1 (grey) or 3"]),
        ({"background": 256}, ["background is 256"]),
        ({"max_pixels": 10**9}, ["max_pixels is 1000000000"]),
        ({"crop": 0}, ["crop is 0"]),
        ({"workers": -1}, ["workers is -1"]),
    ],
)
def test_a_wrong_setting_is_named_in_one_sentence(settings, words):
    with pytest.raises(ValueError, match=words[0]) as error:
        Folder("anywhere", **settings)
    assert all(word in str(error.value) for word in [*words, "data.init_args"])


# --- which split and class ----------------------------------------------------------------------------------


def shared(names: list[str], **settings) -> dict[str, list[str]]:
    layout = layout_of(names, **({"test_share": 0.25, "split_seed": 0} | settings))
    return {split: [names[i] for i, _ in images] for split, images in layout.images.items()}


def test_train_and_test_folders_are_the_split():
    names = ["test/cat/1.png", "test/dog/2.png", "train/cat/3.png", "train/dog/sub/4.png", "notes.png", "extra/5.png"]
    layout = layout_of(names, 0.1, 0)
    assert layout.images == {"train": [(2, 0), (3, 1)], "test": [(0, 0), (1, 1)]}
    assert (layout.classes, layout.split_by) == (("cat", "dog"), "train/ and test/")
    assert layout.others == {"at the top": 1, "in extra/": 1}
    flat = layout_of(["train/1.png", "val/2.png"], 0.1, 0)
    assert (flat.images, flat.classes) == ({"train": [(0, 0)], "test": [(1, 0)]}, None)


@pytest.mark.parametrize(("train", "test"), [("Train", "Test"), ("training", "testing"), ("train", "valid")])
def test_a_split_is_known_however_it_is_written(train, test):
    layout = layout_of([f"{train}/1.png", f"{train}/2.png", f"{test}/1.png"], 0.1, 0)
    assert layout.images == {"train": [(0, 0), (1, 0)], "test": [(2, 0)]}
    assert (layout.classes, layout.split_by) == (None, f"{train}/ and {test}/")


def test_class_folders_are_shared_out_class_by_class():
    names = [f"{name}/{i}.png" for name in ("b", "a") for i in range(20 if name == "a" else 8)]
    split = shared(names)
    assert sorted(split["train"] + split["test"]) == sorted(names)
    assert [sum(name.startswith(c) for name in split["test"]) for c in ("a/", "b/")] == [5, 2]
    assert layout_of(names, 0.25, 0).classes == ("a", "b")
    assert shared(names, split_seed=1) != split


def test_a_new_file_moves_at_most_one_other_per_class():
    names = [f"{i}.png" for i in range(100)]
    before, after = (set(shared(some)["test"]) for some in (names, [*names, "new.png"]))
    assert len(before - after) <= 1
    assert len(before) == 25


def test_a_single_folder_around_everything_is_stepped_into():
    inside = [f"{c}/{i}.png" for c in "ab" for i in range(8)]
    wrapped = [f"photos/2024/{name}" for name in inside]
    assert shared(wrapped) == {split: [f"photos/2024/{n}" for n in names] for split, names in shared(inside).items()}
    flat = layout_of([f"photos/{i}.png" for i in range(8)], 0.25, 0)
    assert (flat.classes, len(flat.images["test"])) == (None, 2)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["readme.txt"], "no file with the suffix of an image"),
        ([], "no file with the suffix of an image"),
        (["a/1.png", "b/1.png", "2.png"], r"images such as 2\.png lie beside class folders"),
        (["1.png"], "leave a split empty"),
    ],
)
def test_names_without_a_layout_are_refused(names, said):
    with pytest.raises(ValueError, match=said):
        layout_of(names, 0.1, 0)
    with pytest.raises(ValueError, match="test_share is 1"):
        layout_of(["1.png", "2.png"], 1, 0)


# --- whole sets ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Path:
    """A folder that holds fifty mixed files as ``mixed/`` and ``mixed.zip``, and a text beside them."""
    root = tmp_path_factory.mktemp("data")
    make_mixed(root / "mixed", 50)
    (root / "mixed" / "notes.txt").write_text("not for training")
    zip_of(root / "mixed", root / "mixed.zip")
    return root


REPORT = """\
{0}: 47 of 50 images used (43 train, 4 test; 0.1 of each class for test, seed 0), 3 skipped; centre crop, \
lanczos to 8 px, colour
  skipped blobs/truncated.jpg: damaged: image file is truncated
  skipped stripes/bomb.png: 10000 x 10000 = 100,000,000 pixels are more than max_pixels 67,108,864
  skipped stripes/letter.png: not an image, or one without a whole header
  passed over, no images by name: 1 .txt
  changed: 11 grey to colour, 6 alpha on 255, 6 palette, 5 16 bits to 8
"""


def folder_yaml(root: Path, path: str, **settings) -> None:
    lines = "".join(f"    {name}: {value}\n" for name, value in settings.items())
    data = f"class_path: datamodules.folder.Folder\n  init_args:\n    path: {path}\n    root: {root}\n    size: 8\n"
    text = TINY.replace("channels: 1", "channels: 3")
    head, rest = text.split("class_path: datamodules.digits.Digits")
    Path("tiny.yaml").write_text(head + data + "    batch_size: 8\n" + lines + rest.split("\n", 2)[2])


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("path", ["mixed", "mixed.zip"])
@pytest.mark.parametrize("memory_limit_gib", [2, 0])
def test_mixed_files_train_and_are_reported_once(mixed, path, memory_limit_gib, capsys):
    folder_yaml(mixed, path, memory_limit_gib=memory_limit_gib, workers=1)
    assert main(["fit", "tiny.yaml"]) == 0
    out = capsys.readouterr()
    assert REPORT.format(path) in out.out
    assert out.out.count("skipped") == 4
    assert "Warning" not in out.err
    assert (runs()[-1] / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("memory_limit_gib", [2, 0])
def test_bad_files_are_refused_where_asked_to_be(mixed, memory_limit_gib, capsys):
    folder_yaml(mixed, "mixed", on_bad="refuse", memory_limit_gib=memory_limit_gib)
    assert main(["fit", "tiny.yaml"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("atelier: mixed: 3 of 50 files give no image: blobs/truncated.jpg (damaged: ")
    assert all(name in err for name in BAD)
    assert err.endswith("or set data.init_args.on_bad to skip.\n")
    assert err.count("\n") == 1
    assert not Path("runs").exists() or runs() == []


def test_folder_archive_memory_and_files_are_the_same_set(mixed):
    sets = [
        Folder(path, 16, root=str(mixed), memory_limit_gib=limit, workers=2).reference(split)
        for split in ("train", "test")
        for path in ("mixed", "mixed.zip")
        for limit in (1, 0)
    ]
    for first, others in ((sets[0], sets[1:4]), (sets[4], sets[5:])):
        assert first.sha256 != sets[4 if first is sets[0] else 0].sha256
        for other in others:
            assert (other[:] == first[:]).all()
            assert (other.labels == first.labels).all()
            assert (other.sha256, other.name, other.split) == (first.sha256, "mixed-centre-lanczos", first.split)


def test_a_set_is_that_of_its_files_in_order_with_labels_of_their_folders(mixed):
    data = Folder("mixed", 16, root=str(mixed), test_share=0.5)
    train, names = data.reference("train"), [entry.name for entry in data.source.entries]
    whole = [i for i, _ in data.layout.images["train"] if names[i] not in BAD]
    decode = Decoding(16)
    for row, i in enumerate(whole):
        expected = decode((mixed / "mixed" / names[i]).read_bytes()).pixels
        assert (train[row : row + 1][0].permute(1, 2, 0).numpy() == expected).all()
        assert data.class_names[train.labels[row]] == names[i].split("/")[0]
    assert (data.num_classes, data.out_shape, len(train)) == (2, (3, 16, 16), len(whole))


def test_the_report_is_plain_and_counts_everything(mixed):
    data = Folder("mixed", 8, root=str(mixed))
    data.setup("fit")
    found = data.report.as_dict()
    assert found["counts"] == {"train": 43, "test": 4}
    assert [fault["name"] for fault in found["faults"]] == sorted(BAD)
    assert found["skipped"] == sum(found["reasons"].values()) == len(BAD)
    assert found["passed_over"] == {".txt": 1}


def test_many_faults_are_counted_by_reason(tmp_path):
    for i in range(60):
        (tmp_path / f"{i:02d}.png").write_bytes(b"no image" if i % 6 else png(photo(9, 9, i)))
    data = Folder(str(tmp_path), 8, test_share=0.5)
    data.setup("fit")
    lines = data.report.lines()
    assert "10 of 60 images used" in lines[0]
    assert len(data.report.faults) == 50
    data.report.faults *= 2
    assert data.report.lines()[51] == "  skipped 50 more: 50 not an image, or one without a whole header"


def test_a_split_without_a_whole_image_is_refused(tmp_path):
    for split, content in (("train", png(photo())), ("test", b"no image")):
        (tmp_path / split).mkdir()
        (tmp_path / split / "1.png").write_bytes(content)
    with pytest.raises(
        ValueError,
        match=r"no file of the test split gives an image: test/1\.png \(not an image, or one without a whole header\)",
    ):
        Folder(str(tmp_path), 8).setup("fit")


def test_an_absent_folder_is_said_before_training(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"photos and photos: absent; set data\.init_args\.path") as error:
        Folder("photos", root=str(tmp_path)).prepare_data()
    assert "\n" not in str(error.value)
    (tmp_path / "photos").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="photos is not a whole zip archive"):
        Folder("photos", root=str(tmp_path)).prepare_data()
