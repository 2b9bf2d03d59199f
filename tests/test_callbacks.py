"""Laws of the looking callbacks: clock, pictures, classification scores and progress."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score
from torch import Tensor, nn
from toys import Finite, Given, fit, mlps, step_of, trainer

from datamodules.digits import Digits
from lightning_modules.callbacks.checkpoints import Checkpoints
from lightning_modules.callbacks.classification import ClassificationScores
from lightning_modules.callbacks.clock import Clock
from lightning_modules.callbacks.pictures import grid, save_png
from lightning_modules.callbacks.progress import ProgressLine, clock_time
from lightning_modules.callbacks.samples import ImageGrid
from lightning_modules.classifier import Classifier
from lightning_modules.gan import GAN
from lightning_modules.metrics.confusion import draw_confusion
from lightning_modules.networks.base import Classifier as ClassifierNetwork
from lightning_modules.networks.cnn import CNN

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
    options: dict[str, Any] = {"average": "macro", "zero_division": 0}
    wanted = {
        "accuracy": accuracy_score(true, predicted),
        "recall_macro": recall_score(
            true, predicted, labels=range(present), **options
        ),  # of the classes that are there
        "f1_macro": f1_score(true, predicted, **options),
    }
    found = scorer.history[-1]["metrics"]
    assert found.keys() == wanted.keys()
    assert all(abs(found[name] - wanted[name]) < 1e-9 for name in wanted)
    assert torch.equal(scorer.confusion.compute(), torch.from_numpy(confusion_matrix(true, predicted, labels=range(7))))
    assert all(abs(float(run.callback_metrics[f"val/{name}"]) - wanted[name]) < 1e-6 for name in wanted)
    picture = pixels(tmp_path / "samples" / "confusion-000000000.png")
    assert picture.shape == (3, 9 * 36, 9 * 36)


def test_classification_scores_say_of_which_images(tmp_path: Path) -> None:
    scorer = ClassificationScores()
    trainer(tmp_path, scorer).validate(Classifier(CNN(width=2, dim=8)), datamodule=Digits(size=8), verbose=False)
    test = Digits(size=8).reference("test")
    assert scorer.described["data"] == {"digits": {"images": 360, "sha256": test.sha256}}
    resumed = ClassificationScores()
    resumed.load_state_dict(scorer.state_dict())
    trainer(tmp_path, resumed, max_steps=1).fit(Classifier(CNN(width=2, dim=8)), datamodule=Digits(size=8))
    assert not resumed.earlier


def test_scores_of_another_precision_than_full_are_put_away(tmp_path: Path) -> None:
    def scores(precision: str | None, before: ClassificationScores | None = None) -> ClassificationScores:
        scorer = ClassificationScores()
        if before is not None:
            scorer.load_state_dict(before.state_dict())
        run = trainer(tmp_path, Clock(g_steps=1, validations=1), scorer, precision="bf16-mixed")
        run.fit(Classifier(CNN(width=2, dim=8)), datamodule=Digits(size=8))
        scorer.rounding = {} if precision is None else {"precision": precision}
        return scorer

    assert not scores(None, scores(None)).earlier  # measured in full, too
    assert scores(None, scores("bf16-mixed")).earlier  # as such runs once were


def test_a_confusion_of_many_classes_is_a_pixel_a_cell() -> None:
    confusion = torch.diag(torch.arange(300))
    confusion[0, 1] = 4
    picture = draw_confusion(confusion, [str(i) for i in range(300)])
    assert picture.shape == (3, 300, 300)
    assert picture[:, 0, 1].tolist() == picture[:, 7, 7].tolist() == [0, 155, 205]  # the whole row
    assert picture[:, 0, 0].tolist() == [255] * 3
    few = draw_confusion(torch.tensor([[1, 1], [0, 0]]), ["a", "b"])
    assert few[:, 36 * 2 + 1, 36 * 2 + 1].tolist() == [round(255 - 255 / 2), 205, 230]


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


def test_the_rate_of_a_resumed_run_is_that_of_its_own_steps() -> None:
    run: Any = SimpleNamespace(global_step=100, max_steps=200)
    progress, module = ProgressLine(), GAN(*mlps())
    progress.on_train_start(run, module)
    run.global_step = 110
    assert progress.line(run, module, progress._started + 5).endswith(" 2.0 step/s  0:45 left")


def test_clock_times() -> None:
    assert [clock_time(s) for s in (0, 59.6, 61, 3599, 3600, 36_061)] == [
        "0:00",
        "1:00",
        "1:01",
        "59:59",
        "1:00:00",
        "10:01:01",
    ]
