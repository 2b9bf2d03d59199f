"""StyleGAN with AdaIN: published size, what the styles do by hand, second derivatives, mixing in a run."""

from pathlib import Path
from typing import Any

import pytest
import torch
from toys import trainer

from datamodules.digits import Digits
from experiments.onnx_file import onnx_file
from lightning_modules.callbacks.clock import Clock
from lightning_modules.callbacks.generative_metrics import GenerativeMetrics
from lightning_modules.losses.penalties import R1
from lightning_modules.metrics.sample_scores import SlicedWassersteinScore
from lightning_modules.networks.resolutions import Widths
from lightning_modules.networks.stylegan import AdaIN, NormedLayer, StyleGANGenerator
from lightning_modules.networks.stylegan2 import StyleGAN2Generator
from lightning_modules.networks.stylegan_discriminator import StyleGAN2Discriminator
from lightning_modules.stylegan import StyleGAN

COLOURS_OF_SMALLER = 3 * (4 * 512 + 256 + 128 + 64 + 32) + 3 * 8  # which the published network has, since it grows


def test_the_size_is_the_published_one() -> None:
    with torch.device("meta"):
        G = StyleGANGenerator(1024)
    assert sum(w.numel() for w in G.parameters()) == 26_219_627 - COLOURS_OF_SMALLER
    assert G.num_styles == 18


def test_adain_gives_each_map_the_mean_and_deviation_of_its_style() -> None:
    torch.manual_seed(0)
    layer = AdaIN(4, 3)
    x, w = 5 + 3 * torch.randn(2, 4, 16, 16), torch.randn(2, 3)
    made, (scale, shift) = layer(x, w), layer.affine(w).chunk(2, 1)
    assert torch.allclose(made.mean((2, 3)), shift, atol=1e-4)
    assert torch.allclose(made.std((2, 3), correction=0), (1 + scale).abs(), atol=1e-3)
    assert torch.allclose(layer(7 * x - 2, w), made, atol=1e-3)


def test_noise_begins_at_no_strength_and_differs_from_map_to_map() -> None:
    torch.manual_seed(0)
    layer = NormedLayer(3, 4, 8, 2)
    x, w = torch.randn(2, 3, 8, 8), torch.randn(2, 2)
    assert torch.equal(layer(x, w), layer(x, w))
    torch.nn.init.constant_(layer.strength[1], 1.0)
    differs = (layer(x, w) != layer(x, w)).flatten(2).any(2).any(0)
    assert differs.tolist() == [False, True, False, False]
    assert torch.equal(layer.eval()(x, w), layer(x, w))  # an image is w's alone


def test_it_can_be_differentiated_twice() -> None:
    torch.manual_seed(0)
    layer = AdaIN(2, 3).double()
    x = torch.randn(2, 2, 4, 4, dtype=torch.double).requires_grad_()
    w = torch.randn(2, 3, dtype=torch.double).requires_grad_()
    assert torch.autograd.gradcheck(layer, (x, w))
    assert torch.autograd.gradgradcheck(lambda x, w: layer(x, w).pow(3), (x, w))


def test_every_weight_learns_in_a_run_with_mixed_styles(tmp_path: Path) -> None:
    torch.manual_seed(0)
    G = StyleGANGenerator(8, 1, 6, 5, 2, Widths(32, 8))
    D = StyleGAN2Discriminator(8, 1, Widths(32, 8), residual=False)
    module = StyleGAN(G, D, mixing=1.0, penalties=[R1(1.0)])
    before = {name: weight.detach().clone() for name, weight in G.named_parameters()}
    seen = []
    mixed = G.mixed_styles
    G.mixed_styles = lambda *given: seen.append(mixed(*given)) or seen[-1]  # type: ignore[assignment, func-returns-value]
    trainer(tmp_path, Clock(g_steps=3, validations=0)).fit(module, datamodule=Digits(size=8, batch_size=4))
    assert len(seen) == 6
    assert all(not torch.equal(one[:, 0], one[:, -1]) for one in seen)
    assert not [name for name, weight in G.named_parameters() if torch.equal(weight, before[name])]
    with pytest.raises(ValueError, match=r"mixing is -0\.1: give a share"):
        StyleGAN(G, D, mixing=-0.1)
    with pytest.raises(ValueError, match="share_fakes: StyleGAN makes no image of noise alone: leave it out"):
        StyleGAN(G, D, share_fakes=True)


@pytest.mark.parametrize("make", [StyleGANGenerator, StyleGAN2Generator])
def test_generators_with_noise_are_written_as_onnx_for_any_batch(make: Any) -> None:
    pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    G = make(8, 1, 6, 5, 2, Widths(32, 8)).eval()
    for name, weight in G.named_parameters():
        if name.endswith("strength"):
            torch.nn.init.constant_(weight, 0.1)
    _, difference = onnx_file(G, {"z": torch.randn(3, 6)}, "x")
    assert difference < 1e-4


@pytest.mark.parametrize(("psi", "said"), [(1.0, None), (0.5, 0.5)])
def test_what_is_scored_truncated_says_so(tmp_path: Path, psi: float, said: float | None) -> None:
    G = StyleGANGenerator(16, 1, 6, 5, 2, Widths(32, 8), truncation=psi)
    module = StyleGAN(G, StyleGAN2Discriminator(16, 1, Widths(32, 8), residual=False))
    callback = GenerativeMetrics("identity", metrics=[SlicedWassersteinScore()], fakes=20)
    trainer(tmp_path, callback).validate(module, datamodule=Digits(size=16), verbose=False)
    assert callback.described["truncation"] == said
