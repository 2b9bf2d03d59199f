"""Laws of STL-10: torchvision's bytes, Pillow's reduction, the parts to train on."""

import hashlib

import pytest
import torch
from PIL import Image
from torchvision import datasets
from torchvision.transforms.v2 import functional as tv

from datamodules import stl10
from datamodules.stl10 import STL10, halve


@pytest.fixture
def root(monkeypatch, tmp_path):
    """Seven labelled, five unlabelled and three test images, stored column by column as the published files."""
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    for part, n in (("train", 7), ("unlabeled", 5), ("test", 3)):
        images = torch.randint(256, (n, 3, 96, 96), generator=generator, dtype=torch.uint8)
        (folder / f"{part}_X.bin").write_bytes(images.numpy().tobytes())
        if part != "unlabeled":
            (folder / f"{part}_y.bin").write_bytes(bytes(1 + i * 3 % 10 for i in range(n)))
    hashes = {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in STL10.md5}
    monkeypatch.setattr(STL10, "md5", hashes)
    monkeypatch.setattr(datasets.STL10, "train_list", [[name, md5] for name, md5 in hashes.items() if name[1] != "e"])
    monkeypatch.setattr(datasets.STL10, "test_list", [[name, md5] for name, md5 in hashes.items() if name[1] == "e"])
    monkeypatch.setattr(stl10, "CHUNK", 2)  # an odd one at the end
    return str(tmp_path)


PARTS = pytest.mark.parametrize(
    ("labelled", "unlabelled", "theirs"),
    [(True, False, "train"), (False, True, "unlabeled"), (True, True, "train+unlabeled")],
)


@PARTS
def test_images_and_labels_are_those_that_torchvision_reads(root, labelled, unlabelled, theirs):
    data = STL10(96, labelled, unlabelled, root=root)
    data.prepare_data()
    for split, name in (("train", theirs), ("test", "test")):
        ours, reference = data.reference(split), datasets.STL10(root, name)
        assert torch.equal(ours.images, torch.tensor(reference.data))
        assert ours.labels.tolist() == reference.labels.tolist()
        assert (ours.images.dtype, ours.labels.dtype, data.image_shape) == (torch.uint8, torch.int64, (3, 96, 96))


@PARTS
def test_the_parts_are_in_the_name_and_classes_are_there_where_all_have_one(root, labelled, unlabelled, theirs):
    data = STL10(48, labelled, unlabelled, root=root)
    assert data.reference("train").name == "stl10-48-bilinear-" + theirs.replace("+", "-")
    assert data.reference("test").name == "stl10-48-bilinear"
    assert (data.num_classes, data.class_names is None) == ((None, True) if unlabelled else (10, False))
    assert STL10(96, labelled, unlabelled, root=root).name == "stl10"


def test_the_reduction_has_pillows_bytes(root):
    full, half = (STL10(size, root=root).reference("train").images for size in (96, 48))
    assert half.shape == (5, 3, 48, 48)
    for image, small in zip(full, half, strict=True):
        pillow = tv.to_pil_image(image).resize((48, 48), Image.Resampling.BILINEAR)
        assert torch.equal(small, tv.pil_to_tensor(pillow))


def test_the_kernel_is_a_widened_triangle_by_hand():
    row = torch.tensor([80, 40, 120, 0, 200, 8, 16, 33], dtype=torch.uint8)
    image = row.expand(1, 1, 8, 8)  # columns are constant and stay so
    left, middle, right = (3 * 80 + 3 * 40 + 120) / 7, (40 + 3 * 120 + 3 * 0 + 200) / 8, (8 + 3 * 16 + 3 * 33) / 7
    by_hand = [int(value + 0.5) for value in (left, middle, (0 + 3 * 200 + 3 * 8 + 16) / 8, right)]
    assert halve(image)[0, 0].tolist() == [by_hand] * 4


def test_only_the_parts_in_use_are_needed(root, tmp_path):
    (tmp_path / "stl10_binary" / "unlabeled_X.bin").unlink()
    STL10(labelled=True, unlabelled=False, root=root).prepare_data()
    with pytest.raises(FileNotFoundError) as error:
        STL10(root=root).prepare_data()
    words = ["unlabeled_X.bin is absent", "stl10_binary/ with train_X.bin", "torchvision.datasets.STL10"]
    assert all(word in str(error.value) for word in [*words, "data.init_args.root", "ATELIER_DATA"])
    assert "\n" not in str(error.value)


def test_damaged_files_are_named(root, tmp_path):
    path = tmp_path / "stl10_binary" / "unlabeled_X.bin"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(ValueError, match=r"unlabeled_X\.bin does not hold whole 96x96 images: delete it and fetch"):
        STL10(root=root).reference("train")
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"unlabeled_X.bin has MD5 \w+, the published file \w+: delete it and fetch"):
        STL10(root=root).reference("train")
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"unlabeled_X\.bin does not hold whole"):
        STL10(root=root).reference("train")


def test_the_published_hashes_are_torchvisions():
    theirs = [*datasets.STL10.train_list, *datasets.STL10.test_list]
    assert STL10.md5 == dict(theirs)
    assert STL10.folder == datasets.STL10.base_folder


def test_torchvision_fetches_into_the_root(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(datasets.STL10, "__init__", lambda self, root, download: calls.append((root, download)))
    STL10().fetch(tmp_path)
    assert calls == [(str(tmp_path), True)]


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"size": 64}, "size 96, or 48 by reduction, not 64"), ({"unlabelled": False}, "nothing to train on: set data")],
)
def test_a_wrong_setting_is_named(settings, words):
    with pytest.raises(ValueError, match=words):
        STL10(**settings)
