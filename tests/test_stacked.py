"""Laws of stacked extractors and of coverage by classes: known triples of real digits give the modes they spell."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from datamodules.base import ImageSet
from datamodules.digits import Digits
from lightning_modules.metrics import cache
from lightning_modules.metrics.base import Extractor
from lightning_modules.metrics.class_coverage import ClassCoverage
from lightning_modules.metrics.class_share import ClassShare
from lightning_modules.metrics.evaluate import evaluate, protocol_for
from lightning_modules.metrics.extractors import Identity, load_extractor
from lightning_modules.metrics.inception_score import InceptionScore
from lightning_modules.metrics.stacked import Stacked

NAME = "stacked-digits-cnn"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "cache"))
    cache.forget()
    yield
    cache.forget()


@pytest.fixture(scope="module")
def digits() -> ImageSet:
    return Digits(size=32).reference("test")


@pytest.fixture(scope="module")
def stacked() -> Extractor:
    return load_extractor(NAME)


def stack(digits: ImageSet, triples: Tensor, seed: int = 0) -> Tensor:
    """Real digits of these classes [n, 3] as the channels of uint8 [n, 3, 32, 32]."""
    noise = torch.Generator().manual_seed(seed)
    pools = [digits.images[digits.labels == label] for label in range(10)]
    chosen = [pools[i][torch.randint(len(pools[i]), (1,), generator=noise)] for i in triples.flatten().tolist()]
    return torch.cat(chosen).view(len(triples), 3, 32, 32)


def pictures(digits: ImageSet, n: int = 20) -> ImageSet:
    triples = torch.randint(10, (n, 3), generator=torch.Generator().manual_seed(1))
    return ImageSet("stacks", "train", stack(digits, triples), torch.zeros(n, dtype=torch.int64))


def coverage(digits: ImageSet, extractor: Extractor, samples: Tensor) -> dict[str, float]:
    """Of a generator that emits ``samples`` again and again."""
    reference, metrics = pictures(digits), [ClassCoverage()]
    protocol = protocol_for(reference, extractor, 2 * len(samples), metrics)
    assert (protocol.extractor, protocol.extractor_sha256) == (NAME, load_extractor("digits-cnn").sha256)
    assert (protocol.resolution, protocol.resize) == ("3x32x32", "none")
    assert len(samples) == protocol.block
    return evaluate(lambda n: samples[:n], reference, protocol, extractor, metrics)


def test_given_triples_of_real_digits_are_the_modes(digits: ImageSet, stacked: Extractor) -> None:
    triples = torch.tensor([[1, 2, 3]] * 50 + [[3, 2, 1]] * 25 + [[0, 9, 9]] * 25)  # the order of channels counts
    found = coverage(digits, stacked, stack(digits, triples))
    entropy = 1.5 * math.log(2)
    assert found.keys() == {f"{name}@{NAME}" for name in ("modes", "reverse_kl", "entropy", "jsd")}
    assert found[f"modes@{NAME}"] == 3
    assert found[f"entropy@{NAME}"] == pytest.approx(entropy, rel=1e-12)
    assert found[f"reverse_kl@{NAME}"] == pytest.approx(math.log(1000) - entropy, rel=1e-12)


def test_a_collapsed_generator_has_one_mode(digits: ImageSet, stacked: Extractor) -> None:
    found = coverage(digits, stacked, stack(digits, torch.tensor([[7, 0, 4]] * 100)))
    assert (found[f"modes@{NAME}"], found[f"entropy@{NAME}"]) == (1, 0)
    assert found[f"reverse_kl@{NAME}"] == pytest.approx(math.log(1000))


def test_a_hundred_triples_are_a_hundred_modes(digits: ImageSet, stacked: Extractor) -> None:
    triples = torch.randperm(1000, generator=torch.Generator().manual_seed(2))[:100]
    samples = stack(digits, torch.stack([triples % 10, triples // 10 % 10, triples // 100], 1))
    assert coverage(digits, stacked, samples)[f"modes@{NAME}"] == 100
    assert torch.equal(stacked(samples).logits.argmax(1), triples)  # numbered as the docstring says


def test_channels_are_looked_at_one_by_one(digits: ImageSet, stacked: Extractor) -> None:
    image, inner = pictures(digits, 6).images, load_extractor("digits-cnn")
    seen, looks = stacked(image), [inner(image[:, i : i + 1]) for i in range(3)]
    assert (stacked.dim, stacked.num_classes, stacked.own_classes) == (192, 1000, True)
    assert torch.allclose(seen.features, torch.cat([look.features for look in looks], 1), atol=1e-5)
    p = [look.logits.double().softmax(1) for look in looks]
    triple = torch.einsum("na,nb,nc->ncba", *p).flatten(1)  # independent looks
    assert torch.allclose(seen.logits.softmax(1), triple, atol=1e-6)


def test_all_metrics_of_classes_read_the_triples(digits: ImageSet, stacked: Extractor) -> None:
    reference, metrics = pictures(digits), [InceptionScore(splits=1), ClassShare()]
    samples = stack(digits, torch.tensor([[5, 5, 5], [5, 5, 6]] * 50))
    protocol = protocol_for(reference, stacked, 100, metrics)
    found = evaluate(lambda n: samples[:n], reference, protocol, stacked, metrics)
    assert found[f"class_max@{NAME}"] == 0.5
    assert found[f"is@{NAME}"] == pytest.approx(2, rel=0.02)  # two triples, each nearly certain


def test_classes_of_single_images_are_covered_too(digits: ImageSet) -> None:
    extractor, metrics = load_extractor("digits-cnn"), [ClassCoverage()]
    protocol = protocol_for(digits, extractor, 100, metrics)
    fours = digits.images[digits.labels == 4][:10].repeat(10, 1, 1, 1)
    assert evaluate(lambda n: fours[:n], digits, protocol, extractor, metrics)["modes@digits-cnn"] == 1
    assert evaluate(lambda n: digits.images[:n], digits, protocol, extractor, metrics)["modes@digits-cnn"] == 10


def test_smaller_images_are_padded_channel_by_channel() -> None:
    extractor = load_extractor("stacked-mnist-cnn")
    assert extractor.fit((3, 28, 28)) == "zero-padded from 28 to 32"
    image = torch.randint(0, 256, (2, 3, 28, 28), dtype=torch.uint8)
    assert extractor(image).logits.shape == (2, 1000)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: load_extractor(NAME).fit((1, 32, 32)), "looks at each of 3 channels, these are gray 32x32"),
        (lambda: load_extractor(NAME).fit((2,)), "these are points of dimension 2"),
        (lambda: load_extractor(NAME).fit((3, 30, 30)), "digits-cnn reads gray 32x32 images, these are gray 30x30"),
        (lambda: load_extractor("stacked-digit-cnn"), "the nearest is 'digits-cnn'"),
        (lambda: load_extractor(f"stacked-{NAME}"), "at most 10,000 triples"),
        (lambda: Stacked(Identity((1, 4, 4))), "stacked-identity would need a classifier"),
        (lambda: Stacked(Identity((1, 8, 8), num_classes=22)), "at most 10,000 triples"),
        (
            lambda: protocol_for(ImageSet("x", "train", torch.zeros(9, 3, 8, 8).byte(), torch.zeros(9)),
                                 Identity((3, 8, 8)), 9, [ClassCoverage()]),
            "ClassCoverage needs logits, which the extractor identity does not have",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_sentence(act, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        act()
    assert "\n" not in str(error.value)
