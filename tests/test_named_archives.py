"""CelebA in torchvision's layout, and CIFAR-10 as JPEG files: splits, crops, and what is said of absent files."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import InterpolationMode, center_crop, resize

from datamodules.celeba import CelebA
from datamodules.cifar_jpeg import CIFAR10JPEG75
from experiments.bench.mixed import make_mixed, packed, picture, zip_of


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path_factory.mktemp("cache")))


def write_celeba(root: Path, n: int = 30) -> None:
    """``n`` faces of 178x218 in torchvision's layout, two thirds for training, the rest to the two others."""
    folder = root / "celeba" / "img_align_celeba"
    folder.mkdir(parents=True)
    for i in range(n):
        (folder / f"{i + 1:06d}.jpg").write_bytes(
            packed(picture(np.random.default_rng(i), 178, 218), "JPEG", quality=90)
        )
    lines = [f"{i + 1:06d}.jpg {0 if i < 20 else 1 if i < 25 else 2}\n" for i in range(n)]
    (root / "celeba" / "list_eval_partition.txt").write_text("".join(lines))


@pytest.mark.parametrize(("size", "crop"), [(64, 178), (128, 178), (64, 108)])
def test_celeba_is_cropped_resized_and_split_as_published(tmp_path, size, crop):
    write_celeba(tmp_path)
    data = CelebA(size, crop, root=str(tmp_path), memory_limit_gib=0, workers=1)
    data.prepare_data()
    train, test = data.reference("train"), data.reference("test")
    assert (len(train), len(test), data.out_shape, data.num_classes) == (20, 5, (3, size, size), None)
    assert train.name == f"celeba-{crop}-bilinear"
    for row, (number, _) in enumerate(data.layout.images["test"]):
        face = Image.open(tmp_path / "celeba/img_align_celeba" / data.source.entries[number].name)
        expected = resize(center_crop(face, [crop, crop]), [size, size], InterpolationMode.BILINEAR, antialias=True)
        assert (test[row : row + 1][0].permute(1, 2, 0).numpy() == np.asarray(expected)).all()
    assert {data.source.entries[i].name for i, _ in data.layout.images["test"]} == {
        f"0000{i}.jpg" for i in range(26, 31)
    }
    assert data.report.others == {"in the validation partition": 5}


def test_celeba_may_stay_in_its_archive(tmp_path):
    write_celeba(tmp_path)
    folder = CelebA(root=str(tmp_path)).reference("test")
    images = tmp_path / "celeba" / "img_align_celeba"
    zip_of(tmp_path / "celeba", tmp_path / "all.zip")
    for path in images.iterdir():
        path.unlink()
    images.rmdir()
    (tmp_path / "all.zip").rename(tmp_path / "celeba" / "img_align_celeba.zip")
    assert CelebA(root=str(tmp_path)).reference("test").sha256 == folder.sha256


def test_absent_or_torn_celeba_is_told_in_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"list_eval_partition\.txt is absent; the layout is celeba/") as error:
        CelebA(root=str(tmp_path)).prepare_data()
    assert "\n" not in str(error.value)
    assert "data.init_args.root" in str(error.value)
    write_celeba(tmp_path)
    (tmp_path / "celeba/img_align_celeba/000007.jpg").unlink()
    with pytest.raises(ValueError, match=r"1 images of list_eval_partition\.txt are absent, such as 000007\.jpg"):
        CelebA(root=str(tmp_path)).prepare_data()
    (tmp_path / "celeba/list_eval_partition.txt").write_text("000001.jpg 0\n000002.jpg 3\n")
    with pytest.raises(ValueError, match="line 2 is not a file name and 0, 1 or 2"):
        CelebA(root=str(tmp_path)).prepare_data()


def test_another_archive_is_not_taken_for_cifar10(tmp_path):
    make_mixed(tmp_path / "mixed", 20)
    zip_of(tmp_path / "mixed", tmp_path / "cifar10-jpeg.zip")
    with pytest.raises(ValueError, match=r"cifar10_jpeg75 has .*, here are .*: fetch it again\.$"):
        CIFAR10JPEG75(root=str(tmp_path)).prepare_data()
    with pytest.raises(FileNotFoundError, match=r"train/<class>/NNNN\.jpg.*data\.init_args\.root"):
        CIFAR10JPEG75(root=str(tmp_path / "mixed")).prepare_data()


def test_the_real_cifar10_jpeg75_has_its_counts_and_bytes():
    if "ATELIER_DATA" not in os.environ:
        pytest.skip("ATELIER_DATA is not set: cifar10-jpeg.zip is not here")
    data = CIFAR10JPEG75()
    train = data.layout.images["train"]
    assert torch.tensor([label for _, label in train]).bincount().tolist() == [5000] * 10
    number, name = train[45_777][0], "train/airplane/3761.jpg"
    assert data.source.entries[number].name == name
    with zipfile.ZipFile(data.archive) as archive, archive.open(name) as file:
        expected = np.asarray(Image.open(file).convert("RGB"))
    assert (data.decode(data.source.read(number, 10_000)).pixels == expected).all()
