"""The dry run: operations and bytes derived by hand, the run's length and time, and nothing written."""

import importlib
import re
from pathlib import Path

import pytest
import torch
import yaml
from command_line import TINY, fit, place, runs
from toys import trainer

from datamodules.digits import Digits
from experiments import meter
from experiments.cli import main
from experiments.meter import Allocations, Meter
from lightning_modules.callbacks.cost import Operations
from lightning_modules.callbacks.generative_metrics import GenerativeMetrics
from lightning_modules.classifier import Classifier
from lightning_modules.ema import EMASettings
from lightning_modules.gan import GAN
from lightning_modules.losses.penalties import R1, GradientPenalty
from lightning_modules.networks.cnn import CNN
from lightning_modules.networks.mlp import MLPDiscriminator, MLPGenerator

N = 8
G_MADS, D_MADS = 8 * 8 + 8 * 64, 64 * 8 + 8 * 1  # multiply-adds of one sample's forward pass
WEIGHTS = (8 * 8 + 8) + (8 * 64 + 64), (64 * 8 + 8) + (8 + 1)  # parameters of G and D


def metered(module, folder: Path, **settings) -> Meter:
    found = Meter()
    trainer(folder, found, **settings).fit(module, datamodule=Digits(size=8, batch_size=N))
    return found


def gan(**settings) -> GAN:
    G = MLPGenerator((1, 8, 8), z_dim=8, width=8, depth=1, tanh=True)
    return GAN(G, MLPDiscriminator((1, 8, 8), width=8, depth=1), **settings)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(meter, "ENOUGH_SECONDS", 0.0)


# --- operations -----------------------------------------------------------------------------------------------


def test_operations_of_both_players_are_those_derived_by_hand(tmp_path):
    found = metered(gan(), tmp_path)
    # G forward; D forward and its weights' gradients, and the hidden layer's, for reals and fakes
    d = G_MADS + 2 * D_MADS + 2 * D_MADS + 2 * 8
    # G and D forward; backward through all of D to its input, G's weights' gradients and its hidden layer's
    g = G_MADS + D_MADS + D_MADS + G_MADS + 8 * 64
    assert found.flops == {"D": [2 * N * d], "G": [2 * N * g]}
    assert found.cycle == 1


def test_a_lazy_penalty_costs_its_double_backward_in_the_steps_where_it_is_due(tmp_path):
    plain, lazy = metered(gan(), tmp_path), metered(gan(penalties=[R1(every=3)]), tmp_path)
    # D's input gradient; of that gradient those of W1 and W2 and of what lies between; and the loss's own to the input
    r1 = D_MADS + (64 * 8 + 8) + 64 * 8 + 64 * 8
    (usual,) = plain.flops["D"]
    assert lazy.flops["D"] == [usual + 2 * N * r1, usual, usual]
    assert lazy.flops["G"] == plain.flops["G"] * 3


def test_a_cycle_ends_where_critic_and_penalties_meet_again(tmp_path):
    found = metered(gan(n_critic=2, penalties=[GradientPenalty(every=3)]), tmp_path)
    assert found.cycle == 6
    assert (len(found.flops["D"]), len(found.flops["G"])) == (6, 3)
    assert found.timed % 6 == 0
    assert found.flops["D"][0] == found.flops["D"][3] > found.flops["D"][1] == found.flops["D"][5]


def test_operations_agree_with_torchs_own_mode():
    from torch.utils.flop_counter import FlopCounterMode

    net = CNN(width=4)
    x = torch.randn(2, 1, 32, 32)
    with FlopCounterMode(display=False) as theirs:
        net(x).sum().backward()
    with Operations() as ours:
        net(x).sum().backward()
    assert ours.total == theirs.get_total_flops() > 0


def test_one_player_is_named_after_its_network(tmp_path):
    module = Classifier(CNN(width=4))
    found = Meter()
    trainer(tmp_path, found).fit(module, datamodule=Digits(size=32, batch_size=2))
    with Operations() as forward:
        module.network(torch.randn(2, 1, 32, 32))
    assert set(found.flops) == {"network"}
    assert 2 * forward.total < found.flops["network"][0] < 3 * forward.total  # no gradient of the image


def test_the_seconds_of_a_step_are_a_mean_over_all_that_were_timed(tmp_path, monkeypatch):
    module = gan()
    monkeypatch.setattr(meter, "ENOUGH_SECONDS", 3.0)
    monkeypatch.setattr(meter, "now", lambda device: module.images_seen / N)  # a step takes one second
    found = metered(module, tmp_path)
    assert (found.timed, found.seconds) == (4, 1.0)


# --- memory ---------------------------------------------------------------------------------------------------


def test_what_stands_is_weighed_to_the_byte(tmp_path):
    found = metered(gan(ema=EMASettings(decay=0.9)), tmp_path)
    both = 4 * sum(WEIGHTS)
    steps = 4 * 8  # Adam's count for each of eight tensors
    assert found.standing == {
        "weights": both,
        "gradients": both,
        "optimizers": 2 * both + steps,
        "average": 4 * WEIGHTS[0],
    }
    assert found.peak > sum(found.standing.values())


def test_allocations_follow_life_and_death():
    outside = torch.zeros(100)
    with Allocations() as seen:
        seen.see(outside)
        seen.see(outside[:10])
        assert seen.live == 400
        x = torch.zeros(1000)
        y = x + 1
        assert seen.live == 8400
        del x
        y.add_(1).mul_(2)
        view = y.view(10, 100).t()
        assert seen.live == 4400
        del y, view
        assert (seen.live, seen.peak) == (400, 8400)


def test_a_larger_batch_peaks_higher_and_weighs_the_same(tmp_path):
    peaks = []
    for batch in (8, 64):
        found = Meter()
        trainer(tmp_path, found).fit(gan(), datamodule=Digits(size=8, batch_size=batch))
        peaks.append(found.peak)
        assert found.batch == [f"float32 [{batch}, 1, 8, 8]", f"int64 [{batch}]"]
    images = 4 * 64 * (64 - 8)  # bytes of the batch alone
    assert peaks[1] - peaks[0] > 2 * images


# --- the command ----------------------------------------------------------------------------------------------

pytestmark = pytest.mark.usefixtures(place.__name__)


def said(capsys, *words: str) -> dict[str, str]:
    before = sorted(Path().rglob("*"))
    assert main(["fit", *words, "--dry_run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].strip() == "nothing was written"
    assert sorted(Path().rglob("*")) == before
    assert runs() == []
    return dict(line.split(None, 1) for line in lines[:-1])


def test_a_gan_says_what_it_would_cost_and_writes_nothing(capsys):
    told = said(capsys, "tiny.yaml", "--clock.kimg", "8")
    assert told["data"] == "Digits, 1,437 training items of 1x8x8 in [-1, 1], 10 classes"
    assert told["batch"] == "float32 [8, 1, 8, 8], int64 [8]"
    assert told["G"] == "DCGANGenerator, 328 parameters"
    assert re.fullmatch(r"[\d.]+ k a step: D [\d.]+ k; G [\d.]+ k", told["FLOPs"])
    assert re.match(r"1,000 steps: about [\d:]+, ", told["run"])


def test_parameters_of_a_preset_are_known_without_its_data(capsys):
    words = ["conditional/biggan_studiogan_cifar32", "--dry_run", "--data.root", "nowhere"]
    assert main(["fit", *words]) == 2
    told = capsys.readouterr()
    assert told.out.splitlines() == [
        "experiment  conditional/biggan_studiogan_cifar32: GAN",
        "G           BigGANGenerator, 9,416,196 parameters",
        "D           ProjectionDiscriminator, 2,415,170 parameters",
    ]
    assert "cifar-10-batches-py" in told.err


def test_a_network_whose_constructor_reads_numbers_is_known_once_it_is_made(capsys):
    Path("own.py").write_text("""
import torch
from lightning_modules.networks.dcgan import DCGANGenerator

class Own(DCGANGenerator):
    def __init__(self):
        super().__init__(8, 1, z_dim=4, width=[int(width) for width in torch.linspace(1, 2, 2).tolist()][1])
""")
    importlib.invalidate_caches()
    told = said(capsys, "tiny.yaml", "--model.generator", "own.Own")
    assert told["G"].startswith("Own, ")


def test_time_is_steps_times_the_steps_mean(capsys):
    told = said(capsys, "tiny.yaml", "--clock.g_steps", "100000", "--model.n_critic", "2")
    milliseconds = float(told["step"].split()[0])
    steps, time = re.match(r"([\d,]+) steps: about ([\d:]+),", told["run"]).groups()
    seconds = sum(int(part) * 60**i for i, part in enumerate(reversed(time.split(":"))))
    assert steps == "200,000"
    assert seconds == pytest.approx(200 * milliseconds, rel=0.06 / milliseconds)  # milliseconds are told to a tenth
    assert "in 1 of 2 steps" in told["FLOPs"]


def test_a_classifier_says_it_too(capsys):
    told = said(capsys, "classifier/cnn_digits32", "--data.batch_size", "4", "--trainer.accelerator", "cpu")
    assert told["network"].startswith("CNN, 271,018 parameters")
    assert told["run"].startswith("10,778 steps")  # 30 epochs of 1,437 images by four, rounded up


def test_scores_are_set_up_and_not_measured(capsys, monkeypatch):
    def measured(*args):
        raise AssertionError("the dry run evaluates")

    monkeypatch.setattr(GenerativeMetrics, "_evaluate", measured)
    said(capsys, "gan/dcgan_digits", "--data.batch_size", "2", "--trainer.accelerator", "cpu")
    assert main(["fit", "gan/dcgan_digits", "--dry_run", "--evaluation.weights", "none.safetensors"]) == 2
    assert "none.safetensors is absent" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--clock", "null"], "this experiment has no length"),
        (["--resume", "there"], "leave out --resume"),
        (["--config", "multi_gpu", "--trainer.accelerator", "cpu"], "--dry_run measures one device"),
        (["--data.batch_size", "0"], "batch_size"),
        (["--model.generator.size", "16"], "agree"),
        (["--dry-run"], "did you mean --dry_run?"),
    ],
)
def test_a_mistake_costs_one_sentence(words, sentence, capfd):
    assert main(["fit", "tiny.yaml", "--dry_run", *words]) == 2
    told = capfd.readouterr().err
    assert sentence in told
    assert told.count("\n") == 1
    assert runs() == []


def of_a_device(*_):
    raise torch.OutOfMemoryError("CUDA out of memory")


def of_a_cpu(*_):
    torch.empty(1 << 50)


@pytest.mark.parametrize("full", [of_a_device, of_a_cpu])
def test_a_step_that_does_not_fit_ends_in_a_sentence(full, monkeypatch, capsys):
    monkeypatch.setattr(GAN, "g_loss", full)
    assert main(["fit", "tiny.yaml", "--dry_run"]) == 1
    assert "lower data.batch_size" in capsys.readouterr().err
    assert torch.utils._python_dispatch._get_current_dispatch_mode_stack() == []


def test_it_changes_nothing_of_the_run_that_follows():
    first = (fit() / "metrics.jsonl").read_text()
    assert main(["fit", "tiny.yaml", "--dry_run"]) == 0
    second = (fit() / "metrics.jsonl").read_text()
    assert [re.sub(r'"time.*', "", line) for line in first.splitlines()] == [
        re.sub(r'"time.*', "", line) for line in second.splitlines()
    ]
    assert yaml.safe_load(TINY)["clock"]["g_steps"] == len(first.splitlines())
