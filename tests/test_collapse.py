"""Laws of the collapse watch."""

from pathlib import Path

import lightning as L
import pytest
from lightning.pytorch.callbacks import Callback
from toys import Finite, Logged, batches, mlps, trainer

from lightning_modules.base import AtelierModule
from lightning_modules.callbacks.clock import Clock
from lightning_modules.callbacks.collapse import CollapseWatch
from lightning_modules.gan import GAN
from lightning_modules.metrics.protocol import metric_name


class Scripted(Callback):
    """Scores that were written beforehand, one a validation."""

    def __init__(self, *scores: float) -> None:
        self.scores = iter(scores)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, AtelierModule)
        pl_module.log_scores({"val/fid@toy": next(self.scores)})


def ratios(tmp_path: Path, *scores: float, watch: CollapseWatch | None = None) -> list[float]:
    logger, name = Logged(), "val/fid@toy_over_best"
    callbacks = [Clock(g_steps=len(scores), validations=len(scores)), Scripted(*scores), watch or CollapseWatch()]
    trainer(tmp_path, *callbacks, logger=[logger], log_every_n_steps=1).fit(
        GAN(*mlps()), datamodule=Finite(batches(len(scores)))
    )
    return [row[name] for _, row in logger.rows if name in row]


def test_the_ratio_is_that_to_the_best_so_far(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ratios(tmp_path, 8.0, 4.0, 6.0, 10.0, 2.0) == [1.0, 1.0, 1.5, 2.5, 1.0]
    told = [line for line in capsys.readouterr().out.splitlines() if "collapsing" in line]
    assert len(told) == 1
    assert told[0].startswith("step 4: val/fid@toy is 10, 2.5 times its best (4 at step 2)")


def test_noise_near_the_floor_is_no_collapse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ratios(tmp_path, 0.25, 1.0) == [1.0, 4.0]
    assert "collapsing" not in capsys.readouterr().out


def test_a_validation_of_a_checkpoint_is_no_moment_of_its_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logger, watch = Logged(), CollapseWatch()
    watch.judge("val/fid@toy", 2.0, 7)
    run = trainer(tmp_path, Scripted(9.0), watch, logger=[logger])
    run.validate(GAN(*mlps()), datamodule=Finite(batches(1)), verbose=False)
    assert [row["val/fid@toy"] for _, row in logger.rows if "val/fid@toy" in row] == [9.0]
    assert not any("val/fid@toy_over_best" in row for _, row in logger.rows)
    assert "collapsing" not in capsys.readouterr().out


@pytest.mark.parametrize("extractor", ["inception", "digits-cnn"])
def test_every_extractors_distance_is_watched_and_no_other_score(extractor: str) -> None:
    prefix = CollapseWatch().prefix
    assert f"val/{metric_name('fid', extractor)}".startswith(prefix)
    assert not f"val/{metric_name('is', extractor)}".startswith(prefix)


def test_the_best_survives_a_resume() -> None:
    before, after = CollapseWatch(), CollapseWatch()
    before.judge("val/fid@toy", 2.0, 7)
    after.load_state_dict(before.state_dict())
    assert after.judge("val/fid@toy", 5.0, 9) == 2.5
    assert after.best_step == {"val/fid@toy": 7}


@pytest.mark.parametrize("best", [0.0, -1e-7])
def test_a_best_of_nothing_divides_nothing(best: float) -> None:
    watch = CollapseWatch()
    assert watch.judge("val/fid@toy", best, 1) == 1.0
    assert watch.judge("val/fid@toy", 5.0, 2) == pytest.approx(5e9)


def test_a_factor_that_everything_exceeds_is_refused() -> None:
    with pytest.raises(ValueError, match="collapse: factor must be above 1, got 1"):
        CollapseWatch(factor=1)
