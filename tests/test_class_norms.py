"""Laws of conditional batch norm: by hand, and as the batch norm that it stands for."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from toys import dcgans

from lightning_modules.networks.conditional import ClassBatchNorm2d, ClassNormGenerator
from lightning_modules.networks.dcgan import DCGANGenerator
from lightning_modules.networks.init import Initialiser, Orthogonal
from lightning_modules.networks.mlp import MLPGenerator
from lightning_modules.networks.resnet import ResNetGenerator
from lightning_modules.networks.sn_cnn import SNCNNGenerator

K = 3
Y = torch.tensor([0, 1, 2, 2, 1, 0])


def test_conditional_batch_norm_by_hand():
    norm = ClassNormGenerator(dcgans()[0], K).generator.layers[1]
    assert isinstance(norm, ClassBatchNorm2d)
    channels = norm.norm.num_features
    with torch.no_grad():
        norm.gain.weight.copy_(torch.tensor([1.0, 2, 3])[:, None].expand(K, channels))
        norm.bias.weight.copy_(torch.tensor([0.0, 10, 20])[:, None].expand(K, channels))
    x = torch.tensor([-1.0, 0, 1]).view(3, 1, 1, 1).expand(3, channels, 2, 2)  # variance 2/3 over the batch
    norm.asked.y = torch.tensor([0, 1, 2])
    assert norm(x)[:, 0, 0, 0].tolist() == pytest.approx([-(1.5**0.5), 10, 20 + 3 * 1.5**0.5], abs=1e-4)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "make",
    [
        lambda: dcgans()[0],
        lambda: SNCNNGenerator(28, 1, z_dim=4, width=2),
        lambda: ResNetGenerator(32, 1, z_dim=4, width=2),
    ],
)
def test_with_one_label_it_is_batch_norm(make, training):
    plain = make().train(training)
    G = ClassNormGenerator(deepcopy(plain), K).train(training)
    z, y = plain.sample_z(6), torch.full((6,), 2)
    ours, theirs = G(z, y), plain(z)
    assert torch.allclose(ours, theirs, atol=1e-6)
    (ours.square().sum() + theirs.square().sum()).backward()
    norms = [module for module in G.modules() if isinstance(module, ClassBatchNorm2d)]
    others = [module for module in plain.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == len(others) >= 1
    for norm, other in zip(norms, others, strict=True):
        for mine, its in ((norm.gain.weight.grad, other.weight.grad), (norm.bias.weight.grad, other.bias.grad)):
            assert torch.allclose(mine[2], its, rtol=1e-3, atol=1e-5)
            assert not mine[:2].any()
        assert torch.allclose(norm.norm.running_var, other.running_var)


class Constant(Initialiser):
    """7 for the first class, 0 for the others."""

    def draw(self, weight: Tensor) -> None:
        with torch.no_grad():
            weight.zero_()[0] = 7.0


def class_norms(G: nn.Module) -> list[ClassBatchNorm2d]:
    return [module for module in G.modules() if isinstance(module, ClassBatchNorm2d)]


def test_drawn_gains_lie_around_1_and_biases_around_0():
    """An embedding of 2 for the gain is a gain of 3; orthogonal ones of K classes are orthonormal rows."""
    torch.manual_seed(0)
    norm = class_norms(ClassNormGenerator(ResNetGenerator(width=8), K, Orthogonal()))[0]
    for embed in (norm.gain, norm.bias):
        assert torch.allclose(embed.weight @ embed.weight.T, torch.eye(K), atol=1e-6)
    with torch.no_grad():
        norm.gain.weight.fill_(2.0)
        norm.bias.weight.fill_(5.0)
    x = torch.tensor([-1.0, 0, 1]).view(3, 1, 1, 1).expand(3, 8, 2, 2)  # variance 2/3 over the batch
    norm.asked.y = torch.zeros(3, dtype=torch.long)
    assert norm(x)[:, 0, 0, 0].tolist() == pytest.approx([5 - 3 * 1.5**0.5, 5, 5 + 3 * 1.5**0.5], abs=1e-4)


def test_spectral_norm_is_of_the_embedding_and_not_of_the_gain():
    """A row of eight 7s beside zeros has the singular value 7 * 8^0.5: gains 1 + 8^-0.5 and 1, biases 8^-0.5 and 0."""
    norm = class_norms(ClassNormGenerator(ResNetGenerator(width=8), 2, Constant(), spectral_norm=True))[0].eval()
    norm.asked.y = torch.tensor([0, 1])
    found = norm(torch.ones(2, 8, 1, 1))[:, 0, 0, 0]  # normalised by running statistics 0 and 1
    assert found.tolist() == pytest.approx([1 + 2 / 8**0.5, 1], abs=1e-4)


def test_the_last_norm_stays_plain_where_asked_to():
    """StudioGAN's generator of three blocks has six conditional norms, and before the image a plain one."""
    counts = []
    for last in (True, False):
        G = ClassNormGenerator(ResNetGenerator(width=8), K, last=last)
        counts.append(len(class_norms(G)))
        assert isinstance(G.generator.head[0], ClassBatchNorm2d if last else nn.BatchNorm2d)
    assert counts == [7, 6]


def test_a_spectrum_of_zeros_is_refused():
    with pytest.raises(ValueError, match="biases of 0 have no spectrum: give ClassNormGenerator an init too"):
        ClassNormGenerator(ResNetGenerator(width=8), K, spectral_norm=True)


def test_a_copy_asks_its_own_labels_and_none_stay_behind():
    G = ClassNormGenerator(DCGANGenerator(8, 1, z_dim=4, width=4), K)
    with torch.no_grad():
        G.generator.layers[1].gain.weight.mul_(torch.tensor([1.0, 0, -1])[:, None])
    z = G.sample_z(6)
    wanted = G(z, Y)
    copy = deepcopy(G)
    assert torch.equal(copy(z, Y), wanted)
    assert not torch.allclose(copy(z, Y.roll(1)), wanted)
    assert {module.asked for module in copy.modules() if isinstance(module, ClassBatchNorm2d)} == {copy.asked}
    assert copy.asked is not G.asked
    assert copy.asked.y is None


def test_a_generator_without_batch_norm_is_refused():
    with pytest.raises(ValueError, match="MLPGenerator has no batch norm"):
        ClassNormGenerator(MLPGenerator(), K)
