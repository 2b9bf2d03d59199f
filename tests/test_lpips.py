"""Laws of LPIPS with random backbones: torchmetrics' number, the paper's formula, and nothing without weights."""

from pathlib import Path

import pytest
import torch
import torchmetrics.functional.image.lpips as theirs
import torchvision
from torch import Tensor

from lightning_modules.metrics.fidelity.lpips import BACKBONES, LPIPS
from lightning_modules.metrics.found_weights import sha256_of

MAKE = {
    "alex": (torchvision.models.alexnet, "AlexNet_Weights"),
    "squeeze": (torchvision.models.squeezenet1_1, "SqueezeNet1_1_Weights"),
    "vgg": (torchvision.models.vgg16, "VGG16_Weights"),
}
NETS = ["alex", "squeeze", pytest.param("vgg", marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backbones")


@pytest.fixture(scope="module")
def alex(folder: Path) -> LPIPS:
    return LPIPS(weights=backbone(folder, "alex"))


def backbone(folder: Path, net: str) -> str:
    """A file of random weights in torchvision's layout, of the features and a part that LPIPS has no use for."""
    path = folder / f"{net}.pth"
    if not path.exists():
        torch.manual_seed(0)
        state = MAKE[net][0](weights=None).state_dict()
        kept = {name: value for name, value in state.items() if name.startswith("features.")}
        torch.save(kept | {"classifier.6.bias": torch.zeros(1000)}, path)
    return str(path)


def images(n: int = 3, side: int = 40, channels: int = 3, seed: int = 0) -> Tensor:
    noise = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, channels, 5, 5, generator=noise)
    smooth = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1)
    return (255 * smooth).byte()


def noisy(image: Tensor, sigma: float) -> Tensor:
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(1))
    return (image + sigma * noise).round().clamp(0, 255).byte()


def score(metric: LPIPS, a: Tensor, b: Tensor) -> float:
    metric.reset()
    metric.update(a, b)
    return metric.as_floats()[f"lpips@{metric.net}"]


@pytest.mark.parametrize("net", NETS)
def test_it_is_torchmetrics_number(folder: Path, monkeypatch: pytest.MonkeyPatch, net: str) -> None:
    path = backbone(folder, net)

    def random_features(name: str, pretrained: bool) -> torch.nn.Module:
        assert pretrained
        model = MAKE[net][0](weights=None)
        model.features.load_state_dict(
            {k.removeprefix("features."): v for k, v in torch.load(path).items() if k.startswith("features.")}
        )
        return model.features

    metric = LPIPS(net, path)  # type: ignore[arg-type]
    monkeypatch.setattr(theirs, "_get_tv_model_features", random_features)
    a, b = images(), noisy(images(), 30)
    wanted = theirs.learned_perceptual_image_patch_similarity(a / 255, b / 255, net, normalize=True)  # type: ignore[arg-type]
    assert wanted > 1e-6
    assert score(metric, a, b) == pytest.approx(wanted.item(), rel=1e-5)
    assert score(metric, a / 255, b / 255) == score(metric, a, b)


def test_it_is_the_papers_formula(folder: Path, alex: LPIPS) -> None:
    state = torch.load(backbone(folder, "alex"))
    features = torchvision.models.alexnet(weights=None).features
    features.load_state_dict({k.removeprefix("features."): v for k, v in state.items() if k.startswith("features.")})
    heads = torch.load(Path(theirs.__file__).parent / "lpips_models" / "alex.pth", map_location="cpu")
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    a, b = images(), noisy(images(), 30)
    x, total = torch.cat([a, b]) / 127.5 - 1, torch.zeros(3)
    x = (x - shift[:, None, None]) / scale[:, None, None]
    with torch.no_grad():
        for i, layer in enumerate(features[:12]):
            x = layer(x)
            if i in (1, 4, 7, 9, 11):  # after each rectification
                unit = x / x.norm(dim=1, keepdim=True).clamp_min(1e-8)
                head = heads[f"lin{(1, 4, 7, 9, 11).index(i)}.model.1.weight"]
                total += (head[0] * (unit[:3] - unit[3:]) ** 2).sum(1).mean((1, 2))
    assert score(alex, a, b) == pytest.approx(total.mean().item(), rel=1e-4)


def test_equal_is_zero_and_more_noise_is_farther(alex: LPIPS) -> None:
    scores = [score(alex, noisy(images(), sigma), images()) for sigma in (0, 5, 20, 60)]
    assert scores[0] == 0
    assert scores == sorted(set(scores))


def test_means_are_over_images_in_any_batches(alex: LPIPS) -> None:
    metric, a, b = alex, images(5), noisy(images(5), 20)
    singly = [score(metric, a[i : i + 1], b[i : i + 1]) for i in range(5)]
    metric.reset()
    metric.update(a[:2], b[:2])
    metric.update(a[2:], b[2:])
    assert metric.as_floats() == {"lpips@alex": pytest.approx(sum(singly) / 5, rel=1e-5)}


def test_gray_is_repeated_to_rgb(alex: LPIPS) -> None:
    metric, a, b = alex, images(channels=1), noisy(images(channels=1), 20)
    assert score(metric, a, b) == score(metric, a.repeat(1, 3, 1, 1), b.repeat(1, 3, 1, 1)) > 0


def test_the_protocol_names_the_weights(folder: Path) -> None:
    path = backbone(folder, "alex")
    before = torch.get_rng_state()
    metric = LPIPS(weights=path)
    assert torch.equal(torch.get_rng_state(), before)
    assert metric.fields == {"lpips_net": "alex", "lpips_sha256": sha256_of(Path(path))}
    assert not any(p.requires_grad for p in metric.parameters())
    metric.train()
    assert not any(part.training for part in metric.network.modules())


@pytest.mark.parametrize("net", NETS)
def test_the_published_file_is_torchvisions(net: str) -> None:
    published, urls = BACKBONES[net].weights, [w.url for w in getattr(torchvision.models, MAKE[net][1])]  # type: ignore[index]
    assert published.url in urls


@pytest.mark.parametrize("net", NETS)
def test_the_least_side_is_the_networks_own(folder: Path, net: str) -> None:
    metric, least = LPIPS(net, backbone(folder, net)), BACKBONES[net].least  # type: ignore[arg-type,index]
    assert score(metric, images(side=least), noisy(images(side=least), 30)) > 0
    small = torch.rand(1, 3, least - 1, least - 1)
    with pytest.raises(RuntimeError):
        metric.network(small, small)
    with pytest.raises(ValueError, match=f"sides of {least} pixels or more"):
        metric.update(images(side=least - 1), images(side=least - 1))


def test_without_weights_there_is_no_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: object, **kwargs: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setenv("ATELIER_WEIGHTS", str(tmp_path))
    with pytest.raises(FileNotFoundError) as error:
        LPIPS()
    for part in ("AlexNet", "alexnet-owt-7be5be79.pth", "https://download.pytorch.org/", "--weights"):
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_wrong_files_and_networks_are_refused_in_one_sentence(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bytes.pth").write_bytes(b"no weights")
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "part.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    paths = [*map(str, tmp_path.iterdir()), backbone(folder, "squeeze")]
    assert len(paths) == 4
    for path in paths:
        with pytest.raises(ValueError, match=r"does not hold the weights of torchvision's AlexNet: fetch") as error:
            LPIPS(weights=path)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="no backbone 'resnet': choose one of alex, vgg, squeeze"):
        LPIPS("resnet")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (images() / 127.5 - 1, images(), "reach from -1"),
        (images(side=40), images(side=48), "only images of the same"),
        (images(channels=1), images(), "grey and the target RGB"),
    ],
)
def test_what_cannot_be_compared_is_refused(alex: LPIPS, a: Tensor, b: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        alex.update(a, b)
