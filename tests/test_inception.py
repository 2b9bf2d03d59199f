"""Laws of the Inception extractor: where its weights come from, and that it is torch-fidelity's."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

from experiments.bench import evaluate as bench
from experiments.bench.evaluate import random_weights
from lightning_modules.metrics.base import Needs
from lightning_modules.metrics.extractors import load_extractor
from lightning_modules.metrics.inception import FILE, RESIZES, TAPS, URL, InceptionExtractor
from lightning_modules.metrics.inception_network import tensorflow_bilinear
from lightning_modules.metrics.presets import PRESETS
from lightning_modules.metrics.protocol import metric_name


def test_absent_inception_names_file_url_and_option(nowhere: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        load_extractor("inception")
    for part in (FILE, URL, "evaluation.weights", "ATELIER_WEIGHTS", "no network"):
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_file_without_the_weights_is_refused_in_one_sentence(nowhere: Path) -> None:
    torch.save({"a": torch.zeros(1)}, nowhere / "a.pth")
    (nowhere / "b.pth").write_bytes(b"no weights")
    for name in ("a.pth", "b.pth"):
        with pytest.raises(ValueError, match=r"does not hold the weights of .* InceptionV3|InceptionV3") as error:
            InceptionExtractor(str(nowhere / name))
        assert "\n" not in str(error.value)


def without(name: str) -> Callable[[dict[str, Tensor]], object]:
    return lambda state: state.pop(name)


def transposed(name: str) -> Callable[[dict[str, Tensor]], object]:
    return lambda state: state.update({name: state[name].transpose(0, 1)})


@pytest.mark.parametrize(
    "damage",
    [
        without("Mixed_6c.branch7x7dbl_3.bn.running_var"),
        without("fc.weight"),
        transposed("Mixed_5b.branch5x5_2.conv.weight"),
        transposed("fc.weight"),
    ],
)
def test_weights_that_lack_a_part_or_have_another_shape_are_refused(
    weights: Path, tmp_path: Path, damage: Callable[[dict[str, Tensor]], object]
) -> None:
    state = torch.load(weights)
    damage(state)
    torch.save(state, tmp_path / "damaged.pth")
    with pytest.raises(ValueError, match=r"damaged\.pth does not hold the weights of .* InceptionV3: fetch") as error:
        load_extractor("inception-64", str(tmp_path / "damaged.pth"))
    assert "\n" not in str(error.value)


# --- the network --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_weights(tmp_path_factory.mktemp("inception") / "random.pth")


def random_bytes(*shape: int) -> Tensor:
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def relative(found: Tensor | None, wanted: Tensor) -> float:
    """Greatest difference, over the largest value."""
    assert found is not None
    return float((found - wanted).abs().max() / wanted.abs().max())


def test_each_tap_is_torch_fidelitys(weights: Path) -> None:
    layers = ["64", "192", "768", "2048", "logits_unbiased"]
    theirs = FeatureExtractorInceptionV3("theirs", layers, str(weights))
    image = random_bytes(2, 3, 32, 32)
    *wanted, logits = theirs(image)
    for name, features in zip(reversed(TAPS), wanted, strict=True):
        extractor = load_extractor(name, str(weights))
        found = extractor(image)
        assert (extractor.name, extractor.dim) == (name, features.shape[1])
        assert relative(found.features, features) < 1e-5
        if name == "inception":
            assert relative(found.logits, logits) < 1e-5
        else:
            assert found.logits is None
            assert extractor.offers == Needs.FEATURES


@pytest.mark.parametrize("shape", [(32, 32), (299, 299), (640, 37), (1, 1)])
def test_resize_is_torch_fidelitys(shape: tuple[int, int]) -> None:
    image = random_bytes(2, 3, *shape)
    wanted = (interpolate_bilinear_2d_like_tensorflow1x(image.float(), (299, 299), align_corners=False) - 128) / 128
    assert (tensorflow_bilinear(image) - wanted).abs().max() < 1e-6


def test_features_do_not_depend_on_the_batch_or_the_layout_in_memory(weights: Path) -> None:
    extractor = load_extractor("inception", str(weights))
    image = random_bytes(23, 3, 32, 32)  # one whole portion and a part, of early maps five and a part
    whole = extractor(image).features
    alone = torch.cat([extractor(one).features for one in image[:2].split(1)])
    assert relative(alone, whole[:2]) < 1e-5
    last = extractor(image[20:].contiguous(memory_format=torch.channels_last)).features
    assert relative(last, whole[20:]) < 1e-5


def test_gray_images_are_repeated_and_the_random_stream_is_left_alone(weights: Path) -> None:
    before = torch.get_rng_state()
    extractor = load_extractor("inception-192", str(weights))
    assert torch.equal(torch.get_rng_state(), before)
    assert extractor.sha256 is not None
    assert len(extractor.sha256) == 64
    gray = random_bytes(2, 1, 32, 32)
    assert torch.equal(extractor(gray).features, extractor(gray.expand(-1, 3, -1, -1)).features)
    assert "gray repeated" in extractor.fit((1, 32, 32))


def test_scores_of_a_lower_tap_bear_its_name() -> None:
    assert [metric_name("fid", name) for name in TAPS] == [
        "fid",
        "fid@inception-768",
        "fid@inception-192",
        "fid@inception-64",
    ]


def test_a_tap_that_is_not_there_is_refused(weights: Path) -> None:
    with pytest.raises(ValueError, match=r"the nearest is 'inception-\d+'.*inception-768, inception-192, inception-64"):
        load_extractor("inception-2048")
    with pytest.raises(ValueError, match="no tap 'inception-2048': name one of inception, inception-768"):
        InceptionExtractor(str(weights), "inception-2048")


def test_bench_prints_what_it_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "DIM", 64)
    found = bench.frechet(turns=1, images=200, few=20)
    assert found["relative_difference"] < 1e-8
    for distance in found["distance_of_20_fakes_and_reals"]:
        assert 0 < distance < float("inf")


@pytest.mark.parametrize(("name", "kernel"), [("PIL bilinear", "BILINEAR"), ("PIL bicubic", "BICUBIC")])
def test_the_resizes_of_published_protocols_are_pillows(name: str, kernel: str) -> None:
    (words,) = (words for words in RESIZES if words.startswith(name))
    image = torch.randint(256, (2, 3, 32, 48), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    channels = [Image.fromarray(one.numpy()) for one in image.flatten(0, 1)]
    if name == "PIL bicubic":  # clean-fid's: of floats, clamped and not rounded
        channels = [one.convert("F") for one in channels]
    wanted = np.stack([np.array(one.resize((299, 299), Image.Resampling[kernel])) for one in channels])
    assert (wanted.min() < 0) == (name == "PIL bicubic")
    found = RESIZES[words](image).flatten(0, 1) * 128 + 128
    assert (found - torch.from_numpy(wanted.clip(0, 255))).abs().max() < 1e-4


def test_every_resize_of_a_preset_is_known() -> None:
    assert {str(preset.fields["resize"]) for preset in PRESETS.values() if "resize" in preset.fields} == {*RESIZES}
