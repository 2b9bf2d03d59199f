"""Laws of checkpoints: saved when asked, whole or not at all, whatever goes wrong."""

import errno
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from toys import Given, Listed, batches, fit, mlps, step_of, trainer

from datamodules.digits import Digits
from lightning_modules.callbacks.checkpoints import AtomicCheckpointIO, Checkpoints
from lightning_modules.callbacks.clock import Clock
from lightning_modules.callbacks.record import RunRecord
from lightning_modules.callbacks.samples import ImageGrid
from lightning_modules.ema import EMASettings
from lightning_modules.gan import GAN


class SavedAt(L.Callback):
    """At which step each file lay there, seen from the start of the next step."""

    def __init__(self) -> None:
        self.last: list[int] = []

    def on_train_batch_start(self, trainer: L.Trainer, *args: Any) -> None:
        path = Checkpoints.path(trainer, "last")
        if path.exists():
            self.last.append(torch.load(path, weights_only=True)["global_step"])


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


def test_a_validation_by_itself_saves_nothing(tmp_path: Path) -> None:
    module = fit(tmp_path, Clock(g_steps=2, validations=0), Checkpoints())
    last = tmp_path / "checkpoints" / "last.ckpt"
    before = last.read_bytes()
    for keeper in (Checkpoints(), Checkpoints(monitor="val/score")):
        run = trainer(tmp_path, Given(1.0), keeper)
        run.validate(module, datamodule=Digits(size=8, batch_size=8), verbose=False)
    assert last.read_bytes() == before
    assert [path.name for path in last.parent.iterdir()] == ["last.ckpt"]


class InterruptsAt(L.Callback):
    """Presses Ctrl-C in the middle of a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: L.Trainer, *args: Any) -> None:
        if trainer.global_step == self.step:
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_ends_after_the_step_and_saves_it(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    fit(tmp_path, Clock(g_steps=9, validations=0), Checkpoints(every_steps=None), InterruptsAt(4))
    assert step_of(tmp_path, "last") == 5
    assert signal.getsignal(signal.SIGINT) is before


class EndsIn(L.Callback):
    """Ends the process in the validation at a step: as the system does, or by Ctrl-C twice."""

    def __init__(self, step: int, how: signal.Signals) -> None:
        self.step, self.how = step, how

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        if trainer.global_step == self.step and self.how == signal.SIGINT:
            signal.raise_signal(self.how)

    def on_validation_batch_start(
        self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int, *args: Any
    ) -> None:
        if trainer.global_step == self.step and batch_idx == 0:
            signal.raise_signal(self.how)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("step", [4, 6])
def test_a_validation_that_was_cut_off_is_repeated(tmp_path: Path, step: int, how: signal.Signals) -> None:
    def run(*others: L.Callback) -> Given:
        scores = Given(5.0, 3.0, 4.0)
        last = tmp_path / "checkpoints" / "last.ckpt"
        keeper, data = Checkpoints(every_steps=1), Digits(size=8, batch_size=8)
        data.val_dataloader = lambda: Listed(batches(2))  # type: ignore[method-assign, assignment, return-value]
        once = trainer(tmp_path, Clock(g_steps=6, validations=3), scores, *others, keeper)
        once.fit(GAN(*mlps()), datamodule=data, ckpt_path=last if last.exists() else None)
        return scores

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(SystemExit):
        run(EndsIn(step, how))
    signal.signal(signal.SIGINT, before)  # Lightning leaves it without effect
    assert step_of(tmp_path, "last") == step - 1
    whole = [(2, {"score": 5.0}), (4, {"score": 3.0}), (6, {"score": 4.0})]
    assert [(row["d_step"], row["metrics"]) for row in run().history] == whole


def test_what_a_killed_process_left_half_written_is_swept_up(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / ".last.ckpt.123.tmp").write_bytes(b"half")
    fit(tmp_path, Clock(g_steps=2, validations=0), Checkpoints())
    assert [path.name for path in folder.iterdir()] == ["last.ckpt"]


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
    resumed = keeper()
    fit(tmp_path, Clock(g_steps=8, validations=4), Given(5.0, 3.0, 4.0, 3.5), resumed)
    assert (resumed.best, resumed.best_step) == (3.0, 4)  # the record finds its row by that step
    assert step_of(tmp_path, "best") == 4
    assert step_of(tmp_path, "last") == 8


def test_the_best_of_another_score_is_no_best(tmp_path: Path) -> None:
    fit(tmp_path, Clock(g_steps=4, validations=2), Given(5.0, 3.0, name="other"), Checkpoints(None, "val/other"))
    resumed = Checkpoints(None, "val/score")
    fit(tmp_path, Clock(g_steps=8, validations=4), Given(5.0, 3.0, 4.0, 6.0), resumed)
    assert (resumed.best, resumed.best_step) == (4.0, 6)


@pytest.mark.parametrize(
    ("monitor", "given", "higher"),
    [
        ("val/fid@digits-cnn", None, False),
        ("val/is@digits-cnn", None, True),
        ("val/set5-x2/psnr@y", True, True),
        ("val/mine", None, False),
        ("val/mine", True, True),
        (None, True, True),
    ],
)
def test_the_side_of_a_score_is_known_by_its_name(monitor: str | None, given: bool | None, higher: bool) -> None:
    assert Checkpoints(monitor=monitor, higher_is_better=given).higher_is_better == higher


def test_a_side_against_the_score_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^checkpoint: val/is is better the higher"):
        Checkpoints(monitor="val/is", higher_is_better=False)


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
    assert checkpoint["counters"] == {"images_seen": 16, "g_step": 2, "images_averaged": 16}


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

    with ExitStack() as stack, pytest.raises(OSError, match="File too large"):
        fit(tmp_path, Clock(g_steps=8, validations=0), Checkpoints(every_steps=2), Fill())
    assert step_of(tmp_path, "last") == 2
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1
    assert fit(tmp_path, Clock(g_steps=8, validations=0), Checkpoints(every_steps=2)).global_step == 8
