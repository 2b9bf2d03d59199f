"""Laws of attention and of BigGAN's networks."""

import pytest
import torch
from torch import Tensor, nn

from lightning_modules.networks.attention import SelfAttention
from lightning_modules.networks.biggan import BigGANGenerator, ConditionedBatchNorm
from lightning_modules.networks.conditional import ClassNormGenerator, ProjectionDiscriminator
from lightning_modules.networks.init import Orthogonal
from lightning_modules.networks.resnet import ResNetDiscriminator, ResNetGenerator
from lightning_modules.networks.spectral import SpectralNorm


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def small() -> BigGANGenerator:
    torch.manual_seed(0)
    return BigGANGenerator(channels=1, z_dim=16, width=8, num_classes=3, embedding=5)


# --- attention ----------------------------------------------------------------------------------------------


def slowly(attend: SelfAttention, x: Tensor) -> Tensor:
    """Position by position."""
    query, key, value = attend.query(x), attend.pool(attend.key(x)), attend.pool(attend.value(x))
    found = torch.zeros(len(x), value.shape[1], *x.shape[2:])
    for n in range(len(x)):
        keys, values = key[n].flatten(1), value[n].flatten(1)
        for i in range(x.shape[2]):
            for j in range(x.shape[3]):
                found[n, :, i, j] = values @ (query[n, :, i, j] @ keys).softmax(0)
    return x + attend.gain * attend.out(found)


def test_attention_is_what_each_position_finds_at_the_others() -> None:
    torch.manual_seed(0)
    attend, x = SelfAttention(16), torch.randn(2, 16, 4, 6)
    with torch.no_grad():
        assert torch.equal(attend(x), x)  # the gain starts at 0
        attend.gain.fill_(0.7)
        assert torch.allclose(attend(x), slowly(attend, x), atol=1e-5)
    assert count(attend) == 16 * 2 * 2 + 16 * 8 * 2 + 1


def test_attention_can_be_differentiated_twice() -> None:
    torch.manual_seed(0)
    attend, x = SelfAttention(8).double(), torch.randn(1, 8, 2, 2, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        attend.gain.fill_(0.7)
    assert torch.autograd.gradgradcheck(attend, (x,))


def test_attention_stands_after_the_block_that_is_named() -> None:
    torch.manual_seed(0)
    G, D = ResNetGenerator(width=8, attention=2, spectral_norm=True), ResNetDiscriminator(width=8, attention=1)
    assert [isinstance(block, nn.Sequential) for block in G.blocks] == [False, True, False]
    assert [isinstance(block, nn.Sequential) for block in D.blocks] == [True, False, False, False]
    for net in (G, D):
        bare = [m for m in net.modules() if isinstance(m, nn.Conv2d) and not nn.utils.parametrize.is_parametrized(m)]
        assert not bare
    assert G(G.sample_z(2)).shape == (2, 3, 32, 32)


@pytest.mark.parametrize("make", [ResNetGenerator, ResNetDiscriminator])
def test_attention_after_no_block_is_refused(make: type[nn.Module]) -> None:
    with pytest.raises(ValueError, match=r"one of the [34] blocks, 1 to [34], got 9"):
        make(attention=9)


def test_attention_needs_maps_to_share_out() -> None:
    with pytest.raises(ValueError, match="8 feature maps or more, got 4"):
        SelfAttention(4)


# --- BigGAN -------------------------------------------------------------------------------------------------


def test_the_counts_of_the_published_networks() -> None:
    """Of 128 px as the authors' PyTorch code prints them; at 32 px G is the 9.4 million of StudioGAN's table."""
    with torch.device("meta"):
        G = BigGANGenerator.paper()
        D = ResNetDiscriminator(128, width=96, attention=1, wide=True, init=Orthogonal())
        assert (count(G), count(ProjectionDiscriminator(D, 1000))) == (70_433_988, 87_982_370)
        assert round(count(BigGANGenerator()) / 1e6, 1) == 9.4


def test_gain_and_bias_are_linear_in_the_condition() -> None:
    torch.manual_seed(0)
    norm, x, c = ConditionedBatchNorm(2, 3), torch.randn(4, 2, 5, 5), torch.randn(4, 3)
    plain = (x - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()
    gain, bias = c @ norm.gain.weight.T, c @ norm.bias.weight.T
    assert torch.allclose(norm(x, c), plain * (1 + gain[:, :, None, None]) + bias[:, :, None, None], atol=1e-5)


def test_each_piece_of_the_noise_enters_at_its_block() -> None:
    G = small().eval()
    z, y = G.sample_z(1), torch.tensor([1])
    seen: list[list[Tensor]] = []
    for block in G.blocks:
        block.register_forward_hook(lambda block, inputs, output: seen[-1].append(output))
    with torch.no_grad():
        for piece in range(4):
            seen.append([])
            other = z.clone()
            other[:, 4 * piece : 4 * piece + 4] += 1
            G(other, y)
        seen.append([])
        G(z, y)
    changed = [[not torch.equal(a, b) for a, b in zip(run, seen[-1], strict=True)] for run in seen[:-1]]
    assert changed == [[True, True, True], [True, True, True], [False, True, True], [False, False, True]]


def test_the_shared_embedding_alone_keeps_its_spectrum() -> None:
    G = small()
    normalised = {name for name, module in G.named_modules() if isinstance(module, SpectralNorm)}
    layers = {n for n, m in G.named_modules() if isinstance(m, nn.Conv2d | nn.Linear | nn.Embedding)}
    assert layers - {name.rsplit(".parametrizations", 1)[0] for name in normalised} == {"embed"}


def test_every_weight_learns_and_the_class_matters() -> None:
    G = small()
    for block in G.blocks:
        if isinstance(block.attend, SelfAttention):
            nn.init.ones_(block.attend.gain)
    z = G.sample_z(4)
    G(z, torch.tensor([0, 1, 2, 0])).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in G.parameters())
    G.eval()
    assert not torch.equal(G(z, torch.zeros(4, dtype=torch.long)), G(z, torch.ones(4, dtype=torch.long)))


def test_sagan_is_the_residual_networks_with_attention() -> None:
    torch.manual_seed(0)
    G = ClassNormGenerator(ResNetGenerator(channels=1, width=8, z_dim=4, attention=2, spectral_norm=True), 3)
    D = ProjectionDiscriminator(ResNetDiscriminator(channels=1, width=8, attention=1), 3, spectral_norm=True)
    y = torch.tensor([0, 1, 2])
    assert D(G(G.sample_z(3), y), y).shape == (3,)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"z_dim": 30}, "z is cut into 4 equal pieces, z_dim 30 is no multiple"),
        ({"attention": 4}, "attention stands after a block, 1 to 3, got 4"),
        ({"size": 40}, "size must be 32, 48, 64 or 128, got 40"),
    ],
)
def test_what_cannot_be_built_is_refused(settings: dict[str, int], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        BigGANGenerator(**settings)  # type: ignore[arg-type]
