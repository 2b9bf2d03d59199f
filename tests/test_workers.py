"""Laws of the worker path: it feeds what memory would feed, resumes as exactly, and fails in one sentence."""

import contextlib
import itertools
import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import place, runs
from test_data_resume import BATCH, Save
from test_data_resume import fit as fit_recorder
from test_folder import folder_yaml

import datamodules.inspection
from datamodules.augment import Shift
from datamodules.folder import Folder
from datamodules.workers import DataError, FileSet, told
from experiments.bench.data import measure
from experiments.bench.mixed import make_mixed, packed, picture, zip_of
from experiments.cli import main

__all__ = ["place"]
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),  # Lightning 2.6 under torch 2.15
    pytest.mark.filterwarnings("ignore:.*suggested max number of worker"),  # a machine of one core
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),  # Python 3.12 and later
]
FILES = 34  # 31 for training, 3 for test: epochs end inside batches


MADE: list[Folder] = []


@pytest.fixture(autouse=True)
def _own_place(tmp_path_factory, tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.chdir(tmp_path)
    yield
    while MADE:
        MADE.pop().teardown("fit")
    assert multiprocessing.active_children() == []


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """A folder ``photos`` and an archive ``photos.zip`` of 34 files."""
    root = tmp_path_factory.mktemp("data")
    (root / "photos").mkdir()
    for i in range(FILES):
        image = picture(np.random.default_rng(i), 12, 12)
        (root / "photos" / f"{i:02d}.jpg").write_bytes(packed(image, "JPEG", quality=95))
    zip_of(root / "photos", root / "photos.zip")
    return root


def data_of(root: Path, path: str = "photos", **settings) -> Folder:
    settings = {"memory_limit_gib": 0, "workers": 2, "batch_size": BATCH, "seed": 5, "augment": [Shift(1)]} | settings
    MADE.append(Folder(path, 8, root=str(root), **settings))
    return MADE[-1]


def equal(ones: list[torch.Tensor], others: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ones, others, strict=True))


def index_of(data: Folder, images: torch.Tensor) -> list[int]:
    """Which training images ``images`` are."""
    rows = {row.numpy().tobytes(): i for i, row in enumerate(data.reference("train")[:])}
    return [rows[image.numpy().tobytes()] for image in images]


# --- the same stream ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(photos, tmp_path_factory):
    """The uninterrupted run of 24 batches from memory, and the folder of its checkpoints."""
    folder = tmp_path_factory.mktemp("whole")
    with contextlib.chdir(tmp_path_factory.mktemp("elsewhere")):
        module, _ = fit_recorder(24, callbacks=[Save(folder)], data=data_of(photos, memory_limit_gib=1))
    return module, folder


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("path", ["photos", "photos.zip"])
def test_workers_feed_what_memory_feeds(photos, whole, path, workers):
    module, _ = fit_recorder(24, data=data_of(photos, path, workers=workers))
    assert equal(module.pixels, whole[0].pixels)
    assert equal(module.validated, whole[0].validated)
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("point", ["batch-3", "batch-8", "inside-10", "validation-10", "batch-17"])
def test_a_resumed_run_sees_the_tail_of_the_stream(photos, whole, point):
    module, folder = whole  # saved by a run from memory, which says the same position
    done = int(point.split("-")[1])
    resumed, _ = fit_recorder(24, ckpt=folder / f"{point}.ckpt", data=data_of(photos, workers=1))
    assert equal(resumed.pixels, module.pixels[done:])


def test_a_run_of_workers_may_be_resumed_twice(photos, whole):
    first, _ = fit_recorder(7, data=data_of(photos))
    state = torch.load("final.ckpt", weights_only=True)["Folder"]
    assert state == {"consumed_images": 7 * BATCH, "training_images": len(data_of(photos).reference("train"))}
    second, _ = fit_recorder(15, ckpt="final.ckpt", data=data_of(photos))
    third, _ = fit_recorder(24, ckpt="final.ckpt", data=data_of(photos, workers=1))
    assert equal(first.pixels + second.pixels + third.pixels, whole[0].pixels)


def test_batches_fetched_ahead_do_not_count_at_lightnings_epochs(photos, whole):
    short, _ = fit_recorder(
        24, data=data_of(photos), limit_train_batches=7, val_check_interval=1.0, check_val_every_n_epoch=1
    )
    assert equal(short.pixels, whole[0].pixels)


def test_another_batch_size_continues_at_the_same_image(photos, whole):
    _, folder = whole
    resumed, _ = fit_recorder(12, ckpt=folder / "batch-6.ckpt", data=data_of(photos, batch_size=8, augment=None))
    clean, _ = fit_recorder(24, data=data_of(photos, augment=None))
    assert torch.equal(torch.cat(resumed.pixels), torch.cat(clean.pixels)[24 : 24 + 6 * 8])


def test_every_image_comes_once_an_epoch(photos):
    data = data_of(photos, batch_size=7)
    seen = torch.cat([x for x, _ in itertools.islice(data.train_dataloader(), 31)])  # seven epochs of 31
    for epoch in seen.view(7, 31, 3, 8, 8):
        assert sorted(index_of(data, epoch)) == list(range(31))


def test_two_ranks_together_are_one(photos, monkeypatch):
    one = list(itertools.islice(data_of(photos, batch_size=8).train_dataloader(), 9))
    ranks = []
    for rank in (0, 1):
        monkeypatch.setattr(Folder, "rank", rank)
        monkeypatch.setattr(Folder, "world", 2)
        data = data_of(photos, batch_size=4)
        ranks.append(list(itertools.islice(data.train_dataloader(), 9)))
    for (x, _), (a, _), (b, _) in zip(one, *ranks, strict=True):
        assert sorted(index_of(data, x)) == sorted(index_of(data, torch.cat([a, b])))


def test_slices_are_those_of_memory(photos):
    lazy, held = (data_of(photos, memory_limit_gib=limit).reference("train") for limit in (0, 1))
    assert isinstance(lazy, FileSet)
    for part in (slice(0, 1), slice(5, 9), slice(20, 99), slice(None, None, 3), slice(4, 4)):
        assert torch.equal(lazy[part], held[part])
    assert (len(lazy), lazy.sha256) == (31, held.sha256)


def test_torchvision_gives_the_same_bytes_labels_and_order():
    found = measure(images=60, size=8, batch=6, workers=1, turns=2)
    assert found["same_bytes"]
    assert len(found["ratio_quartiles"]) == 2


# --- workers are guests -------------------------------------------------------------------------------------


def test_feeding_leaves_the_random_stream_alone(photos):
    before = torch.get_rng_state()
    data = data_of(photos)
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        next(iter(loader))
    assert torch.equal(torch.get_rng_state(), before)


def test_one_batch_of_validation_needs_no_workers(photos):
    data = data_of(photos)
    [(x, _)] = data.val_dataloader()
    assert multiprocessing.active_children() == []
    assert torch.equal(x, data.reference("test")[:])


def test_batches_for_a_gpu_are_pinned_and_others_are_not(photos):
    train = data_of(photos).reference("train")
    assert [train.feed([torch.arange(2)], pinned).loader.pin_memory for pinned in (True, False)] == [True, False]
    assert data_of(photos).train_dataloader().batches.loader.pin_memory is False


def test_files_are_on_no_gpu(photos):
    with pytest.raises(ValueError, match=r"larger? .*memory_limit_gib.*device to cpu"):
        data_of(photos).reference("train").to("cuda")


def test_files_are_looked_through_once(photos, monkeypatch):
    first = data_of(photos)
    first.prepare_data()
    sha256 = first.reference("train").sha256
    decode_all = datamodules.inspection.decode_all
    monkeypatch.setattr(datamodules.inspection, "decode_all", None)
    monkeypatch.setattr(FileSet, "__getitem__", None)
    again = data_of(photos)
    again.prepare_data()
    assert again.reference("train").sha256 == sha256
    assert again.report == first.report
    monkeypatch.setattr(datamodules.inspection, "decode_all", decode_all)
    with pytest.raises(TypeError):  # another kernel is another hash
        _ = data_of(photos, resize="box").reference("train").sha256


# --- what goes wrong ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_went_bad_is_told_in_one_sentence(tmp_path, workers):
    make_mixed(tmp_path / "mixed", 30)
    data = data_of(tmp_path, "mixed", workers=workers)
    train = data.reference("train")
    name = data.source.entries[train.files[3]].name
    (tmp_path / "mixed" / name).unlink()
    for use in (lambda: list(itertools.islice(data.train_dataloader(), 30)), lambda: train[:], lambda: train.sha256):
        with pytest.raises(
            DataError, match=rf"^mixed: {name} can no longer be used \(cannot be read: No such"
        ) as error:
            use()
        assert "\n" not in str(error.value)


def test_a_lost_worker_is_told_in_one_sentence(photos):
    stream = iter(data_of(photos, workers=1).train_dataloader())
    next(stream)
    [worker] = multiprocessing.active_children()
    error = None
    try:  # torch says it where the process then is, in the next batch or before
        os.kill(worker.pid, signal.SIGKILL)
        list(itertools.islice(stream, 50))
    except (RuntimeError, DataError) as raised:
        error = told(raised)
    assert isinstance(error, DataError)
    assert "worker process that decodes images was lost" in str(error)
    assert "\n" not in str(error)
    assert told(RuntimeError("a bug")).args == ("a bug",)


@pytest.mark.parametrize("cut_off", [ConnectionResetError(104, "Connection reset by peer"), EOFError()])
def test_a_worker_that_is_lost_while_it_hands_a_batch_over_is_told_in_one_sentence(photos, monkeypatch, cut_off):
    def torn(self):
        raise cut_off

    stream = iter(data_of(photos, workers=1).train_dataloader())
    next(stream)
    monkeypatch.setattr("torch.utils.data.dataloader._BaseDataLoaderIter.__next__", torn)
    with pytest.raises(DataError, match=r"was lost \(its last batch was cut off\): is there enough memory\?"):
        next(stream)


@pytest.mark.usefixtures("place")
def test_the_command_line_keeps_a_run_that_loses_a_file_later(photos, tmp_path, monkeypatch, capsys):
    zip_of(photos / "photos", tmp_path / "photos.zip")
    folder_yaml(tmp_path, "photos.zip", memory_limit_gib=0, workers=1)
    take = FileSet.take

    def take_until_the_archive_is_gone(self: FileSet, index: torch.Tensor):
        if len(index) == 8 and self.split == "train":
            counter.append(1)
        if len(counter) == 3:
            (tmp_path / "photos.zip").unlink()
        return take(self, index)

    counter: list[int] = []  # of the worker process, which was forked with it
    monkeypatch.setattr(FileSet, "take", take_until_the_archive_is_gone)
    assert main(["fit", "tiny.yaml"]) == 1
    err = capsys.readouterr().err
    assert "photos.zip: " in err
    assert "can no longer be used (cannot be read: No such file or directory)" in err
    assert "the run is kept in runs/" in err
    assert err.count("\n") == 1
    assert len(runs()) == 1
