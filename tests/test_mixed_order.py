"""Laws of the order in which a split has its files: whatever looks at the first so many sees all classes."""

import os
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from PIL import Image

from datamodules.celeba import CelebA
from datamodules.cifar_jpeg import CIFAR10JPEG75
from datamodules.folder import Folder
from datamodules.layout import layout_of, mixed
from datamodules.workers import FileSet

CLASSES = "abcdefghij"
A_CLASS = 40
SPLIT = [f"{split}/{c}/{i:02d}.png" for split in ("test", "train") for c in CLASSES for i in range(A_CLASS)]
SHARED = [f"{c}/{i:02d}.png" for c in CLASSES for i in range(A_CLASS)]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Ten classes of forty files as the folder ``shots``, the archive ``plain/shots.zip``, and one level deeper."""
    root = tmp_path_factory.mktemp("data")
    for label, name in enumerate(CLASSES):
        (root / "shots" / name).mkdir(parents=True)
        for i in range(A_CLASS):
            Image.new("L", (4, 4), 20 * label + i % 20).save(root / "shots" / name / f"{i:02d}.png")
    for place, around in (("plain", ""), ("wrapped", "2024/shots/")):
        (root / place).mkdir()
        with zipfile.ZipFile(root / place / "shots.zip", "w") as file:
            for name in reversed(SHARED):  # an archive's own order is no matter
                file.write(root / "shots" / name, around + name)
    return root


def order(names: list[str], share: float = 0.25) -> dict[str, list[str]]:
    """The names of each split as a data set has them."""
    images = mixed(layout_of(names, share, 0), names).images
    return {split: [names[i] for i, _ in pairs] for split, pairs in images.items()}


# --- the order ----------------------------------------------------------------------------------------------


def test_the_order_is_that_of_the_hashes_of_the_names():
    for split, names in order(SPLIT).items():
        assert names == sorted(names, key=lambda name: sha256(name.encode()).hexdigest())
        assert sorted(names) == [name for name in SPLIT if name.startswith(split)]
    # sha256sum says 82d6..., b5bb... and d707...
    by_hand = ["train/2.png", "train/1.png", "train/3.png"]
    assert order(["test/1.png", *sorted(by_hand)])["train"] == by_hand


def test_labels_go_with_their_files():
    for pairs in mixed(layout_of(SPLIT, 0.1, 0), SPLIT).images.values():
        assert all(CLASSES[label] == SPLIT[number].split("/")[1] for number, label in pairs)


def test_folders_around_everything_are_no_part_of_the_names():
    for names in (SPLIT, SHARED):
        around = order([f"photos/2024/{name}" for name in names])
        assert around == {split: [f"photos/2024/{name}" for name in inside] for split, inside in order(names).items()}


def test_another_file_leaves_the_others_in_their_order():
    for names, new in ((SPLIT, "train/a/new.png"), (SHARED, "a/new.png"), (SHARED[:A_CLASS], "a/new.png")):
        before, after = order(names), order(sorted([*names, new]))
        for split in before:
            both = set(before[split]) & set(after[split])
            assert len(both) >= len(before[split]) - 1  # one may change sides where a share is drawn
            assert [n for n in before[split] if n in both] == [n for n in after[split] if n in both]
        assert [new in after[split] for split in after].count(True) == 1


def test_a_name_that_is_no_text_has_its_place():
    odd = b"train/caf\xe9.png".decode("utf-8", "surrogateescape")
    assert set(order([odd, "train/1.png", "test/1.png"])["train"]) == {odd, "train/1.png"}


def test_the_order_is_not_that_by_which_test_images_are_drawn():
    # those are the ones with the smallest of other hashes: a share of the first images of all would be mere chance
    both = order([f"{i}.png" for i in range(400)], 0.5)
    first = sorted((name for names in both.values() for name in names), key=lambda n: sha256(n.encode()).digest())[:200]
    assert 70 < len(set(first) & set(both["test"])) < 130  # 100 expected, 5 the standard deviation


# --- what looks at the first so many ------------------------------------------------------------------------


def test_the_first_hundred_of_a_class_sorted_folder_show_all_classes(root):
    for limit in (1, 0):
        data = Folder("shots", 4, channels=1, root=str(root), memory_limit_gib=limit, workers=0, test_share=0.5)
        for split in ("train", "test"):
            images = data.reference(split)
            assert images.labels[:100].bincount(minlength=10).min() >= 3  # 10 each on average
            assert (images[0:100].float().mean((1, 2, 3)) // 20).unique().numel() == 10  # the pixels go with them
        x, y = next(iter(data.val_dataloader()))
        assert (len(x), y.unique().tolist()) == (64, list(range(10)))
        data.teardown("fit")


def test_folder_archive_memory_and_workers_are_one_set_in_one_order(root):
    places = [root / "shots", root / "plain" / "shots.zip", root / "wrapped" / "shots.zip"]
    sets = [
        Folder(str(place), 4, channels=1, memory_limit_gib=limit, workers=0).reference("train")
        for place in places
        for limit in (1, 0)
    ]
    for other in sets[1:]:
        assert torch.equal(other[:], sets[0][:])
        assert torch.equal(other.labels, sets[0].labels)
        assert other.sha256 == sets[0].sha256
    assert [isinstance(images, FileSet) for images in sets] == [False, True] * 3


def test_a_set_with_an_arrangement_of_its_own_is_mixed_too(tmp_path):
    faces = tmp_path / "celeba" / "img_align_celeba"
    faces.mkdir(parents=True)
    names = [f"{i:06d}.jpg" for i in range(1, 31)]
    for name in names:
        Image.new("RGB", (178, 218)).save(faces / name)
    lines = "".join(f"{name} {2 * (i % 2)}\n" for i, name in enumerate(names))
    (tmp_path / "celeba" / "list_eval_partition.txt").write_text(lines)
    data = CelebA(root=str(tmp_path))
    for split, start in (("train", 0), ("test", 1)):
        found = [data.source.entries[i].name for i, _ in data.layout.images[split]]
        assert found == sorted(names[start::2], key=lambda name: sha256(name.encode()).digest())


def test_the_first_thousand_of_cifar10_jpeg75_are_of_all_classes_alike():
    if "ATELIER_DATA" not in os.environ:
        pytest.skip("ATELIER_DATA is not set: cifar10-jpeg.zip is not here")
    images = CIFAR10JPEG75().layout.images
    for split in ("train", "test"):
        labels = torch.tensor([label for _, label in images[split][:1000]])
        assert 65 < labels.bincount(minlength=10).min() <= labels.bincount().max() < 135  # 100, deviation 9.5
