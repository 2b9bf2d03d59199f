"""Laws of the image data: order, value range, splits, files."""

import errno
import gzip
import itertools
import os
import struct

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from datamodules.base import ImageSet, data_root
from datamodules.digits import Digits
from datamodules.mnist import FILES, KMNIST, MNIST, FashionMNIST, read_idx
from datamodules.sampler import IndexSampler
from datamodules.stream import EvaluationLoader


def stream(batches: int, start: int = 0, **settings) -> torch.Tensor:
    """The first ``batches`` batches of a sampler as rows."""
    return torch.stack(list(itertools.islice(IndexSampler(**settings).batches(start), batches)))


def numbered(n: int) -> ImageSet:
    return ImageSet("numbered", "train", torch.arange(n, dtype=torch.uint8).view(n, 1, 1, 1), torch.arange(n))


def test_each_epoch_shows_every_image_once_in_an_order_of_its_own():
    indices = stream(30, n=30, batch_size=7, seed=3).flatten()  # seven epochs, no ragged batch
    epochs = indices.view(7, 30)
    assert indices.dtype == torch.int64
    assert (epochs.sort(dim=1).values == torch.arange(30)).all()
    assert len({tuple(epoch.tolist()) for epoch in epochs}) == 7


def test_the_order_depends_on_the_seed():
    assert (stream(2, n=30, batch_size=15, seed=0) != stream(2, n=30, batch_size=15, seed=1)).any()


@pytest.mark.parametrize(("world", "n"), [(2, 30), (2, 31), (3, 31), (4, 3)])
def test_the_ranks_batches_together_are_the_batch_of_one_rank(world, n):
    ranks = [stream(9, n=n, batch_size=5, seed=1, rank=r, world=world) for r in range(world)]
    one = stream(9, n=n, batch_size=5 * world, seed=1)
    assert (torch.cat(ranks, dim=1).sort(dim=1).values == one.sort(dim=1).values).all()


@pytest.mark.parametrize("world", [1, 2, 3])
def test_a_stream_started_later_is_the_tail_of_the_stream(world):
    for rank in range(world):
        settings = {"n": 31, "batch_size": 5, "seed": 1, "rank": rank, "world": world}
        whole = stream(20, **settings)
        for batch in (1, 6, 7, 13):
            assert (stream(20 - batch, start=batch * 5 * world, **settings) == whole[batch:]).all()


def test_a_stream_may_start_at_any_image():
    whole = stream(20, n=31, batch_size=5, seed=1).flatten()
    assert (stream(3, start=33, n=31, batch_size=5, seed=1).flatten() == whole[33:48]).all()


@pytest.mark.parametrize("start", [6, 7])
def test_a_rank_takes_every_position_that_is_its_own(start):
    whole = stream(4, n=31, batch_size=10, seed=1).flatten()
    for rank in (0, 1):
        own = [p for p in range(start, start + 20) if p % 2 == rank]
        taken = stream(2, start=start, n=31, batch_size=5, seed=1, rank=rank, world=2).flatten()
        assert (taken == whole[own]).all()


def test_a_batch_may_be_larger_than_the_data_set():
    counts = stream(3, n=4, batch_size=8, seed=0)[1].bincount()
    assert counts.tolist() == [2, 2, 2, 2]


def test_evaluation_shards_are_unpadded_and_disjoint():
    shards = [torch.cat([y for _, y in EvaluationLoader(numbered(75), 75, rank, 2)]) for rank in range(2)]
    assert [len(shard) for shard in shards] == [38, 37]
    assert torch.cat(shards).sort().values.tolist() == list(range(75))


@pytest.mark.parametrize(("n", "world", "batches"), [(1000, 1, 1), (1001, 1, 2), (10_000, 1, 10), (2001, 2, 2)])
def test_every_rank_has_as_many_evaluation_batches(n, world, batches):
    loaders = [EvaluationLoader(numbered(n), n, rank, world) for rank in range(world)]
    assert [len(loader) for loader in loaders] == [batches] * world
    assert max(len(y) for loader in loaders for _, y in loader) <= 1000


def test_validation_is_the_head_of_the_test_split_in_order():
    data = Digits(size=8)
    test = data.reference("test")
    [(x, y)] = data.val_dataloader()
    assert (x == test[:64]).all()
    assert (y == test.labels[:64]).all()
    assert sum(len(y) for _, y in Digits(size=8, val_images=None).val_dataloader()) == 360
    assert sum(len(y) for _, y in data.test_dataloader()) == 360


def test_a_batch_is_one_indexing_operation(monkeypatch):
    calls = []
    take = ImageSet.take
    monkeypatch.setattr(ImageSet, "take", lambda self, index: calls.append(len(index)) or take(self, index))
    x, y = next(iter(Digits(batch_size=50).train_dataloader()))
    assert calls == [50]
    assert (x.shape, x.dtype, y.shape) == ((50, 1, 32, 32), torch.uint8, (50,))


def test_bytes_become_floats_that_reach_both_ends_of_the_range():
    data = Digits()
    images = torch.tensor([0, 255, 51], dtype=torch.uint8).view(1, 1, 1, 3)
    x, _ = data.on_after_batch_transfer((images, torch.zeros(1)), 0)
    assert x.dtype == torch.float32
    assert x[0, 0, 0, :2].tolist() == [-1.0, 1.0]
    assert abs(x[0, 0, 0, 2].item() + 0.6) < 1e-6


def test_a_set_is_sliced_and_named_by_its_content():
    data = numbered(6)
    assert data[2:4].flatten().tolist() == [2, 3]
    assert data.sha256 == numbered(6).sha256
    reshaped = ImageSet("numbered", "train", data.images.view(3, 1, 1, 2), data.labels[:3])
    assert len({data.sha256, numbered(5).sha256, reshaped.sha256}) == 3


def test_digits_split_is_stratified_and_complete():
    data = Digits(size=8)
    train, test = data.reference("train"), data.reference("test")
    assert (len(train), len(test), data.images_per_epoch) == (1437, 360, 1437)
    shares = [s.labels.bincount(minlength=10) / len(s) for s in (train, test)]
    assert (shares[0] - shares[1]).abs().max() < 1 / 360
    from sklearn.datasets import load_digits

    everything = torch.cat([train.images, test.images]).flatten(1)
    expected = (torch.from_numpy(load_digits().data) * 255 / 16).round().to(torch.uint8)
    assert sorted(everything.tolist()) == sorted(expected.tolist())


def test_digits_are_the_same_bytes_everywhere():
    data = Digits()
    assert data.image_shape == data.out_shape == (1, 32, 32)
    assert data.reference("train").sha256 == "3fed6d6111b65802fbb095a5495d087ffe18c3a5c19487358719524226360a26"
    assert data.reference("test").sha256 == "8629a8860032b5014e6536eeafedea240b0f65146603ee8135758c566a8c5ddf"
    first = data.reference("train")[0:1]
    assert (first.sum().item(), first.min().item(), first.max().item()) == (78013, 0, 255)


def test_digits_are_enlarged_bilinearly_by_hand():
    small, large = (Digits(size=size).reference("train")[:50].double() for size in (8, 16))
    levels = small * 16 / 255
    grey = levels.round() * 255 / 16
    by_hand = (9 * grey[..., 3, 3] + 3 * grey[..., 3, 4] + 3 * grey[..., 4, 3] + grey[..., 4, 4]) / 16
    assert (large[..., 7, 7] == by_hand.round()).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Digits(batch_size=0), ["batch_size is 0", "data.init_args.batch_size"]),
        (lambda: Digits(val_images=0), ["val_images is 0", "null"]),
        (lambda: Digits(size=30), ["30", "8, 16, 32 or 64", "data.init_args.size"]),
        (lambda: Digits(device="gpu"), ["'gpu'", "cpu or cuda"]),
        (lambda: MNIST(size=30), ["30", "28", "32", "data.init_args.size"]),
        (lambda: Digits().reference("val"), ["'val'", "train, test"]),
    ],
)
def test_a_wrong_setting_is_named_in_one_sentence(make, words):
    with pytest.raises(ValueError, match=words[0]) as error:
        make()
    assert all(word in str(error.value) for word in words)
    assert "\n" not in str(error.value)


def test_absent_files_are_named_with_layout_source_and_key(tmp_path):
    data = MNIST(root=str(tmp_path))
    for fail in (data.prepare_data, lambda: data.setup("fit")):
        with pytest.raises(FileNotFoundError) as error:
            fail()
        text = str(error.value)
        assert "\n" not in text
        words = ["MNIST/raw/", "t10k-labels-idx1-ubyte", "torchvision", "data.init_args.root", "ATELIER_DATA"]
        assert all(word in text for word in words)


def test_a_failed_download_says_what_to_put_where(tmp_path, monkeypatch):
    def fail(self, root):
        raise RuntimeError("Error downloading:\nTried one\nTried another\n")

    monkeypatch.setattr(MNIST, "fetch", fail)
    with pytest.raises(FileNotFoundError, match=r"^mnist could not be downloaded: put train-images[^\n]+by hand\.$"):
        MNIST(root=str(tmp_path), download=True).prepare_data()


def test_a_failed_download_says_what_the_system_says(tmp_path, monkeypatch):
    def fail(self, root):
        raise OSError(errno.EACCES, "Permission denied", str(root))

    monkeypatch.setattr(MNIST, "fetch", fail)
    with pytest.raises(FileNotFoundError, match=r"^mnist could not be downloaded \(Permission denied\): put train-"):
        MNIST(root=str(tmp_path), download=True).prepare_data()
    assert not (tmp_path / "MNIST/raw").exists()


def test_the_root_is_the_argument_then_the_environment_then_data(monkeypatch):
    monkeypatch.setenv("ATELIER_DATA", "elsewhere")
    assert [str(data_root("here")), str(data_root(None))] == ["here", "elsewhere"]
    monkeypatch.delenv("ATELIER_DATA")
    assert str(data_root(None)) == "data"


def write_mnist(root, suffix: str = "", name: str = "MNIST") -> torch.Tensor:
    """Ten random training images and five test images in MNIST's layout; the training images."""
    folder = root / name / "raw"
    folder.mkdir(parents=True)
    images = torch.randint(256, (15, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    for split, part in (("train", images[:10]), ("test", images[10:])):
        contents = (
            struct.pack(">HBB3I", 0, 8, 3, len(part), 28, 28) + part.numpy().tobytes(),
            struct.pack(">HBBI", 0, 8, 1, len(part)) + bytes(range(len(part))),
        )
        for name, content in zip(FILES[split], contents, strict=True):
            packed = gzip.compress(content) if suffix else content
            (folder / (name + suffix)).write_bytes(packed)
    return images[:10]


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_mnist_reads_idx_files_plain_and_gzipped(tmp_path, suffix):
    images = write_mnist(tmp_path, suffix)
    data = MNIST(size=28, root=str(tmp_path))
    data.prepare_data()
    train = data.reference("train")
    assert (train.images[:, 0] == images).all()
    assert train.labels.tolist() == list(range(10))
    assert (train.labels.dtype, len(data.reference("test"))) == (torch.int64, 5)


@pytest.mark.parametrize("sister", [FashionMNIST, KMNIST])
def test_a_sister_of_mnist_lies_where_torchvision_puts_it_and_has_its_classes(tmp_path, sister):
    from torchvision import datasets

    theirs = {FashionMNIST: datasets.FashionMNIST, KMNIST: datasets.KMNIST}[sister]
    images = write_mnist(tmp_path, name=theirs.__name__)
    data = sister(size=28, root=str(tmp_path))
    data.prepare_data()
    train, reference = data.reference("train"), theirs(str(tmp_path), train=True)
    assert (train.images[:, 0] == images).all()
    assert torch.equal(train.images[:, 0], reference.data)
    assert torch.equal(train.labels, reference.targets)
    assert list(data.class_names) == reference.classes
    with pytest.raises(FileNotFoundError, match=rf"{theirs.__name__}/raw/ with .*torchvision\.datasets"):
        sister(root=str(tmp_path / "elsewhere")).prepare_data()


def test_mnist_is_padded_with_black(tmp_path):
    images = write_mnist(tmp_path)
    padded = MNIST(size=32, root=str(tmp_path)).reference("train").images[:, 0]
    assert padded.shape == (10, 32, 32)
    assert (padded[:, 2:-2, 2:-2] == images).all()
    assert padded.sum() == images.sum()


def test_a_gzipped_file_that_is_damaged_in_the_middle_is_named(tmp_path):
    content = bytearray(gzip.compress(np.random.default_rng(0).bytes(4096)))
    content[2000:2004] = bytes(255 - byte for byte in content[2000:2004])
    content[20] ^= 255
    file = tmp_path / "t10k-images-idx3-ubyte.gz"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"t10k-images-idx3-ubyte\.gz is damaged"):
        read_idx(file)


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:3], lambda b: b"PNG!" + b[4:]])
def test_a_damaged_file_is_named(tmp_path, damage):
    write_mnist(tmp_path)
    path = tmp_path / "MNIST" / "raw" / FILES["train"][0]
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match="train-images-idx3-ubyte"):
        read_idx(path)


def test_the_real_mnist_has_its_counts():
    if "ATELIER_DATA" not in os.environ:
        pytest.skip("ATELIER_DATA is not set: the real MNIST is not here")
    data = MNIST(size=28)
    train, test = data.reference("train"), data.reference("test")
    assert (train.images.shape, test.images.shape) == ((60_000, 1, 28, 28), (10_000, 1, 28, 28))
    assert train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert_close(train.images.double().mean() / 255, torch.tensor(0.1306605, dtype=torch.float64), atol=1e-6, rtol=0)
