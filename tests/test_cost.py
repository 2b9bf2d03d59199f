"""What a sample costs: operations derived by hand, speed by a clock of our own, and a run that it does not change."""

import json
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from toys import SHAPE, Finite, batches, dcgans, distance, fit, mlps, trainer, weights

from datamodules.digits import Digits
from lightning_modules.base import AtelierModule
from lightning_modules.callbacks import cost
from lightning_modules.callbacks.clock import Clock
from lightning_modules.callbacks.cost import Operations, SampleCost, SampleMeter
from lightning_modules.callbacks.record import RunRecord
from lightning_modules.ema import EMASettings
from lightning_modules.gan import GAN
from lightning_modules.networks.base import Network
from lightning_modules.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from lightning_modules.reconstruction import ReconstructionModule

# Transposed convolutions: 2 x inputs x outputs x kernel x positions of the input, layer by layer.
DCGAN_32 = 2 * 16 * (100 * 256 * 1 + 256 * 128 * 4**2 + 128 * 64 * 8**2 + 64 * 3 * 16**2)
DCGAN_8 = 2 * 16 * (4 * 4 * 1 + 4 * 1 * 4**2)  # of the toys


def cost_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "record.json").read_text())["cost"]


def measured(module: AtelierModule, *batch: Tensor) -> SampleCost:
    meter = SampleMeter()
    meter.see_training(batch)
    meter.measure(module)
    return meter.found


def test_operations_of_a_dcgan_sample_are_those_derived_by_hand() -> None:
    assert DCGAN_32 == 35_946_496
    module = GAN(DCGANGenerator(32, 3), DCGANDiscriminator(32, 3, width=4))
    found = measured(module, torch.zeros(1, 3, 32, 32), torch.zeros(1))
    assert (found.flops, found.shape) == (DCGAN_32, [3, 32, 32])
    compiled: list[object] = []
    module.G.compile(backend=lambda graph, inputs: compiled.append(graph) or graph.forward)
    assert measured(module, torch.zeros(1, 3, 32, 32), torch.zeros(1)).flops == DCGAN_32
    assert compiled == []  # counted and timed in its eager form


@pytest.mark.parametrize("groups", [1, 4, 8])
@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d])
def test_a_gradient_takes_as_many_operations_as_the_layer_whatever_its_groups(kind: type, groups: int) -> None:
    layer, x = kind(8, 16, 3, stride=2, padding=1, groups=groups), torch.ones(2, 8, 9, 9)
    with Operations() as forward:
        out = layer(x)
    with Operations() as of_weights:
        out.sum().backward()
    out = layer(x.requires_grad_())
    with Operations() as of_both:
        out.sum().backward()
    positions = 81 if kind is nn.ConvTranspose2d else 25
    assert forward.total == 2 * 2 * positions * 9 * 8 * 16 // groups
    assert (of_weights.total, of_both.total) == (forward.total, 2 * forward.total)


def test_operations_are_the_same_in_inference_mode_where_layers_arrive_whole() -> None:
    attention = nn.functional.scaled_dot_product_attention
    works = {
        "transposed": (lambda: nn.ConvTranspose2d(3, 5, 4, stride=2)(torch.ones(2, 3, 6, 6)), 2 * 2 * 3 * 5 * 16 * 36),
        "linear": (lambda: nn.Linear(3, 4)(torch.ones(2, 3)), 2 * 2 * 3 * 4),
        "attention": (lambda: attention(*[torch.ones(1, 1, 4, 8)] * 3), 2 * 2 * 4 * 4 * 8),
    }
    for name, (work, flops) in works.items():
        for mode in (torch.no_grad, torch.inference_mode):
            with mode(), Operations() as seen:
                work()
            assert seen.total == flops, (name, mode)


@pytest.mark.parametrize("validations", [0, 2])
def test_the_record_holds_it_with_and_without_validations(tmp_path: Path, validations: int) -> None:
    module = GAN(*dcgans(), ema=EMASettings(decay=0.5))
    fit(tmp_path, Clock(g_steps=2, validations=validations), RunRecord(), module=module)
    found = cost_of(tmp_path)
    assert (found["sample_shape"], found["flops_per_sample"]) == ([1, 8, 8], DCGAN_8)
    assert found["sampling_images_per_second"] > 0


class Witness(L.Callback):
    """Draws a number after each validation, and looks at the modes."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, list[bool]]] = []

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.seen.append((torch.rand(1).item(), [part.training for part in pl_module.modules()]))


@pytest.mark.parametrize("average", [None, EMASettings(decay=0.5)])
def test_training_with_and_without_the_record_gives_identical_weights(
    tmp_path: Path, average: EMASettings | None
) -> None:
    witnesses, ends = (Witness(), Witness()), []
    for record, witness in zip(([RunRecord()], []), witnesses, strict=True):
        module = GAN(*dcgans(), ema=average)
        fit(tmp_path, Clock(g_steps=4, validations=2), *record, witness, module=module)
        ends.append(weights(module))
    assert cost_of(tmp_path)["flops_per_sample"] == DCGAN_8
    assert distance(*ends) == 0
    assert witnesses[0].seen == witnesses[1].seen
    assert len(witnesses[0].seen) == 2


class Timed(GAN):
    """A millisecond a sample, by a clock that nothing else moves."""

    time = 0.0
    counts: tuple[int, ...] = ()

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.counts += (len(batch[0]),)
        self.time += 0.001 * len(batch[0])
        return super().predict_step(batch, batch_idx)


@pytest.mark.parametrize(("batch", "at_once"), [(8, 8), (400, 100)])
def test_speed_is_samples_over_time_after_a_warm_up(monkeypatch: pytest.MonkeyPatch, batch: int, at_once: int) -> None:
    module = Timed(*mlps())
    monkeypatch.setattr(cost, "now", lambda device: module.time)
    found = measured(module, torch.zeros(batch, *SHAPE), torch.zeros(batch))
    assert found.images_per_second == 1000.0
    rounds = -(-100 // at_once)  # until a tenth of a second has passed
    assert module.counts == (1, *[at_once] * (1 + rounds))


class Blur(Network):
    """One 3x3 convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 3, padding=1)
        self.sizes: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.sizes.append(len(x))
        return self.layer(x)


def test_a_reconstruction_is_measured_at_the_size_that_is_looked_at() -> None:
    net, meter = Blur(), SampleMeter()
    patches, whole = torch.zeros(8, 1, 8, 8), torch.zeros(3, 1, 8, 16)
    meter.see_training((patches, patches))
    meter.see_validation([whole, whole])
    meter.see_validation([patches, patches])
    meter.measure(ReconstructionModule(net))
    assert (meter.found.flops, meter.found.shape) == (2 * 9 * 8 * 16, [1, 8, 16])
    assert set(net.sizes) == {1, 4}  # four of these hold as many values as eight patches: what fitted will fit


class Silent(GAN):
    """A family that says nothing of predictions."""

    predict_step = L.LightningModule.predict_step  # type: ignore[assignment]


class Finished(GAN):
    """A family whose predictions are there already, as deep image prior's."""

    answer_is_trained = True


@pytest.mark.parametrize("family", [Silent, Finished])
def test_what_is_not_known_is_null(tmp_path: Path, family: type[GAN]) -> None:
    fit(tmp_path, Clock(g_steps=1, validations=0), RunRecord(), module=family(*mlps()))
    found = cost_of(tmp_path)
    assert [found[name] for name in ("sample_shape", "flops_per_sample", "sampling_images_per_second")] == [None] * 3
    assert found["images_per_second"] > 0
    module, x = GAN(*mlps()), torch.zeros(2, *SHAPE)
    for batch in ({"x": x}, (x, "name"), x):
        meter = SampleMeter()
        meter.see_training(batch)
        meter.measure(module)
        assert meter.found == SampleCost()


def test_speeds_keep_their_digits_and_no_formula_is_no_number_of_operations() -> None:
    assert [cost.four_digits(value) for value in (30 / 785, 0.2461, 75906.2)] == [0.03822, 0.2461, 75910.0]

    class Darker(Network):
        def __init__(self) -> None:
            super().__init__()
            self.by = nn.Parameter(torch.ones(()))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.by

    found = measured(ReconstructionModule(Darker()), *[torch.zeros(2, 1, 8, 8)] * 2)
    assert found.shape == [1, 8, 8]
    assert found.flops is None
    assert found.images_per_second is not None


def test_it_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr(cost, "seconds_of", lambda work, device: calls.append(work) or 1.0)
    run = trainer(tmp_path, RunRecord(), max_steps=4, val_check_interval=1)
    run.fit(GAN(*mlps()), datamodule=Finite(batches(4)))
    assert len(calls) == 1
    assert cost_of(tmp_path)["sampling_images_per_second"] == 8.0


def test_digits_have_the_shape_that_is_told(tmp_path: Path) -> None:
    run = trainer(tmp_path, Clock(g_steps=1, validations=1), RunRecord())
    run.fit(GAN(*mlps(shape=(1, 16, 16))), datamodule=Digits(size=16, batch_size=4))
    assert cost_of(tmp_path)["sample_shape"] == [1, 16, 16]
