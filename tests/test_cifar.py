"""Laws of CIFAR: the published format, byte for byte, read without running anything that a pickle names."""

import hashlib
import pickle
import struct

import pytest
import torch
from torchvision import datasets

from datamodules.cifar import CIFAR10, CIFAR100
from datamodules.safe_pickle import read_batch


def string(content: bytes) -> bytes:
    """A string as Python 2 pickles it."""
    return (
        b"U" + bytes([len(content)]) + content
        if len(content) < 256
        else b"T" + struct.pack("<i", len(content)) + content
    )


def integer(value: int) -> bytes:
    return b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value)


def array(rows: torch.Tensor, column_major: bool = False) -> bytes:
    """A two-dimensional array of bytes as numpy pickles it."""
    content = (rows.T.contiguous() if column_major else rows).numpy().tobytes()
    return b"".join(
        (
            *(b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy\nndarray\n", b"K\x00\x85", string(b"b"), b"\x87R"),
            *(b"(K\x01", integer(rows.shape[0]), integer(rows.shape[1]), b"\x86"),
            *(b"cnumpy\ndtype\n", string(b"u1"), b"K\x00K\x01\x87R"),
            *(b"(K\x03", string(b"|"), b"NNN", b"J\xff\xff\xff\xff" * 2, b"K\x00tb"),
            *(b"\x88" if column_major else b"\x89", string(content), b"tb"),
        )
    )


def batch(rows: torch.Tensor, labels: list[int], key: str, column_major: bool = False) -> bytes:
    """A whole batch: a dictionary as Python 2 pickles it, in the order of the published files."""
    return b"".join(
        (
            *(b"\x80\x02}(", string(b"batch_label"), string(b"training batch 1 of 5")),
            *(string(key.encode()), b"](", *map(integer, labels), b"e"),
            *(string(b"data"), array(rows, column_major)),
            *(string(b"filenames"), b"](", *(string(b"%d.png" % i) for i in range(len(rows))), b"eu."),
        )
    )


def write(monkeypatch, root, cifar, theirs) -> dict[str, torch.Tensor]:
    """Synthetic batches of ``cifar`` under ``root``, their hashes taken for the published ones; rows by split."""
    generator = torch.Generator().manual_seed(0)
    folder = root / cifar.folder
    folder.mkdir()
    rows, hashes = {}, {}
    for split, files in cifar.batches.items():
        parts = []
        for name in files:
            part = torch.randint(256, (20, 3072), generator=generator, dtype=torch.uint8)
            labels = torch.randint(cifar.num_classes, (20,), generator=generator).tolist()
            (folder / name).write_bytes(batch(part, labels, cifar.label_key))
            hashes[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
            parts.append(part)
        rows[split] = torch.cat(parts)
    new = {split: {name: hashes[name] for name in files} for split, files in cifar.batches.items()}
    monkeypatch.setattr(cifar, "batches", new)
    monkeypatch.setattr(theirs, "train_list", list(new["train"].items()))
    monkeypatch.setattr(theirs, "test_list", list(new["test"].items()))
    meta = {"label_names": list(cifar.class_names), "fine_label_names": list(cifar.class_names)}
    path = folder / theirs.meta["filename"]
    path.write_bytes(pickle.dumps(meta))
    monkeypatch.setattr(theirs, "meta", theirs.meta | {"md5": hashlib.md5(path.read_bytes()).hexdigest()})
    return rows


BOTH = pytest.mark.parametrize(("cifar", "theirs"), [(CIFAR10, datasets.CIFAR10), (CIFAR100, datasets.CIFAR100)])


@BOTH
def test_images_and_labels_are_those_that_torchvision_reads(monkeypatch, tmp_path, cifar, theirs):
    rows = write(monkeypatch, tmp_path, cifar, theirs)
    data = cifar(root=str(tmp_path))
    data.prepare_data()
    for split in ("train", "test"):
        ours, reference = data.reference(split), theirs(str(tmp_path), train=split == "train")
        assert (ours.images.shape[1:], ours.images.dtype, ours.labels.dtype) == ((3, 32, 32), torch.uint8, torch.int64)
        assert torch.equal(ours.images.flatten(1), rows[split])
        assert torch.equal(ours.images.permute(0, 2, 3, 1), torch.from_numpy(reference.data))
        assert ours.labels.tolist() == reference.targets
    assert data.num_classes == len(data.class_names) == len(reference.classes)


@BOTH
def test_the_published_hashes_are_torchvisions(cifar, theirs):
    assert [list(item) for item in cifar.batches["train"].items()] == [list(item) for item in theirs.train_list]
    assert [list(item) for item in cifar.batches["test"].items()] == [list(item) for item in theirs.test_list]
    assert (cifar.folder, cifar.source) == (theirs.base_folder, theirs.__name__)


def test_the_classes_are_in_the_published_order():
    assert list(CIFAR10.class_names) == sorted(CIFAR10.class_names)
    assert list(CIFAR100.class_names) == sorted(CIFAR100.class_names)
    assert len(set(CIFAR100.class_names)) == 100
    assert [CIFAR100.class_names[i] for i in (0, 19, 53, 71, 99)] == ["apple", "cattle", "orange", "sea", "worm"]


def test_a_column_major_array_is_the_same_array(tmp_path):
    rows = torch.arange(12, dtype=torch.uint8).view(3, 4)
    for column_major in (False, True):
        read, labels = read_batch(batch(rows, [7, 300, 2], "labels", column_major), "labels", tmp_path)
        assert torch.equal(read, rows)
        assert labels.tolist() == [7, 300, 2]


RAN = []


class Evil:
    def __reduce__(self):
        return RAN.append, ("ran",)


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps({"data": Evil(), "labels": [0]}, protocol=2),
        b"cos\nsystem\n(S'true'\ntR.",
        b"cnumpy.core.multiarray\n_reconstruct\ncbuiltins\nobject\nK\x00\x85U\x01b\x87R.",
        batch(torch.zeros(2, 4, dtype=torch.uint8), [0, 1], "labels")[:-20],
        batch(torch.zeros(2, 4, dtype=torch.uint8), [0, 1], "labels").replace(b"u1", b"i1"),
        batch(torch.zeros(2, 4, dtype=torch.uint8), [0, 1], "coarse_labels"),
        b"",
        pickle.dumps([1, 2]),
    ],
)
def test_what_is_no_batch_of_bytes_is_refused_and_nothing_is_run(tmp_path, content):
    with pytest.raises(ValueError, match=r"^[^\n]*odd is not a pickled batch of images [^\n]*fetch it again\.$"):
        read_batch(content, "labels", tmp_path / "odd")
    assert RAN == []


def test_a_changed_file_is_named(monkeypatch, tmp_path):
    write(monkeypatch, tmp_path, CIFAR10, datasets.CIFAR10)
    path = tmp_path / CIFAR10.folder / "data_batch_3"
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"data_batch_3 has MD5 \w+, the published file \w+: delete it and fetch"):
        CIFAR10(root=str(tmp_path)).reference("train")


def test_rows_of_another_length_are_named(monkeypatch, tmp_path):
    content = batch(torch.zeros(2, 3000, dtype=torch.uint8), [0, 1], "labels")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "all").write_bytes(content)
    files = {"all": hashlib.md5(content).hexdigest()}
    monkeypatch.setattr(CIFAR10, "folder", "odd")
    monkeypatch.setattr(CIFAR10, "batches", {"train": files, "test": files})
    with pytest.raises(
        ValueError, match=r"holds rows \[2, 3000\] with 2 labels, not \[N, 3072\] with N: fetch cifar10"
    ):
        CIFAR10(root=str(tmp_path)).reference("train")


@BOTH
def test_absent_files_are_named_with_layout_source_and_key(tmp_path, cifar, theirs):
    data = cifar(root=str(tmp_path))
    for fail in (data.prepare_data, lambda: data.setup("fit")):
        with pytest.raises(FileNotFoundError) as error:
            fail()
        text = str(error.value)
        words = [f"{cifar.folder}/ with", f"torchvision.datasets.{cifar.source}", "data.init_args.root", "ATELIER_DATA"]
        assert all(word in text for word in [*words, "data.init_args.download"])
        assert "\n" not in text


def test_what_is_there_is_not_fetched_and_what_is_absent_is_where_asked(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(CIFAR10, "fetch", lambda self, root: calls.append(root.parent.parent))
    with pytest.raises(FileNotFoundError, match="data_batch_1 is absent"):
        CIFAR10(root=str(tmp_path), download=True).prepare_data()
    assert calls == [tmp_path]
    write(monkeypatch, tmp_path, CIFAR10, datasets.CIFAR10)
    CIFAR10(root=str(tmp_path), download=True).prepare_data()
    assert calls == [tmp_path]


@BOTH
def test_torchvision_fetches_into_the_root(monkeypatch, tmp_path, cifar, theirs):
    calls = []
    monkeypatch.setattr(theirs, "__init__", lambda self, root, download: calls.append((root, download)))
    cifar().fetch(tmp_path)
    assert calls == [(str(tmp_path), True)]
