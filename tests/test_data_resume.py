"""Laws of resume: a run cut off anywhere and continued sees exactly what the uninterrupted run sees."""

import contextlib

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from datamodules.augment import Shift
from datamodules.base import ImageDataModule, ImageSet

# Lightning 2.6 under torch 2.15
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")

BATCH = 4
IMAGES = 31  # no multiple of the batch: epochs end inside batches


class Numbered(ImageDataModule):
    """Images whose labels are their indices."""

    name = "numbered"
    image_shape = (1, 4, 4)

    def read(self, split: str) -> ImageSet:
        images = torch.arange(IMAGES * 16).view(IMAGES, 1, 4, 4).to(torch.uint8)
        return ImageSet(self.name, split, images, torch.arange(IMAGES))


class Recorder(L.LightningModule):
    """Records the batches it sees: labels, and pixels after augmentation."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.seen: list[list[int]] = []
        self.pixels: list[torch.Tensor] = []
        self.validated: list[torch.Tensor] = []

    def on_train_batch_start(self, batch, batch_idx):
        torch.manual_seed(self.global_step)  # as the bases do, after the augmentation

    def training_step(self, batch, batch_idx):
        x, y = batch
        self.seen.append(y.tolist())
        self.pixels.append(x)
        return self.weight * x.mean()

    def validation_step(self, batch, batch_idx):
        self.validated.append(batch[0])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Save(Callback):
    """Saves in on_train_batch_end, inside validation and at the end of validation."""

    def __init__(self, folder) -> None:
        self.folder = folder

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        trainer.save_checkpoint(self.folder / f"batch-{trainer.global_step}.ckpt")

    def on_validation_batch_end(self, trainer, module, outputs, batch, batch_idx, dataloader_idx=0):
        trainer.save_checkpoint(self.folder / f"inside-{trainer.global_step}.ckpt")

    def on_validation_end(self, trainer, module):
        trainer.save_checkpoint(self.folder / f"validation-{trainer.global_step}.ckpt")


def fit(steps, *, callbacks=(), ckpt=None, data=None, **settings) -> tuple[Recorder, Numbered]:
    settings = {"val_check_interval": 5, "check_val_every_n_epoch": None} | settings
    module, data = Recorder(), data or Numbered(batch_size=BATCH, seed=5, augment=[Shift(1)])
    trainer = L.Trainer(
        accelerator="cpu", max_steps=steps, max_epochs=-1, callbacks=list(callbacks), logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0, use_distributed_sampler=False, **settings,
    )  # fmt: skip
    trainer.fit(module, datamodule=data, ckpt_path=ckpt)
    trainer.save_checkpoint("final.ckpt")
    return module, data


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The uninterrupted run of 24 batches (three epochs and a bit) and the folder of its checkpoints."""
    folder = tmp_path_factory.mktemp("whole")
    with contextlib.chdir(tmp_path_factory.mktemp("elsewhere")):
        module, _ = fit(24, callbacks=[Save(folder)])
    return module, folder


def consumed(path) -> int:
    state = torch.load(path, weights_only=True)["Numbered"]
    assert type(state["consumed_images"]) is int
    return state["consumed_images"]


def test_every_checkpoint_counts_the_images_trained_on(whole):
    _, folder = whole
    paths = sorted(folder.glob("*.ckpt"))
    assert len(paths) == 24 + 2 * 4
    for path in paths:
        assert consumed(path) == BATCH * int(path.stem.split("-")[1])


def test_a_run_shows_every_image_once_an_epoch(whole):
    seen = torch.tensor(whole[0].seen).flatten()
    assert (seen[:93].view(3, 31).sort(dim=1).values == torch.arange(31)).all()


@pytest.mark.parametrize("point", ["batch-3", "batch-8", "batch-10", "inside-10", "validation-10", "batch-17"])
def test_a_resumed_run_sees_what_the_whole_run_saw(whole, point):
    module, folder = whole
    done = int(point.split("-")[1])
    resumed, _ = fit(24, ckpt=folder / f"{point}.ckpt", callbacks=[Save(folder / point)])
    assert resumed.seen == module.seen[done:]
    pairs = zip(resumed.pixels, module.pixels[done:], strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert consumed("final.ckpt") == consumed(folder / point / "batch-24.ckpt") == 24 * BATCH


def test_a_run_resumed_twice_sees_what_the_whole_run_saw(whole):
    module, folder = whole
    first, _ = fit(15, ckpt=folder / "batch-7.ckpt")
    assert consumed("final.ckpt") == 15 * BATCH
    second, _ = fit(24, ckpt="final.ckpt")
    assert first.seen + second.seen == module.seen[7:]


def test_lightning_epochs_do_not_disturb_the_stream(whole):
    module, _ = whole
    short, _ = fit(24, limit_train_batches=7, val_check_interval=1.0, check_val_every_n_epoch=1)
    assert short.seen == module.seen
    assert consumed("final.ckpt") == 24 * BATCH


def test_a_new_fit_begins_a_new_stream(whole):
    module, folder = whole
    _, data = fit(12, ckpt=folder / "batch-8.ckpt", data=Numbered(batch_size=8, seed=5))
    again, _ = fit(3, data=data)
    assert torch.equal(torch.tensor(again.seen).flatten(), torch.tensor(module.seen[:6]).flatten())


class StopInStep(Callback):
    """Raises when a batch is fetched but not yet trained on, and saves."""

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if trainer.global_step == 10:
            raise RuntimeError("cut off")

    def on_exception(self, trainer, module, exception):
        trainer.save_checkpoint("cut-off.ckpt")


def test_a_batch_cut_off_in_its_step_is_seen_again(whole):
    module, _ = whole
    with pytest.raises(RuntimeError, match="cut off"):
        fit(24, callbacks=[StopInStep()])
    assert consumed("cut-off.ckpt") == 10 * BATCH
    resumed, _ = fit(24, ckpt="cut-off.ckpt")
    assert resumed.seen == module.seen[10:]


def test_another_batch_size_continues_at_the_same_image(whole):
    module, folder = whole
    resumed, _ = fit(12, ckpt=folder / "batch-6.ckpt", data=Numbered(batch_size=8, seed=5))
    seen, expected = torch.tensor(resumed.seen).flatten(), torch.tensor(module.seen).flatten()
    assert torch.equal(seen, expected[24 : 24 + 6 * 8])
    assert consumed("final.ckpt") == 6 * BATCH + 6 * 8


def test_a_fit_goes_on_with_as_many_images_as_before(whole, monkeypatch):
    module, folder = whole
    state = torch.load(folder / "batch-20.ckpt", weights_only=True)
    assert state["Numbered"] == {"consumed_images": 20 * BATCH, "training_images": 31}
    del state["Numbered"]["training_images"]
    torch.save(state, "old.ckpt")  # as they were before they said it
    resumed, _ = fit(24, ckpt="old.ckpt")
    assert resumed.seen == module.seen[20:]
    monkeypatch.setattr(Numbered, "images_per_epoch", 29)
    said = "the run was trained on 31 images, there are 29 now: put the files back, or begin a new run"
    with pytest.raises(ValueError, match=said):
        fit(24, ckpt=folder / "batch-20.ckpt")
    fit(21, ckpt="old.ckpt")
    monkeypatch.setattr(Numbered, "images_per_epoch", property(lambda self: len([][0])))  # none is there
    L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False).validate(
        Recorder(), datamodule=Numbered(batch_size=BATCH), ckpt_path=folder / "batch-20.ckpt", verbose=False
    )


def test_overfitting_repeats_the_same_batches():
    module, _ = fit(6, overfit_batches=2, val_check_interval=1.0, check_val_every_n_epoch=1)
    assert module.seen[0] != module.seen[1]
    assert module.seen == module.seen[:2] * 3


def test_training_is_augmented_image_by_image_and_validation_is_not(whole):
    module, _ = whole
    clean, _ = fit(24, data=Numbered(batch_size=BATCH, seed=5))
    changed = [(a != b).any() for a, b in zip(module.pixels, clean.pixels, strict=True)]
    assert all(changed)
    assert clean.seen == module.seen
    reference = Numbered().reference("test").images[:64] / 127.5 - 1
    assert all((x - reference).abs().max() < 1e-6 for x in module.validated)


def test_ranks_draw_different_augmentations_and_count_all_images(monkeypatch):
    draws = []
    for rank in (0, 1):
        monkeypatch.setattr(Numbered, "rank", rank)
        monkeypatch.setattr(Numbered, "world", 2)
        data = Numbered(batch_size=BATCH)
        data.seed_augmentation(torch.device("cpu"))
        draws.append(torch.rand(4))
    assert (draws[0] != draws[1]).all()
    _, data = fit(3)
    assert data.consumed_images == 3 * BATCH * 2
