"""How samples are drawn under a preset: batch norm by the batch or by standing statistics, classes by their shares."""

from copy import deepcopy

import pytest
import torch
from command_line import place
from noise_sets import own_cache
from test_evaluate_command import evaluated, trained, value
from torch import Tensor, nn
from toys import Z_DIM, dcgans, mlps

from datamodules.base import ImageSet
from experiments.evaluate_drawing import drawing
from lightning_modules.ema import EMASettings
from lightning_modules.gan import GAN
from lightning_modules.metrics import batch_norm
from lightning_modules.metrics.batch_norm import batch_norms, gather_standing_statistics, use_batch_statistics
from lightning_modules.metrics.presets import PRESETS, Preset
from lightning_modules.networks.mlp import MLPDiscriminator, MLPGenerator

__all__ = ["own_cache", "place", "trained"]


def preset(**fields: str) -> Preset:
    return Preset(name="few", source="", fields=fields)


def digits(labels: Tensor | None = None) -> ImageSet:
    labels = torch.zeros(20, dtype=torch.int64) if labels is None else labels
    return ImageSet("digits", "train", torch.zeros(len(labels), 1, 8, 8, dtype=torch.uint8), labels)


def trained_a_little() -> GAN:
    """A GAN whose generators, raw and averaged, have statistics other than those of their samples."""
    G, D = dcgans()
    module = GAN(G, D, ema=EMASettings(decay=0.5))
    for net in (module.G, module.evaluated_generator):
        for norm in batch_norms(net):
            norm.running_mean += 0.3
            norm.running_var *= 2
    return module


# --- batch norm ---------------------------------------------------------------------------------------------


def test_batch_statistics_in_evaluation_are_those_of_training() -> None:
    G, _ = dcgans()
    z, as_in_training = torch.randn(16, Z_DIM), deepcopy(G).train()
    use_batch_statistics(G, lambda n: None)
    with torch.no_grad():
        assert torch.equal(G.eval()(z), as_in_training(z))
        assert not torch.allclose(G(z)[:4], G(z[:4]))  # a sample hangs on those drawn with it


def test_standing_statistics_are_plain_averages_over_the_passes() -> None:
    net, seen = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5, momentum=0.2)).eval(), []

    def draw(n: int) -> None:
        with torch.no_grad():
            seen.append(net[0](torch.randn(n, 3)))
            net[1](seen[-1])

    before = torch.get_rng_state()
    gather_standing_statistics(net, draw)
    assert torch.equal(torch.get_rng_state(), before)
    sizes = {len(x) for x in seen}
    assert (len(seen), min(sizes) >= 2, max(sizes) <= 256, len(sizes) > 50) == (100, True, True, True)
    assert torch.allclose(net[1].running_mean, torch.stack([x.mean(0) for x in seen]).mean(0), atol=1e-6)
    assert torch.allclose(net[1].running_var, torch.stack([x.var(0) for x in seen]).mean(0), rtol=1e-5)
    assert (net[1].momentum, net[1].training, net.training) == (0.2, False, False)
    assert not net[1]._forward_hooks
    assert not net[1]._forward_pre_hooks


def test_standing_statistics_are_of_the_generator_that_is_evaluated_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_norm, "PASSES", 200)
    module, reference = trained_a_little(), digits()
    raw = deepcopy(module.G.state_dict())
    weights = [weight.clone() for weight in module.evaluated_generator.parameters()]
    batch = drawing(deepcopy(module), preset(batch_norm="batch"), reference)
    found = drawing(module, preset(batch_norm="standing"), reference)
    assert (found.batch_norm, found.normalises) == ("standing", True)
    assert all(torch.equal(value, raw[name]) for name, value in module.G.state_dict().items())
    assert all(torch.equal(a, b) for a, b in zip(module.evaluated_generator.parameters(), weights, strict=True))
    torch.manual_seed(0)
    standing = found.sample(2000)[0].float()
    torch.manual_seed(0)
    by_batch, _ = batch.sample(2000)
    torch.manual_seed(0)
    running = drawing(trained_a_little(), None, reference).sample(2000)[0].float()
    # nearly what many samples have that are drawn at once
    assert (standing - by_batch.float()).abs().mean() < 0.2 * (standing - running).abs().mean()


def test_it_is_no_matter_by_which_statistics_a_generator_without_batch_norm_goes() -> None:
    module = GAN(*mlps())
    found = drawing(module, preset(batch_norm="standing"), digits())
    assert (found.batch_norm, found.normalises, found.labels) == ("running", False, "none")


def test_every_preset_says_statistics_that_there_are() -> None:
    said = {preset.fields.get("batch_norm", "running") for preset in PRESETS.values()}
    assert said == batch_norm.STATISTICS.keys()


@pytest.mark.usefixtures("place", "own_cache")
def test_the_command_line_follows_the_presets_statistics(trained, monkeypatch):
    reports = {}
    for mode in ("running", "batch", "standing"):
        monkeypatch.setitem(PRESETS, "few", preset(batch_norm=mode))
        reports[mode] = evaluated(trained, "--protocol", "few", "--metrics", "fid")
        assert reports[mode]["protocol"]["batch_norm"] == mode
        assert reports[mode]["departures"] == {}
        assert value(evaluated(trained, "--protocol", "few", "--metrics", "fid")) == value(reports[mode])
    assert len({value(report) for report in reports.values()}) == 3
    assert value(reports["running"]) == value(evaluated(trained, "--metrics", "fid"))


# --- classes ------------------------------------------------------------------------------------------------


class Labelled(MLPGenerator):
    """A generator whose first pixel is its class."""

    num_classes = 4

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        assert y is not None
        x = torch.zeros(len(z), 1, 8, 8)
        x[:, 0, 0, 0] = y / 127.5 - 1
        return x


def of_classes() -> GAN:
    shape = (1, 8, 8)
    return GAN(Labelled(shape, Z_DIM, width=8), MLPDiscriminator(shape, width=8))


def test_classes_come_as_often_as_in_the_data() -> None:
    labels = torch.tensor([0] * 70 + [2] * 29 + [3])
    found = drawing(of_classes(), PRESETS["stylegan2-ada"], digits(labels))
    assert found.labels == "dataset"
    torch.manual_seed(0)
    x, y = found.sample(10_000)
    assert torch.equal(x[:, 0, 0, 0].long(), y)
    shares = y.bincount(minlength=4) / 10_000
    assert shares.tolist() == pytest.approx([0.7, 0, 0.29, 0.01], abs=0.02)


def test_classes_are_uniform_where_a_preset_says_so_or_nothing() -> None:
    labels = torch.tensor([0] * 99 + [3])
    for chosen in (None, PRESETS["studiogan-v0.4"], PRESETS["clean"]):
        found = drawing(of_classes(), chosen, digits(labels))
        assert found.labels == "uniform"
        assert found.sample(1000)[1].bincount(minlength=4).min() > 200
    assert drawing(GAN(*mlps()), PRESETS["stylegan2-ada"], digits(labels)).labels == "none"
