"""Laws of the evaluation: keyed fakes, one reference, an honest cache, and a callback that changes nothing."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor

from datamodules.base import ImageSet
from datamodules.digits import Digits
from datamodules.functional.keys import key
from lightning_modules.callbacks.generative_metrics import GenerativeMetrics, undisturbed
from lightning_modules.classifier import Classifier
from lightning_modules.ema import EMASettings
from lightning_modules.gan import GAN
from lightning_modules.metrics import cache, extractors
from lightning_modules.metrics import evaluate as evaluation
from lightning_modules.metrics.base import Features
from lightning_modules.metrics.evaluate import evaluate, fakes, floor, protocol_for, reference_moments
from lightning_modules.metrics.export import export_extractor
from lightning_modules.metrics.extractors import Identity
from lightning_modules.metrics.frechet import frechet_distance, moments
from lightning_modules.metrics.protocol import Protocol
from lightning_modules.networks.cnn import CNN
from lightning_modules.networks.dcgan import DCGANDiscriminator, DCGANGenerator

# Lightning's own: of torch's new tree specs, and of the averaged weights, which never train.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Found .* in eval mode at the start of training"),
]
SHAPE = (1, 2, 3)


class Counting(Identity):
    """Counts the images it looks at."""

    seen = 0

    def extract(self, image: Tensor) -> Features:
        self.seen += len(image)
        return super().extract(image)


def noise(n: int) -> Tensor:
    return torch.randint(0, 200, (n, *SHAPE)).byte()


def pictures(n: int, split: str = "train", seed: int = 1) -> ImageSet:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return ImageSet("noise", split, noise(n), torch.zeros(n, dtype=torch.int64))


def flat(image: Tensor) -> Tensor:
    return image.flatten(1).double()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "cache"))
    cache.forget()
    yield tmp_path / "cache"
    cache.forget()


# --- fakes --------------------------------------------------------------------------------------------------


def protocol(count: int = 337, **changes: Any) -> Protocol:
    return replace(protocol_for(pictures(101), Identity(SHAPE, 6), fakes=count), **changes)


def test_a_block_is_drawn_whole_under_its_key() -> None:
    blocks = list(fakes(noise, protocol(337), SHAPE))
    assert [len(image) for image, _ in blocks] == [100, 100, 100, 37]
    assert torch.cat([index for _, index in blocks]).tolist() == list(range(337))
    for number, (image, _) in enumerate(blocks):
        torch.manual_seed(key(0, number))
        assert torch.equal(image, noise(100)[: len(image)])


def test_more_fakes_begin_with_the_same_ones_and_seeds_differ() -> None:
    some, more = (torch.cat([image for image, _ in fakes(noise, protocol(n), SHAPE)]) for n in (150, 337))
    assert torch.equal(some, more[:150])
    other = torch.cat([image for image, _ in fakes(noise, protocol(150, seed=1), SHAPE)])
    assert not torch.equal(some, other)
    assert not torch.equal(more[:100], more[100:200])


@pytest.mark.parametrize("world", [2, 3, 5])
def test_the_fakes_of_all_ranks_are_those_of_one(world: int, monkeypatch: pytest.MonkeyPatch) -> None:
    one = {int(i): x for image, index in fakes(noise, protocol(337), SHAPE) for i, x in zip(index, image, strict=True)}
    together: dict[int, Tensor] = {}
    for rank in range(world):
        monkeypatch.setattr(evaluation, "rank_and_world", lambda rank=rank: (rank, world))
        for image, index in fakes(noise, protocol(337), SHAPE):
            assert not together.keys() & set(index.tolist())  # none is counted twice
            together |= dict(zip(index.tolist(), image, strict=True))
    assert together.keys() == one.keys()
    assert all(torch.equal(together[i], one[i]) for i in one)


def test_evaluation_leaves_the_random_stream_and_does_not_heed_it() -> None:
    extractor, reference = Identity(SHAPE, 6), pictures(101)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = evaluate(noise, reference, protocol(), extractor)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(4)
    assert evaluate(noise, reference, protocol(), extractor) == first


# --- scores -------------------------------------------------------------------------------------------------


def test_fid_is_that_of_all_fakes_and_the_whole_reference() -> None:
    reference = pictures(101)
    drawn = torch.cat([image for image, _ in fakes(noise, protocol(), SHAPE)])
    wanted = frechet_distance(moments(flat(reference.images)), moments(flat(drawn))).item()
    scores = evaluate(noise, reference, protocol(), Identity(SHAPE, 6))
    assert abs(scores["fid@identity"] / wanted - 1) < 1e-9
    assert scores.keys() == {f"{m}@identity" for m in ("fid", "is", "is_std", "confident", "class_min", "class_max")}


def test_an_extractor_without_logits_gives_fid_alone() -> None:
    plain = protocol_for(pictures(101), Identity(SHAPE), fakes=200)
    assert plain.is_splits is None
    assert evaluate(noise, pictures(101), plain, Identity(SHAPE)).keys() == {"fid@identity"}


def test_floor_is_the_other_split_in_the_place_of_fakes() -> None:
    reference, real, extractor = pictures(300), pictures(120, "test", 2), Identity(SHAPE, 6)
    for count in (50, 120, 500):
        given = protocol_for(reference, extractor, fakes=count, real=real)
        assert given.floor_count == min(count, 120)
        first = flat(real.images[:count])
        wanted = frechet_distance(moments(flat(reference.images)), moments(first)).item()
        assert abs(floor(real, reference, given, extractor)["fid@identity"] / wanted - 1) < 1e-9


def test_part_of_a_reference_and_its_mirror_images_count_where_the_protocol_says() -> None:
    reference, extractor = pictures(130), Identity(SHAPE)
    given = replace(protocol_for(reference, extractor, fakes=10), reference_count=115, reference_mirror=True)
    images = reference.images[:115]
    wanted = moments(flat(torch.cat([images, images.flip(-1)])))
    found = reference_moments(reference, given, extractor)
    assert (found.mean - wanted.mean).abs().max() < 1e-9
    assert (found.cov - wanted.cov).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("generator", "message"),
    [(lambda n: torch.zeros(n, *SHAPE), "torch.float32 samples"), (lambda n: noise(n)[:, :, :1], r"\(1, 1, 3\)")],
)
def test_fakes_of_another_kind_are_refused(generator: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(generator, pictures(101), protocol(), Identity(SHAPE, 6))


def test_a_reference_that_is_not_the_protocols_is_refused() -> None:
    with pytest.raises(ValueError, match="build it with protocol_for"):
        evaluate(noise, pictures(101, seed=9), protocol(), Identity(SHAPE, 6))


# --- cache --------------------------------------------------------------------------------------------------


def look(extractor: Counting, reference: ImageSet | None = None) -> Tensor:
    reference = reference or pictures(101)
    return reference_moments(reference, protocol_for(reference, extractor, fakes=10), extractor).cov


def test_reference_is_looked_at_once_also_by_the_next_process(own_cache: Path) -> None:
    extractor = Counting(SHAPE, 6)
    first = look(extractor)
    assert torch.equal(look(extractor), first)
    cache.forget()
    assert torch.equal(look(extractor), first)
    assert extractor.seen == 101
    look(extractor, pictures(101, seed=2))  # other data
    assert extractor.seen == 202
    assert len(list(own_cache.iterdir())) == 2


@pytest.mark.parametrize("damage", ["cut", "byte", "empty"])
def test_a_damaged_file_is_computed_again(own_cache: Path, damage: str) -> None:
    extractor = Counting(SHAPE, 6)
    first = look(extractor)
    (path,) = own_cache.iterdir()
    content = path.read_bytes()
    path.write_bytes({"cut": content[:-9], "byte": content[:-9] + b"\x01" + content[-8:], "empty": b""}[damage])
    cache.forget()
    assert torch.equal(look(extractor), first)
    cache.forget()
    assert torch.equal(look(extractor), first)  # from the file, which is whole again
    assert extractor.seen == 202


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="set ATELIER_CACHE"):
        assert look(Counting(SHAPE, 6)).shape == (6, 6)


def test_floor_is_cached() -> None:
    reference, real, extractor = pictures(101), pictures(60, "test"), Counting(SHAPE, 6)
    given = protocol_for(reference, extractor, fakes=50, real=real)
    first = floor(real, reference, given, extractor)
    cache.forget()
    assert floor(real, reference, given, extractor) == first
    assert extractor.seen == 101 + 50


# --- callback -----------------------------------------------------------------------------------------------


@pytest.fixture
def toy_cnn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny untrained extractor under the name ``toy-cnn``."""
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
        enable_checkpointing=False,
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
    callback = metrics()
    with_it, without = fitted(tmp_path, callback), fitted(tmp_path)
    assert len(callback.history) == 3
    assert with_it.state_dict().keys() == without.state_dict().keys()  # no metric among the weights
    for name, value in without.state_dict().items():
        assert torch.equal(with_it.state_dict()[name], value), name


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
    assert (callback.protocol.labels, callback.protocol.weights) == ("none", "ema")
    assert (callback.protocol.floor_split, callback.protocol.floor_count) == ("test", 150)


@pytest.mark.usefixtures("toy_cnn")
def test_scores_reach_loggers_and_the_monitor(tmp_path: Path) -> None:
    callback = metrics()
    logger = CSVLogger(tmp_path / "log", name="", version="")
    run = trainer(tmp_path, callback, max_steps=4, logger=logger, log_every_n_steps=1)
    run.fit(gan(), datamodule=Digits(size=8, batch_size=16))
    assert callback.monitor == "val/fid@toy-cnn"
    wanted = callback.history[-1]["metrics"]["fid@toy-cnn"]
    assert abs(float(run.callback_metrics[callback.monitor]) / wanted - 1) < 1e-6
    header, *rows = (tmp_path / "log" / "metrics.csv").read_text().splitlines()
    column = header.split(",").index(callback.monitor)
    written = [float(row.split(",")[column]) for row in rows if row.split(",")[column]]
    assert written == pytest.approx([row["metrics"]["fid@toy-cnn"] for row in callback.history])


@pytest.mark.usefixtures("toy_cnn")
def test_validate_and_test_score_the_same(tmp_path: Path) -> None:
    callback, module = metrics(floor=False), gan()
    run = trainer(tmp_path, callback)
    run.validate(module, datamodule=Digits(size=8), verbose=False)
    validated = dict(run.callback_metrics)
    run.test(module, datamodule=Digits(size=8), verbose=False)
    assert validated["val/fid@toy-cnn"] == run.callback_metrics["test/fid@toy-cnn"]
    assert callback.history[0]["metrics"] == callback.history[1]["metrics"]
    assert callback.floor_value is None


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
@pytest.mark.parametrize(
    ("callback", "data", "error", "message"),
    [
        ({"extractor": "toi-cnn"}, Digits(size=8), ValueError, "the nearest is 'toy-cnn'"),
        ({}, Digits(size=16), ValueError, "reads gray 8x8 images, these are gray 16x16"),
        ({"weights": "absent.safetensors"}, Digits(size=8), FileNotFoundError, "absent.safetensors is absent"),
        ({"extractor": "inception", "weights": "absent.pth"}, Digits(size=8), FileNotFoundError, "absent.pth"),
        ({"fakes": 1}, Digits(size=8), ValueError, "evaluation.fakes"),
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
        with undisturbed(net):
            net.eval()
            net[1].train()
            raise KeyError

    with pytest.raises(KeyError):
        upset()
    assert [part.training for part in net.modules()] == [True, True, False]
