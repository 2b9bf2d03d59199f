"""Networks whose layers others see through, and what styles are told apart by: against slow references."""

from pathlib import Path

import pytest
import torch
from test_perceptual import vgg_file
from torch import Tensor, nn
from torch.nn.functional import conv2d, relu

from datamodules.functional.statistics import EPSILON, adain, gram, moments
from lightning_modules.losses.style import Content, FeatureTerm, GramStyle, MomentStyle
from lightning_modules.networks.classifier_features import ClassifierMaps
from lightning_modules.networks.octaves import Octaves
from lightning_modules.networks.random_filters import RandomFilters
from lightning_modules.networks.resnet_classifier import ResNetClassifier
from lightning_modules.networks.vgg import VGG19Features, VGG19Maps


def maps(seed: int, n: int = 2, C: int = 3, h: int = 4, w: int = 5) -> Tensor:
    return torch.randn(n, C, h, w, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- statistics ----------------------------------------------------------------------------------------------


def test_a_gram_matrix_by_loops_and_under_a_guide() -> None:
    f = maps(0)
    guide = torch.rand(2, 1, 4, 5, dtype=torch.float64)
    for given, weight in ((None, torch.full((2, 4, 5), 1 / 20.0)), (guide, (guide / guide.sum((2, 3), True))[:, 0])):
        slow = torch.zeros(2, 3, 3, dtype=torch.float64)
        for n in range(2):
            for i in range(4):
                for j in range(5):
                    slow[n] += weight[n, i, j] * torch.outer(f[n, :, i, j], f[n, :, i, j]) / 3
        assert torch.allclose(gram(f, given), slow)
    assert torch.allclose(gram(f, torch.zeros(2, 1, 4, 5)), gram(f))  # of nothing left, everything


def test_moments_by_torch_and_within_a_guide() -> None:
    f = maps(1)
    mean, deviation = moments(f).unbind(1)
    assert torch.allclose(mean, f.mean((2, 3)))
    assert torch.allclose(deviation, (f.var((2, 3), correction=0) + EPSILON).sqrt())
    left = torch.zeros(1, 1, 4, 5)
    left[..., :2] = 1
    assert torch.allclose(moments(f, left), moments(f[..., :2]))


def test_adain_gives_the_moments_that_are_wanted_and_keeps_its_own() -> None:
    content, style = maps(2), maps(3) * 3 + 1
    assert torch.allclose(moments(adain(content, moments(style))), moments(style), atol=1e-4)
    assert torch.allclose(adain(content, moments(content)), content)


# --- terms ---------------------------------------------------------------------------------------------------


def test_gatys_s_style_loss_is_a_quarter_of_the_term() -> None:
    f, s = maps(4, n=1), maps(5, n=1)
    N, M = 3, 20
    G, A = (x.flatten(2)[0] @ x.flatten(2)[0].T for x in (f, s))
    E = (G - A).square().sum() / (4 * N**2 * M**2)  # equation 4
    term = GramStyle(["a"])
    assert torch.allclose(term({"a": f}, term.targets({"a": s})).double(), 4 * E)


def test_layers_are_averaged_and_weights_and_shares_count() -> None:
    one, other = {"a": maps(6), "b": maps(7, C=2)}, {"a": maps(8), "b": maps(9, C=2)}
    apart = [(one[name] - other[name]).square().mean() for name in "ab"]
    content = Content(["a", "b"], weight=3)
    assert torch.allclose(content(one, content.targets(other)).double(), 3 * torch.stack(apart).mean())
    shares = [
        (moments(one[name]) - moments(other[name])).square().sum() / moments(other[name]).square().sum()
        for name in "ab"
    ]
    style = MomentStyle(["a", "b"], relative=True)
    assert torch.allclose(style(one, style.targets(other)).double(), torch.stack(shares).mean())
    mean, deviation = ((moments(one["a"]) - moments(other["a"])).square().mean((0, 2))).unbind()
    alone = MomentStyle(["a"])
    assert torch.allclose(alone(one, alone.targets(other)).double(), mean + deviation)


@pytest.mark.parametrize("kind", [Content, GramStyle, MomentStyle])
def test_a_term_of_its_own_target_is_zero_and_no_gradient_reaches_a_target(kind: type[FeatureTerm]) -> None:
    term, f = kind(["a"], relative=True), maps(10).requires_grad_()
    targets = term.targets({"a": f})
    assert not any(target.requires_grad for target in targets)
    assert float(term({"a": f}, targets).detach()) == 0
    term({"a": 2 * f}, targets).backward()
    assert f.grad is not None
    assert f.grad.abs().sum() > 0


def test_statistics_are_taken_in_full_precision() -> None:
    f, s = maps(11).float(), maps(12).float()
    term = GramStyle(["a"])
    plain = term({"a": f}, term.targets({"a": s}))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(term({"a": f}, term.targets({"a": s})), plain)


def test_terms_without_layers_or_below_zero_are_refused() -> None:
    with pytest.raises(ValueError, match="GramStyle has no layers: name some of the feature network's"):
        GramStyle([])
    with pytest.raises(ValueError, match="Content: weight must not be negative, got -1"):
        Content(["a"], weight=-1)


# --- networks ------------------------------------------------------------------------------------------------


def test_vgg19s_maps_are_those_of_its_single_layers(tmp_path: Path) -> None:
    path, x = str(vgg_file(tmp_path / "vgg.pth")), torch.rand(1, 3, 16, 16)
    found = VGG19Maps(path, ["conv2_1", "conv1_2"])(x)
    assert list(found) == ["conv1_2", "conv2_1"]
    for layer, seen in found.items():
        assert torch.equal(seen, VGG19Features(path, layer)(x))
    average = VGG19Maps(path, ["conv2_1"], average=True)(x)["conv2_1"]
    features = VGG19Features(path, "conv2_1")
    pooled = nn.functional.avg_pool2d(VGG19Features(path, "conv1_2")(x), 2)
    assert torch.equal(average, features.features[5:](pooled))
    with pytest.raises(ValueError, match="VGG19 has no layer 'relu9'"):
        VGG19Maps(path, ["relu9"])
    with pytest.raises(FileNotFoundError, match=r"The VGG19 weights none\.pth are no file: fetch https://"):
        VGG19Maps("none.pth")


def test_a_classifiers_maps_are_its_trunk_up_to_the_pooling() -> None:
    classifier = ResNetClassifier(dim=64)
    eyes = ClassifierMaps(classifier, "cifar10-cnn")
    assert eyes.title == "cifar10-cnn"
    assert eyes.widths == {"block1": 32, "block2": 64, "block3": 64, "block4": 128, "block5": 256, "block6": 256}
    assert eyes.minimum == 8
    x = torch.rand(1, 3, 32, 32, requires_grad=True)
    found = eyes(x)
    assert [m.shape[2] for m in found.values()] == [32, 32, 16, 16, 8, 4]
    whole = classifier.features(2 * x - 1)
    assert torch.allclose(whole, classifier.trunk[-5:](found["block6"]), atol=1e-5)
    found["block6"].sum().backward()
    assert x.grad is not None
    assert not any(p.requires_grad for p in eyes.parameters())
    with pytest.raises(FileNotFoundError, match="The classifier's weights no-such are no file"):
        ClassifierMaps(ResNetClassifier(dim=64), "no-such")
    with pytest.raises(ValueError, match="cifar10-cnn has no layer 'relu1': choose of block1, block2"):
        eyes.require(["relu1"])


def test_random_filters_are_of_their_seed_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one, same, other = RandomFilters(seed=1), RandomFilters(seed=1), RandomFilters(seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.filters, same.filters)
    assert not torch.equal(one.filters, other.filters)
    x = torch.rand(1, 3, 9, 9)
    assert torch.equal(one(x)["filters"], relu(conv2d(x - 0.5, one.filters)))
    assert one(x)["filters"].shape == (1, 128, 3, 3)
    assert not one.state_dict()
    with pytest.raises(ValueError, match="RandomFilters: give 1 filter or more, of an odd side, got 0 and 7"):
        RandomFilters(0)


def test_octaves_are_the_same_eyes_on_smaller_images() -> None:
    filters = RandomFilters(4, 3)
    eyes, x = Octaves(filters, 3), torch.rand(1, 3, 32, 40)
    found = eyes(x)
    assert list(found) == list(eyes.widths) == ["filters", "filters/2", "filters/4"]
    assert torch.equal(found["filters"], filters(x)["filters"])
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    padded = nn.functional.pad(x, (1, 1, 1, 1), mode="reflect")
    half = conv2d(padded, torch.outer(line, line).expand(3, 1, 4, 4), stride=2, groups=3)
    assert torch.allclose(found["filters/2"], filters(half)["filters"], atol=1e-6)
    flat = eyes(torch.full((1, 3, 32, 32), 0.7))
    assert all((m - m[:, :, :1, :1]).abs().max() < 1e-5 for m in flat.values())  # no border shows
    with pytest.raises(ValueError, match="Octaves: give 1 octave or more, got 0"):
        Octaves(filters, 0)
    with pytest.raises(ValueError, match="has no layer 'block1': choose of filters"):
        Octaves(filters, layers=["block1"])
