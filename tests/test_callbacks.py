"""Laws of the callbacks: what is written is whole and true, whatever goes wrong; and the clock goes on after a resume."""

import errno
import getpass
import json
import os
import platform
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score
from torch import Tensor, nn
from toys import Finite, mlps, trainer

from datamodules.digits import Digits
from lightning_modules.callbacks.checkpoints import AtomicCheckpointIO, Checkpoints
from lightning_modules.callbacks.classification import ClassificationScores
from lightning_modules.callbacks.clock import Clock
from lightning_modules.callbacks.pictures import grid, save_png
from lightning_modules.callbacks.progress import ProgressLine, clock_time
from lightning_modules.callbacks.record import RunRecord
from lightning_modules.callbacks.samples import ImageGrid
from lightning_modules.callbacks.scores import Scores
from lightning_modules.classifier import Classifier
from lightning_modules.ema import EMASettings
from lightning_modules.gan import GAN
from lightning_modules.networks.base import Classifier as ClassifierNetwork


class Given(Scores):
    """Scores what it is told, one value a validation, as ``val/score``."""

    def __init__(self, *values: float) -> None:
        super().__init__()
        self.values = list(values)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        scores = {"score": self.values[len(self.history)]}
        self.keep(pl_module, scores)  # type: ignore[arg-type]
        pl_module.log_scores({"val/score": scores["score"]})  # type: ignore[operator]


def fit(folder: Path, *callbacks: L.Callback, module: GAN | None = None, batch_size: int = 8, **settings: Any) -> GAN:
    """Train, from the last checkpoint where there is one."""
    last = folder / "checkpoints" / "last.ckpt"
    module = module or GAN(*mlps())
    run = trainer(folder, *callbacks, **settings)
    data = Digits(size=8, batch_size=batch_size)
    run.fit(module, datamodule=data, ckpt_path=last if last.exists() else None)
    return module


def step_of(folder: Path, name: str) -> int:
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["global_step"]


class SavedAt(L.Callback):
    """At which step each file lay there, seen from the start of the next step."""

    def __init__(self) -> None:
        self.last: list[int] = []

    def on_train_batch_start(self, trainer: L.Trainer, *args: Any) -> None:
        path = Checkpoints.path(trainer, "last")
        if path.exists():
            self.last.append(torch.load(path, weights_only=True)["global_step"])


# --- checkpoints --------------------------------------------------------------------------------------------


def test_the_last_is_saved_as_often_as_asked_at_validations_and_at_the_end(tmp_path: Path) -> None:
    seen = SavedAt()
    fit(tmp_path, Clock(g_steps=11, validations=2), Checkpoints(every_steps=4), seen)
    assert seen.last == [4, 4, 6, 6, 8, 8, 8]  # before the steps 5 to 11; 6 is the first validation's
    assert step_of(tmp_path, "last") == 11
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["last.ckpt"]


def test_steps_that_would_validate_are_saved_also_where_validation_is_off(tmp_path: Path) -> None:
    seen = SavedAt()
    fit(tmp_path, Clock(g_steps=6, validations=3), Checkpoints(every_steps=2), seen, limit_val_batches=0)
    assert seen.last == [2, 2, 4, 4]


@pytest.mark.parametrize(
    ("values", "higher", "best"),
    [
        ((5.0, 3.0, 4.0), False, 1),
        ((0.5, 0.3, 0.7), True, 2),
        ((2.0, 2.0, 2.0), False, 0),
        ((np.nan, 9.0, 5.0), False, 2),
    ],
)
def test_the_best_is_that_of_the_best_score(tmp_path: Path, values: Any, higher: bool, best: int) -> None:
    keeper = Checkpoints(None, "val/score", higher)
    fit(tmp_path, Clock(g_steps=6, validations=3), Given(*values), keeper)
    assert (keeper.best, keeper.best_step) == (pytest.approx(values[best]), 2 * best + 2)
    assert step_of(tmp_path, "best") == 2 * best + 2
    assert step_of(tmp_path, "last") == 6


def test_a_resumed_run_remembers_the_best(tmp_path: Path) -> None:
    def keeper() -> Checkpoints:
        return Checkpoints(None, "val/score")

    fit(tmp_path, Clock(g_steps=4, validations=2), Given(5.0, 3.0), keeper())
    fit(tmp_path, Clock(g_steps=8, validations=4), Given(5.0, 3.0, 4.0, 3.5), keeper())
    assert step_of(tmp_path, "best") == 4
    assert step_of(tmp_path, "last") == 8


def test_a_score_that_nobody_gives_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"^checkpoint\.monitor: there is no score val/fid; the scores are: val/score$"
    ):
        fit(tmp_path, Clock(g_steps=2), Given(1.0, 2.0), Checkpoints(monitor="val/fid"))


def test_every_zero_steps_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^checkpoint: every_steps must be 1 or more, got 0$"):
        Checkpoints(every_steps=0)


def test_checkpoints_load_as_weights_only_and_speak_of_no_wrapper(tmp_path: Path) -> None:
    module = fit(
        tmp_path,
        Clock(g_steps=2),
        Given(1.0, 2.0),
        Checkpoints(),
        RunRecord("gan/toy"),
        ImageGrid(),
        module=GAN(*mlps(), ema=EMASettings(decay=0.5)),
    )
    checkpoint = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["state_dict"].keys() == module.state_dict().keys()
    assert {name.split(".")[0] for name in checkpoint["state_dict"]} == {"G", "D", "ema"}
    assert not any("_orig_mod" in name for name in checkpoint["state_dict"])
    assert checkpoint["counters"] == [16, 2, 16]


# --- the file system ----------------------------------------------------------------------------------------


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A process whose files cannot grow beyond ``size`` bytes: a disk that is nearly full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 10_000, 300_000])
def test_a_disk_that_fills_up_leaves_the_old_checkpoint(tmp_path: Path, size: int) -> None:
    path, io = tmp_path / "last.ckpt", AtomicCheckpointIO()
    io.save_checkpoint({"weight": torch.zeros(3)}, path)
    before = path.read_bytes()
    big = {"state": {f"weight{i}": torch.rand(20_000) for i in range(5)}}  # 400 kB
    with files_of_at_most(size), pytest.raises(OSError, match="File too large") as caught:
        io.save_checkpoint(big, path)
    assert caught.value.errno == errno.EFBIG
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    io.save_checkpoint(big, path)  # and once there is room again it works
    assert torch.equal(torch.load(path, weights_only=True)["state"]["weight4"], big["state"]["weight4"])


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_write_that_fails_late_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path, io = tmp_path / "last.ckpt", AtomicCheckpointIO()
    io.save_checkpoint({"weight": torch.zeros(3)}, path)
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, name, full)
        with pytest.raises(OSError, match="No space left"):
            io.save_checkpoint({"weight": torch.ones(3)}, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_pickled_stays_that_error_and_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    path, io = tmp_path / "last.ckpt", AtomicCheckpointIO()
    io.save_checkpoint({"weight": torch.zeros(3)}, path)
    before = path.read_bytes()
    with pytest.raises(Exception, match="pickle") as caught:
        io.save_checkpoint({"weight": lambda: None}, path)
    assert not isinstance(caught.value, OSError)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_run_that_fills_the_disk_keeps_its_last_checkpoint(tmp_path: Path) -> None:
    class Fill(L.Callback):
        def on_train_batch_start(self, trainer: L.Trainer, *args: Any) -> None:
            if trainer.global_step == 3:
                stack.enter_context(files_of_at_most(4096))

    from contextlib import ExitStack

    with ExitStack() as stack, pytest.raises(OSError, match="File too large"):
        fit(tmp_path, Clock(g_steps=8, validations=0), Checkpoints(every_steps=2), Fill())
    assert step_of(tmp_path, "last") == 2
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1
    assert fit(tmp_path, Clock(g_steps=8, validations=0), Checkpoints(every_steps=2)).global_step == 8


# --- clock --------------------------------------------------------------------------------------------------


def test_the_clock_goes_on_in_images_with_another_batch_size(tmp_path: Path) -> None:
    class Cut(L.Callback):
        def on_train_batch_start(self, trainer: L.Trainer, *args: Any) -> None:
            if trainer.global_step == 4:
                raise RuntimeError("cut off")

    with pytest.raises(RuntimeError, match="cut off"):
        fit(tmp_path, Clock(kimg=0.4), Checkpoints(every_steps=1), Cut(), batch_size=50)  # 8 steps
    module = fit(tmp_path, Clock(kimg=0.4), Checkpoints(), batch_size=25)  # 200 images more are 8 steps more
    assert (module.global_step, module.g_step, module.images_seen) == (12, 12, 400)


def test_a_finished_run_can_be_lengthened(tmp_path: Path) -> None:
    assert fit(tmp_path, Clock(g_steps=3), Checkpoints()).global_step == 3
    assert fit(tmp_path, Clock(kimg=0.04), Checkpoints()).global_step == 5  # 40 images
    assert step_of(tmp_path, "last") == 5
    assert fit(tmp_path, Clock(kimg=0.03), Checkpoints()).global_step == 5  # shorter: nothing is left to do


# --- pictures -----------------------------------------------------------------------------------------------


def pixels(path: Path) -> Tensor:
    """What a PNG shows: uint8 [C, H, W]."""
    array = torch.from_numpy(np.array(Image.open(path)))
    return array[None] if array.ndim == 2 else array.permute(2, 0, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_read_back_is_the_images(tmp_path: Path, channels: int) -> None:
    images = torch.randint(256, (5, channels, 4, 6), dtype=torch.uint8)
    save_png(grid(images, columns=2, gap=3), tmp_path / "a.png")
    sheet = pixels(tmp_path / "a.png")
    assert sheet.shape == (channels, 3 * 7 + 3, 2 * 9 + 3)
    for i in range(5):
        top, left = 3 + i // 2 * 7, 3 + i % 2 * 9
        assert torch.equal(sheet[:, top : top + 4, left : left + 6], images[i])
        sheet[:, top : top + 4, left : left + 6] = 128
    assert (sheet == 128).all()  # the gaps, and the place that stays empty


def test_a_grid_is_as_square_as_it_goes() -> None:
    def shape(n: int) -> tuple[int, ...]:
        return tuple(grid(torch.zeros(n, 1, 8, 8, dtype=torch.uint8), gap=0).shape)

    assert [shape(n) for n in (1, 2, 4, 5, 64)] == [(1, 8, 8), (1, 8, 16), (1, 16, 16), (1, 16, 24), (1, 64, 64)]


def test_floats_make_no_picture() -> None:
    with pytest.raises(ValueError, match=r"made of uint8 values, got torch\.float32"):
        grid(torch.zeros(4, 1, 8, 8))


def test_samples_are_written_before_training_and_at_each_validation(tmp_path: Path) -> None:
    pictures = ImageGrid(columns=16)
    module = fit(tmp_path, Clock(g_steps=4, validations=2), pictures)
    names = sorted(path.name for path in (tmp_path / "samples").iterdir())
    assert names == ["samples-000000000.png", "samples-000000016.png", "samples-000000032.png"]
    assert pictures.last == tmp_path / "samples" / names[-1]
    sheets = [pixels(tmp_path / "samples" / name) for name in names]
    assert sheets[0].shape == (1, 4 * 10 + 2, 16 * 10 + 2)
    assert torch.equal(sheets[0], grid(GAN(*mlps()).panels()["samples"], 16))
    assert torch.equal(sheets[2], grid(module.panels()["samples"], 16))
    assert not torch.equal(sheets[0], sheets[2])


# --- record -------------------------------------------------------------------------------------------------

KEYS = {
    "schema": {},
    "experiment": {},
    "seed": {},
    "status": {},
    "started": {},
    "wall_seconds": {},
    "clock": {"d_step", "g_step", "kimg", "total_d_steps"},
    "scores": {},
    "cost": {"parameters", "images_per_second", "peak_memory_mb", "checkpoint_mb"},
    "code": {"commit", "dirty"},
    "versions": {"torch", "torchvision", "lightning", "torchmetrics", "lightning-atelier", "python"},
    "hardware": {"accelerator", "devices", "gpu", "cpu", "threads", "precision"},
}


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "record.json").read_text())


def strings(value: Any) -> Iterator[str]:
    """Every string in a nest, keys too."""
    if isinstance(value, dict):
        yield from (s for pair in value.items() for part in pair for s in strings(part))
    elif isinstance(value, list):
        yield from (s for part in value for s in strings(part))
    elif isinstance(value, str):
        yield value


def test_the_record_has_its_schema_and_tells_no_secrets(tmp_path: Path) -> None:
    scores, keeper = Given(3.0, 1.0, 2.0), Checkpoints(None, "val/score")
    module = GAN(*mlps(), n_critic=2, seed=5, ema=EMASettings(decay=0.5))
    fit(tmp_path, Clock(g_steps=3, validations=3), scores, ImageGrid(), keeper, RunRecord("gan/toy"), module=module)
    found = record(tmp_path)
    assert found.keys() == KEYS.keys()
    assert all(found[name].keys() == keys for name, keys in KEYS.items() if keys)
    assert [found[name] for name in ("schema", "experiment", "seed", "status")] == [1, "gan/toy", 5, "finished"]
    assert found["clock"] == {"d_step": 6, "g_step": 3, "kimg": 0.048, "total_d_steps": 6}
    (block,) = found["scores"]
    assert [row["metrics"]["score"] for row in block["history"]] == [3.0, 1.0, 2.0]
    assert [block[name]["d_step"] for name in ("first", "last", "best")] == [2, 6, 4]
    assert block["best"]["by"] == "score"
    assert found["cost"]["parameters"] == {  # the average is no network of its own
        "G": sum(p.numel() for p in module.G.parameters()),
        "D": sum(p.numel() for p in module.D.parameters()),
    }
    assert found["cost"]["checkpoint_mb"] > 0
    assert len(found["started"]) == 1
    home, host, user = str(Path.home()), platform.node(), getpass.getuser()
    for string in strings(found):
        assert not string.startswith(("/", "~")), string
        assert all(secret not in string for secret in (str(tmp_path), str(Path.cwd()), home + "/")), string
        assert string not in (host, user)


def test_the_record_says_how_a_run_ended(tmp_path: Path) -> None:
    class Look(L.Callback):
        def on_train_batch_start(self, trainer: L.Trainer, *args: Any) -> None:
            statuses.append(record(tmp_path)["status"])
            if trainer.global_step == 2 and len(statuses) == 3:
                raise RuntimeError("upset")

    statuses: list[str] = []
    run = (Clock(g_steps=4, validations=0), Checkpoints(every_steps=1), Look())
    with pytest.raises(RuntimeError, match="upset"):
        fit(tmp_path, RunRecord(), *run)
    first = record(tmp_path)
    assert first["status"] == "failed: RuntimeError"
    fit(tmp_path, RunRecord(), *run)
    second = record(tmp_path)
    assert statuses == ["running"] * 5
    assert second["status"] == "finished"
    assert len(second["started"]) == 2
    assert second["started"][0] == first["started"][0]
    assert second["clock"]["kimg"] == 0.032


# --- classification -----------------------------------------------------------------------------------------


class Fixed(ClassifierNetwork):
    """Its logits are the image."""

    def __init__(self, K: int) -> None:
        super().__init__()
        self.dim = self.num_classes = K
        self.scale = nn.Parameter(torch.ones(()))

    def features(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    def head(self, features: Tensor) -> Tensor:
        return features * self.scale


@pytest.mark.parametrize("present", [7, 5])  # with 5 of 7 classes, sometimes neither there nor predicted
def test_classification_scores_are_those_of_scikit_learn(tmp_path: Path, present: int) -> None:
    stream = torch.Generator().manual_seed(present)
    batches = []
    for n in (40, 33, 1):  # of unequal size: scores of the split, not means over batches
        x = torch.randn(n, 1, 1, 7, generator=stream)
        x[..., 6] = -9
        batches.append((x, torch.randint(present, (n,), generator=stream)))
    data = Finite(batches)
    data.val_dataloader = data.train_dataloader  # type: ignore[method-assign]
    scorer, module = ClassificationScores(), Classifier(Fixed(7))
    run = trainer(tmp_path, scorer)
    run.validate(module, datamodule=data, verbose=False)
    true = torch.cat([y for _, y in batches]).numpy()
    predicted = torch.cat([x.flatten(1).argmax(1) for x, _ in batches]).numpy()
    options: dict[str, Any] = {"labels": range(7), "average": "macro", "zero_division": 0}
    wanted = {
        "accuracy": accuracy_score(true, predicted),
        "recall_macro": recall_score(true, predicted, **options),
        "f1_macro": f1_score(true, predicted, **options),
    }
    found = scorer.history[-1]["metrics"]
    assert found.keys() == wanted.keys()
    assert all(abs(found[name] - wanted[name]) < 1e-9 for name in wanted)
    assert torch.equal(scorer.confusion.compute(), torch.from_numpy(confusion_matrix(true, predicted, labels=range(7))))
    assert all(abs(float(run.callback_metrics[f"val/{name}"]) - wanted[name]) < 1e-6 for name in wanted)
    picture = pixels(tmp_path / "samples" / "confusion-000000000.png")
    assert picture.shape == (3, 9 * 36, 9 * 36)


def test_a_gan_is_no_classifier(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="classification: scores a classifier, not a GAN; set it to null"):
        fit(tmp_path, Clock(g_steps=1), ClassificationScores())


# --- progress -----------------------------------------------------------------------------------------------


def test_progress_is_plain_lines_where_the_output_is_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(tmp_path, Clock(g_steps=4, validations=1), Given(1.25), ProgressLine(every_seconds=0.0))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step")]
    assert [line.split()[1] for line in lines] == ["1/4", "2/4", "3/4", "4/4", "4:"]
    assert "kimg 0.0" in lines[0]
    assert "d/adv " in lines[0]
    assert lines[-2].endswith(" 0:00 left")
    assert lines[-1] == "step 4: score 1.25"
    assert all("\r" not in line and "\x1b" not in line for line in lines)


def test_progress_prints_the_last_step_however_seldom(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit(tmp_path, Clock(g_steps=4, validations=0), ProgressLine(every_seconds=999))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step")]
    assert [line.split()[1] for line in lines] == ["4/4"]


def test_clock_times() -> None:
    assert [clock_time(s) for s in (0, 59.6, 61, 3599, 3600, 36_061)] == [
        "0:00",
        "1:00",
        "1:01",
        "59:59",
        "1:00:00",
        "10:01:01",
    ]
