"""Laws of spectral norm, on either player."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from lightning_modules.ema import EMA, EMASettings
from lightning_modules.networks.base import Network
from lightning_modules.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from lightning_modules.networks.init import Orthogonal
from lightning_modules.networks.sn_cnn import SNCNNDiscriminator, SNCNNGenerator
from lightning_modules.networks.spectral import normalise_spectra


def spectral_norms(net: nn.Module) -> list[float]:
    """The largest singular value of every weight that ``net`` computes with, by decomposition."""
    norms = []
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding):
            weight = module.weight.detach()
            matrix = weight.transpose(0, 1) if isinstance(module, nn.ConvTranspose2d) else weight
            norms.append(float(torch.linalg.svdvals(matrix.flatten(1))[0]))
    return norms


# name -> (network, shape of one input)
NORMALISED: dict[str, tuple[Callable[[], Network], tuple[int, ...]]] = {
    "sn_cnn-D": (lambda: SNCNNDiscriminator(width=4), (3, 32, 32)),
    "sn_cnn-G": (lambda: SNCNNGenerator(width=4, z_dim=5, spectral_norm=True), (5,)),
    "dcgan-D": (lambda: DCGANDiscriminator(32, width=4, batch_norm=False, spectral_norm=True), (3, 32, 32)),
    "dcgan-G": (lambda: DCGANGenerator(32, width=4, z_dim=5, spectral_norm=True), (5,)),
}


@pytest.mark.parametrize(("make", "shape"), NORMALISED.values(), ids=NORMALISED.keys())
def test_spectral_norm_converges_to_one(make: Callable[[], Network], shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    net, x = make(), torch.randn(2, *shape)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=3.0)  # the power iteration starts from vectors that belong to other weights
    off = spectral_norms(net.eval())
    net.train()
    for _ in range(600):
        net(x)
    norms = spectral_norms(net.eval())
    assert len(norms) == sum(parameter.ndim > 1 for parameter in net.parameters())
    assert max(abs(norm - 1) for norm in off) > 0.1
    assert max(abs(norm - 1) for norm in norms) < 1e-3


def test_an_embedding_is_normalised_too() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Embedding(10, 6))
    normalise_spectra(net)
    for _ in range(300):
        net(torch.tensor([0]))
    assert abs(spectral_norms(net.eval())[0] - 1) < 1e-3


def test_evaluation_iterates_no_further() -> None:
    torch.manual_seed(0)
    D = SNCNNDiscriminator(width=4)
    x = torch.randn(2, 3, 32, 32)
    before = {name: buffer.clone() for name, buffer in D.named_buffers()}
    D.eval()(x)
    assert all(torch.equal(buffer, before[name]) for name, buffer in D.named_buffers())
    D.train()(x)
    assert not all(torch.equal(buffer, before[name]) for name, buffer in D.named_buffers())


def test_with_orthogonal_weights_it_changes_nothing() -> None:
    torch.manual_seed(0)
    plain = SNCNNDiscriminator(width=4, spectral_norm=False, init=Orthogonal())
    normalised = deepcopy(plain)
    normalise_spectra(normalised)
    x = torch.randn(2, 3, 32, 32)
    assert torch.allclose(plain(x), normalised(x), atol=1e-5)


def test_the_gradient_is_that_of_the_quotient() -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(6, 4).double(), torch.randn(5, 6).double()
    weight = layer.weight.detach().clone().requires_grad_()
    normalise_spectra(layer)
    for _ in range(500):
        layer(x)
    layer(x).square().sum().backward()
    sigma = torch.linalg.svdvals(weight)[0]
    (x @ (weight / sigma).T + layer.bias.detach()).square().sum().backward()
    found = layer.parametrizations.weight.original.grad  # type: ignore[union-attr]
    assert torch.allclose(found, weight.grad, rtol=1e-9)  # type: ignore[arg-type]


def test_parity_with_torchs_own() -> None:
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.ConvTranspose2d(4, 5, 4, stride=2))
    theirs = deepcopy(ours)
    normalise_spectra(ours)
    for layer in (theirs[0], theirs[2]):
        spectral_norm(layer)
    theirs.load_state_dict(ours.state_dict())
    for _ in range(3):
        x = torch.randn(2, 3, 6, 6)
        for net in (ours, theirs):
            net.zero_grad()
            net(x).square().sum().backward()
        assert torch.allclose(ours.eval()(x), theirs.eval()(x), rtol=1e-5)
        for own, their in zip(ours.train().parameters(), theirs.train().parameters(), strict=True):
            assert torch.allclose(own.grad, their.grad, rtol=1e-4, atol=1e-6)  # type: ignore[arg-type]


def test_half_precision_leaves_the_weights_alone() -> None:
    torch.manual_seed(0)
    D = SNCNNDiscriminator(width=4).eval()
    plain = [block.get_submodule("0").weight for block in D.blocks]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = [block.get_submodule("0").weight for block in D.blocks]
    assert all(torch.equal(a, b) for a, b in zip(plain, mixed, strict=True))  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_samples_drawn_in_training_mode_do_not_iterate(mode: Callable[[], AbstractContextManager[None]]) -> None:
    torch.manual_seed(0)
    G = SNCNNGenerator(width=4, z_dim=5, spectral_norm=True)
    before = {name: buffer.clone() for name, buffer in G.named_buffers() if name.endswith(("_u", "_v"))}
    with mode():
        G(G.sample_z(4))
    assert all(torch.equal(G.state_dict()[name], vector) for name, vector in before.items())
    G(G.sample_z(4)).sum().backward()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.filterwarnings(r"ignore:The \.grad attribute of a Tensor:UserWarning")
def test_compiled_two_forwards_then_one_backward() -> None:
    nets = []
    for _ in range(2):
        torch.manual_seed(0)
        nets.append(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 1)))
        normalise_spectra(nets[-1])
    nets[0].compile(fullgraph=True)
    for _ in range(2):
        x = torch.randn(2, 3, 8, 8)
        for net in nets:
            net.zero_grad()
            (net(x).square().mean() - net(x + 1).square().mean()).backward()
        for compiled, eager in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
            assert torch.allclose(compiled.grad, eager.grad, atol=1e-5)  # type: ignore[arg-type]
        for vector, expected in zip(nets[0].buffers(), nets[1].buffers(), strict=True):
            assert torch.allclose(vector, expected, atol=1e-5)


def test_two_forwards_then_one_backward() -> None:
    torch.manual_seed(0)
    D = SNCNNDiscriminator(width=4)
    x = torch.randn(2, 3, 32, 32)
    (D(x).sum() - D(x + 1).sum()).backward()
    assert all(parameter.grad is not None for parameter in D.parameters())


def test_an_average_of_a_normalised_generator_is_a_network_of_its_own(tmp_path: Path) -> None:
    torch.manual_seed(0)
    G = SNCNNGenerator(width=4, z_dim=5, spectral_norm=True)
    average = EMA(G, EMASettings(decay=0.75))
    before = {name: parameter.clone() for name, parameter in G.named_parameters()}
    with torch.no_grad():
        for parameter in G.parameters():
            parameter.mul_(2).add_(0.1)
    G(G.sample_z(4))
    average.update(G, 1, 4, 4)
    for (name, mean), now in zip(average.net.named_parameters(), G.parameters(), strict=True):
        assert torch.allclose(mean, 0.75 * before[name] + 0.25 * now, atol=1e-6)
    z = G.sample_z(3)
    assert torch.equal(average.net(z), average.net(z))
    torch.save(average.state_dict(), tmp_path / "ema.pt")
    again = EMA(SNCNNGenerator(width=4, z_dim=5, spectral_norm=True), EMASettings(decay=0.75))
    again.load_state_dict(torch.load(tmp_path / "ema.pt", weights_only=True))
    assert torch.equal(again.net(z), average.net(z))


def test_channels_last_and_meta_construction() -> None:
    torch.manual_seed(0)
    D = SNCNNDiscriminator(width=4).eval()
    x = torch.randn(2, 3, 32, 32)
    before = D(x)
    after = D.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    assert torch.allclose(before, after, atol=1e-6)
    with torch.device("meta"):
        assert all(parameter.is_meta for parameter in SNCNNDiscriminator().parameters())
