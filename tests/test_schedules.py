"""Laws of the learning-rate schedules."""

from math import cos, pi
from pathlib import Path
from typing import Any

import pytest
from toys import Finite, Rates, batches, mlps, sgd, trainer

from datamodules.digits import Digits
from lightning_modules.callbacks.clock import Clock
from lightning_modules.gan import GAN
from lightning_modules.schedules import Cosine, Linear, Schedule, Staircase

# --- schedules ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "points"),
    [
        (Linear(), {0.0: 1.0, 0.25: 0.75, 1.0: 0.0}),
        (Linear(start=0.5, final=0.2), {0.0: 1.0, 0.5: 1.0, 0.75: 0.6, 1.0: 0.2}),
        (Cosine(), {0.0: 1.0, 0.5: 0.5, 0.25: 0.5 * (1 + cos(pi / 4)), 1.0: 0.0}),
        (Cosine(final=0.1, warm_up=0.2), {0.0: 0.0, 0.1: 0.5, 0.2: 1.0, 0.6: 0.55, 1.0: 0.1}),
        (
            Staircase(stages=3, growth=2, per_decade=1),
            {0.0: 1.0, 0.14: 1.0, 0.15: 0.1, 0.42: 0.1, 0.43: 0.01},
        ),
    ],
)
def test_schedules_by_hand(schedule: Schedule, points: dict[float, float]) -> None:
    for progress, factor in points.items():
        assert abs(schedule.factor(progress) - factor) < 1e-12


def test_the_staircase_of_burda_et_al_has_3280_epochs_and_changes_at_their_very_steps() -> None:
    schedule, batches_an_epoch = Staircase(), 3000
    assert schedule.units == 3280
    total = 3280 * batches_an_epoch
    first = 0
    for i in range(8):
        last = first + 3**i * batches_an_epoch - 1
        for step in (first, last):
            assert abs(schedule.factor(step / total) - 10 ** (-i / 7)) < 1e-12, (i, step)
        first = last + 1
    assert first == total
    part = Staircase(stages=6)  # of 364 epochs: the same rates at the same epochs
    assert part.units == 364
    assert all(part.factor(epoch / 364) == schedule.factor(epoch / 3280) for epoch in range(364))


def test_schedules_run_over_the_clock_of_d(tmp_path: Path) -> None:
    module, rates = GAN(*mlps(), d_schedule=Linear(), d_optimizer=sgd(0.8), g_optimizer=sgd(0.4), n_critic=2), Rates()
    trainer(tmp_path, Clock(g_steps=4), rates).fit(module, datamodule=Digits(size=8, batch_size=8))
    ds, gs = rates.used.values()
    assert ds == pytest.approx([0.8 * (1 - i / 8) for i in range(8)], abs=1e-12)
    assert gs == [0.4] * 4


def test_a_schedule_without_a_length_is_refused(tmp_path: Path) -> None:
    run = trainer(tmp_path, max_epochs=1)
    with pytest.raises(ValueError, match="a schedule needs the run's length"):
        run.fit(GAN(*mlps(), d_schedule=Linear()), datamodule=Finite(batches(2)))


def test_a_staircase_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="Staircase: give 1 or more stages"):
        Staircase(stages=0)


@pytest.mark.parametrize("make", [lambda: Linear(start=1.0), lambda: Cosine(warm_up=-0.1)])
def test_schedules_that_make_no_sense_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match=r"is a share of the run in \[0, 1\)"):
        make()
