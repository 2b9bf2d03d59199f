"""The perceptual loss and its networks: values by hand, torchvision's VGG19, our classifiers, one sentence."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers

from lightning_modules.losses.perceptual import Perceptual
from lightning_modules.losses.reconstruction import L1
from lightning_modules.metrics.extractors import SHIPPED, load_extractor
from lightning_modules.networks.classifier_features import ClassifierFeatures
from lightning_modules.networks.cnn import CNN
from lightning_modules.networks.vgg import LAYERS, VGG19Features, layers_up_to


class Doubled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(2.0))
        self.dropout = nn.Dropout(0.5)
        self.seen = torch.float16

    def forward(self, x: Tensor) -> Tensor:
        self.seen = (self.w * torch.nn.functional.linear(x, torch.eye(x.shape[-1]))).dtype
        return self.dropout(self.w * x)


def test_the_perceptual_loss_by_hand() -> None:
    network = Doubled()
    prediction, target = (
        torch.full((2, 1, 4, 4), 0.75, requires_grad=True),
        torch.full((2, 1, 4, 4), 0.5, requires_grad=True),
    )
    assert Perceptual(network, factor=1.0)(prediction, target).item() == 0.25  # (2 * 0.25)^2
    loss = Perceptual(network, weight=3.0)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(prediction, target)
    assert network.seen == torch.float32
    assert value.item() == pytest.approx(3 * 0.25 / 12.75**2, rel=1e-6)
    assert Perceptual(network, distance=L1(), factor=1.0)(prediction, target).item() == 0.5
    assert loss(prediction, prediction).item() == 0
    value.backward()
    assert target.grad is None
    assert network.w.grad is None
    assert prediction.grad is not None
    assert prediction.grad.abs().min() > 0
    assert not network.w.requires_grad


def vgg_file(path: Path, layer: str = "conv2_2") -> Path:
    """Random weights in torchvision's layout, up to ``layer``."""
    torch.manual_seed(0)
    state = nn.ModuleDict({"features": nn.Sequential(*layers_up_to(layer))}).state_dict()
    torch.save({**state, "classifier.6.bias": torch.zeros(1000)}, path)
    return path


def test_vgg19_is_torchvisions(tmp_path: Path) -> None:
    with torch.device("meta"):
        theirs = make_layers(cfgs["E"])
        ours = nn.Sequential(*layers_up_to(LAYERS[-1]))
    assert {n: p.shape for n, p in ours.named_parameters()} == {n: p.shape for n, p in theirs.named_parameters()}
    assert [type(layer) for layer in ours] == [type(layer) for layer in theirs][:-1]
    path = vgg_file(tmp_path / "vgg.pth")
    state = {k.removeprefix("features."): v for k, v in torch.load(path).items() if k.startswith("features.")}
    independent = make_layers(cfgs["E"][:5])
    independent.load_state_dict(state)
    x = torch.rand(2, 3, 16, 16)
    normed = (x - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
        :, None, None
    ]
    after = VGG19Features(str(path), "conv2_2")
    before = VGG19Features(str(path), "conv2_2", before_relu=True)
    assert torch.allclose(after(x), independent(normed), atol=1e-6)
    assert torch.allclose(before(x), independent[:-1](normed), atol=1e-6)
    assert before(x).min() < 0 <= after(x).min()
    assert not any(p.requires_grad for p in after.parameters())
    assert torch.equal(after(x[:, :1]), after(x[:, :1].expand(-1, 3, -1, -1)))


def test_the_features_of_our_own_classifiers_carry_a_gradient() -> None:
    extractor = load_extractor("digits-cnn")
    card = extractor.card  # type: ignore[attr-defined]
    network = ClassifierFeatures(CNN(**card.init_args), str(SHIPPED / "digits-cnn.safetensors"))
    image = torch.randint(256, (3, card.channels, card.size, card.size), dtype=torch.uint8)
    x = (image / 255).requires_grad_()
    assert torch.allclose(network(x), extractor.extract(image).features, atol=1e-4)
    Perceptual(network)(x, torch.rand_like(x)).backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_weights_that_are_not_there_or_of_another_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"The VGG19 weights none\.pth are no file: fetch https://.* leave the"):
        VGG19Features("none.pth")
    path = str(vgg_file(tmp_path / "vgg.pth", "conv1_2"))
    with pytest.raises(ValueError, match="does not hold the weights of torchvision's VGG19: fetch https://"):
        VGG19Features(path, "conv2_1")
    with pytest.raises(ValueError, match="VGG19 has no layer 'relu5': choose one of conv1_1, conv1_2"):
        VGG19Features(path, "relu5")
    save_file({"w": torch.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="does not hold the weights of this CNN: give it the init_args"):
        ClassifierFeatures(CNN(), str(tmp_path / "w.safetensors"))
    with pytest.raises(FileNotFoundError, match=r"The classifier's weights none\.safetensors are no file"):
        ClassifierFeatures(CNN(), "none.safetensors")
