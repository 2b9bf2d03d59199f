"""Laws of the evaluation callback: it looks before, during and after training, and changes nothing."""

import json
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from jsonargparse import ArgumentParser
from lightning.pytorch.loggers import CSVLogger
from PIL import Image

from datamodules.digits import Digits
from datamodules.mixtures import Ring
from lightning_modules.callbacks.checkpoints import Checkpoints
from lightning_modules.callbacks.collapse import CollapseWatch
from lightning_modules.callbacks.generative_metrics import GenerativeMetrics
from lightning_modules.callbacks.record import RunRecord
from lightning_modules.classifier import Classifier
from lightning_modules.ema import EMASettings
from lightning_modules.evaluating import evaluating
from lightning_modules.gan import GAN
from lightning_modules.metrics import cache, extractors
from lightning_modules.metrics.evaluate import evaluate
from lightning_modules.metrics.export import export_extractor
from lightning_modules.metrics.frechet import FrechetDistance
from lightning_modules.metrics.inception_score import InceptionScore
from lightning_modules.metrics.kid import KID
from lightning_modules.metrics.neighbours import NearestNeighbours
from lightning_modules.metrics.prdc import PRDC
from lightning_modules.metrics.protocol import Protocol
from lightning_modules.networks.cnn import CNN
from lightning_modules.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from lightning_modules.networks.mlp import MLPDiscriminator, MLPGenerator

# Lightning's own: of torch's new tree specs, and of the averaged weights, which never train.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Found .* in eval mode at the start of training"),
]


@pytest.fixture
def toy_cnn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny untrained extractor under the name ``toy-cnn``, and a cache of its own."""
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "cache"))
    cache.forget()
    torch.manual_seed(0)
    test = Digits(size=8).reference("test")
    network = CNN(width=2, dim=8).eval()
    export_extractor(network, "toy-cnn", test.images, test.labels, (-1, 1), "digits", "none", folder=tmp_path / "toy")
    monkeypatch.setattr(extractors, "SHIPPED", tmp_path / "toy")


def gan() -> GAN:
    torch.manual_seed(0)
    G, D = DCGANGenerator(8, 1, z_dim=4, width=4), DCGANDiscriminator(8, 1, width=4)
    return GAN(G, D, ema=EMASettings(decay=0.5))


def trainer(folder: Path, *callbacks: L.Callback, **options: Any) -> L.Trainer:
    return L.Trainer(
        accelerator="cpu",
        callbacks=list(callbacks),
        default_root_dir=folder,
        logger=options.pop("logger", False),
        check_val_every_n_epoch=None,
        val_check_interval=2,
        num_sanity_val_steps=2,
        enable_checkpointing=options.pop("checkpoints", False),
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        **options,
    )


def metrics(**changes: Any) -> GenerativeMetrics:
    return GenerativeMetrics(**{"extractor": "toy-cnn", "fakes": 150, **changes})


def fitted(folder: Path, *callbacks: L.Callback, **options: Any) -> GAN:
    module = gan()
    trainer(folder, *callbacks, max_steps=4, **options).fit(module, datamodule=Digits(size=8, batch_size=16))
    return module


@pytest.mark.usefixtures("toy_cnn")
def test_training_with_and_without_evaluation_gives_identical_weights(tmp_path: Path) -> None:
    callback = metrics(metrics=[FrechetDistance(), KID(5, 60), PRDC(), NearestNeighbours(shown=4, k=3)])
    with_it, without = fitted(tmp_path, callback), fitted(tmp_path)
    assert len(callback.history) == 3
    assert len(callback.history[-1]["metrics"]) == 1 + 2 + 4 + 4
    assert with_it.state_dict().keys() == without.state_dict().keys()  # no metric among the weights
    for name, value in without.state_dict().items():
        assert torch.equal(with_it.state_dict()[name], value), name


@pytest.mark.usefixtures("toy_cnn")
def test_pictures_of_the_metrics_are_written_beside_the_samples(tmp_path: Path) -> None:
    fitted(tmp_path, metrics(metrics=[NearestNeighbours(shown=4, k=3)]))
    written = sorted((tmp_path / "samples").iterdir())
    assert [file.name for file in written] == [f"nn_p05-{seen:09d}.png" for seen in (0, 32, 64)]
    with Image.open(written[0]) as sheet:
        assert sheet.size == (2 + 4 * (8 + 2), 2 + 4 * (8 + 2))


def test_points_are_scored_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "cache"))
    cache.forget()
    callback = GenerativeMetrics("identity", metrics=[FrechetDistance(), PRDC()], fakes=200)
    module = GAN(MLPGenerator(width=8), MLPDiscriminator(width=8))
    trainer(tmp_path, callback, max_steps=4).fit(module, datamodule=Ring(points_per_mode=20))
    assert callback.floor_value is not None
    for row in callback.history:
        assert row["metrics"]["fid@identity"] > callback.floor_value["fid@identity"]
    assert callback.protocol is not None
    assert (callback.protocol.extractor, callback.protocol.resolution) == ("identity", "2")


def test_metrics_come_from_yaml() -> None:
    text = """
    evaluation:
      extractor: identity
      metrics:
        - class_path: lightning_modules.metrics.kid.KID
          init_args: {subsets: 7, subset_size: 20}
        - PRDC
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(GenerativeMetrics, "evaluation")
    callback = parser.instantiate(parser.parse_string(text)).evaluation
    assert [metric.fields for metric in callback.metrics] == [
        {"kid_subsets": 7, "kid_subset_size": 20, "kid_seed": 2020},
        {"neighbours": 3, "coverage_neighbours": 5},
    ]


@pytest.mark.usefixtures("toy_cnn")
def test_history_begins_before_training_and_is_what_evaluate_gives(tmp_path: Path) -> None:
    callback = metrics()
    module = fitted(tmp_path, callback)
    assert [(row["d_step"], row["g_step"], row["kimg"]) for row in callback.history] == [
        (0, 0, 0.0),
        (2, 2, 0.032),
        (4, 4, 0.064),
    ]
    data = Digits(size=8)
    assert callback.protocol is not None
    assert callback.extractor is not None
    again = evaluate(module.sample, data.reference("train"), callback.protocol, callback.extractor)
    assert callback.history[-1]["metrics"] == again
    assert callback.history[0]["metrics"] != again
    assert callback.floor_value is not None
    assert callback.floor_value["fid@toy-cnn"] < again["fid@toy-cnn"]
    assert callback.floor_value["fid@toy-cnn"] > 0
    assert (callback.protocol.labels, callback.protocol.weights) == ("none", "ema")
    assert (callback.protocol.floor_split, callback.protocol.floor_count) == ("test", 150)


@pytest.mark.usefixtures("toy_cnn")
def test_scores_reach_loggers_and_the_monitor(tmp_path: Path) -> None:
    callback = metrics()
    logger = CSVLogger(tmp_path / "log", name="", version="")
    run = trainer(tmp_path, callback, max_steps=4, logger=logger, log_every_n_steps=1)
    run.fit(gan(), datamodule=Digits(size=8, batch_size=16))
    wanted = callback.history[-1]["metrics"]["fid@toy-cnn"]
    assert abs(float(run.callback_metrics["val/fid@toy-cnn"]) / wanted - 1) < 1e-6
    header, *rows = (tmp_path / "log" / "metrics.csv").read_text().splitlines()
    column = header.split(",").index("val/fid@toy-cnn")
    written = [float(row.split(",")[column]) for row in rows if row.split(",")[column]]
    assert written == pytest.approx([row["metrics"]["fid@toy-cnn"] for row in callback.history])


@pytest.mark.usefixtures("toy_cnn")
def test_validate_and_test_score_the_same(tmp_path: Path) -> None:
    callback, module = metrics(floor=False, split="test"), gan()
    run = trainer(tmp_path, callback)
    run.validate(module, datamodule=Digits(size=8), verbose=False)
    validated = dict(run.callback_metrics)
    run.test(module, datamodule=Digits(size=8), verbose=False)
    assert validated["val/fid@toy-cnn"] == run.callback_metrics["test/fid@toy-cnn"]
    assert callback.history[0]["metrics"] == callback.history[1]["metrics"]
    assert callback.floor_value is None
    assert callback.protocol is not None
    assert (callback.protocol.reference_split, callback.protocol.reference_count) == ("test", 360)


@pytest.mark.parametrize(("split", "other", "count"), [("train", "test", 360), ("test", "train", 400)])
@pytest.mark.usefixtures("toy_cnn")
def test_floor_is_of_the_split_that_is_not_the_reference(tmp_path: Path, split: str, other: str, count: int) -> None:
    callback = metrics(split=split, fakes=400)
    trainer(tmp_path, callback).validate(gan(), datamodule=Digits(size=8), verbose=False)
    assert callback.protocol is not None
    assert callback.floor_value is not None
    assert (callback.protocol.floor_split, callback.protocol.floor_count) == (other, count)
    assert callback.floor_value["fid@toy-cnn"] > 0


@pytest.mark.usefixtures("toy_cnn")
def test_state_is_plain_and_a_resumed_run_goes_on_with_its_history(tmp_path: Path) -> None:
    callback = metrics()
    fitted(tmp_path, callback)
    torch.save(callback.state_dict(), tmp_path / "state.pt")
    other = metrics()
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert other.history == callback.history
    assert other.state_dict()["seconds"] >= callback.history[-1]["seconds"]
    assert Protocol(**callback.state_dict()["protocol"]) == callback.protocol


@pytest.mark.usefixtures("toy_cnn")
def test_a_resumed_run_keeps_apart_what_is_measured_otherwise(tmp_path: Path) -> None:
    first = [metrics(), Checkpoints(None, "val/fid@toy-cnn"), RunRecord()]
    fitted(tmp_path, *first, checkpoints=True)
    history = first[0].history

    def resumed(steps: int, *callbacks: L.Callback) -> dict[str, Any]:
        run = trainer(tmp_path, *callbacks, max_steps=steps, checkpoints=True)
        last = tmp_path / "checkpoints" / "last.ckpt"
        run.fit(gan(), datamodule=Digits(size=8, batch_size=16), ckpt_path=last, weights_only=False)
        (block,) = json.loads((tmp_path / "record.json").read_text())["scores"]
        return block

    more = metrics(metrics=[FrechetDistance(), KID(subset_size=50)])  # FID is measured as before, KID was not, IS was
    block = resumed(6, more, Checkpoints(None, "val/fid@toy-cnn"), RunRecord())
    for name, times in {"fid": 4, "kid": 1, "is": 0}.items():
        assert sum(f"{name}@toy-cnn" in row["metrics"] for row in block["history"]) == times
    assert block["earlier"][0]["history"][0] == history[0]
    fewer, keeper = metrics(fakes=100), Checkpoints(None, "val/fid@toy-cnn")
    block = resumed(8, fewer, keeper, RunRecord())
    assert [row["d_step"] for row in block["history"]] == [8]
    assert [part["protocol"]["fakes"] for part in block["earlier"]] == [150, 150]
    assert block["earlier"][0]["history"] == history
    assert (keeper.best, keeper.best_step) == (pytest.approx(block["last"]["metrics"]["fid@toy-cnn"]), 8)
    assert block["best"]["d_step"] == 8


@pytest.mark.usefixtures("toy_cnn")
@pytest.mark.parametrize(("fakes", "like"), [(100, False), (150, True)])
def test_the_watch_compares_no_score_with_one_that_was_measured_otherwise(
    tmp_path: Path, fakes: int, like: bool
) -> None:
    fitted(tmp_path, metrics(), CollapseWatch(), Checkpoints(), checkpoints=True)
    last, name = tmp_path / "checkpoints" / "last.ckpt", "val/fid@toy-cnn"
    before = torch.load(last, weights_only=True)
    before["callbacks"]["CollapseWatch"]["best"][name] = 1e-6  # what no run reaches
    torch.save(before, last)
    watch = CollapseWatch()
    run = trainer(tmp_path, metrics(fakes=fakes), watch, Checkpoints(), max_steps=6, checkpoints=True)
    run.fit(gan(), datamodule=Digits(size=8, batch_size=16), ckpt_path=last, weights_only=False)
    assert (watch.best[name] == 1e-6) == like
    assert (watch.best_step[name] == 6) != like


@pytest.mark.usefixtures("toy_cnn")
@pytest.mark.parametrize(
    ("callback", "data", "error", "message"),
    [
        ({"extractor": "toi-cnn"}, Digits(size=8), ValueError, "the nearest is 'toy-cnn'"),
        ({}, Digits(size=16), ValueError, "reads gray 8x8 images, these are gray 16x16"),
        ({"weights": "absent.safetensors"}, Digits(size=8), FileNotFoundError, "absent.safetensors is absent"),
        ({"extractor": "inception", "weights": "absent.pth"}, Digits(size=8), FileNotFoundError, "absent.pth"),
        ({"fakes": 1}, Digits(size=8), ValueError, "evaluation.fakes"),
        ({"metrics": [KID()]}, Digits(size=8), ValueError, "KID's subset_size needs at least 1000 images"),
        ({"metrics": [InceptionScore()], "extractor": "identity"}, Digits(size=8), ValueError, "needs logits"),
    ],
)
def test_what_is_wrong_is_said_before_training_starts(
    tmp_path: Path, callback: dict[str, Any], data: Digits, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        trainer(tmp_path, metrics(**callback), max_steps=1).fit(gan(), datamodule=data)


@pytest.mark.usefixtures("toy_cnn")
def test_a_family_that_generates_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Classifier generates nothing"):
        trainer(tmp_path, metrics(), max_steps=1).fit(Classifier(CNN(width=2)), datamodule=Digits(size=8))


def test_modes_are_restored_after_an_exception() -> None:
    net = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Dropout()).train()
    net[1].eval()

    def upset() -> None:
        with evaluating(net):
            assert not net[0].training
            raise KeyError

    with pytest.raises(KeyError):
        upset()
    assert [part.training for part in net.modules()] == [True, True, False]
