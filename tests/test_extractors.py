"""Laws of the extractors: what is exported is what is loaded; nothing wrong is loaded; nothing is drawn."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from datamodules.base import ImageSet
from lightning_modules.metrics import extractors
from lightning_modules.metrics.base import Extractor, Features
from lightning_modules.metrics.cache import forget
from lightning_modules.metrics.evaluate import evaluate, protocol_for
from lightning_modules.metrics.export import export_extractor
from lightning_modules.metrics.extractors import (
    SHIPPED,
    ClassifierExtractor,
    Identity,
    extractor_names,
    load_extractor,
)
from lightning_modules.metrics.frechet import FeatureMoments, FrechetDistance
from lightning_modules.metrics.reference import code_of, reference_statistics
from lightning_modules.networks.cnn import CNN


def images(n: int = 6, side: int = 32, channels: int = 1) -> Tensor:
    noise = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, channels, side, side), generator=noise, dtype=torch.uint8)


def trained(width: int = 8) -> CNN:
    torch.manual_seed(1)
    network = CNN(width=width, dim=16)
    for _ in range(3):  # running statistics of their own
        network(torch.randn(16, 1, 32, 32))
    return network.eval()


def export(folder: Path, name: str = "toy", network: CNN | None = None) -> ClassifierExtractor:
    return export_extractor(
        network or trained(), name, images(), torch.zeros(6, dtype=torch.int64), (-1, 1), "toy", "train", [28], folder
    )


# --- the network --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("channels", "side"), [(1, 28), (1, 32), (3, 32), (3, 64)])
def test_cnn_has_the_tap_it_states(channels: int, side: int) -> None:
    network = CNN(channels, num_classes=7, width=4, dim=12)
    x = torch.randn(3, channels, side, side)
    features = network.eval().features(x)
    assert features.shape == (3, network.dim) == (3, 12)
    assert torch.equal(network.head(features), network(x))
    assert network(x).shape == (3, 7)


def test_cnn_gives_every_parameter_a_gradient() -> None:
    network = CNN(width=4)
    network(torch.randn(4, 1, 32, 32)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_cnn_at_its_defaults_fits_a_megabyte_as_fp16() -> None:
    network = CNN()
    assert network.dim <= 64
    assert 2 * sum(value.numel() for value in network.state_dict().values()) < 2**20


# --- export and load ----------------------------------------------------------------------------------------


def test_export_and_load_round_trip(tmp_path: Path) -> None:
    network = trained()
    export(tmp_path, network=network)
    extractor = load_extractor("toy", str(tmp_path / "toy.safetensors"))
    x = images().float() / 127.5 - 1
    with torch.no_grad():
        wanted = network.features(x)
        seen = extractor(images())
        assert (seen.features - wanted).abs().max() < 0.01 * wanted.abs().max()  # the rounding to fp16
        assert torch.equal(seen.logits, extractor.network.head(seen.features))
    assert seen.features.dtype == torch.float32
    assert (extractor.name, extractor.dim, extractor.num_classes) == ("toy", 16, 10)


def test_card_says_what_the_rounded_weights_score(tmp_path: Path) -> None:
    extractor = export(tmp_path)
    right = (extractor(images()).logits.argmax(1) == 0).double().mean().item()
    assert json.loads((tmp_path / "toy.json").read_text())["test_accuracy"] == round(right, 6)


def test_two_exports_are_the_same_bytes(tmp_path: Path) -> None:
    assert export(tmp_path / "a").sha256 == export(tmp_path / "b").sha256


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    before = export(tmp_path).sha256
    with pytest.raises(ValueError, match="toy-v2"):
        export(tmp_path, network=trained(width=4))
    assert load_extractor("toy", str(tmp_path / "toy.safetensors")).sha256 == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["toy.json", "toy.safetensors"]


def test_too_large_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="4 MB at most"):
        export(tmp_path, network=CNN(width=160).eval())
    assert list(tmp_path.iterdir()) == []


def test_weights_without_fp16_form_are_refused(tmp_path: Path) -> None:
    network = trained()
    with torch.no_grad():
        network.classify[1].weight[0, 0] = 1e6
    with pytest.raises(ValueError, match="not finite in fp16"):
        export(tmp_path, network=network)


def test_other_weights_than_the_card_says_are_refused(tmp_path: Path) -> None:
    export(tmp_path)
    path = tmp_path / "toy.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x55")
    with pytest.raises(ValueError, match="its card says"):
        load_extractor("toy", str(path))


def test_absent_card_is_named(tmp_path: Path) -> None:
    export(tmp_path)
    (tmp_path / "toy.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"toy\.json"):
        load_extractor("toy", str(tmp_path / "toy.safetensors"))


def test_scores_are_named_after_the_card(tmp_path: Path) -> None:
    export(tmp_path)
    with pytest.raises(ValueError, match="is the extractor 'toy', not 'digits-cnn'"):
        load_extractor("digits-cnn", str(tmp_path / "toy.safetensors"))


def test_damaged_card_is_named(tmp_path: Path) -> None:
    export(tmp_path)
    (tmp_path / "toy.json").write_text('{"name": "toy"}')
    with pytest.raises(ValueError, match=r"toy\.json is not the card"):
        load_extractor("toy", str(tmp_path / "toy.safetensors"))


def test_loading_draws_nothing_and_trains_nothing(tmp_path: Path) -> None:
    export(tmp_path)
    before = torch.get_rng_state()
    extractor = load_extractor("toy", str(tmp_path / "toy.safetensors")).train()
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(part.training for part in extractor.modules())
    assert not any(p.requires_grad for p in extractor.parameters())


@pytest.mark.parametrize("name", [name for name in extractor_names() if not name.startswith("inception")])
def test_shipped_extractors_load_and_state_their_facts(name: str) -> None:
    extractor = load_extractor(name)
    assert extractor.name == name
    assert extractor.dim <= 64
    assert extractor.card.test_accuracy >= {"digits-cnn": 0.99, "mnist-cnn": 0.993}.get(name, 0.0)
    assert (SHIPPED / f"{name}.safetensors").stat().st_size <= 4 * 2**20
    assert extractor(images(2, extractor.card.size, extractor.card.channels)).features.shape == (2, extractor.dim)


# --- what an extractor reads --------------------------------------------------------------------------------


def test_smaller_images_are_zero_padded_in_the_middle(tmp_path: Path) -> None:
    extractor = export(tmp_path)
    small = images(side=28)
    large = torch.zeros(6, 1, 32, 32, dtype=torch.uint8)
    large[:, :, 2:30, 2:30] = small
    assert torch.equal(extractor(small).features, extractor(large).features)
    assert extractor.fit((1, 28, 28)) == "zero-padded from 28 to 32"


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (images(channels=3), "reads gray 32x32 or gray 28x28 images, these are RGB 32x32"),
        (images(side=30), "these are gray 30x30"),
        (images().float(), "reads uint8 images, these are torch.float32"),
        (torch.zeros(5, 2), "these are points of dimension 2"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(tmp_path: Path, image: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        export(tmp_path)(image)
    assert "\n" not in str(error.value)


def test_identity_is_the_samples() -> None:
    seen = Identity((1, 2, 3), num_classes=2)(torch.arange(12, dtype=torch.uint8).reshape(2, 1, 2, 3))
    assert seen.features.dtype == torch.float64
    assert seen.features.tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
    assert seen.logits.tolist() == [[0, 1], [6, 7]]


def test_unknown_name_gets_the_nearest_and_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(tmp_path, "digits-cnn")
    monkeypatch.setattr(extractors, "SHIPPED", tmp_path)
    with pytest.raises(ValueError, match=r"'digit-cnn', the nearest is 'digits-cnn'.*digits-cnn, inception"):
        load_extractor("digit-cnn")


class Halves(Extractor):
    """Means of the upper and of the lower half."""

    name, dim = "halves", 2

    def fit(self, shape: Sequence[int]) -> str:
        return "none"

    def extract(self, image: Tensor) -> Features:
        return Features(torch.stack([half.float().mean((1, 2, 3)) for half in image.chunk(2, 2)], 1), None)


def test_any_class_serves_by_its_class_path() -> None:
    extractor = load_extractor(f"{__name__}.{Halves.__name__}")
    image = torch.cat([torch.zeros(3, 1, 4, 8), torch.full((3, 1, 4, 8), 8)], 2).byte()
    assert extractor(image).features.tolist() == [[0.0, 8.0]] * 3
    data = ImageSet("stripes", "train", image, torch.zeros(3))
    scores = evaluate(lambda n: image[:1].expand(n, -1, -1, -1), data, protocol_for(data, extractor, 4), extractor)
    assert scores == {"fid@halves": 0.0}


def test_what_ones_own_extractor_saw_is_seen_again_by_the_next_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path))
    extractor, image = Halves(), torch.randint(256, (8, 1, 4, 8), dtype=torch.uint8)
    data = ImageSet("stripes", "train", image, torch.zeros(8))

    def fid() -> float:
        forget()
        return evaluate(lambda n: image[:n], data, protocol_for(data, extractor, 8), extractor)["fid@halves"]

    before, see = fid(), Halves.extract
    monkeypatch.setattr(Halves, "extract", lambda self, x: Features(see(self, x).features + 100, None))  # edited
    assert fid() == pytest.approx(before, abs=1e-6)


def test_what_a_classifier_saw_under_another_card_is_not_reused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "cache"))
    export(tmp_path)
    reference = ImageSet("noise", "train", images(), torch.zeros(6))

    def moments() -> Tensor:
        forget()
        extractor = load_extractor("toy", str(tmp_path / "toy.safetensors"))
        given = protocol_for(reference, extractor, 4, [FrechetDistance()])
        return reference_statistics(reference, given, extractor, [FeatureMoments()])["moments"]["mean"]

    first = moments()
    card = tmp_path / "toy.json"
    card.write_text(card.read_text().replace("-1", "0"))  # its value_range
    assert not torch.allclose(moments(), first)


def test_what_shipped_extractors_saw_is_known_by_name_and_weights() -> None:
    for name in ("mnist-cnn", "stacked-mnist-cnn"):
        extractor = load_extractor(name)
        assert (extractor.facts, code_of([extractor])) == ({}, {})


class Demanding(Halves):
    """Made with more than a path."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__()


@pytest.mark.parametrize(
    ("class_path", "said"),
    [
        ("nowhere.Halves", "no module for the extractor nowhere.Halves"),
        (f"{__name__}.Hlves", "is no class of an Extractor"),
        ("torch.nn.Linear", "is no class of an Extractor"),
        (f"{__name__}.Demanding", "Demanding is made without arguments, or with the path of its weights alone"),
        ("broken_extractor.Any", "broken_extractor.py, line 1: "),
    ],
)
def test_a_class_path_that_leads_to_no_extractor_costs_one_sentence(
    class_path: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "broken_extractor.py").write_text("def f(:\n")
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        load_extractor(class_path)
    assert "\n" not in str(error.value)
